#' Create the Python environment of TransST
#'
#' Creates a virtual environment and installs the Python packages that TransST needs. Nothing is
#' ever installed without a call of this function.
#'
#' @param envname Name of the virtual environment. TransST finds `"r-transst"` by itself; any other
#'   one is chosen with `options(TransST.python = )`.
#' @param python Path of a Python (>= 3.11) to build on; `NULL` looks for one.
#' @param cuda Install torch with support for NVIDIA GPUs? It needs several GB more, and only
#'   `imputeSpots(method = "s2s")` and `transst(encoder = "graph-vae")` use it.
#' @param force Make the environment anew, even if it is complete?
#' @param pipOptions Further options for `pip install`, such as `"--proxy=http://host:port"`.
#'
#' @return The path of the environment, invisibly.
#'
#' @details Everything is checked first: a suitable Python, a C compiler that can build against this R (the
#'   package rpy2 is compiled), space on the disk. An environment that is incomplete is completed, and one
#'   whose Python does not start or is too old is made anew. So the function can be run again after it was
#'   interrupted. Make the environment anew (`force = TRUE`) after a change to another minor version of R.
#'
#'   Where the session's Python is another one already, TransST uses the new environment in a background
#'   process (see [TransST.process], which also says which Python is used if there are several).
#'
#' @seealso [transstConfig()] to see what is there.
#'
#' @examples
#' if (interactive()) {
#'     installTransst()
#' }
#' @export
installTransst <- function(
    envname = .ENVNAME, python = NULL, cuda = FALSE, force = FALSE, pipOptions = character()
) {
    .checkInstallArguments(envname, python, cuda, force, pipOptions)
    folder <- .environmentFolder(envname)
    .forgetProbes()
    plan <- .installPlan(folder, force)
    if (plan == "nothing") {
        message("Python environment is complete: ", folder)
        return(invisible(folder))
    }
    starter <- if (plan != "complete") .findStarter(python)
    .checkCompiler(.pythonIn(folder), plan)
    .checkDisk(folder, cuda)
    .announce(plan, folder, cuda)
    on.exit({ # also after an interrupt
        .forgetProbes()
        .endBackground()
    })
    if (plan != "complete") .runTool(starter, c("-m", "venv", "--clear", folder), "making the environment")
    .installPackages(.pythonIn(folder), cuda, pipOptions)
    .checkInstalled(folder, envname)
    invisible(folder)
}

.checkInstallArguments <- function(envname, python, cuda, force, pipOptions) {
    isText <- function(v) is.character(v) && length(v) == 1L && !is.na(v) && nzchar(v)
    if (!isText(envname) || grepl("[/\\\\]", envname)) {
        .stop("`envname` must be the name of an environment, not a path, got ", deparse1(envname))
    }
    if (!is.null(python) && !isText(python)) {
        .stop("`python` must be the path of a Python, or NULL, got ", deparse1(python))
    }
    for (name in c("cuda", "force")) {
        value <- get(name)
        if (!isTRUE(value) && !isFALSE(value)) {
            .stop("`", name, "` must be TRUE or FALSE, got ", deparse1(value))
        }
    }
    if (!is.character(pipOptions) || anyNA(pipOptions)) {
        .stop("`pipOptions` must be texts, got ", deparse1(pipOptions))
    }
}

# What has to be done: "nothing", "create", "complete" (packages are missing) or "remake".
.installPlan <- function(folder, force) {
    if (!file.exists(folder)) {
        return("create")
    }
    .checkReplaceable(folder)
    python <- .pythonIn(folder)
    deficit <- .deficit(python)
    whole <- is.null(deficit) && nzchar(.probe(python)$packages[[.OPTIONAL]])
    plan <- if (force) "remake" else if (whole) "nothing" else "complete"
    if (length(deficit) && is.null(deficit$missing)) plan <- "remake"
    running <- .runningPython()
    if (plan == "remake" && !is.null(running) && .samePython(running, python)) {
        .stop("this session runs the Python of ", folder, ", which cannot be replaced now; restart R first")
    }
    plan
}

# Only what is, or was once to become, a virtual environment may be overwritten.
.checkReplaceable <- function(folder) {
    parts <- c("pyvenv.cfg", "bin", "lib", "lib64", "include", "share", "Scripts", "Lib", "Include")
    others <- setdiff(list.files(folder, all.files = TRUE, no.. = TRUE), parts)
    if (!dir.exists(folder) || (length(others) && !file.exists(file.path(folder, "pyvenv.cfg")))) {
        .stop(
            folder, " is no virtual environment (it has ", .listSome(others), "); remove it, or choose ",
            "another `envname`"
        )
    }
}

