# What happens to the session: in child processes, which may be interrupted and have no Python.

# `env`: variables to set; `without`: variables to remove.
runChild <- function(code, env = character(), without = character()) {
    script <- tempfile(fileext = ".R")
    writeLines(code, script)
    libraries <- paste0("R_LIBS=", paste(.libPaths(), collapse = .Platform$path.sep))
    output <- system2(
        "env",
        c(
            rbind(rep("-u", length(without)), without), shQuote(c(libraries, env)),
            shQuote(file.path(R.home("bin"), "Rscript")), "--no-environ", shQuote(script)
        ),
        stdout = TRUE, stderr = TRUE
    )
    paste(output, collapse = "\n")
}

# Run code in a child that has the small tissue and this session's Python, and expect the lines it prints.
expectFromChild <- function(code, lines) {
    skip_on_os("windows")
    skipWithoutPython()
    output <- runChild(
        c(
            "library(TransST)",
            "tissue <- simulateTissue(nRows = 14, nCols = 12, nGenes = 60, nDomains = 3, seed = 4)",
            code
        ),
        paste0("RETICULATE_PYTHON=", reticulate::py_config()$python)
    )
    for (line in lines) expect_match(output, line, fixed = TRUE)
}

test_that("a Python without the packages is told apart, with the command that installs them", {
    skip_on_os("windows")
    skipWithoutPython()
    output <- runChild(
        "library(TransST); cat(transstConfig()$problem)", paste0("RETICULATE_PYTHON=", barePython())
    )
    expect_match(output, "(chosen by the environment variable RETICULATE_PYTHON) lacks", fixed = TRUE)
    expect_match(output, "-m pip install .*'rpy2>=3.6.9,<3.7'")
})

test_that("an interrupt stops the run, leaves the object as it was and the session usable", {
    expectFromChild(
        r"(
            x <- tissue$target
            before <- serialize(x, NULL)
            # a model that interrupts its own process, and would then last for a minute
            reticulate::py_run_string("
import os, signal, time, transst_py.bridge._serve as serve
real = serve.tl.transst
def slow(*args, **options):
    os.kill(os.getpid(), signal.SIGINT)
    for i in range(600):
        time.sleep(0.1)
serve.tl.transst = slow
            ")
            caught <- tryCatch(
                { transst(x, nDomains = 3); "finished" },
                interrupt = function(i) "interrupted"
            )
            cat("caught:", caught, "\n")
            cat("same:", identical(serialize(x, NULL), before), "\n")
            cat("empty:", length(ls(TransST:::.exchange)) == 0, "\n")
            reticulate::py_run_string("serve.tl.transst = real")
            again <- transst(x, tissue$source, "label", nDomains = 3, nFactors = 4)
            cat("usable:", nlevels(again$transst), "\n")
        )",
        c("caught: interrupted", "same: TRUE", "empty: TRUE", "usable: 3")
    )
})

test_that("an interrupt before Python is reached is one too, in R's own code and in reticulate's", {
    expectFromChild(
        r"(
            caught <- function(expr) {
                tryCatch({ expr; "nothing" }, interrupt = function(i) "interrupt", error = conditionMessage)
            }
            # R's own code, which rpy2 must leave interruptible
            own <- caught({ tools::pskill(Sys.getpid(), tools::SIGINT); for (i in 1:1e6) sqrt(i) })
            cat("own:", own, "\n")
            interruptible <- TransST:::.interruptible
            # what reticulate makes of it between R and Python: Python prints it, then an error
            between <- caught(interruptible({
                reticulate::py_run_string("import sys; sys.last_type = KeyboardInterrupt")
                stop("Exception raised by 'inspect.getmro(<pyobj>)'")
            }))
            cat("between:", between, "\n")
            cat("other:", caught(interruptible(stop("another error"))), "\n")
            flatten <- TransST:::.flattenTarget
            utils::assignInNamespace(".flattenTarget", function(...) {
                tools::pskill(Sys.getpid(), tools::SIGINT)
                flatten(...)
            }, "TransST")
            cat("early:", caught(transst(tissue$target, nDomains = 3)), "\n")
        )",
        c("own: interrupt", "between: interrupt", "other: another error", "early: interrupt")
    )
})

test_that("an interrupt waits until Python has loaded its packages, and is one then", {
    expectFromChild(
        r"(
            caught <- function(expr) {
                tryCatch({ expr; "nothing" }, interrupt = function(i) "interrupt", error = conditionMessage)
            }
            python <- TransST:::.python
            python$bridge <- NULL
            import <- TransST:::.importBridge
            utils::assignInNamespace(".importBridge", function() {
                reticulate::py_run_string("
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
for i in range(5): time.sleep(0.1)
                ")
                import()
            }, "TransST")
            cat("first:", caught(transst(tissue$target, nDomains = 3, nFactors = 4)), "\n")
            cat("loaded:", !is.null(python$bridge), "\n")
            cat("second:", caught(transst(tissue$target, nDomains = 3, nFactors = 4)), "\n")
        )",
        c("first: interrupt", "loaded: TRUE", "second: nothing")
    )
})
