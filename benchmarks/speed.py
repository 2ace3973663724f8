"""How long does a whole fit take, and how much memory, next to scikit-learn and published methods?

    python benchmarks/speed.py [--methods TransST BANKSY] [--repeats 3] [--out benchmarks/results]
    python benchmarks/speed.py --quick  (make speed-check, before every release)

A simulated problem of the size of a Visium section with three labelled ones beside it: 3600 target spots,
11 025 source spots, 2000 genes, 15 factors, 7 domains; counts in, labels out. TransST runs with its defaults
(21 penalties x 5 folds). The yardstick, "PCA + GMM", is scikit-learn's PCA and GaussianMixture(n_init=10) on
target and sources stacked; the published methods see the target alone.

Every run is a process of its own. Its seconds leave out importing packages and reading data, but not what a
method compiles when it first runs (numba, in scanpy's neighbours); its memory is the peak of the process,
packages included. To speed.csv: medians over the repeats, and the ratio to PCA + GMM.

`--quick` runs TransST and the yardstick alone, writes nothing, and fails if TransST takes more than
`QUICK_RATIO` of the yardstick's time: the machine's speed falls on both alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path
from shutil import which

import anndata as ad
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
from methods import METHODS, Method, installed, pca_gmm_stacked
from peers import PEERS
from processes import apart, peak_gib
from records import measured

import transst_py as tst

YARDSTICK, IN_R = "PCA + GMM", "TransST in R"


def transst_in_r(folder: Path, seed: int) -> dict[str, float]:
    """The same fit in R, which measures itself."""
    script = Path(__file__).parent / "fit.R"
    command = ["Rscript", str(script), str(folder), str(seed), str(N_DOMAINS), str(N_FACTORS)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (line,) = (line for line in said.splitlines() if line.startswith("result "))
    return dict(
        zip(("seconds", "cpu_seconds", "peak_gib", "n_found"), map(float, line.split()[1:]), strict=True)
    )


ALL = {
    YARDSTICK: Method(pca_gmm_stacked, needs_sources=True),
    **{name: METHODS[name] for name in ("TransST", "no transfer", "reference mode")},
    **({IN_R: Method(transst_in_r, needs_sources=True)} if which("Rscript") else {}),
    **PEERS,
}
N_DOMAINS, N_FACTORS, N_GENES = 7, 15, 2000
# Well above what is measured (see speed.csv), so that only a real loss is told.
QUICK_RATIO = 1.2
TARGET_SIDE, SOURCE_SIDE = 60, 105


def make_problem(folder: Path) -> None:
    target, source = tst.datasets.simulated_tissue(
        n_rows=SOURCE_SIDE,
        n_cols=SOURCE_SIDE,
        n_genes=N_GENES,
        n_domains=N_DOMAINS,
        n_factors=N_FACTORS,
        mean_count=0.5,
    )
    target = target[(target.obs[["array_row", "array_col"]] < TARGET_SIDE).all(axis=1)].copy()
    target.uns["platform"] = "ST"  # a square lattice
    for name, adata in (("target", target), ("source", source)):
        adata.write_h5ad(folder / f"{name}.h5ad")
        scipy.io.mmwrite(folder / f"{name}.mtx", sp.csc_matrix(adata.X).T, field="integer")
        table = pd.DataFrame(adata.obsm["spatial"], columns=["x", "y"]).assign(label=list(adata.obs["label"]))
        table.to_csv(folder / f"{name}.csv", index=False)
        counts = adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X
        print(f"{name}: {adata.n_obs} x {adata.n_vars}, {np.mean(counts > 0):.0%} non-zero", flush=True)


def run_here(name: str, folder: Path, seed: int) -> dict[str, float]:
    """Run one method in this process; R runs in its own."""
    if name == IN_R:
        return transst_in_r(folder, seed)
    target, source = (ad.read_h5ad(folder / f"{part}.h5ad") for part in ("target", "source"))
    for package in ALL[name].packages:
        import_module(package)
    start, cpu_start = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = ALL[name].run(target, {"source": source}, N_DOMAINS, seed)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_gib": peak_gib(),
        "n_found": len(np.unique(labels)),
    }


def measure(methods: list[str], repeats: int, folder: Path) -> pd.DataFrame:
    """All methods once, then all again: what else the machine does then falls on all alike."""
    rows = []
    for repeat in range(repeats):
        for name in methods:
            if repeat < (ALL[name].max_seeds or repeats):
                rows.append({"method": name, "repeat": repeat, **apart(run_here, name, folder, repeat)})
                line = "{method:15s} {seconds:8.1f} s  {cpu_seconds:8.1f} CPU s  {peak_gib:5.2f} GiB"
                print(line.format(**rows[-1]), flush=True)
    return pd.DataFrame(rows)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    grouped = runs.groupby("method", sort=False)
    table = grouped[["seconds", "cpu_seconds", "peak_gib"]].median()
    table["slowest"], table["runs"] = grouped["seconds"].max(), grouped.size()
    if YARDSTICK in table.index:
        table["times_pca_gmm"] = table["seconds"] / table.loc[YARDSTICK, "seconds"]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=list(ALL), metavar="METHOD", default=list(ALL))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument(
        "--quick", action="store_true", help="only compare with the yardstick; writes nothing"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    methods = [YARDSTICK, "TransST"] if args.quick else installed(args.methods, ALL)
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS {threads}")
    with tempfile.TemporaryDirectory() as folder:
        apart(make_problem, Path(folder))
        runs = measure(methods, args.repeats, Path(folder))
    table = summary(runs)
    if args.quick:
        ratio = table.loc["TransST", "times_pca_gmm"]
        print(f"TransST takes {ratio:.2f} of the time of {YARDSTICK}; {QUICK_RATIO} at most")
        sys.exit(int(ratio > QUICK_RATIO))
    table.assign(**measured()).to_csv(args.out / "speed.csv", float_format="%.4g")
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
