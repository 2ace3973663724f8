#' Marker genes of spatial domains
#'
#' Compares every domain with the rest of the tissue, gene by gene.
#'
#' @param x An object with domains, as [transst()] returns it.
#' @param domains Name of the column that holds the domains; any factor will do.
#' @param assay,layer As in [transst()].
#' @param ... Arguments of the test, such as `normalization` (`"log"`; `"none"` for values that are
#'   normalised already); the same as in Python, in camelCase.
#'
#' @return A [S4Vectors::DataFrame] with one row per domain and gene and columns `domain`, `gene`,
#'   `score`, `logFoldChange`, `pValue`, `pAdjusted` (Benjamini-Hochberg), `fractionIn` and
#'   `fractionOut` (of spots with the gene detected), best genes of a domain first.
#'
#' @details The domains were found in the same data, so the p-values rank genes; they are no test of
#'   whether a domain exists.
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
    table <- .callPython(
        "markers", c(options, list(key = "domain")), .flattenTarget(x, choice, cells)
    )
    names(table) <- .toCamel(names(table))
    table$domain <- factor(table$domain, levels = levels(cells$domain))
    table$gene <- as.character(table$gene)
    DataFrame(table, row.names = NULL)
}
