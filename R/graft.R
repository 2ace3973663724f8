# Results go onto the user's own object, so everything else in it stays as it was.

setMethod(".graftDomains", "SingleCellExperiment", function(x, result, choice, name) {
    x[[name]] <- result$domains
    x[[paste0(name, "_confidence")]] <- result$confidence
    class <- paste0(name, "_class")
    # NULL also takes away what an earlier run with a source wrote
    if (!is.null(result$class) || class %in% names(colData(x))) x[[class]] <- result$class
    embedding <- structure(result$embedding, rotation = result$rotation)
    rownames(embedding) <- colnames(x)
    reducedDim(x, .embeddingName(name, x), withDimnames = FALSE) <- embedding
    metadata(x) <- .replaceRecord(metadata(x), name, result$record)
    x
})

# SpatialExperiment's setter of cell data adds a column to an empty imgData.
setMethod(".graftDomains", "SpatialExperiment", function(x, result, choice, name) {
    images <- imgData(x)
    x <- callNextMethod()
    imgData(x) <- images
    x
})

setMethod(".graftDomains", "Seurat", function(x, result, choice, name) {
    columns <- list(result$domains, result$confidence, result$class)
    names(columns) <- .resultColumns(name)
    columns <- columns[lengths(columns) > 0L]
    # the classes of an earlier run
    stale <- setdiff(intersect(paste0(name, "_class"), names(x[[]])), names(columns))
    if (length(stale)) x[[stale]] <- NULL
    x <- SeuratObject::AddMetaData(x, data.frame(columns, row.names = colnames(x), check.names = FALSE))
    key <- .freeKey(name, x)
    dimensions <- paste0(key, seq_len(ncol(result$embedding)))
    dimnames(result$embedding) <- list(colnames(x), dimensions)
    colnames(result$rotation) <- dimensions
    x[[.embeddingName(name, x)]] <- SeuratObject::CreateDimReducObject(
        embeddings = result$embedding, loadings = result$rotation, assay = choice$assay, key = key
    )
    .setMisc(x, name, result$record)
})

# The key, which starts the names of a reduction's columns, holds letters and digits only. Another's would be
# changed by Seurat.
.seuratKey <- function(name) {
    key <- gsub("[^A-Za-z0-9]", "", name, perl = TRUE)
    if (grepl("^[A-Za-z]", key, perl = TRUE)) key else paste0("transst", key)
}

.freeKey <- function(name, x) {
    keys <- SeuratObject::Key(x)
    taken <- keys[names(keys) != .embeddingName(name, x)]
    key <- .seuratKey(name)
    while (paste0(key, "_") %in% taken) key <- paste0(key, "x")
    paste0(key, "_")
}

# Not the name of the domains: in a Seurat object `x$transst` would return the reduction of that name
# instead of the column. Seurat makes syntactic names of others.
.embeddingName <- function(name, x) {
    embedding <- if (name == "transst") "TransST" else paste0("TransST.", name)
    if (is(x, "Seurat")) make.names(embedding) else embedding
}

# `Misc<-` warns when it overwrites the record of an earlier run.
.setMisc <- function(x, name, value) {
    slot(x, "misc") <- .replaceRecord(slot(x, "misc"), name, value)
    x
}

setMethod(".graftImputed", "SummarizedExperiment", function(x, layers, record, choice) {
    for (name in names(layers)) {
        assay(x, name, withDimnames = FALSE) <- `dimnames<-`(layers[[name]], dimnames(x))
    }
    metadata(x)$imputation <- record
    x
})

setMethod(".graftImputed", "Seurat", function(x, layers, record, choice) {
    names <- list(rownames(x[[choice$assay]]), colnames(x))
    for (name in names(layers)) {
        m <- `dimnames<-`(layers[[name]], names)
        if (.isAssay3(x, choice$assay)) {
            x[[name]] <- .quietlyWithoutCounts(SeuratObject::CreateAssayObject(data = m))
        } else {
            SeuratObject::LayerData(x, assay = choice$assay, layer = name) <- m
        }
    }
    .setMisc(x, "imputation", record)
})

# Assays of Seurat v3 hold the layers counts, data and scale.data only.
.isAssay3 <- function(x, assay) is(x[[assay]], "Assay")
