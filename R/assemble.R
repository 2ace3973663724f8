# From parts that Python made (transst_py.bridge.to_parts) to an object.

# Called from Python, which cannot set slots and attributes.
.newDgCMatrix <- function(x, i, p, dim, names) {
    new("dgCMatrix", x = x, i = i, p = p, Dim = dim, Dimnames = names %||% list(NULL, NULL))
}

.newFactor <- function(codes, levels, ordered) {
    structure(codes, levels = levels, class = c(if (ordered) "ordered", "factor"))
}

# The counterpart of `.packText()`.
.newText <- function(bytes, n, missing) {
    text <- readBin(bytes, "character", n)
    Encoding(text) <- "UTF-8"
    text[missing] <- NA
    text
}

.assembleSpatialExperiment <- function(parts, sampleId = "sample01") {
    reduced <- lapply(parts$reducedDims, function(m) {
        rownames(m) <- parts$spots
        m
    })
    coords <- if (is.null(parts$coords)) matrix(0, length(parts$spots), 0L) else parts$coords
    dimnames(coords) <- list(parts$spots, c("x", "y", "z")[seq_len(ncol(coords))])
    cells <- .assembleColumns(parts$colData, parts$spots)
    if (is.null(cells$sample_id)) cells$sample_id <- rep(sampleId, nrow(cells))
    SpatialExperiment(
        assays = parts$assays,
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

# ---- New objects of the class of the user's --------------------------------------------------------

# What Python left in the exchange, with a record in its metadata (a list of one, by name), in the class of
# `x` and with its description of the genes. The assays become these `layers` of a Seurat object.
.makeLike <- function(x, record, choice, coords, layers) {
    made <- .assembleSpatialExperiment(.exchange$result)
    metadata(made) <- record
    genes <- .geneData(x)
    if (!is.null(genes)) SummarizedExperiment::rowData(made) <- genes[rownames(made), , drop = FALSE]
    .likeTarget(x, made, choice, coords, layers)
}

setMethod(".likeTarget", "SpatialExperiment", function(x, made, choice, coords, layers) {
    own <- colnames(spatialCoords(x))
    if (length(own) == ncol(spatialCoords(made))) colnames(spatialCoords(made)) <- own
    made
})

setMethod(".likeTarget", "SingleCellExperiment", function(x, made, choice, coords, layers) {
    xy <- spatialCoords(made)
    columns <- if (is.character(coords)) coords else colnames(xy)
    made <- as(made, "SingleCellExperiment")
    for (i in seq_along(columns)) made[[columns[[i]]]] <- xy[, i]
    made
})

setMethod(".likeTarget", "Seurat", function(x, made, choice, coords, layers) {
    cells <- as.data.frame(colData(made))
    record <- metadata(made)
    matrices <- lapply(SummarizedExperiment::assays(made), as, "dgCMatrix")
    seurat <- .quietlyWithoutCounts(SeuratObject::CreateSeuratObject(
        .assay5(stats::setNames(as.list(matrices), layers)),
        assay = choice$assay, meta.data = cells
    ))
    samples <- if (!is.null(record[[1L]]$samples)) cells$sample_id
    seurat <- .addImages(seurat, as.data.frame(spatialCoords(made)), samples, choice$assay)
    .setMisc(seurat, names(record), record[[1L]])
})

# An assay with these layers, of which the first is the default. CreateAssay5Object() fails with one gene
# (SeuratObject 5.0.2: its setter of layers drops the dimension), so the layers are put in their slot.
.assay5 <- function(layers) {
    first <- layers[[1L]]
    if (nrow(first) > 1L) {
        made <- do.call(SeuratObject::CreateAssay5Object, layers[1L])
        for (name in names(layers)[-1L]) SeuratObject::LayerData(made, layer = name) <- layers[[name]]
        return(made)
    }
    features <- SeuratObject::LogMap(rownames(first))
    cells <- SeuratObject::LogMap(colnames(first))
    for (name in names(layers)) {
        features[[name]] <- rownames(first)
        cells[[name]] <- colnames(first)
    }
    new(
        methods::getClass("Assay5", where = asNamespace("SeuratObject")), layers = lapply(layers, unname),
        default = 1L, features = features, cells = cells, meta.data = SeuratObject::EmptyDF(1L)
    )
}

# The image `lattice`, or one image for each sample, as `.ownSamples()` reads them.
.addImages <- function(seurat, xy, samples, assay) {
    samples <- factor(samples %||% rep("lattice", nrow(xy)))
    levels(samples) <- make.names(levels(samples), unique = TRUE)
    for (name in levels(samples)) {
        # The default, the key of the assay, can be taken once only.
        key <- if (nlevels(samples) > 1L) paste0("lattice", match(name, levels(samples)), "_")
        seurat[[name]] <- SeuratObject::CreateFOV(
            SeuratObject::CreateCentroids(xy[samples == name, , drop = FALSE]), assay = assay, key = key
        )
    }
    seurat
}

# Seurat warns that an assay has no counts; that of imputed values has none by intent.
.quietlyWithoutCounts <- function(expr) {
    withCallingHandlers(expr, warning = function(w) {
        if (grepl("No layers found|Cannot find the layer", conditionMessage(w))) {
            invokeRestart("muffleWarning")
        }
    })
}
