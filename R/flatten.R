# From a user's object to parts that Python can take: a plain SingleCellExperiment that anndata2ri converts
# faithfully, and what it would mangle silently or convert value by value: expression, text and the kinds of
# columns. Python's transst_py.bridge puts them together again.

# Parts: `assays`, of which the first becomes X, which Python reads where they are; `files`, where those lie
# that are in none's memory; `sce`, without assays and names, its columns as numbers; the kinds of these
# (`cells`, `features`); the names of `spots` and `genes`; and the coordinates.
.flatten <- function(assays, cells, genes = NULL, coords = NULL, reduced = list()) {
    cells <- .packColumns(cells)
    features <- .packColumns(genes)
    first <- assays[[1L]]
    sce <- SingleCellExperiment(
        colData = .numericFrame(cells, ncol(first)),
        rowData = .numericFrame(features, nrow(first)),
        reducedDims = lapply(reduced, function(m) unname(as.matrix(m)))
    )
    kinds <- function(columns) lapply(columns, `[`, c("kind", "levels"))
    # Spots are matched by position, so doubled names may be changed for the journey.
    spots <- make.unique(colnames(first) %||% as.character(seq_len(ncol(first))))
    parts <- list(
        assays = assays, sce = sce, cells = kinds(cells), features = kinds(features),
        spots = .packText(spots),
        genes = .packText(rownames(first) %||% as.character(seq_len(nrow(first))))
    )
    if (!is.null(coords)) parts$coords <- coords
    parts$files <- Filter(Negate(is.null), lapply(assays, .fileOf))
    parts
}

.geneNames <- function(parts) rownames(parts$assays[[1L]])

# A numeric matrix or dgCMatrix without NA.
.plainMatrix <- function(m, what) {
    if (is(m, "DelayedArray")) {
        return(.readInBlocks(m, what))
    }
    if (is(m, "SVT_SparseMatrix") && DelayedArray::type(m) %in% .NUMBERS) {
        m <- as(m, "dgCMatrix")
    } else if (is(m, "denseMatrix")) {
        m <- as.matrix(m)
    } else if (is(m, "sparseMatrix") && !is(m, "dgCMatrix")) {
        m <- as(as(as(m, "dMatrix"), "generalMatrix"), "CsparseMatrix")
    }
    if (is.matrix(m) && is.logical(m)) storage.mode(m) <- "integer"
    sparse <- is(m, "dgCMatrix")
    if (!sparse && !(is.matrix(m) && is.numeric(m))) {
        .stop(what, " must be a numeric matrix, got ", .describeMatrix(m))
    }
    .checkComplete(if (sparse) m@x else m, what)
    m
}

.NUMBERS <- c("double", "integer", "logical")

.describeMatrix <- function(m) {
    kind <- tryCatch(DelayedArray::type(m), error = function(e) NULL)
    if (is.null(kind) || kind %in% c(.NUMBERS, "list")) class(m)[1L] else paste(class(m)[1L], "of", kind)
}

.checkComplete <- function(values, what) {
    if (anyNA(values)) {
        .stop(what, " has missing values; remove or impute them first")
    }
}

# A matrix on disk, or with operations put off, as a dgCMatrix. Only one block of columns at a time, of at
# most DelayedArray::getAutoBlockSize() bytes, is ever there with its zeros.
.readInBlocks <- function(m, what) {
    if (!DelayedArray::type(m) %in% .NUMBERS) {
        .stop(what, " must be a numeric matrix, got ", .describeMatrix(m))
    }
    stored <- 0
    grid <- DelayedArray::colAutoGrid(m)
    blocks <- vector("list", length(grid))
    for (i in seq_along(grid)) {
        block <- as(DelayedArray::read_block(m, grid[[i]], as.sparse = TRUE), "dgCMatrix")
        .checkComplete(block@x, what)
        stored <- stored + length(block@x)
        if (stored > .Machine$integer.max) {
            .stop(
                what, " has more non-zero values (", format(stored), " so far) than a dgCMatrix can ",
                "hold (", .Machine$integer.max, "); select genes or spots first"
            )
        }
        blocks[[i]] <- unname(block)
    }
    plain <- do.call(cbind, blocks)
    dimnames(plain) <- dimnames(m)
    plain
}

# Where a matrix lies in an HDF5 file, if it lies there as it is; genes x spots are spots x genes in Python.
.fileOf <- function(m) {
    if (!is(m, "DelayedArray") || !DelayedArray::isPristine(m, ignore.dimnames = TRUE)) {
        return(NULL)
    }
    seed <- DelayedArray::seed(m)
    if (!is(seed, "HDF5ArraySeed") || !DelayedArray::type(m) %in% c("double", "integer")) {
        return(NULL)
    }
    list(path = seed@filepath, name = seed@name)
}

