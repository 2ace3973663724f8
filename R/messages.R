# Errors name the argument, say what was found and what to do; the call of an internal function would
# only distract.
.stop <- function(..., class = NULL) {
    stop(errorCondition(.makeMessage(..., domain = NA), class = c(class, "transst_error"), call = NULL))
}

.warn <- function(text, class) warning(warningCondition(text, class = class, call = NULL))

# The first few names for a message.
.listSome <- function(names, limit = 5L) {
    if (!length(names)) {
        return("none")
    }
    shown <- paste0("'", utils::head(names, limit), "'", collapse = ", ")
    if (length(names) > limit) paste0(shown, ", ... (", length(names), " in all)") else shown
}

# What somebody at the prompt waits for.
.sayIfWatched <- function(text) if (interactive()) message("[transst] ", text)

# The end of a message about a name that is not there: what it may have been meant to be.
.didYouMean <- function(name, there) {
    if (!is.character(name) || length(name) != 1L || is.na(name) || !length(there)) {
        return("")
    }
    distances <- utils::adist(name, there, ignore.case = TRUE)
    best <- which.min(distances)
    if (distances[[best]] > nchar(name) / 2.5) "" else paste0("; did you mean '", there[[best]], "'?")
}
