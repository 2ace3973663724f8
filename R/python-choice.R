# Which Python computes. Nothing here starts Python in this process.

.ENVNAME <- "r-transst"

# A list of `python` (its path) and `by` (who chose it); NULL if there is none. What the user chose wins. Then
# come our own: the one that `make setup` built with this installation, and r-transst; the first that is
# complete. Where we have none, one that runs already will do, if it is complete.
.pythonChoice <- function() {
    .userPython() %||% .ownPython() %||% .runningPythonThatServes()
}

# The choice, or an error that says what to do.
.usablePython <- function() {
    choice <- .pythonChoice()
    problem <- if (is.null(choice)) .noPython() else .problemOf(choice)
    if (!is.null(problem)) .stop(problem, class = "transst_no_python")
    choice
}

.noPython <- function() {
    paste0(
        "there is no Python environment for TransST yet. Make one, once, with\n",
        "    TransST::installTransst()\n",
        "or name a Python (>= 3.11) that has the required packages: options(TransST.python = \"path\")"
    )
}

# ---- What the user chose -------------------------------------------------------------------------

# For TransST, or for all that uses reticulate. An environment that only lies in the working folder or is
# active in the shell (VIRTUAL_ENV) is none of these.
.userPython <- function() {
    wishes <- list(
        `options(TransST.python)` = getOption("TransST.python"),
        `the environment variable TRANSST_PYTHON` = .variable("TRANSST_PYTHON"),
        # where R itself was started by Python
        `the Python that started R` = .hostPython(),
        `the environment variable RETICULATE_PYTHON` = .reticulatePython(),
        `the environment variable RETICULATE_PYTHON_ENV` = .variable("RETICULATE_PYTHON_ENV"),
        `use_python()` = .requiredPython()
    )
    wishes <- Filter(Negate(is.null), wishes)
    if (length(wishes)) list(python = .pythonOf(wishes[[1L]]), by = names(wishes)[[1L]], user = TRUE)
}

.variable <- function(name) {
    value <- Sys.getenv(name)
    if (nzchar(value)) value
}

# "managed" asks reticulate for an environment that it makes up, with no package of ours.
.reticulatePython <- function() {
    value <- .variable("RETICULATE_PYTHON")
    if (!identical(value, "managed")) value
}

# rpy2 leaves a note for R; of any other host reticulate tells once it runs.
.hostPython <- function() {
    note <- Sys.getenv("PYTHON_SESSION_INITIALIZED")
    if (startsWith(note, paste0("current_pid=", Sys.getpid(), ":"))) {
        return(sub(".*sys.executable=", "", note))
    }
    if (reticulate::py_available(initialize = FALSE)) {
        config <- reticulate::py_config()
        if (identical(config$forced, "the current process")) config$python
    }
}

# What use_python(), use_virtualenv() and use_condaenv() asked for. reticulate exports no function that says
# so without a look for other Pythons, which may start a download.
.requiredPython <- function() {
    required <- utils::getFromNamespace(".globals", "reticulate")$required_python_version
    if (!identical(required, .python$required)) required # ours is no wish of the user's
}

# The path of a Python: of itself, of the folder of an environment, or of the name of one.
.pythonOf <- function(name) {
    if (!is.character(name) || length(name) != 1L || is.na(name) || !nzchar(name)) {
        .stop(
            "options(TransST.python = ) must be the path of a Python or an environment, got ",
            deparse1(name)
        )
    }
    path <- path.expand(name)
    if (dir.exists(path)) {
        return(.pythonIn(path))
    }
    if (!file.exists(path)) {
        if (reticulate::virtualenv_exists(name)) {
            return(.pythonIn(file.path(reticulate::virtualenv_root(), name)))
        }
        conda <- tryCatch(reticulate::conda_python(name), error = function(e) NULL)
        if (!is.null(conda)) {
            return(conda)
        }
    }
    path
}

.pythonIn <- function(folder) {
    places <- file.path(folder, c("bin/python", "Scripts/python.exe", "python.exe", "python"))
    c(places[file.exists(places)], places)[[1L]]
}

# ---- Our own -------------------------------------------------------------------------------------

