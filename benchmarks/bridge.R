# What the bridge costs beside a bare copy of the non-zeros, each way.
#
#     Rscript benchmarks/bridge.R [out = benchmarks/results] [spots = 20000] [genes = 5000] [runs = 5]
#
# A SpatialExperiment with a dgCMatrix of counts, 10 % of them not zero, two columns of cell data, names and
# positions goes to Python (AnnData, as transst() hands it over) and back (SpatialExperiment). Every run is a
# fresh R process, which imports everything on a small object first. Seconds (of computing, so that other jobs
# do not count) and peak memory on top of what the process held before (/proc/self: Linux only) are those of
# the conversion and, in the same run, of a copy of x, i and p. Medians are written to bridge.csv.

# ---- One run, in a process of its own ------------------------------------------------------------------

largeTissue <- function(nSpots, nGenes) {
    perSpot <- nGenes %/% 10L # one of each ten genes
    tens <- rep(10L * (seq_len(perSpot) - 1L), nSpots)
    i <- tens + sample.int(10L, length(tens), TRUE) - 1L
    counts <- methods::new("dgCMatrix",
        x = as.double(sample.int(9L, length(i), TRUE)), i = i, p = seq(0L, by = perSpot, length.out = nSpots + 1L),
        Dim = c(nGenes, nSpots),
        Dimnames = list(paste0("gene", seq_len(nGenes)), paste0("spot", seq_len(nSpots)))
    )
    spe <- SpatialExperiment::SpatialExperiment(
        list(counts = counts), spatialCoords = cbind(x = stats::runif(nSpots), y = stats::runif(nSpots))
    )
    spe$label <- factor(sample(letters[1:6], nSpots, TRUE))
    spe
}

megabytes <- function(field) {
    line <- grep(field, readLines("/proc/self/status"), value = TRUE)
    as.numeric(gsub("\\D", "", line)) / 1024
}

measure <- function(run) {
    invisible(gc())
    cat("5", file = "/proc/self/clear_refs") # the peak starts anew
    before <- megabytes("VmRSS")
    seconds <- sum(system.time(value <- run(), gcFirst = FALSE)[c("user.self", "sys.self")])
    list(value = value, cost = c(seconds = seconds, megabytes = megabytes("VmHWM") - before))
}

oneRun <- function(direction, nSpots, nGenes) {
    suppressPackageStartupMessages(library(TransST))
    ours <- asNamespace("TransST")
    invisible(ours$.bridge())
    serve <- reticulate::import("transst_py.bridge._serve", convert = FALSE)
    exchange <- get(".exchange", ours)
    toPython <- function(spe) {
        assign("target", ours$.flattenAll(spe), envir = exchange)
        serve$target()
    }
    toR <- function(adata) {
        serve$hand_over(adata)
        ours$.assembleSpatialExperiment(get("result", exchange))
    }
    invisible(toR(toPython(largeTissue(100L, 50L))))
    spe <- largeTissue(nSpots, nGenes)
    m <- SingleCellExperiment::counts(spe)
    copy <- measure(function() list(m@x + 0, m@i + 0L, m@p + 0L))$cost
    if (direction == "R to Python") {
        bridge <- measure(function() toPython(spe))
        stopifnot(identical(SingleCellExperiment::counts(toR(bridge$value)), m))
    } else {
        adata <- toPython(spe)$copy()
        rm(list = ls(exchange), envir = exchange)
        bridge <- measure(function() toR(adata))
        stopifnot(identical(SingleCellExperiment::counts(bridge$value), m))
    }
    cat("result", copy, bridge$cost, "\n")
}

# ---- All runs -----------------------------------------------------------------------------------------

script <- function() {
    sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
}

apart <- function(direction, nSpots, nGenes) {
    rscript <- file.path(R.home("bin"), "Rscript")
    said <- system2(rscript, c(script(), "run", shQuote(direction), nSpots, nGenes), stdout = TRUE)
    as.numeric(strsplit(sub("^result ", "", grep("^result ", said, value = TRUE)), " ")[[1L]])
}

# As records.py has it: commit, with a "+" if transst_py has changes that are not committed, and day.
measured <- function() {
    git <- function(...) system2("git", c(...), stdout = TRUE)
    changed <- length(git("status", "--porcelain", "--", "transst_py", "R")) > 0L
    data.frame(
        commit = paste0(git("rev-parse", "--short=8", "HEAD"), if (changed) "+"),
        date = format(Sys.Date())
    )
}

benchmark <- function(out, nSpots, nGenes, runs) {
    rows <- lapply(c("R to Python", "Python to R"), function(direction) {
        costs <- vapply(seq_len(runs), function(i) apart(direction, nSpots, nGenes), numeric(4L))
        medians <- apply(costs, 1L, stats::median)
        data.frame(
            direction, spots = nSpots, genes = nGenes, runs,
            copy_seconds = medians[[1L]], bridge_seconds = medians[[3L]],
            times_seconds = stats::median(costs[3L, ] / costs[1L, ]),
            copy_megabytes = medians[[2L]], bridge_megabytes = medians[[4L]],
            times_megabytes = stats::median(costs[4L, ] / costs[2L, ])
        )
    })
    table <- do.call(rbind, rows)
    numbers <- vapply(table, is.double, logical(1L))
    table[numbers] <- lapply(table[numbers], signif, 3L)
    table <- cbind(table, measured())
    utils::write.csv(table, file.path(out, "bridge.csv"), row.names = FALSE, quote = FALSE)
    print(table)
}

given <- commandArgs(trailingOnly = TRUE)
if (length(given) && given[[1L]] == "run") {
    oneRun(given[[2L]], as.integer(given[[3L]]), as.integer(given[[4L]]))
} else {
    defaults <- c("benchmarks/results", "20000", "5000", "5")
    given <- c(given, utils::tail(defaults, length(defaults) - length(given)))
    benchmark(given[[1L]], as.integer(given[[2L]]), as.integer(given[[3L]]), as.integer(given[[4L]]))
}
