# What R's half of the bridge makes of an object; no Python is needed.

flatten <- function(x, ...) TransST:::.flattenAll(x, ...)

unpack <- function(text) {
    TransST:::.newText(text$bytes, sum(text$bytes == 0), text$missing)
}

test_that("every class of assay becomes a dgCMatrix or a numeric matrix of the same values", {
    m <- tinyCounts()
    sparse <- as(m * 1, "dgCMatrix")
    variants <- list(
        integer = m, double = m * 1, dgC = sparse, dgR = as(sparse, "RsparseMatrix"),
        dgT = as(sparse, "TsparseMatrix"), lgC = as(sparse > 0, "lMatrix"), logical = m > 0,
        pattern = as(sparse, "nMatrix"), dge = as(as(sparse, "unpackedMatrix"), "generalMatrix"),
        symmetric = Matrix::crossprod(sparse), diagonal = Matrix::Diagonal(4L),
        svt = as(sparse, "SVT_SparseMatrix"), delayed = DelayedArray::DelayedArray(sparse),
        denseDelayed = DelayedArray::DelayedArray(m)
    )
    for (name in names(variants)) {
        plain <- TransST:::.plainMatrix(variants[[name]], "assay")
        expect_true(is(plain, "dgCMatrix") || is.matrix(plain), info = name)
        expect_identical(unname(as.matrix(plain) * 1), unname(as.matrix(variants[[name]]) * 1), info = name)
    }
    sparseOnes <- variants[setdiff(names(variants), c("integer", "double", "logical", "dge"))]
    kept <- vapply(sparseOnes, function(v) is(TransST:::.plainMatrix(v, "assay"), "dgCMatrix"), TRUE)
    expect_true(all(kept))
})

# A dense matrix, as one on disk would be, that logs how much is read of it at once.
setClass("LoggedSeed", slots = c(values = "matrix", log = "environment"), contains = "Array")
setMethod("dim", "LoggedSeed", function(x) dim(x@values))
setMethod("dimnames", "LoggedSeed", function(x) dimnames(x@values))
setMethod(DelayedArray::extract_array, "LoggedSeed", function(x, index) {
    part <- DelayedArray::extract_array(x@values, index)
    x@log$sizes <- c(x@log$sizes, length(part))
    part
})
logged <- function(m) methods::new("LoggedSeed", values = m, log = new.env())

inBlocksOf <- function(bytes, expr) {
    before <- DelayedArray::getAutoBlockSize()
    on.exit(suppressMessages(DelayedArray::setAutoBlockSize(before)))
    suppressMessages(DelayedArray::setAutoBlockSize(bytes))
    expr
}

test_that("a delayed matrix is read in blocks and never whole", {
    m <- tinyCounts(8L, 100L) * 1
    seed <- logged(m)
    # 7 columns of 8 genes of 8 bytes
    plain <- inBlocksOf(7 * 8 * 8, TransST:::.plainMatrix(DelayedArray::DelayedArray(seed), "assay"))
    expect_s4_class(plain, "dgCMatrix")
    expect_identical(as.matrix(plain), m)
    sizes <- seed@log$sizes[seed@log$sizes > 0L]
    expect_lte(max(sizes), 8L * 7L)
    expect_identical(sum(sizes), length(m)) # and each value once
    # operations that were put off, and a choice of genes, change nothing of this
    seed <- logged(m)
    twice <- (DelayedArray::DelayedArray(seed) * 2)[3:4, ]
    plain <- inBlocksOf(7 * 8 * 8, TransST:::.plainMatrix(twice, "assay"))
    expect_identical(as.matrix(plain), (m * 2)[3:4, ])
    expect_lte(max(seed@log$sizes), 2L * 28L)
})

