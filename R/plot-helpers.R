# One row per spot: position, sample (or NULL) and the value to show.
.plotData <- function(x, value, coords, sampleId) {
    xy <- .coordinates(x, coords)
    frame <- data.frame(x = xy[, 1L], y = xy[, 2L], value = value)
    frame$sample <- .samples(x, sampleId)
    frame
}

# What all pictures of tissue share. Pixel rows count downwards, so y is reversed.
.tissueLayers <- function(frame, flipY, facets = "sample") {
    facets <- intersect(facets, names(frame))
    list(
        ggplot2::coord_fixed(),
        if (flipY) ggplot2::scale_y_reverse(),
        if (length(facets)) ggplot2::facet_wrap(facets),
        ggplot2::theme_void(base_size = 11),
        ggplot2::theme(
            legend.position = "right",
            strip.text = ggplot2::element_text(margin = ggplot2::margin(3, 0, 3, 0)),
            plot.title = ggplot2::element_text(margin = ggplot2::margin(b = 6))
        )
    )
}

# Points that nearly touch in a picture of usual size, whose panels share its width.
.pointSize <- function(spots, panels) {
    across <- sqrt(spots / panels) * ceiling(sqrt(panels))
    min(7, max(0.2, 110 / across))
}

# Colours that stay apart for the colour-blind: Okabe-Ito without black, and beyond eight, hues of
# alternating lightness.
.domainColours <- function(levels) {
    n <- length(levels)
    okabeIto <- grDevices::palette.colors(9L, "Okabe-Ito")[c(6, 2, 4, 8, 3, 7, 5, 9)]
    extra <- max(0L, n - length(okabeIto))
    hues <- seq(0, 360, length.out = extra + 1L)[seq_len(extra)]
    more <- grDevices::hcl(hues, c = 60, l = rep_len(c(35, 75), extra))
    stats::setNames(c(unname(okabeIto), more)[seq_len(n)], levels)
}
