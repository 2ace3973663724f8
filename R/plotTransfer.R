#' Picture of the choice of the transfer penalty
#'
#' Draws the cross-validated error of every penalty. The penalty says how strongly the loadings are held to
#' those of the source: 0 is no transfer, infinity takes the source's loadings as they are.
#'
#' @param x An object with domains found by [transst()] with a `source`.
#' @param name Name of the results of [transst()].
#' @param ... The arguments above.
#'
#' @return A ggplot object: the share of the variance of held-out spots that the factors do not explain (mean
#'   over the folds), with bars of one standard error of its difference from the best, and the chosen
#'   penalty.
#'
#' @seealso [transst()]
#'
#' @examplesIf transstAvailable()
#' tissue <- simulateTissue(seed = 1)
#' spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 5)
#' plotTransfer(spe)
#' @name plotTransfer
NULL

.plotTransfer <- function(x, name = "transst") {
    transfer <- .recordOf(x, name)$transfer
    penalties <- .numbers(transfer$cv_penalties)
    if (!length(penalties)) {
        .stop("`x` has no penalties to draw, since nothing was transferred; give transst() a `source`")
    }
    frame <- data.frame(
        penalty = penalties, at = .penaltyPlaces(penalties), error = colMeans(transfer$cv_errors),
        se = .numbers(transfer$cv_standard_errors)
    )
    chosen <- frame[penalties == transfer$penalty, ]
    inner <- frame[is.finite(penalties) & penalties > 0, ]
    axis <- .penaltyAxis(frame)
    ggplot2::ggplot(frame, ggplot2::aes(.data$at, .data$error)) +
        ggplot2::geom_vline(xintercept = chosen$at, linetype = "dashed", colour = "#999999") +
        # dotted up to the ends, which lie at no finite distance
        ggplot2::geom_line(linetype = "dotted", colour = .BLUE) +
        ggplot2::geom_line(data = inner, colour = .BLUE) +
        ggplot2::geom_errorbar(
            ggplot2::aes(ymin = .data$error - .data$se, ymax = .data$error + .data$se),
            width = 0.12, colour = .BLUE
        ) +
        ggplot2::geom_point(size = 1.6, colour = .BLUE) +
        ggplot2::geom_point(data = chosen, size = 3.5, colour = .BLUE) +
        ggplot2::scale_x_continuous(breaks = axis$breaks, labels = axis$labels) +
        ggplot2::labs(
            x = "penalty", y = "share of held-out variance\nleft unexplained",
            title = .penaltyTitle(transfer),
            caption = sprintf(
                "mean of %d folds, with standard errors of the difference from the smallest",
                nrow(transfer$cv_errors)
            )
        ) +
        .chartTheme() +
        # room for half of the last label
        ggplot2::theme(plot.margin = ggplot2::margin(6, 30, 6, 6))
}

# The decades of the penalties, with 0 and infinity one beyond the others.
.penaltyPlaces <- function(penalties) {
    finite <- is.finite(penalties) & penalties > 0
    ends <- if (any(finite)) range(log10(penalties[finite])) else c(0, 0)
    places <- ifelse(penalties == 0, ends[[1L]] - 1, ends[[2L]] + 1)
    replace(places, finite, log10(penalties[finite]))
}

# Ticks at powers of ten, and at the two ends if they are there.
.penaltyAxis <- function(frame) {
    inner <- frame$at[is.finite(frame$penalty) & frame$penalty > 0]
    powers <- if (length(inner)) seq(floor(min(inner)), ceiling(max(inner)))
    powers <- powers[powers >= min(inner, Inf) & powers <= max(inner, -Inf)]
    if (length(powers) < 2L) powers <- inner
    ends <- frame[frame$penalty %in% c(0, Inf), ]
    list(
        breaks = c(powers, ends$at),
        labels = c(
            sprintf("%g", 10^powers), ifelse(ends$penalty == 0, "0\nno transfer", "Inf\nfull transfer")
        )
    )
}

.penaltyTitle <- function(transfer) {
    penalty <- transfer$penalty
    meaning <- if (penalty == 0) " (no transfer)" else if (!is.finite(penalty)) " (full transfer)"
    classes <- if (transfer$transferred == "classes") "\nthe domains follow the source's classes"
    paste0("penalty ", sprintf("%g", penalty), " chosen", meaning, classes)
}

#' @rdname plotTransfer
#' @export
setMethod("plotTransfer", "SingleCellExperiment", .plotTransfer)

#' @rdname plotTransfer
#' @export
setMethod("plotTransfer", "Seurat", .plotTransfer)