test_that("a missing value ends the reading of a delayed matrix", {
    m <- tinyCounts(8L, 100L) * 1
    m[2L, 9L] <- NA
    seed <- logged(m)
    x <- tinySpe()[, rep(1L, 100L)]
    SummarizedExperiment::assay(x, "counts", withDimnames = FALSE) <- DelayedArray::DelayedArray(seed)
    expect_error(inBlocksOf(7 * 8 * 8, flatten(x)), "assay 'counts' has missing values")
    expect_lte(sum(seed@log$sizes), 2L * 8L * 7L)
})

test_that("an assay on disk is read, dense and sparse, of numbers and of TRUE", {
    skip_if_not_installed("HDF5Array")
    m <- tinyCounts()
    for (values in list(m, m * 1, m > 0, m[, 0L], m[0L, ], m[2L, , drop = FALSE])) {
        onDisk <- as(values, "HDF5Array")
        plain <- inBlocksOf(3 * 8 * 8, TransST:::.plainMatrix(onDisk, "assay"))
        expect_s4_class(plain, "dgCMatrix")
        expect_identical(as.matrix(plain), values * 1, ignore_attr = TRUE)
    }
    tenx <- HDF5Array::writeTENxMatrix(as(m * 1, "dgCMatrix"), tempfile(), "counts")
    expect_identical(TransST:::.plainMatrix(tenx, "assay"), as(m * 1, "dgCMatrix"))
    text <- as(`storage.mode<-`(m, "character"), "HDF5Array")
    expect_error(TransST:::.plainMatrix(text, "`x`"), "`x` must be a numeric matrix, got .* of character")
})

test_that("missing values and text in an assay are refused by name", {
    m <- tinyCounts()
    m[2, 3] <- NA
    expect_error(flatten(tinySpe(m)), "assay 'counts' has missing values")
    expect_error(flatten(tinySpe(as(m * 1, "dgCMatrix"))), "assay 'counts' has missing values")
    storage.mode(m) <- "character"
    expect_error(flatten(tinySpe(m)), "must be a numeric matrix, got matrix of character")
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
    parts <- flatten(spe)
    values <- SummarizedExperiment::colData(parts$sce)
    expect_true(all(vapply(values, is.double, TRUE)))
    kind <- vapply(parts$cells, `[[`, "", "kind")
    expect_identical(kind[c("ordered", "empty", "flag", "day", "whole", "rle", "sample_id")], c(
        ordered = "ordered", empty = "factor", flag = "logical", day = "text", whole = "double", rle = "text",
        sample_id = "text"
    ))
    levels <- lapply(Filter(function(column) !is.null(column$levels), parts$cells), function(column) {
        unpack(column$levels)
    })
    expect_identical(levels$ordered, c("lo", "hi"))
    expect_identical(levels$ordered[values$ordered], as.character(spe$ordered))
    expect_identical(levels$empty, character())
    expect_identical(values$flag, c(1, NA, rep(0, n - 2L)))
    expect_identical(levels$day[values$day], as.character(spe$day))
    expect_identical(values$whole, c(NA, as.double(2:n)))
    expect_identical(levels$rle, "a")
    expect_null(values$nested)
})

test_that("text is packed and unpacked exactly", {
    for (text in list(c("a", NA, "", "Gr\u00f6\u00dfe-\u03b2"), character(), NA_character_, "")) {
        expect_identical(unpack(TransST:::.packText(text)), text)
    }
    latin <- iconv("\u00e9", "UTF-8", "latin1")
    expect_identical(TransST:::.packText(latin), TransST:::.packText("\u00e9"))
    # NA may be a level of a factor, in R
    packed <- TransST:::.packColumn(addNA(factor(c("a", NA))))
    expect_identical(packed$values, c(1, NA))
    expect_identical(unpack(packed$levels), "a")
})

test_that("doubled spot names are allowed, doubled gene names are not", {
    m <- tinyCounts()
    colnames(m)[2L] <- "spot1"
    expect_identical(unpack(flatten(tinySpe(m))$spots)[1:2], c("spot1", "spot1.1"))
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
    expect_identical(unpack(parts$spots), colnames(seurat))
    expect_identical(as.matrix(parts$assays$counts), tinyCounts() * 1)
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
