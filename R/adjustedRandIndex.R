#' Agreement of two partitions
#'
#' The adjusted Rand index: 1 for the same partition, about 0 for independent ones.
#'
#' @param a,b Two vectors or factors of the same length. Spots that are `NA` in either are left out.
#'
#' @return A number.
#'
#' @examples
#' adjustedRandIndex(c(1, 1, 2, 2), c("b", "b", "a", "a"))
#' adjustedRandIndex(c(1, 1, 2, 2), c("a", "b", "a", "b"))
#' @export
adjustedRandIndex <- function(a, b) {
    if (length(a) != length(b)) {
        .stop("`a` and `b` must have the same length, got ", length(a), " and ", length(b))
    }
    counts <- table(a, b)
    if (sum(counts) < 2L) {
        .stop("`a` and `b` have fewer than two pairs of labels")
    }
    pairs <- sum(choose(counts, 2))
    pairsA <- sum(choose(rowSums(counts), 2))
    pairsB <- sum(choose(colSums(counts), 2))
    expected <- pairsA * pairsB / choose(sum(counts), 2)
    highest <- (pairsA + pairsB) / 2
    # both partitions have one class, or both only classes of one spot
    if (highest == expected) 1 else (pairs - expected) / (highest - expected)
}
