withHole <- function() {
    spe <- smallTissue()$target
    spe$measured <- TRUE
    spe$measured[c(20L, 77L)] <- FALSE
    spe
}

test_that("fill imputes the missing spots in place and changes nothing else", {
    skipWithoutPython()
    before <- withHole()
    after <- imputeSpots(before, "fill", "nearest")
    imputed <- SummarizedExperiment::assay(after, "imputed")
    expect_identical(dimnames(imputed), dimnames(before))
    expect_false(anyNA(as.matrix(imputed)))
    expect_identical(S4Vectors::metadata(after)$imputation$task, "fill")
    SummarizedExperiment::assay(after, "imputed") <- NULL
    S4Vectors::metadata(after)$imputation <- NULL
    expect_identical(after, before)
})

test_that("fill adds a layer to a Seurat object", {
    skipWithoutPython()
    spe <- withHole()
    seurat <- imputeSpots(asSeurat(spe), "fill", "nearest")
    expect_identical(
        as.matrix(SeuratObject::LayerData(seurat, layer = "imputed")),
        as.matrix(SummarizedExperiment::assay(imputeSpots(spe, "fill", "nearest"), "imputed"))
    )
})

test_that("densify returns a finer lattice of the same class", {
    skipWithoutPython()
    spe <- smallTissue()$target
    genes <- rownames(spe)[c(5L, 2L)]
    finer <- imputeSpots(spe, "densify", "nearest", genes = genes)
    expect_s4_class(finer, "SpatialExperiment")
    expect_setequal(rownames(finer), genes)
    expect_gt(ncol(finer), 2L * ncol(spe))
    expect_identical(sum(finer$measured), ncol(spe))
    expect_type(finer$in_tissue, "logical")
    measured <- SpatialExperiment::spatialCoords(finer)[finer$measured, ]
    expect_equal(measured, SpatialExperiment::spatialCoords(spe), ignore_attr = TRUE)

    sce <- as(spe, "SingleCellExperiment")
    sce$px <- SpatialExperiment::spatialCoords(spe)[, 1L]
    sce$py <- SpatialExperiment::spatialCoords(spe)[, 2L]
    plain <- imputeSpots(sce, "densify", "nearest", genes = genes, coords = c("px", "py"))
    expect_identical(class(plain)[[1L]], "SingleCellExperiment")
    expect_equal(cbind(plain$px, plain$py), SpatialExperiment::spatialCoords(finer), ignore_attr = TRUE)

    seurat <- imputeSpots(asSeurat(spe), "densify", "nearest", genes = genes)
    expect_s4_class(seurat, "Seurat")
    expect_equal(
        as.matrix(SeuratObject::LayerData(seurat, layer = "data")),
        as.matrix(SummarizedExperiment::assay(finer, "imputed"))
    )
    expect_equal(
        as.matrix(SeuratObject::GetTissueCoordinates(seurat)[c("x", "y")]),
        SpatialExperiment::spatialCoords(finer),
        ignore_attr = TRUE
    )
})

test_that("one gene is a name, not a list of letters", {
    skipWithoutPython()
    finer <- imputeSpots(smallTissue()$target, "densify", "nearest", genes = "gene7")
    expect_identical(rownames(finer), "gene7")
})

test_that("one gene makes a Seurat object too", {
    skipWithoutPython()
    spe <- smallTissue()$target
    finer <- imputeSpots(spe, "densify", "nearest", genes = "gene7")
    seurat <- imputeSpots(asSeurat(spe), "densify", "nearest", genes = "gene7")
    expect_true(methods::validObject(seurat))
    expect_s4_class(seurat[["RNA"]], "Assay5")
    values <- as.matrix(SummarizedExperiment::assay(finer, "imputed"))
    expect_equal(as.matrix(SeuratObject::LayerData(seurat, layer = "data")), values)
    expect_equal(SeuratObject::FetchData(seurat, "gene7", layer = "data")[[1L]], unname(values[1L, ]))
    expect_s3_class(plotImputation(seurat, "gene7"), "ggplot")
})

test_that("fill adds an assay where a Seurat assay takes no layers", {
    skipWithoutPython()
    spe <- withHole()
    seurat <- asSeurat(spe)
    counts <- SeuratObject::LayerData(seurat, layer = "counts")
    v3 <- SeuratObject::CreateSeuratObject(SeuratObject::CreateAssayObject(counts), meta.data = seurat[[]])
    v3[["slice"]] <- seurat[["slice"]]
    filled <- imputeSpots(v3, "fill", "nearest")
    expect_identical(SeuratObject::DefaultAssay(filled), "RNA")
    expect_identical(filled[["RNA"]], v3[["RNA"]])
    expect_s4_class(filled[["imputed"]], "Assay")
    expect_identical(
        as.matrix(SeuratObject::LayerData(filled, assay = "imputed", layer = "data")),
        as.matrix(SummarizedExperiment::assay(imputeSpots(spe, "fill", "nearest"), "imputed"))
    )
    expect_s3_class(plotImputation(filled, "gene7", assay = "imputed"), "ggplot")
    again <- imputeSpots(filled, "fill", "nearest", genes = "gene7")
    expect_identical(SeuratObject::Misc(again, "imputation")$genes, "gene7")
    expect_error(imputeSpots(filled, "fill", assay = "imputed", layer = "data"), "`assay`: .*'imputed'")
})

