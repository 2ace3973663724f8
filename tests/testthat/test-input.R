# Bad input is an error that names the argument, before Python is asked for anything.

labelled <- function(...) {
    spe <- tinySpe(...)
    spe$label <- rep(c("a", "b"), length.out = ncol(spe))
    spe
}

test_that("nDomains is checked", {
    expect_error(transst(tinySpe()), "`nDomains` is missing")
    expect_error(transst(tinySpe(), nDomains = 2.5), "a whole number, or several to choose from, got 2.5")
    expect_error(transst(tinySpe(), nDomains = numeric()), "`nDomains` must be")
    expect_error(transst(tinySpe(), nDomains = "three"), "`nDomains` must be")
    expect_error(transst(tinySpe(), nDomains = NA), "`nDomains` must be")
    expect_error(
        transst(tinySpe(), nDomains = 11), "`nDomains` \\(11\\) is greater than the number of spots \\(10\\)"
    )
})

test_that("an argument that may have been meant for nDomains is named", {
    expect_error(transst(tinySpe(), ndomains = 4), "unknown argument 'ndomains'; did you mean `nDomains`?")
    spe <- labelled()
    expect_error(transst(spe, spe, "label", n_domains = 4), "unknown argument 'n_domains'; did you mean")
    expect_error(transst(tinySpe(), nFactors = 4), "`nDomains` is missing")
})

test_that("coordinates must be there, complete and of the right shape", {
    sce <- SingleCellExperiment::SingleCellExperiment(list(counts = tinyCounts()))
    expect_error(transst(sce, nDomains = 2), "no spatial coordinates; give `coords`")
    expect_error(transst(sce, nDomains = 2, coords = c("px", "py")), "`coords`: `x` has no column 'px'")
    expect_error(transst(sce, nDomains = 2, coords = matrix(0, 3, 2)), "got 3 x 2")
    spe <- tinySpe()
    SpatialExperiment::spatialCoords(spe)[3, 1] <- NA
    expect_error(transst(spe, nDomains = 2), "1 of 10 spots have no position \\('spot3'\\)")
    bare <- tinySpe()
    SpatialExperiment::spatialCoords(bare) <- matrix(0, 10, 0)
    expect_error(transst(bare, nDomains = 2), "no spatial coordinates")
})

test_that("cells of a Seurat object without an image are named", {
    seurat <- asSeurat(tinySpe())
    seurat[["slice"]] <- subset(seurat[["slice"]], cells = colnames(seurat)[1:8])
    expect_error(transst(seurat, nDomains = 2), "2 of 10 spots have no position \\('spot9', 'spot10'\\)")
})

test_that("assay and layer must exist", {
    expect_error(transst(tinySpe(), nDomains = 2, assay = "cnts"), "no assay 'cnts'; it has 'counts'")
    seurat <- asSeurat(tinySpe())
    expect_error(transst(seurat, nDomains = 2, layer = "cnts"), "no layer 'cnts'; it has 'counts'")
    expect_error(transst(seurat, nDomains = 2, assay = "ADT"), "no assay 'ADT'; it has 'RNA'")
})

test_that("the graph is a kind or a sparse matrix of the spots", {
    expect_error(
        transst(tinySpe(), nDomains = 2, graph = "delaunay"),
        "`graph` must be one of 'knn', 'radius', 'lattice', or a sparse Matrix of 10 x 10 .* got \"delaunay\""
    )
    expect_error(transst(tinySpe(), nDomains = 2, graph = NULL), "got NULL")
    expect_error(transst(tinySpe(), nDomains = 2, graph = diag(10)), "got matrix of 10 x 10")
    expect_error(transst(tinySpe(), nDomains = 2, graph = Matrix::Diagonal(9)), "got ddiMatrix of 9 x 9")
    graph <- Matrix::Matrix(diag(c(NA, rep(1, 9))), sparse = TRUE)
    expect_error(transst(tinySpe(), nDomains = 2, graph = graph), "`graph` has missing values")
})

