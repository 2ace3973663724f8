# What is odd in an object is either right or an error that says what to do. One table for all functions.

edgeTissue <- function() {
    if (is.null(.cache$edge)) {
        .cache$edge <- simulateTissue(nRows = 8, nCols = 8, nGenes = 12, nDomains = 2, seed = 1)$target
        .cache$edge$measured <- seq_len(64) %% 7 != 0
    }
    .cache$edge
}

calls <- list(
    transst = function(x, ...) transst(x, nDomains = 2, nFactors = 2, ...),
    domainMarkers = function(x, ...) domainMarkers(x, "label"),
    imputeSpots = function(x, ...) imputeSpots(x, "fill", "nearest", ...),
    evaluateImputation = function(x, ...) evaluateImputation(x, "nearest", phases = list(c(0, 0)), ...),
    binCells = function(x, ...) binCells(x, 250, ...)
)

# Expect one error of all functions, or of those named; the object must not change.
expectErrors <- function(spe, message, of = names(calls)) {
    for (name in of) {
        before <- serialize(spe, NULL)
        # warnings come before the error
        suppressWarnings(expect_error(calls[[name]](spe), message, class = "transst_error", info = name))
        expect_identical(serialize(spe, NULL), before, info = name)
    }
}

withCounts <- function(spe, f) {
    m <- f(SummarizedExperiment::assay(spe, "counts"))
    SummarizedExperiment::assay(spe, "counts", withDimnames = FALSE) <- unname(m)
    spe
}

replaced <- function(value) {
    function(m) {
        m[1L, 1L] <- value
        m
    }
}

test_that("empty objects, and genes without a name of their own, are refused", {
    skipWithoutPython()
    spe <- edgeTissue()
    expectErrors(spe[, 0L], "`x` is empty: 12 genes x 0 spots", setdiff(names(calls), "transst"))
    expectErrors(spe[, 0L], "greater than the number of spots \\(0\\)", "transst")
    expectErrors(spe[0L, ], "`x` is empty: 0 genes x 64 spots")
    doubled <- spe
    rownames(doubled)[2L] <- rownames(spe)[1L]
    expectErrors(doubled, "duplicated gene names \\('gene1'\\); make them unique")
    for (name in list(NA, "")) {
        bad <- spe
        rownames(bad)[2L] <- name
        expectErrors(bad, "1 genes without a name \\(rows '2'\\)")
    }
    rownames(bad) <- NULL
    expectErrors(bad, "`x` has no gene names; set rownames\\(\\)")
})

test_that("missing and impossible values are refused by the name of the argument", {
    skipWithoutPython()
    spe <- edgeTissue()
    expectErrors(withCounts(spe, replaced(NA)), "assay 'counts' has missing values")
    expectErrors(withCounts(spe, replaced(Inf)), "`x`.*(finite|infinite)")
    expectErrors(withCounts(spe, replaced(-1)), "`x`.*negative")
    expectErrors(asSeurat(withCounts(spe, replaced(-1))), "`x`.*negative")
    seurat <- asSeurat(spe)
    counts <- replaced(NA)(SeuratObject::LayerData(seurat, layer = "counts"))
    SeuratObject::LayerData(seurat, layer = "counts") <- counts
    expectErrors(seurat, "layer 'counts' has missing values")
    lost <- spe
    SpatialExperiment::spatialCoords(lost)[2L, 1L] <- NA
    expectErrors(lost, "`coords`: 1 of 64 spots have no position", setdiff(names(calls), "domainMarkers"))
    lost <- spe
    lost$slide <- c(NA, rep("a", 63L))
    for (name in setdiff(names(calls), "domainMarkers")) {
        expect_error(calls[[name]](lost, sampleId = "slide"), "`sampleId`: 1 spots belong to no sample")
    }
    lost <- spe
    lost$label <- NA
    expectErrors(lost, "column 'label' has 0 domain", "domainMarkers")
    expectErrors(withCounts(spe, function(m) m * 0), "none of the 64 spots has a count", "transst")
})

test_that("one spot is too few for everything, and is said so", {
    skipWithoutPython()
    one <- edgeTissue()[, 1L]
    expectErrors(one, "greater than the number of spots \\(1\\)", "transst")
    expectErrors(one, "column 'label' has 1 domain", "domainMarkers")
    expectErrors(one, "1 measured spot", "imputeSpots")
    expectErrors(one, "one line of the lattice.*binCells\\(\\)", "evaluateImputation")
    expectErrors(one, "`binSize` 250 makes fewer than 2 x 2 bins", "binCells")
})

test_that("one gene is enough where no factors are needed", {
    skipWithoutPython()
    one <- edgeTissue()[1L, ]
    expectErrors(one, "`nFactors`=2 must be below the number of detected shared genes \\(1\\)", "transst")
    for (name in setdiff(names(calls), "transst")) {
        plain <- as(one, "SingleCellExperiment")
        for (x in list(list(one), list(plain, coords = SpatialExperiment::spatialCoords(one)))) {
            result <- do.call(calls[[name]], x)
            genes <- if (is(result, "DataFrame")) unique(result$gene) else rownames(result)
            expect_identical(as.character(genes), "gene1", info = name)
        }
    }
})

