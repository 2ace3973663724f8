#' Picture of marker genes
#'
#' Draws the best marker genes of every domain in all domains, as a dot plot or a heat map.
#'
#' @param x An object with domains, as [transst()] returns it.
#' @param markers Table of [domainMarkers()], of the domains that are drawn.
#' @param nGenes How many genes of every domain. A gene that is a marker of several is shown for the domain
#'   where its score is highest; where a test was against several domains, the smallest of its scores
#'   counts.
#' @param genes Names of genes: draw these, in this order, instead of the best of `markers`.
#' @param geneNames Name of a column of the gene data (`rowData(x)`; Seurat: of the default assay) with what
#'   genes are called in the picture, such as symbols where the row names are Ensembl's. `genes` may then be
#'   given by these, too.
#' @param kind `"dot"` or `"heatmap"`.
#' @param domains Name of the column that holds the domains.
#' @param assay,layer What to show, as in [transst()].
#' @param normalization `"log"`: every spot is scaled to the median library size, then log(1 + x).
#'   `"none"`: the values are normalised already.
#' @param ... The arguments above.
#'
#' @return A ggplot object. The colour is the mean log-normalised expression in the domain, scaled from 0 in
#'   the gene's lowest domain to 1 in its highest; the area of a dot is the share of the domain's spots that
#'   have the gene at all. The bars above the genes have the colours of [plotDomains()].
#'
#' @seealso [domainMarkers()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' markers <- domainMarkers(spe, domains = "label")
#' plotMarkers(spe, markers, nGenes = 3, domains = "label")
#' plotMarkers(spe, genes = c("gene1", "gene2"), kind = "heatmap", domains = "label")
#' @name plotMarkers
NULL

.plotMarkers <- function(x, markers, nGenes, genes, geneNames, kind, domains, choice, normalization) {
    # levels that no spot has keep their colours, but get no row
    found <- .asFactor(.cellColumn(x, domains, "domains"))
    colours <- .domainColours(levels(found))
    if (is.null(genes)) .checkSameFit(markers, x, domains)
    groups <- if (is.null(genes)) .topMarkers(markers, nGenes) else list(genes)
    chosen <- .findGenes(x, unlist(groups, use.names = FALSE), geneNames)
    shown <- .inPicture(.shownNames(x, geneNames)[chosen])
    frame <- .domainProfile(x, chosen, droplevels(found), choice, normalization)
    rows <- levels(frame$domain)
    ggplot2::ggplot(frame, ggplot2::aes(.data$column, .data$row)) +
        (if (kind == "dot") .dots() else .tiles()) +
        .groupBars(groups, colours) +
        ggplot2::scale_x_continuous(breaks = seq_along(shown), labels = shown, expand = c(0, 0.2)) +
        ggplot2::scale_y_reverse(breaks = seq_along(rows), labels = .inPicture(rows), expand = c(0, 0.1)) +
        ggplot2::coord_cartesian(clip = "off") +
        ggplot2::labs(x = NULL, y = "domain") +
        ggplot2::theme_minimal(base_size = 11) +
        ggplot2::theme(
            panel.grid = ggplot2::element_blank(), plot.background = .white(),
            plot.margin = ggplot2::margin(16, 6, 6, 6),
            axis.text.x = ggplot2::element_text(angle = 90, hjust = 1, vjust = 0.5, face = "italic")
        )
}

.MEANTITLE <- "mean expression\n(scaled for\neach gene)"

.dots <- function() {
    list(
        ggplot2::geom_point(
            ggplot2::aes(fill = .data$scaled, size = .data$fraction),
            shape = 21L, colour = "#777777", stroke = 0.3
        ),
        ggplot2::scale_size_area(
            name = "spots with\nthe gene", limits = c(0, 1), max_size = 6, breaks = c(0.25, 0.5, 0.75, 1),
            labels = function(share) sprintf("%.0f%%", 100 * share)
        ),
        ggplot2::scale_fill_viridis_c(name = .MEANTITLE, limits = c(0, 1)),
        ggplot2::guides(size = ggplot2::guide_legend(override.aes = list(fill = "#777777")))
    )
}

.tiles <- function() {
    list(
        ggplot2::geom_tile(ggplot2::aes(fill = .data$scaled)),
        ggplot2::scale_fill_viridis_c(name = .MEANTITLE, limits = c(0, 1))
    )
}

