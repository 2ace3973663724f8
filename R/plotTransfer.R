#' Pictures of what a transfer was decided from
#'
#' `"penalty"`: the cross-validated error of every penalty. The penalty says how strongly the loadings are
#' held to those of the source: 0 is no transfer, infinity takes the source's loadings as they are.
#' `"smoothing"`: how well hidden labels of the sources are predicted after so many rounds of averaging over
#' neighbours. `"trust"`: relevance of every source and trust in its labels; from 0.35 on the spots follow
#' them.
#'
#' @param x An object with domains found by [transst()] with a `source`.
#' @param what What to draw.
#' @param name Name of the results of [transst()].
#' @param ... The arguments above.
#'
#' @return A ggplot object. `"penalty"`: the share of the variance of held-out spots that the factors do not
#'   explain (mean over the folds), with bars of one standard error of its difference from the best, and the
#'   chosen penalty. `"smoothing"`: the adjusted Rand index for every pair of rounds; those with a say are
#'   outlined. `"trust"`: bars for each source.
#'
#' @seealso [transst()]
#'
#' @examplesIf transstAvailable()
#' tissue <- simulateTissue(seed = 1)
#' spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 5)
#' plotTransfer(spe)
#' plotTransfer(spe, "smoothing")
#' @name plotTransfer
NULL

.plotTransfer <- function(x, what = c("penalty", "smoothing", "trust"), name = "transst") {
    what <- match.arg(what)
    record <- .recordOf(x, name)
    switch(what,
        penalty = .plotPenalties(record$transfer), smoothing = .plotSmoothing(record$transfer),
        trust = .plotTrust(record)
    )
}

.plotSmoothing <- function(transfer) {
    table <- as.data.frame(lapply(transfer$smoothing, .numbers))
    if (nrow(table) < 2L) {
        .stop(
            "`what` = \"smoothing\": no source with positions has had its labels tested; see ",
            "transferReport(x)"
        )
    }
    rounds <- function(values) factor(values, levels = sort(unique(values)))
    frame <- data.frame(
        features = rounds(table$feature_rounds), labels = rounds(table$label_rounds), score = table$score
    )
    middle <- mean(range(frame$score))
    ggplot2::ggplot(frame, ggplot2::aes(.data$features, .data$labels)) +
        ggplot2::geom_tile(ggplot2::aes(fill = .data$score)) +
        ggplot2::geom_tile(data = frame[table$weight > 0, ], fill = NA, colour = "#D55E00", linewidth = 0.8) +
        ggplot2::geom_text(
            ggplot2::aes(label = sprintf("%.2f", .data$score)),
            colour = ifelse(frame$score > middle, "black", "white"), size = 3
        ) +
        ggplot2::scale_fill_viridis_c() +
        ggplot2::labs(
            x = "rounds of averaging the expression", y = "rounds of averaging\nthe probabilities",
            fill = "score", title = "hidden labels of the source, predicted",
            caption = "adjusted Rand index; outlined: what the target is labelled by"
        ) +
        .chartTheme() +
        ggplot2::theme(plot.margin = ggplot2::margin(6, 6, 6, 6))
}

.plotTrust <- function(record) {
    names <- as.character(record$source$names)
    trust <- record$transfer$trust
    if (!length(trust)) {
        .stop("`what` = \"trust\": the labels of the source were not tested; see transferReport(x)")
    }
    keys <- gsub("/", "|", names, fixed = TRUE)
    values <- vapply(keys, function(key) as.numeric(trust[[key]] %||% NA_real_), double(1L))
    kinds <- c("relevance", "trust in its labels")
    frame <- data.frame(
        source = factor(rep(names, 2L), levels = rev(names)),
        value = c(.numbers(record$source$relevance), unname(values)),
        kind = factor(rep(kinds, each = length(names)), levels = rev(kinds))
    )
    ggplot2::ggplot(frame[is.finite(frame$value), ], ggplot2::aes(.data$value, .data$source)) +
        ggplot2::geom_col(ggplot2::aes(fill = .data$kind), position = "dodge", width = 0.7) +
        ggplot2::geom_vline(xintercept = .neededTrust, linetype = "dashed") +
        ggplot2::scale_fill_manual(
            values = stats::setNames(c("#9FC9E5", .BLUE), kinds), breaks = kinds, name = NULL
        ) +
        ggplot2::scale_y_discrete(labels = .inPicture) +
        ggplot2::labs(
            x = NULL, y = NULL, title = "sources",
            caption = sprintf("dashed: trust needed for the spots to follow the labels, %g", .neededTrust)
        ) +
        .chartTheme() +
        ggplot2::theme(plot.margin = ggplot2::margin(6, 6, 6, 6))
}

# As `MIN_TRUST` in Python.
.neededTrust <- 0.35

.plotPenalties <- function(transfer) {
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
