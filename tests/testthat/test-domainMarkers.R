test_that("markers have their columns, and agree with a test in R", {
    skipWithoutPython()
    spe <- smallTissue()$target
    markers <- domainMarkers(spe, "label", normalization = "none")
    expect_s4_class(markers, "DataFrame")
    expect_identical(
        names(markers),
        c("domain", "gene", "score", "logFoldChange", "pValue", "pAdjusted", "fractionIn", "fractionOut")
    )
    expect_identical(nrow(markers), nrow(spe) * nlevels(spe$label))
    expect_identical(levels(markers$domain), levels(spe$label))

    gene <- markers$gene[[3L]]
    inside <- spe$label == markers$domain[[3L]]
    values <- as.matrix(SingleCellExperiment::counts(spe))[gene, ]
    ours <- stats::wilcox.test(values[inside], values[!inside], exact = FALSE)
    expect_equal(markers$pValue[[3L]], ours$p.value, tolerance = 1e-6)
    expect_equal(markers$fractionIn[[3L]], mean(values[inside] > 0))

    first <- markers$domain == levels(spe$label)[[1L]]
    expect_equal(markers$pAdjusted[first], stats::p.adjust(markers$pValue[first], "BH"))
})

test_that("a Seurat object gives the same table", {
    skipWithoutPython()
    spe <- smallTissue()$target
    expect_equal(domainMarkers(asSeurat(spe), "label"), domainMarkers(spe, "label"))
})

test_that("other tests and references work, the contrast along the factors", {
    skipWithoutPython()
    tissue <- smallTissue()
    spe <- transst(tissue$target, nDomains = 3, nFactors = 4)
    welch <- domainMarkers(spe, method = "t", reference = "pairwise", normalization = "none")
    expect_identical(nrow(welch), nrow(spe) * 6L)
    row <- as.list(welch[1L, ])
    values <- as.matrix(SingleCellExperiment::counts(spe))[row$gene, ]
    theirs <- stats::t.test(values[spe$transst == row$domain], values[spe$transst == row$reference])
    expect_equal(row$pValue, theirs$p.value, tolerance = 1e-6)

    expect_warning(contrast <- domainMarkers(spe, method = "contrast"), "domains were found on")
    expect_true(all(is.finite(contrast$score)))
    expect_error(domainMarkers(spe, "label", method = "contrast"), "reduced dimension 'TransST.label'")
})

test_that("imputed values are tested only where that is asked for", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$measured <- seq_len(ncol(spe)) != 20L
    filled <- imputeSpots(spe, "fill", "nearest")
    expect_equal(domainMarkers(filled, "label"), domainMarkers(spe, "label"))
    for (name in c("imputed", "imputed_sd")) {
        expect_error(
            domainMarkers(filled, "label", assay = name, normalization = "none"),
            paste0("`assay`: assay '", name, "' holds values that imputeSpots.*`allowImputed = TRUE`")
        )
    }
    expect_warning(
        markers <- domainMarkers(
            filled, "label", assay = "imputed", normalization = "none", allowImputed = TRUE
        ),
        "no independent observations", class = "transst_imputed_warning"
    )
    expect_identical(nrow(markers), nrow(spe) * nlevels(spe$label))
    # an assay of that name is the user's own where there is no record
    S4Vectors::metadata(filled)$imputation <- NULL
    expect_no_warning(domainMarkers(filled, "label", assay = "imputed", normalization = "none"))
})

test_that("so are the imputed layers and assays of Seurat objects", {
    skipWithoutPython()
    spe <- smallTissue()$target
    spe$measured <- seq_len(ncol(spe)) != 20L
    seurat <- asSeurat(spe)
    filled <- imputeSpots(seurat, "fill", "nearest")
    expect_equal(domainMarkers(filled, "label"), domainMarkers(spe, "label"))
    expect_error(domainMarkers(filled, "label", layer = "imputed"), "`layer`: layer 'imputed' of assay 'RNA'")

    finer <- imputeSpots(seurat, "densify", "nearest", genes = rownames(spe)[1:3])
    finer$half <- rep(c("a", "b"), length.out = ncol(finer))
    expect_error(domainMarkers(finer, "half", layer = "data"), "`layer`: layer 'data'")

    counts <- SeuratObject::LayerData(seurat, layer = "counts")
    v3 <- SeuratObject::CreateSeuratObject(SeuratObject::CreateAssayObject(counts), meta.data = seurat[[]])
    v3[["slice"]] <- seurat[["slice"]]
    v3 <- imputeSpots(v3, "fill", "nearest")
    expect_error(domainMarkers(v3, "label", assay = "imputed", layer = "data"), "of assay 'imputed'")
})
