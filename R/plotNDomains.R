#' Picture of the choice of the number of domains
#'
#' Draws the criterion and the stability of the labels against the number of domains.
#'
#' @inheritParams plotTransfer
#' @param x An object with domains found by [transst()] with several numbers in `nDomains`.
#'
#' @return A ggplot object. The criterion, on the left axis, is smaller for better numbers; the chosen one is
#'   marked. The stability, on the right axis, is the mean adjusted Rand index between fits to random parts of
#'   the spots, with bars of one standard deviation.
#'
#' @seealso [transst()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(nRows = 15, nCols = 12, seed = 1)$target
#' spe <- transst(spe, nDomains = 2:5, nFactors = 5)
#' plotNDomains(spe)
#' @name plotNDomains
NULL

.plotNDomains <- function(x, name = "transst") {
    choice <- .recordOf(x, name)$n_domains
    if (is.null(choice)) {
        .stop(
            "`x` has no choice of the number of domains; give transst() several, for example ",
            "`nDomains = 2:10`"
        )
    }
    frame <- as.data.frame(lapply(choice$table, .numbers))
    frame$value <- frame[[choice$criterion]]
    title <- if (choice$criterion == "slope") "slope criterion" else toupper(choice$criterion)
    chosen <- frame[frame$n_domains == choice$chosen, ]
    plot <- ggplot2::ggplot(frame, ggplot2::aes(.data$n_domains, .data$value)) +
        ggplot2::geom_vline(xintercept = choice$chosen, linetype = "dashed", colour = "#999999") +
        ggplot2::scale_x_continuous(breaks = .wholeBreaks) +
        ggplot2::labs(x = "number of domains", title = paste(choice$chosen, "domains chosen")) +
        .chartTheme() +
        ggplot2::theme(
            axis.title.y.left = ggplot2::element_text(colour = .BLUE),
            axis.text.y.left = ggplot2::element_text(colour = .BLUE)
        )
    plot + .stabilityLayers(frame, title) +
        ggplot2::geom_line(colour = .BLUE) +
        ggplot2::geom_point(size = 1.6, colour = .BLUE) +
        ggplot2::geom_point(data = chosen, size = 3.5, colour = .BLUE)
}

# The stability on an axis of its own at the right, whose ends are those of the criterion's.
.stabilityLayers <- function(frame, title) {
    title <- paste(title, "(smaller is better)")
    if (!any(is.finite(frame$stability))) {
        return(ggplot2::scale_y_continuous(name = title))
    }
    low <- min(0, frame$stability - frame$stability_sd, na.rm = TRUE)
    left <- range(frame$value)
    stretch <- if (diff(left) > 0) diff(left) / (1 - low) else 1
    place <- function(stability) left[[1L]] + (stability - low) * stretch
    shown <- frame[is.finite(frame$stability), ]
    list(
        ggplot2::geom_errorbar(
            ggplot2::aes(
                ymin = place(.data$stability - .data$stability_sd),
                ymax = place(.data$stability + .data$stability_sd)
            ),
            data = shown, width = 0.12, colour = .VERMILLION
        ),
        ggplot2::geom_line(
            ggplot2::aes(y = place(.data$stability)), shown, linetype = "dotted", colour = .VERMILLION
        ),
        ggplot2::geom_point(
            ggplot2::aes(y = place(.data$stability)), shown, shape = 15L, colour = .VERMILLION
        ),
        ggplot2::scale_y_continuous(name = title, sec.axis = ggplot2::sec_axis(
            function(y) low + (y - left[[1L]]) / stretch,
            name = "stability (adjusted Rand index)"
        )),
        ggplot2::theme(
            axis.title.y.right = ggplot2::element_text(colour = .VERMILLION),
            axis.text.y.right = ggplot2::element_text(colour = .VERMILLION)
        )
    )
}

#' @rdname plotNDomains
#' @export
setMethod("plotNDomains", "SingleCellExperiment", .plotNDomains)

#' @rdname plotNDomains
#' @export
setMethod("plotNDomains", "Seurat", .plotNDomains)
