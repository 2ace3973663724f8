# What a Python has, asked in a process of its own: what R has started cannot be replaced by a better one.

# `version`, `library` (its own, for R to load), `venv` and `headers` ("yes" or ""), `packages` (versions by
# module, "" if missing); or `error`.
.probe <- function(python) {
    known <- .python$probes[[python]]
    if (!is.null(known) && file.exists(python)) {
        return(known)
    }
    found <- .askPython(python)
    # only what is complete stays so
    if (is.null(found$error) && !length(.missingFrom(found$packages))) .python$probes[[python]] <- found
    found
}

.forgetProbes <- function() .python$probes <- NULL

.askPython <- function(python) {
    if (!file.exists(python)) {
        return(list(error = "there is no such file"))
    }
    wanted <- paste(names(.REQUIREMENTS), .distributions(), sep = "=")
    ran <- tryCatch(
        processx::run(
            python, c("-c", .PROBE, wanted),
            error_on_status = FALSE, timeout = 120, env = c("current", LD_LIBRARY_PATH = .libraryPath())
        ),
        error = function(e) list(status = 1L, stderr = conditionMessage(e))
    )
    if (!identical(ran$status, 0L)) {
        return(list(error = utils::tail(c("no message", strsplit(trimws(ran$stderr), "\n")[[1L]]), 1L)))
    }
    .readProbe(ran$stdout)
}

.readProbe <- function(text) {
    fields <- strsplit(strsplit(text, "\r?\n")[[1L]], "\t", fixed = TRUE)
    fields <- lapply(fields, function(words) c(words, "", "")[1:3])
    keys <- vapply(fields, `[`, "", 1L)
    values <- stats::setNames(lapply(fields, `[`, 2L), keys)[c("version", "library", "venv", "headers")]
    packages <- fields[keys == "package"]
    values$packages <- stats::setNames(vapply(packages, `[`, "", 3L), vapply(packages, `[`, "", 2L))
    values
}

# Runs in any Python, however old. A package counts when pip has finished with it, which its metadata say.
.PROBE <- '
import os, sys, sysconfig
def say(*words): sys.stdout.write("\\t".join(words) + "\\n")
say("version", "%d.%d.%d" % tuple(sys.version_info[:3]))
get = sysconfig.get_config_var
names = [get("INSTSONAME"), get("LDLIBRARY"), "python%d%d.dll" % tuple(sys.version_info[:2])]
folders = [get("LIBDIR"), get("LIBPL"), get("PYTHONFRAMEWORKPREFIX"), os.path.join(sys.prefix, "lib"),
    getattr(sys, "base_prefix", sys.prefix)]
if get("LIBDIR") and get("MULTIARCH"): folders.append(os.path.join(get("LIBDIR"), get("MULTIARCH")))
paths = [os.path.join(f, n) for f in folders for n in names if f and n and not n.endswith(".a")]
say("library", ([p for p in paths if os.path.isfile(p)] + [""])[0])
say("headers", "yes" if os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")) else "")
try:
    from importlib.metadata import version
    from importlib.util import find_spec
except ImportError:
    sys.exit()
say("venv", "yes" if find_spec("venv") and find_spec("ensurepip") else "")
for pair in sys.argv[1:]:
    module, distribution = pair.split("=")
    try:
        found = version(distribution) if find_spec(module) else ""
    except Exception:
        found = ""
    say("package", module, found or "")
'

# reticulate puts the folder of the running Python there, whose library may have the name of another one's.
.libraryPath <- function() {
    folders <- strsplit(Sys.getenv("LD_LIBRARY_PATH"), ":", fixed = TRUE)[[1L]]
    running <- .runningPython()
    if (!is.null(running)) {
        folders <- setdiff(folders, file.path(dirname(dirname(c(running, normalizePath(running)))), "lib"))
    }
    paste(folders, collapse = ":")
}

.distributions <- function() sub("[<>=].*", "", .REQUIREMENTS)

# Requirements that are not met, without those that few functions need.
.missingFrom <- function(packages) {
    needed <- .REQUIREMENTS[setdiff(names(.REQUIREMENTS), .OPTIONAL)]
    needed[!mapply(.meets, packages[names(needed)], needed)]
}

# Does a version ("2.13.0+cpu") meet a requirement ("rpy2>=3.6.9,<3.7")?
.meets <- function(version, requirement) {
    version <- sub("[^0-9.].*$", "", version)
    version <- sub("\\.$", "", version)
    if (is.na(version) || !nzchar(version)) {
        return(FALSE)
    }
    bounds <- strsplit(sub("^[A-Za-z0-9_.-]+", "", requirement), ",", fixed = TRUE)[[1L]]
    all(vapply(bounds, function(bound) {
        operator <- sub("[0-9.]+$", "", bound)
        get(operator)(numeric_version(version), sub("^[<>=]+", "", bound))
    }, logical(1L)))
}

.OLDEST <- "3.11"

# What keeps a Python from serving: `text`, and the requirements that are `missing`; NULL if it serves.
.deficit <- function(python) {
    found <- .probe(python)
    if (!is.null(found$error)) {
        return(list(text = paste0("does not start (", found$error, ")")))
    }
    if (numeric_version(found$version) < .OLDEST) {
        return(list(text = paste0("is of version ", found$version, ", but TransST needs >= ", .OLDEST)))
    }
    if (!nzchar(found$library)) {
        return(list(text = "was built without a shared library, which R needs to load it"))
    }
    missing <- .missingFrom(found$packages)
    if (length(missing)) {
        list(text = paste0("lacks ", paste(missing, collapse = ", ")), missing = missing)
    }
}
