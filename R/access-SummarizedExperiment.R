setMethod(".assayChoice", "SummarizedExperiment", function(x, assay, layer) {
    if (!is.null(layer)) {
        .stop("`layer` is for Seurat objects; use `assay`")
    }
    there <- assayNames(x)
    if (is.null(assay)) {
        assay <- if ("counts" %in% there || !length(there)) "counts" else there[[1L]]
    }
    list(assay = assay, name = assay)
})

setMethod(".expression", "SummarizedExperiment", function(x, choice, what = "x", genes = NULL) {
    name <- choice$assay
    if (!name %in% assayNames(x)) {
        .stop("`assay`: `", what, "` has no assay '", name, "'; it has ", .listSome(assayNames(x)))
    }
    .plainMatrix(.rowsOf(assay(x, name), genes), paste0("`", what, "`: ", .quoteAssay(name)))
})

setMethod(".unequalLayers", "SummarizedExperiment", function(x, choice, what) NULL)

setMethod(".checkMeasured", "SummarizedExperiment", function(x, choice, what, argument) invisible())

setMethod(".cellData", "SummarizedExperiment", function(x) colData(x))

setMethod(".geneData", "SummarizedExperiment", function(x) SummarizedExperiment::rowData(x))

setMethod(".otherAssays", "SummarizedExperiment", function(x) assayNames(x))

setMethod(".reductions", "SummarizedExperiment", function(x) list())

setMethod(".reductions", "SingleCellExperiment", function(x) as.list(reducedDims(x)))

setMethod(".ownCoordinates", "SummarizedExperiment", function(x) NULL)

setMethod(".ownCoordinates", "SpatialExperiment", function(x) spatialCoords(x))

setMethod(".ownSamples", "SummarizedExperiment", function(x) NULL)

setMethod(".ownSamples", "SpatialExperiment", function(x) x$sample_id)
