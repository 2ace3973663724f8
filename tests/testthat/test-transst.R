# A SpatialExperiment with one of everything that a careless round trip would lose.
decorated <- function() {
    spe <- smallTissue()$target
    n <- ncol(spe)
    colnames(spe)[c(1L, 2L)] <- c("Größe 1", "spot-ü")
    rownames(spe)[1L] <- "β-actin"
    spe$stage <- factor(rep(c("I", "II"), length.out = n), levels = c("I", "II"), ordered = TRUE)
    spe$day <- as.Date("2024-02-29")
    spe$patchy <- replace(rep(c(TRUE, FALSE), length.out = n), 3L, NA)
    spe$notes <- as.list(seq_len(n))
    SummarizedExperiment::assay(spe, "half") <- SingleCellExperiment::counts(spe) / 2
    SummarizedExperiment::rowData(spe)$kind <- factor(rep("gene", nrow(spe)))
    extra <- SummarizedExperiment::SummarizedExperiment(list(counts = matrix(1:2, 2L, n)))
    SingleCellExperiment::altExp(spe, "ADT", withDimnames = FALSE) <- extra
    S4Vectors::metadata(spe) <- list(when = as.Date("2024-01-01"), env = globalenv())
    pixels <- SpatialExperiment::SpatialImage(grDevices::as.raster(matrix(0:1, 4, 4)))
    SpatialExperiment::imgData(spe) <- S4Vectors::DataFrame(
        sample_id = "target", image_id = "lowres", data = I(list(pixels)), scaleFactor = 0.5
    )
    spe
}

test_that("results are in their places", {
    skipWithoutPython()
    spe <- quick(smallTissue()$target)
    expect_s4_class(spe, "SpatialExperiment")
    expect_s3_class(spe$transst, "factor")
    expect_false(anyNA(spe$transst))
    expect_true(all(spe$transst_confidence > 0 & spe$transst_confidence <= 1))
    embedding <- SingleCellExperiment::reducedDim(spe, "TransST")
    expect_identical(dim(embedding), c(ncol(spe), 4L))
    expect_identical(rownames(embedding), colnames(spe))
    rotation <- attr(embedding, "rotation")
    expect_identical(ncol(rotation), 4L)
    expect_true(all(rownames(rotation) %in% rownames(spe)))
    expect_true(all(is.finite(rotation)))
    record <- S4Vectors::metadata(spe)$transst
    expect_type(record, "list")
    expect_identical(unserialize(serialize(record, NULL)), record)
})

test_that("everything else in the object survives identically", {
    skipWithoutPython()
    before <- decorated()
    after <- quick(before, smallTissue()$source, name = "found")
    added <- c("found", "found_confidence", "found_class")
    expect_true(all(added %in% names(SummarizedExperiment::colData(after))))
    expect_true(all(lengths(tapply(as.character(after$found_class), after$found, unique)) == 1L))
    for (column in added) after[[column]] <- NULL
    SingleCellExperiment::reducedDim(after, "TransST.found") <- NULL
    S4Vectors::metadata(after)$found <- NULL
    expect_identical(after, before)
})

test_that("classes of an earlier run with a source go when there is none", {
    skipWithoutPython()
    tissue <- smallTissue()
    for (target in list(tissue$target, asSeurat(tissue$target))) {
        with <- quick(target, tissue$source)
        expect_s3_class(with$transst_class, "factor")
        without <- quick(with, NULL)
        expect_false("transst_class" %in% names(.cellData(without)))
    }
})

test_that("images survive, also when there are none", {
    skipWithoutPython()
    spe <- smallTissue()$target
    expect_identical(SpatialExperiment::imgData(quick(spe)), SpatialExperiment::imgData(spe))
})

test_that("the target is found again by the truth, and the order of spots is the object's", {
    skipWithoutPython()
    spe <- smallTissue()$target
    found <- quick(spe)
    expect_gt(adjustedRandIndex(found$transst, spe$label), 0.5)
    # coordinates and counts of a spot stay together: a shuffled object gives the same partition
    shuffle <- rev(seq_len(ncol(spe)))
    expect_gt(adjustedRandIndex(quick(spe[, shuffle])$transst, found$transst[shuffle]), 0.9)
})

