draw <- function(plot) ggplot2::ggplotGrob(plot)

test_that("plotDomains() shows every spot in its place and colour", {
    spe <- tinySpe()
    spe$transst <- factor(c(NA, rep(c("a", "b", "c"), 3)))
    plot <- plotDomains(spe)
    expect_s3_class(draw(plot), "gtable")
    points <- ggplot2::layer_data(plot)
    expect_identical(nrow(points), 10L)
    expect_identical(points$x, as.double(SpatialExperiment::spatialCoords(spe)[, 1L]), ignore_attr = TRUE)
    expect_identical(points$y, -as.double(SpatialExperiment::spatialCoords(spe)[, 2L]), ignore_attr = TRUE)
    expect_identical(length(unique(points$colour)), 4L)
    upright <- ggplot2::layer_data(plotDomains(spe, flipY = FALSE))
    expect_identical(upright$y, -points$y, ignore_attr = TRUE)
    expect_error(plotDomains(spe, "nothing"), "`domains`: `x` has no column 'nothing'")
    expect_error(plotDomains(spe, size = 3), "unused argument")
})

test_that("samples get a panel each", {
    spe <- tinySpe(sample_id = rep(c("s1", "s2"), each = 5))
    spe$transst <- rep("a", 10)
    expect_identical(nrow(ggplot2::ggplot_build(plotDomains(spe))$layout$layout), 2L)
})

test_that("colours are stable and distinct, for few and many domains", {
    for (n in c(1L, 3L, 8L, 9L, 25L)) {
        colours <- TransST:::.domainColours(as.character(seq_len(n)))
        expect_named(colours, as.character(seq_len(n)))
        expect_identical(anyDuplicated(unname(colours)), 0L)
    }
    few <- TransST:::.domainColours(letters[1:3])
    expect_identical(TransST:::.domainColours(letters[1:12])[1:3], few)
})

test_that("plotImputation() leaves out what is not tissue", {
    spe <- tinySpe()
    spe$in_tissue <- rep(c(TRUE, FALSE), c(7, 3))
    plot <- plotImputation(spe, c("gene2", "gene1"), "counts")
    expect_s3_class(draw(plot), "gtable")
    expect_identical(nrow(plot$data), 14L)
    shown <- plot$data$value[plot$data$gene == "gene2"]
    expect_identical(shown, tinyCounts()["gene2", 1:7], ignore_attr = TRUE)
    expect_identical(levels(plot$data$gene), c("gene2", "gene1"))
    logged <- plotImputation(spe, "gene2", "counts", log = TRUE)
    expect_equal(logged$data$value, log1p(tinyCounts()["gene2", 1:7]), ignore_attr = TRUE)
})

test_that("relative values of every gene reach 1", {
    spe <- tinySpe(tinyCounts() * c(1, 10, rep(0, 6)))
    shown <- plotImputation(spe, c("gene1", "gene2", "gene3"), "counts", relative = TRUE)$data
    expect_identical(as.vector(tapply(shown$value, shown$gene, max)), c(1, 1, 0))
})

test_that("Seurat objects are drawn at the positions of their images", {
    spe <- tinySpe()
    spe$transst <- rep(c("a", "b"), 5)
    expect_equal(plotDomains(asSeurat(spe))$data, plotDomains(spe)$data)
})
