domained <- function() {
    spe <- tinySpe()
    spe$transst <- factor(c("a", "b", NA)[c(1, 1, 1, 1, 2, 2, 2, 2, 2, 3)], c("a", "empty", "b"))
    spe
}
table <- S4Vectors::DataFrame(
    domain = factor(c("a", "a", "a", "b", "b", "b"), c("a", "empty", "b")),
    gene = c("gene1", "gene2", "gene3", "gene2", "gene4", "gene1"),
    score = c(5, 3, -1, 4, 1, 2)
)

test_that("genes are shown for the domain where they score highest", {
    groups <- TransST:::.topMarkers(table, 5)
    expect_identical(groups, list(a = "gene1", empty = character(), b = c("gene2", "gene4")))
    expect_identical(TransST:::.topMarkers(table[6:1, ], 1)$b, "gene2")
    # of several references the least
    pairs <- rbind(table, table)
    pairs$score[c(1L, 10L)] <- c(0.5, 10)
    expect_identical(TransST:::.topMarkers(pairs, 5)$b, c("gene2", "gene1", "gene4"))
})

test_that("plotMarkers() shows means from 0 to 1 and shares of spots", {
    spe <- domained()
    counts <- tinyCounts()[, 1:9]
    plot <- plotMarkers(spe, table)
    expect_s3_class(ggplot2::ggplotGrob(plot), "gtable")
    expect_identical(plot$data$gene[1:3], c("gene1", "gene2", "gene4"))
    expect_identical(levels(plot$data$domain), c("a", "b"))
    totals <- colSums(counts)
    logs <- log1p(t(t(counts) * stats::median(totals) / totals))
    for (gene in c("gene1", "gene2", "gene4")) {
        means <- c(mean(logs[gene, 1:4]), mean(logs[gene, 5:9]))
        shown <- plot$data[plot$data$gene == gene, ]
        expect_equal(shown$scaled, as.numeric(means == max(means)))
        expect_equal(shown$fraction, c(mean(counts[gene, 1:4] > 0), mean(counts[gene, 5:9] > 0)))
    }
    # a bar above the genes of each domain, in its colour on the map
    bars <- ggplot2::layer_data(plot, 2L)
    expect_identical(bars$fill, c("#0072B2", "#009E73"))
    expect_equal(c(bars$xmin, bars$xmax), c(0.55, 1.55, 1.45, 3.45))
})

test_that("genes of one's own are shown in their order, on the scale asked for", {
    spe <- domained()
    plot <- plotMarkers(spe, genes = c("gene5", "gene1"), kind = "heatmap", normalization = "none")
    expect_identical(unique(plot$data$gene), c("gene5", "gene1"))
    expect_length(plot$layers, 1L)
    means <- c(mean(tinyCounts()["gene5", 1:4]), mean(tinyCounts()["gene5", 5:9]))
    expect_identical(substr(ggplot2::layer_data(plot)$fill[c(1, 3)][which.max(means)], 1L, 7L), "#FDE725")
    sparse <- spe
    SummarizedExperiment::assay(sparse) <- as(tinyCounts(), "CsparseMatrix")
    expect_equal(plotMarkers(sparse, table)$data, plotMarkers(spe, table)$data)
    expect_equal(plotMarkers(asSeurat(spe), table)$data, plotMarkers(spe, table)$data)
})

test_that("empty spots and constant genes are zero", {
    counts <- tinyCounts()
    counts[, 1L] <- 0L
    counts["gene3", ] <- 0L
    spe <- domained()
    SummarizedExperiment::assay(spe) <- counts
    shown <- plotMarkers(spe, genes = c("gene3", "gene1"))$data
    expect_identical(shown$scaled[shown$gene == "gene3"], c(0, 0))
    expect_false(anyNA(shown$scaled))
})

test_that("plotMarkers() says what is missing", {
    spe <- domained()
    expect_error(plotMarkers(spe), "`markers` is missing: give the table of domainMarkers\\(x\\)")
    expect_error(plotMarkers(spe, "gene1"), "`markers` must be a table of domainMarkers\\(\\).*got character")
    expect_error(plotMarkers(spe, table, nGenes = 0), "`nGenes` must be a whole number from 1 on, got 0")
    expect_error(plotMarkers(spe, genes = "other"), "`genes`: not in `x`: 'other'")
    expect_error(plotMarkers(spe, table, domains = "other"), "`domains`: `x` has no column 'other'")
    low <- table
    low$score <- -1
    expect_error(plotMarkers(spe, low), "no gene is higher")
})

# Symbols for all genes but gene2; gene3 and gene4 share one.
withSymbols <- function() {
    spe <- domained()
    symbols <- sub("gene", "SYM", rownames(spe))
    symbols[2:4] <- c(NA, "SAME", "SAME")
    SummarizedExperiment::rowData(spe)$symbol <- symbols
    spe
}

test_that("genes are called by their symbols, and found by them", {
    spe <- withSymbols()
    plot <- plotMarkers(spe, genes = c("SYM5", "gene1", "gene2"), geneNames = "symbol")
    plain <- plotMarkers(spe, genes = c("gene5", "gene1", "gene2"))
    expect_identical(plot$data, plain$data)
    labels <- function(plot) ggplot2::ggplot_build(plot)$layout$panel_params[[1L]]$x$get_labels()
    expect_identical(labels(plain), c("gene5", "gene1", "gene2"))
    expect_identical(labels(plot), c("SYM5", "SYM1", "gene2"))
    seurat <- asSeurat(spe)
    symbols <- as.data.frame(SummarizedExperiment::rowData(spe))
    seurat[["RNA"]] <- SeuratObject::AddMetaData(seurat[["RNA"]], symbols)
    expect_identical(labels(plotMarkers(seurat, genes = "SYM5", geneNames = "symbol")), "SYM5")
    expect_error(plotMarkers(spe, genes = "SYM5"), "`genes`: not in `x`: 'SYM5'")
    expect_error(
        plotMarkers(spe, genes = "SAME", geneNames = "symbol"), "'SAME' is the name of 'gene3', 'gene4'; give"
    )
    expect_error(plotMarkers(spe, table, geneNames = "nope"), "column of the gene data, which has 'symbol'")
})

test_that("maps of imputed genes are called by their symbols", {
    spe <- withSymbols()
    plot <- plotImputation(
        spe, c("gene3", "gene4", "SYM1"), assay = "counts", coords = NULL, geneNames = "symbol"
    )
    expect_identical(levels(plot$data$gene), c("SAME (gene3)", "SAME (gene4)", "SYM1"))
})
