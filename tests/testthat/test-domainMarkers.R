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
