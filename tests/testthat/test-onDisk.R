# Assays in HDF5 files: Python reads them there.

onDisk <- function(x) {
    m <- as.matrix(SingleCellExperiment::counts(x))
    file <- HDF5Array::writeHDF5Array(m, tempfile(fileext = ".h5"), "counts")
    SingleCellExperiment::counts(x, withDimnames = FALSE) <- file
    x
}

test_that("target and source on disk are not read here, and give what they give in memory", {
    skipWithoutPython()
    skip_if_not_installed("HDF5Array")
    tissue <- simulateTissue(nRows = 14, nCols = 14, nGenes = 60, nDomains = 3, seed = 3)
    fit <- function(target, source) transst(target, source, "label", nDomains = 3, nFactors = 4, nInit = 2)
    expected <- fit(tissue$target, tissue$source)
    target <- onDisk(tissue$target)
    source <- onDisk(tissue$source)
    local_mocked_bindings(.readInBlocks = function(...) stop("the assay was read"), .package = "TransST")
    result <- fit(target, source)
    expect_identical(result$transst, expected$transst)
    expect_named(S4Vectors::metadata(result)$transst$passes, c("target", "source"))
    expect_s4_class(SingleCellExperiment::counts(result), "DelayedMatrix")
    rotation <- function(x) attr(SingleCellExperiment::reducedDim(x, "TransST"), "rotation")
    expect_equal(rotation(result), rotation(expected), tolerance = 1e-6)
})

test_that("only what lies in the file as it is, is left there", {
    skip_if_not_installed("HDF5Array")
    m <- as(matrix(as.double(1:12), 3L, dimnames = list(letters[1:3], LETTERS[1:4])), "HDF5Array")
    file <- TransST:::.fileOf(m)
    expect_true(file.exists(file$path))
    dimnames(m) <- list(LETTERS[1:3], NULL)
    expect_identical(TransST:::.fileOf(m), file)
    expect_null(TransST:::.fileOf(m[, 2:3]))
    expect_null(TransST:::.fileOf(m + 1))
    expect_null(TransST:::.fileOf(t(m)))
    expect_null(TransST:::.fileOf(m > 3))
    expect_null(TransST:::.fileOf(as.matrix(m)))
})
