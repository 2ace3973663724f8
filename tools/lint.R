# lintr on the package's R code; any lint fails.
lints <- lintr::lint_package(exclusions = list("R/RcppExports.R"))
print(lints)
cat(sprintf("lintr: %d lints\n", length(lints)))
quit(status = as.integer(length(lints) > 0L))
