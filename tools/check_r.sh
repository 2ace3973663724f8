#!/bin/sh
# R CMD build and R CMD check in a scratch folder; any ERROR or WARNING fails.
# sh tools/check_r.sh [R CMD check options]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sh "$root/tools/build_r.sh" "$scratch"
cd "$scratch"
_R_CHECK_FORCE_SUGGESTS_=false R CMD check --no-manual "$@" TransST_*.tar.gz || {
    cat TransST.Rcheck/00check.log
    find TransST.Rcheck/tests -name '*.fail' -exec cat {} + 2>/dev/null
    exit 1
}
if grep -E '(ERROR|WARNING)$' TransST.Rcheck/00check.log; then
    echo "R CMD check: errors or warnings, see above"
    exit 1
fi