# ---- Checks before anything is written -----------------------------------------------------------

.findStarter <- function(python) {
    if (!is.null(python)) {
        python <- path.expand(python)
        if (dir.exists(python)) python <- .pythonIn(python)
        problem <- .starterProblem(python)
        if (!is.null(problem)) .stop("`python`: ", python, " ", problem, "; give another one")
        return(python)
    }
    found <- reticulate::virtualenv_starter(all = TRUE)
    # not the newest, for which packages may not be built yet
    versions <- numeric_version(as.character(found$version))
    order <- order(versions < .OLDEST, versions >= "3.14", versions)
    problems <- character()
    for (path in found$path[order]) {
        problem <- .starterProblem(path)
        if (is.null(problem)) {
            return(path)
        }
        problems[[path]] <- problem
    }
    .stop(
        "no Python >= ", .OLDEST, " was found that an environment can be made of",
        if (length(problems)) ":\n", paste0("    ", names(problems), " ", problems, collapse = "\n"),
        "\nInstall one (on Debian or Ubuntu: apt-get install python3-venv python3-dev; else ",
        "reticulate::install_python(\"3.12\")), or name one with `python`"
    )
}

# Why an environment cannot be made of this Python; NULL if it can.
.starterProblem <- function(python) {
    found <- .probe(python)
    if (!is.null(found$error)) {
        return(paste0("does not start (", found$error, ")"))
    }
    version <- numeric_version(found$version)
    short <- paste(unlist(version)[1:2], collapse = ".")
    if (version < .OLDEST) {
        paste0("is of version ", found$version, ", but TransST needs >= ", .OLDEST)
    } else if (!isTRUE(nzchar(found$venv))) {
        paste0("has no module venv or ensurepip (on Debian: apt-get install python", short, "-venv)")
    } else if (!nzchar(found$library)) {
        paste0("has no shared library that R can load (on Debian: apt-get install libpython", short, ")")
    } else if (!nzchar(found$headers)) {
        paste0("has no headers to compile rpy2 with (on Debian: apt-get install python", short, "-dev)")
    }
}

# rpy2 is compiled and linked against R: can that be done here?
.checkCompiler <- function(python, plan) {
    if (.Platform$OS.type == "windows" || (plan == "complete" && nzchar(.probe(python)$packages[["rpy2"]]))) {
        return(invisible())
    }
    folder <- tempfile("compiler")
    dir.create(folder)
    on.exit(unlink(folder, recursive = TRUE))
    program <- c("#include <Rinternals.h>", "int main(void) { return R_NilValue == 0; }")
    writeLines(program, file.path(folder, "try.c"))
    config <- function(what) .outputOf(file.path(R.home("bin"), "R"), c("CMD", "config", what))
    command <- paste(config("CC"), config("--cppflags"), "try.c -o try", config("--ldflags"))
    tried <- processx::run(
        "sh", c("-c", command),
        wd = folder, error_on_status = FALSE, stderr_to_stdout = TRUE
    )
    if (!identical(tried$status, 0L)) {
        .stop(
            "the package rpy2 has to be compiled, and no C program can be built against this R here:\n    ",
            paste(utils::tail(strsplit(tried$stdout, "\n")[[1L]], 3L), collapse = "\n    "),
            "\nInstall a C compiler and R's headers (on Debian or Ubuntu: apt-get install r-base-dev; on ",
            "macOS: xcode-select --install), then run installTransst() again"
        )
    }
}

.outputOf <- function(command, arguments) {
    trimws(processx::run(command, arguments, error_on_status = FALSE)$stdout)
}

# GB on the disk, as measured on Linux, with what pip unpacks on the way.
.SPACE <- c(cpu = 2, cuda = 8)

.checkDisk <- function(folder, cuda) {
    there <- folder
    while (!dir.exists(there)) there <- dirname(there)
    if (file.access(there, 2L) != 0L) {
        .stop(
            "cannot write to ", there, ", where the environment would be; set the environment variable ",
            "WORKON_HOME to a folder of yours"
        )
    }
    if (.Platform$OS.type == "windows") {
        return(invisible()) # no df there
    }
    lines <- strsplit(.outputOf("df", c("-Pk", there)), "\n")[[1L]]
    free <- as.numeric(strsplit(utils::tail(lines, 1L), " +")[[1L]][[4L]]) / 2^20
    needed <- .SPACE[[if (cuda) "cuda" else "cpu"]]
    if (free < needed) {
        .stop(
            "the environment needs ", needed, " GB on the disk, and ", there, " has ",
            format(free, digits = 2), " GB free; make room, or set the environment variable ",
            "WORKON_HOME to a folder elsewhere"
        )
    }
}