test_that("what a kind of graph needs is checked", {
    skipWithoutPython()
    spe <- smallTissue()$target
    for (graph in list("radius", "knn")) {
        expect_error(quick(spe, graph = graph, radius = if (graph == "knn") 1 else -1), "`radius`")
    }
    expect_error(quick(spe, graph = -Matrix::Diagonal(ncol(spe))), "`graph` must hold numbers >= 0")
    spe$array_col <- spe$array_col + 0.5
    expect_error(quick(spe, graph = "lattice"), "column 'array_col' must be whole numbers")
    spe$array_col <- NULL
    expect_error(quick(spe, graph = "lattice"), "needs both column 'array_row' and .* has no 'array_col'")
})

test_that("sources and their labels are checked", {
    spe <- labelled()
    expect_error(transst(spe, spe, nDomains = 2), "`sourceLabels` is missing: name the column .*'label'")
    expect_error(transst(spe, spe, "lable", nDomains = 2), "`source` has no column 'lable'; it has .*'label'")
    expect_error(transst(spe, spe, "lable", nDomains = 2), "; did you mean 'label'?", fixed = TRUE)
    expect_error(transst(spe, spe, spe$label, nDomains = 2), "must be the name of .* `source`, got 10 values")
    expect_error(transst(spe, NULL, "label", nDomains = 2), "there is no `source`")
    expect_error(transst(spe, list(), "label", nDomains = 2), "`source` is an empty list")
    expect_error(transst(spe, tinyCounts(), "label", nDomains = 2), "must be an object of .* got 'matrix'")
    expect_error(
        transst(spe, list(A1 = spe, B1 = 3), "label", nDomains = 2), "or a list of them; got 'numeric'"
    )
    empty <- spe
    empty$label <- NA
    expect_error(
        transst(spe, list(A1 = spe, B1 = empty), "label", nDomains = 2),
        "all labels in column 'label' of `source[[\"B1\"]]` are NA",
        fixed = TRUE
    )
})

test_that("sources without a shared gene are refused with examples of both", {
    spe <- labelled()
    other <- spe
    rownames(other) <- paste0("ENSG", seq_len(nrow(other)))
    expect_error(transst(spe, other, "label", nDomains = 2), "share no genes: `x` has 'gene1'.*'ENSG1'")
})

test_that("spots without a sample are refused", {
    spe <- labelled()
    spe$slide <- c(NA, rep("s", 9))
    expect_error(transst(spe, nDomains = 2, sampleId = "slide"), "1 spots belong to no sample")
})

test_that("unknown genes and tasks are refused", {
    expect_error(imputeSpots(tinySpe(), genes = c("gene1", "geneX")), "`genes`: not in `x`: 'geneX'")
    expect_error(imputeSpots(tinySpe(), "guess"), "should be one of")
    expect_error(plotImputation(tinySpe(), "geneX", "counts"), "`genes`: not in `x`: 'geneX'")
    expect_error(domainMarkers(tinySpe()), "`domains`: `x` has no column 'transst'")
    expect_error(plotDomains(tinySpe()), "; run x <- transst(x, ...) first", fixed = TRUE)
    expect_error(plotConfidence(tinySpe()), "; run x <- transst(x, ...) first", fixed = TRUE)
})

test_that("log data where counts are expected are a warning", {
    skipWithoutPython()
    tissue <- smallTissue()
    SingleCellExperiment::counts(tissue$target) <- log1p(SingleCellExperiment::counts(tissue$target))
    expect_warning(
        quick(tissue$target), "`x` holds fractional values .* counts are expected",
        class = "transst_python_warning"
    )
})

