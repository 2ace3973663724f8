#' Picture of imputed expression
#'
#' Draws the expression of genes at the places of the spots, one panel per gene; or of one gene beside the
#' values that were hidden from the imputation.
#'
#' @param x An object with imputed expression, as [imputeSpots()] returns it. Places outside the tissue
#'   (`x$in_tissue` is `FALSE`) are left out.
#' @param genes Names of genes.
#' @param assay Assay to show (Seurat: `NULL` means the default assay).
#' @param layer Layer of a Seurat assay.
#' @param log Show log(1 + value)? Imputed values are on that scale already, counts are not.
#' @param relative Divide the values of every gene by its largest one, so that all panels use all colours?
#' @param coords,pointSize,flipY As in [plotDomains()].
#' @param truth A matrix (genes x spots) of what [imputeSpots()] would have been given at the spots that it
#'   imputed, with the names of genes and spots, such as the counts of the object before spots were hidden. It
#'   is brought to the scale of the imputed values. `genes` must then be one gene, and the package patchwork
#'   be installed.
#' @param ... The arguments above.
#'
#' @return A ggplot object. With `truth`, a patchwork of four panels: the observed, the imputed and the true
#'   values in the same colours, and the errors (imputed - true) of the spots that were hidden.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' finer <- imputeSpots(spe, method = "nearest", genes = rownames(spe)[1:2])
#' plotImputation(finer, rownames(spe)[1:2])
#'
#' if (requireNamespace("patchwork", quietly = TRUE)) {
#'     spe$measured <- seq_len(ncol(spe)) %% 3 != 0
#'     filled <- imputeSpots(spe, "fill", method = "kernel")
#'     plotImputation(filled, "gene1", truth = SingleCellExperiment::counts(spe))
#' }
#' @name plotImputation
NULL

.plotImputation <- function(x, genes, choice, log, relative, coords, pointSize, flipY, truth) {
    .checkShownGenes(genes, x)
    values <- list(value = as.matrix(.expression(x, choice, genes = genes)))
    if (!is.null(truth)) values$truth <- .truthOf(x, values$value, truth)
    if (log) values <- lapply(values, log1p)
    if (relative) {
        largest <- apply(do.call(cbind, values), 1L, .positiveMax)
        values <- lapply(values, function(v) v / largest)
    }
    keep <- .inTissue(x)
    xy <- .coordinates(x, coords)
    frame <- data.frame(
        x = rep(xy[keep, 1L], each = length(genes)), y = rep(xy[keep, 2L], each = length(genes)),
        gene = factor(rep(genes, sum(keep)), levels = genes),
        lapply(values, function(v) as.vector(v[, keep]))
    )
    if (!is.null(truth)) {
        frame$measured <- as.logical(.cellData(x)$measured)[keep]
        title <- .valueTitle(.scaleTitle(.records(x)$imputation), log, relative)
        return(.plotAgainstTruth(frame, title, pointSize, flipY))
    }
    size <- pointSize %||% .pointSize(nrow(frame), length(genes))
    .drawValues(frame, size, .valueTitle(choice$name, log, relative)) + .tissueLayers(frame, flipY, "gene")
}

