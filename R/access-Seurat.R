setMethod(".assayChoice", "Seurat", function(x, assay, layer) {
    assay <- assay %||% SeuratObject::DefaultAssay(x)
    layer <- layer %||% "counts"
    list(assay = assay, layer = layer, name = layer)
})

setMethod(".expression", "Seurat", function(x, choice, what = "x", genes = NULL) {
    unequal <- .unequalLayers(x, choice, what)
    if (!is.null(unequal) && !all((genes %||% unequal$all) %in% unequal$shared)) {
        .warn(
            paste0(unequal$text, "; where a layer lacks them, genes count as zeros, which nobody measured"),
            "transst_unequal_layers"
        )
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
    found <- .splitLayers(assay, layer, what)
    if (!layer %in% found) {
        message(
            "`", what, "`: the layers ", .listSome(found), " are joined for this call; in `", what,
            "` they stay as they are"
        )
        assay <- SeuratObject::JoinLayers(assay, layers = layer)
    }
    SeuratObject::LayerData(assay, layer = layer)
}

# The layer itself, or those that it is split into.
.splitLayers <- function(assay, layer, what) {
    there <- SeuratObject::Layers(assay)
    found <- if (layer %in% there) layer else there[startsWith(there, paste0(layer, "."))]
    if (!length(found)) {
        .stop("`layer`: `", what, "` has no layer '", layer, "'; it has ", .listSome(there))
    }
    found
}

# merge() leaves every sample its layer, with the genes that were measured there.
setMethod(".unequalLayers", "Seurat", function(x, choice, what) {
    there <- SeuratObject::Assays(x)
    if (!choice$assay %in% there) {
        .stop("`assay`: `", what, "` has no assay '", choice$assay, "'; it has ", .listSome(there))
    }
    assay <- x[[choice$assay]]
    layers <- .splitLayers(assay, choice$layer, what)
    if (length(layers) < 2L) {
        return(NULL)
    }
    genes <- lapply(layers, function(layer) SeuratObject::Features(assay, layer = layer))
    all <- Reduce(union, genes)
    shared <- Reduce(intersect, genes)
    if (!length(shared)) {
        .stop("`", what, "`: the layers ", .listSome(layers), " share no genes; use the same kind of names")
    }
    missing <- length(all) - lengths(genes)
    if (!any(missing)) {
        return(NULL)
    }
    lacking <- paste0("layer '", layers, "' lacks ", missing)[missing > 0L]
    more <- if (length(lacking) > 3L) paste0(", and ", length(lacking) - 3L, " others lack some")
    lacking <- paste(utils::head(lacking, 3L), collapse = ", ")
    text <- paste0("`", what, "`: of ", length(all), " genes, ", lacking, more)
    list(all = all, shared = shared, text = text)
})

# SCTransform() makes its assay the default, with counts of its own.
setMethod(".checkMeasured", "Seurat", function(x, choice, what, argument) {
    there <- SeuratObject::Assays(x)
    if (!choice$assay %in% there || !inherits(x[[choice$assay]], "SCTAssay") || choice$layer != "counts") {
        return(invisible())
    }
    others <- Filter(function(name) {
        !inherits(x[[name]], "SCTAssay") && any(startsWith(SeuratObject::Layers(x[[name]]), "counts"))
    }, there)
    instead <- if (length(others)) paste0(argument, " = \"", others[[1L]], "\"") else "their assay"
    .warn(
        paste0(
            "`", argument, "`: '", choice$assay, "' of `", what, "` holds counts that SCTransform() ",
            "corrected, not the measured ones; give ", instead
        ),
        "transst_corrected_counts"
    )
})

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
