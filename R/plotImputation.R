#' Picture of imputed expression
#'
#' Draws the expression of genes at the places of the spots, one panel per gene.
#'
#' @param x An object with imputed expression, as [imputeSpots()] returns it. Places outside the tissue
#'   (`x$in_tissue` is `FALSE`) are left out.
#' @param genes Names of genes.
#' @param assay Assay to show (Seurat: `NULL` means the default assay).
#' @param layer Layer of a Seurat assay.
#' @param log Show log(1 + value)? Imputed values are on that scale already, counts are not.
#' @param relative Divide the values of every gene by its largest one, so that all panels use all colours?
#' @param coords,pointSize,flipY As in [plotDomains()].
#' @param ... The arguments above.
#'
#' @return A ggplot object.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' finer <- imputeSpots(spe, method = "nearest", genes = rownames(spe)[1:2])
#' plotImputation(finer, rownames(spe)[1:2])
#' @name plotImputation
NULL

.plotImputation <- function(x, genes, choice, log, relative, coords, pointSize, flipY) {
    .checkShownGenes(genes, x)
    m <- .expression(x, choice)[genes, , drop = FALSE]
    keep <- .inTissue(x)
    xy <- .coordinates(x, coords)
    frame <- data.frame(
        x = rep(xy[keep, 1L], each = length(genes)), y = rep(xy[keep, 2L], each = length(genes)),
        gene = factor(rep(genes, sum(keep)), levels = genes), value = as.vector(m[, keep])
    )
    if (log) frame$value <- log1p(frame$value)
    if (relative) frame$value <- frame$value / stats::ave(frame$value, frame$gene, FUN = .positiveMax)
    ggplot2::ggplot(frame, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
        ggplot2::geom_point(size = pointSize %||% .pointSize(nrow(frame), length(genes)), shape = 16L) +
        ggplot2::scale_colour_viridis_c(name = .valueTitle(choice$name, log, relative)) +
        .tissueLayers(frame, flipY, "gene")
}

.positiveMax <- function(v) if (any(v > 0)) max(v) else 1

.valueTitle <- function(name, log, relative) {
    paste0(if (log) "log(1 + ", name, if (log) ")", if (relative) "\nrelative to\nits maximum")
}

.checkShownGenes <- function(genes, x) {
    unknown <- setdiff(genes, rownames(x))
    if (!length(genes) || length(unknown)) {
        .stop("`genes`: not in `x`: ", .listSome(unknown))
    }
}

.inTissue <- function(x) {
    inside <- .cellData(x)$in_tissue
    if (is.null(inside)) rep(TRUE, ncol(x)) else as.logical(inside)
}

#' @rdname plotImputation
#' @export
setMethod("plotImputation", "SingleCellExperiment", function(
    x, genes, assay = "imputed", log = FALSE, relative = FALSE, coords = NULL,
    pointSize = NULL, flipY = TRUE
) {
    .plotImputation(x, genes, .assayChoice(x, assay, NULL), log, relative, coords, pointSize, flipY)
})

#' @rdname plotImputation
#' @export
setMethod("plotImputation", "Seurat", function(
    x, genes, assay = NULL, layer = "data", log = FALSE, relative = FALSE, coords = NULL,
    pointSize = NULL, flipY = TRUE
) {
    .plotImputation(x, genes, .assayChoice(x, assay, layer), log, relative, coords, pointSize, flipY)
})
