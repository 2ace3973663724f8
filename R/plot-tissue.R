# Maps of tissue: what plotDomains(), plotConfidence() and plotImputation() share.

# Where the spots are drawn, one row for each that is kept, and the pictures behind them. Panels share their
# scales, so several samples are moved to a common centre: their places change, not their sizes.
.tissue <- function(x, coords, sampleId, spotSize, image, keep = rep(TRUE, ncol(x))) {
    .checkSpotSize(spotSize)
    .checkImage(image)
    xy <- .coordinates(x, coords)
    spots <- data.frame(x = xy[, 1L], y = xy[, 2L], diameter = NA_real_)
    spots$sample <- .samples(x, sampleId)
    groups <- split(which(keep), (spots$sample %||% rep(1L, ncol(x)))[keep], drop = TRUE)
    images <- NULL
    for (rows in groups) {
        here <- spots[rows, ]
        here$diameter <- spotSize %||% (.spotSpacing(here$x, here$y) * if (isFALSE(image)) 1 else .OVERIMAGE)
        behind <- if (!isFALSE(image)) .imageBehind(.tissueImage(x, rows, image), here)
        shift <- if (length(groups) > 1L) c(mean(range(here$x)), mean(range(here$y))) else c(0, 0)
        spots[rows, ] <- .moved(here, shift)
        images <- rbind(images, .moved(behind, shift))
    }
    list(spots = spots[keep, , drop = FALSE], images = images)
}

# Spots that touch would hide the image behind them.
.OVERIMAGE <- 0.7

.moved <- function(frame, shift) {
    for (column in intersect(names(frame), c("x", "xmax"))) frame[[column]] <- frame[[column]] - shift[[1L]]
    for (column in intersect(names(frame), c("y", "ymax"))) frame[[column]] <- frame[[column]] - shift[[2L]]
    frame
}

.checkSpotSize <- function(spotSize) {
    fine <- is.numeric(spotSize) && length(spotSize) == 1L && is.finite(spotSize) && spotSize > 0
    if (!is.null(spotSize) && !fine) {
        .stop("`spotSize` must be NULL or one number above 0, got ", deparse1(spotSize))
    }
}

.checkAlpha <- function(alpha) {
    if (!is.numeric(alpha) || length(alpha) != 1L || is.na(alpha) || alpha < 0 || alpha > 1) {
        .stop("`alpha` must be one number from 0 to 1, got ", deparse1(alpha))
    }
}

.checkFlag <- function(value, argument) {
    if (!isTRUE(value) && !isFALSE(value)) {
        .stop("`", argument, "` must be TRUE or FALSE, got ", deparse1(value))
    }
}

# Typical distance from a spot to the nearest one elsewhere; some of the spots tell it well enough.
.spotSpacing <- function(x, y) {
    some <- unique(round(seq(1, length(x), length.out = min(length(x), 100L))))
    nearest <- vapply(some, function(i) {
        squares <- (x - x[[i]])^2 + (y - y[[i]])^2
        min(Inf, squares[squares > 0])
    }, double(1L))
    spacing <- sqrt(stats::median(nearest))
    if (is.finite(spacing)) spacing else 1
}

# The layers of a map, beneath its colour scale. Pixel rows count downwards, so y is reversed.
# `title` is for a single panel; the panels of samples have their names.
.map <- function(tissue, flipY, alpha, title = NULL, facets = NULL) {
    .checkFlag(flipY, "flipY")
    .checkAlpha(alpha)
    rows <- if ("sample" %in% names(tissue$spots)) ggplot2::vars(.data$sample)
    list(
        if (!is.null(tissue$images)) .imageLayer(tissue$images),
        .spotLayer(nrow(tissue$spots), alpha = alpha),
        if (is.null(rows) && !is.null(title)) ggplot2::ggtitle(.inPicture(title)),
        ggplot2::coord_fixed(),
        if (flipY) ggplot2::scale_y_reverse(),
        if (!is.null(rows) && !is.null(facets)) {
            ggplot2::facet_grid(rows = rows, cols = facets, labeller = .labeller)
        } else if (!is.null(rows) || !is.null(facets)) {
            ggplot2::facet_wrap(rows %||% facets, labeller = .labeller)
        },
        ggplot2::theme_void(base_size = 11),
        ggplot2::theme(
            legend.position = "right",
            strip.text = ggplot2::element_text(margin = ggplot2::margin(3, 3, 3, 3)),
            plot.title = ggplot2::element_text(size = 11, hjust = 0.5, margin = ggplot2::margin(b = 6)),
            plot.background = .white(), plot.margin = ggplot2::margin(6, 6, 6, 6)
        )
    )
}

# Names of panels.
.labeller <- function(labels) lapply(labels, .inPicture)

# ---- Spots at their true size ------------------------------------------------------------------------

# Discs in units of the coordinates, so that neighbours touch at every size of the picture.
GeomSpots <- ggplot2::ggproto(
    "GeomSpots", ggplot2::Geom,
    required_aes = c("x", "y", "diameter"),
    default_aes = ggplot2::aes(colour = "black", alpha = NA, shape = 16L, size = 3.5, stroke = 0, fill = NA),
    draw_key = ggplot2::draw_key_point,
    draw_panel = function(data, panel, coord, raster = FALSE) {
        at <- coord$transform(data, panel)
        across <- abs(diff(panel$x.range))
        diameter <- data$diameter / across
        colour <- ggplot2::alpha(at$colour, at$alpha)
        if (raster) {
            return(.spotImage(at$x, at$y, colour, diameter[[1L]], abs(diff(panel$y.range)) / across))
        }
        # this symbol fills three quarters of its nominal size
        grid::pointsGrob(
            at$x, at$y, pch = 16L, size = grid::unit(diameter / 0.75, "npc"), default.units = "npc",
            gp = grid::gpar(col = colour)
        )
    }
)

# All spots as one picture, its longer side of 1500 pixels.
.spotImage <- function(x, y, colour, diameter, aspect) {
    pixels <- round(1500 * c(1, aspect) / max(1, aspect))
    picture <- scattermore::scattermore(
        cbind(x, y), size = pixels, xlim = c(0, 1), ylim = c(0, 1),
        rgba = grDevices::col2rgb(colour, alpha = TRUE), cex = diameter * pixels[[1L]] / 2
    )
    grid::rasterGrob(picture, width = 1, height = 1, interpolate = TRUE)
}

# Above this, a vector file with every spot becomes slow to open.
.MANYSPOTS <- 50000L

.hasScattermore <- function() requireNamespace("scattermore", quietly = TRUE)

.spotLayer <- function(nSpots, data = NULL, ...) {
    raster <- nSpots > .MANYSPOTS
    if (raster && !.hasScattermore()) {
        message(
            nSpots, " spots are drawn one by one, which is slow and makes large files; ",
            "install.packages(\"scattermore\") makes them one image"
        )
        raster <- FALSE
    }
    ggplot2::layer(
        geom = GeomSpots, stat = "identity", position = "identity", data = data,
        mapping = ggplot2::aes(diameter = .data$diameter), params = list(raster = raster, ...)
    )
}