.announce <- function(plan, folder, cuda) {
    doing <- c(create = "Making", complete = "Completing", remake = "Making anew")[[plan]]
    size <- if (cuda) c("3 GB", "6 GB") else c("400 MB", "1.4 GB")
    message(
        doing, " the Python environment ", folder, ": about ", size[[1L]], " to download, ", size[[2L]],
        " on the disk, one to ten minutes.\n",
        "It can be interrupted (Ctrl-C); another installTransst() then goes on."
    )
}

# ---- The installation itself ---------------------------------------------------------------------

.QUIETLY <- c("--disable-pip-version-check", "--progress-bar=off")

# torch comes last, since almost everything works without it.
.installPackages <- function(python, cuda, pipOptions) {
    pip <- function(arguments, what) {
        .runTool(python, c("-m", "pip", "install", .QUIETLY, pipOptions, arguments), what)
    }
    pip(unname(.REQUIREMENTS[setdiff(names(.REQUIREMENTS), .OPTIONAL)]), "installing the packages")
    tryCatch(
        .installTorch(pip, .REQUIREMENTS[[.OPTIONAL]], cuda),
        transst_tool_failed = function(e) {
            .warn(
                paste0(
                    "torch was not installed, so imputeSpots(method = \"s2s\") and ",
                    "transst(encoder = \"graph-vae\") do not run; all else does. ", conditionMessage(e)
                ),
                "transst_no_torch"
            )
        }
    )
}

# A build without CUDA, from pip's configured folders of wheels or from torch's own index. Outside of Linux
# pip's default is one.
.installTorch <- function(pip, torch, cuda) {
    if (cuda || Sys.info()[["sysname"]] != "Linux") {
        return(pip(torch, "installing torch"))
    }
    local <- tryCatch(
        {
            pip(c("--quiet", "--no-index", "--no-deps", torch), "looking for torch in pip's folders")
            pip(torch, "installing what torch needs")
            TRUE
        },
        transst_tool_failed = function(e) FALSE
    )
    if (!local) pip(c("--index-url", .INDEX, torch), "installing torch without CUDA")
}

.INDEX <- "https://download.pytorch.org/whl/cpu"

# Runs until it ends, and shows what it prints. Ctrl-C reaches R, which then ends the tool.
.runTool <- function(command, arguments, what) {
    message("[transst] ", what, " ...")
    tool <- processx::process$new(
        command, arguments,
        stdout = "|", stderr = "2>&1", cleanup_tree = TRUE,
        env = c("current", LD_LIBRARY_PATH = .libraryPath())
    )
    on.exit(tool$kill_tree())
    said <- character()
    repeat {
        tool$poll_io(1000L)
        lines <- tool$read_output_lines()
        if (length(lines)) writeLines(strtrim(lines, 110L), stderr())
        said <- utils::tail(c(said, lines), 15L)
        if (!tool$is_alive() && !tool$is_incomplete_output()) break
    }
    if (tool$get_exit_status() != 0L) {
        .stop(
            what, " failed (", basename(command), " ", paste(arguments, collapse = " "), "):\n    ",
            paste(utils::tail(said, 5L), collapse = "\n    "),
            "\nWhen the cause is removed, installTransst() goes on from here",
            class = "transst_tool_failed"
        )
    }
}

.checkInstalled <- function(folder, envname) {
    .forgetProbes()
    python <- .pythonIn(folder)
    deficit <- .deficit(python)
    if (!is.null(deficit)) {
        .stop("the environment ", folder, " ", deficit$text, " after all was installed; try `force = TRUE`")
    }
    message("Python environment ready: ", folder, .howItIsUsed(python, envname))
}

# The last sentence: whether TransST finds it, and in which process.
.howItIsUsed <- function(python, envname) {
    choice <- .pythonChoice()
    if (!.samePython(choice$python, python)) {
        return(paste0(
            "\nTransST uses ", choice$python, " (chosen by ", choice$by, ") until you say otherwise:\n",
            "    options(TransST.python = \"", envname, "\")"
        ))
    }
    why <- .whyElsewhere(choice)
    if (is.null(why)) {
        return("")
    }
    paste0("\n", toupper(substr(why, 1L, 1L)), substring(why, 2L), ", so TransST uses a background process. ",
        "After a restart of R it needs none")
}
