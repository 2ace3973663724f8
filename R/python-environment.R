# Python with the packages of TransST, in this process. Which Python that is: python-choice.R.

# Module to look for -> requirement to install. A test holds them equal to pyproject.toml.
.REQUIREMENTS <- c(
    anndata = "anndata>=0.12",
    jinja2 = "jinja2>=3.1.6",
    joblib = "joblib>=1.3",
    matplotlib = "matplotlib>=3.9",
    numpy = "numpy>=1.26",
    pandas = "pandas>=2.1",
    PIL = "pillow>=10.3",
    pooch = "pooch>=1.8",
    sklearn = "scikit-learn>=1.5",
    scipy = "scipy>=1.12",
    threadpoolctl = "threadpoolctl>=3.1",
    torch = "torch>=2.3",
    tqdm = "tqdm>=4.60",
    rpy2 = "rpy2>=3.6.9,<3.7",
    anndata2ri = "anndata2ri>=2.0.1,<3"
)

.python <- new.env(parent = emptyenv())

# Needed by imputeSpots(method = "s2s") and transst(encoder = "graph-vae") only.
.OPTIONAL <- "torch"

# The bridge module of transst_py, imported once per session.
.bridge <- function() {
    if (is.null(.python$bridge)) {
        choice <- .usablePython()
        # Ctrl-C waits: Python cannot load again what it has loaded in part.
        suspendInterrupts({
            .startPython(choice$python)
            .python$bridge <- .importBridge()
        })
        Sys.sleep(0) # now it has its turn, and not in the middle of a conversion
    }
    .python$bridge
}

.startPython <- function(python) {
    session <- .sessionPython()
    if (!is.null(session) && !.samePython(session, python)) {
        .stop(
            "options(TransST.process = \"here\") needs ", python, ", but this session's Python is ", session,
            ". Set options(TransST.process = NULL), and TransST uses a background process; or restart R and ",
            "call a function of TransST first",
            class = "transst_no_python"
        )
    }
    .sayIfWatched("starting Python and loading its packages ...")
    tryCatch(
        {
            if (is.null(session)) {
                reticulate::use_python(python, required = TRUE)
                .python$required <- .sessionPython()
            }
            reticulate::py_config()
        },
        error = function(e) {
            .stop("Python does not start: ", conditionMessage(e), class = "transst_no_python")
        }
    )
    if (!reticulate::py_numpy_available()) {
        .stop(
            "Python was started in this session before its packages were installed. Restart R, or set ",
            "options(TransST.process = NULL), and TransST uses a background process",
            class = "transst_no_python"
        )
    }
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
    tryCatch(.run(".bridgeStarts"), transst_no_python = function(e) FALSE)
}

.bridgeStarts <- function() !is.null(.bridge())
