#' Picture of spatial domains
#'
#' Draws every spot at its place in the colour of its domain.
#'
#' @param x An object with domains and positions.
#' @param domains Name of the column that holds the domains, or any other grouping of the spots.
#' @param coords,sampleId As in [transst()]; several samples get a panel each.
#' @param colours Colours of the domains, named by them or in the order of the levels; `NULL` takes a palette
#'   for the colour-blind, in which a level keeps its colour whether or not others occur.
#' @param spotSize Diameter of the spots in units of the coordinates; `NULL` is the distance between
#'   neighbouring spots, over an image 0.7 of it.
#' @param flipY Let y grow downwards, as in pictures?
#' @param image Draw the tissue's image behind the spots? An `image_id` of `imgData(x)`; `TRUE` takes
#'   `"hires"`, or else the first of the sample. Seurat objects must have images of class VisiumV2; there it
#'   is the resolution, and `TRUE` is `"lowres"`. The coordinates must be in pixels of the full resolution.
#' @param alpha Opacity of the spots, from 0 to 1.
#' @param ... The arguments above.
#'
#' @return A ggplot object.
#'
#' @details Spots are discs of their true size, which touch at every size of the picture. More than 50,000 are
#'   drawn as one image by the package scattermore, if it is installed.
#'
#' @seealso [plotConfidence()], [plotMarkers()], [plotAgreement()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' plotDomains(spe, "label")
#' @name plotDomains
NULL

.plotDomains <- function(
    x, domains = "transst", coords = NULL, sampleId = NULL, colours = NULL, spotSize = NULL,
    flipY = TRUE, image = FALSE, alpha = 1
) {
    value <- .asFactor(.cellColumn(x, domains, "domains"))
    colours <- .coloursOf(colours, levels(value))
    tissue <- .tissue(x, coords, sampleId, spotSize, image)
    tissue$spots$value <- value
    ggplot2::ggplot(tissue$spots, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
        .map(tissue, flipY, alpha, domains) +
        ggplot2::scale_colour_manual(
            values = colours, na.value = .MISSING, name = NULL,
            labels = function(names) ifelse(is.na(names), "no domain", .inPicture(names))
        )
}

#' @rdname plotDomains
#' @export
setMethod("plotDomains", "SingleCellExperiment", .plotDomains)

#' @rdname plotDomains
#' @export
setMethod("plotDomains", "Seurat", .plotDomains)
