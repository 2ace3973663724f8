# testthat on an instrumented copy of the package: how it went, and which share of the lines ran.
log <- tempfile()
Sys.setenv(TRANSST_ROOT = getwd(), TRANSST_TEST_LOG = log)
run <- quote({
    library(testthat)
    library(TransST)
    log <- Sys.getenv("TRANSST_TEST_LOG")
    results <- as.data.frame(test_dir(
        file.path(Sys.getenv("TRANSST_ROOT"), "tests/testthat"),
        package = "TransST", load_package = "installed", stop_on_failure = FALSE,
        reporter = SummaryReporter$new(file = log)
    ))
    failed <- sum(results$failed) + sum(results$error) + sum(results$warning)
    passed <- sum(results$passed)
    line <- sprintf("testthat: %d passed, %d failed, %d skipped", passed, failed, sum(results$skipped))
    cat("", line, sep = "\n", file = log, append = TRUE)
    if (failed > 0L || passed == 0L) quit(status = 1L)
})
coverage <- tryCatch(covr::package_coverage(type = "none", code = deparse(run)), error = identity)
if (file.exists(log)) writeLines(readLines(log))
if (inherits(coverage, "error")) {
    cat(conditionMessage(coverage), "\n")
    quit(status = 1L)
}
print(coverage)
if (covr::percent_coverage(coverage) < 85) {
    cat("less than 85 % of the lines ran\n")
    quit(status = 1L)
}
