# The R part of the site: Rscript tools/r_reference.R FOLDER
# man/*.Rd as linked HTML, an index of them, and the vignettes. Nothing in it needs a network to be read.
folder <- commandArgs(TRUE)[[1L]]
dir.create(folder, showWarnings = FALSE, recursive = TRUE)

files <- list.files("man", "\\.Rd$", full.names = TRUE)
pages <- lapply(stats::setNames(files, sub("Rd$", "html", basename(files))), tools::parse_Rd)

# The texts of a section, such as \title, which is there once, or \alias.
texts <- function(rd, tag) {
    found <- Filter(function(part) identical(attr(part, "Rd_tag"), tag), rd)
    trimws(vapply(found, function(part) paste(unlist(part), collapse = ""), ""))
}
aliases <- lapply(pages, texts, "\\alias")
links <- stats::setNames(rep(names(pages), lengths(aliases)), unlist(aliases))

for (page in names(pages)) {
    file <- file.path(folder, page)
    tools::Rd2HTML(
        pages[[page]], file, package = "TransST", Links = links, Links2 = character(), texmath = FALSE,
        stages = c("build", "install", "render")
    )
    html <- readLines(file, encoding = "UTF-8")
    # topics of other packages are not here
    html <- gsub("<a href=[\"']\\.\\./\\.\\./[^>]*>(.*?)</a>", "\\1", html, perl = TRUE)
    html <- sub("00Index.html", "reference.html", html, fixed = TRUE)
    writeLines(html, file, useBytes = TRUE)
}
invisible(file.copy(file.path(R.home("doc"), "html", "R.css"), folder, overwrite = TRUE))

vignettes <- list.files("vignettes", "\\.Rmd$", full.names = TRUE)
for (vignette in vignettes) {
    rmarkdown::render(
        vignette, output_dir = folder, intermediates_dir = tempfile(), quiet = TRUE,
        output_options = list(mathjax = NULL) # it would be fetched from the network
    )
}

item <- function(file, text) sprintf("<li><a href=\"%s\">%s</a></li>", file, text)
row <- function(page) {
    sprintf(
        "<tr><td><a href=\"%s\">%s</a></td><td>%s</td></tr>",
        page, sub("\\.html$", "", page), texts(pages[[page]], "\\title")
    )
}
title <- vapply(vignettes, function(file) rmarkdown::yaml_front_matter(file)$title, "")
writeLines(c(
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>TransST: R reference</title>",
    "<link rel=\"stylesheet\" href=\"R.css\"></head><body><div class=\"container\">",
    "<p><a href=\"../index.html\">TransST</a></p><h1>R reference</h1>",
    "<h2>Vignettes</h2><ul>", item(sub("Rmd$", "html", basename(vignettes)), title), "</ul>",
    "<h2>Help pages</h2><table>", vapply(names(pages), row, ""), "</table></div></body></html>"
), file.path(folder, "reference.html"))
