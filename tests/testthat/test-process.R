# The same calls in a background process. It is started once and answers all of these.

inBackground <- function(expr) {
    testthat::skip_if_not_installed("callr")
    before <- options(TransST.process = "background")
    on.exit(options(before))
    expr
}

test_that("the option is one of two", {
    before <- options(TransST.process = "elsewhere")
    on.exit(options(before))
    expect_error(transst(tinySpe(), nDomains = 2), "must be \"here\" or \"background\", got \"elsewhere\"")
})

test_that("a background process gives the same result, with the progress and the warnings", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$in_tissue <- seq_len(ncol(spe)) > 2L
    here <- suppressWarnings(quick(spe))
    shown <- utils::capture.output(expect_warning(
        there <- inBackground(quick(spe, verbose = TRUE)), "2 of [0-9]+ spots lie outside the tissue",
        class = "transst_python_warning"
    ))
    expect_match(shown, "[transst]", fixed = TRUE, all = FALSE)
    expect_identical(there$transst, here$transst)
    expect_identical(there$transst_confidence, here$transst_confidence)
    expect_identical(
        SingleCellExperiment::reducedDim(there, "TransST"), SingleCellExperiment::reducedDim(here, "TransST")
    )
    # objects that Python makes come back too
    made <- inBackground(binCells(spe, 200))
    expect_identical(SingleCellExperiment::counts(made), SingleCellExperiment::counts(binCells(spe, 200)))
    expect_length(ls(TransST:::.exchange, all.names = TRUE), 0L)
    expect_identical(inBackground(transstConfig())$r[["process of Python"]], "background")
})

test_that("errors of a background process have the classes they have here", {
    skipWithoutPython()
    failing <- function() transst(smallTissue()$target, nDomains = 2, normalization = "odd")
    here <- tryCatch(failing(), error = identity)
    there <- inBackground(tryCatch(failing(), error = identity))
    expect_identical(class(there), class(here))
    expect_identical(conditionMessage(there), conditionMessage(here))
    expect_match(there$traceback, "Traceback")
    # an error of R's own code there
    unknown <- inBackground(tryCatch(quick(smallTissue()$target, nFctors = 1), error = identity))
    expect_s3_class(unknown, "transst_error")
    expect_match(conditionMessage(unknown), "unknown argument 'nFctors'")
})

test_that("an interrupt ends the background process, and the next call starts another", {
    skip_on_os("windows")
    process <- inBackground(TransST:::.runInBackground("Sys.getpid", list()))
    expect_false(process == Sys.getpid())
    interrupt <- sprintf("(sleep 1; kill -INT %d) &", Sys.getpid())
    caught <- tryCatch(
        {
            system(interrupt)
            inBackground(TransST:::.runInBackground("Sys.sleep", list(60)))
            "finished"
        },
        interrupt = function(i) "interrupted"
    )
    expect_identical(caught, "interrupted")
    expect_false(tools::pskill(process, 0L))
    another <- inBackground(TransST:::.runInBackground("Sys.getpid", list()))
    expect_false(another == process)
})

test_that("a background process that dies is an error that says so", {
    expect_error(
        inBackground(TransST:::.runInBackground("quit", list(status = 3L))), "exit status 3",
        class = "transst_background_ended"
    )
})
