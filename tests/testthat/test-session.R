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

test_that("without a Python environment the error says what to run, and nothing is installed", {
    skip_on_os("windows")
    home <- tempfile("home")
    dir.create(home)
    output <- runChild(
        r"(
            setwd(Sys.getenv("HOME"))
            library(TransST)
            print(transstAvailable())
            m <- matrix(1:20, 2, dimnames = list(c("a", "b"), NULL))
            spe <- SpatialExperiment(list(counts = m), spatialCoords = cbind(x = 1:10, y = 1))
            tryCatch(transst(spe, nDomains = 2), transst_no_python = function(e) print(conditionMessage(e)))
            print(transstConfig())
        )",
        paste0(c("HOME=", "WORKON_HOME="), home),
        without = c("RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "VIRTUAL_ENV")
    )
    expect_match(output, "[1] FALSE", fixed = TRUE)
    expect_match(output, "TransST::installTransst()", fixed = TRUE)
    expect_match(output, "RETICULATE_PYTHON", fixed = TRUE)
    expect_match(output, "NOT ready", fixed = TRUE)
    expect_false(dir.exists(file.path(home, "r-transst")))
})

test_that("a Python without the packages is told apart, with the command that installs them", {
    skip_on_os("windows")
    skipWithoutPython()
    base <- reticulate::py_run_string("import sys; base = sys._base_executable")$base
    bare <- system2(base, c("-c", shQuote("import rpy2")), stdout = FALSE, stderr = FALSE) != 0L
    skip_if_not(bare, "the base Python has rpy2")
    output <- runChild(
        "library(TransST); cat(transstConfig()$problem)", paste0("RETICULATE_PYTHON=", base)
    )
    expect_match(output, "lacks: .*rpy2, anndata2ri")
    expect_match(output, "-m pip install .*'rpy2>=3.6.9,<3.7'")
})

test_that("an interrupt stops the run, leaves the object as it was and the session usable", {
    skip_on_os("windows")
    skipWithoutPython()
    output <- runChild(
        r"(
            library(TransST)
            tissue <- simulateTissue(nRows = 14, nCols = 12, nGenes = 60, nDomains = 3, seed = 4)
            x <- tissue$target
            before <- serialize(x, NULL)
            # a model that waits makes the run last
            reticulate::py_run_string("
import time, transst_py.bridge._serve as serve
real = serve.tl.transst
def slow(*args, **options):
    for i in range(600):
        time.sleep(0.1)
serve.tl.transst = slow
            ")
            system2("sh", c("-c", shQuote(sprintf("sleep 2; kill -INT %d", Sys.getpid()))), wait = FALSE)
            start <- Sys.time()
            caught <- tryCatch(transst(x, nDomains = 3), interrupt = function(i) "interrupted")
            cat("caught:", caught, "\n")
            cat("soon:", difftime(Sys.time(), start, units = "secs") < 30, "\n")
            cat("same:", identical(serialize(x, NULL), before), "\n")
            cat("empty:", length(ls(TransST:::.exchange)) == 0, "\n")
            reticulate::py_run_string("serve.tl.transst = real")
            again <- transst(x, tissue$source, "label", nDomains = 3, nFactors = 4)
            cat("usable:", nlevels(again$transst), "\n")
        )",
        paste0("RETICULATE_PYTHON=", reticulate::py_config()$python)
    )
    expect_match(output, "caught: interrupted", fixed = TRUE)
    expect_match(output, "soon: TRUE", fixed = TRUE)
    expect_match(output, "same: TRUE", fixed = TRUE)
    expect_match(output, "empty: TRUE", fixed = TRUE)
    expect_match(output, "usable: 3", fixed = TRUE)
})
