# What R's half of the bridge makes of an object; no Python is needed.

flatten <- function(x, ...) TransST:::.flattenAll(x, ...)

test_that("every class of assay becomes a dgCMatrix or a numeric matrix of the same values", {
    m <- tinyCounts()
    sparse <- as(m * 1, "dgCMatrix")
    variants <- list(
        integer = m, double = m * 1, dgC = sparse, dgR = as(sparse, "RsparseMatrix"),
        dgT = as(sparse, "TsparseMatrix"), logical = as(sparse > 0, "lMatrix"),
        delayed = DelayedArray::DelayedArray(sparse), denseDelayed = DelayedArray::DelayedArray(m)
    )
    for (name in names(variants)) {
        plain <- TransST:::.plainMatrix(variants[[name]], "assay")
        expect_true(is(plain, "dgCMatrix") || is.matrix(plain), info = name)
        expect_identical(unname(as.matrix(plain) * 1), unname(as.matrix(variants[[name]]) * 1), info = name)
    }
    sparseOnes <- variants[c("dgC", "dgR", "dgT", "logical", "delayed")]
    kept <- vapply(sparseOnes, function(v) is(TransST:::.plainMatrix(v, "assay"), "dgCMatrix"), TRUE)
    expect_true(all(kept))
})

test_that("an assay on disk is read", {
    skip_if_not_installed("HDF5Array")
    onDisk <- as(tinyCounts(), "HDF5Array")
    expect_identical(TransST:::.plainMatrix(onDisk, "assay"), tinyCounts(), ignore_attr = TRUE)
})

test_that("missing values and text in an assay are refused by name", {
    m <- tinyCounts()
    m[2, 3] <- NA
    expect_error(flatten(tinySpe(m)), "assay 'counts' has missing values")
    expect_error(flatten(tinySpe(as(m * 1, "dgCMatrix"))), "assay 'counts' has missing values")
    storage.mode(m) <- "character"
    expect_error(flatten(tinySpe(m)), "must be a numeric matrix, got matrix")
})

test_that("columns keep what Python can hold, and drop the rest", {
    spe <- tinySpe()
    n <- ncol(spe)
    spe$ordered <- factor(rep(c("lo", "hi"), 5), levels = c("lo", "hi"), ordered = TRUE)
    spe$empty <- factor(rep(NA, n))
    spe$flag <- c(TRUE, NA, rep(FALSE, n - 2L))
    spe$day <- as.Date("2024-02-29") + seq_len(n)
    spe$whole <- c(NA, 2:n)
    spe$rle <- S4Vectors::Rle("a", n)
    spe$nested <- S4Vectors::DataFrame(u = seq_len(n))
    cells <- SummarizedExperiment::colData(flatten(spe)$sce)
    expect_identical(levels(cells$ordered), c("lo", "hi"))
    expect_false(is.ordered(cells$ordered))
    expect_identical(cells$empty, rep(NA_character_, n))
    expect_identical(cells$flag, c(1, NA, rep(0, n - 2L)))
    expect_identical(flatten(spe)$logical, "flag")
    expect_identical(cells$day[1L], "2024-03-01")
    expect_identical(cells$whole, c(NA, as.double(2:n)))
    expect_identical(cells$rle, rep("a", n))
    expect_null(cells$nested)
})

test_that("doubled spot names are allowed, doubled gene names are not", {
    m <- tinyCounts()
    colnames(m)[2L] <- "spot1"
    expect_identical(colnames(flatten(tinySpe(m))$sce)[1:2], c("spot1", "spot1.1"))
    m <- tinyCounts()
    rownames(m)[2L] <- "gene1"
    expect_error(transst(tinySpe(m), nDomains = 2), "`x` has duplicated gene names \\('gene1'\\)")
    rownames(m) <- NULL
    expect_error(transst(tinySpe(m), nDomains = 2), "`x` has no gene names")
})

test_that("split layers of a Seurat object come together in the order of its cells", {
    seurat <- asSeurat(tinySpe())
    seurat[["RNA"]] <- split(seurat[["RNA"]], rep(c("b", "a"), 5))
    parts <- flatten(seurat)
    expect_identical(colnames(parts$sce), colnames(seurat))
    expect_identical(
        as.matrix(SummarizedExperiment::assay(parts$sce, "counts")), tinyCounts() * 1
    )
    expect_identical(parts$coords, unname(SpatialExperiment::spatialCoords(tinySpe())) * 1)
})

test_that("several images of a Seurat object are several samples", {
    seurat <- asSeurat(tinySpe())
    whole <- seurat[["slice"]]
    seurat[["slice"]] <- NULL
    # cells in another order than the object's, which Seurat warns of
    suppressWarnings(seurat[["left"]] <- subset(whole, cells = colnames(seurat)[c(9, 1:4)]))
    SeuratObject::Key(whole) <- "right_"
    seurat[["right"]] <- subset(whole, cells = colnames(seurat)[c(5:8, 10)])
    expect_identical(
        as.character(TransST:::.samples(seurat)), rep(c("left", "right", "left", "right"), c(4, 4, 1, 1))
    )
    expect_identical(TransST:::.coordinates(seurat), unname(SpatialExperiment::spatialCoords(tinySpe())) * 1)
})

test_that("a Visium image is read, whatever it calls its columns", {
    skip_if_not_installed("Seurat")
    spots <- colnames(tinyCounts())
    table <- data.frame(
        tissue = 1L, row = 1:10, col = 1:10, imagerow = 10 * (1:10), imagecol = 1:10, row.names = spots
    )
    factors <- Seurat::scalefactors(1, 1, 1, 1)
    image <- methods::new(
        getClass("VisiumV1", where = asNamespace("Seurat")),
        image = array(0, c(2, 2, 3)), scale.factors = factors, coordinates = table, spot.radius = 0.1,
        assay = "RNA", key = "visium_"
    )
    seurat <- asSeurat(tinySpe())
    seurat[["slice"]] <- NULL
    seurat[["visium"]] <- image
    expect_identical(TransST:::.coordinates(seurat), cbind(1:10, 10 * (1:10)), ignore_attr = TRUE)
})
