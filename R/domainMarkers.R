#' Marker genes of spatial domains
#'
#' Compares every domain with the rest of the tissue, or with other domains, gene by gene.
#'
#' @param x An object with domains, as [transst()] returns it.
#' @param domains Name of the column that holds the domains; any factor will do.
#' @param assay,layer As in [transst()].
#' @param allowImputed Test values that [imputeSpots()] made? They are refused otherwise: they are computed
#'   from other spots, so the tests would count the same measurements more than once.
#' @param ... Arguments of the test: `method` (`"wilcoxon"`, `"t"` or `"contrast"`, which tests along the
#'   factors), `reference` (`"rest"`, `"pairwise"` or the name of a domain) and `normalization` (`"log"`,
#'   `"linear"`, or `"none"` for values that are normalised already).
#'
#' @return A [S4Vectors::DataFrame] with one row per domain and gene and columns `domain`, `gene`,
#'   `score`, `logFoldChange`, `pValue`, `pAdjusted` (Benjamini-Hochberg), `fractionIn` and
#'   `fractionOut` (of spots with the gene detected), best genes of a domain first. A `reference` other
#'   than the rest is a column of its own. `metadata()` of the table holds the `parameters` of the test, and
#'   the identity of the fit whose domains they are: [plotMarkers()] and [transstReport()] refuse markers of
#'   another fit.
#'
#' @details The domains were found in the same data, so the p-values rank genes; they are no test of
#'   whether a domain exists. `method = "contrast"` warns about it for domains that [transst()] found in `x`.
#'
#' @seealso [transst()]
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' markers <- domainMarkers(spe, domains = "label")
#' head(markers)
#' @name domainMarkers
NULL

#' @rdname domainMarkers
#' @export
setMethod("domainMarkers", "SummarizedExperiment", function(
    x, domains = "transst", ..., assay = "counts", allowImputed = FALSE
) {
    .domainMarkers(x, domains, .assayChoice(x, assay, NULL), allowImputed, list(...))
})

#' @rdname domainMarkers
#' @export
setMethod("domainMarkers", "Seurat", function(
    x, domains = "transst", ..., assay = NULL, layer = "counts", allowImputed = FALSE
) {
    .domainMarkers(x, domains, .assayChoice(x, assay, layer), allowImputed, list(...))
})

.domainMarkers <- function(x, domains, choice, allowImputed, options) {
    found <- .cellColumn(x, domains, "domains")
    .warnOfMerged(x, domains)
    if (.isImputed(x, choice)) .warnOfImputed(choice, allowImputed)
    cells <- DataFrame(domain = droplevels(factor(found)))
    # Factor scores, where there are any: method = "contrast" tests along them.
    reduced <- .reductions(x)[.embeddingName(domains, x)]
    names(reduced) <- "X_domain"
    .checkMeasured(x, choice, "x", "assay")
    genes <- .sharedGenes(x, choice)
    target <- .flattenTarget(x, choice, cells, reduced = Filter(Negate(is.null), reduced), genes = genes)
    fit <- .runRecord(x, domains)
    options <- c(options, list(key = "domain", recorded = !is.null(fit)))
    answer <- .callPython("markers", options, target, words = c(.markerWords(domains, x), .layerWords(x)))
    table <- answer$table
    names(table) <- .toCamel(names(table))
    table$domain <- factor(table$domain, levels = levels(cells$domain))
    table$gene <- as.character(table$gene)
    table <- DataFrame(table, row.names = NULL)
    answer$parameters$layer <- choice$name # as R's users know them
    answer$parameters$key <- domains
    answer$parameters$fit <- fit$id
    metadata(table)$parameters <- answer$parameters
    table
}

# An error, or, where imputed values are allowed, a warning.
.warnOfImputed <- function(choice, allowed) {
    why <- paste0(
        .placeOf(choice), " holds values that imputeSpots() computed from other spots, which are no ",
        "independent observations: their p-values come out too small"
    )
    if (!isTRUE(allowed)) {
        .stop(
            why, "; test the counts of the measured spots, or set `allowImputed = TRUE` to rank genes only"
        )
    }
    .warn(why, "transst_imputed_warning")
}

.placeOf <- function(choice) {
    if (is.null(choice$layer)) {
        return(paste0("`assay`: ", .quoteAssay(choice$assay)))
    }
    paste0("`layer`: layer '", choice$layer, "' of ", .quoteAssay(choice$assay))
}

# The bridge calls the user's column "domain".
.markerWords <- function(domains, x) {
    stats::setNames(
        c(
            sprintf("column '%s'", domains),
            sprintf("the reduced dimension '%s'; `x` has none.", .embeddingName(domains, x)),
            sprintf("key_added='%s'", domains)
        ),
        c("adata.obs['domain']", "adata.obsm['X_domain']; it has none.", "key_added='domain'")
    )
}
