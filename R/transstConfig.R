#' What TransST runs on
#'
#' Tells the versions of R, Python and the packages that matter, where Python comes from and in which process
#' it runs (see [TransST.process]), which device and how much memory there is, and what to do if something is
#' missing.
#'
#' @return An object of class `transstConfig`: a list with elements `r`, `python`, `packages`,
#'   `machine`, `problem` (`NULL` if all is well) and `advice` (on what few functions need; else `NULL`), with
#'   a print method.
#'
#' @seealso [installTransst()]
#'
#' @examples
#' transstConfig()
#' @export
transstConfig <- function() {
    choice <- .pythonChoice()
    machine <- tryCatch(.run(".machine"), transst_error = conditionMessage)
    problem <- if (is.character(machine)) machine
    structure(
        list(
            r = c(.rVersions(), `process of Python` = .processChoice()),
            python = if (!is.null(choice)) .pythonOrigin(choice),
            packages = if (!is.null(choice)) .pythonVersions(choice),
            machine = if (is.null(problem)) machine,
            problem = problem,
            # what a few functions need
            advice = if (is.null(problem)) .adviceOnOptional(choice)
        ),
        class = "transstConfig"
    )
}

.machine <- function() .bridge()$machine()

.rVersions <- function() {
    packages <- c("TransST", "SpatialExperiment", "SeuratObject", "Seurat", "reticulate")
    there <- packages[vapply(packages, function(p) nzchar(system.file(package = p)), logical(1L))]
    versions <- vapply(there, function(p) as.character(utils::packageVersion(p)), character(1L))
    c(R = as.character(getRversion()), versions)
}

.pythonOrigin <- function(choice) {
    c(version = .probe(choice$python)$version, path = choice$python, `chosen by` = choice$by)
}

.pythonVersions <- function(choice) {
    packages <- .probe(choice$python)$packages
    packages[!nzchar(packages)] <- "missing"
    packages
}

.adviceOnOptional <- function(choice) {
    packages <- .probe(choice$python)$packages
    wanted <- .REQUIREMENTS[.OPTIONAL]
    if (!.meets(packages[[.OPTIONAL]], wanted)) {
        paste0(
            "without torch, imputeSpots(method = \"s2s\") and transst(encoder = \"graph-vae\") do not run; ",
            "install it with\n    ",
            if (choice$by == "installTransst()") {
                "TransST::installTransst()"
            } else {
                .pipCommand(choice$python, wanted)
            }
        )
    }
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
    if (!is.null(x$advice)) cat("Note: ", x$advice, "\n", sep = "")
    invisible(x)
}
