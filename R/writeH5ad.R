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
    options <- list(filename = path.expand(file), compression = compression)
    .callPython("write", options, .flattenAll(x, assay, layer))
    invisible(file)
}
