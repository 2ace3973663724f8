# The README is beside the tests in the repository, not in the package.

# The code of the first block in R that starts with `library(TransST)`.
readmeCode <- function(file) {
    lines <- readLines(file, encoding = "UTF-8")
    start <- which(lines == "library(TransST)")[[1L]]
    end <- start + which(lines[-seq_len(start)] == "```")[[1L]]
    lines[start:(end - 1L)]
}

test_that("the README's example in R runs as it is printed", {
    file <- test_path("..", "..", "README.md")
    skip_if_not(file.exists(file), "README.md is not beside the tests (it is no part of the package)")
    skipWithoutPython()
    file <- normalizePath(file)
    folder <- tempfile()
    dir.create(folder)
    home <- setwd(folder)
    grDevices::pdf(NULL)
    on.exit({
        grDevices::dev.off()
        setwd(home)
    })
    results <- new.env(parent = globalenv())
    utils::capture.output(eval(parse(text = readmeCode(file), keep.source = FALSE), results))
    expect_identical(nlevels(results$spe$transst), 4L)
    expect_s4_class(results$markers, "DataFrame")
    expect_identical(rownames(results$finer), results$markers$gene[1:3])
    expect_true(file.exists("report.html"))
})
