# The sums of the squares of side `binSize`, named "rowxcol", cell by cell in R.
sumsByHand <- function(counts, xy, binSize) {
    index <- floor(sweep(xy, 2L, apply(xy, 2L, min)) / binSize)
    square <- paste0(index[, 2L], "x", index[, 1L])
    vapply(split(seq_along(square), square), function(i) {
        rowSums(as.matrix(counts)[, i, drop = FALSE])
    }, double(nrow(counts)))
}

binnedCounts <- function(x) as.matrix(SingleCellExperiment::counts(x))

test_that("squares hold the sums of their cells", {
    skipWithoutPython()
    spe <- smallTissue()$target
    SummarizedExperiment::rowData(spe)$symbol <- toupper(rownames(spe))
    binned <- binCells(spe, 250)
    expect_identical(class(binned)[[1L]], "SpatialExperiment")
    expected <- sumsByHand(SingleCellExperiment::counts(spe), SpatialExperiment::spatialCoords(spe), 250)
    expect_setequal(colnames(binned), colnames(expected))
    expect_equal(binnedCounts(binned), expected[rownames(spe), colnames(binned)])
    expect_s4_class(SingleCellExperiment::counts(binned), "dgCMatrix")
    expect_identical(paste0(binned$array_row, "x", binned$array_col), colnames(binned))
    expect_identical(sum(binned$n_cells), ncol(spe))
    expect_identical(
        SummarizedExperiment::rowData(binned)$symbol, SummarizedExperiment::rowData(spe)$symbol
    )
    xy <- SpatialExperiment::spatialCoords(binned)
    low <- apply(SpatialExperiment::spatialCoords(spe), 2L, min)
    expect_equal(xy[, 1L], low[[1L]] + 250 * (binned$array_col + 0.5), ignore_attr = TRUE)
    expect_equal(xy[, 2L], low[[2L]] + 250 * (binned$array_row + 0.5), ignore_attr = TRUE)
    expect_identical(colnames(xy), colnames(SpatialExperiment::spatialCoords(spe)))
    expect_identical(S4Vectors::metadata(binned)$binning$bin_size, 250)
})

test_that("every class gets the same squares", {
    skipWithoutPython()
    spe <- smallTissue()$target
    binned <- binCells(spe, 300, minCells = 7)
    every <- binCells(spe, 300)$n_cells
    expect_identical(binned$n_cells, every[every >= 7L])
    expect_identical(S4Vectors::metadata(binned)$binning$n_dropped, sum(every[every < 7L]))
    expect_true(any(every < 7L))

    sce <- as(spe, "SingleCellExperiment")
    sce$px <- SpatialExperiment::spatialCoords(spe)[, 1L]
    sce$py <- SpatialExperiment::spatialCoords(spe)[, 2L]
    plain <- binCells(sce, 300, minCells = 7, coords = c("px", "py"))
    expect_identical(class(plain)[[1L]], "SingleCellExperiment")
    expect_equal(binnedCounts(plain), binnedCounts(binned))
    expect_equal(cbind(plain$px, plain$py), SpatialExperiment::spatialCoords(binned), ignore_attr = TRUE)

    seurat <- binCells(asSeurat(spe), 300, minCells = 7)
    expect_s4_class(seurat, "Seurat")
    expect_true(methods::validObject(seurat))
    expect_equal(as.matrix(SeuratObject::LayerData(seurat, layer = "counts")), binnedCounts(binned))
    expect_equal(
        as.matrix(SeuratObject::GetTissueCoordinates(seurat)[c("x", "y")]),
        SpatialExperiment::spatialCoords(binned),
        ignore_attr = TRUE
    )
    expect_identical(unname(seurat$n_cells), binned$n_cells)
    expect_identical(SeuratObject::Misc(seurat, "binning"), S4Vectors::metadata(binned)$binning)
})

test_that("samples have lattices of their own", {
    skipWithoutPython()
    a <- smallTissue()$target
    b <- a[, SpatialExperiment::spatialCoords(a)[, 1L] > 450]
    colnames(b) <- paste0(colnames(b), "B")
    a$sample_id <- "A"
    b$sample_id <- "B"
    both <- SummarizedExperiment::cbind(a, b)
    binned <- binCells(both, 250)
    expect_identical(S4Vectors::metadata(binned)$binning$samples, c("A", "B"))
    alone <- list(A = binCells(a, 250), B = binCells(b, 250))
    for (s in names(alone)) {
        mine <- binned[, binned$sample_id == s]
        expect_identical(colnames(mine), paste0(s, "_", colnames(alone[[s]])))
        expect_equal(unname(binnedCounts(mine)), unname(binnedCounts(alone[[s]])))
        xy <- SpatialExperiment::spatialCoords(mine)
        expect_equal(xy, SpatialExperiment::spatialCoords(alone[[s]]), ignore_attr = TRUE)
    }
    plain <- as(both, "SingleCellExperiment")
    plain$patient <- plain$sample_id
    named <- binCells(plain, 250, coords = SpatialExperiment::spatialCoords(both), sampleId = "patient")
    expect_equal(binnedCounts(named), binnedCounts(binned))

    seurat <- asSeurat(both)
    seurat[["slice"]] <- NULL
    xy <- data.frame(SpatialExperiment::spatialCoords(both), row.names = colnames(both))
    for (s in c("A", "B")) {
        seurat[[s]] <- SeuratObject::CreateFOV(
            SeuratObject::CreateCentroids(xy[both$sample_id == s, ]), assay = "RNA", key = paste0(s, "_")
        )
    }
    seurat <- binCells(seurat, 250)
    expect_identical(SeuratObject::Images(seurat), c("A", "B"))
    expect_identical(TransST:::.ownSamples(seurat), binned$sample_id)
})

test_that("binned cells can be imputed", {
    skipWithoutPython()
    binned <- binCells(smallTissue()$target, 200)
    finer <- imputeSpots(binned, "densify", "nearest", genes = "gene7")
    expect_identical(sum(finer$measured), ncol(binned))
})

test_that("bad input is named in R's words", {
    skipWithoutPython()
    spe <- smallTissue()$target
    expect_error(binCells(spe), "`binSize` is missing")
    expect_error(binCells(spe, "a"), "`binSize` must be one number")
    expect_error(binCells(spe, c(1, 2)), "`binSize` must be one number")
    expect_error(binCells(spe, 0), "`binSize` must be positive")
    expect_error(binCells(spe, NA), "`binSize` must not be NA")
    expect_error(binCells(spe, 1e4), "`binSize` 10000 makes fewer than 2 x 2 bins")
    expect_error(binCells(spe, 200, minCells = 0), "`minCells` must be at least 1")
    expect_error(binCells(spe, 200, nothing = 1), "unknown argument 'nothing'; .* minCells")
    expect_error(binCells(spe, 200, assay = "nope"), "`assay`")
    expect_error(binCells(as(spe, "SingleCellExperiment"), 200), "no spatial coordinates")
    xyz <- cbind(SpatialExperiment::spatialCoords(spe), 0)
    expect_error(binCells(spe, 200, coords = xyz), "`coords`: bins are squares, .* column for `sampleId`")
    SingleCellExperiment::counts(spe) <- -SingleCellExperiment::counts(spe)
    expect_error(binCells(spe, 200), "negative .* pass raw counts \\(see `assay`\\)")
})

test_that("cells alone in their squares are warned of", {
    skipWithoutPython()
    expect_warning(binCells(smallTissue()$target, 50), "`binSize` is 50, and .* is 100;")
})
