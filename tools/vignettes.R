# Compute the output that the vignettes show (vignettes/shipped), or see whether it is still what the code gives.
#   Rscript tools/vignettes.R                          compute all
#   Rscript tools/vignettes.R from-seurat              compute some
#   Rscript tools/vignettes.R --check [from-seurat]    fail on an error, or on text that differs
# Needs the Python environment, and the HER2 sections (TRANSST_DATA_DIR, or a network): without these it says so
# and does nothing.
arguments <- commandArgs(TRUE)
check <- "--check" %in% arguments
chosen <- setdiff(arguments, "--check")
vignettes <- if (length(chosen)) chosen else sub("\\.Rmd$", "", list.files("vignettes", "\\.Rmd$"))

sections <- c("H1", "B1", "B2", "C1", "D1")
there <- tryCatch(
    {
        lapply(sections, TransST::her2st)
        TRUE
    },
    transst_python_DataUnavailableError = function(e) {
        cat("vignettes: not computed:", conditionMessage(e), "\n")
        FALSE
    }
)
if (!there) quit(status = 0L)

scratch <- tempfile("vignettes")
dir.create(file.path(scratch, "shipped"), recursive = TRUE)
stopifnot(
    file.copy(list.files("vignettes", "\\.Rmd$", full.names = TRUE), scratch),
    file.copy("vignettes/shipped/show.R", file.path(scratch, "shipped"))
)

# Each in a session of its own, as R CMD build does.
compute <- function(vignette) {
    callr::r(
        function(file) rmarkdown::render(file, output_dir = tempfile(), quiet = TRUE, envir = globalenv()),
        list(file.path(scratch, paste0(vignette, ".Rmd"))),
        env = c(callr::rcmd_safe_env(), TRANSST_VIGNETTES = "compute"), show = FALSE
    )
}

# The text of the chunks without what differs from machine to machine: what runs where, versions, paths, seconds.
comparable <- function(file) {
    lines <- readLines(file, encoding = "UTF-8")
    chunk <- cumsum(grepl("^#### ", lines))
    machine <- chunk %in% chunk[grepl("^#### (config|session) ", lines)]
    lines <- lines[!machine & nzchar(lines)]
    lines <- gsub("[0-9]+\\.[0-9]+\\.[0-9]+([.+][[:alnum:]]+)*", "<version>", lines)
    lines <- gsub("[0-9.]+ s(ec(onds)?)?\\b", "<seconds>", lines)
    gsub("(/[[:alnum:]._-]+){2,}", "<path>", lines)
}

failed <- FALSE
for (vignette in vignettes) {
    began <- Sys.time()
    compute(vignette)
    seconds <- as.numeric(Sys.time() - began, units = "secs")
    text <- file.path("shipped", paste0(vignette, ".txt"))
    if (check) {
        shipped <- comparable(file.path("vignettes", text))
        computed <- comparable(file.path(scratch, text))
        same <- identical(shipped, computed)
        cat(sprintf("vignette %s: %s (%.0f s)\n", vignette, if (same) "as shipped" else "DIFFERS", seconds))
        if (!same) {
            writeLines(utils::head(c(
                paste("- shipped: ", setdiff(shipped, computed)), paste("+ computed:", setdiff(computed, shipped))
            ), 40L))
            failed <- TRUE
        }
    } else {
        pictures <- file.path("vignettes", "shipped", vignette)
        unlink(pictures, recursive = TRUE)
        dir.create(pictures, recursive = TRUE)
        drawn <- list.files(file.path(scratch, "shipped", vignette), full.names = TRUE)
        stopifnot(file.copy(drawn, pictures), file.copy(file.path(scratch, text), "vignettes/shipped", overwrite = TRUE))
        cat(sprintf("vignette %s: computed (%.0f s), %d pictures\n", vignette, seconds, length(drawn)))
    }
}
if (failed) {
    cat("If this is as it should be: Rscript tools/vignettes.R\n")
    quit(status = 1L)
}
