# Results of earlier fits: objects that were put together after these, and what was made from another fit.

# Two samples, each fitted by itself.
fittedPair <- function() {
    if (is.null(.cache$pair)) {
        one <- smallTissue()$target
        two <- one
        colnames(two) <- paste0("b", colnames(two))
        two$sample_id <- "second"
        .cache$pair <- list(quick(one), quick(two, NULL))
        .cache$pair[[2L]]$transst_class <- .cache$pair[[1L]]$transst_class # cbind() wants the same columns
    }
    .cache$pair
}

# Seurat warns of the keys of images and joins layers that are asked for as one with a message.
fittedSeurats <- function(...) {
    if (is.null(.cache$seurats)) {
        .cache$seurats <- lapply(1:2, function(i) quick(asSeurat(smallTissue()$target), seed = i))
    }
    suppressWarnings(
        merge(.cache$seurats[[1L]], .cache$seurats[[2L]], add.cell.ids = c("a", "b"), ...)
    )
}

again <- function(x, ...) suppressMessages(transst(x, nDomains = 3, nFactors = 4, ...))

test_that("Seurat objects can be fitted, merged and fitted again", {
    skipWithoutPython()
    for (merged in list(fittedSeurats(), fittedSeurats(merge.dr = TRUE))) {
        expect_warning(
            found <- again(merged),
            "`x` has results 'transst' of earlier fits without their record, as merge() leaves them; they",
            fixed = TRUE, class = "transst_replaced"
        )
        expect_identical(levels(found$transst), c("1", "2", "3"))
        expect_false("transst_class" %in% names(found[[]]))
        expect_type(SeuratObject::Misc(found, "transst"), "list")
        expect_identical(rownames(SeuratObject::Embeddings(found, "TransST")), colnames(merged))
        others <- setdiff(names(merged[[]]), c("transst", "transst_confidence", "transst_class"))
        expect_identical(found[[]][others], merged[[]][others])
        expect_identical(found[["RNA"]], merged[["RNA"]])
        expect_no_warning(again(found))
    }
})

test_that("... and with one that was not fitted before", {
    skipWithoutPython()
    fitted <- quick(asSeurat(smallTissue()$target), NULL)
    plain <- asSeurat(smallTissue()$target)
    merged <- suppressWarnings(merge(fitted, plain, add.cell.ids = c("a", "b")))
    expect_warning(found <- again(merged), class = "transst_replaced")
    expect_false(anyNA(found$transst))
})

test_that("other objects can be fitted, bound and fitted again, and keep one record", {
    skipWithoutPython()
    pair <- fittedPair()
    bound <- SummarizedExperiment::cbind(pair[[1L]], pair[[2L]])
    S4Vectors::metadata(bound)$mine <- "kept"
    expect_identical(names(S4Vectors::metadata(bound)), c("transst", "transst", "mine"))
    expect_no_warning(found <- again(bound))
    expect_identical(names(S4Vectors::metadata(found)), c("transst", "mine"))
    expect_false("transst_class" %in% names(SummarizedExperiment::colData(found)))
    fresh <- bound
    for (column in paste0("transst", c("", "_confidence", "_class"))) fresh[[column]] <- NULL
    S4Vectors::metadata(fresh) <- list()
    SingleCellExperiment::reducedDim(fresh, "TransST") <- NULL
    expect_identical(again(fresh)$transst, found$transst)
    # ... or without their records
    S4Vectors::metadata(bound) <- list()
    expect_warning(again(bound), class = "transst_replaced")
})

test_that("results of several fits are not taken for one", {
    skipWithoutPython()
    pair <- fittedPair()
    bound <- SummarizedExperiment::cbind(pair[[1L]], pair[[2L]])
    message <- "has the records of 2 fits named 'transst', as cbind\\(\\) leaves them: .*transst\\(\\) again"
    file <- tempfile(fileext = ".html")
    expect_error(transstReport(bound, file), message)
    expect_error(domainMarkers(bound), message)
    expect_error(transferReport(bound), message)
    expect_error(plotConvergence(bound), message)
    expect_false(file.exists(file))
    expect_warning(domainMarkers(fittedSeurats()), class = "transst_merged_domains")
    # two parts of the same
    one <- pair[[1L]]
    whole <- suppressMessages(SummarizedExperiment::cbind(one[, 1:80], one[, 81:168]))
    expect_identical(transferReport(whole), transferReport(one))
})

