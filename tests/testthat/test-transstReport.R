fittedTissue <- function() {
    if (is.null(.cache$fitted)) .cache$fitted <- quick(smallTissue()$target)
    .cache$fitted
}
reportOf <- function(x, ...) {
    file <- tempfile(fileext = ".html")
    on.exit(unlink(file))
    expect_identical(expect_invisible(transstReport(x, file, ...)), file)
    htmlOf(file)
}

test_that("a report has all results on one page", {
    skipWithoutPython()
    spe <- fittedTissue()
    markers <- domainMarkers(spe)
    finer <- imputeSpots(spe, method = "nearest", genes = rownames(spe)[1:3])
    html <- reportOf(spe, markers = markers, labels = "label", imputed = finer, title = "My <tissue>")
    expect_match(html, "My &lt;tissue&gt;", fixed = TRUE)
    index <- sprintf("%.3f", adjustedRandIndex(spe$transst, spe$label))
    expect_match(html, index, fixed = TRUE)
    for (gene in head(markers$gene[markers$domain == 1], 3)) expect_match(html, gene, fixed = TRUE)
    expect_match(html, "Layer</dt>\\s*<dd[^>]*>counts", perl = TRUE)
    # only what was not run has advice, in R
    expect_match(html, "nDomains = 2:10", fixed = TRUE)
    expect_no_match(html, "tst\\.")
    expect_no_match(html, "domainMarkers(x)", fixed = TRUE)
    # no other file, no network
    expect_no_match(html, "src=\"(?!data:)", perl = TRUE)
})

test_that("a report of a Seurat object and of one without results say what to call", {
    skipWithoutPython()
    spe <- fittedTissue()
    seurat <- asSeurat(spe)
    slot(seurat, "misc")$transst <- S4Vectors::metadata(spe)$transst
    html <- reportOf(seurat)
    expect_match(html, "markers = domainMarkers(x)", fixed = TRUE)
    sizes <- as.integer(table(spe$transst))
    for (size in sizes) expect_match(html, paste0(">", size, "<"), fixed = TRUE)
    expect_error(transstReport(smallTissue()$target, tempfile()), "no results of transst\\(\\) named 'trans")
})

test_that("a report has the samples of the object, also after some were left out", {
    skipWithoutPython()
    spe <- fittedTissue()
    samples <- "Samples</dt>\\s*<dd[^>]*>2<"
    expect_no_match(reportOf(spe), samples, perl = TRUE)
    spe$half <- rep(c("left", "right"), length.out = ncol(spe))
    expect_match(reportOf(spe, sampleId = "half"), samples, perl = TRUE)
    S4Vectors::metadata(spe)$transst$params$sample_key <- "sample"
    expect_no_match(reportOf(spe[, spe$half == "left"], sampleId = "half"), samples, perl = TRUE)
})

test_that("a report of imputed values alone has no domains", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$measured <- seq_len(ncol(spe)) %% 4 != 0
    filled <- imputeSpots(spe, "fill", method = "nearest")
    html <- reportOf(filled, genes = "gene2")
    expect_match(html, "Two maps of gene2", fixed = TRUE)
})

test_that("a report that cannot be written leaves no file", {
    spe <- tinySpe()
    expect_error(transstReport(spe, 1), "`file` must be one name of a file, got 1")
    expect_error(transstReport(spe, file.path(tempdir(), "no", "r.html")), "there is no folder")
    skipWithoutPython()
    spe <- fittedTissue()
    file <- tempfile(fileext = ".html")
    markers <- domainMarkers(spe)
    expect_error(transstReport(spe, file, labels = "other"), "`labels`: `x` has no column 'other'")
    expect_error(transstReport(spe, file, imputed = spe), "`imputed` has no record of imputeSpots\\(\\)")
    expect_error(transstReport(spe, file, genes = "gene1"), "`genes` are drawn after imputation")
    expect_error(transstReport(spe, file, markers = as.data.frame(markers)), "does not say how it was made")
    expect_error(
        transstReport(spe, file, markers = domainMarkers(spe, "label")), "domains that `x` does not have"
    )
    S4Vectors::metadata(markers)$parameters$layer <- "other"
    expect_error(transstReport(spe, file, markers = markers), "`markers` are of 'other', `assay` is 'counts'")
    expect_false(file.exists(file))
    expect_error(transstReport(spe, tempdir()), "`file` is a folder")
})

test_that("a report calls genes by a column of the object", {
    skipWithoutPython()
    spe <- fittedTissue()
    SummarizedExperiment::rowData(spe)$symbol <- sub("gene", "SYM", rownames(spe))
    finer <- imputeSpots(spe, method = "nearest", genes = rownames(spe)[1:3])
    html <- reportOf(
        spe, markers = domainMarkers(spe), imputed = finer, genes = "SYM2", geneNames = "symbol"
    )
    expect_match(html, "maps of SYM2", fixed = TRUE)
    expect_match(html, ">SYM\\d+<")
    expect_no_match(html, ">gene\\d+<")
    expect_error(reportOf(spe, geneNames = "nope"), "`geneNames` must be the name of a column")
})

test_that("a report of imputed values has the samples that they were imputed in", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$half <- ifelse(seq_len(ncol(spe)) %% 2 == 0, "<left>", "right")
    spe$measured <- seq_len(ncol(spe)) %% 5 != 0
    parts <- lapply(c("<left>", "right"), function(half) {
        part <- spe[, spe$half == half]
        part$sample_id <- half
        part
    })
    two <- SummarizedExperiment::cbind(parts[[1L]], parts[[2L]])
    images <- lapply(1:2, function(i) suppressMessages(asSeurat(parts[[i]])))
    seurat <- suppressWarnings(merge(images[[1L]], images[[2L]]))
    height <- function(x, ..., sampleId = NULL) {
        filled <- suppressMessages(imputeSpots(x, ..., "nearest", genes = "gene7", sampleId = sampleId))
        html <- suppressMessages(reportOf(x, imputed = filled, genes = "gene7", sampleId = sampleId))
        picture <- regmatches(html, regexpr("<img[^>]*Two maps of gene7 for each sample[^>]*>", html))
        as.integer(sub(".*height=\"(\\d+)\".*", "\\1", picture))
    }
    filled <- imputeSpots(spe, "fill", "nearest", genes = "gene7", sampleId = "half")
    # of samples that are no longer known, one map
    html <- reportOf(filled, genes = "gene7")
    one <- as.integer(sub(".*<img[^>]*height=\"(\\d+)\"[^>]*Two maps of gene7:.*", "\\1", html))
    for (task in c("fill", "densify")) {
        expect_gt(height(two, task), 1.3 * one)
        expect_gt(height(seurat, task), 1.3 * one)
        expect_gt(height(spe, task, sampleId = "half"), 1.3 * one)
    }
})
