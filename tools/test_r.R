# testthat on the installed package, with one closing line that says how it went.
library(testthat)
library(TransST)
results <- as.data.frame(test_dir(
    "tests/testthat", package = "TransST", load_package = "installed",
    reporter = "summary", stop_on_failure = FALSE
))
failed <- sum(results$failed) + sum(results$error) + sum(results$warning)
skipped <- sum(results$skipped)
cat(sprintf("testthat: %d passed, %d failed, %d skipped\n", sum(results$passed), failed, skipped))
quit(status = as.integer(failed > 0L || sum(results$passed) == 0L))