# A bar in the domain's colour, and its name, above the genes of a domain.
.groupBars <- function(groups, colours) {
    groups <- groups[lengths(groups) > 0L]
    last <- cumsum(lengths(groups))
    bars <- data.frame(last = last, first = last - lengths(groups) + 1L)
    bars$name <- names(groups)
    bars <- bars[bars$name %in% names(colours), , drop = FALSE]
    if (!nrow(bars)) {
        return(NULL)
    }
    list(
        ggplot2::annotate(
            "rect", xmin = bars$first - 0.45, xmax = bars$last + 0.45, ymin = 0.28, ymax = 0.38,
            fill = unname(colours[bars$name])
        ),
        ggplot2::annotate(
            "text", x = (bars$first + bars$last) / 2, y = 0.2, label = .inPicture(bars$name),
            vjust = 0, size = 3
        )
    )
}

# The best genes of every domain, each gene only where it scores highest; scores are positive.
.topMarkers <- function(markers, nGenes) {
    .checkMarkers(markers)
    if (!is.numeric(nGenes) || length(nGenes) != 1L || is.na(nGenes) || nGenes < 1 || nGenes %% 1 != 0) {
        .stop("`nGenes` must be a whole number from 1 on, got ", deparse1(nGenes))
    }
    table <- data.frame(
        domain = .asFactor(markers$domain), gene = as.character(markers$gene), score = markers$score
    )
    # of several references the one that tells least
    table <- table[order(table$score), ]
    table <- table[!duplicated(table[c("domain", "gene")]), ]
    table <- table[order(-table$score), ]
    table <- table[which(table$score > 0 & !duplicated(table$gene)), ]
    groups <- lapply(split(table$gene, table$domain), utils::head, nGenes)
    if (!sum(lengths(groups))) {
        .stop("`markers`: no gene is higher in a domain than outside; choose `genes`")
    }
    groups
}

.checkMarkers <- function(markers) {
    columns <- c("domain", "gene", "score")
    if (is.null(markers)) {
        .stop("`markers` is missing: give the table of domainMarkers(x), or choose `genes`")
    }
    if (!(is.data.frame(markers) || is(markers, "DataFrame")) || !all(columns %in% names(markers))) {
        .stop(
            "`markers` must be a table of domainMarkers(), with columns ", .listSome(columns), ", got ",
            class(markers)[1L]
        )
    }
}

# Every gene in every domain: `scaled`, its mean from 0 to 1, and `fraction`, the share of spots that have it.
.domainProfile <- function(x, genes, domains, choice, normalization) {
    with <- !is.na(domains)
    m <- .expression(x, choice, genes = .genesBeside(x, choice, genes))[, with, drop = FALSE]
    values <- m[genes, , drop = FALSE]
    if (normalization == "log") values <- .logNormalised(values, Matrix::colSums(m))
    members <- outer(as.integer(domains[with]), seq_len(nlevels(domains)), `==`) * 1
    weights <- sweep(members, 2L, colSums(members), "/")
    mean <- as.matrix(values %*% weights)
    low <- apply(mean, 1L, min)
    spread <- apply(mean, 1L, max) - low
    scaled <- (mean - low) / ifelse(spread > 0, spread, 1)
    fraction <- as.matrix((values > 0) %*% weights)
    at <- expand.grid(column = seq_along(genes), row = seq_len(nlevels(domains)))
    data.frame(
        at, gene = genes[at$column], domain = factor(levels(domains)[at$row], levels(domains)),
        scaled = as.vector(scaled), fraction = pmin(1, as.vector(fraction))
    )
}

# log(1 + x) of values (genes x spots) scaled to the median of the spots' totals; zeros stay zeros.
.logNormalised <- function(values, totals) {
    target <- if (any(totals > 0)) stats::median(totals[totals > 0]) else 1
    log1p(values %*% Matrix::Diagonal(x = ifelse(totals > 0, target / totals, 0)))
}

#' @rdname plotMarkers
#' @export
setMethod("plotMarkers", "SingleCellExperiment", function(
    x, markers = NULL, nGenes = 5, genes = NULL, geneNames = NULL, kind = c("dot", "heatmap"),
    domains = "transst", assay = "counts", normalization = c("log", "none")
) {
    choice <- .assayChoice(x, assay, NULL)
    .plotMarkers(
        x, markers, nGenes, genes, geneNames, match.arg(kind), domains, choice, match.arg(normalization)
    )
})

#' @rdname plotMarkers
#' @export
setMethod("plotMarkers", "Seurat", function(
    x, markers = NULL, nGenes = 5, genes = NULL, geneNames = NULL, kind = c("dot", "heatmap"),
    domains = "transst", assay = NULL, layer = "counts", normalization = c("log", "none")
) {
    choice <- .assayChoice(x, assay, layer)
    .plotMarkers(
        x, markers, nGenes, genes, geneNames, match.arg(kind), domains, choice, match.arg(normalization)
    )
})
