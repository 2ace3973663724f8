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
    expect_identical(points$colour[1:4], c("#DDDDDD", "#0072B2", "#E69F00", "#009E73"))
    upright <- ggplot2::layer_data(plotDomains(spe, flipY = FALSE))
    expect_identical(upright$y, -points$y, ignore_attr = TRUE)
    expect_error(plotDomains(spe, "nothing"), "`domains`: `x` has no column 'nothing'")
    expect_error(plotDomains(spe, size = 3), "unused argument")
})

test_that("pictures have a white background", {
    spe <- tinySpe()
    spe$transst <- factor(rep(c("a", "b"), 5))
    spe$transst_confidence <- 0.5
    plots <- list(
        plotDomains(spe), plotConfidence(spe), plotMarkers(spe, genes = "gene1"),
        plotImputation(spe, "gene1", "counts"), plotAgreement(spe, "sample_id")
    )
    for (plot in plots) {
        background <- ggplot2::calc_element("plot.background", ggplot2::ggplot_build(plot)$plot$theme)
        expect_identical(background$fill, "white")
    }
})

test_that("switches and the opacity are checked", {
    spe <- tinySpe()
    spe$transst <- factor(rep(c("a", "b"), 5))
    expect_error(plotDomains(spe, flipY = "no"), "`flipY` must be TRUE or FALSE, got \"no\"")
    for (alpha in list("1", 2, NA, c(0.5, 1))) {
        expect_error(plotDomains(spe, alpha = alpha), "`alpha` must be one number from 0 to 1, got ")
    }
    expect_error(plotImputation(spe, "gene1", "counts", log = NA), "`log` must be TRUE or FALSE, got NA")
    expect_error(plotImputation(spe, "gene1", "counts", relative = 1), "`relative` must be TRUE or FALSE")
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

test_that("a domain keeps its colour where others are missing", {
    spe <- tinySpe()
    spe$transst <- factor(rep(c("a", "b"), 5))
    colours <- function(plot) unique(ggplot2::layer_data(plot)$colour)
    expect_identical(colours(plotDomains(spe[, spe$transst == "b"])), "#E69F00")
    expect_identical(colours(plotDomains(spe, colours = c("red", "blue"))), c("red", "blue"))
    expect_identical(colours(plotDomains(spe, colours = c(b = "blue", a = "red"))), c("red", "blue"))
    expect_error(plotDomains(spe, colours = c(a = "red")), "`colours` has no colour for 'b'")
})

test_that("colours are those of Python", {
    skipWithoutPython()
    python <- reticulate::import("transst_py.pl._colors")$domain_colors
    names <- as.character(seq_len(24L))
    parts <- function(colours) grDevices::col2rgb(unlist(colours)[names])
    # up to rounding
    expect_lte(max(abs(parts(TransST:::.domainColours(names)) - parts(python(as.list(names))))), 1)
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

# Spots 3 and 8 imputed, as imputeSpots() would leave it.
tinyFilled <- function(targetSum = 20) {
    spe <- tinySpe()
    spe$measured <- !seq_len(10) %in% c(3L, 8L)
    counts <- SingleCellExperiment::counts(spe)
    values <- if (is.nan(targetSum)) counts else log1p(t(t(counts) * targetSum / colSums(counts)))
    values[, c(3L, 8L)] <- 1
    SummarizedExperiment::assay(spe, "imputed") <- values
    S4Vectors::metadata(spe)$imputation <- list(target_sum = targetSum)
    spe
}

test_that("plotImputation() shows the truth, and how far off it is", {
    testthat::skip_if_not_installed("patchwork")
    spe <- tinyFilled()
    counts <- tinyCounts()
    hidden <- c(3L, 8L)
    # hidden spots in any order, and in a sparse matrix
    plot <- plotImputation(spe, "gene2", truth = as(counts[, c(8L, 3L, 5L)], "CsparseMatrix"))
    expect_s3_class(patchwork::patchworkGrob(plot), "gtable")
    panels <- lapply(1:4, function(i) plot[[i]])
    expect_identical(vapply(panels, function(p) nrow(p$data), 1L), c(8L, 10L, 10L, 2L))
    scaled <- log1p(counts["gene2", ] * 20 / colSums(counts))
    expect_equal(panels[[3L]]$data$value, scaled, ignore_attr = TRUE)
    error <- 1 - scaled[hidden]
    built <- ggplot2::ggplot_build(panels[[4L]])
    expect_equal(built$plot$scales$get_scales("colour")$limits, c(-1, 1) * max(abs(error)))
    expect_equal(panels[[4L]]$data$value, error, ignore_attr = TRUE)
    # one colour is one value in the first three
    limits <- lapply(panels[1:3], function(p) p$scales$get_scales("colour")$limits)
    expect_identical(limits, rep(list(range(scaled, 1)), 3L))
})

test_that("values that were imputed as they are have their truth as it is", {
    testthat::skip_if_not_installed("patchwork")
    plot <- plotImputation(tinyFilled(NaN), "gene2", truth = tinyCounts())
    expect_equal(plot[[3L]]$data$value, tinyCounts()["gene2", ], ignore_attr = TRUE)
    relative <- plotImputation(tinyFilled(NaN), "gene2", truth = tinyCounts() * 10, relative = TRUE)
    expect_identical(max(relative[[3L]]$data$value), 1)
})

test_that("a truth that does not fit is refused", {
    testthat::skip_if_not_installed("patchwork")
    spe <- tinyFilled()
    counts <- tinyCounts()
    expect_error(plotImputation(spe, c("gene1", "gene2"), truth = counts), "`genes` must be one gene")
    expect_error(plotImputation(spe, "gene2", truth = counts[, 1:5]), "no column for 1 .*: 'spot8'")
    expect_error(plotImputation(spe, "gene2", truth = unname(counts)), "no column for 2")
    expect_error(plotImputation(spe, "gene2", truth = counts[-1L, ]), "no row for 1 genes of `x`: 'gene1'")
    counts["gene1", "spot8"] <- NA
    expect_error(plotImputation(spe, "gene2", truth = counts), "`truth` has missing values")
    spe$measured <- NULL
    expect_error(plotImputation(spe, "gene2", truth = tinyCounts()), "no record")
})

test_that("genes that were imputed are drawn where others were not", {
    spe <- tinyFilled()
    SummarizedExperiment::assay(spe, "imputed")["gene1", c(3L, 8L)] <- NaN
    expect_identical(nrow(plotImputation(spe, "gene2")$data), 10L)
    expect_error(plotImputation(spe, "gene1"), "missing values")
    seurat <- asSeurat(spe)
    layer <- as(SummarizedExperiment::assay(spe, "imputed"), "CsparseMatrix")
    SeuratObject::LayerData(seurat, layer = "imputed") <- layer
    expect_identical(nrow(plotImputation(seurat, "gene2", layer = "imputed")$data), 10L)
})
