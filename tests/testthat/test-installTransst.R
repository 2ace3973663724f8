# What is checked before anything is written, and which commands run; no network.

test_that("arguments are checked by their names", {
    expect_error(installTransst(envname = "a/b"), "`envname` must be the name of an environment, not a path")
    expect_error(installTransst(envname = NA), "`envname`")
    expect_error(installTransst(python = 3.11), "`python` must be the path of a Python, or NULL, got 3.11")
    expect_error(installTransst(cuda = "yes"), "`cuda` must be TRUE or FALSE, got \"yes\"")
    expect_error(installTransst(force = NA), "`force` must be TRUE or FALSE, got NA")
    expect_error(installTransst(pipOptions = 1), "`pipOptions` must be texts, got 1")
})

# In a home of its own, with tools that only say what they would do.
withTools <- function(code, run = function(arguments) NULL, home = emptyHome()) {
    ran <- list()
    before <- Sys.getenv("WORKON_HOME", NA)
    Sys.setenv(WORKON_HOME = home)
    on.exit(if (is.na(before)) Sys.unsetenv("WORKON_HOME") else Sys.setenv(WORKON_HOME = before))
    local_mocked_bindings(
        .runTool = function(command, arguments, what) {
            ran[[length(ran) + 1L]] <<- arguments
            run(arguments)
        },
        .checkCompiler = function(...) NULL, .checkInstalled = function(...) NULL,
        .starterProblem = function(python) if (grepl("old", python)) "is of version 3.9.1",
        .package = "TransST"
    )
    suppressMessages(force(code))
    vapply(ran, paste, "", collapse = " ")
}

test_that("torch is the CPU build of pip's folders, or else of its own index, and comes last", {
    skip_if(Sys.info()[["sysname"]] != "Linux", "elsewhere pip's default has no CUDA")
    ran <- withTools(installTransst(python = "/usr/bin/python3", pipOptions = "--proxy=p"))
    expect_match(ran[[1L]], "-m venv --clear .*/r-transst")
    expect_match(ran[[2L]], "pip install .*--proxy=p anndata>=0.12 .*rpy2>=3.6.9,<3.7 anndata2ri")
    expect_no_match(ran[[2L]], "torch")
    expect_match(ran[[3L]], "--no-index --no-deps torch>=2.3")
    expect_no_match(ran, "index-url")
    failing <- function(arguments) {
        if ("--no-index" %in% arguments) TransST:::.stop("not there", class = "transst_tool_failed")
    }
    ran <- withTools(installTransst(python = "/usr/bin/python3"), failing)
    expect_match(ran[[4L]], "--index-url https://download.pytorch.org/whl/cpu torch>=2.3", fixed = TRUE)
    ran <- withTools(installTransst(python = "/usr/bin/python3", cuda = TRUE))
    expect_match(ran[[3L]], "--progress-bar=off torch>=2.3")
})

test_that("without any torch the rest is installed, with a warning", {
    failing <- function(arguments) {
        if (any(grepl("torch", arguments))) TransST:::.stop("no network", class = "transst_tool_failed")
    }
    expect_warning(
        withTools(installTransst(python = "/usr/bin/python3"), failing), "all else does. no network",
        class = "transst_no_torch"
    )
})

test_that("a Python that will not do is refused by the argument, and nothing is written", {
    home <- emptyHome()
    expect_error(
        withTools(installTransst(python = "/old/python"), home = home),
        "`python`: /old/python is of version 3.9.1; give another one"
    )
    local_mocked_bindings(
        virtualenv_starter = function(...) data.frame(version = "3.9.1", path = "/old/python"),
        .package = "reticulate"
    )
    expect_error(
        withTools(installTransst(), home = home),
        "no Python >= 3.11 was found .*:\n    /old/python is of version 3.9.1\nInstall one"
    )
    expect_length(list.files(home, all.files = TRUE, no.. = TRUE), 0L)
})

test_that("a broken environment is made anew, and what is none is left alone", {
    skip_on_os("windows")
    home <- emptyHome()
    folder <- file.path(home, "r-transst")
    dir.create(file.path(folder, "bin"), recursive = TRUE)
    file.create(file.path(folder, "pyvenv.cfg"))
    # its interpreter is gone
    ran <- withTools(installTransst(python = "/usr/bin/python3"), home = home)
    expect_match(ran[[1L]], "-m venv --clear")
    unlink(folder, recursive = TRUE)
    dir.create(folder)
    file.create(file.path(folder, "thesis.docx"))
    expect_error(
        withTools(installTransst(python = "/usr/bin/python3"), home = home),
        "is no virtual environment \\(it has 'thesis.docx'\\)"
    )
    expect_true(file.exists(file.path(folder, "thesis.docx")))
})

test_that("a compiler that does not work, and a full disk, are said before anything is written", {
    skip_on_os("windows")
    expect_null(TransST:::.checkDisk(tempfile(), cuda = FALSE))
    local_mocked_bindings(.SPACE = c(cpu = 1e9, cuda = 1e9), .package = "TransST")
    expect_error(TransST:::.checkDisk(tempfile(), FALSE), "needs 1e\\+09 GB on the disk, and .* GB free")
    local_mocked_bindings(.outputOf = function(...) "no-such-compiler", .package = "TransST")
    expect_error(
        TransST:::.checkCompiler("/usr/bin/python3", "create"),
        "rpy2 has to be compiled.*no-such-compiler.*r-base-dev"
    )
})

test_that("a tool that fails is an error with its last words, and an interrupt is an interrupt", {
    skip_on_os("windows")
    expect_error(
        suppressMessages(utils::capture.output(
            TransST:::.runTool("sh", c("-c", "echo no wheel; exit 3"), "installing"), type = "message"
        )),
        "installing failed \\(sh -c .*\\):\n    no wheel\nWhen the cause is removed",
        class = "transst_tool_failed"
    )
    started <- Sys.time()
    caught <- tryCatch(
        {
            system(sprintf("(sleep 1; kill -INT %d) &", Sys.getpid()))
            suppressMessages(TransST:::.runTool("sleep", "60", "waiting"))
            "finished"
        },
        interrupt = function(i) "interrupted"
    )
    expect_identical(caught, "interrupted")
    expect_lt(as.numeric(Sys.time() - started, units = "secs"), 30)
})
