#' What was taken from the sources, and why
#'
#' Says in words and tables how relevant the sources are, which were used and why others were not, whether
#' their labels can be trusted, how much of their loadings and classes was taken over, and which domains bear
#' the name of a class.
#'
#' @param x An object with domains found by [transst()] with a `source`.
#' @param name Name of the results of [transst()].
#' @param ... The arguments above.
#'
#' @return A list of class `transferReport`, which prints the words:
#' * `words`: a sentence for each finding.
#' * `sources`: a [S4Vectors::DataFrame] with `source`, `sharedGenes` (how many of those of `x` it has),
#'   `relevance` (0 chance, 1 a neighbouring slice),
#'   `labelDependence` (0 labels in random order, 1 classes that do not overlap), `randomLabels` (whether the
#'   labels might be in random order), `used`, `labelNoise` (estimated share of wrong labels), `hiddenScore`
#'   (adjusted Rand index of labels that were hidden and predicted) and `trust` (that score x relevance
#'   squared; 0.35 is needed for the spots to follow the labels).
#' * `suspicious`: rows whose label is more likely wrong than right, the surest first: `source`, `row`, label
#'   `given` and `likely`, and the `probability` of the latter.
#' * `domains`: `domain`, `nSpots`, `name` (a class, or "unknown"), the `likely` class, the `correlation` of
#'   their profiles, the `lower` end of its 95 % interval, and the correlation with the `second` class.
#' * `smoothing`: how well hidden labels of the sources are predicted (`score`) after so many rounds of
#'   averaging over neighbours, of the expression (`featureRounds`) and of the probabilities (`labelRounds`),
#'   and the `weight` that this way has for the target.
#'
#' What nobody measured is `NA`. [transstReport()] has the same words with pictures.
#'
#' @seealso [transst()], [plotTransfer()]
#'
#' @examplesIf transstAvailable()
#' tissue <- simulateTissue(seed = 1)
#' spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 5)
#' report <- transferReport(spe)
#' report
#' report$domains
#' @name transferReport
NULL

.transferReport <- function(x, name = "transst") {
    fit <- .recordOf(x, name)
    domains <- as.character(.cellColumn(x, name, "name"))
    options <- list(name = name, fit = fit, domains = domains[!is.na(domains)])
    found <- .callPython("transfer_report", options, words = c("`key`" = "`name`"))
    tables <- lapply(found[c("sources", "suspicious", "domains", "smoothing")], .namedAsInR)
    structure(c(list(words = as.character(found$words)), tables), class = "transferReport")
}

.namedAsInR <- function(table) {
    table[] <- lapply(table, function(column) replace(column, is.na(column), NA)) # NaN in Python
    names(table) <- .toCamel(names(table))
    DataFrame(table, row.names = NULL)
}

#' @rdname transferReport
#' @export
setMethod("transferReport", "SingleCellExperiment", .transferReport)

#' @rdname transferReport
#' @export
setMethod("transferReport", "Seurat", .transferReport)

#' @export
print.transferReport <- function(x, ...) {
    writeLines(unlist(lapply(x$words, strwrap, initial = "* ", prefix = "  ")))
    invisible(x)
}