test_that("spots need no names, and may share one", {
    skipWithoutPython()
    spe <- edgeTissue()
    expected <- lapply(calls, function(call) call(spe))
    for (names in list(NULL, rep("spot", 64L), replace(colnames(spe), 2L, colnames(spe)[1L]))) {
        renamed <- spe
        colnames(renamed) <- names
        found <- lapply(calls, function(call) call(renamed))
        expect_identical(colnames(found$transst), names)
        expect_identical(found$transst$transst, expected$transst$transst)
        expect_identical(found$domainMarkers, expected$domainMarkers)
        imputed <- lapply(list(found, expected), function(results) {
            unname(as.matrix(SummarizedExperiment::assay(results$imputeSpots, "imputed")))
        })
        expect_identical(imputed[[1L]], imputed[[2L]])
        expect_identical(found$evaluateImputation$rmse, expected$evaluateImputation$rmse)
        expect_identical(
            SingleCellExperiment::counts(found$binCells), SingleCellExperiment::counts(expected$binCells)
        )
    }
})

test_that("spots without a label have no part in the markers", {
    skipWithoutPython()
    spe <- edgeTissue()
    spe$label[3L] <- NA
    some <- suppressWarnings(domainMarkers(spe, "label"))
    expect_identical(levels(some$domain), levels(factor(spe$label)))
    expect_false(identical(some, domainMarkers(edgeTissue(), "label")))
})

test_that("every class of matrix gives the same result as a dgCMatrix", {
    skipWithoutPython()
    spe <- edgeTissue()
    sparse <- SingleCellExperiment::counts(spe)
    whole <- as.matrix(sparse)
    storage.mode(whole) <- "integer"
    matrices <- list(
        double = as.matrix(sparse), integer = whole, dgT = as(sparse, "TsparseMatrix"),
        dgR = as(sparse, "RsparseMatrix"), dge = as(as(sparse, "unpackedMatrix"), "generalMatrix"),
        svt = as(sparse, "SVT_SparseMatrix"), delayed = DelayedArray::DelayedArray(whole)
    )
    if (requireNamespace("HDF5Array", quietly = TRUE)) matrices$disk <- as(as.matrix(sparse), "HDF5Array")
    labels <- calls$transst(spe)$transst
    markers <- calls$domainMarkers(spe)
    for (name in names(matrices)) {
        other <- withCounts(spe, function(m) matrices[[name]])
        expect_identical(calls$transst(other)$transst, labels, info = name)
        expect_equal(calls$domainMarkers(other), markers, info = name)
        filled <- calls$imputeSpots(other)
        expect_identical(
            SingleCellExperiment::counts(filled), SingleCellExperiment::counts(other),
            info = name
        )
    }
})

test_that("TRUE and FALSE are counts of one and none", {
    skipWithoutPython()
    spe <- edgeTissue()
    ones <- withCounts(spe, function(m) (m > 0) * 1)
    expected <- SingleCellExperiment::counts(calls$binCells(ones))
    for (logical in list(function(m) m > 0, function(m) as.matrix(m) > 0)) {
        expect_identical(SingleCellExperiment::counts(calls$binCells(withCounts(spe, logical))), expected)
    }
})

test_that("target and source may be of different classes", {
    skipWithoutPython()
    tissue <- smallTissue()
    expected <- as.character(quick(tissue$target)$transst)
    expect_identical(as.character(quick(tissue$target, asSeurat(tissue$source))$transst), expected)
    seurat <- asSeurat(tissue$target)
    expect_identical(as.character(quick(seurat, tissue$source)$transst), expected)
    # without positions of the source
    cells <- SingleCellExperiment::SingleCellExperiment(
        list(counts = SingleCellExperiment::counts(tissue$source)),
        colData = SummarizedExperiment::colData(tissue$source)["label"]
    )
    expected <- as.character(quick(tissue$target, cells)$transst)
    expect_identical(as.character(quick(seurat, cells)$transst), expected)
    plain <- SummarizedExperiment::SummarizedExperiment(
        list(counts = SingleCellExperiment::counts(tissue$source)),
        colData = SummarizedExperiment::colData(tissue$source)
    )
    expect_identical(as.character(quick(seurat, plain)$transst), expected)
})

test_that("split layers are joined with a message, and stay split in the object", {
    skipWithoutPython()
    seurat <- asSeurat(smallTissue()$target)
    expected <- quick(seurat)
    split <- seurat
    split[["RNA"]] <- split(split[["RNA"]], rep(c("a", "b"), length.out = ncol(seurat)))
    expect_message(found <- quick(split), "`x`: the layers 'counts.a', 'counts.b' are joined for this call")
    expect_identical(found$transst, expected$transst)
    expect_identical(found[["RNA"]], split[["RNA"]])
})
