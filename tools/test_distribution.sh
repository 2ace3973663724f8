#!/bin/sh
# Test what pip installs: sdist, wheel made from the sdist, an empty environment without torch, and a run there.
# sh tools/test_distribution.sh [PYTHON]    (default: that of make setup; it needs the package `build`)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-$(sh "$root/tools/environment.sh")/venv/bin/python}
LIMIT=550   # MB that the installation may take, pip and its like not counted
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH || true
say() { echo "[distribution] $*"; }
die() { echo "[distribution] $*" >&2; exit 1; }
quietly() { "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $*"; }; }

"$python" -c 'import build' 2>/dev/null || die "$python lacks the package build: $python -m pip install build"

# From a copy of what belongs to the package and nothing that make made.
mkdir "$scratch/clone"
(cd "$root" && tar -cf - pyproject.toml README.md NEWS.md LICENSE transst_py tests inst) | tar -C "$scratch/clone" -xf -
find "$scratch/clone" -name __pycache__ -prune -exec rm -rf {} +

say "building the sdist, and the wheel from it"
quietly "$python" -m build --sdist --outdir "$scratch/dist" "$scratch/clone"
mkdir "$scratch/unpacked"
tar -xzf "$scratch"/dist/transst_py-*.tar.gz -C "$scratch/unpacked" --strip-components=1
quietly "$python" -m build --wheel --outdir "$scratch/dist" "$scratch/unpacked"
[ -f "$scratch/unpacked/tests/python/conftest.py" ] || die "the sdist lacks tests/python"

"$python" - "$scratch" <<'PYTHON' || die "the archives are not complete"
import sys, zipfile
from pathlib import Path

scratch = Path(sys.argv[1])


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


wanted = files(scratch / "clone" / "transst_py")
[wheel] = (scratch / "dist").glob("*.whl")
names = set(zipfile.ZipFile(wheel).namelist())
held = {
    "sdist": files(scratch / "unpacked" / "transst_py"),
    "wheel": {name.removeprefix("transst_py/") for name in names if name.startswith("transst_py/")},
}
faults = [f"{name} lacks transst_py/{path}" for name, found in held.items() for path in sorted(wanted - found)]
faults += [f"{name} has transst_py/{path}, too" for name, found in held.items() for path in sorted(found - wanted)]
# All kinds of files beside the code: a change of the layout may not empty this list unseen.
for kind in (".html", ".css", ".txt", "py.typed"):
    faults += [] if any(path.endswith(kind) for path in wanted) else [f"there is no file *{kind} in transst_py"]
tests = files(scratch / "clone" / "tests" / "python") - files(scratch / "unpacked" / "tests" / "python")
faults += [f"sdist lacks tests/python/{path}" for path in sorted(tests)]
for fault in [*faults[:10], *([f"... {len(faults)} faults in all"] if len(faults) > 10 else [])]:
    print(f"[distribution] {fault}", file=sys.stderr)
if faults:
    sys.exit(1)
print(f"[distribution] {len(wanted)} files of transst_py in both, wheel of {wheel.stat().st_size / 1e3:.0f} kB")
PYTHON

say "installing the wheel into an empty environment"
quietly "$python" -m venv "$scratch/venv"
empty=$(du -sm "$scratch/venv" | cut -f1)
quietly "$scratch/venv/bin/pip" install "$scratch"/dist/transst_py-*.whl
whole=$(du -sm "$scratch/venv" | cut -f1)
size=$((whole - empty))
packages=$("$scratch/venv/bin/pip" list --format=freeze)
say "$(echo "$packages" | wc -l) packages, $whole MB: $size MB installed, $empty MB of the empty environment"
case $packages in *torch*) die "the environment has torch" ;; esac
[ "$size" -le "$LIMIT" ] || die "$size MB were installed, more than $LIMIT"
quietly "$scratch/venv/bin/pip" check

say "running it, outside of the repository"
mkdir "$scratch/elsewhere"
cd "$scratch/elsewhere"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MPLBACKEND=agg PATH="$scratch/venv/bin:$PATH"
cat >run.py <<'PYTHON'
from pathlib import Path

import transst_py as tst

assert "site-packages" in tst.__file__, tst.__file__
tissue = {"n_rows": 16, "n_cols": 16, "n_genes": 60, "n_domains": 3, "random_state": 3}
target, source = tst.datasets.simulated_tissue(**tissue)
target.write_h5ad("target.h5ad")
source.write_h5ad("source.h5ad")
tst.tl.transst(target, source, source_labels="label", n_domains=3, n_factors=5, random_state=0)
markers = tst.tl.rank_domain_genes(target)
genes = list(markers["gene"][:3])
kriged = tst.tl.impute(target, method="kriging", genes=genes)
finer = tst.tl.impute(target, genes=genes)
assert "kriging" in set(finer.uns["imputation"]["candidates"]["method"])
try:
    tst.tl.impute(target, method="s2s")
except ImportError as error:
    assert "pip install 'transst-py[s2s]'" in str(error), error
else:
    raise AssertionError("method s2s runs without torch")
tst.report(target, "report.html", imputed=kriged)
assert Path("report.html").stat().st_size > 100_000
PYTHON
quietly python -W error run.py
# The words of the README.
quietly transst fit target.h5ad --source source.h5ad --source-labels label --n-domains 3 --n-factors 5 -o fit.h5ad
quietly transst markers fit.h5ad -o markers.csv
quietly transst impute target.h5ad --task densify --method kriging --genes gene1 gene2 -o finer.h5ad
quietly transst plot fit.h5ad --what domains -o domains.png
quietly transst report fit.h5ad --imputed finer.h5ad -o cli.html
quietly python -OO -m transst_py fit target.h5ad --n-domains 3 --n-factors 5 -o again.h5ad
quietly transst doctor
grep -q "torch .*missing" "$log" || die "transst doctor does not say that torch is missing"
say "fit, markers, kriging, impute, report and the command line run without torch"
