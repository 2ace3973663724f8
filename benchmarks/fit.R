# A fit in R, for speed.py: Rscript fit.R FOLDER SEED N_DOMAINS N_FACTORS
# Reads target.mtx, source.mtx (genes x spots), target.csv, source.csv (x, y, label); prints seconds, seconds of the
# processor, peak memory in GiB and the number of domains. Linux only: the peak of reading the text is forgotten.
suppressPackageStartupMessages(library(TransST))
given <- commandArgs(TRUE)
numbers <- as.integer(given[-1L])

tissue <- function(name) {
    counts <- as(Matrix::readMM(file.path(given[[1L]], paste0(name, ".mtx"))), "CsparseMatrix")
    table <- utils::read.csv(file.path(given[[1L]], paste0(name, ".csv")))
    dimnames(counts) <- list(paste0("gene", seq_len(nrow(counts))), paste0("spot", seq_len(ncol(counts))))
    SpatialExperiment(
        assays = list(counts = counts), colData = S4Vectors::DataFrame(label = as.character(table$label)),
        spatialCoords = as.matrix(table[c("x", "y")])
    )
}

target <- tissue("target")
source <- tissue("source")
stopifnot(transstAvailable()) # Python and its packages are loaded, as in Python's own run
invisible(gc())
writeLines("5", "/proc/self/clear_refs")
start <- proc.time()
found <- transst(
    target, source = source, sourceLabels = "label",
    nDomains = numbers[[2L]], nFactors = numbers[[3L]], seed = numbers[[1L]]
)
seconds <- proc.time() - start
peak <- grep("^VmHWM", readLines("/proc/self/status"), value = TRUE)
cat(
    "result", seconds[["elapsed"]], seconds[["user.self"]] + seconds[["sys.self"]],
    as.numeric(gsub("\\D", "", peak)) / 2^20, nlevels(found$transst), "\n"
)
