#' Save an object for Python
#'
#' Writes an object as an AnnData file, by the conversion that [transst()] uses.
#'
#' @param x A SpatialExperiment, SingleCellExperiment, SummarizedExperiment or Seurat object.
#' @param file Name of the file.
#' @param assay,layer What becomes `X`; `NULL` means the counts.
#' @param compression `"gzip"`, or `"lzf"`.
#'
#' @return `file`, invisibly.
#'
#' @details The file has the assays (`X` and `layers`), cell and gene data (`obs`, `var`; dates as text),
#'   coordinates (`obsm["spatial"]`) and reduced dimensions (`obsm`). Alternative experiments, images and
#'   metadata are not written.
#'
#' @examplesIf transstAvailable()
#' file <- tempfile(fileext = ".h5ad")
#' writeH5ad(simulateTissue(seed = 1)$target, file)
#' @export
writeH5ad <- function(x, file, assay = NULL, layer = NULL, compression = "gzip") {
    .checkFile(file)
    .checkClass(x)
    .checkSlashes(setdiff(.otherAssays(x), .assayChoice(x, assay, layer)$assay), "an assay")
    .checkSlashes(names(.reductions(x)), "a reduced dimension")
    options <- list(filename = path.expand(file), compression = compression)
    .callPython("write", options, .flattenAll(x, assay, layer))
    invisible(file)
}

# A slash makes a folder of an h5ad file, which cannot be read again.
.checkSlashes <- function(names, what) {
    bad <- grep("/", names, fixed = TRUE, value = TRUE)
    if (length(bad)) {
        .stop(
            "`x`: an h5ad file cannot hold the name ", .listSome(bad), " of ", what, ", for its slash; ",
            "rename it"
        )
    }
}
