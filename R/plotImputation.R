#' Picture of imputed expression
#'
#' Draws the expression of genes at the places of the spots, one panel per gene; or of one gene beside the
#' values that were hidden from the imputation.
#'
#' @param x An object with imputed expression, as [imputeSpots()] returns it. Places outside the tissue
#'   (`x$in_tissue` is `FALSE`) are left out.
#' @param genes Names of genes.
#' @param geneNames As in [plotMarkers()].
#' @param assay Assay to show (Seurat: `NULL` means the default assay).
#' @param layer Layer of a Seurat assay.
#' @param log Show log(1 + value)? Imputed values are on that scale already, counts are not.
#' @param relative Divide the values of every gene by its largest one, so that all panels use all colours?
#' @param coords,sampleId,spotSize,flipY,image,alpha As in [plotDomains()].
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

.plotImputation <- function(x, genes, geneNames, choice, log, relative, tissue, flipY, alpha, truth) {
    .checkFlag(log, "log")
    .checkFlag(relative, "relative")
    called <- .shownNames(x, geneNames)[genes]
    twice <- called %in% called[duplicated(called)]
    called[twice] <- sprintf("%s (%s)", called[twice], genes[twice])
    values <- list(value = as.matrix(.expression(x, choice, genes = genes)))
    if (!is.null(truth)) values$truth <- .truthOf(x, values$value, truth)
    if (log) values <- lapply(values, log1p)
    if (relative) {
        largest <- apply(do.call(cbind, values), 1L, .positiveMax)
        values <- lapply(values, function(v) v / largest)
    }
    keep <- .inTissue(x)
    spots <- tissue$spots[rep(seq_len(sum(keep)), each = length(genes)), ]
    spots$gene <- factor(rep(called, sum(keep)), levels = called)
    for (name in names(values)) spots[[name]] <- as.vector(values[[name]][, keep])
    if (!is.null(truth)) {
        spots$measured <- as.logical(.cellData(x)$measured)[keep]
        title <- .valueTitle(.scaleTitle(.records(x)$imputation), log, relative)
        return(.plotAgainstTruth(spots, tissue$images, title, flipY, alpha))
    }
    tissue$spots <- spots
    ggplot2::ggplot(spots, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
        .map(tissue, flipY, alpha, facets = ggplot2::vars(.data$gene)) +
        ggplot2::scale_colour_viridis_c(name = .valueTitle(choice$name, log, relative))
}

.positiveMax <- function(v) if (any(v > 0)) max(v) else 1

.valueTitle <- function(name, log, relative) {
    paste0(if (log) "log(1 + ", name, if (log) ")", if (relative) "\nrelative to\nits maximum")
}

# ---- Beside the truth --------------------------------------------------------------------------------

.plotAgainstTruth <- function(spots, images, title, flipY, alpha) {
    observed <- spots[spots$measured, ]
    hidden <- spots[!spots$measured, ]
    true <- transform(spots, value = spots$truth)
    wrong <- transform(hidden, value = hidden$value - hidden$truth)
    values <- ggplot2::scale_colour_viridis_c(name = title, limits = range(spots$value, spots$truth))
    errors <- ggplot2::scale_colour_gradient2(
        name = "imputed - truth", low = "#2166AC", mid = "grey93", high = "#B2182B",
        limits = c(-1, 1) * .positiveMax(abs(wrong$value))
    )
    panel <- function(shown, scale, heading, beneath = NULL) {
        ggplot2::ggplot(shown, ggplot2::aes(.data$x, .data$y, colour = .data$value)) +
            beneath +
            .map(list(spots = shown, images = images), flipY, alpha, heading) +
            scale +
            # all panels cover the whole tissue
            ggplot2::expand_limits(x = range(spots$x), y = range(spots$y))
    }
    empty <- .spotLayer(nrow(hidden), hidden, colour = "grey92")
    panels <- list(
        panel(observed, values, sprintf("observed, %d spots", nrow(observed)), if (is.null(images)) empty),
        panel(spots, values, "imputed"),
        panel(true, values, "truth"),
        panel(wrong, errors, sprintf("error, %d hidden spots", nrow(hidden)))
    )
    patchwork::wrap_plots(panels, ncol = 2L, guides = "collect") +
        patchwork::plot_annotation(title = .inPicture(levels(spots$gene)))
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

.inTissue <- function(x) {
    inside <- .cellData(x)$in_tissue
    if (is.null(inside)) rep(TRUE, ncol(x)) else as.logical(inside)
}

#' @rdname plotImputation
#' @export
setMethod("plotImputation", "SingleCellExperiment", function(
    x, genes, assay = "imputed", log = FALSE, relative = FALSE, coords = NULL, sampleId = NULL,
    spotSize = NULL, flipY = TRUE, image = FALSE, alpha = 1, truth = NULL, geneNames = NULL
) {
    genes <- .findGenes(x, genes, geneNames)
    tissue <- .tissue(x, coords, sampleId, spotSize, image, .inTissue(x))
    choice <- .assayChoice(x, assay, NULL)
    .plotImputation(x, genes, geneNames, choice, log, relative, tissue, flipY, alpha, truth)
})

#' @rdname plotImputation
#' @export
setMethod("plotImputation", "Seurat", function(
    x, genes, assay = NULL, layer = "data", log = FALSE, relative = FALSE, coords = NULL,
    sampleId = NULL, spotSize = NULL, flipY = TRUE, image = FALSE, alpha = 1, truth = NULL,
    geneNames = NULL
) {
    genes <- .findGenes(x, genes, geneNames)
    tissue <- .tissue(x, coords, sampleId, spotSize, image, .inTissue(x))
    choice <- .assayChoice(x, assay, layer)
    .plotImputation(x, genes, geneNames, choice, log, relative, tissue, flipY, alpha, truth)
})
