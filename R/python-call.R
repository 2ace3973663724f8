# Objects on their way to or from Python; see `flatten()` and `assemble()` for what they hold.
.exchange <- new.env(parent = emptyenv())

# Run a task of transst_py.bridge. Returns its value; an object it made is read from `.exchange` by
# `collect`, a function that is called before the exchange is emptied. `words` are the user's own words for
# what Python's messages call otherwise; see `.inRWords()`.
.callPython <- function(
    task, options, target = NULL, sources = NULL, collect = identity, words = .LAYERS
) {
    on.exit(.emptyExchange())
    force(target) # what is wrong with the user's object is said without any Python
    force(sources)
    answer <- .run(".answer", task, options, target, sources)
    list2env(answer$made, .exchange)
    for (text in answer$warnings) .warn(.inRWords(text, words), "transst_python_warning")
    if (!is.null(answer$error)) {
        .raisePythonError(answer$error, words)
    }
    collect(answer$value)
}

# In the process of Python: its value or error, its warnings, and the objects that it made.
.answer <- function(task, options, target, sources) {
    bridge <- .bridge()
    on.exit(.emptyExchange())
    answer <- .interruptible({
        options <- .pythonOptions(options, bridge$option_names(task))
        .exchange$target <- target
        .exchange$sources <- sources
        .withThreads(bridge$answer(task, options))
    })
    answer$value <- .plainValue(answer$value)
    answer$made <- mget(setdiff(ls(.exchange), c("target", "sources")), envir = .exchange)
    answer
}

# With as many threads as options(TransST.threads = ) says: in the libraries of Python that are loaded, in
# those that the call loads, and in our own code, which reads the same variable as these.
.withThreads <- function(expr) {
    n <- getOption("TransST.threads")
    if (is.null(n)) {
        return(expr)
    }
    if (!is.numeric(n) || length(n) != 1L || is.na(n) || n < 1 || n != round(n)) {
        .stop("options(TransST.threads = ) must be a whole number of threads, got ", deparse1(n))
    }
    environ <- reticulate::import("os", convert = FALSE)$environ
    before <- reticulate::py_to_r(environ$get("OMP_NUM_THREADS"))
    environ$update(reticulate::dict(OMP_NUM_THREADS = as.character(n)))
    limits <- reticulate::import("threadpoolctl")$threadpool_limits(as.integer(n))
    on.exit({
        limits$restore_original_limits()
        if (is.null(before)) {
            environ$pop("OMP_NUM_THREADS")
        } else {
            environ$update(reticulate::dict(OMP_NUM_THREADS = before))
        }
    })
    force(expr)
}

.emptyExchange <- function() rm(list = ls(.exchange, all.names = TRUE), envir = .exchange)

# Ctrl-C while reticulate itself is at work, between R and our Python code, ends as one of its errors;
# Python remembers what the cause was.
.interruptible <- function(expr) {
    cause <- "__import__('sys').__dict__.pop('last_type', None) is KeyboardInterrupt"
    reticulate::py_eval(cause)
    tryCatch(expr, error = function(e) {
        if (!inherits(e, "transst_error") && reticulate::py_eval(cause)) .interrupt()
        stop(e)
    })
}

# What R does at Ctrl-C: handlers of interrupts first, then back to the top level.
.interrupt <- function() {
    signalCondition(structure(class = c("interrupt", "condition"), list(message = "", call = NULL)))
    invokeRestart("abort")
}

# reticulate leaves a pointer into Python on every data frame, which cannot be saved.
.plainValue <- function(value) {
    if (is.data.frame(value)) {
        attr(value, "pandas.index") <- NULL
    } else if (is.list(value)) {
        value[] <- lapply(value, .plainValue)
    }
    value
}

# Python's exception as an R error with its message and, for handlers, the names of its classes.
.raisePythonError <- function(error, words) {
    classes <- c(paste0("transst_python_", error$classes), "transst_python_error", "transst_error")
    message <- .inRWords(error$message, words)
    if (!any(.EXPLAINED %in% error$classes)) {
        message <- paste0(
            error$classes[[1L]], " in Python: ", message, "\nlastPythonError() shows where; please report it"
        )
    }
    .python$error <- errorCondition(message, class = classes, call = NULL, traceback = error$traceback)
    stop(.python$error)
}

