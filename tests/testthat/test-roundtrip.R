# Objects as Python sees them.

test_that("values, names, order and sparsity arrive", {
    skipWithoutPython()
    m <- tinyCounts()
    rownames(m)[2L] <- "Größe-β"
    spe <- tinySpe(as(m * 1, "dgCMatrix"))
    SummarizedExperiment::assay(spe, "dense") <- m * 0.5
    adata <- asAnnData(spe)
    expect_true(reticulate::py_to_r(reticulate::import("scipy.sparse")$issparse(adata$X)))
    expect_identical(reticulate::py_to_r(adata$X$toarray()), unname(t(m)) * 1)
    expect_identical(reticulate::py_to_r(adata$layers[["dense"]]), unname(t(m)) * 0.5)
    expect_identical(reticulate::py_to_r(adata$var_names$tolist()), rownames(m))
    expect_identical(reticulate::py_to_r(adata$obs_names$tolist()), colnames(m))
    expect_identical(
        reticulate::py_to_r(adata$obsm[["spatial"]]), unname(SpatialExperiment::spatialCoords(spe)) * 1
    )
})

test_that("factors, logicals and missing values arrive", {
    skipWithoutPython()
    spe <- tinySpe()
    spe$group <- factor(c(NA, rep(c("é", "b"), length.out = 9)), levels = c("é", "b"))
    spe$flag <- rep(c(TRUE, FALSE), 5)
    spe$maybe <- c(NA, rep(TRUE, 9))
    obs <- asAnnData(spe)$obs
    group <- obs[["group"]]
    expect_identical(reticulate::py_to_r(group$cat$categories$tolist()), c("é", "b"))
    expect_identical(
        as.integer(reticulate::py_to_r(group$cat$codes$to_numpy())),
        c(-1L, as.integer(spe$group[-1L]) - 1L)
    )
    expect_identical(reticulate::py_to_r(reticulate::py_str(obs[["flag"]]$dtype)), "bool")
    expect_identical(reticulate::py_to_r(reticulate::py_str(obs[["maybe"]]$dtype)), "boolean")
    expect_identical(as.integer(reticulate::py_to_r(obs[["maybe"]]$isna()$sum())), 1L)
})

test_that("what Python sends back is the object it was", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$flag <- c(NA, rep(c(TRUE, FALSE), length.out = ncol(spe) - 1L))
    spe$text <- c(NA, rep("ü", ncol(spe) - 1L))
    SingleCellExperiment::reducedDim(spe, "PCA") <- matrix(seq_len(2 * ncol(spe)) / 7, ncol(spe))
    adata <- asAnnData(spe)
    exchange <- TransST:::.exchange
    serve <- reticulate::import("transst_py.bridge._serve", convert = FALSE)
    serve$hand_over(adata)
    back <- TransST:::.assembleSpatialExperiment(exchange$result, "target")
    rm(list = ls(exchange), envir = exchange)
    expect_identical(SingleCellExperiment::counts(back), SingleCellExperiment::counts(spe))
    expect_identical(SpatialExperiment::spatialCoords(back), SpatialExperiment::spatialCoords(spe))
    expect_identical(SummarizedExperiment::colData(back), SummarizedExperiment::colData(spe))
    expect_identical(
        SingleCellExperiment::reducedDim(back, "X_pca"),
        SingleCellExperiment::reducedDim(spe, "PCA"),
        ignore_attr = TRUE
    )
})

test_that("writeH5ad() writes what Python reads", {
    skipWithoutPython()
    spe <- quick(smallTissue()$target)
    file <- tempfile(fileext = ".h5ad")
    expect_identical(writeH5ad(spe, file), file)
    adata <- reticulate::import("anndata", convert = FALSE)$read_h5ad(file)
    expect_identical(reticulate::py_to_r(adata$obs_names$tolist()), colnames(spe))
    expect_identical(
        reticulate::py_to_r(adata$obs[["transst"]]$astype("str")$tolist()), as.character(spe$transst)
    )
    expect_identical(
        dim(reticulate::py_to_r(adata$obsm[["X_transst"]])),
        dim(SingleCellExperiment::reducedDim(spe, "TransST"))
    )
})
