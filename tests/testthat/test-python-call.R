test_that("names of arguments travel both ways by one rule", {
    expect_identical(
        TransST:::.toSnake(c("nTopGenes", "seed", "sampleId", "verbose")),
        c("n_top_genes", "random_state", "sample_key", "verbose"),
        ignore_attr = TRUE
    )
    snake <- c("n_top_genes", "random_state", "sample_key", "verbose")
    expect_identical(TransST:::.toSnake(TransST:::.toCamel(snake)), snake, ignore_attr = TRUE)
    expect_identical(
        TransST:::.inRWords("`n_domains` and `random_state` of `adata`, not n_domains; `X` stays"),
        "`nDomains` and `seed` of `x`, not n_domains; `X` stays"
    )
})

test_that("messages of Python's name what an R object has", {
    inRWords <- TransST:::.inRWords
    expect_identical(
        inRWords("remove them first: adata[adata.obs['in_tissue'].astype(bool)].copy()"),
        "remove them first: x[, as.logical(x$in_tissue)]"
    )
    expect_identical(
        inRWords("`key`: adata.obs['domain'] has 1 domain(s)", TransST:::.markerWords("transst", tinySpe())),
        "`domains`: column 'transst' has 1 domain(s)"
    )
    expect_identical(
        inRWords("`layer`: adata has none", TransST:::.layerWords(tinySpe())), "`assay`: `x` has none"
    )
    expect_identical(inRWords("see `layer`", TransST:::.layerWords(asSeurat(tinySpe()))), "see `layer`")
    expect_identical(
        inRWords("`spatial_key`: no column in adata.obs; adata.var_names_make_unique()"),
        "`coords`: no column in the cell data of `x`; make.unique(rownames(x))"
    )
    expect_identical(inRWords("with `normalization='none'`"), "with `normalization = \"none\"`")
})

test_that("values, and advice that is Python code, become R's", {
    inRWords <- TransST:::.inRWords
    expect_identical(
        inRWords("listed in uns[key]['source']['suspicious'] (`suspicious_` of the model)"),
        "listed in transferReport(x)$suspicious"
    )
    expect_identical(
        inRWords("`source_selection`='all' uses every source"),
        "`sourceSelection` = \"all\" uses every source"
    )
    expect_identical(
        inRWords("`verbose` must be True or False, got None; 'None' is a name"),
        "`verbose` must be TRUE or FALSE, got NULL; 'None' is a name"
    )
    expect_identical(inRWords("`simulated_tissue()` needs neither"), "`simulateTissue()` needs neither")
    offline <- paste0(
        "cannot get a.tsv from https://host/ (HTTPSConnectionPool(host='host', port=443): Max retries",
        " exceeded (Caused by NameResolutionError(\"no\")). Connect to the network"
    )
    expect_identical(
        inRWords(offline), "cannot get a.tsv from https://host/ (no connection). Connect to the network"
    )
})

# The texts of all errors and warnings in the Python sources that R reaches, with their file.
pythonMessages <- function() {
    reticulate::py_run_string(r"(
import ast, pathlib

def text(node):
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ''
    if isinstance(node, ast.FormattedValue):
        return "'name'" if node.conversion == ord('r') else 'name'
    if isinstance(node, ast.JoinedStr):
        return ''.join(map(text, node.values))
    if isinstance(node, ast.BinOp):
        return text(node.left) + text(node.right)
    return 'name'

def messages(root):
    found = []
    for file in sorted(pathlib.Path(root).rglob('*.py')):
        place = file.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Raise):
                node = node.exc
            elif not (isinstance(node, ast.Call) and 'warn' in ast.unparse(node.func).rpartition('.')[2]):
                continue
            if isinstance(node, ast.Call):
                found += [(place, text(a)) for a in node.args[:1]]
    return found
    )")$messages(file.path(system.file("python", package = "TransST"), "transst_py"))
}

test_that("no message of Python's that can reach R speaks of AnnData or of values of Python's", {
    skipWithoutPython()
    found <- pythonMessages()
    places <- vapply(found, `[[`, "", 1L)
    texts <- vapply(found, function(m) TransST:::.inRWords(m[[2L]], c("`layer`" = "`assay`")), "")
    expect_gt(length(texts), 150L)
    # R draws its own pictures, has no files that Python opened, and no generators of random numbers
    elsewhere <- grepl("^(cli|pl)/", places) | grepl("to_memory|numpy Generator|backed by a file", texts) |
        grepl("stored by columns|unknown shape", texts)
    words <- "\\badata\\b|AnnData|\\bNone\\b|\\bTrue\\b|\\bFalse\\b|\\b(uns|obs|obsm|varm)\\[|\\b(tl|pl)\\."
    snake <- "`[a-z]+(_[a-z0-9]+)+`"
    wrong <- !elsewhere & (grepl(words, texts) | grepl(snake, texts))
    expect_identical(paste(places, texts)[wrong], character())
})

test_that("the number of threads is set for the call, and not longer", {
    skipWithoutPython()
    threads <- function() {
        pools <- reticulate::import("threadpoolctl")$threadpool_info()
        c(vapply(pools, function(pool) pool$num_threads, 1), variable = Sys.getenv("OMP_NUM_THREADS"))
    }
    variable <- function() reticulate::py_eval("__import__('os').environ.get('OMP_NUM_THREADS')")
    before <- list(threads(), variable())
    option <- options(TransST.threads = 1)
    on.exit(options(option))
    during <- TransST:::.withThreads(list(threads(), variable()))
    expect_identical(during[[2L]], "1")
    expect_true(all(utils::head(during[[1L]], -1L) == "1"))
    expect_identical(list(threads(), variable()), before)
    expect_s4_class(quick(smallTissue()$target), "SpatialExperiment")
    options(TransST.threads = 0)
    expect_error(quick(smallTissue()$target), "TransST.threads = \\) must be a whole number .* got 0")
})

