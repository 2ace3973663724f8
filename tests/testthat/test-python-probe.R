test_that("versions meet requirements as pip reads them", {
    meets <- TransST:::.meets
    expect_true(meets("2.13.0+cpu", "torch>=2.3"))
    expect_true(meets("3.6.9", "rpy2>=3.6.9,<3.7"))
    expect_false(meets("3.7.0", "rpy2>=3.6.9,<3.7"))
    expect_false(meets("3.6.10rc1", "rpy2>=3.7"))
    expect_true(meets("3.1.6", "jinja2>=3.1.6"))
    expect_false(meets("3.1.5.post1", "jinja2>=3.1.6"))
    for (none in c("", NA)) expect_false(meets(none, "tqdm>=4.60"))
})

test_that("what cannot serve is said: no file, no Python, too old, not to be loaded, incomplete", {
    skip_on_os("windows")
    fake <- function(version, library, packages = TransST:::.REQUIREMENTS) {
        file <- tempfile("python")
        lines <- c(
            paste0("version\t", version), paste0("library\t", library),
            paste0("package\t", names(packages), "\t", sub(".*>=([0-9.]+).*", "\\1", packages))
        )
        writeLines(c("#!/bin/sh", "cat <<END", lines, "END"), file)
        Sys.chmod(file, "0755")
        file
    }
    deficit <- function(...) TransST:::.deficit(fake(...))
    expect_match(TransST:::.deficit(tempfile())$text, "does not start \\(there is no such file\\)")
    broken <- tempfile()
    writeLines(c("#!/bin/sh", "echo 'libpython3.so: not found' >&2", "exit 127"), broken)
    Sys.chmod(broken, "0755")
    expect_match(TransST:::.deficit(broken)$text, "does not start \\(libpython3.so: not found\\)")
    old <- deficit("3.9.18", "/lib/libpython.so")
    expect_match(old$text, "is of version 3.9.18, but TransST needs >= 3.11")
    expect_match(deficit("3.12.1", "")$text, "without a shared library")
    expect_null(deficit("3.12.1", "/lib/libpython.so"))
    without <- TransST:::.REQUIREMENTS[setdiff(names(TransST:::.REQUIREMENTS), c("torch", "rpy2"))]
    found <- deficit("3.12.1", "/lib/libpython.so", without)
    # torch is for few functions only
    expect_identical(found$missing, c(rpy2 = "rpy2>=3.6.9,<3.7"))
    expect_identical(found$text, "lacks rpy2>=3.6.9,<3.7")
})

test_that("without torch all is ready, and the configuration says what needs it", {
    local_mocked_bindings(
        .probe = function(python) list(version = "3.12.1", packages = c(torch = "", numpy = "2.0")),
        .package = "TransST"
    )
    advice <- TransST:::.adviceOnOptional(list(python = "/mine/python", by = "use_python()"))
    expect_match(advice, "imputeSpots(method = \"s2s\")", fixed = TRUE)
    expect_match(advice, "/mine/python -m pip install 'torch>=2.3'", fixed = TRUE)
    advice <- TransST:::.adviceOnOptional(list(python = "/ours/python", by = "installTransst()"))
    expect_match(advice, "TransST::installTransst()", fixed = TRUE)
    config <- structure(list(r = c(R = "4.5"), advice = advice), class = "transstConfig")
    expect_output(print(config), "Status: ready\nNote: without torch", fixed = TRUE)
})
