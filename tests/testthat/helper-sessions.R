# Sessions of users: child R processes with an empty HOME, and only environments that a test makes there.

# Folder with nothing in it, where `~` and the working folder of a child are.
emptyHome <- function() {
    home <- tempfile("home")
    dir.create(home)
    normalizePath(home)
}

# What the code prints in such a child. `env`: further variables; `through`: a command that starts it, such as
# one that changes the user; `packages`: what it attaches.
runSession <- function(
    code, home = emptyHome(), env = character(), through = character(), packages = "TransST"
) {
    script <- file.path(home, "session.R")
    attach <- sprintf("suppressPackageStartupMessages(library(%s))", packages)
    writeLines(c(attach, .TRIES, code), script)
    choices <- c(
        "RETICULATE_PYTHON", "RETICULATE_PYTHON_ENV", "TRANSST_PYTHON", "VIRTUAL_ENV",
        "R_SESSION_INITIALIZED", "LD_LIBRARY_PATH", "R_TESTS", "TRANSST_DATA_DIR"
    )
    env <- c(
        stats::setNames(rep(NA_character_, length(choices)), choices),
        HOME = home, WORKON_HOME = file.path(home, "environments"), XDG_CACHE_HOME = file.path(home, "cache"),
        R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep), OMP_NUM_THREADS = "1", env
    )
    before <- Sys.getenv(names(env), NA, names = TRUE)
    on.exit({
        do.call(Sys.setenv, as.list(before[!is.na(before)]))
        Sys.unsetenv(names(before)[is.na(before)])
    })
    Sys.unsetenv(names(env)[is.na(env)])
    do.call(Sys.setenv, as.list(env[!is.na(env)]))
    command <- c(through, file.path(R.home("bin"), "Rscript"), "--no-environ", "--no-init-file", script)
    ran <- processx::run(
        command[[1L]], command[-1L],
        wd = home, error_on_status = FALSE, stderr_to_stdout = TRUE, timeout = 300
    )
    ran$stdout
}

# What every child has: `tell()` prints what becomes of an expression, `tissue()` computes something. The
# environment that `make setup` may have built with the installation that is tested does not count.
.TRIES <- r"(
    tell <- function(what, expr) {
        value <- withCallingHandlers(
            tryCatch(expr, error = function(e) paste0("error <", class(e)[1], "> ", conditionMessage(e))),
            message = function(m) {
                cat(what, " said: ", conditionMessage(m), sep = "")
                invokeRestart("muffleMessage")
            }
        )
        cat(what, " = ", if (is.character(value)) value else toString(value), "\n", sep = "")
    }
    tissue <- function() {
        tissue <- simulateTissue(nRows = 8, nCols = 8, nGenes = 12, nDomains = 2, seed = 1)
        domains <- transst(tissue$target, nDomains = 2, nFactors = 2)$transst
        paste(domains, collapse = "")
    }
    utils::assignInNamespace(".recordedPython", function() NULL, "TransST")
)"

# What `tissue()` gives in this session.
tissueHere <- function() {
    tissue <- simulateTissue(nRows = 8, nCols = 8, nGenes = 12, nDomains = 2, seed = 1)
    paste(transst(tissue$target, nDomains = 2, nFactors = 2)$transst, collapse = "")
}

# The Python below this session's environment, or the one itself; without the packages of the environment.
barePython <- function() {
    sys <- reticulate::import("sys")
    base <- c(sys[["_base_executable"]], file.path(sys$base_prefix, "bin", "python3"))
    base <- base[file.exists(base)][[1L]]
    found <- TransST:::.askPython(base)
    testthat::skip_if(nzchar(found$packages[["rpy2"]]), "the Python below this session's has rpy2, too")
    base
}

# An environment in a home, with what this session's has, or without anything; quick, as nothing is installed.
makeEnvironment <- function(folder, complete = TRUE) {
    processx::run(barePython(), c("-m", "venv", "--without-pip", folder))
    if (complete) completeEnvironment(folder)
    folder
}

completeEnvironment <- function(folder) {
    site <- reticulate::py_eval("[p for p in __import__('sys').path if p.rstrip('/').endswith('-packages')]")
    writeLines(site, file.path(sitePackages(folder), "of-the-tests.pth"))
}

sitePackages <- function(folder) Sys.glob(file.path(folder, "lib", "python*", "site-packages"))

# The command that starts another one as a user without rights who owns the home, or, where such a user cannot
# read this session's Python, as a root without any rights; nothing if we have none ourselves.
asOrdinaryUser <- function(home, environment) {
    if (processx::run("id", "-u")$stdout != "0\n") {
        return(character())
    }
    testthat::skip_if(!nzchar(Sys.which("setpriv")), "no setpriv to become another user with")
    Sys.chmod(dirname(home), "0755")
    other <- c("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    powerless <- c("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    # through a shell, since setpriv itself finds programs with rights that it then gives up
    python <- c("sh", "-c", "\"$0\" -c 'import rpy2, numpy'", file.path(environment, "bin", "python"))
    for (through in list(other, powerless)) {
        ran <- processx::run(through[[1L]], c(through[-1L], python), error_on_status = FALSE)
        if (identical(ran$status, 0L)) {
            if (identical(through, other)) processx::run("chown", c("-R", "65534:65534", home))
            return(through)
        }
    }
    testthat::skip("setpriv can start no process without rights here")
}
