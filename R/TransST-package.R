#' TransST: spatial domains and imputation by transfer from a labelled reference
#'
#' [transst()] finds spatial domains, [domainMarkers()] their marker genes and [imputeSpots()]
#' expression where none was measured, and [evaluateImputation()] tells how well. [plotDomains()],
#' [plotConfidence()], [plotMarkers()], [plotTransfer()], [plotNDomains()], [plotConvergence()],
#' [plotAgreement()] and [plotImputation()] show the results, [transferReport()] says what was taken from the
#' sources and why, and [transstReport()] puts all of it on a page.
#' The computing is done by the Python package `transst_py`, which comes with this package;
#' [transstConfig()] tells whether its Python environment is complete and [installTransst()] makes one.
#' [TransST.process] chooses the process that it runs in.
#'
#' @section Where the results are:
#'
#' Everything that functions of this package write. `x` is the object they return; what is not listed stays as
#' it was. A SingleCellExperiment holds the same as a SpatialExperiment, except where it says so.
#'
#' | From | What | SpatialExperiment | Seurat |
#' |------|------|-------------------|--------|
#' | [transst()] | domains, a factor | `x$transst` | `x$transst` |
#' | | posterior probability of the domain | `x$transst_confidence` | `x$transst_confidence` |
#' | | class of the source that the domain is, a factor | `x$transst_class` | `x$transst_class` |
#' | | factor scores, spots x factors | `reducedDim(x, "TransST")` | `Embeddings(x, "TransST")` |
#' | | loadings, genes x factors | `attr(reducedDim(x, "TransST"), "rotation")` | `Loadings(x, "TransST")` |
#' | | run record | `metadata(x)$transst` | `Misc(x, "transst")` |
#' | [imputeSpots()], `"fill"` | values | `assay(x, "imputed")` | `LayerData(x, "imputed")` |
#' | | their standard deviations | `assay(x, "imputed_sd")` | `LayerData(x, "imputed_sd")` |
#' | | record | `metadata(x)$imputation` | `Misc(x, "imputation")` |
#' | [imputeSpots()], `"densify"`: a new `x` | values | `assay(x, "imputed")` | `LayerData(x, "data")` |
#' | | their standard deviations | `assay(x, "imputed_sd")` | `LayerData(x, "imputed_sd")` |
#' | | was there a measured spot? | `x$measured` | `x$measured` |
#' | | is the site in the tissue? | `x$in_tissue` | `x$in_tissue` |
#' | | site of the lattice | `x$array_row`, `x$array_col` | `x$array_row`, `x$array_col` |
#' | | positions | `spatialCoords(x)` | `GetTissueCoordinates(x)` |
#' | | record | `metadata(x)$imputation` | `Misc(x, "imputation")` |
#' | [binCells()]: a new `x` | sums of counts | `assay(x, "counts")` | `LayerData(x, "counts")` |
#' | | number of cells in the square | `x$n_cells` | `x$n_cells` |
#' | | square of the lattice | `x$array_row`, `x$array_col` | `x$array_row`, `x$array_col` |
#' | | positions | `spatialCoords(x)` | `GetTissueCoordinates(x)` |
#' | | record | `metadata(x)$binning` | `Misc(x, "binning")` |
#'
#' With `transst(name = "other")` they are called `other`, `other_confidence`,
#' `other_class`, `TransST.other` and `other`.
#' New objects of several samples have `x$sample_id` too, and a Seurat object one image for each. Positions of
#' a new SingleCellExperiment are in the columns that `coords` named, or `x` and `y`. A Seurat assay of class
#' `Assay` (v3) has room for no other layers: there, `imputed` and `imputed_sd` are assays with the layer
#' `data`.
#' [domainMarkers()] and [evaluateImputation()] return tables and write nothing.
#'
#' @importFrom methods as callNextMethod is new setGeneric setMethod slot slot<-
#' @importFrom SummarizedExperiment assay assay<- assayNames colData
#' @importFrom SingleCellExperiment SingleCellExperiment reducedDim<- reducedDims
#' @importFrom SpatialExperiment SpatialExperiment spatialCoords spatialCoords<-
#'   imgData imgData<-
#' @importFrom S4Vectors metadata metadata<- DataFrame
#' @importFrom ggplot2 .data
#' @importClassesFrom SummarizedExperiment SummarizedExperiment
#' @importClassesFrom SingleCellExperiment SingleCellExperiment
#' @importClassesFrom SpatialExperiment SpatialExperiment
#' @importClassesFrom Matrix dgCMatrix
#' @keywords internal
"_PACKAGE"
