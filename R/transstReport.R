#' Report of all results
#'
#' Writes maps of the domains and of their confidence, the choice of their number, the transfer from the
#' source, convergence, agreement with labels, marker genes, imputed expression, parameters, versions,
#' warnings and timings to one HTML file, which needs no other file and no network. A section without data
#' names the call that would fill it.
#'
#' @param x An object with results of [transst()] or [imputeSpots()].
#' @param file Name of the file; an old one is replaced.
#' @param name Name of the results of [transst()].
#' @param markers Table of [domainMarkers()].
#' @param labels Name of a column to compare the domains with.
#' @param imputed What [imputeSpots()] returned, if that is another object; `NULL` is `x`, if values were
#'   imputed there.
#' @param genes Genes to draw after imputation; `NULL` is a few of the best markers.
#' @param geneNames As in [plotMarkers()].
#' @param title Heading; `NULL` is a usual one.
#' @param coords,sampleId,assay,layer As in [transst()]; `assay` and `layer` are those of the `markers`.
#' @param ... The arguments above.
#'
#' @return `file`, invisibly.
#'
#' @seealso [plotDomains()], [plotMarkers()], [plotTransfer()] and the others, whose pictures it has
#'
#' @examplesIf transstAvailable()
#' tissue <- simulateTissue(seed = 1)
#' spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 5)
#' file <- tempfile(fileext = ".html")
#' transstReport(spe, file, markers = domainMarkers(spe), labels = "label")
#' @name transstReport
NULL

.transstReport <- function(
    x, file, name, markers, labels, imputed, genes, geneNames, title, coords, sampleId, choice
) {
    .checkFile(file)
    fit <- .runRecord(x, name)
    if (is.null(imputed) && !is.null(.records(x)$imputation)) imputed <- x
    if (is.null(fit) && is.null(imputed)) {
        .stop(
            "`x` has no results of transst() named '", name, "' and none of imputeSpots(); run transst() ",
            "first"
        )
    }
    marked <- .reportedMarkers(markers, x, name, choice)
    samples <- .samples(x, sampleId)
    # results of several samples, of which one is left
    if (!is.null(fit) && is.null(samples)) fit$params$sample_key <- NULL
    cells <- .reportedCells(x, name, labels, samples, fit)
    xy <- if (is.null(coords)) .coordinatesIfAny(x) else .coordinates(x, coords)
    beside <- .genesBeside(x, choice, as.character(markers$gene))
    target <- .flattenTarget(x, choice, cells, xy, genes = beside)
    imputation <- sources <- NULL
    if (!is.null(imputed)) {
        imputedSamples <- .imputedSamples(imputed, sampleId)
        sources <- list(imputed = .flattenImputed(imputed, x, coords, imputedSamples))
        imputation <- .records(imputed)$imputation
        imputation$sample_key <- if (!is.null(imputedSamples)) .SAMPLE
    }
    options <- list(
        # Python may run in another folder
        path = file.path(normalizePath(dirname(path.expand(file))), basename(file)),
        name = name, advice = .ADVICE, fit = fit,
        imputation = imputation,
        sampleId = if (!is.null(samples)) .SAMPLE,
        labels = labels, genes = genes, title = title,
        geneNames = if (!is.null(geneNames)) unname(.shownNames(x, geneNames)[.geneNames(target)])
    )
    options <- c(options, marked)
    words <- c("`path`" = "`file`", "`key`" = "`name`", .layerWords(x))
    .callPython("report", Filter(Negate(is.null), options), target, sources, words = words)
    invisible(file)
}

# A name that no column of the user's has.
.SAMPLE <- ".sample"

.ADVICE <- list(
    domains = "transst(x, nDomains = 2:10)", confidence = "transst(x, nDomains = 2:10)",
    n_domains = "transst(x, nDomains = 2:10)",
    transfer = "transst(x, source, \"label\", nDomains = ...)",
    convergence = "transst(x, nDomains = 2:10)",
    agreement = "transstReport(x, file, labels = \"a column of x\")",
    markers = "transstReport(x, file, markers = domainMarkers(x))",
    imputation = "transstReport(x, file, imputed = imputeSpots(x))",
    run = "transst(x, nDomains = 2:10)"
)

