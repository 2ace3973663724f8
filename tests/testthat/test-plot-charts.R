# A record as transst() leaves it, without a fit.
fitted <- function(...) {
    spe <- tinySpe()
    record <- list(
        params = list(n_domains = 3L), versions = list(),
        transfer = list(
            penalty = 1, cv_penalties = c(0, 0.1, 1, 10, Inf),
            cv_errors = rbind(c(5, 4, 3, 4, 5), c(5, 6, 3, 4, 7)),
            cv_standard_errors = c(0.5, 0.4, 0, 0.2, 0.3), transferred = "loadings"
        ),
        mixture = list(log_likelihoods = c(-9, -5, -4), converged = TRUE)
    )
    S4Vectors::metadata(spe)$transst <- utils::modifyList(record, list(...))
    spe
}
layersOf <- function(plot) lapply(plot$layers, function(layer) class(layer$geom)[1L])

test_that("plotTransfer() shows mean errors at their penalties, and the one chosen", {
    plot <- plotTransfer(fitted())
    expect_s3_class(ggplot2::ggplotGrob(plot), "gtable")
    expect_identical(plot$data$error, c(5, 5, 3, 4, 6))
    expect_identical(plot$data$se, c(0.5, 0.4, 0, 0.2, 0.3))
    expect_identical(plot$data$at, c(-2, -1, 0, 1, 2))
    bars <- ggplot2::layer_data(plot, which(layersOf(plot) == "GeomErrorbar"))
    expect_equal(bars$ymax - bars$ymin, 2 * plot$data$se)
    expect_identical(ggplot2::layer_data(plot, length(plot$layers))$x, 0)
    axis <- ggplot2::ggplot_build(plot)$layout$panel_params[[1L]]$x
    expect_identical(axis$get_labels(), c("0.1", "1", "10", "0\nno transfer", "Inf\nfull transfer"))
    expect_identical(as.numeric(axis$get_breaks()), c(-1, 0, 1, -2, 2))
    expect_identical(plot$labels$title, "penalty 1 chosen")
})

test_that("plotTransfer() names the ends and what was taken over", {
    title <- function(...) plotTransfer(fitted(transfer = list(...)))$labels$title
    expect_identical(title(penalty = 0), "penalty 0 chosen (no transfer)")
    expect_identical(title(penalty = Inf), "penalty Inf chosen (full transfer)")
    expect_identical(
        title(transferred = "classes"), "penalty 1 chosen\nthe domains follow the source's classes"
    )
    # ends only, or one finite penalty
    expect_identical(TransST:::.penaltyPlaces(c(0, Inf)), c(-1, 1))
    expect_identical(TransST:::.penaltyAxis(data.frame(penalty = 2, at = log10(2)))$labels, "2")
})

test_that("plotTransfer() shows what averaging suits the labels, and the trust", {
    tested <- fitted(
        source = list(names = c("a/b", "c"), relevance = c(1, 0.5)),
        transfer = list(
            smoothing = list(
                feature_rounds = c(0, 0, 8, 8), label_rounds = c(0, 4, 0, 4), score = c(0.2, 0.3, 0.6, 0.59),
                weight = c(0, 0, 0.6, 0.4)
            ),
            trust = list("a|b" = 0.6, c = 0.1)
        )
    )
    plot <- plotTransfer(tested, "smoothing")
    expect_s3_class(ggplot2::ggplotGrob(plot), "gtable")
    expect_identical(levels(plot$data$features), c("0", "8"))
    expect_identical(nrow(ggplot2::layer_data(plot, 2L)), 2L)
    expect_identical(ggplot2::layer_data(plot, 3L)$label, c("0.20", "0.30", "0.60", "0.59"))
    trust <- plotTransfer(tested, "trust")
    expect_s3_class(ggplot2::ggplotGrob(trust), "gtable")
    expect_identical(trust$data$value, c(1, 0.5, 0.6, 0.1))
    expect_error(plotTransfer(fitted(), "smoothing"), "no source with positions has had its labels tested")
    expect_error(plotTransfer(fitted(), "trust"), "the labels of the source were not tested")
    expect_error(plotTransfer(fitted(), "nonsense"), "should be one of")
})

test_that("the trust that is needed is Python's", {
    skipWithoutPython()
    needed <- reticulate::import("transst_py.transfer.label_transfer")$MIN_TRUST
    expect_identical(TransST:::.neededTrust, needed)
})

test_that("plotTransfer() needs a source", {
    none <- fitted(
        transfer = list(cv_penalties = list(), cv_errors = matrix(0, 0, 0), cv_standard_errors = list())
    )
    expect_error(plotTransfer(none), "nothing was transferred; give transst\\(\\) a `source`")
    expect_error(plotTransfer(tinySpe()), "`name`: `x` has no results of transst\\(\\) named 'transst'; run")
})

