#' Picture of the agreement of domains with labels
#'
#' Draws in which domains the spots of each label lie.
#'
#' @param x An object with domains.
#' @param labels Name of a column with other labels of the spots, such as a pathologist's, or the labels
#'   themselves, one for each spot. Spots without a label or domain are left out.
#' @param excludeLabels Labels that count as missing, such as `"undetermined"`.
#' @param domains Name of the column that holds the domains.
#' @param ... The arguments above.
#'
#' @return A ggplot object: a row for each label with its number of spots, a column for each domain; the
#'   numbers are the row's shares in percent. The title has the [adjustedRandIndex()].
#'
#' @seealso [adjustedRandIndex()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' spe <- transst(spe, nDomains = 4, nFactors = 5)
#' plotAgreement(spe, "label")
#' @name plotAgreement
NULL

.MAXLABELS <- 60L

.plotAgreement <- function(x, labels, domains = "transst", excludeLabels = character()) {
    title <- if (.isColumnName(labels, x)) .inPicture(labels) else "labels"
    counts <- .agreementTable(x, labels, domains, excludeLabels)
    frame <- as.data.frame(counts, responseName = "spots", stringsAsFactors = TRUE)
    frame$share <- as.vector(100 * counts / rowSums(counts))
    rows <- sprintf("%s (%d)", .inPicture(rownames(counts)), rowSums(counts))
    names(rows) <- levels(frame$label) <- sprintf("%s (%d)", rownames(counts), rowSums(counts))
    shown <- frame[frame$spots > 0, ]
    shown$text <- ifelse(shown$share < 0.5, "<1", sprintf("%.0f", shown$share))
    ggplot2::ggplot(frame, ggplot2::aes(.data$domain, .data$label, fill = .data$share)) +
        ggplot2::geom_tile(colour = "white", linewidth = 0.6) +
        ggplot2::geom_text(
            ggplot2::aes(label = .data$text), shown, size = 3.2,
            colour = ifelse(shown$share > 55, "white", "black")
        ) +
        ggplot2::scale_fill_distiller(palette = "Blues", direction = 1, limits = c(0, 100), guide = "none") +
        ggplot2::scale_y_discrete(limits = rev, labels = rows) +
        ggplot2::scale_x_discrete(labels = .inPicture) +
        ggplot2::coord_cartesian(expand = FALSE) +
        ggplot2::labs(
            x = sprintf("domain (%s)", .inPicture(domains)), y = sprintf("%s (spots)", title),
            title = sprintf(
                "%s in the domains, %% of each row\nadjusted Rand index %.2f", title, attr(counts, "index")
            )
        ) +
        .chartTheme() +
        ggplot2::theme(axis.line = ggplot2::element_blank(), axis.ticks = ggplot2::element_blank())
}

.isColumnName <- function(labels, x) is.character(labels) && length(labels) == 1L && ncol(x) != 1L

# Spots of every label (rows) in every domain (columns), with the adjusted Rand index as attribute.
.agreementTable <- function(x, labels, domains, excludeLabels) {
    found <- .cellColumn(x, domains, "domains")
    given <- if (.isColumnName(labels, x)) .cellColumn(x, labels, "labels") else labels
    if (!is.atomic(given) || length(given) != ncol(x)) {
        .stop(
            "`labels` must be the name of a column or one label for each of the ", ncol(x), " spots, got ",
            length(given), " of class ", class(given)[1L]
        )
    }
    both <- !is.na(found) & !is.na(given) & !as.character(given) %in% excludeLabels
    if (!any(both)) {
        .stop("`labels`: no spot has both a label and a domain")
    }
    counts <- table(label = droplevels(factor(given[both])), domain = droplevels(factor(found[both])))
    if (nrow(counts) > .MAXLABELS) {
        .stop(
            "`labels` have ", nrow(counts), " different values, more than a table of ", .MAXLABELS,
            " rows can show; give classes"
        )
    }
    structure(counts, index = adjustedRandIndex(given[both], found[both]))
}

#' @rdname plotAgreement
#' @export
setMethod("plotAgreement", "SingleCellExperiment", .plotAgreement)

#' @rdname plotAgreement
#' @export
setMethod("plotAgreement", "Seurat", .plotAgreement)
