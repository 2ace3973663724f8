labelled <- function() {
    spe <- tinySpe()
    spe$transst <- factor(c(1, 1, 1, 2, 2, 2, 2, 2, NA, 1), 1:3)
    spe$label <- c("b", "b", "a", "a", "a", "a", "a", "a", "a", NA)
    spe
}

test_that("plotAgreement() shows the share of every label's spots", {
    spe <- labelled()
    plot <- plotAgreement(spe, "label")
    expect_s3_class(ggplot2::ggplotGrob(plot), "gtable")
    shown <- plot$data
    expect_identical(levels(shown$label), c("a (6)", "b (2)"))
    expect_identical(levels(shown$domain), c("1", "2"))
    expect_equal(shown$share, 100 * c(1 / 6, 1, 5 / 6, 0))
    expect_identical(shown$spots, c(1L, 2L, 5L, 0L))
    numbers <- ggplot2::layer_data(plot, 2L)
    expect_identical(numbers$label, c("17", "100", "83"))
    index <- adjustedRandIndex(spe$transst[1:8], spe$label[1:8])
    expect_match(plot$labels$title, sprintf("adjusted Rand index %.2f", index), fixed = TRUE)
    expect_equal(plotAgreement(spe, spe$label)$data, shown)
    expect_equal(plotAgreement(asSeurat(spe), "label")$data, shown)
})

test_that("labels that do not fit are refused", {
    spe <- labelled()
    expect_error(plotAgreement(spe, "other"), "`labels`: `x` has no column 'other'")
    expect_error(plotAgreement(spe, 1:3), "one label for each of the 10 spots, got 3 of class integer")
    expect_error(plotAgreement(spe, rep(NA, 10)), "no spot has both")
    many <- tinySpe(tinyCounts(nSpots = 70L))
    many$transst <- "a"
    expect_error(plotAgreement(many, seq_len(70)), "70 different values, more than a table of 60 rows")
})
