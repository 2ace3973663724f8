# The picture of the README, man/figures/domains.png: shallow simulated tissue, where a reference helps.
suppressPackageStartupMessages({
    library(TransST)
    library(ggplot2)
    library(patchwork)
})
tissue <- simulateTissue(nDomains = 4, noise = 8, meanCount = 0.5, smoothness = 1.15, seed = 1)
alone <- transst(tissue$target, nDomains = 4, nFactors = 10)
spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 10)

panel <- function(x, title, column) {
    plotDomains(x, column) + ggtitle(title) + theme(legend.position = "none")
}
# Domains in the colours of the labels that they share most spots with.
found <- function(x, title) {
    shared <- table(x$transst, x$label)
    x$matched <- factor(colnames(shared)[apply(shared, 1L, which.max)], colnames(shared))[x$transst]
    panel(x, sprintf("%s: ARI %.2f", title, adjustedRandIndex(x$transst, x$label)), "matched")
}
figure <- wrap_plots(
    panel(spe, "True domains", "label"), found(alone, "Without reference"), found(spe, "With reference")
)
dir.create("man/figures", showWarnings = FALSE)
ggsave("man/figures/domains.png", figure, width = 11, height = 4.1, dpi = 110, type = "cairo-png", device = "png")
