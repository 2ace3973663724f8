# The vignettes show output that was computed before, by `Rscript tools/vignettes.R`, so that they can be
# built without Python. It lies beside this file: the text of the chunks of each vignette, and a folder with
# their pictures.

# Call it in the first chunk. With the environment variable TRANSST_VIGNETTES=compute the code runs instead,
# and the text is written.
showShipped <- function(vignette) {
    file <- file.path("shipped", paste0(vignette, ".txt"))
    knitr::opts_chunk$set(
        collapse = TRUE, comment = "#>", fig.width = 6, fig.height = 4.2, fig.align = "center", dev = "png",
        dpi = 110, fig.retina = NULL, fig.path = paste0("shipped/", vignette, "/")
    )
    whole <- knitr::knit_hooks$get("chunk")
    if (Sys.getenv("TRANSST_VIGNETTES") == "compute") {
        cat(file = file)
        hook <- function(x, options) {
            shown <- whole(x, options)
            heading <- paste("####", options$label, codeOf(options))
            cat(heading, shown, sep = "\n", file = file, append = TRUE)
            cat("\n", file = file, append = TRUE)
            shown
        }
    } else {
        knitr::opts_chunk$set(eval = FALSE)
        # pandoc may run in another folder
        here <- paste0(normalizePath("shipped", winslash = "/"), "/", vignette, "/")
        there <- paste0("shipped/", vignette, "/")
        texts <- lapply(readShipped(file), gsub, pattern = there, replacement = here, fixed = TRUE)
        hook <- function(x, options) {
            shown <- texts[[paste(options$label, codeOf(options))]]
            if (is.null(shown)) {
                stop("chunk '", options$label, "' has no output in ", file, "; run Rscript tools/vignettes.R")
            }
            shown
        }
    }
    # this chunk has no output
    knitr::knit_hooks$set(chunk = function(x, options) if (options$label == "setup") "" else hook(x, options))
}

# Changed code must not be shown beside the output of the old one.
codeOf <- function(options) {
    file <- tempfile()
    on.exit(unlink(file))
    writeLines(options$code, file, useBytes = TRUE)
    unname(tools::md5sum(file))
}

readShipped <- function(file) {
    lines <- readLines(file, encoding = "UTF-8")
    starts <- grep("^#### [[:alnum:]-]+ [0-9a-f]{32}$", lines)
    ends <- c(starts[-1L] - 1L, length(lines))
    text <- function(start, end) paste(lines[seq_len(end - start) + start], collapse = "\n")
    texts <- Map(text, starts, ends)
    stats::setNames(texts, sub("^#### ", "", lines[starts]))
}
