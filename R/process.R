# In which process Python runs; nothing else in the package knows.

#' The process that computes
#'
#' Python, torch and R share one process on Linux, where this is known to be safe. On macOS the OpenMP
#' libraries of torch and of R may clash, so there the same calls run in a background R process, with the same
#' result. They do so on every system where the Python of this session cannot serve, since an R session can
#' have only one: another package may have started it, or it was started before its packages were installed. A
#' message says so once.
#'
#' The option `TransST.process` chooses:
#' \describe{
#'   \item{`options(TransST.process = "here")`}{in this R process; nothing is copied, and Python is shared
#'     with everything else that uses reticulate in the session. The default on Linux and Windows, if this
#'     session's Python serves.}
#'   \item{`options(TransST.process = "background")`}{in an R process that callr starts at the first call and
#'     keeps for the next ones. The default on macOS, and where this session's Python does not serve.
#'     Expression travels through a temporary file. Errors, warnings and progress arrive as they do from this
#'     process.}
#' }
#' An interrupt (Ctrl-C) ends the call in both; the background process is ended with it, and the next call
#' starts another.
#'
#' @section Which Python:
#'
#' The first of these that there is:
#' 1. what you chose for TransST: `options(TransST.python = )` or the environment variable `TRANSST_PYTHON`,
#'    each the path of a Python, or the folder or name of an environment;
#' 2. what you chose for all of reticulate: `RETICULATE_PYTHON`, `RETICULATE_PYTHON_ENV`,
#'    [reticulate::use_python()] and its like;
#' 3. the environment that `make setup` built with this installation of the package;
#' 4. the environment `"r-transst"` that [installTransst()] makes;
#' 5. a Python that runs in this session already, if it has the packages.
#'
#' Of 3 and 4, an incomplete one counts only if the other is not complete. An environment that lies in the
#' working folder (`.venv`) or is active in the shell (`VIRTUAL_ENV`) is not used.
#'
#' @section Threads:
#'
#' `options(TransST.threads = n)` limits the threads of each call of this package to `n`. Without it, all
#' cores are used, or as many as the environment variable `OMP_NUM_THREADS` says. There is no argument
#' `BPPARAM`: the threads belong to Python.
#'
#' @return `getOption("TransST.process")` is `"here"`, `"background"`, or `NULL` for the default.
#' @name TransST.process
#' @aliases TransST-options TransST.python TransST.threads
#' @seealso [transstConfig()] tells which process and which Python are in use.
#' @examples
#' getOption("TransST.process") # NULL: the default
NULL

.background <- new.env(parent = emptyenv())

# Call a function of this package, by its name, where Python runs.
.run <- function(what, ...) {
    if (.processChoice() == "here") {
        return(get(what)(...))
    }
    choice <- .usablePython()
    .sayWhyElsewhere(choice)
    .runInBackground(what, list(...), choice$python)
}

.processChoice <- function() {
    choice <- getOption("TransST.process")
    if (is.null(choice)) {
        macos <- Sys.info()[["sysname"]] == "Darwin"
        return(if (macos || !is.null(.whyElsewhere())) "background" else "here")
    }
    if (!identical(choice, "here") && !identical(choice, "background")) {
        .stop(
            "options(TransST.process = ) must be \"here\" or \"background\", got ", deparse1(choice)
        )
    }
    choice
}

# Once per session, unless the user asked for it.
.sayWhyElsewhere <- function(choice) {
    why <- .whyElsewhere(choice)
    if (is.null(getOption("TransST.process")) && !is.null(why) && !isTRUE(.background$said)) {
        message(
            "TransST computes in a background R process with its own Python, ", choice$python, ": ", why,
            ". The results are the same."
        )
        .background$said <- TRUE
    }
}

# Whatever ends this call before there is an answer ends the process too.
.runInBackground <- function(what, arguments, python = NULL) {
    session <- .backgroundSession(python)
    done <- FALSE
    on.exit(if (!done) .endBackground())
    session$call(
        function(what, arguments, python, threads) {
            # a .Renviron may have named another one
            if (!is.null(python)) Sys.setenv(RETICULATE_PYTHON = python)
            options(TransST.process = "here", TransST.python = python, TransST.threads = threads)
            do.call(get(what, envir = asNamespace("TransST")), arguments)
        },
        list(what, arguments, python, getOption("TransST.threads"))
    )
    answer <- .awaitAnswer(session)
    done <- TRUE
    if (!is.null(answer$error)) {
        stop(if (inherits(answer$error$parent, "error")) answer$error$parent else answer$error)
    }
    answer$result
}

# Shows what the process prints until it answers.
.awaitAnswer <- function(session) {
    repeat {
        ready <- session$poll_io(1000L)
        writeLines(session$read_output(), sep = "")
        writeLines(session$read_error(), stderr(), sep = "")
        answer <- if (ready[["process"]] == "ready") session$read()
        if (!is.null(answer) && answer$code == 200L) {
            return(answer)
        }
        if (!session$is_alive()) {
            .stop(
                "the background R process ended before it had an answer (exit status ",
                session$get_exit_status(), "); was there enough memory? The next call starts another one",
                class = "transst_background_ended"
            )
        }
    }
}

# The process that there is, unless it has another Python.
.backgroundSession <- function(python = NULL) {
    alive <- !is.null(.background$session) && .background$session$is_alive()
    if (alive && !identical(.background$python, python)) {
        .endBackground()
        alive <- FALSE
    }
    if (!alive) {
        env <- c(callr::rcmd_safe_env(), LD_LIBRARY_PATH = .libraryPath())
        .sayIfWatched("starting a background R process ...")
        .background$session <- callr::r_session$new(
            callr::r_session_options(stdout = "|", stderr = "|", env = env)
        )
        .background$python <- python
    }
    .background$session
}

.endBackground <- function() {
    if (!is.null(.background$session)) .background$session$kill()
    .background$session <- NULL
}
