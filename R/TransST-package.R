#' TransST: spatial domains and imputation by transfer from a labelled reference
#'
#' [transst()] finds spatial domains, [domainMarkers()] their marker genes and [imputeSpots()]
#' expression where none was measured, and [evaluateImputation()] tells how well. [plotDomains()],
#' [plotConfidence()], [plotMarkers()], [plotTransfer()], [plotNDomains()], [plotConvergence()],
#' [plotAgreement()] and [plotImputation()] show the results, [transstReport()] all of them.
#' The computing is done by the Python package `transst_py`, which comes with this package;
#' [transstConfig()] tells whether its Python environment is complete and [installTransst()] makes one.
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
#' @importClassesFrom SeuratObject Seurat
#' @importClassesFrom Matrix dgCMatrix
#' @keywords internal
"_PACKAGE"