# Exceptions of transst_py about what it was given, whose message says what to do.
.EXPLAINED <- c("ValueError", "TypeError", "KeyError", "ImportError", "OSError")

#' The latest error in Python
#'
#' Shows where in Python the latest error of this package happened, to find its cause or to report it.
#'
#' @return The error, a condition with Python's traceback as element `traceback`; `NULL` if there was none.
#'   Printed, it shows the traceback.
#'
#' @details Handlers get the same condition: `tryCatch(..., transst_python_error = function(e) e$traceback)`.
#'   Each of its classes is named like a class of the exception, such as `transst_python_ValueError`.
#'
#' @examplesIf transstAvailable()
#' spe <- simulateTissue(seed = 1)$target
#' try(transst(spe, nDomains = 3, normalization = "sqrt"))
#' lastPythonError()
#' @export
lastPythonError <- function() .python$error

#' @rdname lastPythonError
#' @param x What `lastPythonError()` returned.
#' @param ... Ignored.
#' @export
print.transst_python_error <- function(x, ...) {
    cat(conditionMessage(x), "\n\n", x$traceback, sep = "")
    invisible(x)
}

# ---- The one place where R's argument names become Python's -------------------------------------

.RENAMED <- c(seed = "random_state", sampleId = "sample_key", coords = "spatial_key")

.toSnake <- function(names) {
    renamed <- .RENAMED[names]
    ifelse(is.na(renamed), tolower(gsub("([A-Z])", "_\\1", names)), renamed)
}

.toCamel <- function(names) {
    renamed <- names(.RENAMED)[match(names, .RENAMED)]
    ifelse(is.na(renamed), gsub("_([a-z0-9])", "\\U\\1", names, perl = TRUE), renamed)
}

# A Python dict of options; names that the Python function does not have are refused.
.pythonOptions <- function(options, allowed) {
    given <- names(options)
    if (length(options) && (is.null(given) || !all(nzchar(given)))) {
        .stop("every argument in `...` must be named")
    }
    twice <- anyDuplicated(.toSnake(given))
    if (twice) {
        .stop("argument `", .toCamel(.toSnake(given[twice])), "` is given twice")
    }
    unknown <- given[!.toSnake(given) %in% c(allowed, .INTERNAL)]
    if (length(unknown)) {
        .stop(
            "unknown argument ", .listSome(unknown), "; `...` takes: ",
            paste(.toCamel(allowed), collapse = ", "), .didYouMean(unknown[[1L]], .toCamel(allowed))
        )
    }
    values <- lapply(stats::setNames(given, given), function(name) .pythonValue(options[[name]], name))
    reticulate::py_dict(as.list(.toSnake(given)), unname(values), convert = FALSE)
}

# Set by the methods of this package, never through `...`.
.INTERNAL <- c("source_labels", "sample_key", "key", "task", "recorded")

# Sequences in Python also when there is one element; other vectors of length one become scalars.
.SEQUENCES <- c(
    "genes", "penalties", "candidates", "methods", "fractions", "holeFractions", "domains", "geneNames",
    "excludeLabels"
)

# What Python made, or tables: as reticulate converts them.
.RECORDS <- c("advice", "fit", "imputation", "markers", "markerParameters")

# Whole numbers become integers (6 is a double in R but no count in Python), but not those of a matrix; NA
# has no counterpart. Lists become dicts if they have names.
.pythonValue <- function(value, name) {
    if (name %in% .RECORDS) {
        return(value)
    }
    if (is.atomic(value) && anyNA(value)) {
        .stop("argument `", name, "` must not be NA")
    }
    if (is.list(value)) {
        items <- lapply(value, .pythonValue, name)
        return(if (is.null(names(value))) items else stats::setNames(items, .toSnake(names(value))))
    }
    if (name %in% .SEQUENCES) {
        return(as.list(value))
    }
    whole <- is.double(value) && all(is.finite(value) & value == round(value) & abs(value) < 2^31)
    if (whole && is.null(dim(value))) {
        return(as.integer(value))
    }
    if (is.factor(value)) as.character(value) else value
}

