#' How well methods impute
#'
#' Hides measured spots, imputes them by several methods, and scores every gene at the hidden spots. A method
#' sees the spots that are shown and the places of the hidden ones, nothing else.
#'
#' @param x,genes,assay,layer,coords As in [imputeSpots()]. Spots that are not measured have no part.
#' @param methods Methods of [imputeSpots()], `"auto"` included.
#' @param sampleId As in [imputeSpots()]. Spots are hidden in every sample, methods learn from all samples
#'   together, and each sample is scored by itself.
#' @param ... Which spots are hidden, and further arguments:
#' \describe{
#'   \item{`stride`}{spacing of the spots that a comb shows (2), in sites of the lattice; a comb is the task
#'     of `imputeSpots(task = "densify")`}
#'   \item{`phases`}{combs: `"all"`, the stride^2 sub-lattices one after the other; some of them, a list of
#'     pairs such as `list(c(0, 0), c(1, 0))`; or `list()` for none}
#'   \item{`fractions`}{shares of the spots to hide at random}
#'   \item{`holeFractions`, `holeRadius`}{shares of the spots to hide in holes, and their radius in units of
#'     the typical distance between neighbouring spots (2)}
#'   \item{`normalization`, `seed`, `verbose`}{as in [imputeSpots()]}
#'   \item{`options`}{further arguments of methods, a list by method, such as
#'     `list(domain_means = list(nDomains = 5), s2s = list(preset = "medium"))`}
#' }
#'
#' @return A [S4Vectors::DataFrame] with one row per method, pattern of hidden spots, gene and, with several
#'   samples, sample:
#' \describe{
#'   \item{`method`, `phase`, `sample`, `gene`}{which: `phase` is the pattern, such as `"comb 0,1"`,
#'     `"random 10%"` or `"holes 30%"`; `sample` is there with several samples only}
#'   \item{`n`}{number of hidden spots}
#'   \item{`pcc`, `spearman`}{correlations of the imputed and the true values}
#'   \item{`rmse`, `mae`}{root mean square and mean absolute error}
#'   \item{`js`}{Jensen-Shannon distance of the two, as distributions over the spots}
#'   \item{`ssim`}{structural similarity of the two as images}
#'   \item{`moranDifference`}{Moran's I of the imputed values minus that of the true ones}
#'   \item{`seconds`}{time to fit and to predict all genes}
#' }
#'   The last two scores are `NaN` where no lattice is known. `metadata()` of the table holds the `parameters`
#'   and, as their element `chosen`, the method that `"auto"` took in each phase.
#'
#' @seealso [imputeSpots()]; [plotImputation()] with `truth` draws the errors of one gene.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' scores <- evaluateImputation(
#'     spe, c("nearest", "kernel"), phases = list(c(0, 0)), genes = rownames(spe)[1:20]
#' )
#' head(scores)
#' tapply(scores$rmse, scores$method, mean)
#' @name evaluateImputation
NULL

#' @rdname evaluateImputation
#' @export
setMethod("evaluateImputation", "SingleCellExperiment", function(
    x, methods = c("nearest", "bilinear", "kernel", "gp", "svd_gp", "kriging", "s2s"), ..., genes = NULL,
    assay = "counts", coords = NULL, sampleId = NULL
) {
    .evaluateImputation(x, methods, genes, list(...), .assayChoice(x, assay, NULL), coords, sampleId)
})

#' @rdname evaluateImputation
#' @export
setMethod("evaluateImputation", "Seurat", function(
    x, methods = c("nearest", "bilinear", "kernel", "gp", "svd_gp", "kriging", "s2s"), ..., genes = NULL,
    assay = NULL, layer = "counts", coords = NULL, sampleId = NULL
) {
    .evaluateImputation(x, methods, genes, list(...), .assayChoice(x, assay, layer), coords, sampleId)
})

.evaluateImputation <- function(x, methods, genes, options, choice, coords, sampleId) {
    target <- .imputationTarget(x, choice, genes, coords, sampleId)
    options <- .imputationOptions(c(options, list(methods = methods)), genes, target)
    answer <- .callPython("evaluate", options, target, words = .layerWords(x))
    table <- answer$table
    names(table) <- .toCamel(names(table))
    table <- DataFrame(table, row.names = NULL)
    answer$parameters$layer <- choice$name # as R's users know it
    metadata(table)$parameters <- answer$parameters
    table
}
