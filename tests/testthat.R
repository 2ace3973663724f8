library(testthat)
library(TransST)

test_check("TransST")
