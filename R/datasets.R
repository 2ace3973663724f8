#' HER2-positive breast cancer sections
#'
#' Sections of the public data set of Andersson et al. (2021), with the pathologist's labels where there
#' are any (sections A1 to H1).
#'
#' @param section Name of a section, such as `"H1"`.
#'
#' @return A [SpatialExperiment::SpatialExperiment] with the assay `counts` (sparse), the pathologist's
#'   `label`, the place on the array (`array_row`, `array_col`), and positions in pixels. The origin of
#'   the data is in `metadata(x)$source`.
#'
#' @details Files are looked up in the folder named by the environment variable `TRANSST_DATA_DIR`, then
#'   in the cache, and else downloaded and checked against their checksums. If that fails, the error has
#'   class `transst_python_DataUnavailableError`.
#'
#' @references Andersson A. et al. (2021). Spatial deconvolution of HER2-positive breast cancer
#'   delineates tumor-associated cell type interactions. Nature Communications 12, 6012.
#'
#' @examples
#' if (interactive()) {
#'     her2st("H1")
#' }
#' @export
her2st <- function(section) {
    .callPython("her2st", list(section = section), collect = function(value) {
        spe <- .assembleSpatialExperiment(.exchange$result, section)
        metadata(spe)$source <- value$record
        spe
    })
}

#' Simulated tissue
#'
#' A target and a labelled source with the same gene programmes, for trying things out. The domains of
#' the target are drawn from a Potts model.
#'
#' @param ... Arguments of the simulation, the same as `transst_py.datasets.simulated_tissue()` has, in
#'   camelCase; `seed` among them.
#'
#' @return A list of two [SpatialExperiment::SpatialExperiment] objects, `target` and `source`, both with
#'   the assay `counts` and the true `label`.
#'
#' @examplesIf transstAvailable()
#' simulateTissue(seed = 1)
#' @export
simulateTissue <- function(...) {
    .callPython("simulate", list(...), collect = function(value) {
        list(
            target = .assembleSpatialExperiment(.exchange$result, "target"),
            source = .assembleSpatialExperiment(.exchange$source, "source")
        )
    })
}
