mapOf <- function(...) {
    spe <- tinySpe(...)
    spe$transst <- factor(rep(c("a", "b"), 5))
    spe
}
spotsOf <- function(plot) ggplot2::layer_data(plot, length(plot$layers))

test_that("spots are as large as their distance, at every size of the picture", {
    spe <- mapOf()
    SpatialExperiment::spatialCoords(spe) <- cbind(x = rep(1:5, 2) * 3, y = rep(1:2, each = 5) * 3)
    plot <- plotDomains(spe)
    expect_identical(unique(spotsOf(plot)$diameter), 3)
    expect_identical(unique(spotsOf(plotDomains(spe, spotSize = 2))$diameter), 2)
    built <- ggplot2::ggplot_build(plot)
    drawn <- built$plot$layers[[1L]]$geom$draw_panel(
        built$data[[1L]], built$layout$panel_params[[1L]], built$layout$coord
    )
    # the symbol fills three quarters of its size; the panel is 12 wide, and 5 % more on both sides
    expect_equal(as.numeric(drawn$size), rep(3 / 0.75 / (12 * 1.1), 10))
    expect_error(plotDomains(spe, spotSize = 0), "`spotSize` must be NULL or one number above 0, got 0")
})

test_that("the distance of spots is that of neighbours in other places", {
    expect_identical(TransST:::.spotSpacing(c(0, 0, 2, 4), c(0, 0, 0, 0)), 2)
    expect_identical(TransST:::.spotSpacing(1, 1), 1)
    expect_identical(TransST:::.spotSpacing(c(1, 1), c(1, 1)), 1)
    grid <- expand.grid(x = 1:40, y = 1:40)
    expect_identical(TransST:::.spotSpacing(grid$x * 5, grid$y * 7), 5)
})

test_that("samples get a panel each, all centred and none scaled", {
    spe <- mapOf(sample_id = rep(c("s1", "s2"), each = 5))
    xy <- SpatialExperiment::spatialCoords(spe)
    xy[6:10, ] <- 1000 + 2 * xy[6:10, ]
    SpatialExperiment::spatialCoords(spe) <- xy
    built <- ggplot2::ggplot_build(plotDomains(spe))
    expect_identical(as.character(built$layout$layout$sample), c("s1", "s2"))
    points <- built$data[[1L]]
    for (panel in 1:2) {
        rows <- points$PANEL == panel
        expect_equal(range(points$x[rows]), c(-2, 2) * panel)
        expect_equal(diff(points$y[rows]), -diff(xy[5 * (panel - 1) + 1:5, 2L]), ignore_attr = TRUE)
    }
    expect_equal(unique(points$diameter), sqrt(2) * 1:2)
    # other groups are no samples of the object, but have their panels
    spe$half <- rep(c("l", "r"), 5)
    built <- ggplot2::ggplot_build(plotDomains(spe, sampleId = "half"))
    expect_identical(as.character(built$layout$layout$sample), c("l", "r"))
})

test_that("genes and samples make a grid of panels", {
    spe <- mapOf(sample_id = rep(c("s1", "s2"), each = 5))
    plot <- plotImputation(spe, c("gene1", "gene2"), "counts")
    layout <- ggplot2::ggplot_build(plot)$layout$layout
    expect_identical(as.character(layout$sample), rep(c("s1", "s2"), each = 2))
    expect_identical(as.character(layout$gene), rep(c("gene1", "gene2"), 2))
    shown <- plot$data[plot$data$gene == "gene2" & plot$data$sample == "s2", ]
    expect_identical(shown$value, tinyCounts()["gene2", 6:10], ignore_attr = TRUE)
})

test_that("many spots are drawn one by one without scattermore, with a message", {
    local_mocked_bindings(.hasScattermore = function() FALSE, .package = "TransST")
    expect_message(layer <- TransST:::.spotLayer(50001L), "50001 spots .* install.packages")
    expect_false(layer$geom_params$raster)
    expect_no_message(TransST:::.spotLayer(50000L))
})

