# Errors name the argument, say what was found and what to do; the call of an internal function would
# only distract.
.stop <- function(..., class = NULL) {
    stop(errorCondition(paste0(...), class = c(class, "transst_error"), call = NULL))
}

# The first few names for a message.
.listSome <- function(names, limit = 5L) {
    if (!length(names)) {
        return("none")
    }
    shown <- paste0("'", utils::head(names, limit), "'", collapse = ", ")
    if (length(names) > limit) paste0(shown, ", ... (", length(names), " in all)") else shown
}
