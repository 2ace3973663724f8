# Objects on their way to or from Python; see `flatten()` and `assemble()` for what they hold.
.exchange <- new.env(parent = emptyenv())

# Run a task of transst_py.bridge. Returns its value; an object it made is read from `.exchange` by
# `collect`, a function that is called before the exchange is emptied.
.callPython <- function(task, options, target = NULL, sources = NULL, collect = identity) {
    bridge <- .bridge()
    options <- .pythonOptions(options, bridge$option_names(task))
    on.exit(rm(list = ls(.exchange, all.names = TRUE), envir = .exchange))
    .exchange$target <- target
    .exchange$sources <- sources
    answer <- bridge$answer(task, options)
    for (text in answer$warnings) {
        warning(warningCondition(.inRWords(text), class = "transst_python_warning", call = NULL))
    }
    if (!is.null(answer$error)) {
        .raisePythonError(answer$error)
    }
    collect(.plainValue(answer$value))
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
.raisePythonError <- function(error) {
    classes <- c(paste0("transst_python_", error$classes), "transst_python_error", "transst_error")
    stop(errorCondition(
        .inRWords(error$message),
        class = classes, call = NULL, traceback = error$traceback
    ))
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
    if (anyDuplicated(given)) {
        .stop("argument `", given[anyDuplicated(given)], "` is given twice")
    }
    unknown <- given[!.toSnake(given) %in% c(allowed, .INTERNAL)]
    if (length(unknown)) {
        .stop(
            "unknown argument ", .listSome(unknown), "; `...` takes: ",
            paste(.toCamel(allowed), collapse = ", ")
        )
    }
    values <- lapply(stats::setNames(given, given), function(name) .pythonValue(options[[name]], name))
    reticulate::py_dict(as.list(.toSnake(given)), unname(values), convert = FALSE)
}

# Set by the methods of this package, never through `...`.
.INTERNAL <- c("source_labels", "sample_key", "key", "task")

# Sequences in Python also when there is one element; other vectors of length one become scalars.
.SEQUENCES <- c("genes", "penalties")

# Whole numbers become integers (6 is a double in R but no count in Python); NA has no counterpart.
.pythonValue <- function(value, name) {
    if (is.atomic(value) && anyNA(value)) {
        .stop("argument `", name, "` must not be NA")
    }
    if (name %in% .SEQUENCES) {
        return(as.list(value))
    }
    if (is.double(value) && all(is.finite(value) & value == round(value) & abs(value) < 2^31)) {
        return(as.integer(value))
    }
    if (is.factor(value)) as.character(value) else value
}

# `n_domains` in a message of Python's is `nDomains` here, and `adata` is `x`.
.inRWords <- function(text) {
    text <- gsub("`adata`", "`x`", text, fixed = TRUE)
    quoted <- unique(regmatches(text, gregexpr("`[a-z]+(_[a-z]+)+`", text))[[1L]])
    for (name in quoted) {
        text <- gsub(name, paste0("`", .toCamel(gsub("`", "", name)), "`"), text, fixed = TRUE)
    }
    text
}