.checkFile <- function(file) {
    if (!is.character(file) || length(file) != 1L || is.na(file) || !nzchar(file)) {
        .stop("`file` must be one name of a file, got ", deparse1(file))
    }
    if (!dir.exists(dirname(path.expand(file)))) {
        .stop("`file`: there is no folder '", dirname(file), "'; make it first")
    }
}

.reportedCells <- function(x, name, labels, samples, fit) {
    cells <- S4Vectors::make_zero_col_DFrame(ncol(x))
    if (!is.null(fit)) {
        cells[[name]] <- .asFactor(.cellColumn(x, name, "name"))
        confidence <- paste0(name, "_confidence")
        cells[[confidence]] <- .cellData(x)[[confidence]]
    }
    if (!is.null(labels)) cells[[labels]] <- .cellColumn(x, labels, "labels")
    cells[[.SAMPLE]] <- samples
    cells
}

# The genes that were imputed, at the spots of the tissue.
.flattenImputed <- function(imputed, x, coords, samples) {
    record <- .records(imputed)$imputation
    if (is.null(record)) {
        .stop("`imputed` has no record of imputeSpots(); give what that returned")
    }
    m <- .expression(imputed, .imputedChoice(imputed), "imputed", genes = as.character(unlist(record$genes)))
    keep <- .inTissue(imputed)
    # a finer lattice has columns of the same names, but not the rows of a matrix
    xy <- .coordinates(imputed, if (is.character(coords) || ncol(imputed) == ncol(x)) coords)
    cells <- .cellData(imputed)["measured"][keep, , drop = FALSE]
    cells$measured <- as.logical(cells$measured)
    cells[[.SAMPLE]] <- samples[keep]
    .flatten(list(imputed = m[, keep, drop = FALSE]), cells, coords = xy[keep, , drop = FALSE])
}

# The samples that the spots were imputed in, NULL for one: of a finer lattice in a column of its own.
.imputedSamples <- function(imputed, sampleId) {
    column <- intersect(c(sampleId, "sample_id"), names(.cellData(imputed)))
    .samples(imputed, if (length(column)) column[[1L]])
}

# Where imputeSpots() puts values, which in Seurat objects depends on the task and on the class of the assay.
.imputedChoice <- function(x) {
    if (!is(x, "Seurat")) {
        return(.assayChoice(x, "imputed", NULL))
    }
    if ("imputed" %in% SeuratObject::Assays(x)) {
        return(.assayChoice(x, "imputed", "data"))
    }
    filled <- "imputed" %in% SeuratObject::Layers(x[[SeuratObject::DefaultAssay(x)]])
    .assayChoice(x, NULL, if (filled) "imputed" else "data")
}

# As options of the bridge.
.reportedMarkers <- function(markers, x, name, choice) {
    if (is.null(markers)) {
        return(NULL)
    }
    .checkMarkers(markers)
    parameters <- if (is(markers, "DataFrame")) metadata(markers)$parameters
    if (is.null(parameters)) {
        .stop("`markers` does not say how it was made; give what domainMarkers() returned, as it is")
    }
    if (parameters$layer != choice$name) {
        .stop(
            "`markers` are of '", parameters$layer, "', `",
            if (is.null(choice$layer)) "assay" else "layer", "` is '", choice$name, "'; give the same"
        )
    }
    .checkSameFit(markers, x, name)
    table <- as.data.frame(markers)
    names(table) <- .toSnake(names(table))
    list(markers = table, markerParameters = parameters)
}

#' @rdname transstReport
#' @export
setMethod("transstReport", "SingleCellExperiment", function(
    x, file, name = "transst", markers = NULL, labels = NULL, imputed = NULL, genes = NULL, title = NULL,
    geneNames = NULL, coords = NULL, sampleId = NULL, assay = "counts"
) {
    choice <- .assayChoice(x, assay, NULL)
    .transstReport(x, file, name, markers, labels, imputed, genes, geneNames, title, coords, sampleId, choice)
})

#' @rdname transstReport
#' @export
setMethod("transstReport", "Seurat", function(
    x, file, name = "transst", markers = NULL, labels = NULL, imputed = NULL, genes = NULL, title = NULL,
    geneNames = NULL, coords = NULL, sampleId = NULL, assay = NULL, layer = "counts"
) {
    choice <- .assayChoice(x, assay, layer)
    .transstReport(x, file, name, markers, labels, imputed, genes, geneNames, title, coords, sampleId, choice)
})