test_that("columns and reductions of the user's are never replaced", {
    n <- 10L
    ours <- tinySpe()
    ours$transst <- factor(rep(1:2, n / 2))
    ours$transst_confidence <- seq(0.5, 1, length.out = n)
    refused <- function(change, name = "transst", message = "that is not from an earlier run; choose") {
        for (x in list(ours, asSeurat(ours))) {
            x <- change(x)
            expect_error(TransST:::.checkName(name, x), message)
        }
    }
    put <- function(...) {
        columns <- list(...)
        function(x) {
            for (name in names(columns)) x[[name]] <- columns[[name]]
            x
        }
    }
    for (x in list(ours, asSeurat(ours), put(transst = as.character(ours$transst))(ours))) {
        expect_warning(TransST:::.checkName("transst", x), class = "transst_replaced")
    }
    refused(put(transst = rep(c("tumour", "stroma"), n / 2)))
    refused(put(transst = rep(1:2, n / 2))) # numbers are not domains
    refused(put(transst = rep(NA_character_, n)))
    refused(put(transst_confidence = NULL))
    refused(put(transst = NULL))
    refused(put(transst_confidence = rep(c("high", "low"), n / 2)))
    refused(put(transst_confidence = seq_len(n) * 1))
    refused(put(transst_confidence = c(NA, rep(0.5, n - 1L))))
    refused(put(transst_class = seq_len(n)))
    # of another name only with their reduction
    cluster <- put(cluster = ours$transst, cluster_confidence = ours$transst_confidence)
    refused(cluster, "cluster")
    embedding <- matrix(seq_len(2 * n) * 1, n, dimnames = list(colnames(ours), c("TransST_1", "TransST_2")))
    withReduction <- cluster(ours)
    SingleCellExperiment::reducedDim(withReduction, "TransST.cluster") <- embedding
    expect_warning(TransST:::.checkName("cluster", withReduction), class = "transst_replaced")
    # a reduction of the user's
    reduction <- function(x) {
        colnames(embedding) <- c("mine_1", "mine_2")
        if (is(x, "Seurat")) {
            x[["TransST"]] <- SeuratObject::CreateDimReducObject(embedding, key = "mine_", assay = "RNA")
        } else {
            SingleCellExperiment::reducedDim(x, "TransST") <- embedding
        }
        x
    }
    refused(reduction)
    none <- put(transst = NULL, transst_confidence = NULL)
    refused(function(x) reduction(none(x)), message = "reduction 'TransST' that is not from an earlier run")
    # an element of the metadata of the same name as a record
    both <- ours
    S4Vectors::metadata(both) <- list(transst = list(params = list()), transst = "mine")
    expect_error(TransST:::.checkName("transst", both), "metadata of `x` has another element 'transst'")
})

test_that("markers know the fit whose domains they are of", {
    skipWithoutPython()
    spe <- fittedPair()[[1L]]
    parameters <- function(...) S4Vectors::metadata(domainMarkers(...))$parameters
    id <- S4Vectors::metadata(spe)$transst$id
    expect_match(id, "^[0-9a-f]{24}$")
    expect_identical(parameters(spe)$fit, id)
    expect_identical(parameters(spe)$key, "transst")
    expect_null(parameters(spe, "label")$fit)
    expect_identical(parameters(spe, "label")$key, "label")
    expect_identical(S4Vectors::metadata(quick(smallTissue()$target))$transst$id, id)
    seurat <- quick(asSeurat(smallTissue()$target))
    expect_identical(parameters(seurat)$fit, SeuratObject::Misc(seurat, "transst")$id)
})

test_that("markers of another fit, or of other domains, are refused", {
    skipWithoutPython()
    first <- fittedPair()[[1L]]
    markers <- domainMarkers(first)
    file <- tempfile(fileext = ".html")
    second <- transst(first, nDomains = 3, nFactors = 4)
    other <- "`markers` belong to another fit than .* in column 'transst'.*domainMarkers\\(x\\) again"
    expect_error(plotMarkers(second, markers), other)
    expect_error(transstReport(second, file, markers = markers), other)
    found <- transst(first, nDomains = 3, nFactors = 4, name = "found")
    message <- "another fit than the domains in column 'found'.*domainMarkers\\(x, \"found\"\\) again"
    expect_error(plotMarkers(found, markers, domains = "found"), message)
    expect_error(transstReport(found, file, name = "found", markers = markers), message)
    expect_s3_class(plotMarkers(second, genes = "gene1"), "ggplot") # whatever the markers
    # the same domain names in a column that is nobody's fit
    first$mine <- factor(rep(1:3, length.out = ncol(first)))
    message <- "`markers` are of the domains in column 'mine', not in column 'transst'"
    expect_error(plotMarkers(first, domainMarkers(first, "mine")), message)
    expect_error(transstReport(first, file, markers = domainMarkers(first, "mine")), message)
    first$transst <- factor(first$transst, labels = c("tumour", "stroma", "fat"))
    message <- "`markers` are of domains that `x` does not have: '1', '2', '3'.*domainMarkers\\(x\\) again"
    expect_error(plotMarkers(first, markers), message)
    expect_error(transstReport(first, file, markers = markers), message)
    expect_false(file.exists(file))
})

test_that("markers of the same fit are shown, also of some spots and from a file", {
    skipWithoutPython()
    spe <- fittedPair()[[1L]]
    saved <- tempfile(fileext = ".rds")
    saveRDS(list(spe, domainMarkers(spe)), saved)
    read <- readRDS(saved)
    expect_s3_class(plotMarkers(read[[1L]], read[[2L]]), "ggplot")
    expect_s3_class(plotMarkers(read[[1L]][, 1:150], read[[2L]][1:60, ]), "ggplot")
    file <- tempfile(fileext = ".html")
    transstReport(read[[1L]][, 1:150], file, markers = read[[2L]])
    expect_match(htmlOf(file), read[[2L]]$gene[[1L]], fixed = TRUE)
    # fits before there were identities, and tables of other origin
    plain <- as.data.frame(read[[2L]])
    expect_s3_class(plotMarkers(spe, plain), "ggplot")
})
