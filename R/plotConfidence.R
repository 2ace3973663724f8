#' Picture of the confidence in the domains
#'
#' Draws how probable each spot's domain is, given the spot and its neighbours' domains.
#'
#' @param x An object with domains, as [transst()] returns it.
#' @param name Name of the results of [transst()].
#' @param coords,sampleId,spotSize,flipY,image,alpha As in [plotDomains()].
#' @param ... The arguments above.
#'
#' @return A ggplot object. Its colours reach from 0 to 1, so that pictures can be compared.
#'
#' @seealso [plotDomains()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' spe <- transst(spe, nDomains = 4, nFactors = 5)
#' plotConfidence(spe)
#' @name plotConfidence
NULL

.plotConfidence <- function(
    x, name = "transst", coords = NULL, sampleId = NULL, spotSize = NULL, flipY = TRUE, image = FALSE,
    alpha = 1
) {
    column <- paste0(name, "_confidence")
    value <- .checkProbabilities(.cellColumn(x, column, "name"), column)
    tissue <- .tissue(x, coords, sampleId, spotSize, image)
    tissue$spots$value <- value
    ggplot2::ggplot(tissue$spots, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
        .map(tissue, flipY, alpha, column) +
        ggplot2::scale_colour_viridis_c(
            name = "probability\nof the domain", limits = c(0, 1), na.value = .MISSING
        )
}

.checkProbabilities <- function(values, column) {
    wrong <- if (is.numeric(values)) values[which(values < 0 | values > 1 + 1e-9)] else values
    if (length(wrong)) {
        .stop(
            "`name`: column '", column, "' holds ", format(wrong[[1L]]), ", which is no probability; give ",
            "the name of results of transst()"
        )
    }
    pmin(values, 1)
}

#' @rdname plotConfidence
#' @export
setMethod("plotConfidence", "SingleCellExperiment", .plotConfidence)

#' @rdname plotConfidence
#' @export
setMethod("plotConfidence", "Seurat", .plotConfidence)
