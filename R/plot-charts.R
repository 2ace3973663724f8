# What the pictures share that are no maps; names in all of them.

.chartTheme <- function() {
    ggplot2::theme_classic(base_size = 11) +
        ggplot2::theme(
            plot.title = ggplot2::element_text(size = 11, hjust = 0.5, margin = ggplot2::margin(b = 6)),
            plot.caption = ggplot2::element_text(colour = "grey40"),
            strip.background = ggplot2::element_blank()
        )
}

# Names from the data on one line, and cut where they are too long.
.inPicture <- function(names, most = 60L) {
    names <- gsub("[[:cntrl:]]", " ", as.character(names))
    ifelse(nchar(names) > most, paste0(substr(names, 1L, most - 3L), "..."), names)
}

.wholeBreaks <- function(limits) {
    breaks <- pretty(limits)
    breaks[breaks == round(breaks)]
}

# What transst() recorded, or an error.
.recordOf <- function(x, name) {
    .runRecord(x, name) %||% .stop(
        "`name`: `x` has no results of transst() named ", .listSome(name), "; run transst() first"
    )
}

# An array of a record, which Python sends as a list if it is empty.
.numbers <- function(values) as.double(unlist(values))
