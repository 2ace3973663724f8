# What Python answers, put into objects; the answers are made up here, so no Python is needed.

answer <- function() {
    list(
        domains = c("1", "2"), codes = rep(0:1, 5), confidence = seq(0.5, 0.95, 0.05),
        class_names = c("tumour", "stroma"), class_codes = rep(c(1L, 0L), 5),
        embedding = matrix(as.double(1:20), 10L, 2L),
        loadings = rbind(matrix(1, 6L, 2L), matrix(NaN, 2L, 2L)), record = list(params = list(seed = 0L))
    )
}

test_that("domains go into every class of object, and nothing else changes", {
    spe <- tinySpe()
    spe$mine <- 10:1
    result <- TransST:::.readDomains(answer(), rownames(spe))
    expect_identical(levels(result$class), c("tumour", "stroma"))
    expect_identical(rownames(result$rotation), rownames(spe)[1:6])
    for (x in list(spe, as(spe, "SingleCellExperiment"), asSeurat(spe))) {
        done <- TransST:::.graftDomains(x, result, TransST:::.assayChoice(x, NULL, NULL), "transst")
        expect_identical(class(done), class(x))
        cells <- TransST:::.cellData(done)
        expect_identical(unname(cells$transst), factor(rep(c("1", "2"), 5)))
        expect_identical(as.character(cells$transst_class[1:2]), c("stroma", "tumour"))
        expect_identical(unname(cells$transst_confidence), answer()$confidence)
        expect_identical(unname(cells$mine), 10:1)
        expect_identical(TransST:::.runRecord(done, "transst"), answer()$record)
        embedding <- TransST:::.reductions(done)$TransST
        expect_identical(unname(embedding[, 1:2]), answer()$embedding, ignore_attr = TRUE)
        # once more, now without a source
        without <- result
        without["class"] <- list(NULL)
        again <- TransST:::.graftDomains(done, without, TransST:::.assayChoice(x, NULL, NULL), "transst")
        expect_false("transst_class" %in% names(TransST:::.cellData(again)))
    }
})

test_that("text and factors come back as they were, missing ones too", {
    text <- c("Größe", NA, "", "a")
    packed <- TransST:::.packText(text)
    expect_identical(TransST:::.newText(packed$bytes, 4L, packed$missing), text)
    made <- TransST:::.newFactor(c(2L, NA, 1L), c("b", "a"), FALSE)
    expect_identical(made, factor(c("a", NA, "b"), c("b", "a")))
    expect_true(is.ordered(TransST:::.newFactor(1L, c("low", "high"), TRUE)))
    m <- TransST:::.newDgCMatrix(c(1, 2), c(0L, 1L), c(0L, 1L, 2L), c(2L, 2L), NULL)
    expect_identical(as.matrix(m), diag(c(1, 2)))
})

# Two genes at four sites of a finer lattice.
parts <- function() {
    values <- matrix(as.double(1:8), 2L, dimnames = list(c("gene1", "gene2"), paste0("s", 1:4)))
    list(
        assays = list(imputed = values, imputed_sd = values / 10), spots = paste0("s", 1:4),
        genes = c("gene1", "gene2"), coords = cbind(1:4, c(1, 1, 2, 2)),
        colData = list(measured = c(TRUE, FALSE, TRUE, FALSE)), rowData = list(), reducedDims = list()
    )
}

test_that("a new object has the class of the user's, with values, columns, positions and the record", {
    exchange <- TransST:::.exchange
    on.exit(rm(list = ls(exchange), envir = exchange))
    exchange$result <- parts()
    record <- list(imputation = list(method = "kernel"))
    spe <- tinySpe()
    make <- function(x, coords = NULL) {
        choice <- TransST:::.assayChoice(x, NULL, NULL)
        TransST:::.makeLike(x, record, choice, coords, c("data", "imputed_sd"))
    }
    made <- make(spe)
    expect_s4_class(made, "SpatialExperiment")
    expect_identical(unname(SpatialExperiment::spatialCoords(made)[, "x"]), as.double(1:4))
    expect_identical(S4Vectors::metadata(made), record)
    plain <- make(as(spe, "SingleCellExperiment"), coords = c("px", "py"))
    expect_identical(unname(plain$py), c(1, 1, 2, 2))
    seurat <- make(asSeurat(spe))
    expect_identical(SeuratObject::Layers(seurat), c("data", "imputed_sd"))
    expect_identical(unname(seurat$measured), parts()$colData$measured)
    expect_identical(SeuratObject::Images(seurat), "lattice")
    for (x in list(made, seurat)) expect_identical(TransST:::.records(x)$imputation, record$imputation)
})

test_that("imputed values are new assays or layers of the object", {
    values <- list(imputed = matrix(1, 8L, 10L), imputed_sd = matrix(0.5, 8L, 10L))
    record <- list(layers = names(values))
    for (x in list(tinySpe(), asSeurat(tinySpe()))) {
        choice <- TransST:::.assayChoice(x, NULL, NULL)
        done <- TransST:::.graftImputed(x, values, record, choice)
        imputed <- if (is(x, "Seurat")) list(choice$assay, "imputed") else list("imputed", NULL)
        expect_true(TransST:::.isImputed(done, TransST:::.assayChoice(done, imputed[[1L]], imputed[[2L]])))
        expect_error(
            domainMarkers(done, if (is(x, "Seurat")) "orig.ident" else "sample_id", layer = imputed[[2L]],
                assay = imputed[[1L]]),
            "no independent observations"
        )
    }
})

test_that("a report of the transfer prints its sentences", {
    report <- structure(list(words = c("One source.", "It was used.")), class = "transferReport")
    expect_output(print(report), "* One source.\n* It was used.", fixed = TRUE)
})