# Zero bytes end the values, as none can contain one. Single strings would take 50 times as long.
.packText <- function(v) {
    v <- enc2utf8(v)
    missing <- which(is.na(v))
    broken <- v[!validUTF8(v)]
    if (length(broken)) {
        .stop(
            "names or labels have text that is no valid UTF-8 (",
            .listSome(unique(iconv(broken, "UTF-8", "UTF-8", sub = "byte"))),
            "); convert it with iconv(text, \"latin1\", \"UTF-8\"), or what its encoding is"
        )
    }
    v[missing] <- ""
    list(bytes = writeBin(v, raw(), useBytes = TRUE), missing = missing)
}

# The columns that have a counterpart in Python.
.packColumns <- function(frame) {
    columns <- lapply(stats::setNames(nm = names(frame)), function(name) .packColumn(frame[[name]]))
    columns[!vapply(columns, is.null, logical(1L))]
}

# A column as doubles, which are codes of the levels for factors and text, and what it was; or NULL.
.packColumn <- function(v) {
    if (is(v, "Rle")) {
        v <- S4Vectors::decode(v)
    }
    if (!is.atomic(v) || !is.null(dim(v)) || is.complex(v)) {
        return(NULL) # nested tables and lists have no counterpart
    }
    if (inherits(v, c("Date", "POSIXt"))) v <- as.character(v)
    if (is.factor(v)) {
        kind <- if (is.ordered(v)) "ordered" else "factor"
        return(.packCodes(as.character(v), levels(v), kind))
    }
    if (is.character(v)) {
        return(.packCodes(v, unique(v), "text"))
    }
    # An integer NA has no counterpart, integer64 arrives as the numbers it stands for.
    kind <- if (is.logical(v)) "logical" else if (is.integer(v) && !anyNA(v)) "integer" else "double"
    list(values = as.double(v), kind = kind)
}

.packCodes <- function(v, levels, kind) {
    levels <- levels[!is.na(levels)]
    list(values = as.double(match(v, levels)), kind = kind, levels = .packText(levels))
}

.numericFrame <- function(columns, n) {
    frame <- S4Vectors::make_zero_col_DFrame(n)
    for (name in names(columns)) frame[[name]] <- columns[[name]]$values
    frame
}

# Everything of an object that has a counterpart: what Python's `from_r()` calls.
.flattenAll <- function(x, assay = NULL, layer = NULL) {
    coords <- .coordinatesIfAny(x)
    chosen <- .assayChoice(x, assay, layer)
    others <- setdiff(.otherAssays(x), chosen$assay)
    assays <- c(
        stats::setNames(list(.expression(x, chosen)), chosen$name),
        lapply(stats::setNames(nm = others), function(name) {
            .plainMatrix(assay(x, name), .quoteAssay(name))
        })
    )
    .flatten(assays, .cellData(x), .geneData(x), coords, .reductions(x))
}

# What the model needs of the target: one assay, all genes or some, the named columns, the coordinates.
.flattenTarget <- function(
    x, choice, cells = .cellData(x)[character()], coords = NULL, reduced = list(), onDisk = FALSE,
    genes = NULL
) {
    m <- if (onDisk) .storedAssay(x, choice)
    m <- m %||% .expression(x, choice, genes = genes)
    .checkGenes(m, "x")
    .flatten(stats::setNames(list(m), choice$name), cells, coords = coords, reduced = reduced)
}

# The assay that is chosen, if Python can read it from its file.
.storedAssay <- function(x, choice) {
    if (!is(x, "SummarizedExperiment") || !choice$assay %in% assayNames(x)) {
        return(NULL)
    }
    m <- assay(x, choice$assay)
    if (!is.null(.fileOf(m))) m
}

.checkGenes <- function(m, what) {
    if (!all(dim(m))) {
        .stop("`", what, "` is empty: ", nrow(m), " genes x ", ncol(m), " spots")
    }
    genes <- rownames(m)
    if (is.null(genes)) {
        .stop("`", what, "` has no gene names; set rownames()")
    }
    unnamed <- which(is.na(genes) | !nzchar(genes))
    if (length(unnamed)) {
        .stop(
            "`", what, "` has ", length(unnamed), " genes without a name (rows ", .listSome(unnamed),
            "); name or remove them"
        )
    }
    if (anyDuplicated(genes)) {
        twice <- unique(genes[duplicated(genes)])
        .stop(
            "`", what, "` has duplicated gene names (", .listSome(twice),
            "); make them unique with make.unique() or sum the duplicates"
        )
    }
}