test_that("R and Python give the same labels, for SpatialExperiment, SingleCellExperiment and Seurat", {
    skipWithoutPython()
    tissue <- smallTissue()
    python <- reticulate::import("transst_py", convert = FALSE)
    both <- python$datasets$simulated_tissue(
        n_rows = 14L, n_cols = 12L, n_genes = 60L, n_domains = 3L, random_state = 4L
    )
    adata <- both[0]
    python$tl$transst(adata, both[1], source_labels = "label", n_domains = 3L, n_factors = 4L)
    theirs <- reticulate::py_to_r(adata$obs[["transst"]]$astype("str")$tolist())
    confidence <- as.vector(reticulate::py_to_r(adata$obs[["transst_confidence"]]$to_numpy()))

    spe <- quick(tissue$target)
    expect_identical(as.character(spe$transst), theirs)
    expect_equal(spe$transst_confidence, confidence, tolerance = 1e-6)

    sce <- as(tissue$target, "SingleCellExperiment")
    sce$px <- SpatialExperiment::spatialCoords(tissue$target)[, 1]
    sce$py <- SpatialExperiment::spatialCoords(tissue$target)[, 2]
    expect_identical(as.character(quick(sce, coords = c("px", "py"))$transst), theirs)

    seurat <- quick(asSeurat(tissue$target), list(S = asSeurat(tissue$source)))
    expect_identical(as.character(seurat$transst), theirs)
})

test_that("sparse, dense, integer and delayed counts give the same labels", {
    skipWithoutPython()
    spe <- smallTissue()$target
    sparse <- SingleCellExperiment::counts(spe)
    dense <- as.matrix(sparse)
    whole <- dense
    storage.mode(whole) <- "integer"
    expected <- as.character(quick(spe)$transst)
    for (m in list(dense, whole, DelayedArray::DelayedArray(sparse))) {
        SingleCellExperiment::counts(spe) <- m
        expect_identical(as.character(quick(spe)$transst), expected)
    }
})

test_that("a Seurat object gets metadata, a reduction with loadings and the record, and keeps the rest", {
    skipWithoutPython()
    before <- asSeurat(smallTissue()$target)
    before$kind <- factor(rep("k", ncol(before)))
    after <- quick(before)
    expect_s3_class(after$transst, "factor")
    expect_true("TransST" %in% SeuratObject::Reductions(after))
    expect_identical(rownames(SeuratObject::Embeddings(after, "TransST")), colnames(before))
    expect_true(all(rownames(SeuratObject::Loadings(after, "TransST")) %in% rownames(before)))
    expect_type(SeuratObject::Misc(after, "transst"), "list")
    expect_identical(after[["RNA"]], before[["RNA"]])
    expect_identical(after[["slice"]], before[["slice"]])
    expect_identical(after[[]][names(before[[]])], before[[]])
    expect_identical(as.character(quick(after)$transst), as.character(after$transst)) # a second run
})

test_that("a second run of the same name replaces the first", {
    skipWithoutPython()
    first <- quick(smallTissue()$target)
    second <- quick(first)
    S4Vectors::metadata(second)$transst$seconds <- S4Vectors::metadata(first)$transst$seconds
    expect_identical(second, first)
})

test_that("without a source the model runs alone", {
    skipWithoutPython()
    spe <- quick(smallTissue()$target, NULL)
    expect_identical(nlevels(spe$transst), 3L)
})

test_that("several sources, and cells without a label", {
    skipWithoutPython()
    source <- smallTissue()$source
    source$label[1:5] <- NA
    half <- seq_len(ncol(source)) %% 2L == 0L
    sources <- list(even = source[, half], odd = source[rev(seq_len(60)), !half])
    warned <- testthat::capture_warnings(spe <- quick(smallTissue()$target, sources))
    expect_match(warned, "no label and are left out")
    expect_gt(adjustedRandIndex(spe$transst, smallTissue()$target$label), 0.5)
})

test_that("two samples in one object have no neighbours in each other", {
    skipWithoutPython()
    one <- smallTissue()$target
    two <- one
    two$sample_id <- "second"
    colnames(two) <- paste0("second_", colnames(two))
    both <- SummarizedExperiment::cbind(one, two) # the same positions twice
    spe <- quick(both)
    # the samples are the same tissue: apart from each other, they must get the same domains
    half <- seq_len(ncol(one))
    expect_identical(as.character(spe$transst[half]), as.character(spe$transst[-half]))
    expect_identical(nlevels(plotDomains(spe)$data$sample), 2L)
})

