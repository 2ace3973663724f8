#' Sum cells or small bins on a square lattice
#'
#' Adds up the counts of the cells in each square of a lattice: for data without a lattice of their own,
#' such as cells of imaging platforms, and for bins that are too small.
#'
#' @param x A [SpatialExperiment::SpatialExperiment], a [SingleCellExperiment::SingleCellExperiment] with
#'   `coords`, or a Seurat (v5) object, with two coordinates for each cell.
#' @param binSize Side of the squares, in units of the coordinates.
#' @param ... `minCells` (1): squares with fewer cells are left out, with the cells in them.
#' @param assay,layer,coords As in [transst()].
#' @param sampleId Name of a column that says which sample a cell belongs to. `NULL` means `sample_id` of a
#'   SpatialExperiment or the images of a Seurat object. Every sample has a lattice of its own.
#'
#' @return A new object of the class of `x` with a column for each square that holds cells:
#' \describe{
#'   \item{counts}{assay (Seurat: layer) `counts`, the sums}
#'   \item{columns}{`array_row` and `array_col`, from 0 at the smallest coordinates of the sample; `n_cells`;
#'     with several samples `sample_id`}
#'   \item{positions}{the centres of the squares, where `x` has its own (a SingleCellExperiment: in the
#'     columns named by `coords`, or `x` and `y`; Seurat: in the image `lattice`, with several samples one
#'     image for each)}
#'   \item{record}{what was done, with the number of cells left out, in `metadata(x)$binning`; Seurat
#'     objects in `Misc(x, "binning")`}
#' }
#'
#' @details The lattice starts at the smallest coordinates of the sample. A cell on the line between two
#'   squares belongs to the one with the larger coordinate.
#'
#' @seealso [imputeSpots()] puts sites between the squares; [transst()] finds domains of them.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' binned <- binCells(spe, binSize = 200)
#' dim(binned)
#' table(binned$n_cells)
#' @name binCells
NULL

#' @rdname binCells
#' @export
setMethod("binCells", "SingleCellExperiment", function(
    x, binSize, ..., assay = "counts", coords = NULL, sampleId = NULL
) {
    .binCells(x, binSize, list(...), .assayChoice(x, assay, NULL), coords, sampleId)
})

#' @rdname binCells
#' @export
setMethod("binCells", "Seurat", function(
    x, binSize, ..., assay = NULL, layer = "counts", coords = NULL, sampleId = NULL
) {
    .binCells(x, binSize, list(...), .assayChoice(x, assay, layer), coords, sampleId)
})

.binCells <- function(x, binSize, options, choice, coords, sampleId) {
    if (missing(binSize) || is.null(binSize)) {
        .stop("`binSize` is missing: give the side of the squares, in units of the coordinates")
    }
    options <- c(options, list(binSize = binSize))
    cells <- .withSamples(S4Vectors::make_zero_col_DFrame(ncol(x)), x, sampleId)
    if (!is.null(cells$sample_id)) options$sampleId <- "sample_id"
    .checkMeasured(x, choice, "x", "assay")
    target <- .flattenTarget(x, choice, cells, .coordinates(x, coords))
    .callPython("bin", options, target, words = .layerWords(x), collect = function(value) {
        .makeLike(x, list(binning = value$record), choice, coords, layers = "counts")
    })
}
