#' Picture of the convergence of a fit
#'
#' Draws the log-likelihood after every iteration: of the source model, where there is a source, and of the
#' spatial mixture, unless the spots follow the labels of the source.
#'
#' @inheritParams plotTransfer
#' @param x An object with domains, as [transst()] returns it.
#'
#' @return A ggplot object with a panel for each model, which says whether it has converged.
#'
#' @seealso [transst()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' spe <- transst(spe, nDomains = 4, nFactors = 5)
#' plotConvergence(spe)
#' @name plotConvergence
NULL

.plotConvergence <- function(x, name = "transst") {
    record <- .recordOf(x, name)
    # no curve of sources that no model was fitted to, nor of a mixture where the spots follow the labels
    fits <- Filter(
        \(fit) length(fit$log_likelihoods), list("source model" = record$source, mixture = record$mixture)
    )
    frame <- do.call(rbind, unname(Map(.iterations, names(fits), fits)))
    frame$panel <- factor(frame$panel, levels = unique(frame$panel))
    ggplot2::ggplot(frame, ggplot2::aes(.data$iteration, .data$value, colour = .data$model)) +
        ggplot2::geom_line() +
        ggplot2::geom_point(size = 1) +
        ggplot2::facet_wrap(ggplot2::vars(.data$panel), scales = "free") +
        ggplot2::scale_x_continuous(breaks = .wholeBreaks) +
        ggplot2::scale_colour_manual(
            values = c(mixture = .BLUE, "source model" = .VERMILLION), guide = "none"
        ) +
        ggplot2::labs(x = "iteration", y = "log-likelihood") +
        .chartTheme()
}

.iterations <- function(model, fit) {
    values <- .numbers(fit$log_likelihoods)
    state <- if (isTRUE(fit$converged)) "converged" else "NOT converged"
    data.frame(
        model = model, panel = sprintf("%s\n%s after %d iterations", model, state, length(values)),
        iteration = seq_along(values), value = values
    )
}

#' @rdname plotConvergence
#' @export
setMethod("plotConvergence", "SingleCellExperiment", .plotConvergence)

#' @rdname plotConvergence
#' @export
setMethod("plotConvergence", "Seurat", .plotConvergence)
