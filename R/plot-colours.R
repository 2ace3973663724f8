# Okabe & Ito (2008), told apart by the colour-blind; black comes last because it hides what it lies on.
.PALETTE <- c("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
# Shares of black (below 0) or white (above 0) mixed into the palette for further domains.
.SHADES <- c(0, -0.45, 0.55)
.MISSING <- "#DDDDDD"
# Without it a saved picture is transparent, so that its text is lost on a dark page.
.white <- function() ggplot2::element_rect(fill = "white", colour = NA)
.BLUE <- "#0072B2"
.VERMILLION <- "#D55E00"

# A colour for every domain, by its place among the levels, as in Python: the palette, darker and lighter
# shades of it (up to 24 domains), then a rainbow, in which nobody can tell neighbours apart any more.
.domainColours <- function(levels) {
    n <- length(levels)
    # black has no darker shade: grey stands in for it
    shadable <- replace(.PALETTE, 8L, "#777777")
    shades <- c(.PALETTE, .mixed(shadable, .SHADES[[2L]]), .mixed(shadable, .SHADES[[3L]]))
    colours <- if (n <= length(shades)) {
        shades[seq_len(n)]
    } else {
        ggplot2::scale_colour_viridis_d(option = "turbo", begin = 0.05, end = 0.95)$palette(n)
    }
    stats::setNames(colours, levels)
}

# Colours mixed with black (shade < 0) or white (shade > 0).
.mixed <- function(colours, shade) {
    parts <- (1 - abs(shade)) * grDevices::col2rgb(colours) / 255 + abs(shade) * (shade > 0)
    grDevices::rgb(parts[1L, ], parts[2L, ], parts[3L, ])
}

.coloursOf <- function(colours, levels) {
    if (is.null(colours)) {
        return(.domainColours(levels))
    }
    if (is.null(names(colours))) names(colours) <- levels[seq_along(colours)]
    lacking <- setdiff(levels, names(colours))
    if (length(lacking)) {
        .stop("`colours` has no colour for ", .listSome(lacking))
    }
    colours
}

# Levels that no spot has keep their colours.
.asFactor <- function(v) if (is.factor(v)) v else factor(v)