test_that("many spots become one image", {
    testthat::skip_if_not_installed("scattermore")
    grid <- expand.grid(x = seq_len(300L), y = seq_len(200L))
    counts <- Matrix::sparseMatrix(1L, 1L, x = 1, dims = c(1L, nrow(grid)))
    rownames(counts) <- "gene"
    spe <- SpatialExperiment::SpatialExperiment(
        assays = list(counts = counts), spatialCoords = as.matrix(grid)
    )
    spe$transst <- ifelse(grid$x <= 150, "left", "right")
    built <- ggplot2::ggplot_build(plotDomains(spe, flipY = FALSE))
    drawn <- built$plot$layers[[1L]]$geom$draw_panel(
        built$data[[1L]], built$layout$panel_params[[1L]], built$layout$coord,
        raster = built$plot$layers[[1L]]$geom_params$raster
    )
    expect_s3_class(drawn, "rastergrob")
    size <- dim(drawn$raster)
    expect_identical(size, as.integer(round(1500 * c(199 / 299, 1))))
    # the colours left and right, up to rounding; between the discs nothing is drawn
    difference <- function(columns, colour) {
        pixels <- grDevices::col2rgb(as.matrix(drawn$raster)[500:520, columns], alpha = TRUE)
        shown <- pixels[1:3, pixels["alpha", ] > 0]
        expect_gt(ncol(shown), ncol(pixels) / 2)
        max(abs(shown - drop(grDevices::col2rgb(colour))))
    }
    expect_lte(difference(100:700, "#0072B2"), 1)
    expect_lte(difference(800:1400, "#E69F00"), 1)
    expect_false(plotDomains(spe[, 1:100])$layers[[1L]]$geom_params$raster)
})

# A picture of 20 x 30 pixels; unique colours tell where a pixel is.
picture <- function() {
    parts <- expand.grid(row = 1:20, column = 1:30)
    colours <- grDevices::rgb(parts$row, parts$column, 0, maxColorValue = 255)
    grDevices::as.raster(matrix(colours, 20, 30))
}
withImage <- function(spe = mapOf(), id = "lowres", scale = 2) {
    row <- S4Vectors::DataFrame(
        sample_id = unique(spe$sample_id)[1L], image_id = id,
        data = I(list(SpatialExperiment::SpatialImage(picture()))), scaleFactor = scale
    )
    SpatialExperiment::imgData(spe) <- row
    spe
}

test_that("the image lies behind its spots", {
    spe <- withImage()
    plot <- plotDomains(spe, image = TRUE)
    expect_s3_class(ggplot2::ggplotGrob(plot), "gtable")
    expect_length(plot$layers, 2L)
    behind <- plot$layers[[1L]]$data
    # all of it within a spot's width of x = 0..4, y = 1..10, at two pixels a unit
    margin <- 0.7 * sqrt(2)
    rows <- (round(2 * (1 - margin)):round(2 * (10 + margin))) + 1
    columns <- (0:round(2 * (4 + margin))) + 1
    rows <- rows[rows <= 20]
    expect_identical(as.matrix(behind$raster[[1L]]), as.matrix(picture())[rows, columns])
    expect_equal(behind$y, (min(rows) - 1.5) / 2)
    expect_equal(behind$ymax, (max(rows) - 0.5) / 2)
    expect_equal(behind$x, -0.25)
    expect_equal(unique(spotsOf(plot)$diameter), margin)
    expect_identical(plotDomains(spe, image = "lowres")$layers[[1L]]$data, behind)
    expect_s3_class(plotImputation(spe, "gene1", "counts", image = TRUE), "ggplot")
})

test_that("the image has its first row at the lower y, whichever way y grows", {
    spe <- withImage()
    for (flipY in c(TRUE, FALSE)) {
        built <- ggplot2::ggplot_build(plotDomains(spe, image = TRUE, flipY = flipY))
        drawn <- built$plot$layers[[1L]]$geom$draw_panel(
            built$data[[1L]], built$layout$panel_params[[1L]], built$layout$coord
        )
        top <- as.matrix(drawn$children[[1L]]$raster)[1L, 1L]
        source <- as.matrix(built$data[[1L]]$raster[[1L]])
        expect_identical(top, source[if (flipY) 1L else nrow(source), 1L])
    }
})

