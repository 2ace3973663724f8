#' What TransST runs on
#'
#' Tells the versions of R, Python and the packages that matter, where Python comes from and in which process
#' it runs (see [TransST.process]), which device and how much memory there is, and what to do if something is
#' missing.
#'
#' @return An object of class `transstConfig`: a list with elements `r`, `python`, `packages`,
#'   `machine` and `problem` (`NULL` if all is well), with a print method.
#'
#' @seealso [installTransst()]
#'
#' @examples
#' transstConfig()
#' @export
transstConfig <- function() {
    config <- .run(".config")
    config$r[["process of Python"]] <- .processChoice()
    config
}

.config <- function() {
    problem <- tryCatch(
        {
            .bridge()
            NULL
        },
        transst_error = conditionMessage
    )
    running <- reticulate::py_available(initialize = FALSE)
    structure(
        list(
            r = .rVersions(),
            python = if (running) .pythonOrigin(),
            packages = if (running) .pythonVersions(),
            machine = if (is.null(problem)) .bridge()$machine(),
            problem = problem
        ),
        class = "transstConfig"
    )
}

.rVersions <- function() {
    packages <- c("TransST", "SpatialExperiment", "SeuratObject", "Seurat", "reticulate")
    there <- packages[vapply(packages, function(p) nzchar(system.file(package = p)), logical(1L))]
    versions <- vapply(there, function(p) as.character(utils::packageVersion(p)), character(1L))
    c(R = as.character(getRversion()), versions)
}

.pythonOrigin <- function() {
    config <- reticulate::py_config()
    c(
        version = reticulate::import("platform")$python_version(),
        path = config$python,
        `chosen by` = if (is.null(config$forced)) "reticulate" else config$forced
    )
}

.pythonVersions <- function() {
    version <- reticulate::import("importlib.metadata")$version
    missing <- .missingModules()
    vapply(
        names(.REQUIREMENTS),
        function(module) {
            distribution <- sub("[<>=].*", "", .REQUIREMENTS[[module]])
            if (module %in% names(missing)) "missing" else version(distribution)
        },
        character(1L)
    )
}

#' @rdname transstConfig
#' @param x What `transstConfig()` returned.
#' @param ... Ignored.
#' @export
print.transstConfig <- function(x, ...) {
    titles <- c(r = "R", python = "Python", packages = "Python packages", machine = "Machine")
    for (part in names(titles)) {
        values <- unlist(x[[part]])
        if (length(values)) {
            cat(titles[[part]], "\n", sep = "")
            cat(paste0("  ", format(names(values)), "  ", values, "\n"), sep = "")
        }
    }
    status <- if (is.null(x$problem)) "ready" else paste("NOT ready:", x$problem)
    cat("Status: ", status, "\n", sep = "")
    invisible(x)
}