# ---- Python's messages in R's words --------------------------------------------------------------

# What a message says of AnnData -> what it is in R; regular expressions, in this order. The text that was
# found keeps its place in the sentence, so only names are exchanged and advice that is Python code.
.WORDS <- c(
    # advice
    "adata\\[adata\\.obs\\['in_tissue'\\]\\.astype\\(bool\\)\\]\\.copy\\(\\)" =
        "x[, as.logical(x$in_tissue)]",
    "adata\\.var_names_make_unique\\(\\)" = "make.unique(rownames(x))",
    "Run tl\\.transst\\(key_added='([^']*)'\\)" = "Run transst(x, name = \"\\1\")",
    "or see tl\\.split_counts|, or see `?tl\\.split_counts`?" = "",
    "transst_py\\.tl\\.impute|`?tl\\.impute`?" = "imputeSpots()",
    "transst_py\\.tl\\.bin_cells|`?tl\\.bin_cells`?" = "binCells()",
    "`?tl\\.rank_domain_genes`?" = "domainMarkers()",
    "`?tl\\.transst`?" = "transst()",
    "\\bsimulated_tissue\\(\\)" = "simulateTissue()",
    "uns\\[\\w+\\]\\['source'\\]\\['suspicious'\\]( \\(`suspicious_` of the model\\))?" =
        "transferReport(x)$suspicious",
    # urllib3 says much, and nothing that helps
    "\\(HTTPS?ConnectionPool.*\\)(?=\\. Connect)" = "(no connection)",
    # values of arguments
    "(`?)(normalization|graph|method)='(\\w+)'" = "\\1\\2 = \"\\3\"",
    "(`\\w+`)='(\\w+)'" = "\\1 = \"\\2\"",
    "`(\\w+)=(True|False|None)`" = "`\\1` = \\2",
    "(?<!['\\w])None(?!['\\w])" = "NULL",
    "(?<!['\\w])True(?!['\\w])" = "TRUE",
    "(?<!['\\w])False(?!['\\w])" = "FALSE",
    "an AnnData, a list or a dict of them" = "an object with cells, or a list of them",
    "an AnnData" = "an object with cells",
    # places in an object
    "obsm\\['X_transst'\\]" = "obsm['TransST']",
    "obsm\\['X_([^']*)'\\]" = "obsm['TransST.\\1']",
    "(adata\\.)?obsm\\['spatial'\\](; it has (none|'[^.]*)\\. Store an \\(n_spots, 2\\) array there)?" =
        "the spatial coordinates of `x`",
    "(adata\\.)?\\bobsm\\['([^']*)'\\]" = "the reduced dimension '\\2' of `x`",
    "(adata\\.)?\\bobs\\['([^']*)'\\]" = "column '\\2'",
    "adata\\.obs\\b" = "the cell data of `x`",
    "`?\\badata\\b`?" = "`x`"
)

# Arguments that the bridge sets itself, or that have another name in R.
.ARGUMENTS <- c("`key`" = "`domains`", "`spatial_key`" = "`coords`", "`key_added`" = "`name`")

# A layer of AnnData is an assay of the SummarizedExperiment family, and a layer of a Seurat object.
.LAYERS <- c("`layer`" = "`assay` or, of a Seurat object, `layer`")

.layerWords <- function(x) if (!is(x, "Seurat")) c("`layer`" = "`assay`", "`source_layer`" = "`sourceAssay`")

# `words`: exact texts and what to put there, before everything else.
.inRWords <- function(text, words = NULL) {
    words <- c(words, .ARGUMENTS)
    for (word in names(words)) text <- gsub(word, words[[word]], text, fixed = TRUE)
    for (pattern in names(.WORDS)) text <- gsub(pattern, .WORDS[[pattern]], text, perl = TRUE)
    quoted <- unique(regmatches(text, gregexpr("`[a-z]+(_[a-z]+)+`", text))[[1L]])
    for (name in quoted) {
        text <- gsub(name, paste0("`", .toCamel(gsub("`", "", name)), "`"), text, fixed = TRUE)
    }
    text
}