# `without`: spots without a value, drawn beneath the others.
.drawValues <- function(frame, size, title, limits = NULL, without = NULL) {
    ggplot2::ggplot(frame, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
        (if (!is.null(without)) {
            ggplot2::geom_point(data = without, size = size, shape = 16L, colour = "grey92")
        }) +
        ggplot2::geom_point(size = size, shape = 16L) +
        ggplot2::scale_colour_viridis_c(name = title, limits = limits)
}

.positiveMax <- function(v) if (any(v > 0)) max(v) else 1

.valueTitle <- function(name, log, relative) {
    paste0(if (log) "log(1 + ", name, if (log) ")", if (relative) "\nrelative to\nits maximum")
}

# ---- Beside the truth --------------------------------------------------------------------------------

.plotAgainstTruth <- function(frame, title, pointSize, flipY) {
    size <- pointSize %||% .pointSize(nrow(frame), 4L)
    limits <- range(frame$value, frame$truth)
    observed <- frame[frame$measured, ]
    hidden <- frame[!frame$measured, ]
    true <- transform(frame, value = frame$truth)
    panels <- list(
        .drawValues(observed, size, title, limits, without = hidden) +
            ggplot2::ggtitle(sprintf("observed, %d spots", nrow(observed))),
        .drawValues(frame, size, title, limits) + ggplot2::ggtitle("imputed"),
        .drawValues(true, size, title, limits) + ggplot2::ggtitle("truth"),
        .drawErrors(hidden, size) + ggplot2::ggtitle(sprintf("error, %d hidden spots", nrow(hidden)))
    )
    shared <- list(
        # all panels cover the whole tissue
        ggplot2::expand_limits(x = range(frame$x), y = range(frame$y)),
        .tissueLayers(frame, flipY, NULL),
        ggplot2::theme(
            plot.title = ggplot2::element_text(size = 11, hjust = 0.5),
            plot.margin = ggplot2::margin(6, 6, 6, 6)
        )
    )
    panels <- lapply(panels, `+`, shared)
    patchwork::wrap_plots(panels, ncol = 2L, guides = "collect") +
        patchwork::plot_annotation(title = levels(frame$gene))
}

.drawErrors <- function(frame, size) {
    error <- frame$value - frame$truth
    ggplot2::ggplot(frame, ggplot2::aes(.data$x, .data$y, colour = error)) +
        ggplot2::geom_point(size = size, shape = 16L) +
        ggplot2::scale_colour_gradient2(
            name = "imputed - truth", low = "#2166AC", mid = "grey93", high = "#B2182B",
            limits = c(-1, 1) * .positiveMax(abs(error))
        )
}

# The values `m` of one gene with those of the imputed spots replaced by the truth, on the same scale.
.truthOf <- function(x, m, truth) {
    measured <- .cellData(x)$measured
    record <- .records(x)$imputation
    if (is.null(measured) || is.null(record)) {
        .stop("`truth` can be compared only with what imputeSpots() imputed in `x`; `x` has no record of it")
    }
    if (nrow(m) != 1L) {
        .stop("`genes` must be one gene if `truth` is given, got ", nrow(m))
    }
    if (!requireNamespace("patchwork", quietly = TRUE)) {
        .stop("`truth` needs the package patchwork; run install.packages(\"patchwork\")")
    }
    hidden <- !as.logical(measured)
    spots <- (colnames(x) %||% seq_len(ncol(x)))[hidden]
    truth <- .plainMatrix(truth, "`truth`")
    .checkTruth(truth, x, spots)
    m[, hidden] <- .onScaleOf(record, truth[, spots, drop = FALSE], rownames(m))
    m
}

.checkTruth <- function(truth, x, spots) {
    lost <- setdiff(spots, colnames(truth))
    if (length(lost)) {
        .stop("`truth` has no column for ", length(lost), " imputed spots: ", .listSome(lost))
    }
    # all are needed: the spots are scaled to a common total
    genes <- setdiff(rownames(x), rownames(truth))
    if (length(genes)) {
        .stop("`truth` has no row for ", length(genes), " genes of `x`: ", .listSome(genes))
    }
}

.scaleTitle <- function(record) if (is.nan(record$target_sum)) "value" else "log-normalised\nvalue"

# What imputeSpots() made of measured values, as its record says.
.onScaleOf <- function(record, counts, gene) {
    values <- counts[gene, ]
    if (is.nan(record$target_sum)) {
        return(values)
    }
    log1p(values * record$target_sum / pmax(Matrix::colSums(counts), .Machine$double.xmin))
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
    pointSize = NULL, flipY = TRUE, truth = NULL
) {
    choice <- .assayChoice(x, assay, NULL)
    .plotImputation(x, genes, choice, log, relative, coords, pointSize, flipY, truth)
})

#' @rdname plotImputation
#' @export
setMethod("plotImputation", "Seurat", function(
    x, genes, assay = NULL, layer = "data", log = FALSE, relative = FALSE, coords = NULL,
    pointSize = NULL, flipY = TRUE, truth = NULL
) {
    choice <- .assayChoice(x, assay, layer)
    .plotImputation(x, genes, choice, log, relative, coords, pointSize, flipY, truth)
})
