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
    sd <- as.matrix(SummarizedExperiment::assay(after, "imputed_sd"))
    expect_identical(dimnames(sd), dimnames(before))
    expect_true(all(sd[, before$measured] == 0))
    expect_true(all(rowSums(sd[, !before$measured]) > 0))
    expect_identical(S4Vectors::metadata(after)$imputation$task, "fill")
    for (name in c("imputed", "imputed_sd")) SummarizedExperiment::assay(after, name) <- NULL
    S4Vectors::metadata(after)$imputation <- NULL
    expect_identical(after, before)
})

test_that("fill adds a layer to a Seurat object", {
    skipWithoutPython()
    spe <- withHole()
    seurat <- imputeSpots(asSeurat(spe), "fill", "nearest")
    filled <- imputeSpots(spe, "fill", "nearest")
    for (name in c("imputed", "imputed_sd")) {
        expect_identical(
            as.matrix(SeuratObject::LayerData(seurat, layer = name)),
            as.matrix(SummarizedExperiment::assay(filled, name))
        )
    }
    expect_setequal(SeuratObject::Layers(seurat), c("counts", "imputed", "imputed_sd"))
})

test_that("the record tells in R's types what was chosen, and from what", {
    skipWithoutPython()
    spe <- withHole()
    filled <- imputeSpots(
        spe, "fill", candidates = c("nearest", "kernel", "svd_gp"), seed = 3, verbose = FALSE
    )
    record <- S4Vectors::metadata(filled)$imputation
    expect_identical(class(record$candidates), "data.frame")
    expect_identical(record$candidates$method, c("nearest", "kernel", "svd_gp"))
    expect_identical(record$method, with(record$candidates, method[which.min(relative_error)]))
    expect_identical(record$layers, c("imputed", "imputed_sd"))
    expect_identical(record$random_state, 3L)
    one <- S4Vectors::metadata(imputeSpots(spe, "fill", candidates = "kernel"))$imputation
    expect_identical(one$method, "kernel")
    expect_length(one$details$width, nrow(spe))
    # nothing in it lives in Python
    expect_identical(unserialize(serialize(record, NULL)), record)
})

test_that("wrong arguments are named in R's words", {
    skipWithoutPython()
    spe <- withHole()
    expect_error(imputeSpots(spe, "fill", "nearest", candidates = "gp"), "are for method = \"auto\"")
    expect_error(imputeSpots(spe, "fill", candidates = "nope"), "`candidates`")
    expect_error(imputeSpots(spe, "fill", "s2s", preset = "huge"), "`preset`")
    expect_error(imputeSpots(spe, "fill", bandwidth = 1), "unknown argument 'bandwidth'.*naturalImages")
    expect_error(imputeSpots(spe, "fill", assay = "nope"), "`assay`")
})

# 100 spots and two pictures of noise and waves. In so few spots, spots are held out several times. How "fill"
# comes back is the same for every method.
test_that("the network densifies, in every class", {
    skipWithoutPython()
    spe <- simulateTissue(nRows = 10, nCols = 10, nGenes = 12, nDomains = 2, seed = 3)$target
    values <- (seq_len(1600) * 7919) %% 1601 / 1601
    pictures <- list(matrix(values, 40), matrix(0.5 + 0.5 * sin(seq_len(1600) / 50), 40))
    genes <- rownames(spe)[2:1]
    # the second object continues a training that has ended
    network <- tempfile(fileext = ".pt")
    densify <- function(x) {
        imputeSpots(x, "densify", "s2s", genes = genes, checkpoint = network, naturalImages = pictures)
    }
    ours <- densify(spe)
    theirs <- densify(asSeurat(spe))
    record <- S4Vectors::metadata(ours)$imputation
    expect_identical(record$method, "s2s")
    expect_identical(record$details$n_images, 2L)
    expect_true(is.numeric(record$details$check_loss))
    layers <- c(imputed = "data", imputed_sd = "imputed_sd")
    for (name in names(layers)) {
        m <- as.matrix(SummarizedExperiment::assay(ours, name))[genes, ]
        expect_true(all(is.finite(m)))
        expect_equal(m, as.matrix(SeuratObject::LayerData(theirs, layer = layers[[name]]))[genes, ])
    }
    unlink(sub("\\.pt$", "*.pt", network))
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
    sd <- as.matrix(SummarizedExperiment::assay(finer, "imputed_sd"))
    expect_true(all(sd[, finer$measured] == 0) && all(rowSums(sd) > 0))
    expect_equal(
        as.matrix(SeuratObject::LayerData(seurat, layer = "data")),
        as.matrix(SummarizedExperiment::assay(finer, "imputed"))
    )
    expect_equal(as.matrix(SeuratObject::LayerData(seurat, layer = "imputed_sd")), sd)
    expect_identical(SeuratObject::Misc(seurat, "imputation")$layers, c("data", "imputed_sd"))
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
    expect_equal(
        as.matrix(SeuratObject::LayerData(seurat, layer = "imputed_sd")),
        as.matrix(SummarizedExperiment::assay(finer, "imputed_sd"))
    )
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
    ours <- imputeSpots(spe, "fill", "nearest")
    sd <- as.matrix(SummarizedExperiment::assay(ours, "imputed_sd"))
    rownames(sd) <- rownames(filled[["imputed_sd"]])
    expect_identical(
        as.matrix(SeuratObject::LayerData(filled, assay = "imputed", layer = "data")),
        as.matrix(SummarizedExperiment::assay(ours, "imputed"))
    )
    expect_identical(as.matrix(SeuratObject::LayerData(filled, assay = "imputed_sd", layer = "data")), sd)
    expect_s3_class(plotImputation(filled, "gene7", assay = "imputed"), "ggplot")
    again <- imputeSpots(filled, "fill", "nearest", genes = "gene7")
    expect_identical(SeuratObject::Misc(again, "imputation")$genes, "gene7")
    for (name in c("imputed", "imputed_sd")) {
        expect_error(
            imputeSpots(filled, "fill", assay = name, layer = "data"), paste0("`assay`: .*'", name, "'")
        )
    }
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