test_that("errors and warnings from Python speak R", {
    skipWithoutPython()
    spe <- smallTissue()$target
    one <- spe
    one$one <- "a"
    expect_error(domainMarkers(one, "one"), "`domains`: column 'one' has 1 domain")
    negative <- spe
    SingleCellExperiment::counts(negative) <- -SingleCellExperiment::counts(spe)
    expect_error(quick(negative), "`x` has negative expression values.*see `assay`\\)")
    spe$in_tissue <- rep(c(FALSE, TRUE), c(1L, ncol(spe) - 1L))
    expect_error(imputeSpots(spe), "x[, as.logical(x$in_tissue)]", fixed = TRUE)
})

test_that("a contrast on the counts that gave the domains is a warning, as in Python", {
    skipWithoutPython()
    spe <- quick(smallTissue()$target)
    expect_warning(
        domainMarkers(spe, method = "contrast"), "counts that the domains were found on",
        class = "transst_python_warning"
    )
    expect_warning(
        domainMarkers(quick(asSeurat(smallTissue()$target)), method = "contrast"),
        "counts that the domains were found on"
    )
    S4Vectors::metadata(spe)$transst <- NULL # domains of unknown origin
    expect_no_warning(domainMarkers(spe, method = "contrast"))
})

test_that("whole numbers become integers, fractions and matrices stay, NA is refused", {
    expect_identical(TransST:::.pythonValue(c(4, 5), "a"), 4:5)
    expect_identical(TransST:::.pythonValue(0.5, "a"), 0.5)
    expect_identical(TransST:::.pythonValue(Inf, "a"), Inf)
    expect_identical(TransST:::.pythonValue(factor("u"), "a"), "u")
    expect_identical(TransST:::.pythonValue(0.5, "penalties"), list(0.5))
    expect_identical(TransST:::.pythonValue("gp", "candidates"), list("gp"))
    expect_identical(TransST:::.pythonValue(diag(2), "a"), diag(2))
    expect_identical(TransST:::.pythonValue(list(c(0, 1)), "a"), list(0:1))
    expect_identical(
        TransST:::.pythonValue(list(s2s = list(naturalImages = "folder")), "a"),
        list(s2s = list(natural_images = "folder"))
    )
    expect_error(TransST:::.pythonValue(NA, "verbose"), "argument `verbose` must not be NA")
})

test_that("unknown, doubled and unnamed arguments are refused", {
    skipWithoutPython()
    spe <- tinySpe()
    expect_error(transst(spe, nDomains = 2, nFctors = 3), "unknown argument 'nFctors'.* mean 'nFactors'")
    expect_error(transst(spe, nDomains = 2, seed = 1, seed = 2), "matched by multiple|given twice")
    expect_error(transst(spe, nDomains = 2, nFactors = 4, n_factors = 2), "`nFactors` is given twice")
    expect_error(transst(spe, NULL, NULL, 2, 3), "must be named")
    # what the bridge sets itself is not for users
    expect_error(transst(spe, nDomains = 2, spatialKey = "px"), "unknown argument")
})

test_that("an error of Python's is an R error with its message and classes, and leaves nothing behind", {
    skipWithoutPython()
    error <- tryCatch(transst(tinySpe(), nDomains = 2, normalization = "Größe"), error = identity)
    expect_s3_class(error, c("transst_python_ValueError", "transst_python_error"))
    expect_match(conditionMessage(error), "normalization")
    expect_match(conditionMessage(error), "Größe")
    expect_no_match(conditionMessage(error), "Traceback|py_last_error")
    expect_match(error$traceback, "Traceback")
    expect_identical(lastPythonError(), error)
    expect_output(print(error), "Traceback .*normalization")
    expect_length(ls(TransST:::.exchange, all.names = TRUE), 0L)
})

test_that("an error that Python did not mean for users says how to see where it was", {
    raised <- list(classes = c("ZeroDivisionError", "Exception"), message = "division", traceback = "there")
    error <- tryCatch(TransST:::.raisePythonError(raised, NULL), error = identity)
    expect_match(
        conditionMessage(error), "ZeroDivisionError in Python: division\nlastPythonError()",
        fixed = TRUE
    )
    expect_s3_class(error, c("transst_python_ZeroDivisionError", "transst_python_error"))
    expect_identical(lastPythonError()$traceback, "there")
})

test_that("Python's progress is shown when asked for", {
    skipWithoutPython()
    said <- reticulate::py_capture_output(quick(smallTissue()$target, verbose = TRUE))
    expect_match(said, "transst", fixed = TRUE)
    expect_identical(reticulate::py_capture_output(quick(smallTissue()$target)), "")
    said <- reticulate::py_capture_output(
        imputeSpots(smallTissue()$target, method = "nearest", verbose = TRUE)
    )
    expect_match(said, "imputation: nearest ...", fixed = TRUE)
})

test_that("both halves are of the same version", {
    skipWithoutPython()
    expect_identical(
        reticulate::import("transst_py")[["__version__"]],
        as.character(utils::packageVersion("TransST"))
    )
    expect_match(
        normalizePath(reticulate::import("transst_py")[["__file__"]]),
        normalizePath(system.file("python", package = "TransST")),
        fixed = TRUE
    )
})

test_that("transstConfig() says what runs", {
    skipWithoutPython()
    config <- transstConfig()
    expect_null(config$problem)
    expect_match(config$python[["version"]], "^3\\.[0-9]+\\.[0-9]+")
    expect_output(print(config), "rpy2 .*Status: ready")
})
