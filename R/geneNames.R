# Genes by the names that users know, from a column of the gene data; see `geneNames` of plotMarkers().

# What every gene of `x` is called in pictures: its value in the column, its row name where that lacks.
.shownNames <- function(x, geneNames) {
    genes <- rownames(x)
    if (is.null(geneNames)) {
        return(stats::setNames(genes, genes))
    }
    table <- if (is(x, "Seurat")) x[[SeuratObject::DefaultAssay(x)]][[]] else SummarizedExperiment::rowData(x)
    if (!is.character(geneNames) || length(geneNames) != 1L || !geneNames %in% names(table)) {
        .stop(
            "`geneNames` must be the name of a column of the gene data, which has ",
            if (ncol(table)) .listSome(names(table)) else "none", "; got ", deparse1(geneNames)
        )
    }
    names <- as.character(table[[geneNames]])
    stats::setNames(ifelse(is.na(names) | !nzchar(names), genes, names), genes)
}

# Row names of genes that are given by these or by what they are called.
.findGenes <- function(x, genes, geneNames) {
    shown <- .shownNames(x, geneNames)
    found <- lapply(
        as.character(genes), function(gene) if (gene %in% names(shown)) gene else names(shown)[shown == gene]
    )
    unknown <- genes[!lengths(found)]
    if (!length(genes) || length(unknown)) {
        .stop("`genes`: not in `x`: ", .listSome(unknown))
    }
    several <- which(lengths(found) > 1L)
    if (length(several)) {
        .stop(
            "`genes`: ", .listSome(genes[several[1L]]), " is the name of ",
            .listSome(found[[several[1L]]]), "; give the row name"
        )
    }
    unlist(found)
}