test_that("the name of the results must be one, and free", {
    for (name in list(NA, c("a", "b"), "", 3)) {
        expect_error(transst(tinySpe(), nDomains = 2, name = name), "`name` must be one text")
    }
    expect_error(transst(labelled(), nDomains = 2, name = "label"), "column 'label'.*choose another name")
    spe <- tinySpe()
    spe$found_confidence <- 1
    expect_error(transst(spe, nDomains = 2, name = "found"), "column 'found_confidence'")
    S4Vectors::metadata(spe)$notes <- "mine"
    expect_error(transst(spe, nDomains = 2, name = "notes"), "another element 'notes'")
    seurat <- asSeurat(tinySpe())
    expect_error(transst(seurat, nDomains = 2, name = "RNA"), "assay, image or reduction named 'RNA'")
    expect_error(transst(seurat, nDomains = 2, name = "nCount_RNA"), "column 'nCount_RNA'")
})

test_that("a name is guessed from a few letters that differ, and not from more", {
    guess <- TransST:::.didYouMean
    expect_identical(guess("nfactor", c("nDomains", "nFactors")), "; did you mean 'nFactors'?")
    for (name in list("colour", c("nFactor", "nDomain"), NULL, NA_character_, 3)) {
        expect_identical(guess(name, c("nDomains", "nFactors")), "")
    }
    expect_identical(guess("nFactors", character()), "")
})

test_that("a file is refused before anything is computed", {
    lost <- file.path(tempfile("none"), "x.h5ad")
    expect_error(writeH5ad(tinySpe(), lost), "`file`: there is no folder '.*'; make it first")
    expect_error(writeH5ad(tinySpe(), 3), "`file` must be one name of a file, got 3")
})

test_that("classes that cannot be converted are refused with those that can", {
    expect_error(
        writeH5ad(tinyCounts(), tempfile()), "must be a SpatialExperiment, .* or Seurat object, got matrix"
    )
    expect_error(TransST:::.flattenAll(data.frame()), "Seurat object, got data.frame")
})

# One call of every generic, with what else it needs.
generics <- list(
    transst = function(x) transst(x, nDomains = 2), domainMarkers = function(x) domainMarkers(x),
    imputeSpots = function(x) imputeSpots(x), evaluateImputation = function(x) evaluateImputation(x),
    binCells = function(x) binCells(x, 10), plotDomains = function(x) plotDomains(x),
    plotConfidence = function(x) plotConfidence(x), plotMarkers = function(x) plotMarkers(x),
    plotTransfer = function(x) plotTransfer(x), transferReport = function(x) transferReport(x),
    plotConvergence = function(x) plotConvergence(x), plotNDomains = function(x) plotNDomains(x),
    plotAgreement = function(x) plotAgreement(x, "label"),
    plotImputation = function(x) plotImputation(x, "gene1"),
    transstReport = function(x) transstReport(x, tempfile())
)

test_that("objects of other classes are refused by every function, with the classes that it takes", {
    exported <- getNamespaceExports("TransST")
    expect_setequal(names(generics), Filter(function(name) methods::isGeneric(name), exported))
    others <- list(
        `NULL` = NULL, matrix = tinyCounts(), data.frame = data.frame(a = 1), list = list(tinySpe()),
        character = "x", dgCMatrix = methods::as(tinyCounts(), "CsparseMatrix")
    )
    for (name in names(generics)) {
        for (class in names(others)) {
            expect_error(
                generics[[name]](others[[class]]),
                paste0("`x` must be a (.* )?SpatialExperiment, .* or Seurat object, got ", class),
                class = "transst_error", info = name
            )
        }
    }
    expect_error(transst(), "`x` must be .*, got nothing", class = "transst_error")
    expect_error(transst(tinyCounts()), "SpatialExperiment(list(counts = ", fixed = TRUE)
    plain <- SummarizedExperiment::SummarizedExperiment(list(counts = tinyCounts()))
    expect_error(transst(plain), "got SummarizedExperiment; as(x, \"SingleCellExperiment\")", fixed = TRUE)
})