test_that("all kinds of graph agree on a square lattice, for every class, and are recorded", {
    skipWithoutPython()
    spe <- smallTissue()$target
    site <- cbind(spe$array_row, spe$array_col)
    graph <- as(as(as.matrix(stats::dist(site)) == 1, "lMatrix"), "CsparseMatrix")
    expected <- quick(spe, graph = Matrix::triu(graph))
    record <- metadata(expected)$transst
    expect_equal(record$graph, list(kind = "matrix", mean_neighbors = Matrix::nnzero(graph) / ncol(spe)))
    radius <- quick(spe, graph = "radius")
    expect_identical(metadata(radius)$transst$graph$kind, "radius")
    expect_identical(quick(spe, graph = "radius", radius = 100)$transst, expected$transst)
    bare <- as(spe, "SingleCellExperiment") # no positions needed
    for (found in list(radius, quick(spe, graph = "lattice"), quick(bare, graph = "lattice"))) {
        expect_identical(found$transst, expected$transst)
    }
    seurat <- asSeurat(spe)
    named <- as(graph * 1, "generalMatrix")
    dimnames(named) <- list(colnames(seurat), colnames(seurat))
    named <- SeuratObject::as.Graph(named)
    for (found in list(quick(seurat, graph = "lattice"), quick(seurat, graph = named))) {
        expect_identical(as.character(found$transst), as.character(expected$transst))
    }
    # spots may have other neighbours than the nearest
    expect_false(identical(quick(spe, graph = "knn", nNeighbors = 20)$transst, expected$transst))
})

test_that("the number of domains is chosen among several", {
    skipWithoutPython()
    tissue <- smallTissue()
    spe <- transst(tissue$target, nDomains = 2:5, nFactors = 4, nSubsamples = 0)
    choice <- metadata(spe)$transst$n_domains
    expect_equal(choice$table$n_domains, 2:5)
    expect_identical(nlevels(spe$transst), as.integer(choice$chosen))
})

test_that("spots outside the tissue are warned of", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$in_tissue <- seq_len(ncol(spe)) > 2L
    expect_warning(transst(spe, nDomains = 2, nFactors = 4), "2 of [0-9]+ spots lie outside the tissue")
})

test_that("the labels of a trusted source are followed", {
    skipWithoutPython()
    tissue <- smallTissue()
    transfer <- function(...) S4Vectors::metadata(quick(tissue$target, ...))$transst$transfer
    expect_identical(transfer()$transferred, "classes")
    expect_true(transfer()$follows_labels)
    expect_identical(transfer(classTransfer = "never")$transferred, "loadings")
    expect_false(transfer(classTransfer = "always")$follows_labels)
    expect_error(transfer(classTransfer = "maybe"), "classTransfer.*'maybe'")
    spe <- transst(tissue$target, tissue$source, "label", nFactors = 4)
    expect_identical(nlevels(spe$transst), 3L)
    expect_identical(levels(spe$transst_class), levels(factor(tissue$source$label)))
    expect_error(
        transst(tissue$target, tissue$source, "label", nFactors = 4, classTransfer = "never"),
        "`nDomains` is missing: give the number"
    )
    joined <- transst(tissue$target, tissue$source, "label", nDomains = 2, nFactors = 4)
    expect_identical(nlevels(joined$transst), 2L)
    expect_identical(as.character(joined$transst_class), as.character(spe$transst_class))
})

test_that("sources' positions teach how far neighbours share labels", {
    skipWithoutPython()
    tissue <- smallTissue()
    hidden <- function(source) {
        S4Vectors::metadata(quick(tissue$target, source))$transst$transfer$hidden
    }
    expect_identical(hidden(tissue$source), "places")
    expect_identical(hidden(asSeurat(tissue$source)), "places")
    cells <- SingleCellExperiment::SingleCellExperiment(
        list(counts = SingleCellExperiment::counts(tissue$source)),
        colData = SummarizedExperiment::colData(tissue$source)["label"]
    )
    expect_identical(hidden(cells), "rows")
    lost <- tissue$source
    SpatialExperiment::spatialCoords(lost)[3, 1] <- NA
    expect_warning(how <- hidden(lost), "`source`: its positions are not used, since 1 of [0-9]+ rows")
    expect_identical(how, "rows")
    # two samples at the same places: neighbours lie within one
    counts <- SingleCellExperiment::counts(tissue$source)
    xy <- SpatialExperiment::spatialCoords(tissue$source)
    both <- SpatialExperiment::SpatialExperiment(
        list(counts = unname(cbind(counts, counts))),
        colData = S4Vectors::DataFrame(
            label = rep(tissue$source$label, 2L), sample_id = rep(c("a", "b"), each = ncol(counts))
        ),
        spatialCoords = rbind(xy, xy)
    )
    rownames(both) <- rownames(counts)
    expect_identical(hidden(both), "places")
})
