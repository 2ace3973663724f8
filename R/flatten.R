# From a user's object to the plain SingleCellExperiment that anndata2ri converts faithfully. It meets
# many things it silently mangles (logical NA, DelayedMatrix, unnamed assays, S4 columns); none is let
# through. Python's transst_py.bridge takes the result apart again.

# Parts: `sce`, the name of the assay that becomes X, the names of logical columns (they travel as
# doubles), and the coordinates.
.flatten <- function(assays, cells, genes = NULL, coords = NULL, reduced = list()) {
    cells <- .plainColumns(cells)
    names <- dimnames(assays[[1L]])
    sce <- SingleCellExperiment(
        lapply(assays, function(m) {
            dimnames(m) <- NULL
            m
        }),
        colData = .plainDataFrame(cells, ncol(assays[[1L]])),
        rowData = .plainDataFrame(.plainColumns(genes), nrow(assays[[1L]])),
        reducedDims = lapply(reduced, function(m) unname(as.matrix(m)))
    )
    rownames(sce) <- names[[1L]]
    # Spots are matched by position, so doubled names may be changed for the journey.
    colnames(sce) <- make.unique(names[[2L]] %||% as.character(seq_len(ncol(sce))))
    logical <- names(cells)[vapply(cells, function(v) isTRUE(attr(v, "logical")), logical(1L))]
    parts <- list(sce = sce, assay = names(assays)[1L], logical = logical)
    if (!is.null(coords)) parts$coords <- coords
    parts
}

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

# A matrix on disk, or with operations put off, as a dgCMatrix. Only one block of columns at a time, of at most
# DelayedArray::getAutoBlockSize() bytes, is ever there with its zeros.
.readInBlocks <- function(m, what) {
    if (!DelayedArray::type(m) %in% .NUMBERS) {
        .stop(what, " must be a numeric matrix, got ", .describeMatrix(m))
    }
    stored <- 0
    blocks <- DelayedArray::blockApply(
        m,
        function(block) {
            block <- as(block, "dgCMatrix")
            .checkComplete(block@x, what)
            stored <<- stored + length(block@x)
            if (stored > .Machine$integer.max) {
                .stop(
                    what, " has more non-zero values (", format(stored), " so far) than a dgCMatrix can ",
                    "hold (", .Machine$integer.max, "); select genes or spots first"
                )
            }
            unname(block)
        },
        grid = DelayedArray::colAutoGrid(m), as.sparse = TRUE, BPPARAM = NULL
    )
    plain <- do.call(cbind, blocks)
    dimnames(plain) <- dimnames(m)
    plain
}

# The columns that have a counterpart in Python, as bare vectors and factors.
.plainColumns <- function(frame) {
    columns <- lapply(stats::setNames(nm = names(frame)), function(name) .plainColumn(frame[[name]]))
    columns[!vapply(columns, is.null, logical(1L))]
}

.plainColumn <- function(v) {
    if (is(v, "Rle")) {
        v <- S4Vectors::decode(v)
    }
    if (!is.atomic(v) || !is.null(dim(v)) || is.complex(v)) {
        return(NULL) # nested tables and lists have no counterpart
    }
    if (is.factor(v)) {
        return(if (nlevels(v)) factor(v, ordered = FALSE) else rep(NA_character_, length(v)))
    }
    if (inherits(v, c("Date", "POSIXt"))) {
        return(as.character(v))
    }
    if (is.logical(v)) {
        return(structure(as.double(v), logical = TRUE))
    }
    if (is.character(v)) {
        return(as.character(v))
    }
    # integer NA would arrive as a number, integer64 as noise
    if (is.integer(v) && !anyNA(v)) as.integer(v) else as.double(v)
}

.plainDataFrame <- function(columns, n) {
    columns <- lapply(columns, function(v) {
        attr(v, "logical") <- NULL
        v
    })
    frame <- S4Vectors::make_zero_col_DFrame(n)
    for (name in names(columns)) frame[[name]] <- columns[[name]]
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

# What the model needs of the target: one assay, the named columns, the coordinates.
.flattenTarget <- function(
    x, choice, cells = .cellData(x)[character()], coords = NULL, reduced = list()
) {
    m <- .expression(x, choice)
    .checkGenes(m, "x")
    .flatten(stats::setNames(list(m), choice$name), cells, coords = coords, reduced = reduced)
}

.checkGenes <- function(m, what) {
    genes <- rownames(m)
    if (is.null(genes)) {
        .stop("`", what, "` has no gene names; set rownames()")
    }
    if (anyDuplicated(genes)) {
        twice <- unique(genes[duplicated(genes)])
        .stop(
            "`", what, "` has duplicated gene names (", .listSome(twice),
            "); make them unique with make.unique() or sum the duplicates"
        )
    }
}
