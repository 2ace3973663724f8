# The picture of the README, man/figures/domains.png: shallow simulated tissue, where a reference helps.
suppressPackageStartupMessages({
    library(TransST)
    library(ggplot2)
    library(patchwork)
})
tissue <- simulateTissue(noise = 8, meanCount = 1, seed = 3)
alone <- transst(tissue$target, nDomains = 4, nFactors = 10)
spe <- transst(tissue$target, tissue$source, "label", nDomains = 4, nFactors = 10)
panel <- function(x, title, ...) {
    plotDomains(x, ..., pointSize = 2.4) + ggtitle(title) + theme(legend.position = "bottom")
}
found <- function(x, title) panel(x, sprintf("%s: ARI %.2f", title, adjustedRandIndex(x$transst, x$label)))
figure <- wrap_plots(
    panel(spe, "True domains", "label"), found(alone, "Without reference"), found(spe, "With reference")
)
dir.create("man/figures", showWarnings = FALSE)
ggsave("man/figures/domains.png", figure, width = 11, height = 4.6, dpi = 110, type = "cairo-png", device = "png")
