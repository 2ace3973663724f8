# In which process Python runs; nothing else in the package knows.

#' The process that computes
#'
#' Python, torch and R share one process on Linux, where this is known to be safe. On macOS the OpenMP
#' libraries of torch and of R may clash, so there the same calls run in a background R process, with the same
#' result.
#'
#' The option `TransST.process` chooses:
#' \describe{
#'   \item{`options(TransST.process = "here")`}{in this R process; nothing is copied, and Python is shared
#'     with everything else that uses reticulate in the session. The default, except on macOS.}
#'   \item{`options(TransST.process = "background")`}{in an R process that callr starts at the first call and
#'     keeps for the next ones. The default on macOS; needs the package callr. Expression travels through a
#'     temporary file. Errors, warnings and progress arrive as they do from this process.}
#' }
#' An interrupt (Ctrl-C) ends the call in both; the background process is ended with it, and the next call
#' starts another.
#'
#' @return `getOption("TransST.process")` is `"here"`, `"background"`, or `NULL` for the default of the
#'   system.
#' @name TransST.process
#' @aliases TransST-options
#' @seealso [transstConfig()] tells which one is in use.
#' @examples
#' getOption("TransST.process") # NULL: the default of the system
NULL

.background <- new.env(parent = emptyenv())

# Call a function of this package, by its name, where Python runs.
.run <- function(what, ...) {
    if (.processChoice() == "here") get(what)(...) else .runInBackground(what, list(...))
}

.processChoice <- function() {
    ours <- if (Sys.info()[["sysname"]] == "Darwin") "background" else "here"
    choice <- getOption("TransST.process", ours)
    if (!identical(choice, "here") && !identical(choice, "background")) {
        .stop(
            "options(TransST.process = ) must be \"here\" or \"background\", got ", deparse1(choice)
        )
    }
    choice
}

# Whatever ends this call before there is an answer ends the process too.
.runInBackground <- function(what, arguments) {
    session <- .backgroundSession()
    done <- FALSE
    on.exit(if (!done) .endBackground())
    session$call(
        function(what, arguments) {
            options(TransST.process = "here")
            do.call(get(what, envir = asNamespace("TransST")), arguments)
        },
        list(what, arguments)
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

.backgroundSession <- function() {
    if (is.null(.background$session) || !.background$session$is_alive()) {
        if (!requireNamespace("callr", quietly = TRUE)) {
            .stop(
                "options(TransST.process = \"background\"), the default on macOS, needs the package callr; ",
                "run install.packages(\"callr\"), or set options(TransST.process = \"here\")"
            )
        }
        python <- .chosenPython()
        env <- c(callr::rcmd_safe_env(), if (!is.null(python)) c(RETICULATE_PYTHON = python))
        .sayIfWatched("starting a background R process ...")
        .background$session <- callr::r_session$new(
            callr::r_session_options(stdout = "|", stderr = "|", env = env)
        )
    }
    .background$session
}

.endBackground <- function() {
    .background$session$kill()
    .background$session <- NULL
}
