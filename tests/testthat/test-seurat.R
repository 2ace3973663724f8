# SeuratObject is only suggested: what it needs is there when it is, whichever is loaded first.

test_that("the package works where SeuratObject is not installed", {
    skip_on_os("windows")
    # a library of links to all that is installed, except it and what needs it
    library <- tempfile("library")
    dir.create(library)
    installed <- list.files(rev(.libPaths()), full.names = TRUE)
    installed <- installed[!grepl("^Seurat", basename(installed))]
    there <- file.path(library, basename(installed))
    unlink(there)
    suppressWarnings(file.symlink(installed, there))
    output <- runSession(
        sprintf(
            r"(
                .libPaths("%s", include.site = FALSE)
                cat("installed:", requireNamespace("SeuratObject", quietly = TRUE), "\n")
                m <- matrix(1:20, 2, dimnames = list(c("a", "b"), NULL))
                spe <- SpatialExperiment(list(counts = m), spatialCoords = cbind(x = 1:10, y = 1))
                spe$label <- rep(1:2, 5)
                print(class(plotDomains(spe, "label"))[1])
                tell("class", transst(m))
                tell("other", transst(spe, nDomains = 20))
            )", library
        ),
        env = c(R_LIBS = library, R_LIBS_SITE = library, R_LIBS_USER = library)
    )
    skip_if(grepl("installed: TRUE", output), "SeuratObject is in R's own library")
    expect_match(output, "installed: FALSE")
    expect_match(output, "[1] \"gg\"", fixed = TRUE)
    expect_match(output, "class = error <transst_error> `x` must be a SpatialExperiment")
    expect_match(output, "other = error <transst_error> `nDomains` (20) is greater", fixed = TRUE)
})

test_that("methods for Seurat objects work whichever package is loaded first", {
    skip_on_os("windows")
    skip_if_not_installed("SeuratObject")
    code <- r"(
        m <- as(matrix(c(1, 0, 2, 3), 2, 10, dimnames = list(c("a", "b"), letters[1:10])), "CsparseMatrix")
        x <- CreateSeuratObject(m, meta.data = data.frame(label = rep(1:2, 5), row.names = letters[1:10]))
        tell("coords", transst(x, nDomains = 2))
        tell("layer", domainMarkers(x, "label", layer = "none"))
        setClass("Mine", contains = "Seurat")
        class(x) <- structure("Mine", package = ".GlobalEnv")
        tell("subclass", domainMarkers(x, "label", layer = "none"))
    )"
    loaded <- list(
        after = runSession(c(
            "cat('there:', isNamespaceLoaded('SeuratObject'), '\\n')",
            "suppressMessages(library(SeuratObject))", code
        )),
        before = runSession(code, packages = c("SeuratObject", "TransST"))
    )
    expect_match(loaded$after, "there: FALSE")
    for (output in loaded) {
        expect_match(output, "coords = error <transst_error> `x` has no spatial coordinates")
        expect_match(output, "layer = error <transst_error> `layer`: `x` has no layer 'none'")
        expect_match(output, "subclass = error <transst_error> `layer`: `x` has no layer 'none'")
    }
})
