#' Impute expression where none was measured
#'
#' Estimates expression between the measured spots (`"densify"`) or for spots whose measurement is
#' missing (`"fill"`), and how uncertain the estimates are.
#'
#' @param x A [SpatialExperiment::SpatialExperiment], a [SingleCellExperiment::SingleCellExperiment] with
#'   `coords`, or a Seurat (v5) object.
#' @param task `"densify"`: predict on a finer lattice that contains the measured spots. `"fill"`:
#'   predict missing spots: those with `x$measured` `FALSE` if there is such a column, else those without
#'   any count.
#' @param method One of these, or `"auto"` for the one that best predicts measured spots which are held out:
#' \describe{
#'   \item{`"nearest"`}{the value of the nearest measured spot}
#'   \item{`"knn"`}{mean of the nearest measured spots; how many is chosen for each gene}
#'   \item{`"kernel"`}{mean with weights from a Gaussian kernel; its width is chosen for each gene}
#'   \item{`"bilinear"`}{linear interpolation on the lattice}
#'   \item{`"bicubic"`}{cubic interpolation on the lattice}
#'   \item{`"gp"`}{a Gaussian process for each gene}
#'   \item{`"svd_gp"`}{a Gaussian process for each principal factor of the genes}
#'   \item{`"kriging"`}{a blend of these two}
#'   \item{`"domain_means"`}{the means of spatial domains that are found on the way}
#'   \item{`"s2s"`}{a neural network that learns, on the tissue itself and on natural images, to fill in what
#'     it was not shown (sparser to sparse)}
#' }
#' @param genes Genes to impute; `NULL` means all. The others still inform `"svd_gp"`, `"kriging"`,
#'   `"domain_means"` and `"s2s"`.
#' @param assay,layer,coords As in [transst()].
#' @param sampleId Name of a column that says which sample a spot belongs to. `NULL` means `sample_id` of a
#'   SpatialExperiment or the images of a Seurat object. Spots are imputed from their own sample only, and
#'   `"densify"` lays a lattice for each; the scale, the method and what it learns (widths, factors, the
#'   network) are of all samples together.
#' @param ... Further arguments:
#' \describe{
#'   \item{`candidates`}{the methods that `"auto"` chooses from; by default all that the
#'     data allow but `"s2s"`}
#'   \item{`normalization`}{`"log"`: the values are counts, which are scaled to the median total of the
#'     measured spots before log(1 + x) is taken; `"none"`: they are imputed as they are}
#'   \item{`nDomains`}{number of domains of `"domain_means"` (8)}
#'   \item{`preset`}{size of the network of `"s2s"`: `"lite"` (the default), `"medium"` or `"paper"`}
#'   \item{`naturalImages`}{images that it learns from: a folder, a list of matrices with values from 0 to 1,
#'     or by default the ones that come with the package}
#'   \item{`channels`}{what its images show: `"genes"`, `"factors"` of them, or `"auto"` (factors for more
#'     than 1000 genes)}
#'   \item{`fineTune`}{further steps of training for each gene by itself (0)}
#'   \item{`device`}{where it is trained: `"auto"`, `"cpu"` or `"cuda"`}
#'   \item{`checkpoint`}{file that keeps the state of the training, so that it can be resumed}
#'   \item{`seed`}{seed of all that is random (0)}
#'   \item{`verbose`}{show the progress of the training? By default in interactive sessions}
#' }
#'
#' @return For `"fill"`, `x` with the new assays `imputed` and `imputed_sd`; Seurat: new layers of these names
#'   or, as assays of class `Assay` (v3) hold no other layers than their own, new assays with the layer
#'   `data`. Genes that were not asked for are missing (`NaN`) at the spots that were filled.
#'
#'   For `"densify"`, a new object of the class of `x` on the finer lattice, with
#' \describe{
#'   \item{values}{the assays `imputed` and `imputed_sd` (Seurat: the layers `data` and `imputed_sd`)}
#'   \item{columns}{`measured`, `in_tissue`, `array_row` and `array_col`, with several samples also
#'     `sample_id`}
#'   \item{positions}{where `x` has them (a SingleCellExperiment: in the columns named by `coords`, or `x`
#'     and `y`; Seurat: in the image `lattice`, with several samples one image for each)}
#' }
#'
#'   `imputed` holds the measured values, on the scale that is imputed, where there are any. `imputed_sd` is
#'   the standard deviation of what would be measured there around the imputed value, and 0 at measured
#'   spots. Both tasks record what was done in `metadata(x)$imputation` (Seurat: `Misc(x, "imputation")`):
#'   among others `method`, `candidates` (a data frame of the errors at held-out spots), `details` (a list of
#'   what the method chose, such as the width or length-scale of each gene), `scale`, and `layers` (where the
#'   values are).
#'
#' @details Imputed values are estimates from other spots: fine to look at, but not independent observations.
#'   [domainMarkers()] refuses to test them.
#'
#'   `"densify"` needs a lattice, and so do the methods `"bilinear"`, `"bicubic"` and `"s2s"` of `"fill"`: the
#'   columns `array_row` and `array_col` or, without these, positions on a square lattice. (`"auto"` without
#'   `candidates` looks for no lattice in the positions of spots to fill.) `"s2s"` needs 24 measured spots in
#'   every sample and, without a GPU, minutes; it competes in `"auto"` if `candidates` name it.
#'
#' @seealso [plotImputation()] shows the values; [domainMarkers()] tests the measured ones; [binCells()] puts
#'   cells on a lattice.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' finer <- imputeSpots(spe, "densify", method = "kernel", genes = rownames(spe)[1:3])
#' finer
#'
#' # Spots that were lost, with the method chosen among some.
#' spe$measured <- seq_len(ncol(spe)) %% 9 != 0
#' filled <- imputeSpots(spe, "fill", candidates = c("nearest", "kernel", "gp"))
#' S4Vectors::metadata(filled)$imputation$candidates
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
    target <- .imputationTarget(x, choice, genes, coords, sampleId)
    options <- .imputationOptions(c(options, list(task = task, method = method)), genes, target)
    .callPython("impute", options, target, words = .layerWords(x), collect = function(value) {
        record <- value$record
        if (task == "fill") {
            return(.graftImputed(x, mget(record$layers, envir = .exchange), record, choice))
        }
        # They are what a new Seurat object is about.
        if (is(x, "Seurat")) record$layers[[1L]] <- "data"
        .makeLike(x, list(imputation = record), choice, coords, record$layers)
    })
}

