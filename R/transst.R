#' Find spatial domains, with help from a labelled reference
#'
#' Learns gene loadings and classes on labelled reference data and carries them over to the target as far as
#' they fit. Where the labels can be trusted, every spot gets the class that they give it: regions or cell
#' types, whichever the labels are. Otherwise the spots are divided into domains that are coherent in space.
#' What was carried over is in the run record, as `transfer`; [transferReport()] says it in words.
#'
#' @param x The target: a [SpatialExperiment::SpatialExperiment], a
#'   [SingleCellExperiment::SingleCellExperiment] with `coords`, or a Seurat (v5) object.
#' @param source Labelled reference data: an object of the SummarizedExperiment family or a Seurat
#'   object, or a list of them. Positions are not needed, but where there are some (`spatialCoords()`, images
#'   of a Seurat object) they teach how far neighbours share labels; of the genes only shared ones are used.
#'   `NULL` fits the same model to the target alone.
#' @param sourceLabels Name of the column of the sources' cell data that holds the labels. Cells whose
#'   label is `NA` are left out; texts such as `"NA"` count as missing, with a warning.
#' @param nDomains Number of domains, or several to choose from, such as `2:10`, which should reach about
#'   twice the number expected. The table of the choice is in the run record, as `n_domains`. `NULL`: the
#'   classes of the sources that are found, if their labels are trusted; otherwise an error. With fewer
#'   domains than classes the most alike are joined; with more, the others are free, and "unknown".
#' @param ... Arguments of the method, which have the same names in Python in snake_case: among others
#'   `excludeLabels` (labels of the sources that count as missing, such as `"undetermined"`; also left
#'   out of the agreement that [transstReport()] shows), `nFactors` (15), `nTopGenes` (2000),
#'   `normalization` (`"log"`; `"none"` for values that are normalised already), `classTransfer`
#'   (`"auto"`: every spot gets the class that the sources' labels give it, if the trust in them is at
#'   least 0.35 and they cover `x`, see [transferReport()]; `"follow"`: the same, whatever the trust;
#'   `"always"`: the domains start from the classes and then adapt to `x`; `"never"`: only the loadings
#'   are taken over), `labelNoise` (`"remove"`: where a tenth or more of a source's labels seem wrong,
#'   those rows are left out; `"report"`: they are listed only, as `source$suspicious` of the run record;
#'   `"ignore"`), `smoothness` (`"auto"`), `seed` (0) and `verbose` (print the stages as they run; `TRUE`
#'   in interactive sessions); for `graph` also `nNeighbors` (6) and `radius`. A name that the method
#'   does not know is an error.
#' @param graph Who is whose neighbour, always within a sample. `"knn"`: the `nNeighbors` nearest of every
#'   spot, with ties, in both directions. `"radius"`: all spots within `radius`, in units of the
#'   coordinates; without `radius` one is found such that the median number of neighbours is 4 to 6.
#'   `"lattice"`: adjacent sites by the columns `array_row` and `array_col` of the cell data, hexagonal
#'   (Visium: row + column even) or square. A sparse [Matrix::Matrix] of spots x spots: your own, made
#'   symmetric; its weights do not count. `"lattice"` and a matrix need no positions.
#' @param assay Name of the assay that holds the counts; for Seurat objects `NULL` means the default
#'   assay.
#' @param layer Name of the layer of a Seurat assay; layers split by sample are joined on a copy. If these
#'   have not the same genes, those that all of them have are used, with a warning.
#' @param sourceAssay,sourceLayer The same for the sources; `NULL` means as in `x` where the source is
#'   of the same family, else the counts.
#' @param coords Positions of the spots, where `x` has none of its own: a matrix of 2 or 3 columns, or
#'   the names of columns of the cell data. `NULL` means `spatialCoords(x)`, or the images of a Seurat
#'   object.
#' @param sampleId Name of a column that says which sample a spot belongs to; spots of different samples
#'   are never neighbours. `NULL` means `sample_id` of a SpatialExperiment or the images of a Seurat
#'   object.
#' @param name Name of the results in the object. Results of an earlier run of that name are replaced, also
#'   those of objects that were fitted and then put together by `merge()` or `cbind()`; anything else of that
#'   name is an error.
#'
#' @return `x` with the results added and nothing else changed:
#' \describe{
#'   \item{domains}{factor `x$transst`, levels `1`, `2`, ... in decreasing order of size}
#'   \item{confidence}{`x$transst_confidence`, posterior probability of the spot's domain}
#'   \item{class}{`x$transst_class`, with a source: the class of the spot, where the labels are followed;
#'     otherwise the class whose profile the spot's domain has, or `"unknown"`; a factor}
#'   \item{embedding}{`reducedDim(x, "TransST")`, with the gene loadings as attribute `rotation`; in
#'     Seurat objects the reduction `TransST`}
#'   \item{run record}{parameters, seed, versions, graph, fit and timings in `metadata(x)$transst`; in Seurat
#'     objects `Misc(x, "transst")`}
#' }
#'
#' @details Errors raised in Python have class `transst_python_error` and carry Python's message;
#'   [lastPythonError()] shows where the latest one happened. An interrupt (Ctrl-C) stops the run; `x` is only
#'   changed when all results are there.
#'
#'   Assays in an HDF5 file (HDF5Array) stay there: they are read a chunk of spots at a time, four or five
#'   times in all, and never held in memory. Other delayed ones (TENxMatrix, those with operations put off)
#'   are read a block of columns at a time, of the size of [DelayedArray::getAutoBlockSize()], and their
#'   non-zero values have to fit into memory.
#'
#' @seealso [plotDomains()], [domainMarkers()], [imputeSpots()]
#'
#' @examplesIf transstAvailable()
#' tissue <- simulateTissue(seed = 1)
#' spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 5)
#' table(found = spe$transst, truth = spe$label)
#' adjustedRandIndex(spe$transst, spe$label)
#'
#' # neighbours on the lattice of the spots
#' spe <- transst(tissue$target, nDomains = 4, nFactors = 5, graph = "lattice")
#' S4Vectors::metadata(spe)$transst$graph
#' @name transst
NULL

