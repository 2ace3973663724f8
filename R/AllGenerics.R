#' @rdname transst
#' @export
setGeneric(
    "transst",
    function(x, source = NULL, sourceLabels = NULL, nDomains = NULL, ...) standardGeneric("transst")
)

#' @rdname domainMarkers
#' @export
setGeneric("domainMarkers", function(x, ...) standardGeneric("domainMarkers"))

#' @rdname imputeSpots
#' @export
setGeneric(
    "imputeSpots",
    function(x, task = c("densify", "fill"), method = "auto", ...) standardGeneric("imputeSpots")
)

#' @rdname evaluateImputation
#' @export
setGeneric(
    "evaluateImputation",
    function(x, methods = c("nearest", "bilinear", "kernel", "gp", "svd_gp", "kriging", "s2s"), ...) {
        standardGeneric("evaluateImputation")
    }
)

#' @rdname binCells
#' @export
setGeneric("binCells", function(x, binSize, ...) standardGeneric("binCells"))

#' @rdname plotDomains
#' @export
setGeneric("plotDomains", function(x, ...) standardGeneric("plotDomains"))

#' @rdname plotConfidence
#' @export
setGeneric("plotConfidence", function(x, ...) standardGeneric("plotConfidence"))

#' @rdname plotMarkers
#' @export
setGeneric("plotMarkers", function(x, ...) standardGeneric("plotMarkers"))

#' @rdname plotTransfer
#' @export
setGeneric("plotTransfer", function(x, ...) standardGeneric("plotTransfer"))

#' @rdname transferReport
#' @export
setGeneric("transferReport", function(x, ...) standardGeneric("transferReport"))

#' @rdname plotConvergence
#' @export
setGeneric("plotConvergence", function(x, ...) standardGeneric("plotConvergence"))

#' @rdname plotNDomains
#' @export
setGeneric("plotNDomains", function(x, ...) standardGeneric("plotNDomains"))

#' @rdname plotAgreement
#' @export
setGeneric("plotAgreement", function(x, labels, ...) standardGeneric("plotAgreement"))

#' @rdname plotImputation
#' @export
setGeneric("plotImputation", function(x, genes, ...) standardGeneric("plotImputation"))

#' @rdname transstReport
#' @export
setGeneric("transstReport", function(x, file, ...) standardGeneric("transstReport"))

# ---- Internal: what the rest of the package asks of an object, whatever its class ----------------

setGeneric(".assayChoice", function(x, assay, layer) standardGeneric(".assayChoice"))
setGeneric(".expression", function(x, choice, what = "x", genes = NULL) standardGeneric(".expression"))
setGeneric(".unequalLayers", function(x, choice, what) standardGeneric(".unequalLayers"))
setGeneric(".checkMeasured", function(x, choice, what, argument) standardGeneric(".checkMeasured"))
setGeneric(".cellData", function(x) standardGeneric(".cellData"))
setGeneric(".geneData", function(x) standardGeneric(".geneData"))
setGeneric(".otherAssays", function(x) standardGeneric(".otherAssays"))
setGeneric(".reductions", function(x) standardGeneric(".reductions"))
setGeneric(".ownCoordinates", function(x) standardGeneric(".ownCoordinates"))
setGeneric(".ownSamples", function(x) standardGeneric(".ownSamples"))
setGeneric(".tissueImage", function(x, spots, image) standardGeneric(".tissueImage"))
setGeneric(".graftDomains", function(x, result, choice, name) standardGeneric(".graftDomains"))
setGeneric(".graftImputed", function(x, layers, record, choice) standardGeneric(".graftImputed"))
setGeneric(".likeTarget", function(x, made, choice, coords, layers) standardGeneric(".likeTarget"))
