test_that("transferReport() has words and tables in R's names", {
    skipWithoutPython()
    tissue <- smallTissue()
    spe <- quick(tissue$target, name = "mine")
    report <- transferReport(spe, "mine")
    expect_s3_class(report, "transferReport")
    expect_match(paste(report$words, collapse = "\n"), "'source' has relevance \\d\\.\\d+ .*; used\\.")
    expect_output(print(report), "* Source 'source' has relevance", fixed = TRUE)
    expect_named(
        report$sources,
        c(
            "source", "sharedGenes", "relevance", "labelDependence", "randomLabels", "used", "labelNoise",
            "hiddenScore", "trust"
        )
    )
    expect_equal(report$sources$trust, report$sources$hiddenScore * report$sources$relevance^2)
    expect_named(report$smoothing, c("featureRounds", "labelRounds", "score", "weight"))
    expect_identical(nrow(report$smoothing), 24L)
    expect_equal(sum(report$smoothing$weight), 1)
    expect_identical(report$sources$used, TRUE)
    expect_named(report$suspicious, c("source", "row", "given", "likely", "probability"))
    expect_identical(as.integer(report$domains$nSpots), as.integer(table(spe$mine)))
    classes <- report$domains$name[match(spe$mine, report$domains$domain)]
    expect_identical(classes, as.character(spe$mine_class))
    seurat <- asSeurat(spe)
    slot(seurat, "misc")$mine <- S4Vectors::metadata(spe)$mine
    expect_identical(transferReport(seurat, "mine")$words, report$words)
})

test_that("transferReport() says why a source was not used", {
    skipWithoutPython()
    tissue <- smallTissue()
    tissue$source$label <- tissue$source$label[
        order((7919 * seq_along(tissue$source$label)) %% 101)
    ]
    expect_warning(
        spe <- quick(tissue$target, tissue$source), "labels and rows in the same order"
    )
    report <- transferReport(spe)
    expect_match(report$words, "rejected: its labels go with its expression no better", all = FALSE)
    expect_identical(report$sources$randomLabels, TRUE)
    expect_identical(report$sources$labelNoise, NA_real_)
    expect_identical(nrow(report$domains), 0L)
})

test_that("transferReport() needs a source", {
    skipWithoutPython()
    spe <- quick(smallTissue()$target, NULL)
    expect_error(transferReport(spe), "`name`: the fit 'transst' had no source")
    expect_error(transferReport(spe, "other"), "no results of transst\\(\\) named 'other'")
})
