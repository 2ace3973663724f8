# Answers that are the same for every class of object; the others are in access-*.R.

# Genes that imputeSpots() was not asked for have missing values, so the wanted ones are taken first.
.rowsOf <- function(m, genes) if (is.null(genes)) m else m[genes, , drop = FALSE]

# The genes that every sample measured, where layers tell, with a warning of the others; NULL for all.
.sharedGenes <- function(x, choice, what = "x") {
    unequal <- .unequalLayers(x, choice, what)
    if (!is.null(unequal)) {
        .warn(
            paste0(unequal$text, "; only the ", length(unequal$shared), " that all layers have are used"),
            "transst_unequal_layers"
        )
    }
    unequal$shared
}

# The same without a word where it is about these genes only, as those of domainMarkers().
.genesBeside <- function(x, choice, genes) {
    shared <- .unequalLayers(x, choice, "x")$shared
    if (all(genes %in% shared)) shared
}

.quoteAssay <- function(name) paste0("assay '", name, "'")

.checkClass <- function(x) {
    if (!is(x, "SummarizedExperiment") && !is(x, "Seurat")) {
        .stop(
            "`x` must be a SpatialExperiment, SingleCellExperiment, SummarizedExperiment or Seurat ",
            "object, got ", class(x)[1L]
        )
    }
}

.records <- function(x) if (is(x, "Seurat")) slot(x, "misc") else metadata(x)

# A column of the cell data, or an error that lists the columns there are.
.cellColumn <- function(x, column, argument, what = "x") {
    cells <- .cellData(x)
    if (!is.character(column) || length(column) != 1L || is.na(column)) {
        .stop(
            "`", argument, "` must be the name of a column of `", what, "`, got ",
            if (length(column) < 2L) deparse1(column) else paste(length(column), "values")
        )
    }
    there <- names(cells)
    if (!column %in% there) {
        missed <- column %in% c("transst", "transst_confidence", "transst_class")
        .stop(
            "`", argument, "`: `", what, "` has no column '", column, "'; it has ", .listSome(there),
            if (missed) "; run x <- transst(x, ...) first" else .didYouMean(column, there)
        )
    }
    cells[[column]]
}

# Positions of the spots: a (spots x 2 or 3) double matrix without names.
# `coords` is NULL (the object's own), a matrix, or the names of columns of the cell data.
.coordinates <- function(x, coords = NULL) {
    xy <- if (is.null(coords)) {
        .ownCoordinates(x)
    } else if (is.character(coords)) {
        vapply(coords, function(column) as.double(.cellColumn(x, column, "coords")), double(ncol(x)))
    } else {
        as.matrix(coords)
    }
    if (is.null(xy) || !ncol(xy)) {
        .stop(
            "`x` has no spatial coordinates; give `coords`, a matrix with one row per spot or ",
            "the names of two columns of the cell data"
        )
    }
    .checkCoordinates(xy, x)
}

.checkCoordinates <- function(xy, x) {
    if (!is.numeric(xy) || nrow(xy) != ncol(x) || !ncol(xy) %in% c(2L, 3L)) {
        .stop(
            "`coords` must be a numeric matrix of ", ncol(x), " rows (spots) and 2 or 3 columns, got ",
            nrow(xy), " x ", ncol(xy)
        )
    }
    lost <- !is.finite(rowSums(xy))
    if (any(lost)) {
        names <- colnames(x) %||% seq_len(ncol(x))
        .stop(
            "`coords`: ", sum(lost), " of ", ncol(x), " spots have no position (",
            .listSome(names[lost]), "); remove them or add their coordinates"
        )
    }
    storage.mode(xy) <- "double"
    unname(xy)
}

.coordinatesIfAny <- function(x) {
    .checkClass(x)
    xy <- .ownCoordinates(x)
    if (is.null(xy) || !ncol(xy)) NULL else .checkCoordinates(xy, x)
}

# Cell data with the samples, if there are several, under the name that a SpatialExperiment of the results
# knows them by.
.withSamples <- function(cells, x, sampleId) {
    cells$sample_id <- .samples(x, sampleId)
    cells
}

# The sample of every spot as a factor, or NULL if there is only one.
.samples <- function(x, sampleId = NULL) {
    samples <- if (is.null(sampleId)) .ownSamples(x) else .cellColumn(x, sampleId, "sampleId")
    if (anyNA(samples)) {
        .stop("`sampleId`: ", sum(is.na(samples)), " spots belong to no sample")
    }
    samples <- droplevels(factor(samples))
    if (nlevels(samples) > 1L) samples else NULL
}
