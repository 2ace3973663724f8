withHole <- function() {
    spe <- smallTissue()$target
    spe$measured <- TRUE
    spe$measured[c(20L, 77L)] <- FALSE
    spe
}

test_that("fill imputes the missing spots in place and changes nothing else", {
    skipWithoutPython()
    before <- withHole()
    after <- imputeSpots(before, "fill", "nearest")
    imputed <- SummarizedExperiment::assay(after, "imputed")
    expect_identical(dimnames(imputed), dimnames(before))
    expect_false(anyNA(as.matrix(imputed)))
    expect_identical(S4Vectors::metadata(after)$imputation$task, "fill")
    SummarizedExperiment::assay(after, "imputed") <- NULL
    S4Vectors::metadata(after)$imputation <- NULL
    expect_identical(after, before)
})

test_that("fill adds a layer to a Seurat object", {
    skipWithoutPython()
    spe <- withHole()
    seurat <- imputeSpots(asSeurat(spe), "fill", "nearest")
    expect_identical(
        as.matrix(SeuratObject::LayerData(seurat, layer = "imputed")),
        as.matrix(SummarizedExperiment::assay(imputeSpots(spe, "fill", "nearest"), "imputed"))
    )
})

test_that("densify returns a finer lattice of the same class", {
    skipWithoutPython()
    spe <- smallTissue()$target
    genes <- rownames(spe)[c(5L, 2L)]
    finer <- imputeSpots(spe, "densify", "nearest", genes = genes)
    expect_s4_class(finer, "SpatialExperiment")
    expect_setequal(rownames(finer), genes)
    expect_gt(ncol(finer), 2L * ncol(spe))
    expect_identical(sum(finer$measured), ncol(spe))
    expect_type(finer$in_tissue, "logical")
    measured <- SpatialExperiment::spatialCoords(finer)[finer$measured, ]
    expect_equal(measured, SpatialExperiment::spatialCoords(spe), ignore_attr = TRUE)

    sce <- as(spe, "SingleCellExperiment")
    sce$px <- SpatialExperiment::spatialCoords(spe)[, 1L]
    sce$py <- SpatialExperiment::spatialCoords(spe)[, 2L]
    plain <- imputeSpots(sce, "densify", "nearest", genes = genes, coords = c("px", "py"))
    expect_identical(class(plain)[[1L]], "SingleCellExperiment")
    expect_equal(cbind(plain$px, plain$py), SpatialExperiment::spatialCoords(finer), ignore_attr = TRUE)

    seurat <- imputeSpots(asSeurat(spe), "densify", "nearest", genes = genes)
    expect_s4_class(seurat, "Seurat")
    expect_equal(
        as.matrix(SeuratObject::LayerData(seurat, layer = "data")),
        as.matrix(SummarizedExperiment::assay(finer, "imputed"))
    )
    expect_equal(
        as.matrix(SeuratObject::GetTissueCoordinates(seurat)[c("x", "y")]),
        SpatialExperiment::spatialCoords(finer),
        ignore_attr = TRUE
    )
})

test_that("one gene is a name, not a list of letters", {
    skipWithoutPython()
    finer <- imputeSpots(smallTissue()$target, "densify", "nearest", genes = "gene7")
    expect_identical(rownames(finer), "gene7")
})