.ownPython <- function() {
    own <- .ownPythons()
    c(Filter(function(choice) is.null(.deficit(choice$python)), own), own)[1L][[1L]]
}

.ownPythons <- function() {
    recorded <- .recordedPython()
    made <- .environmentFolder(.ENVNAME)
    Filter(Negate(is.null), list(
        if (!is.null(recorded)) list(python = recorded, by = "`make setup`", user = FALSE),
        if (dir.exists(made)) list(python = .pythonIn(made), by = "installTransst()", user = FALSE)
    ))
}

.environmentFolder <- function(envname) {
    file.path(path.expand(reticulate::virtualenv_root()), envname)
}

# tools/setup.sh writes the path of its Python into the installed package.
.recordedPython <- function(file = system.file("python-env", package = "TransST")) {
    if (!nzchar(file)) {
        return(NULL)
    }
    python <- readLines(file, n = 1L, warn = FALSE)
    if (length(python) && file.exists(python)) python
}

# ---- This session's ------------------------------------------------------------------------------

.runningPython <- function() {
    if (reticulate::py_available(initialize = FALSE)) reticulate::py_config()$python
}

.runningPythonThatServes <- function() {
    python <- .runningPython()
    if (!is.null(python) && is.null(.deficit(python))) {
        list(python = python, by = "another package or reticulate, which started it", user = FALSE)
    }
}

# The Python that runs in this process, or that reticulate would start whatever we ask for.
.sessionPython <- function() {
    forced <- .reticulatePython() %||% .variable("RETICULATE_PYTHON_ENV") %||%
        utils::getFromNamespace(".globals", "reticulate")$required_python_version
    .runningPython() %||% if (!is.null(forced)) .pythonOf(forced)
}

# Why this process cannot compute with the Python that was chosen; NULL if it can.
.whyElsewhere <- function(choice = .pythonChoice()) {
    session <- .sessionPython()
    if (is.null(choice) || is.null(session)) {
        return(NULL)
    }
    if (!.samePython(session, choice$python)) {
        return(paste0("this session's Python is another one, ", session))
    }
    running <- reticulate::py_available(initialize = FALSE)
    if (running && !reticulate::py_numpy_available() && is.null(.deficit(choice$python))) {
        "this session's Python was started before its packages were installed"
    }
}

# An environment's Python is a link to the one that it was made from, so the folders count, too.
.samePython <- function(a, b) {
    identity <- function(path) normalizePath(c(dirname(path), path), mustWork = FALSE)
    identical(identity(a), identity(b))
}

# ---- What is wrong with one, and what helps ------------------------------------------------------

.problemOf <- function(choice) {
    deficit <- .deficit(choice$python)
    if (is.null(deficit)) {
        return(NULL)
    }
    paste0(
        "the Python ", choice$python, " (chosen by ", choice$by, ") ", deficit$text, ". ",
        if (choice$user) .adviceToUser(choice, deficit) else .adviceOnOurs(choice)
    )
}

.adviceOnOurs <- function(choice) {
    if (choice$by == "`make setup`") {
        return(paste0(
            "Run `make setup` again where TransST was built, or make an environment with\n",
            "    TransST::installTransst()"
        ))
    }
    "This puts it right:\n    TransST::installTransst()"
}

.adviceToUser <- function(choice, deficit) {
    pip <- if (length(deficit$missing)) {
        paste0("Install them with\n    ", .pipCommand(choice$python, deficit$missing), "\nor ")
    }
    ours <- .ownPython()
    if (!is.null(ours) && is.null(.deficit(ours$python)) && !.samePython(ours$python, choice$python)) {
        use <- paste0(
            "use the environment of TransST, which is complete:\n",
            "    options(TransST.python = \"", ours$python, "\")"
        )
    } else {
        use <- paste0(
            "make an environment for TransST, and use it:\n    TransST::installTransst()\n",
            "    options(TransST.python = \"", .ENVNAME, "\")"
        )
    }
    text <- paste0(pip, use)
    paste0(toupper(substr(text, 1L, 1L)), substring(text, 2L))
}

.pipCommand <- function(python, requirements) {
    paste(python, "-m pip install", paste0("'", requirements, "'", collapse = " "))
}
