#' Impute expression where none was measured
#'
#' Estimates expression between the measured spots (`"densify"`) or for spots whose measurement is
#' missing (`"fill"`).
#'
#' @param x A [SpatialExperiment::SpatialExperiment], a [SingleCellExperiment::SingleCellExperiment] with
#'   `coords`, or a Seurat (v5) object.
#' @param task `"densify"`: predict on a finer lattice that contains the measured spots. `"fill"`:
#'   predict missing spots of the same lattice: those with `x$measured` `FALSE` if there is such a
#'   column, else those without any count.
#' @param method `"nearest"`, `"kernel"`, or `"auto"` to let the package choose.
#' @param genes Genes to impute; `NULL` means all.
#' @param assay,layer,coords As in [transst()].
#' @param sampleId Name of a column that says which sample a spot belongs to. `NULL` means `sample_id` of a
#'   SpatialExperiment or the images of a Seurat object. Spots are imputed from their own sample only, and
#'   `"densify"` lays a lattice for each; the scale, the method and its bandwidths are chosen over all
#'   samples together.
#' @param ... Arguments of the method in camelCase, such as `seed`.
#'
#' @return For `"fill"`, `x` with a new assay `imputed`; Seurat: a new layer `imputed` or, as assays of
#'   class `Assay` (v3) hold no other layers than their own, a new assay `imputed` with the layer `data`.
#'   For `"densify"`, a new object of the class of `x` on the finer lattice, with the assay (Seurat: layer
#'   `data`) `imputed`, the columns `measured`, `in_tissue`, `array_row` and `array_col`, with several
#'   samples also `sample_id`, and positions where `x` has them (a SingleCellExperiment: in the columns
#'   named by `coords`, or `x` and `y`; Seurat: in the image `lattice`, with several samples one image
#'   for each). Both record what was done in `metadata(x)$imputation`; Seurat objects in
#'   `Misc(x, "imputation")`.
#'
#' @details Imputed values are estimates. They are meant for looking at, and tests on them count the
#'   same measurements more than once.
#'
#' @seealso [plotImputation()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' finer <- imputeSpots(spe, "densify", method = "nearest", genes = rownames(spe)[1:3])
#' dim(finer)
#' @name imputeSpots
NULL

#' @rdname imputeSpots
#' @export
setMethod("imputeSpots", "SingleCellExperiment", function(
    x, task = c("densify", "fill"), method = "auto", ..., genes = NULL, assay = "counts", coords = NULL,
    sampleId = NULL
) {
    choice <- .assayChoice(x, assay, NULL)
    .imputeSpots(x, match.arg(task), method, genes, list(...), choice, coords, sampleId)
})

#' @rdname imputeSpots
#' @export
setMethod("imputeSpots", "Seurat", function(
    x, task = c("densify", "fill"), method = "auto", ..., genes = NULL, assay = NULL,
    layer = "counts", coords = NULL, sampleId = NULL
) {
    task <- match.arg(task)
    choice <- .assayChoice(x, assay, layer)
    if (task == "fill") .checkRoomForImputed(x, choice)
    .imputeSpots(x, task, method, genes, list(...), choice, coords, sampleId)
})

.imputeSpots <- function(x, task, method, genes, options, choice, coords, sampleId) {
    .checkImputedGenes(genes, x)
    options <- c(options, list(task = task, method = method))
    options$genes <- genes
    cells <- .cellData(x)
    # The name that a SpatialExperiment of the results knows samples by.
    cells$sample_id <- .samples(x, sampleId)
    if (!is.null(cells$sample_id)) options$sampleId <- "sample_id"
    target <- .flattenTarget(x, choice, cells, .coordinates(x, coords))
    .callPython("impute", options, target, collect = function(value) {
        if (task == "fill") {
            return(.graftImputed(x, .exchange$result, value$record, choice))
        }
        finer <- .assembleSpatialExperiment(.exchange$result)
        metadata(finer)$imputation <- value$record
        .likeTarget(x, finer, choice, coords)
    })
}

.checkImputedGenes <- function(genes, x) {
    unknown <- setdiff(genes, rownames(x))
    if (length(unknown)) {
        .stop("`genes`: not in `x`: ", .listSome(unknown))
    }
}

# Bring a new SpatialExperiment into the class of the user's object.
setMethod(".likeTarget", "SpatialExperiment", function(x, finer, choice, coords) {
    own <- colnames(spatialCoords(x))
    if (length(own) == ncol(spatialCoords(finer))) colnames(spatialCoords(finer)) <- own
    finer
})

setMethod(".likeTarget", "SingleCellExperiment", function(x, finer, choice, coords) {
    xy <- spatialCoords(finer)
    columns <- if (is.character(coords)) coords else colnames(xy)
    finer <- as(finer, "SingleCellExperiment")
    for (i in seq_along(columns)) finer[[columns[[i]]]] <- xy[, i]
    finer
})

setMethod(".likeTarget", "Seurat", function(x, finer, choice, coords) {
    cells <- as.data.frame(colData(finer))
    samples <- if (!is.null(metadata(finer)$imputation$samples)) cells$sample_id
    seurat <- .quietlyWithoutCounts(SeuratObject::CreateSeuratObject(
        .assay5(as(assay(finer, "imputed"), "dgCMatrix")),
        assay = choice$assay, meta.data = cells
    ))
    seurat <- .addImages(seurat, as.data.frame(spatialCoords(finer)), samples, choice$assay)
    .setMisc(seurat, "imputation", metadata(finer)$imputation)
})

# An assay with one layer, `data`. CreateAssay5Object() fails with one gene (SeuratObject 5.0.2: its setter
# of layers drops the dimension), so the layer is put in its slot.
.assay5 <- function(m) {
    if (nrow(m) > 1L) {
        return(SeuratObject::CreateAssay5Object(data = m))
    }
    features <- SeuratObject::LogMap(rownames(m))
    features[["data"]] <- rownames(m)
    cells <- SeuratObject::LogMap(colnames(m))
    cells[["data"]] <- colnames(m)
    new(
        methods::getClass("Assay5", where = asNamespace("SeuratObject")), layers = list(data = unname(m)),
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

# `"fill"` writes the assay `imputed` if layers cannot be added, which must not replace its own input.
.checkRoomForImputed <- function(x, choice) {
    if (choice$assay == "imputed" && choice$assay %in% SeuratObject::Assays(x) && .isAssay3(x, "imputed")) {
        .stop("`assay`: the result would replace the assay 'imputed' that it is computed from; rename that")
    }
}

# Seurat warns that an assay has no counts; that of imputed values has none by intent.
.quietlyWithoutCounts <- function(expr) {
    withCallingHandlers(expr, warning = function(w) {
        if (grepl("No layers found|Cannot find the layer", conditionMessage(w))) {
            invokeRestart("muffleWarning")
        }
    })
}
