# The main job, once through: domains of section H1 with and without help from five labelled sections,
# marker genes, imputation between the spots, pictures and files.
#     Rscript inst/scripts/demo.R [output folder]
suppressPackageStartupMessages({
    library(TransST)
    library(ggplot2)
    library(patchwork)
})

loadTissue <- function() {
    tryCatch(loadSections(), transst_python_DataUnavailableError = function(e) {
        message("The HER2+ sections cannot be had: ", conditionMessage(e))
        message("Going on with simulated tissue.")
        tissue <- simulateTissue(seed = 1)
        list(name = "simulated tissue", target = tissue$target, sources = list(S = tissue$source))
    })
}

loadSections <- function() {
    sections <- stats::setNames(nm = c("H1", "A1", "B1", "C1", "D1", "E1"))
    objects <- lapply(sections, her2st)
    objects <- lapply(objects, dropUndetermined)
    sources <- lapply(objects[-1L], function(spe) spe[, !is.na(spe$label)])
    list(name = "section H1", target = objects$H1, sources = sources)
}

# "undetermined" is the absence of a label.
dropUndetermined <- function(spe) {
    label <- as.character(spe$label)
    spe$label <- factor(replace(label, label == "undetermined", NA))
    spe
}

savePlot <- function(plot, file, width, height) {
    ggsave(file, plot, width = width, height = height, dpi = 150, type = "cairo-png", device = "png")
    message("wrote ", file)
}

# Colours of the labels, and for every found domain that of the label it shares most spots with; a label
# is given to one domain only, and domains left over are grey.
matchColours <- function(found, label, colours) {
    shared <- unclass(table(found, label))
    matched <- stats::setNames(grDevices::grey.colors(nrow(shared)), rownames(shared))
    for (round in seq_len(min(dim(shared)))) {
        best <- which(shared == max(shared), arr.ind = TRUE)[1L, ]
        matched[[best[[1L]]]] <- colours[[colnames(shared)[[best[[2L]]]]]]
        shared[best[[1L]], ] <- -1
        shared[, best[[2L]]] <- -1
    }
    matched
}

plotBeside <- function(alone, spe, ari) {
    palette <- grDevices::palette.colors(nlevels(spe$label) + 1L, "Okabe-Ito")[-1L]
    colours <- stats::setNames(unname(palette), levels(spe$label))
    panel <- function(x, title) {
        plotDomains(x, colours = matchColours(x$transst, spe$label, colours)) +
            ggtitle(title)
    }
    wrap_plots(
        plotDomains(spe, "label", colours = colours) + ggtitle("Labels of the tissue"),
        panel(alone, sprintf("Without reference: ARI %.2f", ari[[1L]])),
        panel(spe, sprintf("With reference: ARI %.2f", ari[[2L]]))
    ) & theme(legend.position = "bottom", legend.direction = "vertical")
}

# Genes that mark a domain most clearly in the picture, one per domain.
showcase <- function(markers, n) {
    common <- markers[markers$pAdjusted < 0.05 & markers$fractionIn > 0.5, ]
    common <- common[order(-common$logFoldChange), ]
    utils::head(unique(common$gene[!duplicated(common$domain)]), n)
}

plotBeforeAfter <- function(spe, finer, genes) {
    before <- finer[, finer$measured]
    wrap_plots(
        plotImputation(before, genes, relative = TRUE) + ggtitle("Measured spots"),
        plotImputation(finer, genes, relative = TRUE) + ggtitle("With the sites between them imputed"),
        ncol = 1L
    )
}

main <- function(outDir = "demo_output") {
    dir.create(outDir, showWarnings = FALSE, recursive = TRUE)
    tissue <- loadTissue()
    spe <- tissue$target
    nDomains <- nlevels(spe$label)
    message(tissue$name, ": ", ncol(spe), " spots, ", nrow(spe), " genes, ", nDomains, " labels")

    message("Without reference:")
    alone <- transst(spe, nDomains = nDomains, verbose = TRUE)
    message("With reference:")
    spe <- transst(spe, tissue$sources, "label", nDomains = nDomains, verbose = TRUE)
    ari <- c(adjustedRandIndex(alone$transst, spe$label), adjustedRandIndex(spe$transst, spe$label))
    cat(sprintf("ARI without transfer: %.3f\nARI with transfer:    %.3f\n", ari[1L], ari[2L]))

    markers <- domainMarkers(spe)
    clear <- as.data.frame(markers[markers$pAdjusted < 0.05 & markers$logFoldChange > 0, ])
    utils::write.csv(clear, file.path(outDir, "markers.csv"), row.names = FALSE)
    message("wrote ", file.path(outDir, "markers.csv"))
    genes <- showcase(markers, 3L)
    message("Imputation, method chosen by held-out spots:")
    finer <- imputeSpots(spe, "densify", genes = genes, verbose = FALSE)
    print(S4Vectors::metadata(finer)$imputation$candidates, digits = 3L, row.names = FALSE)

    savePlot(plotBeside(alone, spe, ari), file.path(outDir, "domains.png"), 13, 6)
    savePlot(plotBeforeAfter(spe, finer, genes), file.path(outDir, "imputation.png"), 11, 7.2)
    report <- file.path(outDir, "report.html")
    transstReport(spe, report, markers = markers, labels = "label", imputed = finer, genes = genes)
    message("wrote ", report)
    saveRDS(spe, file.path(outDir, "transst.rds"))
    message("wrote ", file.path(outDir, "transst.rds"))
    writeH5ad(spe, file.path(outDir, "transst.h5ad"))
    message("wrote ", file.path(outDir, "transst.h5ad"))
    message("results are in ", normalizePath(outDir))
}

do.call(main, as.list(commandArgs(trailingOnly = TRUE)))
