# BiocCheck on a source package, without what asks the network; any ERROR or WARNING fails.
# Rscript tools/bioc_check.R TransST_*.tar.gz
options(repos = character(), BiocManager.check_repositories = FALSE)
found <- BiocCheck::BiocCheck(
    commandArgs(TRUE),
    `no-check-deprecated` = TRUE, `no-check-CRAN` = TRUE, `no-check-bioc-help` = TRUE, `no-check-remotes` = TRUE
)
# Which packages are Bioconductor's is known to its index only, which is on the network.
offline <- "^No Bioconductor dependencies detected"
said <- vapply(found$warning, function(text) paste(unlist(text), collapse = " "), character(1L))
wrong <- length(found$error) + sum(!grepl(offline, said))
cat(sprintf("BiocCheck: %d errors or warnings, %d notes (see CONTRIBUTING.md)\n", wrong, length(found$note)))
quit(status = as.integer(wrong > 0L))
