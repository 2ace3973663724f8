# Warnings are errors unless a test expects them.
options(warn = 2)

skipWithoutPython <- function() {
    testthat::skip_if_not(
        transstAvailable(),
        "the Python environment is not complete (see transstConfig())"
    )
}

# Drawn once: most tests only read it.
.cache <- new.env()
smallTissue <- function() {
    if (is.null(.cache$tissue)) {
        .cache$tissue <- simulateTissue(nRows = 14, nCols = 12, nGenes = 60, nDomains = 3, seed = 4)
    }
    .cache$tissue
}

# Fast settings for the small tissue.
quick <- function(x, source = smallTissue()$source, ...) {
    transst(x, source, if (!is.null(source)) "label", nDomains = 3, nFactors = 4, ...)
}

# Counts of 8 genes in 10 spots on a grid of 5 x 2, without Python.
tinyCounts <- function(nGenes = 8L, nSpots = 10L) {
    m <- matrix((seq_len(nGenes * nSpots) * 7L) %% 5L, nGenes, nSpots)
    dimnames(m) <- list(paste0("gene", seq_len(nGenes)), paste0("spot", seq_len(nSpots)))
    m
}

tinySpe <- function(counts = tinyCounts(), ...) {
    n <- ncol(counts)
    SpatialExperiment::SpatialExperiment(
        assays = list(counts = counts), spatialCoords = cbind(x = (seq_len(n) - 1) %% 5, y = seq_len(n)),
        ...
    )
}

# A Seurat object of the same counts and cell data; Seurat warns about its own conversion to dgCMatrix.
asSeurat <- function(spe) {
    counts <- as(SingleCellExperiment::counts(spe), "CsparseMatrix")
    cells <- as.data.frame(SummarizedExperiment::colData(spe))
    seurat <- SeuratObject::CreateSeuratObject(counts, meta.data = cells)
    xy <- data.frame(SpatialExperiment::spatialCoords(spe), row.names = colnames(spe))
    seurat[["slice"]] <- SeuratObject::CreateFOV(SeuratObject::CreateCentroids(xy), assay = "RNA")
    seurat
}

# The AnnData that Python sees, as a Python object.
asAnnData <- function(x, ...) {
    TransST:::.bridge()
    exchange <- TransST:::.exchange
    on.exit(rm(list = ls(exchange), envir = exchange))
    exchange$target <- TransST:::.flattenAll(x, ...)
    reticulate::import("transst_py.bridge._serve", convert = FALSE)$target()
}

htmlOf <- function(file) paste(readLines(file, warn = FALSE, encoding = "UTF-8"), collapse = "\n")