test_that("images that cannot be drawn are refused", {
    spe <- withImage()
    expect_error(plotDomains(spe, image = "hires"), "has no 'hires' of sample 'sample01'; it has 'lowres'")
    expect_error(plotDomains(mapOf(), image = TRUE), "imgData\\(x\\) has no image of sample 'sample01'")
    expect_error(plotDomains(spe, image = NA), "`image` must be TRUE, FALSE or the name")
    expect_error(plotDomains(withImage(scale = 1e5), image = TRUE), "the spots do not lie on it")
    two <- mapOf(sample_id = rep(c("s1", "s2"), each = 5))
    two$half <- rep(c("l", "r"), 5)
    expect_error(plotDomains(withImage(two), image = TRUE), "no image of sample 's2'")
    expect_error(
        plotDomains(withImage(two), image = TRUE, sampleId = "half"), "lie on several images: 's1', 's2'"
    )
    sce <- SingleCellExperiment::SingleCellExperiment(list(counts = tinyCounts()))
    sce$transst <- "a"
    xy <- SpatialExperiment::spatialCoords(mapOf())
    expect_error(plotDomains(sce, coords = xy, image = TRUE), "which has no images")
})

test_that("images of Seurat objects lie as those of a SpatialExperiment", {
    testthat::skip_if_not_installed("Seurat")
    spe <- withImage()
    xy <- SpatialExperiment::spatialCoords(spe)
    seurat <- asSeurat(spe)
    expect_error(plotDomains(seurat, image = TRUE), "'slice' of `x` is a FOV")
    # Read10X_Image() hands rows of pixels over as x
    fov <- SeuratObject::CreateFOV(SeuratObject::CreateCentroids(
        data.frame(xy[, 2:1], row.names = colnames(spe)) |> stats::setNames(c("x", "y"))
    ), assay = "RNA", key = "slice_")
    pixels <- aperm(array(grDevices::col2rgb(as.matrix(picture())) / 255, c(3L, 20L, 30L)), c(2L, 3L, 1L))
    seurat[["slice"]] <- NULL
    seurat[["slice"]] <- methods::new(
        getClass("VisiumV2", where = asNamespace("Seurat")),
        boundaries = slot(fov, "boundaries"), molecules = list(), assay = "RNA", key = "slice_",
        image = pixels, scale.factors = Seurat::scalefactors(spot = 1, fiducial = 1, hires = 4, lowres = 2)
    )
    expected <- plotDomains(spe, image = TRUE)
    found <- plotDomains(seurat, image = TRUE)
    expect_equal(found$data, expected$data)
    expect_equal(found$layers[[1L]]$data, expected$layers[[1L]]$data)
    expect_error(plotDomains(seurat, image = "tiny"), "no resolution 'tiny'; it has 'hires', 'lowres'")
})

test_that("plotConfidence() shows probabilities from 0 to 1", {
    spe <- mapOf()
    spe$transst_confidence <- c(NA, seq(0.2, 1, length.out = 9))
    plot <- plotConfidence(spe)
    expect_identical(plot$data$value, spe$transst_confidence)
    expect_identical(plot$data[c("x", "y")], plotDomains(spe)$data[c("x", "y")])
    expect_identical(ggplot2::ggplot_build(plot)$plot$scales$get_scales("colour")$limits, c(0, 1))
    expect_identical(ggplot2::layer_data(plot)$colour[1L], "#DDDDDD")
    expect_equal(plotConfidence(asSeurat(spe))$data, plot$data)
    expect_error(plotConfidence(spe, "other"), "`name`: `x` has no column 'other_confidence'")
    spe$other_confidence <- 1:10
    expect_error(plotConfidence(spe, "other"), "holds 2, which is no probability")
})