test_that("plotConvergence() draws a curve for each model", {
    plot <- plotConvergence(fitted())
    expect_identical(plot$data$value, c(-9, -5, -4))
    expect_identical(levels(plot$data$panel), "mixture\nconverged after 3 iterations")
    both <- plotConvergence(fitted(source = list(log_likelihoods = c(1, 2), converged = FALSE)))
    expect_s3_class(ggplot2::ggplotGrob(both), "gtable")
    expect_identical(
        levels(both$data$panel),
        c("source model\nNOT converged after 2 iterations", "mixture\nconverged after 3 iterations")
    )
    expect_identical(both$data$iteration, c(1:2, 1:3))
    expect_error(plotConvergence(fitted(), "other"), "named 'other'")
})

chosen <- function(stability = c(0.9, 0.5, -0.1), criterion = "mbic") {
    fitted(n_domains = list(
        chosen = 3L, criterion = criterion,
        table = list(
            n_domains = 2:4, mbic = c(30, 10, 20), slope = c(1, 2, 3), stability = stability,
            stability_sd = c(0.1, 0.1, 0.2)
        )
    ))
}

test_that("plotNDomains() shows criterion and stability on axes of their own", {
    plot <- plotNDomains(chosen())
    expect_s3_class(ggplot2::ggplotGrob(plot), "gtable")
    marked <- ggplot2::layer_data(plot, length(plot$layers))
    expect_identical(c(marked$x, marked$y), c(3, 10))
    expect_identical(plot$labels$title, "3 domains chosen")
    built <- ggplot2::ggplot_build(plot)
    # what the right axis says at the squares is the stability
    squares <- built$data[[which(layersOf(plot) == "GeomPoint")[[1L]]]]
    right <- plot$scales$get_scales("y")$secondary.axis$trans
    expect_equal(right(squares$y), c(0.9, 0.5, -0.1))
    bars <- built$data[[which(layersOf(plot) == "GeomErrorbar")]]
    expect_equal(right(bars$ymin), c(0.8, 0.4, -0.3))
    # the two ranges share the height
    expect_equal(right(c(10, 30)), c(-0.3, 1))
    expect_identical(plot$scales$get_scales("y")$name, "MBIC (smaller is better)")
})

test_that("plotNDomains() does without stability, and needs a choice", {
    plot <- plotNDomains(chosen(rep(NaN, 3), "slope"))
    expect_identical(plot$scales$get_scales("y")$name, "slope criterion (smaller is better)")
    expect_length(plot$layers, 4L)
    expect_error(plotNDomains(fitted()), "no choice of the number of domains; give transst\\(\\) several")
})

test_that("Seurat objects keep the same record", {
    spe <- chosen()
    seurat <- asSeurat(spe)
    slot(seurat, "misc")$transst <- S4Vectors::metadata(spe)$transst
    expect_identical(plotTransfer(seurat)$data, plotTransfer(spe)$data)
    expect_identical(plotConvergence(seurat)$data, plotConvergence(spe)$data)
    expect_identical(plotNDomains(seurat)$data, plotNDomains(spe)$data)
})

test_that("plots read what transst() records", {
    skipWithoutPython()
    tissue <- smallTissue()
    spe <- transst(
        tissue$target, tissue$source, "label",
        nDomains = 2:6, nFactors = 4, nSubsamples = 2, classTransfer = "never"
    )
    record <- S4Vectors::metadata(spe)$transst
    transfer <- plotTransfer(spe)
    expect_identical(transfer$data$penalty, record$transfer$cv_penalties)
    expect_identical(transfer$data$error, colMeans(record$transfer$cv_errors))
    expect_identical(plotNDomains(spe)$data$value, record$n_domains$table[[record$n_domains$criterion]])
    curves <- table(plotConvergence(spe)$data$model)
    expect_identical(curves[["mixture"]], length(record$mixture$log_likelihoods))
    expect_identical(curves[["source model"]], length(record$source$log_likelihoods))
    alone <- quick(tissue$target, NULL)
    expect_error(plotTransfer(alone), "nothing was transferred")
    expect_identical(unique(plotConvergence(alone)$data$model), "mixture")
    followed <- quick(tissue$target)
    expect_identical(unique(plotConvergence(followed)$data$model), "source model")
    smoothing <- S4Vectors::metadata(followed)$transst$transfer$smoothing
    expect_identical(plotTransfer(followed, "smoothing")$data$score, smoothing$score)
    expect_s3_class(ggplot2::ggplotGrob(plotTransfer(followed, "trust")), "gtable")
})
