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
