# The sources as a named list of parts, each with one column "label".
.flattenSources <- function(source, labels, assay, layer, x, choice) {
    if (is.null(source)) {
        if (!is.null(labels)) {
            .stop("`sourceLabels` is given, but there is no `source`")
        }
        return(NULL)
    }
    sources <- .sourceList(source)
    what <- .sourceNames(source, sources)
    if (is.null(labels)) {
        .stop(
            "`sourceLabels` is missing: name the column of the source that holds the labels; it has ",
            .listSome(names(.cellData(sources[[1L]])))
        )
    }
    parts <- Map(
        function(s, name) .flattenSource(s, name, labels, .sourceChoice(s, assay, layer, x, choice)),
        sources, what
    )
    stats::setNames(parts, .keys(sources))
}

.flattenSource <- function(source, what, labels, choice) {
    label <- .cellColumn(source, labels, "sourceLabels", what)
    if (all(is.na(label))) {
        .stop("`sourceLabels`: all labels in column '", labels, "' of `", what, "` are NA")
    }
    .checkMeasured(source, choice, what, "sourceAssay")
    genes <- .sharedGenes(source, choice, what)
    m <- .storedAssay(source, choice) %||% .expression(source, choice, what, genes)
    .checkGenes(m, what)
    cells <- DataFrame(label = factor(as.character(label)))
    places <- .sourcePlaces(source, what)
    cells$sample <- places$samples
    .flatten(stats::setNames(list(m), choice$name), cells, coords = places$xy)
}

# Positions and samples of the rows of a source; none where it has no positions, or not of every row.
.sourcePlaces <- function(source, what) {
    xy <- tryCatch(.ownCoordinates(source), transst_error = identity)
    if (inherits(xy, "error")) {
        text <- paste0("`", what, "`: its positions are not used: ", conditionMessage(xy))
        .warn(text, "transst_source_positions")
        return(list())
    }
    if (is.null(xy) || !ncol(xy)) {
        return(list())
    }
    lost <- !is.finite(rowSums(xy))
    samples <- .ownSamples(source)
    if (any(lost) || anyNA(samples)) {
        without <- max(sum(lost), sum(is.na(samples)))
        .warn(
            paste0(
                "`", what, "`: its positions are not used, since ", without, " of ", ncol(source),
                " rows have none"
            ),
            "transst_source_positions"
        )
        return(list())
    }
    samples <- droplevels(factor(samples))
    storage.mode(xy) <- "double"
    list(xy = unname(xy), samples = if (nlevels(samples) > 1L) samples)
}

.sourceList <- function(source) {
    sources <- if (is.list(source) || is(source, "List")) as.list(source) else list(source = source)
    if (!length(sources)) {
        .stop("`source` is an empty list")
    }
    known <- vapply(sources, function(s) is(s, "SummarizedExperiment") || is(s, "Seurat"), logical(1L))
    if (!all(known)) {
        classes <- vapply(sources[!known], function(s) class(s)[1L], character(1L))
        .stop(
            "`source` must be an object of the SummarizedExperiment family, a Seurat object, or a ",
            "list of them; got ", .listSome(unique(classes))
        )
    }
    sources
}

# How messages call the sources.
.sourceNames <- function(source, sources) {
    if (!is.list(source)) "source" else sprintf("source[[\"%s\"]]", .keys(sources))
}

# Sources without a name get the one that Python would give them.
.keys <- function(sources) {
    names <- names(sources) %||% rep("", length(sources))
    make.unique(ifelse(nzchar(names), names, paste0("source", seq_along(sources))))
}

# The assay of a source is the target's where the classes are related, unless the user says otherwise.
.sourceChoice <- function(source, assay, layer, x, choice) {
    related <- is(source, "Seurat") == is(x, "Seurat")
    if (related) {
        sameAssay <- if (is(x, "Seurat")) {
            if (choice$assay %in% SeuratObject::Assays(source)) choice$assay
        } else {
            choice$assay
        }
        assay <- assay %||% sameAssay
        layer <- layer %||% choice$layer
    }
    .assayChoice(source, assay, if (is(source, "Seurat")) layer)
}

.checkSharedGenes <- function(target, sources) {
    genes <- .geneNames(target)
    for (name in names(sources)) {
        theirs <- .geneNames(sources[[name]])
        if (!any(genes %in% theirs)) {
            .stop(
                "`source` and `x` share no genes: `x` has ", .listSome(genes, 3L), ", source '", name,
                "' has ", .listSome(theirs, 3L), "; use the same kind of gene identifiers"
            )
        }
    }
}
