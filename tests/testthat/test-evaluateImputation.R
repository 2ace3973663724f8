test_that("scores are those of imputed hidden spots", {
    skipWithoutPython()
    spe <- smallTissue()$target
    genes <- rownames(spe)[c(4L, 1L)]
    scores <- evaluateImputation(spe, c("nearest", "kernel"), phases = list(c(0, 1)), genes = genes)
    expect_s4_class(scores, "DataFrame")
    expect_identical(
        names(scores),
        c(
            "method", "phase", "gene", "n", "pcc", "spearman", "rmse", "mae", "js", "ssim",
            "moranDifference", "seconds"
        )
    )
    expect_identical(nrow(scores), 4L)
    expect_setequal(scores$gene, genes)
    expect_type(scores$gene, "character")
    expect_identical(unique(scores$phase), "comb 0,1")

    # the same by hand
    spe$measured <- spe$array_row %% 2 == 0 & spe$array_col %% 2 == 1
    hidden <- !spe$measured
    expect_true(all(scores$n == sum(hidden)))
    for (method in c("nearest", "kernel")) {
        filled <- imputeSpots(spe, "fill", method, genes = genes)
        counts <- as.matrix(SingleCellExperiment::counts(spe))
        total <- S4Vectors::metadata(filled)$imputation$target_sum
        truth <- log1p(t(t(counts) * total / colSums(counts)))[genes, hidden]
        imputed <- as.matrix(SummarizedExperiment::assay(filled, "imputed"))[genes, hidden]
        ours <- scores[scores$method == method, ]
        ours <- ours[match(genes, ours$gene), ]
        expect_equal(ours$rmse, unname(sqrt(rowMeans((imputed - truth)^2))), tolerance = 1e-5)
        pcc <- vapply(genes, function(g) stats::cor(imputed[g, ], truth[g, ]), 1)
        expect_equal(ours$pcc, unname(pcc), tolerance = 1e-5)
    }
})

test_that("a Seurat object gives the same scores", {
    skipWithoutPython()
    spe <- smallTissue()$target
    scores <- function(x) {
        found <- evaluateImputation(
            x, "kernel", phases = list(), fractions = 0.2, holeFractions = c(0.1, 0.2), holeRadius = 1.5,
            genes = "gene7", seed = 2
        )
        found$seconds <- NULL
        found
    }
    ours <- scores(spe)
    expect_identical(ours$phase, c("random 20%", "holes 10%", "holes 20%"))
    theirs <- scores(asSeurat(spe))
    expect_equal(theirs, ours)
})

test_that("options reach their method, and the parameters come back", {
    skipWithoutPython()
    spe <- smallTissue()$target
    rmse <- function(nDomains) {
        scores <- evaluateImputation(
            spe, "domain_means", phases = list(), fractions = 0.2, genes = "gene7",
            options = list(domain_means = list(nDomains = nDomains))
        )
        parameters <- S4Vectors::metadata(scores)$parameters
        expect_identical(parameters$options$domain_means$n_domains, as.character(nDomains))
        expect_identical(parameters$layer, "counts")
        scores$rmse
    }
    expect_false(rmse(1) == rmse(4))
    # off a lattice, where "auto" trains no network
    plain <- as(spe, "SingleCellExperiment")
    plain$array_row <- NULL
    xy <- SpatialExperiment::spatialCoords(spe) + sin(seq_len(2 * ncol(spe)))
    auto <- evaluateImputation(
        plain, "auto", phases = list(), fractions = 0.2, genes = "gene7", coords = xy
    )
    chosen <- S4Vectors::metadata(auto)$parameters$chosen
    expect_named(chosen, "random 20%")
    expect_true(chosen[[1L]] %in% c("nearest", "knn", "kernel", "gp", "svd_gp", "domain_means"))
})

test_that("samples are scored by themselves", {
    skipWithoutPython()
    a <- smallTissue()$target
    b <- a
    colnames(b) <- paste0(colnames(b), "B")
    a$sample_id <- "A"
    b$sample_id <- "B"
    both <- SummarizedExperiment::cbind(a, b)
    scores <- evaluateImputation(both, "nearest", phases = list(c(0, 0)), genes = "gene7")
    expect_setequal(scores$sample, c("A", "B"))
    expect_equal(scores$rmse[[1L]], scores$rmse[[2L]])
    plain <- as(both, "SingleCellExperiment")
    plain$patient <- plain$sample_id
    named <- evaluateImputation(
        plain, "nearest", phases = list(c(0, 0)), genes = "gene7",
        coords = SpatialExperiment::spatialCoords(both), sampleId = "patient"
    )
    expect_equal(named$rmse, scores$rmse)
})

test_that("bad input is named in R's words", {
    skipWithoutPython()
    spe <- smallTissue()$target
    expect_error(evaluateImputation(spe, "nope"), "`methods`")
    expect_error(evaluateImputation(spe, character()), "`methods`")
    expect_error(evaluateImputation(spe, "nearest", genes = "nope"), "`genes`: not in `x`: 'nope'")
    expect_error(evaluateImputation(spe, "nearest", phases = list(c(0, 7))), "`phases`")
    expect_error(evaluateImputation(spe, "nearest", phases = list()), "nothing to hide.*`holeFractions`")
    expect_error(evaluateImputation(spe, "nearest", strides = 2), "unknown argument 'strides'.*stride")
    expect_error(evaluateImputation(spe, "nearest", assay = "nope"), "`assay`")
})
