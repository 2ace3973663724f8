# Everything about which Python runs is in this file.

.ENVNAME <- "r-transst"

# Module to look for -> requirement to install. A test holds them equal to pyproject.toml.
.REQUIREMENTS <- c(
    anndata = "anndata>=0.12",
    jinja2 = "jinja2>=3.1",
    joblib = "joblib>=1.3",
    matplotlib = "matplotlib>=3.8",
    numpy = "numpy>=1.26",
    pandas = "pandas>=2.1",
    PIL = "pillow>=10",
    pooch = "pooch>=1.8",
    sklearn = "scikit-learn>=1.5",
    scipy = "scipy>=1.12",
    threadpoolctl = "threadpoolctl>=3.1",
    torch = "torch>=2.2",
    tqdm = "tqdm>=4.60",
    rpy2 = "rpy2>=3.6.9,<3.7",
    anndata2ri = "anndata2ri>=2.0.1,<3"
)

.python <- new.env(parent = emptyenv())

# The bridge module of transst_py, imported once per session.
.bridge <- function() {
    if (is.null(.python$bridge)) {
        # Ctrl-C waits: Python cannot load again what it has loaded in part.
        suspendInterrupts({
            .choosePython()
            .checkPython()
            .python$bridge <- .importBridge()
        })
        Sys.sleep(0) # now it has its turn, and not in the middle of a conversion
    }
    .python$bridge
}

# A choice the user made in any of reticulate's ways wins, then the environment that `make setup` built
# together with this installation; our own one comes last.
.choosePython <- function() {
    if (.userChosePython()) {
        return(invisible())
    }
    recorded <- .recordedPython()
    if (!is.null(recorded)) {
        return(reticulate::use_python(recorded, required = TRUE))
    }
    if (!reticulate::virtualenv_exists(.ENVNAME)) {
        .stop(
            "there is no Python environment for TransST yet. Make one, once, with\n",
            "    TransST::installTransst()\n",
            "or set the environment variable RETICULATE_PYTHON to a Python (>= 3.11) that has the required ",
            "packages",
            class = "transst_no_python"
        )
    }
    reticulate::use_virtualenv(.ENVNAME, required = TRUE)
}

# tools/setup.sh writes the path of its Python into the installed package.
.recordedPython <- function(file = system.file("python-env", package = "TransST")) {
    if (!nzchar(file)) {
        return(NULL)
    }
    python <- readLines(file, n = 1L, warn = FALSE)
    if (length(python) && file.exists(python)) python
}

.userChosePython <- function() {
    reticulate::py_available(initialize = FALSE) ||
        any(nzchar(Sys.getenv(c("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV")))) ||
        !is.null(.forcedPython())
}

# The Python that another R process should use: this one's, or the one the user asked for here.
.chosenPython <- function() {
    if (reticulate::py_available(initialize = FALSE)) {
        reticulate::py_config()$python
    } else if (!is.null(.forcedPython())) {
        reticulate::py_discover_config()$python
    }
}

# What use_python() and friends, VIRTUAL_ENV or ./.venv ask for. That there is no Python at all is an
# error to reticulate, and its advice about a pyproject.toml in the working directory is not for us.
.forcedPython <- function() {
    tryCatch(suppressWarnings(reticulate::py_discover_config())$forced, error = function(e) NULL)
}

.checkPython <- function() {
    python <- .startPython()
    if (python$version < "3.11") {
        .stop(
            "TransST needs Python >= 3.11, but ", python$python, " is ", python$version,
            ". Run TransST::installTransst() and restart R without RETICULATE_PYTHON, or set it to ",
            "a newer Python",
            class = "transst_no_python"
        )
    }
    missing <- .missingModules()
    if (length(missing)) {
        .stop(
            "the Python ", python$python, " lacks: ", paste(names(missing), collapse = ", "),
            ". Install with:\n    ", .pipCommand(python$python, missing),
            "\nor let TransST::installTransst() create an environment of its own",
            class = "transst_no_python"
        )
    }
}

.startPython <- function() {
    .sayIfWatched("starting Python and loading its packages ...")
    tryCatch(
        reticulate::py_config(),
        error = function(e) {
            .stop("Python does not start: ", conditionMessage(e), class = "transst_no_python")
        }
    )
}

# Looks for modules without importing them.
.missingModules <- function() {
    find <- reticulate::import("importlib.util")$find_spec
    found <- vapply(names(.REQUIREMENTS), function(module) !is.null(find(module)), logical(1L))
    .REQUIREMENTS[!found]
}

.pipCommand <- function(python, requirements) {
    paste(python, "-m pip install", paste0("'", requirements, "'", collapse = " "))
}

# The sources inside this package, so that the two halves cannot be of different versions.
.importBridge <- function() {
    package <- reticulate::import_from_path(
        "transst_py",
        path = system.file("python", package = "TransST", mustWork = TRUE)
    )
    ours <- as.character(utils::packageVersion("TransST"))
    theirs <- package[["__version__"]]
    if (!identical(theirs, ours)) {
        .stop(
            "this session has imported transst_py ", theirs, " from ", package[["__file__"]],
            ", but TransST is ", ours, "; restart R and do not import transst_py before TransST"
        )
    }
    bridge <- reticulate::import("transst_py.bridge._serve", convert = TRUE)
    bridge$attach()
    bridge
}

#' Create the Python environment of TransST
#'
#' Creates a virtual environment and installs the Python packages that TransST needs. Nothing is
#' ever installed without a call of this function.
#'
#' @param envname Name of the virtual environment. TransST finds `"r-transst"` by itself; any other
#'   one is chosen with the environment variable `RETICULATE_PYTHON_ENV`.
#' @param python Path of a Python (>= 3.11) to build on; `NULL` lets reticulate find one.
#' @param pipOptions Options for pip, such as
#'   `"--extra-index-url https://download.pytorch.org/whl/cpu"` for a small torch without GPU support.
#'
#' @return The path of the environment, invisibly.
#'
#' @details The package rpy2 is compiled against the R that runs, so a C compiler is needed, and the
#'   environment should be made anew (delete it with [reticulate::virtualenv_remove()]) after a
#'   change to another minor version of R.
#'
#'   Which Python is used is decided once per session: first a choice of the user's (a Python that runs
#'   already, `RETICULATE_PYTHON`, `RETICULATE_PYTHON_ENV`, [reticulate::use_python()] and the like, or an
#'   active virtual environment), then the one that `make setup` built for this installation of the package,
#'   as long as it is there, and then the virtual environment `"r-transst"`.
#'
#' @seealso [transstConfig()] to see what is there.
#'
#' @examples
#' if (interactive()) {
#'     installTransst()
#' }
#' @export
installTransst <- function(envname = .ENVNAME, python = NULL, pipOptions = character()) {
    if (!reticulate::virtualenv_exists(envname)) {
        reticulate::virtualenv_create(
            envname,
            python = python, version = ">=3.11", packages = NULL
        )
    }
    reticulate::virtualenv_install(envname, unname(.REQUIREMENTS), pip_options = pipOptions)
    path <- file.path(reticulate::virtualenv_root(), envname)
    message("Python environment ready: ", path)
    invisible(path)
}

#' Is the Python environment of TransST complete?
#'
#' For examples and tests that should be skipped where it is not.
#'
#' @return `TRUE` or `FALSE`. Starts Python, if it was not running.
#' @seealso [transstConfig()] says what is missing.
#' @examples
#' transstAvailable()
#' @export
transstAvailable <- function() {
    .run(".bridgeStarts")
}

.bridgeStarts <- function() !is.null(tryCatch(.bridge(), transst_no_python = function(e) NULL))
