# Results of earlier fits: which of them a new fit may replace, and what belongs to which fit.

# What an earlier run of transst() recorded under this name, or NULL. Domains of several fits are no result.
.runRecord <- function(x, name) {
    records <- Filter(.isRecord, .recordsNamed(x, name))
    several <- length(unique(lapply(records, `[[`, "id")))
    if (several > 1L) {
        .stop(
            "`x` has the records of ", several, " fits named '", name, "', as cbind() leaves them: domains ",
            "of one are not those of the other; run transst() again, on `x`"
        )
    }
    if (length(records)) records[[1L]]
}

.recordsNamed <- function(x, name) {
    records <- as.list(.records(x))
    unname(records[names(records) == name])
}

.isRecord <- function(record) is.list(record) && is.list(record$params)

# A record in the place of those of its name: cbind() keeps all.
.replaceRecord <- function(records, name, value) {
    records[names(records) == name & duplicated(names(records))] <- NULL
    records[[name]] <- value
    records
}

# Only the results of an earlier run may be replaced.
.checkName <- function(name, x) {
    if (!is.character(name) || length(name) != 1L || is.na(name) || !nzchar(name)) {
        .stop("`name` must be one text that is not empty, got ", deparse1(name))
    }
    if (is(x, "Seurat") && name %in% names(x)) {
        .stop(
            "`name`: `x` has an assay, image or reduction named '", name, "'; choose another name"
        )
    }
    .checkReductionName(name, x)
    there <- .recordsNamed(x, name)
    if (!all(vapply(there, .isRecord, logical(1L)))) {
        .stop("`name`: the metadata of `x` has another element '", name, "'; choose another name")
    }
    if (!length(there)) .checkUnrecorded(name, x)
}

# Seurat may make one name of the reductions of two.
.checkReductionName <- function(name, x) {
    others <- setdiff(names(Filter(.isRecord, as.list(.records(x)))), name)
    same <- Filter(function(other) .embeddingName(other, x) == .embeddingName(name, x), others)
    if (length(same)) {
        .stop(
            "`name`: the reduction of '", name, "' would replace that of the results '", same[[1L]],
            "'; choose another name"
        )
    }
}

# Results without a record: merge() of Seurat objects loses it, and makes text of factors.
.checkUnrecorded <- function(name, x) {
    columns <- intersect(.resultColumns(name), names(.cellData(x)))
    reduction <- intersect(.embeddingName(name, x), names(.reductions(x)))
    if (!length(columns) && !length(reduction)) {
        return(invisible())
    }
    if (.areResults(x, name)) {
        .warn(
            paste0(
                "`x` has results '", name, "' of earlier fits without their record, as merge() leaves them; ",
                "they are replaced"
            ),
            "transst_replaced"
        )
        return(invisible())
    }
    kind <- if (length(columns)) "column" else "reduction"
    .stop(
        "`name`: `x` has a ", kind, " ", .listSome(if (length(columns)) columns else reduction),
        " that is not from an earlier run; choose another name, or remove the ", kind
    )
}

.resultColumns <- function(name) paste0(name, c("", "_confidence", "_class"))

# Whether columns and reduction of this name can only be ours, though nothing says so.
.areResults <- function(x, name) {
    cells <- .cellData(x)
    embedding <- .reductions(x)[[.embeddingName(name, x)]]
    key <- unique(sub("_[1-9][0-9]*$", "", colnames(embedding)))
    known <- is.null(embedding) || (length(key) == 1L && key %in% c("TransST", .seuratKey(name)))
    if (!any(.resultColumns(name) %in% names(cells))) {
        return(known)
    }
    # a name of the user's own choice is no evidence
    known && (name == "transst" || !is.null(embedding)) && .areResultColumns(cells, name)
}

.areResultColumns <- function(cells, name) {
    columns <- lapply(.resultColumns(name), function(column) cells[[column]])
    domains <- columns[[1L]]
    confidence <- columns[[2L]]
    given <- !is.na(domains)
    isText <- function(column) is.factor(column) || is.character(column)
    isText(domains) && any(given) && all(grepl("^[1-9][0-9]*$", domains[given])) &&
        is.numeric(confidence) && identical(which(is.na(confidence)), which(!given)) &&
        all(confidence[given] >= 0 & confidence[given] <= 1) &&
        (is.null(columns[[3L]]) || isText(columns[[3L]]))
}

# Domains of fits that were put together: the first of one object need not be the first of another. merge()
# of Seurat objects leaves text of them, and cbind() the records.
.warnOfMerged <- function(x, name) {
    isText <- is.character(.cellData(x)[[name]])
    if (isText && is.null(.runRecord(x, name)) && .areResults(x, name)) {
        .warn(
            paste0(
                "column '", name, "' of `x` has domains without the record of their fit, as merge() leaves ",
                "them: domain 1 of one object is not that of another; run transst() again, on `x`"
            ),
            "transst_merged_domains"
        )
    }
}

# Markers of another fit than the one whose domains are in this column now, or of other domains, are refused.
.checkSameFit <- function(markers, x, domains) {
    .checkMarkers(markers)
    again <- paste0(
        "; run domainMarkers(x", if (domains != "transst") paste0(", ", deparse1(domains)), ") again"
    )
    made <- if (is(markers, "DataFrame")) metadata(markers)$parameters
    there <- levels(.asFactor(.cellColumn(x, domains, "domains")))
    now <- .runRecord(x, domains)$id
    if (!is.null(made$fit) && !is.null(now) && made$fit != now) {
        .stop(
            "`markers` belong to another fit than the domains in column '", domains, "', which were found ",
            "later or by other options", again
        )
    }
    unknown <- setdiff(as.character(markers$domain), there)
    if (length(unknown)) {
        .stop("`markers` are of domains that `x` does not have: ", .listSome(unknown), again)
    }
    if (!is.null(made$key) && made$key != domains) {
        .stop("`markers` are of the domains in column '", made$key, "', not in column '", domains, "'", again)
    }
}
