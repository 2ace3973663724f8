#!/bin/sh
# R CMD build and R CMD check in a scratch folder, and with --bioc BiocCheck; any ERROR or WARNING fails.
# sh tools/check_r.sh [--bioc] [R CMD check options]
set -eu
bioc=no
if [ "${1:-}" = --bioc ]; then
    bioc=yes
    shift
fi
# What --as-cran asks the network is left out.
export _R_CHECK_FORCE_SUGGESTS_=false _R_CHECK_CRAN_INCOMING_=false _R_CHECK_SYSTEM_CLOCK_=0
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
R CMD build "$root"
R CMD check --no-manual "$@" TransST_*.tar.gz || {
    cat TransST.Rcheck/00check.log
    find TransST.Rcheck/tests -name '*.fail' -exec cat {} + 2>/dev/null
    exit 1
}
if grep -E '(ERROR|WARNING)$' TransST.Rcheck/00check.log; then
    echo "R CMD check: errors or warnings, see above"
    exit 1
fi
[ "$bioc" = no ] || Rscript "$root/tools/bioc_check.R" TransST_*.tar.gz
