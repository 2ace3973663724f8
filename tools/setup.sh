#!/bin/sh
# Set up everything TransST needs, and say what is done. Called by `make setup`; safe to run again.
#
#   1. R >= 4.5 with SpatialExperiment, Seurat 5 and reticulate  (Debian packages; needs root)
#   2. a Python virtual environment                              (rpy2, anndata2ri, CPU torch, ...)
#   3. both packages: Python into the environment, R into a library of its own
#
# Step 1 is skipped when R and its packages are already there, from whatever origin. 2 and 3 go into the folder
# that tools/environment.sh prints, and nowhere else.
#   TRANSST_SYSTEM_PACKAGES=no   never touch system packages: print the commands and stop
#   TRANSST_ENVIRONMENT=/folder  another folder for 2 and 3
#   PYTHON=/path/to/python3.11   the Python to build the environment from (>= 3.11, with libpython)
# `sh tools/setup.sh check` adds what only `make check` needs.
set -eu
cd "$(dirname "$0")/.."
ENVIRONMENT=$(sh tools/environment.sh)
VENV=$ENVIRONMENT/venv
RLIB=$ENVIRONMENT/library
ROOT=$PWD
LOG=$ROOT/setup.log
export R_LIBS="$RLIB" PIP_DISABLE_PIP_VERSION_CHECK=1

R_PACKAGES="SpatialExperiment Seurat reticulate HDF5Array ggplot2 patchwork testthat roxygen2 knitr rmarkdown BiocStyle lintr covr callr processx scattermore"
DEBIAN_PACKAGES=$(grep -v '^#' tools/debian-packages.txt | tr '\n' ' ')
COMMANDS=Rscript
if [ "${1:-}" = check ]; then
    R_PACKAGES="$R_PACKAGES BiocCheck"
    DEBIAN_PACKAGES="$DEBIAN_PACKAGES r-bioc-bioccheck qpdf"
    COMMANDS="Rscript qpdf"
fi

t0=$(date +%s)
say() { echo "[setup $(($(date +%s) - t0))s] $*"; }
die() { echo "[setup] $*" >&2; exit 1; }

