# Seurat's label transfer on counts in a folder: query.mtx, reference.mtx, labels.csv -> found.csv
arguments <- commandArgs(TRUE)
folder <- arguments[[1L]]
set.seed(as.integer(arguments[[2L]]))
suppressPackageStartupMessages(library(Seurat))

object <- function(name) {
    counts <- as(Matrix::readMM(file.path(folder, paste0(name, ".mtx"))), "CsparseMatrix")
    dimnames(counts) <- list(paste0("gene", seq_len(nrow(counts))), paste0(name, seq_len(ncol(counts))))
    x <- NormalizeData(CreateSeuratObject(counts), verbose = FALSE)
    x <- FindVariableFeatures(x, nfeatures = 2000, verbose = FALSE)
    ScaleData(x, verbose = FALSE)
}

reference <- object("reference")
query <- object("query")
reference$label <- as.character(utils::read.csv(file.path(folder, "labels.csv"))$label)
dims <- seq_len(min(30L, nrow(reference) - 1L))
reference <- RunPCA(reference, npcs = max(dims), verbose = FALSE)
anchors <- FindTransferAnchors(
    reference, query,
    dims = dims, reference.reduction = "pca", features = VariableFeatures(reference), verbose = FALSE
)
found <- TransferData(anchors, refdata = reference$label, dims = dims, verbose = FALSE)
utils::write.csv(data.frame(found = found$predicted.id), file.path(folder, "found.csv"), row.names = FALSE)
