# From parts that Python made (transst_py.bridge.to_parts) to an object.

# Called from Python, which cannot set slots.
.newDgCMatrix <- function(x, i, p, dim) {
    new("dgCMatrix", x = x, i = i, p = p, Dim = dim)
}

.assembleSpatialExperiment <- function(parts, sampleId = "sample01") {
    names <- list(parts$genes, parts$spots)
    reduced <- lapply(parts$reducedDims, function(m) {
        rownames(m) <- parts$spots
        m
    })
    coords <- if (is.null(parts$coords)) matrix(0, length(parts$spots), 0L) else parts$coords
    dimnames(coords) <- list(parts$spots, c("x", "y", "z")[seq_len(ncol(coords))])
    cells <- .assembleColumns(parts$colData, parts$spots)
    if (is.null(cells$sample_id)) cells$sample_id <- rep(sampleId, nrow(cells))
    SpatialExperiment(
        assays = lapply(parts$assays, function(m) {
            dimnames(m) <- names
            m
        }),
        colData = cells,
        rowData = .assembleColumns(parts$rowData, parts$genes),
        reducedDims = reduced,
        spatialCoords = coords
    )
}

.assembleColumns <- function(columns, names) {
    frame <- S4Vectors::make_zero_col_DFrame(length(names))
    for (column in names(columns)) frame[[column]] <- columns[[column]]
    rownames(frame) <- names
    frame
}