#' @rdname transst
#' @export
setMethod(
    "transst", "SingleCellExperiment",
    function(
        x, source = NULL, sourceLabels = NULL, nDomains = NULL, ..., graph = "knn", assay = "counts",
        sourceAssay = NULL, sourceLayer = NULL, coords = NULL, sampleId = NULL, name = "transst"
    ) {
        .transst(
            x, source, sourceLabels, nDomains, list(graph = graph, ...), .assayChoice(x, assay, NULL),
            sourceAssay, sourceLayer, coords, sampleId, name
        )
    }
)

#' @rdname transst
#' @export
setMethod(
    "transst", "Seurat",
    function(
        x, source = NULL, sourceLabels = NULL, nDomains = NULL, ..., graph = "knn", assay = NULL,
        layer = "counts", sourceAssay = NULL, sourceLayer = NULL, coords = NULL, sampleId = NULL,
        name = "transst"
    ) {
        .transst(
            x, source, sourceLabels, nDomains, list(graph = graph, ...), .assayChoice(x, assay, layer),
            sourceAssay, sourceLayer, coords, sampleId, name
        )
    }
)

.transst <- function(
    x, source, sourceLabels, nDomains, options, choice, sourceAssay, sourceLayer, coords, sampleId, name
) {
    .checkNDomains(nDomains, ncol(x), source, names(options))
    .checkName(name, x)
    options$graph <- .checkGraph(options$graph, ncol(x))
    samples <- .samples(x, sampleId)
    cells <- S4Vectors::make_zero_col_DFrame(ncol(x))
    # spots outside the tissue are warned of; the others are the sites of a lattice
    for (column in c("in_tissue", "array_row", "array_col")) cells[[column]] <- .cellData(x)[[column]]
    sources <- .flattenSources(source, sourceLabels, sourceAssay, sourceLayer, x, choice)
    several <- vapply(sources, function(parts) "sample" %in% names(parts$cells), logical(1L))
    if (!is.null(samples) || any(several)) {
        cells$sample <- samples %||% factor(rep("1", ncol(x)))
        options$sampleId <- "sample"
    }
    xy <- if (is.character(options$graph) && options$graph != "lattice") .coordinates(x, coords)
    .checkMeasured(x, choice, "x", "assay")
    genes <- .sharedGenes(x, choice)
    target <- .flattenTarget(x, choice, cells, xy, onDisk = TRUE, genes = genes)
    .checkSharedGenes(target, sources)
    if (!is.null(nDomains)) options$nDomains <- nDomains
    if (is.null(options$verbose)) options$verbose <- interactive()
    if (!is.null(sources)) options$sourceLabels <- "label"
    result <- .callPython("transst", options, target, sources, words = .layerWords(x))
    .graftDomains(x, .readDomains(result, .geneNames(target)), choice, name)
}

# `others`: names of further arguments, of which one may have been meant.
.checkNDomains <- function(nDomains, nSpots, source, others = NULL) {
    if (is.null(nDomains)) {
        meant <- Filter(function(name) nzchar(.didYouMean(name, "nDomains")), others)
        if (length(meant)) {
            .stop("unknown argument '", meant[[1L]], "'; did you mean `nDomains`?")
        }
        if (!is.null(source)) {
            return(invisible())
        }
        .stop("`nDomains` is missing: give the number of domains, or several to choose from, such as 2:10")
    }
    whole <- is.numeric(nDomains) && length(nDomains) && all(is.finite(nDomains)) &&
        all(nDomains == round(nDomains))
    if (!whole || any(nDomains < 1)) {
        .stop("`nDomains` must be a whole number, or several to choose from, got ", deparse1(nDomains))
    }
    if (max(nDomains) > nSpots) {
        .stop("`nDomains` (", max(nDomains), ") is greater than the number of spots (", nSpots, ")")
    }
}

# A kind of graph, or the user's own as a dgCMatrix.
.checkGraph <- function(graph, nSpots) {
    if (is(graph, "sparseMatrix") && all(dim(graph) == nSpots)) {
        return(.plainMatrix(graph, "`graph`"))
    }
    if (length(graph) == 1L && graph %in% .GRAPHS) {
        return(graph)
    }
    shape <- paste(dim(graph), collapse = " x ")
    found <- if (nzchar(shape)) paste(class(graph)[1L], "of", shape) else deparse1(graph)
    .stop(
        "`graph` must be one of ", .listSome(.GRAPHS), ", or a sparse Matrix of ", nSpots, " x ", nSpots,
        " (spots), got ", found
    )
}

.GRAPHS <- c("knn", "radius", "lattice")

# Python's answer in R's terms.
.readDomains <- function(result, genes) {
    levels <- as.character(result$domains)
    embedding <- result$embedding
    dimnames(embedding) <- list(NULL, paste0("TransST_", seq_len(ncol(embedding))))
    rotation <- result$loadings
    dimnames(rotation) <- list(genes, colnames(embedding))
    domains <- as.vector(result$codes) + 1L
    names <- as.character(result$class_names)
    list(
        domains = factor(levels[domains], levels = levels),
        # without a source there are no names
        class = if (length(names)) factor(names[as.vector(result$class_codes) + 1L], levels = names),
        confidence = as.vector(result$confidence),
        embedding = embedding,
        # genes that the model did not use have no loadings
        rotation = rotation[stats::complete.cases(rotation), , drop = FALSE],
        record = result$record
    )
}