print_manual_commands() {
    cat >&2 <<'TEXT'

Install these yourself, then run `make setup` again:

  R >= 4.5 (https://cran.r-project.org) and, in R:
    install.packages(c("BiocManager", "Seurat", "reticulate", "ggplot2", "patchwork",
                       "testthat", "roxygen2", "knitr", "rmarkdown", "lintr", "covr", "callr", "processx", "scattermore"))
    BiocManager::install(c("SpatialExperiment", "HDF5Array", "BiocStyle"))
    BiocManager::install("BiocCheck")  (for `make check` only, with the program qpdf)

  Python >= 3.11 built with a shared libpython, and the C headers rpy2 compiles against
    (R's own, plus libtirpc, pcre2, deflate, zstd, lzma, bz2, zlib, icu, blas).

  On Debian 13 or later: apt-get install --no-install-recommends \
TEXT
    echo "    $DEBIAN_PACKAGES" >&2
}

have_r() {
    for command in $COMMANDS; do command -v "$command" >/dev/null 2>&1 || return 1; done
    Rscript --vanilla -e 'need <- commandArgs(TRUE)
        ok <- getRversion() >= "4.5.0" && all(nzchar(vapply(need, function(p) system.file(package = p), "")))
        quit(status = !ok)' $R_PACKAGES >/dev/null 2>&1
}

# Debian 12 has R 4.2 and no SpatialExperiment: R comes from Debian 13 ("trixie") instead, pinned so low
# that nothing else moves by itself. The mirror is the one this machine already uses.
add_trixie() {
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^bookworm //p' | head -n 1)
    [ -n "$mirror" ] || die "no bookworm entry in apt's sources: cannot tell which Debian mirror to use"
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
        "$mirror" >/etc/apt/sources.list.d/trixie.sources
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >/etc/apt/preferences.d/trixie
}

install_r() {
    [ "${TRANSST_SYSTEM_PACKAGES:-yes}" != no ] || { print_manual_commands; die "R packages missing, and TRANSST_SYSTEM_PACKAGES=no"; }
    ID=unknown VERSION_ID=99
    [ ! -r /etc/os-release ] || . /etc/os-release
    [ "$ID" = debian ] && [ "${VERSION_ID:-99}" -ge 12 ] || { print_manual_commands; die "this is not Debian >= 12: nothing was installed"; }
    [ "$(id -u)" = 0 ] || { print_manual_commands; die "installing Debian packages needs root: nothing was installed"; }

    release=
    if [ "$VERSION_ID" = 12 ]; then
        echo "[setup] Debian 12 has no R >= 4.5. R and its packages will come from Debian 13 (trixie)."
        echo "[setup] This upgrades about 105 packages of this machine (libc6, gcc, openssl, ...) and adds about 330."
        echo "[setup] It writes /etc/apt/sources.list.d/trixie.sources and /etc/apt/preferences.d/trixie (priority 100)."
        echo "[setup] To decline: press Ctrl-C now, or run TRANSST_SYSTEM_PACKAGES=no make setup."
        [ ! -t 0 ] || sleep 10
        add_trixie
        release="-t trixie"
    elif [ -f /etc/apt/preferences.d/trixie ]; then
        release="-t trixie"   # an earlier, interrupted run: base-files already says 13
    fi
    export DEBIAN_FRONTEND=noninteractive
    say "installing R and its packages with apt-get (log: setup.log)"
    apt-get update -qq >>"$LOG" 2>&1 || { tail -n 20 "$LOG" >&2; die "apt-get update failed"; }
    # eatmydata only skips fsync: it halves the time of unpacking 400 packages.
    apt-get install -y -qq --no-install-recommends eatmydata >>"$LOG" 2>&1 || true
    $(command -v eatmydata || true) apt-get install -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o APT::Keep-Downloaded-Packages=false \
        $release $DEBIAN_PACKAGES >>"$LOG" 2>&1 || { tail -n 30 "$LOG" >&2; die "apt-get install failed (whole log: setup.log)"; }
    have_r || die "R packages are still missing after apt-get; see setup.log"
}

find_python() {
    for py in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$py" ] && command -v "$py" >/dev/null 2>&1 || continue
        "$py" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        command -v "$py"; return 0
    done
    print_manual_commands
    die "no Python >= 3.11 found (set PYTHON=...)"
}

# Debian's own python3.11 comes without ensurepip, libpython and headers; all are packages of the same release.
complete_python() {
    "$1" -c '
import ensurepip, os, sys, sysconfig
headers = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
sys.exit(not (headers and sysconfig.get_config_var("Py_ENABLE_SHARED")))' 2>/dev/null && return 0
    name=$("$1" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    [ "$1" = "/usr/bin/$name" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
        [ "${TRANSST_SYSTEM_PACKAGES:-yes}" != no ] ||
        die "$1 lacks ensurepip, a shared libpython or headers; on Debian: apt-get install $name-venv lib$name $name-dev"
    say "installing $name-venv, lib$name and $name-dev with apt-get"
    apt-get update -qq >>"$LOG" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$name-venv" "lib$name" "$name-dev" >>"$LOG" 2>&1 ||
        { tail -n 20 "$LOG" >&2; die "apt-get install $name-venv failed"; }
}

# A CPU build, whichever way it is reachable: pip's configured wheel folders first, then torch's own index.
install_cpu_torch() {
    "$VENV/bin/python" -c 'import torch, sys; sys.exit(torch.version.cuda is not None)' 2>/dev/null && return 0
    say "installing CPU torch"
    "$VENV/bin/pip" install -q --no-index --no-deps 'torch==2.13.0' >>"$LOG" 2>&1 ||
        "$VENV/bin/pip" install -q 'torch>=2.3' --index-url https://download.pytorch.org/whl/cpu >>"$LOG" 2>&1 ||
        { tail -n 20 "$LOG" >&2; die "no CPU build of torch could be installed"; }
}

install_python() {
    cmp -s pyproject.toml "$VENV/installed-pyproject.toml" && return 0
    if [ ! -x "$VENV/bin/python" ]; then
        say "creating the virtual environment $VENV from $1"
        mkdir -p "$ENVIRONMENT"
        "$1" -m venv "$VENV"
    fi
    install_cpu_torch
    say "installing transst_py and its Python packages into it"
    "$VENV/bin/pip" install -q -e '.[r,dev]' >>"$LOG" 2>&1 || { tail -n 40 "$LOG" >&2; die "pip install failed (whole log: setup.log)"; }
    cp pyproject.toml "$VENV/installed-pyproject.toml"
}

# R, started in this folder, finds this library and this Python; from any other folder the installed package
# finds this Python by itself (.recordedPython() in R/python-environment.R).
write_renviron() {
    printf 'R_LIBS=%s\nRETICULATE_PYTHON=%s\n' "$RLIB" "$VENV/bin/python" >.Renviron
}

record_python() {
    printf '%s\n' "$VENV/bin/python" >"$RLIB/TransST/python-env"
}

install_r_package() {
    stamp=$RLIB/TransST/DESCRIPTION
    [ -f "$stamp" ] && [ -z "$(find R DESCRIPTION NAMESPACE configure man inst vignettes transst_py -newer "$stamp" -not -name '*.pyc' -not -name __pycache__ -print -quit)" ] && return 0
    say "installing the R package TransST into $RLIB"
    mkdir -p "$RLIB"
    build=$(mktemp -d)
    { (cd "$build" && R CMD build "$ROOT") && R CMD INSTALL --library="$RLIB" "$build"/TransST_*.tar.gz; } >>"$LOG" 2>&1 ||
        { tail -n 30 "$LOG" >&2; die "installing the R package failed (whole log: setup.log)"; }
    rm -rf "$build"
    touch "$stamp"
}

: >"$LOG"
python=$(find_python)
complete_python "$python"
have_r || install_r
say "R $(Rscript --vanilla -e 'cat(as.character(getRversion()))') with SpatialExperiment, Seurat and reticulate: there"
install_python "$python"
say "Python environment $VENV: there ($("$VENV/bin/python" -c 'import sys; print(sys.version.split()[0])'))"
write_renviron
install_r_package
record_python
say "R package TransST in $RLIB: there."
say "Done. Start R in this folder, or anywhere with R_LIBS=$RLIB. Python: $VENV/bin/python"