.imputationTarget <- function(x, choice, genes, coords, sampleId) {
    .checkImputedGenes(genes, x)
    cells <- .withSamples(.cellData(x), x, sampleId)
    .checkMeasured(x, choice, "x", "assay")
    .flattenTarget(x, choice, cells, .coordinates(x, coords))
}

.imputationOptions <- function(options, genes, target) {
    options$genes <- genes
    if (is.null(options$verbose)) options$verbose <- interactive()
    if ("sample_id" %in% names(target$cells)) options$sampleId <- "sample_id"
    options
}

.checkImputedGenes <- function(genes, x) {
    unknown <- setdiff(genes, rownames(x))
    if (length(unknown)) {
        .stop("`genes`: not in `x`: ", .listSome(unknown))
    }
}

# `"fill"` writes assays if layers cannot be added, which must not replace its own input.
.checkRoomForImputed <- function(x, choice) {
    there <- intersect(choice$assay, SeuratObject::Assays(x))
    if (length(there) && there %in% .IMPUTED && .isAssay3(x, there)) {
        .stop(
            "`assay`: the result would replace the assay '", there, "' that it is computed from; rename that"
        )
    }
}

.IMPUTED <- c("imputed", "imputed_sd")

# Whether imputeSpots() made these values.
.isImputed <- function(x, choice) {
    any(c(choice$assay, choice$layer) %in% .records(x)$imputation$layers)
}
