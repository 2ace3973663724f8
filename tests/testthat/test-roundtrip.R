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

# One of everything that a SpatialExperiment can hold.
everything <- function() {
    spe <- smallTissue()$target
    n <- ncol(spe)
    genes <- nrow(spe)
    counts <- SingleCellExperiment::counts(spe)
    SummarizedExperiment::assay(spe, "half") <- counts / 2
    SummarizedExperiment::assay(spe, "dense") <- as.matrix(counts) * 0.5
    SummarizedExperiment::assay(spe, "delayed") <- DelayedArray::DelayedArray(counts) * 2
    spe$flag <- replace(rep(c(TRUE, FALSE), length.out = n), 3L, NA)
    spe$yes <- rep(c(TRUE, FALSE), length.out = n)
    spe$whole <- seq_len(n)
    spe$gap <- replace(seq_len(n), 2L, NA)
    spe$number <- replace(seq_len(n) / 7, 5L, NA)
    spe$text <- replace(rep(c("\u00fc", "", "NA"), length.out = n), 4L, NA)
    spe$group <- factor(spe$text, levels = c("", "\u00fc", "none"))
    spe$stage <- factor(rep(c("I", "II"), length.out = n), levels = c("II", "I"), ordered = TRUE)
    spe$day <- as.Date("2024-02-29") + seq_len(n)
    spe$time <- as.POSIXct("2024-02-29 12:00:00", tz = "UTC") + seq_len(n)
    spe$list <- as.list(seq_len(n))
    spe$rle <- S4Vectors::Rle("a", n)
    spe$nested <- S4Vectors::DataFrame(u = seq_len(n), v = letters[seq_len(n) %% 26L + 1L])
    spe$complex <- complex(real = seq_len(n))
    spe[["odd name"]] <- 1
    spe[["self"]] <- 2
    places <- paste0("chr1:", seq_len(genes), "-", seq_len(genes) + 9L)
    SummarizedExperiment::rowRanges(spe) <- as(places, "GRanges")
    names(SummarizedExperiment::rowRanges(spe)) <- rownames(smallTissue()$target)
    SummarizedExperiment::rowData(spe)$kind <- factor(rep(c("x", "y"), length.out = genes))
    SummarizedExperiment::rowData(spe)$ids <- as.list(seq_len(genes))
    SingleCellExperiment::reducedDim(spe, "PCA") <- matrix(seq_len(2L * n) / 7, n)
    SingleCellExperiment::reducedDim(spe, "mine") <- matrix(seq_len(3L * n) / 3, n)
    extra <- SummarizedExperiment::SummarizedExperiment(list(counts = matrix(1:2, 2L, n)))
    SingleCellExperiment::altExp(spe, "ADT", withDimnames = FALSE) <- extra
    SingleCellExperiment::colPair(spe, "near") <- S4Vectors::SelfHits(1:3, 2:4, nnode = n, weight = 1:3)
    SingleCellExperiment::rowPair(spe, "same") <- S4Vectors::SelfHits(1:2, 3:4, nnode = genes)
    SingleCellExperiment::sizeFactors(spe) <- seq_len(n) / n
    S4Vectors::metadata(spe) <- list(when = as.Date("2024-01-01"), env = globalenv(), f = mean)
    pixels <- SpatialExperiment::SpatialImage(grDevices::as.raster(matrix(0:1, 4, 4)))
    SpatialExperiment::imgData(spe) <- S4Vectors::DataFrame(
        sample_id = unique(spe$sample_id), image_id = "lowres", data = I(list(pixels)), scaleFactor = 0.5
    )
    spe
}

thereAndBack <- function(x, ...) {
    adata <- asAnnData(x, ...)
    exchange <- TransST:::.exchange
    on.exit(rm(list = ls(exchange), envir = exchange))
    reticulate::import("transst_py.bridge._serve", convert = FALSE)$hand_over(adata)
    TransST:::.assembleSpatialExperiment(exchange$result, "target")
}

test_that("results are added to everything that is in a SpatialExperiment, and nothing else changes", {
    skipWithoutPython()
    before <- everything()
    after <- quick(before)
    after$transst <- NULL
    after$transst_confidence <- NULL
    after$transst_class <- NULL
    SingleCellExperiment::reducedDim(after, "TransST") <- NULL
    S4Vectors::metadata(after)$transst <- NULL
    expect_identical(after, before)

    before$measured <- seq_len(ncol(before)) != 20L
    after <- imputeSpots(before, "fill", "nearest")
    for (name in c("imputed", "imputed_sd")) SummarizedExperiment::assay(after, name) <- NULL
    S4Vectors::metadata(after)$imputation <- NULL
    expect_identical(after, before)
})

