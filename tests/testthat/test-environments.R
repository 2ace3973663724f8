# Which Python computes, in the states that users' machines are in: child R processes with an empty HOME.

expectLines <- function(output, ...) {
    for (line in c(...)) testthat::expect_match(output, line, fixed = TRUE)
}

skipWithoutChildren <- function() {
    testthat::skip_on_os("windows")
    skipWithoutPython()
}

test_that("no environment: the error says what to run, and nothing is installed", {
    skip_on_os("windows")
    home <- emptyHome()
    output <- runSession(
        r"(
            cat("available:", transstAvailable(), "\n")
            m <- matrix(1:20, 2, dimnames = list(c("a", "b"), NULL))
            spe <- SpatialExperiment(list(counts = m), spatialCoords = cbind(x = 1:10, y = 1))
            tell("first", transst(spe, nDomains = 2))
            print(transstConfig())
            cat("started:", reticulate::py_available(), "\n")
        )",
        home
    )
    expectLines(
        output, "available: FALSE", "first = error <transst_no_python> there is no Python environment",
        "TransST::installTransst()", "options(TransST.python = \"path\")", "Status: NOT ready",
        "started: FALSE"
    )
    expect_setequal(list.files(home, all.files = TRUE, no.. = TRUE), "session.R")
})

test_that("half an environment is found, and the same session works when it is completed", {
    skipWithoutChildren()
    home <- emptyHome()
    folder <- makeEnvironment(file.path(home, "environments", "r-transst"), complete = FALSE)
    source <- makeEnvironment(file.path(home, "source"))
    output <- runSession(
        sprintf(
            r"(
                cat("available:", transstAvailable(), "\n")
                tell("first", tissue())
                tools <- character()
                # instead of pip: the packages that the tests' own Python has
                utils::assignInNamespace(".runTool", function(command, arguments, what) {
                    tools <<- c(tools, what)
                    file.copy("%s", "%s")
                }, "TransST")
                utils::assignInNamespace(".checkCompiler", function(...) NULL, "TransST")
                tell("install", installTransst())
                cat("tools:", tools, "\n")
                cat("process:", TransST:::.processChoice(), "\n")
                tell("second", tissue())
                tell("again", installTransst())
                print(transstConfig())
            )", file.path(sitePackages(source), "of-the-tests.pth"), sitePackages(folder)
        ),
        home
    )
    expectLines(
        output, "available: FALSE", "first = error <transst_no_python> the Python", "lacks anndata>=0.12",
        "This puts it right:\n    TransST::installTransst()",
        "install said: Completing the Python environment",
        "process: here", paste0("second = ", tissueHere()), "again said: Python environment is complete",
        "chosen by  installTransst()", "Status: ready"
    )
    expect_no_match(output, "making the environment")
})

test_that("an installation repaired after Python was started in the session is used in the background", {
    skipWithoutChildren()
    home <- emptyHome()
    folder <- makeEnvironment(file.path(home, "environments", "r-transst"), complete = FALSE)
    source <- makeEnvironment(file.path(home, "source"))
    output <- runSession(
        sprintf(
            r"(
                reticulate::use_virtualenv("r-transst", required = TRUE)
                cat("running:", reticulate::py_config()$python, "\n")
                tell("first", tissue())
                file.copy("%s", "%s")
                tell("second", tissue())
                tell("third", tissue())
                options(TransST.process = "here")
                tell("here", tissue())
            )", file.path(sitePackages(source), "of-the-tests.pth"), sitePackages(folder)
        ),
        home
    )
    expectLines(
        output, "first = error <transst_no_python>", "options(TransST.python = \"r-transst\")",
        "second said: TransST computes in a background R process",
        "this session's Python was started before its packages were installed",
        paste0("second = ", tissueHere()), paste0("third = ", tissueHere()),
        "here = error <transst_no_python> Python was started in this session before"
    )
    expect_no_match(output, "third said")
})

test_that("an environment in the working folder, or active in the shell, is not taken for ours", {
    skipWithoutChildren()
    home <- emptyHome()
    ours <- makeEnvironment(file.path(home, "environments", "r-transst"))
    makeEnvironment(file.path(home, ".venv"), complete = FALSE)
    output <- runSession(
        r"(
            tell("result", tissue())
            cat("running:", reticulate::py_config()$python, "\n")
        )",
        home,
        env = c(VIRTUAL_ENV = file.path(home, ".venv"))
    )
    expectLines(output, paste0("result = ", tissueHere()), paste0("running: ", ours))
    expect_no_match(output, "said:")
})

test_that("a running Python without the packages is left alone, and ours computes in the background", {
    skipWithoutChildren()
    home <- emptyHome()
    ours <- makeEnvironment(file.path(home, "environments", "r-transst"))
    makeEnvironment(file.path(home, ".venv"), complete = FALSE)
    # read by the background process only
    writeLines("RETICULATE_PYTHON=/nowhere", file.path(home, ".Renviron"))
    output <- runSession(
        r"(
            cat("running:", reticulate::py_config()$python, "\n")
            cat("available:", transstAvailable(), "\n")
            tell("result", tissue())
            cat("process:", transstConfig()$r[["process of Python"]], "\n")
            options(TransST.process = "here")
            tell("here", tissue())
            # a choice of the user's for all of reticulate, and one for TransST
            options(TransST.process = NULL)
            reticulate::use_python(reticulate::py_config()$python, required = TRUE)
            tell("chosen", tissue())
            options(TransST.python = "r-transst")
            tell("for TransST", tissue())
        )",
        home
    )
    expectLines(
        output, paste0("running: ", home, "/.venv"), "available: TRUE",
        paste0("TransST computes in a background R process with its own Python, ", ours),
        "process: background", paste0("result = ", tissueHere()),
        "here = error <transst_no_python> options(TransST.process = \"here\") needs",
        "chosen = error <transst_no_python>", "(chosen by use_python()) lacks", "-m pip install",
        "use the environment of TransST, which is complete", paste0("for TransST = ", tissueHere())
    )
    advice <- regmatches(output, regexpr("chosen = .*for TransST", output))
    expect_no_match(advice, "installTransst")
})

test_that("not root, and a library that cannot be written to: the session works, and writes nothing there", {
    skipWithoutChildren()
    home <- emptyHome()
    library <- file.path(home, "library")
    dir.create(library)
    expect_true(file.copy(system.file(package = "TransST"), library, recursive = TRUE))
    ours <- makeEnvironment(file.path(home, "environments", "r-transst"))
    through <- asOrdinaryUser(home, ours)
    Sys.chmod(list.files(library, recursive = TRUE, full.names = TRUE, include.dirs = TRUE), "0555")
    Sys.chmod(library, "0555")
    on.exit(Sys.chmod(list.dirs(library), "0755"))
    before <- list.files(library, recursive = TRUE)
    output <- runSession(
        r"(
            cat("library:", dirname(system.file(package = "TransST")), "\n")
            cat("writable:", file.access(dirname(system.file(package = "TransST")), 2L) == 0L, "\n")
            tell("result", if (transstAvailable()) tissue() else transstConfig()$problem)
            # an incomplete one, whose folder is not ours
            Sys.setenv(WORKON_HOME = "/proc/environments")
            tell("install", installTransst())
        )",
        home,
        env = c(R_LIBS = paste(c(library, .libPaths()), collapse = .Platform$path.sep)), through = through
    )
    expectLines(
        output, paste("library:", library), "writable: FALSE", paste0("result = ", tissueHere()),
        "install = error <transst_error> cannot write to /proc"
    )
    expect_identical(list.files(library, recursive = TRUE), before)
})
