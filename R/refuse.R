# Methods for everything that the others do not take: an error that names the classes.

# `takes`: an object of these; NULL gets the same message as any other value.
.refuse <- function(x, takes = .CELLS) {
    hint <- ""
    found <- if (missing(x)) "nothing" else class(x)[1L]
    if (!missing(x) && is(x, "SummarizedExperiment")) {
        hint <- "; as(x, \"SingleCellExperiment\") makes one of it"
    } else if (found %in% c("matrix", "data.frame", "dgCMatrix")) {
        hint <- "; SpatialExperiment(list(counts = <genes x spots>), spatialCoords = <spots x 2>) makes one"
    } else if (found == "list") {
        hint <- "; give one object at a time, or join them with cbind()"
    }
    .stop("`x` must be a ", takes, " object, got ", found, hint)
}

.CELLS <- "SpatialExperiment, SingleCellExperiment or Seurat"

#' @rdname transst
#' @export
setMethod("transst", "ANY", function(x, source = NULL, sourceLabels = NULL, nDomains = NULL, ...) .refuse(x))

#' @rdname domainMarkers
#' @export
setMethod("domainMarkers", "ANY", function(x, ...) .refuse(x, paste0("SummarizedExperiment, ", .CELLS)))

#' @rdname imputeSpots
#' @export
setMethod("imputeSpots", "ANY", function(x, task = c("densify", "fill"), method = "auto", ...) .refuse(x))

#' @rdname evaluateImputation
#' @export
setMethod(
    "evaluateImputation", "ANY",
    function(x, methods = c("nearest", "bilinear", "kernel", "gp", "svd_gp", "kriging", "s2s"), ...) {
        .refuse(x)
    }
)

#' @rdname binCells
#' @export
setMethod("binCells", "ANY", function(x, binSize, ...) .refuse(x))

#' @rdname plotDomains
#' @export
setMethod("plotDomains", "ANY", function(x, ...) .refuse(x))

#' @rdname plotConfidence
#' @export
setMethod("plotConfidence", "ANY", function(x, ...) .refuse(x))

#' @rdname plotMarkers
#' @export
setMethod("plotMarkers", "ANY", function(x, ...) .refuse(x))

#' @rdname plotTransfer
#' @export
setMethod("plotTransfer", "ANY", function(x, ...) .refuse(x))

#' @rdname transferReport
#' @export
setMethod("transferReport", "ANY", function(x, ...) .refuse(x))

#' @rdname plotConvergence
#' @export
setMethod("plotConvergence", "ANY", function(x, ...) .refuse(x))

#' @rdname plotNDomains
#' @export
setMethod("plotNDomains", "ANY", function(x, ...) .refuse(x))

#' @rdname plotAgreement
#' @export
setMethod("plotAgreement", "ANY", function(x, labels, ...) .refuse(x))

#' @rdname plotImputation
#' @export
setMethod("plotImputation", "ANY", function(x, genes, ...) .refuse(x))

#' @rdname transstReport
#' @export
setMethod("transstReport", "ANY", function(x, file, ...) .refuse(x))
