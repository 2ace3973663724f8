#' Marker genes of spatial domains
#'
#' Compares every domain with the rest of the tissue, or with other domains, gene by gene.
#'
#' @param x An object with domains, as [transst()] returns it.
#' @param domains Name of the column that holds the domains; any factor will do.
#' @param assay,layer As in [transst()].
#' @param ... Arguments of the test: `method` (`"wilcoxon"`, `"t"` or `"contrast"`, which tests along the
#'   factors), `reference` (`"rest"`, `"pairwise"` or the name of a domain) and `normalization` (`"log"`,
#'   `"linear"`, or `"none"` for values that are normalised already).
#'
#' @return A [S4Vectors::DataFrame] with one row per domain and gene and columns `domain`, `gene`,
#'   `score`, `logFoldChange`, `pValue`, `pAdjusted` (Benjamini-Hochberg), `fractionIn` and
#'   `fractionOut` (of spots with the gene detected), best genes of a domain first. A `reference` other
#'   than the rest is a column of its own.
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
    x, domains = "transst", ..., assay = "counts"
) {
    .domainMarkers(x, domains, .assayChoice(x, assay, NULL), list(...))
})

#' @rdname domainMarkers
#' @export
setMethod("domainMarkers", "Seurat", function(
    x, domains = "transst", ..., assay = NULL, layer = "counts"
) {
    .domainMarkers(x, domains, .assayChoice(x, assay, layer), list(...))
})

.domainMarkers <- function(x, domains, choice, options) {
    found <- .cellColumn(x, domains, "domains")
    cells <- DataFrame(domain = droplevels(factor(found)))
    # Factor scores, where there are any: method = "contrast" tests along them.
    reduced <- .reductions(x)[.embeddingName(domains)]
    names(reduced) <- "X_domain"
    target <- .flattenTarget(x, choice, cells, reduced = Filter(Negate(is.null), reduced))
    options <- c(options, list(key = "domain", recorded = !is.null(.runRecord(x, domains))))
    table <- .callPython("markers", options, target, words = c(.markerWords(domains), .layerWords(x)))
    names(table) <- .toCamel(names(table))
    table$domain <- factor(table$domain, levels = levels(cells$domain))
    table$gene <- as.character(table$gene)
    DataFrame(table, row.names = NULL)
}

# The bridge calls the user's column "domain".
.markerWords <- function(domains) {
    stats::setNames(
        c(
            sprintf("column '%s'", domains),
            sprintf("the reduced dimension '%s'; `x` has none.", .embeddingName(domains)),
            sprintf("key_added='%s'", domains)
        ),
        c("adata.obs['domain']", "adata.obsm['X_domain']; it has none.", "key_added='domain'")
    )
}
