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
#' @param ... Arguments of the method in camelCase, such as `seed`.
#'
#' @return For `"fill"`, `x` with a new assay (Seurat: layer) `imputed`. For `"densify"`, a new object of
#'   the class of `x` on the finer lattice, with the assay (Seurat: layer `data`) `imputed`, the columns
#'   `measured`, `in_tissue`, `array_row` and `array_col`, and positions where `x` has them (a
#'   SingleCellExperiment: in the columns named by `coords`, or `x` and `y`). Both record what was done in
#'   `metadata(x)$imputation`; Seurat objects in `Misc(x, "imputation")`.
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
    x, task = c("densify", "fill"), method = "auto", ..., genes = NULL, assay = "counts", coords = NULL
) {
    .imputeSpots(x, match.arg(task), method, genes, list(...), .assayChoice(x, assay, NULL), coords)
})

#' @rdname imputeSpots
#' @export
setMethod("imputeSpots", "Seurat", function(
    x, task = c("densify", "fill"), method = "auto", ..., genes = NULL, assay = NULL,
    layer = "counts", coords = NULL
) {
    .imputeSpots(x, match.arg(task), method, genes, list(...), .assayChoice(x, assay, layer), coords)
})

.imputeSpots <- function(x, task, method, genes, options, choice, coords) {
    .checkImputedGenes(genes, x)
    options <- c(options, list(task = task, method = method))
    options$genes <- genes
    target <- .flattenTarget(x, choice, .cellData(x), .coordinates(x, coords))
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
    seurat <- .quietlyWithoutCounts(SeuratObject::CreateSeuratObject(
        SeuratObject::CreateAssay5Object(data = as(assay(finer, "imputed"), "dgCMatrix")),
        assay = choice$assay, meta.data = cells
    ))
    xy <- as.data.frame(spatialCoords(finer))
    seurat[["lattice"]] <- SeuratObject::CreateFOV(
        SeuratObject::CreateCentroids(xy), assay = choice$assay
    )
    .setMisc(seurat, "imputation", metadata(finer)$imputation)
})

# Seurat warns that an assay has no counts; that of imputed values has none by intent.
.quietlyWithoutCounts <- function(expr) {
    withCallingHandlers(expr, warning = function(w) {
        if (grepl("No layers found|Cannot find the layer", conditionMessage(w))) {
            invokeRestart("muffleWarning")
        }
    })
}
