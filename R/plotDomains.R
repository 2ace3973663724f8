#' Picture of spatial domains
#'
#' Draws every spot at its place in the colour of its domain.
#'
#' @param x An object with domains and positions.
#' @param domains Name of the column that holds the domains, or any other grouping of the spots.
#' @param coords,sampleId As in [transst()]; several samples get a panel each.
#' @param colours Colours of the domains, named by them; `NULL` takes a palette for the colour-blind, in
#'   the order of the levels.
#' @param pointSize Size of the points; `NULL` chooses by the density of the spots.
#' @param flipY Let y grow downwards, as in pictures?
#' @param ... The arguments above.
#'
#' @return A ggplot object.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' plotDomains(spe, "label")
#' @name plotDomains
NULL

.plotDomains <- function(
    x, domains = "transst", coords = NULL, sampleId = NULL, colours = NULL, pointSize = NULL,
    flipY = TRUE
) {
    frame <- .plotData(x, factor(.cellColumn(x, domains, "domains")), coords, sampleId)
    panels <- max(1L, nlevels(frame$sample))
    ggplot2::ggplot(frame, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
        ggplot2::geom_point(size = pointSize %||% .pointSize(nrow(frame), panels), shape = 16L) +
        ggplot2::scale_colour_manual(
            values = colours %||% .domainColours(levels(frame$value)),
            na.value = "grey85", name = domains,
            guide = ggplot2::guide_legend(override.aes = list(size = 3.5))
        ) +
        .tissueLayers(frame, flipY)
}

#' @rdname plotDomains
#' @export
setMethod("plotDomains", "SingleCellExperiment", .plotDomains)

#' @rdname plotDomains
#' @export
setMethod("plotDomains", "Seurat", .plotDomains)
