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
fittedHostile <- function() {
    if (is.null(.cache$fittedHostile)) {
        tissue <- hostileTissue()
        sources <- stats::setNames(list(tissue$source), hostile[[1L]])
        .cache$fittedHostile <- transst(
            tissue$target, sources, "my <label>\n%s", nDomains = 3, nFactors = 4, name = RESULT
        )
    }
    .cache$fittedHostile
}

test_that("results of Seurat objects are found under any name, and replace no others", {
    skipWithoutPython()
    seurat <- asSeurat(simulateTissue(nRows = 8, nCols = 8, nGenes = 12, nDomains = 2, seed = 1)$target)
    fit <- function(x, name) transst(x, nDomains = 2, nFactors = 2, name = name)
    for (name in c("2nd <b>\n%d", "\u00e9\u03b2", "rna")) {
        expect_no_warning(found <- fit(seurat, name))
        expect_true(all(paste0(name, c("", "_confidence")) %in% names(found[[]])))
        key <- SeuratObject::Key(found[[SeuratObject::Reductions(found)]])
        expect_match(key, "^[a-zA-Z][a-zA-Z0-9]*_$")
        expect_false(key %in% SeuratObject::Key(seurat))
        suppressWarnings(markers <- domainMarkers(found, name, method = "contrast"))
        expect_identical(nrow(markers), 24L)
        expect_no_warning(again <- fit(found, name))
        expect_identical(SeuratObject::Reductions(again), SeuratObject::Reductions(found))
    }
    found <- fit(seurat, "a b")
    expect_error(
        fit(found, "a.b"),
        "`name`: the reduction of 'a.b' would replace that of the results 'a b'; choose another name"
    )
    both <- fit(found, "ab")
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
    spe <- fittedHostile()
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

test_that("a fit keeps such names as they are", {
    skipWithoutPython()
    tissue <- hostileTissue()
    spe <- fittedHostile()
    expect_setequal(levels(spe[[paste0(RESULT, "_class")]]), hostile[c(1, 3, 6)])
    rotation <- attr(SingleCellExperiment::reducedDim(spe, paste0("TransST.", RESULT)), "rotation")
    expect_true(all(rownames(rotation) %in% rownames(spe)))
    expect_true(all(hostile %in% rownames(rotation)))
    expect_identical(rownames(spe), rownames(tissue$target))
    report <- transferReport(spe, RESULT)
    expect_identical(report$sources$source, hostile[[1L]])
    # the same domains as with plain names
    plain <- tissue
    rownames(plain$target) <- rownames(plain$source) <- rownames(smallTissue()$target)
    for (part in names(plain)) plain[[part]]$label <- as.integer(plain[[part]][["my <label>\n%s"]])
    expected <- transst(plain$target, plain$source, "label", nDomains = 3, nFactors = 4)
    expect_identical(spe[[RESULT]], expected$transst)
    markers <- domainMarkers(spe, "my <label>\n%s")
    expect_identical(levels(markers$domain), hostile[c(1, 3, 6)])
    expect_setequal(markers$gene, rownames(spe))
    file <- tempfile(fileext = ".h5ad")
    writeH5ad(spe, file)
    back <- reticulate::import("anndata")$read_h5ad(file)
    expect_identical(as.character(back$var_names$tolist()), rownames(spe))
    expect_identical(as.character(back$obs[[RESULT]]), as.character(spe[[RESULT]]))
})

test_that("a page has such names escaped, and whole", {
    skipWithoutPython()
    spe <- fittedHostile()
    levels(spe[[RESULT]]) <- hostile[c(1, 2, 7)]
    SummarizedExperiment::rowData(spe)[["sym <b>"]] <- paste(rownames(spe), "<i>")
    markers <- domainMarkers(spe, RESULT)
    finer <- imputeSpots(spe, method = "nearest", genes = hostile[c(1, 5, 6)])
    escaped <- function(text) {
        text <- gsub("&", "&amp;", text, fixed = TRUE)
        text <- gsub("<", "&lt;", gsub(">", "&gt;", text, fixed = TRUE), fixed = TRUE)
        gsub("'", "&#39;", gsub("\"", "&#34;", text, fixed = TRUE), fixed = TRUE)
    }
    file <- tempfile(fileext = ".html")
    for (geneNames in list(NULL, "sym <b>")) {
        transstReport(
            spe, file, name = RESULT, markers = markers, labels = "my <label>\n%s", imputed = finer,
            genes = hostile[c(1, 5, 6)], title = hostile[[1L]], geneNames = geneNames
        )
        html <- htmlOf(file)
        for (tag in c("script", "b", "i", "label")) {
            expect_no_match(html, paste0("<", tag, "\\b"))
        }
        shown <- c(hostile[c(1, 2, 3, 5, 6)], "my <label>\n%s")
        for (name in escaped(shown)) expect_true(grepl(name, html, fixed = TRUE), info = substr(name, 1, 40))
        for (domain in escaped(hostile[c(1, 2, 7)])) {
            expect_match(html, paste0("Domain ", domain), fixed = TRUE)
        }
        expect_match(html, paste0("<title>", escaped(hostile[[1L]]), "</title>"), fixed = TRUE)
        top <- escaped(.shownNames(spe, geneNames)[[markers$gene[[1L]]]])
        expect_true(grepl(paste0(">", top, "<"), html, fixed = TRUE))
    }
})

test_that("text that is not in its encoding is refused, not lost", {
    skipWithoutPython()
    spe <- smallTissue()$target
    broken <- "Gr\xf6\xdfe"
    labelled <- spe
    labelled$tissue <- factor(spe$label, labels = c(broken, "b", "c"))
    genes <- spe
    rownames(genes)[2L] <- broken
    source <- smallTissue()$source
    source$label <- as.character(labelled$tissue)[seq_len(ncol(source))]
    message <- "text that is no valid UTF-8 \\('Gr<f6><df>e'\\); convert it with iconv"
    expect_error(domainMarkers(labelled, "tissue"), message)
    expect_error(domainMarkers(genes, "label"), message)
    expect_error(quick(spe, source), message)
    expect_error(writeH5ad(labelled, tempfile(fileext = ".h5ad")), message)
    # what says its encoding is read
    Encoding(broken) <- "latin1"
    labelled$tissue <- factor(spe$label, labels = c(broken, "b", "c"))
    expect_identical(levels(domainMarkers(labelled, "tissue")$domain), c("Gr\u00f6\u00dfe", "b", "c"))
})

test_that("names that an h5ad file cannot hold are refused before it is written", {
    skipWithoutPython()
    spe <- smallTissue()$target
    file <- tempfile(fileext = ".h5ad")
    message <- "`x`: an h5ad file cannot hold the name 'c/d' of %s, for its slash; rename"
    two <- spe
    SummarizedExperiment::assay(two, "c/d") <- SingleCellExperiment::counts(spe)
    expect_error(writeH5ad(two, file), sprintf(message, "an assay"))
    two <- spe
    SingleCellExperiment::reducedDim(two, "c/d") <- matrix(0, ncol(spe), 2L)
    expect_error(writeH5ad(two, file), sprintf(message, "a reduced dimension"))
    expect_false(file.exists(file))
})
