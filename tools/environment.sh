#!/bin/sh
# Print the folder of what `make` installs for this checkout: venv (Python), library (R), bench-venv, docs-venv.
# It lies outside the checkout, since R CMD build and remotes::install_local() copy the whole checkout.
root=$(cd "$(dirname "$0")/.." && pwd -P)
name=$(basename "$root")-$(printf %s "$root" | cksum | cut -d ' ' -f 1)
echo "${TRANSST_ENVIRONMENT:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/transst/$name}"
