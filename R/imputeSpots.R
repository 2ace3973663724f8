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
    cells <- .withSamples(.cellData(x), x, sampleId)
    if (!is.null(cells$sample_id)) options$sampleId <- "sample_id"
    target <- .flattenTarget(x, choice, cells, .coordinates(x, coords))
    .callPython("impute", options, target, collect = function(value) {
        if (task == "fill") {
            return(.graftImputed(x, .exchange$result, value$record, choice))
        }
        .makeLike(x, list(imputation = value$record), choice, coords, layer = "data")
    })
}

.checkImputedGenes <- function(genes, x) {
    unknown <- setdiff(genes, rownames(x))
    if (length(unknown)) {
        .stop("`genes`: not in `x`: ", .listSome(unknown))
    }
}

# `"fill"` writes the assay `imputed` if layers cannot be added, which must not replace its own input.
.checkRoomForImputed <- function(x, choice) {
    if (choice$assay == "imputed" && choice$assay %in% SeuratObject::Assays(x) && .isAssay3(x, "imputed")) {
        .stop("`assay`: the result would replace the assay 'imputed' that it is computed from; rename that")
    }
}
