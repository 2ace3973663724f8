# Names that break formats, pages, pictures and files: the result is right, or an error says what to do.

hostile <- c(
    "<script>alert('x')</script>", "a \"b\" & 'c'", "100% %s %d \\1\\", "\u03b2-Gr\u00f6\u00dfe",
    "new\nline\ttab", strrep("long ", 2000), "NA", "NULL", "$x_1^2$ {{7*7}}", " ",
    "`layer` of None, adata.obs['x']"
)

# Genes, labels, samples, sources, columns and the results themselves have such names.
hostileTissue <- function() {
    if (is.null(.cache$hostile)) {
        tissue <- lapply(smallTissue(), function(x) {
            rownames(x)[seq_along(hostile)] <- hostile
            x[["my <label>\n%s"]] <- factor(x$label, labels = hostile[c(1, 3, 6)])
            x
        })
        odd <- seq_len(ncol(tissue$target)) %% 2L == 1L
        parts <- list(tissue$target[, odd], tissue$target[, !odd])
        parts[[1L]]$sample_id <- hostile[[1L]]
        parts[[2L]]$sample_id <- hostile[[6L]]
        tissue$target <- do.call(SummarizedExperiment::cbind, parts)
        .cache$hostile <- tissue
    }
    .cache$hostile
}
RESULT <- "my \"<b>\"\nresult %d"
fitHostile <- function(x = hostileTissue()$target, name = RESULT, ...) {
    sources <- stats::setNames(list(hostileTissue()$source), hostile[[1L]])
    transst(x, sources, "my <label>\n%s", nDomains = 3, nFactors = 4, name = name, ...)
}

test_that("results of Seurat objects are found under any name, and replace no others", {
    skipWithoutPython()
    seurat <- asSeurat(smallTissue()$target)
    for (name in c("a b", "2nd", "\u00e9\u03b2", "!!", "rna", RESULT)) {
        expect_no_warning(found <- quick(seurat, NULL, name = name))
        expect_true(all(paste0(name, c("", "_confidence")) %in% names(found[[]])))
        key <- SeuratObject::Key(found[[SeuratObject::Reductions(found)]])
        expect_match(key, "^[a-zA-Z][a-zA-Z0-9]*_$")
        expect_false(key %in% SeuratObject::Key(seurat))
        suppressWarnings(markers <- domainMarkers(found, name, method = "contrast"))
        expect_identical(nrow(markers), 180L)
        expect_no_warning(again <- quick(found, NULL, name = name))
        expect_identical(SeuratObject::Reductions(again), SeuratObject::Reductions(found))
    }
    found <- quick(seurat, NULL, name = "a b")
    expect_error(
        quick(found, NULL, name = "a.b"),
        "`name`: the reduction of 'a.b' would replace that of the results 'a b'; choose another name"
    )
    both <- quick(found, NULL, name = "ab")
    expect_length(unique(SeuratObject::Key(both)), length(SeuratObject::Key(both)))
})

# All texts in a picture, as they are drawn.
textsOf <- function(plot) {
    found <- character()
    collect <- function(grob) {
        found <<- c(found, as.character(grob$label))
        for (part in c(grob$grobs, grob$children)) collect(part)
    }
    file <- tempfile(fileext = ".png")
    grDevices::png(file, 900, 700)
    on.exit({
        grDevices::dev.off()
        unlink(file)
    })
    grob <- if (inherits(plot, "patchwork")) patchwork::patchworkGrob(plot) else ggplot2::ggplotGrob(plot)
    grid::grid.draw(grob)
    collect(grid::grid.force(grob))
    found
}

test_that("pictures have such names on one line, and short ones if they are long", {
    skipWithoutPython()
    spe <- fitHostile()
    levels(spe[[RESULT]]) <- hostile[c(2, 5, 6)]
    SummarizedExperiment::rowData(spe)[["sym <b>"]] <- rownames(spe)
    spe$measured <- seq_len(ncol(spe)) %% 5L != 0L
    genes <- hostile[-10L]
    truth <- SingleCellExperiment::counts(spe)
    filled <- imputeSpots(spe, "fill", "nearest", genes = genes)
    pictures <- list(
        plotDomains(spe, RESULT), plotDomains(spe, "my <label>\n%s"), plotConfidence(spe, RESULT),
        plotMarkers(spe, domainMarkers(spe, RESULT), domains = RESULT),
        plotMarkers(spe, genes = genes, kind = "heatmap", domains = RESULT, geneNames = "sym <b>"),
        plotAgreement(spe, "my <label>\n%s", RESULT), plotTransfer(spe, "trust", RESULT),
        plotTransfer(spe, "penalty", RESULT), plotConvergence(spe, RESULT),
        plotImputation(filled, genes[1:6]), plotImputation(filled, genes[[6L]], truth = truth)
    )
    texts <- unlist(lapply(pictures, textsOf)) # and no warning
    expect_lte(max(nchar(unlist(strsplit(texts, "\n")))), 75L)
    expect_no_match(texts, "\t")
    for (name in c(hostile[1:4], "new line tab", hostile[7:9])) {
        expect_true(any(grepl(name, texts, fixed = TRUE)), info = name)
    }
    expect_true(any(startsWith(texts, "long long") & endsWith(texts, "...")))
})

test_that("markers of a single domain are drawn", {
    spe <- tinySpe()
    spe$transst <- "only"
    expect_identical(levels(plotMarkers(spe, genes = "gene3")$data$domain), "only")
})
