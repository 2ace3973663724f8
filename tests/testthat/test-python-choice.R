# The order of choices, without any Python.

# With only these variables and options set.
withChoices <- function(expr, ...) {
    names <- c("TRANSST_PYTHON", "RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "PYTHON_SESSION_INITIALIZED")
    before <- Sys.getenv(names, NA, names = TRUE)
    option <- options(TransST.python = NULL)
    on.exit({
        options(option)
        Sys.unsetenv(names)
        if (!all(is.na(before))) do.call(Sys.setenv, as.list(before[!is.na(before)]))
    })
    Sys.unsetenv(names)
    given <- list(...)
    if (length(given)) do.call(Sys.setenv, given)
    expr
}

pythonFile <- function() {
    folder <- tempfile("environment")
    dir.create(file.path(folder, "bin"), recursive = TRUE)
    file <- file.path(folder, "bin", "python")
    file.create(file)
    file
}

# Where no Python runs, none was asked for by use_python(), and all are complete.
withOwn <- function(expr, recorded = NULL, made = tempfile("none"), deficit = function(python) NULL) {
    with_mocked_bindings(
        withChoices(expr),
        .hostPython = function() NULL, .requiredPython = function() NULL, .runningPython = function() NULL,
        .recordedPython = function() recorded, .environmentFolder = function(envname) made,
        .deficit = deficit,
        .package = "TransST"
    )
}

test_that("a choice for TransST wins over one for reticulate, and that over our own", {
    python <- pythonFile()
    choice <- function(...) {
        withOwn(withChoices(TransST:::.pythonChoice(), ...), recorded = "/recorded/python")
    }
    expect_identical(choice()$python, "/recorded/python")
    expect_identical(
        choice(RETICULATE_PYTHON_ENV = "/env/python")$by, "the environment variable RETICULATE_PYTHON_ENV"
    )
    chosen <- choice(RETICULATE_PYTHON = "/path/python", RETICULATE_PYTHON_ENV = "/env/python")
    expect_identical(chosen$python, "/path/python")
    expect_identical(choice(RETICULATE_PYTHON = "/path/python", TRANSST_PYTHON = python)$python, python)
    chosen <- withOwn({
        options(TransST.python = dirname(dirname(python)))
        Sys.setenv(TRANSST_PYTHON = "/other/python")
        TransST:::.pythonChoice()
    })
    expect_identical(chosen, list(python = python, by = "options(TransST.python)", user = TRUE))
    # what reticulate makes up itself is no choice
    expect_identical(choice(RETICULATE_PYTHON = "managed")$python, "/recorded/python")
})

test_that("of our own the first complete one is taken", {
    made <- pythonFile()
    folder <- dirname(dirname(made))
    expect_identical(
        withOwn(TransST:::.pythonChoice(), recorded = "/recorded/python", made = folder)$by, "`make setup`"
    )
    chosen <- withOwn(
        TransST:::.pythonChoice(),
        recorded = "/recorded/python", made = folder,
        deficit = function(python) if (python != made) list(text = "lacks numpy", missing = "numpy")
    )
    expect_identical(chosen$python, made)
    expect_null(withOwn(TransST:::.pythonChoice()))
    expect_error(
        withOwn(TransST:::.usablePython()), "no Python environment for TransST yet",
        class = "transst_no_python"
    )
})

test_that("the advice is what helps in this state", {
    lacking <- list(text = "lacks rpy2>=3", missing = c(rpy2 = "rpy2>=3"))
    made <- pythonFile()
    user <- list(python = "/mine/python", by = "use_python()", user = TRUE)
    problem <- function(...) withOwn(TransST:::.problemOf(user), ...)
    found <- problem(made = dirname(dirname(made)), deficit = function(python) if (python != made) lacking)
    expect_match(found, "/mine/python -m pip install 'rpy2>=3'", fixed = TRUE)
    expect_match(found, paste0("options(TransST.python = \"", made, "\")"), fixed = TRUE)
    expect_no_match(found, "installTransst")
    expect_match(
        problem(deficit = function(python) lacking),
        "installTransst\\(\\)\n +options\\(TransST.python = \"r-transst\"\\)"
    )
    old <- list(text = "is of version 3.9.1, but TransST needs >= 3.11")
    expect_match(
        problem(deficit = function(python) old), "3.11. Make an environment for TransST, and use it:\n",
        fixed = TRUE
    )
    recorded <- list(python = "/recorded/python", by = "`make setup`", user = FALSE)
    expect_match(
        withOwn(TransST:::.problemOf(recorded), deficit = function(python) lacking), "Run `make setup` again"
    )
})

test_that("what is no path or name of a Python is refused by the name of the option", {
    before <- options(TransST.python = 3)
    on.exit(options(before))
    expect_error(TransST:::.userPython(), "options\\(TransST.python = \\) must be the path .* got 3")
    options(TransST.python = "no-such-environment")
    expect_match(
        conditionMessage(tryCatch(transst(tinySpe(), nDomains = 2), error = identity)), "no-such-environment"
    )
})

test_that("a recorded Python that is gone, and an installation without a record, count for nothing", {
    record <- tempfile()
    python <- tempfile()
    writeLines(python, record)
    expect_null(TransST:::.recordedPython(record))
    file.create(python)
    expect_identical(TransST:::.recordedPython(record), python)
    expect_null(TransST:::.recordedPython(""))
})

test_that("two paths are the same Python if their environments are", {
    one <- pythonFile()
    other <- pythonFile()
    expect_true(TransST:::.samePython(one, file.path(dirname(one), "..", "bin", "python")))
    expect_false(TransST:::.samePython(one, other))
    if (.Platform$OS.type != "windows") { # two environments of one Python
        link <- file.path(dirname(other), "linked")
        file.symlink(one, link)
        expect_false(TransST:::.samePython(one, link))
    }
})