# Sections A and B on nearly the same places, B with the genes the other way round.
twoSections <- function() {
    a <- withHole()
    b <- a
    reversed <- SingleCellExperiment::counts(a)[rev(rownames(a)), ]
    SummarizedExperiment::assay(b, "counts", withDimnames = FALSE) <- `rownames<-`(reversed, rownames(a))
    SpatialExperiment::spatialCoords(b) <- SpatialExperiment::spatialCoords(b) + 0.1
    colnames(b) <- paste0(colnames(b), "B")
    a$sample_id <- "A"
    b$sample_id <- "B"
    SummarizedExperiment::cbind(a, b)
}

imputedValues <- function(x) unname(as.matrix(SummarizedExperiment::assay(x, "imputed")))

test_that("spots are imputed from their own sample only", {
    skipWithoutPython()
    both <- twoSections()
    # The library sizes of A and B are the same, so each alone has the scale of both.
    alone <- lapply(c("A", "B"), function(s) imputeSpots(both[, both$sample_id == s], "fill", "nearest"))
    expected <- do.call(cbind, lapply(alone, imputedValues))
    expect_equal(imputedValues(imputeSpots(both, "fill", "nearest")), expected)

    plain <- as(both, "SingleCellExperiment")
    plain$patient <- plain$sample_id
    xy <- SpatialExperiment::spatialCoords(both)
    named <- imputeSpots(plain, "fill", "nearest", coords = xy, sampleId = "patient")
    expect_equal(imputedValues(named), expected)
    expect_identical(S4Vectors::metadata(named)$imputation$samples, c("A", "B"))
    mixed <- imputeSpots(plain, "fill", "nearest", coords = xy)
    expect_false(isTRUE(all.equal(imputedValues(mixed), expected)))

    expect_error(imputeSpots(plain, "fill", coords = xy, sampleId = "nope"), "`sampleId`: `x` has no column")
    plain$patient[[3L]] <- NA
    expect_error(imputeSpots(plain, "fill", coords = xy, sampleId = "patient"), "`sampleId`: 1 spots")
    plain$patient <- ifelse(seq_len(ncol(plain)) == 1L, "A", "B")
    expect_error(imputeSpots(plain, "fill", coords = xy, sampleId = "patient"), "`sampleId`: fewer than two")
})

test_that("densify lays a lattice for each sample", {
    skipWithoutPython()
    both <- twoSections()
    genes <- rownames(both)[1:3]
    one <- imputeSpots(both[, both$sample_id == "B"], "densify", "nearest", genes = genes)
    finer <- imputeSpots(both, "densify", "nearest", genes = genes)
    expect_false(anyDuplicated(colnames(finer)) > 0L)
    expect_type(finer$sample_id, "character")
    onlyB <- finer[, finer$sample_id == "B"]
    expect_equal(imputedValues(onlyB), imputedValues(one))
    xy <- SpatialExperiment::spatialCoords(onlyB)
    expect_equal(xy, SpatialExperiment::spatialCoords(one), ignore_attr = TRUE)
})

test_that("the images of a Seurat object are its samples", {
    skipWithoutPython()
    both <- twoSections()
    seurat <- asSeurat(both)
    seurat[["slice"]] <- NULL
    xy <- data.frame(SpatialExperiment::spatialCoords(both), row.names = colnames(both))
    for (s in c("A", "B")) {
        seurat[[s]] <- SeuratObject::CreateFOV(
            SeuratObject::CreateCentroids(xy[both$sample_id == s, ]), assay = "RNA", key = paste0(s, "_")
        )
    }
    filled <- imputeSpots(seurat, "fill", "nearest")
    expect_equal(
        unname(as.matrix(SeuratObject::LayerData(filled, layer = "imputed"))),
        imputedValues(imputeSpots(both, "fill", "nearest"))
    )
    genes <- rownames(both)[1:3]
    finer <- imputeSpots(both, "densify", "nearest", genes = genes)
    dense <- imputeSpots(seurat, "densify", "nearest", genes = genes)
    expect_identical(SeuratObject::Images(dense), c("A", "B"))
    xy <- SpatialExperiment::spatialCoords(finer)
    expect_equal(TransST:::.ownCoordinates(dense), xy, ignore_attr = TRUE)
    expect_identical(TransST:::.ownSamples(dense), finer$sample_id)
})