test_that("results are added to a Seurat object with two layers and an image, and nothing else changes", {
    skipWithoutPython()
    before <- asSeurat(smallTissue()$target)
    before$measured <- seq_len(ncol(before)) != 20L
    before$group <- factor(rep(c("a", "b"), length.out = ncol(before)), levels = c("b", "a"))
    logged <- log1p(SeuratObject::LayerData(before, layer = "counts"))
    SeuratObject::LayerData(before, layer = "data") <- logged
    embedding <- matrix(0, ncol(before), 2L, dimnames = list(colnames(before), paste0("mine_", 1:2)))
    before[["mine"]] <- SeuratObject::CreateDimReducObject(embedding, key = "mine_", assay = "RNA")
    SeuratObject::Misc(before, "notes") <- list(day = as.Date("2024-01-01"))
    same <- function(after) {
        after@meta.data <- after@meta.data[names(before@meta.data)]
        after@misc <- after@misc[names(before@misc)]
        after@reductions <- after@reductions[names(before@reductions)]
        for (slot in methods::slotNames(before)) {
            expect_identical(methods::slot(after, slot), methods::slot(before, slot), info = slot)
        }
    }
    same(quick(before))
    filled <- imputeSpots(before, "fill", "nearest")
    for (layer in c("imputed", "imputed_sd")) {
        expect_true(layer %in% SeuratObject::Layers(filled))
        SeuratObject::LayerData(filled, layer = layer) <- NULL
    }
    for (layer in c("counts", "data")) {
        expect_identical(
            SeuratObject::LayerData(filled, layer = layer), SeuratObject::LayerData(before, layer = layer)
        )
    }
    filled@assays <- before@assays
    same(filled)
    # there and back: the layer asked for
    back <- thereAndBack(before, layer = "data")
    expect_identical(SummarizedExperiment::assay(back, "data"), logged)
    expect_identical(back$group, before$group, ignore_attr = "names")
})

test_that("what Python sends back is the object it was, but for what is left in R", {
    skipWithoutPython()
    spe <- everything()
    back <- thereAndBack(spe)
    expect_identical(SummarizedExperiment::assayNames(back), SummarizedExperiment::assayNames(spe))
    for (name in c("counts", "half", "dense")) {
        expect_identical(SummarizedExperiment::assay(back, name), SummarizedExperiment::assay(spe, name))
    }
    delayed <- as(SummarizedExperiment::assay(spe, "delayed"), "dgCMatrix")
    expect_identical(SummarizedExperiment::assay(back, "delayed"), delayed)
    cells <- SummarizedExperiment::colData(spe)
    left <- c("list", "nested", "complex")
    expect_identical(names(SummarizedExperiment::colData(back)), setdiff(names(cells), left))
    changed <- c(day = "as.character", time = "as.character", gap = "as.double", rle = "as.character")
    for (name in names(changed)) cells[[name]] <- get(changed[[name]])(cells[[name]])
    expect_identical(SummarizedExperiment::colData(back), cells[setdiff(names(cells), left)])
    expect_identical(SummarizedExperiment::rowData(back)$kind, SummarizedExperiment::rowData(spe)$kind)
    expect_identical(SpatialExperiment::spatialCoords(back), SpatialExperiment::spatialCoords(spe))
    expect_identical(SingleCellExperiment::reducedDimNames(back), c("PCA", "mine"))
    for (name in c("PCA", "mine")) {
        expect_identical(
            unname(SingleCellExperiment::reducedDim(back, name)),
            unname(SingleCellExperiment::reducedDim(spe, name))
        )
    }
    expect_identical(dimnames(back), dimnames(spe))
    expect_identical(thereAndBack(back), back) # and from there on nothing is lost
})

test_that("a dense, an empty and a one-column object come back", {
    skipWithoutPython()
    spe <- smallTissue()$target
    for (part in list(spe[0L, ], spe[, 0L], spe[1L, ], spe[, 1L])) {
        back <- thereAndBack(part)
        expect_identical(SingleCellExperiment::counts(back), SingleCellExperiment::counts(part))
        expect_identical(SummarizedExperiment::colData(back), SummarizedExperiment::colData(part))
    }
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
