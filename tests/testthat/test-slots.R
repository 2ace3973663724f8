# The table of ?TransST.

expectSlots <- function(x, what) {
    for (code in what) {
        value <- eval(str2lang(code), list(
            x = x, assay = SummarizedExperiment::assay, metadata = S4Vectors::metadata,
            reducedDim = SingleCellExperiment::reducedDim, spatialCoords = SpatialExperiment::spatialCoords,
            Embeddings = SeuratObject::Embeddings, Loadings = SeuratObject::Loadings,
            LayerData = function(x, layer) SeuratObject::LayerData(x, layer = layer),
            Misc = SeuratObject::Misc,
            GetTissueCoordinates = SeuratObject::GetTissueCoordinates
        ))
        expect_gt(length(value), 0L)
    }
}

test_that("every slot that ?TransST lists is there, in both classes", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$measured <- seq_len(ncol(spe)) %% 9L != 0L
    records <- function(name) c(sprintf("metadata(x)$%s", name), sprintf("Misc(x, '%s')", name))
    site <- c("x$array_row", "x$array_col")
    domains <- c("x$transst", "x$transst_confidence", "x$transst_class")
    seurat <- asSeurat(spe)
    expectSlots(quick(spe), c(
        domains, "reducedDim(x, 'TransST')", "attr(reducedDim(x, 'TransST'), 'rotation')",
        records("transst")[1L]
    ))
    expectSlots(quick(seurat), c(
        domains, "Embeddings(x, 'TransST')", "Loadings(x, 'TransST')", records("transst")[2L]
    ))
    fill <- function(x) imputeSpots(x, "fill", "nearest", genes = "gene7")
    expectSlots(fill(spe), c("assay(x, 'imputed')", "assay(x, 'imputed_sd')", records("imputation")[1L]))
    expectSlots(fill(seurat), c(
        "LayerData(x, 'imputed')", "LayerData(x, 'imputed_sd')", records("imputation")[2L]
    ))
    finer <- function(x) imputeSpots(x, "densify", "nearest", genes = c("gene7", "gene8"))
    new <- c("x$measured", "x$in_tissue", site)
    expectSlots(finer(spe), c(
        "assay(x, 'imputed')", "assay(x, 'imputed_sd')", new, "spatialCoords(x)", records("imputation")[1L]
    ))
    expectSlots(finer(seurat), c(
        "LayerData(x, 'data')", "LayerData(x, 'imputed_sd')", new, "GetTissueCoordinates(x)",
        records("imputation")[2L]
    ))
    binned <- function(x) binCells(x, 200)
    expectSlots(binned(spe), c(
        "assay(x, 'counts')", "x$n_cells", site, "spatialCoords(x)", records("binning")[1L]
    ))
    expectSlots(binned(seurat), c(
        "LayerData(x, 'counts')", "x$n_cells", site, "GetTissueCoordinates(x)", records("binning")[2L]
    ))
})
