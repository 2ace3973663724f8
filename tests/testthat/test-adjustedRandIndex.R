test_that("the index is 1 for renamed classes and has its known values", {
    expect_identical(adjustedRandIndex(c(1, 1, 2, 2), c("b", "b", "a", "a")), 1)
    # Hubert and Arabie's formula by hand: pairs 1, expected 2 * 3 / 6, highest 2.5 for the first
    expect_equal(adjustedRandIndex(c(1, 1, 2, 2), c(1, 1, 1, 2)), 0)
    expect_equal(adjustedRandIndex(c(1, 1, 2, 2), c("a", "b", "a", "b")), -0.5)
    expect_identical(adjustedRandIndex(rep(1, 4), rep(2, 4)), 1)
})

test_that("spots without a label are left out, and bad input is refused", {
    expect_identical(adjustedRandIndex(c(1, 1, 2, 2, NA), c(1, 1, 2, 2, 3)), 1)
    expect_error(adjustedRandIndex(1:2, 1:3), "same length, got 2 and 3")
    expect_error(adjustedRandIndex(c(1, NA), c(NA, 1)), "fewer than two")
})
