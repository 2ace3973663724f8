setMethod(".assayChoice", "Seurat", function(x, assay, layer) {
    assay <- assay %||% SeuratObject::DefaultAssay(x)
    layer <- layer %||% "counts"
    list(assay = assay, layer = layer, name = layer)
})

setMethod(".expression", "Seurat", function(x, choice, what = "x", genes = NULL) {
    there <- SeuratObject::Assays(x)
    if (!choice$assay %in% there) {
        .stop("`assay`: `", what, "` has no assay '", choice$assay, "'; it has ", .listSome(there))
    }
    m <- .seuratLayer(x[[choice$assay]], choice$layer, what)
    missing <- setdiff(colnames(x), colnames(m))
    if (length(missing)) {
        .stop(
            "`", what, "`: layer '", choice$layer, "' has no values for ", length(missing),
            " cells (", .listSome(missing), ")"
        )
    }
    m <- .rowsOf(m[, colnames(x), drop = FALSE], genes)
    .plainMatrix(m, paste0("`", what, "`: layer '", choice$layer, "'"))
})

# A layer of an assay; layers split by sample are joined on this copy of the assay.
.seuratLayer <- function(assay, layer, what) {
    there <- SeuratObject::Layers(assay)
    found <- there[there == layer | startsWith(there, paste0(layer, "."))]
    if (!length(found)) {
        .stop("`layer`: `", what, "` has no layer '", layer, "'; it has ", .listSome(there))
    }
    if (!layer %in% found) {
        message(
            "`", what, "`: the layers ", .listSome(found), " are joined for this call; in `", what,
            "` they stay as they are"
        )
        assay <- SeuratObject::JoinLayers(assay, layers = layer)
    }
    SeuratObject::LayerData(assay, layer = layer)
}

setMethod(".cellData", "Seurat", function(x) x[[]])

setMethod(".geneData", "Seurat", function(x) NULL)

setMethod(".otherAssays", "Seurat", function(x) character())

setMethod(".reductions", "Seurat", function(x) {
    lapply(stats::setNames(nm = SeuratObject::Reductions(x)), function(name) {
        SeuratObject::Embeddings(x, name)
    })
})

setMethod(".ownCoordinates", "Seurat", function(x) {
    images <- SeuratObject::Images(x)
    if (!length(images)) {
        return(NULL)
    }
    xy <- matrix(NA_real_, ncol(x), 2L)
    for (image in images) {
        found <- .imageCoordinates(x, image)
        rows <- match(found$cell, colnames(x))
        xy[rows[!is.na(rows)], ] <- found$xy[!is.na(rows), ]
    }
    xy
})

setMethod(".ownSamples", "Seurat", function(x) {
    images <- SeuratObject::Images(x)
    if (length(images) < 2L) {
        return(NULL)
    }
    samples <- rep(NA_character_, ncol(x))
    for (image in images) samples[match(.imageCoordinates(x, image)$cell, colnames(x))] <- image
    samples
})

# Classes of images name their columns differently.
.imageCoordinates <- function(x, image) {
    home <- attr(class(x[[image]]), "package")
    if (!is.null(home) && !requireNamespace(home, quietly = TRUE)) {
        .stop("image '", image, "' needs the R package ", home, "; install it")
    }
    found <- SeuratObject::GetTissueCoordinates(x, image = image)
    columns <- if (all(c("x", "y") %in% names(found))) c("x", "y") else c("imagecol", "imagerow")
    # in these images, x counts the rows of pixels
    if (is(x[[image]], "VisiumV2")) columns <- c("y", "x")
    list(cell = found$cell %||% rownames(found), xy = as.matrix(found[columns]))
}
