# The picture of the tissue behind the spots.

.checkImage <- function(image) {
    fine <- length(image) == 1L && !is.na(image) && (is.logical(image) || is.character(image))
    if (!fine) {
        .stop("`image` must be TRUE, FALSE or the name of an image, got ", deparse1(image))
    }
}

# The picture of the tissue that these spots (numbers of columns) lie on: a raster object, and how many of its
# pixels a unit of the coordinates is.

setMethod(".tissueImage", "SummarizedExperiment", function(x, spots, image) {
    .stop("`image`: `x` is a ", class(x)[1L], ", which has no images; a SpatialExperiment has")
})

setMethod(".tissueImage", "SpatialExperiment", function(x, spots, image) {
    sample <- .oneImage(unique(x$sample_id[spots]))
    there <- imgData(x)$image_id[imgData(x)$sample_id == sample]
    if (!length(there)) {
        .stop("`image`: imgData(x) has no image of sample '", sample, "'")
    }
    id <- if (!isTRUE(image)) image else if ("hires" %in% there) "hires" else there[[1L]]
    if (!id %in% there) {
        .stop("`image`: imgData(x) has no '", id, "' of sample '", sample, "'; it has ", .listSome(there))
    }
    list(
        raster = SpatialExperiment::imgRaster(x, sample, id),
        scale = SpatialExperiment::scaleFactors(x, sample, id)
    )
})

setMethod(".tissueImage", "Seurat", function(x, spots, image) {
    there <- SeuratObject::Images(x)
    name <- if (length(there) < 2L) there else .oneImage(unique(.ownSamples(x)[spots]))
    if (!length(name)) {
        .stop("`image`: `x` has no images")
    }
    picture <- x[[name]]
    if (!is(picture, "VisiumV2")) {
        .stop(
            "`image`: '", name, "' of `x` is a ", class(picture)[1L], "; only images of class VisiumV2 ",
            "hold a picture of the tissue"
        )
    }
    scales <- slot(picture, "scale.factors")
    resolution <- if (isTRUE(image)) "lowres" else image
    if (!resolution %in% names(scales)) {
        .stop(
            "`image`: '", name, "' of `x` has no resolution '", resolution, "'; it has ",
            .listSome(setdiff(names(scales), c("spot", "fiducial")))
        )
    }
    list(raster = grDevices::as.raster(slot(picture, "image")), scale = scales[[resolution]])
})

.oneImage <- function(samples) {
    if (length(samples) > 1L) {
        .stop(
            "`image`: spots of one panel lie on several images: ", .listSome(samples),
            "; leave out `sampleId`"
        )
    }
    samples
}

# The part of a picture that spots of one sample lie on, as a row of coordinates.
.imageBehind <- function(picture, spots) {
    scale <- picture$scale
    size <- dim(picture$raster)
    margin <- spots$diameter[[1L]]
    columns <- .pixels(spots$x, margin, scale, size[[2L]])
    rows <- .pixels(spots$y, margin, scale, size[[1L]])
    if (!length(columns) || !length(rows)) {
        .stop(
            "`image`: the spots do not lie on it; its scale factor (", format(scale), ") does not fit the ",
            "coordinates"
        )
    }
    # pixels are counted from 0, and a pixel's number is the place of its middle
    behind <- data.frame(
        x = (columns[[1L]] - 1.5) / scale, xmax = (columns[[length(columns)]] - 0.5) / scale,
        y = (rows[[1L]] - 1.5) / scale, ymax = (rows[[length(rows)]] - 0.5) / scale,
        raster = I(list(picture$raster[rows, columns, drop = FALSE]))
    )
    behind$sample <- spots$sample[1L]
    behind
}

.pixels <- function(positions, margin, scale, n) {
    reach <- round((range(positions) + c(-1, 1) * margin) * scale) + 1
    pixels <- seq(reach[[1L]], reach[[2L]])
    pixels[pixels >= 1 & pixels <= n]
}

GeomTissueImage <- ggplot2::ggproto(
    "GeomTissueImage", ggplot2::Geom,
    required_aes = c("x", "y", "xmax", "ymax", "raster"),
    draw_panel = function(data, panel, coord) {
        # a transformation of coordinates knows positions only
        low <- coord$transform(data.frame(x = data$x, y = data$y), panel)
        high <- coord$transform(data.frame(x = data$xmax, y = data$ymax), panel)
        pictures <- lapply(seq_len(nrow(data)), function(i) {
            raster <- data$raster[[i]]
            # the first row of pixels is at the lower y
            if (low$y[i] < high$y[i]) raster <- raster[rev(seq_len(nrow(raster))), , drop = FALSE]
            grid::rasterGrob(
                raster, x = (low$x[i] + high$x[i]) / 2, y = (low$y[i] + high$y[i]) / 2,
                width = abs(high$x[i] - low$x[i]), height = abs(high$y[i] - low$y[i])
            )
        })
        do.call(grid::grobTree, pictures)
    }
)

.imageLayer <- function(images) {
    ggplot2::layer(
        geom = GeomTissueImage, stat = "identity", position = "identity", data = images, inherit.aes = FALSE,
        mapping = ggplot2::aes(
            x = .data$x, y = .data$y, xmax = .data$xmax, ymax = .data$ymax, raster = .data$raster
        ),
        show.legend = FALSE
    )
}
