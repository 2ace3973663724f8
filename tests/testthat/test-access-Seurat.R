# Assays of Seurat objects that hold something else than the counts of all genes in all cells.

# Two samples, each without ten genes of the other, as merge() puts them together: split layers.
twoPanels <- function(spe = smallTissue()$target) {
    n <- nrow(spe)
    # every image's key is that of the assay, which Seurat warns of
    suppressWarnings(
        merge(asSeurat(spe[seq_len(n - 10L), ]), asSeurat(spe[11:n, ]), add.cell.ids = c("a", "b"))
    )
}

caught <- function(expr, class) {
    found <- list()
    value <- withCallingHandlers(expr, warning = function(w) {
        if (inherits(w, class)) found <<- c(found, conditionMessage(w))
        invokeRestart("muffleWarning")
    })
    list(value = value, text = unlist(found))
}

test_that("only genes that all samples measured are used, if the layers tell", {
    skipWithoutPython()
    merged <- twoPanels()
    sample <- sub("_.*", "", colnames(merged))
    fit <- caught(suppressMessages(quick(merged)), "transst_unequal_layers")
    expect_identical(fit$text, paste0(
        "`x`: of 60 genes, layer 'counts.1' lacks 10, layer 'counts.2' lacks 10; only the 40 that all ",
        "layers have are used"
    ))
    found <- fit$value
    expect_true(all(rownames(SeuratObject::Loadings(found, "TransST")) %in% paste0("gene", 11:50)))
    expect_identical(found[["RNA"]], merged[["RNA"]])
    # the same spots twice: domains are the tissue's, in both samples
    expect_gt(adjustedRandIndex(found$transst, found$label), 0.5)
    expect_lt(adjustedRandIndex(found$transst, sample), 0.05)
    # ... and so it is with joined layers of these genes
    joined <- SeuratObject::JoinLayers(suppressWarnings(merged[paste0("gene", 11:50), ]))
    expect_no_warning(expected <- quick(joined))
    expect_identical(as.character(found$transst), as.character(expected$transst))
    markers <- caught(suppressMessages(domainMarkers(found)), "transst_unequal_layers")
    expect_match(markers$text, "only the 40 that")
    expect_setequal(markers$value$gene, paste0("gene", 11:50))
    # pictures of these genes have nothing to say
    expect_no_warning(suppressMessages(plotMarkers(found, markers$value)))
    file <- tempfile(fileext = ".html")
    symbols <- data.frame(symbol = sub("gene", "SYM", rownames(found)), row.names = rownames(found))
    found[["RNA"]] <- SeuratObject::AddMetaData(found[["RNA"]], symbols)
    report <- function() transstReport(found, file, markers = markers$value, geneNames = "symbol")
    expect_no_warning(suppressMessages(report()))
    best <- as.character(markers$value$gene[[1L]])
    expect_match(htmlOf(file), paste0(">", sub("gene", "SYM", best), "<"), fixed = TRUE)
    expect_warning(suppressMessages(plotMarkers(found, genes = c("gene1", "gene20"))), "count as zeros")
})

test_that("a source of samples with other genes is used with those of all, too", {
    skipWithoutPython()
    source <- twoPanels(smallTissue()$source)
    fit <- caught(suppressMessages(quick(asSeurat(smallTissue()$target), source)), "transst_unequal_layers")
    expect_match(fit$text, "^`source`: of 60 genes, layer 'counts.1' lacks 10")
    used <- rownames(SeuratObject::Loadings(fit$value, "TransST"))
    expect_true(all(used %in% paste0("gene", 11:50)))
})

test_that("genes that some samples lack count as zeros in what needs all genes, with a warning", {
    skipWithoutPython()
    expect_warning(
        filled <- suppressMessages(imputeSpots(twoPanels(), "densify", "nearest")),
        "where a layer lacks them, genes count as zeros, which nobody measured"
    )
    expect_equal(nrow(filled), 60)
})

test_that("layers without a gene in common are refused", {
    spe <- smallTissue()$target
    merged <- suppressWarnings(merge(asSeurat(spe[1:5, ]), asSeurat(spe[6:9, ]), add.cell.ids = c("a", "b")))
    expect_error(transst(merged, nDomains = 2), "`x`: the layers 'counts.1', 'counts.2' share no genes; use")
    expect_error(domainMarkers(merged, "label"), "`x`: the layers 'counts.1', 'counts.2' share no genes")
})

test_that("genes that joined samples lack are said where the samples are known", {
    skipWithoutPython()
    joined <- SeuratObject::JoinLayers(twoPanels())
    said <- "`sampleId`: some genes seem not to have been measured.*sample 'slice' lacks 10 of"
    expect_match(caught(quick(joined), "transst_python_warning")$text, said)
})

# An assay as SCTransform() leaves it.
withSct <- function(spe = smallTissue()$target) {
    seurat <- asSeurat(spe)
    counts <- SeuratObject::LayerData(seurat, layer = "counts")
    seurat[["SCT"]] <- Seurat::CreateSCTAssayObject(counts = counts)
    SeuratObject::DefaultAssay(seurat) <- "SCT"
    seurat
}

test_that("counts that SCTransform() corrected are said wherever counts are taken", {
    skip_if_not_installed("Seurat")
    skipWithoutPython()
    x <- suppressWarnings(withSct())
    x$measured <- seq_len(ncol(x)) %% 9L != 0L
    calls <- list(
        quick = function(...) quick(x, NULL, ...),
        domainMarkers = function(...) domainMarkers(x, "label", ...),
        imputeSpots = function(...) imputeSpots(x, "densify", "nearest", genes = "gene20", ...),
        evaluateImputation = function(...) evaluateImputation(x, "nearest", phases = list(c(0, 0)), ...),
        binCells = function(...) binCells(x, 250, ...)
    )
    for (name in names(calls)) {
        said <- caught(calls[[name]](), "transst_corrected_counts")
        expect_identical(said$text, paste0(
            "`assay`: 'SCT' of `x` holds counts that SCTransform() corrected, not the measured ones; give ",
            "assay = \"RNA\""
        ), info = name)
        expect_null(caught(calls[[name]](assay = "RNA"), "transst_corrected_counts")$text, info = name)
        expect_null(caught(calls[[name]](layer = "data"), "transst_corrected_counts")$text, info = name)
    }
    source <- suppressWarnings(withSct(smallTissue()$source))
    said <- caught(quick(smallTissue()$target, source), "transst_corrected_counts")
    expect_match(said$text, "^`sourceAssay`: 'SCT' of `source` holds counts .*; give sourceAssay = \"RNA\"$")
})
