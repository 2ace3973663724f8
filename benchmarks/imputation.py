"""How well are hidden spots imputed, by every method, on every lattice?

    python benchmarks/imputation.py [--data ../shared/data] [--tissues Xenium] [--methods s2s svd_gp]
        [--seeds 3] [--rerun] [--out benchmarks/results]

Whole lattices are thinned to each of the four phases of a comb (a quarter of the spots is shown), and on two
of them random spots (10, 30, 50 %) and holes (10 %) are hidden; every method imputes the hidden spots, and is
scored there, gene by gene, on the log-normalised scale (313 genes of the Xenium panel, the 300 most expressed
of others). Methods that draw (s2s, domain_means) run
with several seeds on the combs.

Scores by gene go to build/imputation/ (a file per tissue and method, kept unless --rerun). From them:
imputation.csv          medians and means over genes, mean over patterns and seeds; seconds, peak memory
imputation_tests.csv    S2S against every other method, paired by gene
"""

from __future__ import annotations

import argparse
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from processes import apart, peak_gib
from records import measured, oldest
from tissues import HER2

import transst_py as tst
from transst_py.imputation.scores import METRICS, compare_methods

METHODS = (
    "nearest",
    "bilinear",
    "bicubic",
    "knn",
    "kernel",
    "gp",
    "svd_gp",
    "kriging",
    "domain_means",
    "s2s",
    "auto",
)
DRAWS = ("domain_means", "s2s")
# These are tried with random spots and holes, too.
FILLED = ("Xenium 50 um", "HER2 H1")
N_GENES = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tissues", nargs="*", help="part of the names; default all")
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rerun", action="store_true", help="of the methods and tissues named")
    parser.add_argument("--scores", type=Path, default=Path("build/imputation"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    arguments.scores.mkdir(parents=True, exist_ok=True)
    for name, load in lattices(arguments.data).items():
        if arguments.tissues and not any(part.lower() in name.lower() for part in arguments.tissues):
            continue
        for method in arguments.methods:
            store(arguments, name, load, method)
    summarize(arguments.scores, arguments.out)


def lattices(data: Path) -> dict[str, Callable[[], ad.AnnData]]:
    """How to load every lattice; binned at 50 um, the cells are the first one, so they are binned finer."""
    her2 = {f"HER2 {section}": lambda section=section: her2st(data, section) for section in HER2}
    return {
        "Xenium 50 um": lambda: ad.read_h5ad(data / "xenium/breast_50um_grid.h5ad"),
        "Xenium 25 um": lambda: cells(data, 25),
        **her2,
        "olfactory bulb": lambda: ad.read_h5ad(data / "mob/mob.h5ad"),
        "DLPFC 151676": lambda: ad.read_h5ad(data / "dlpfc/151676.h5ad"),
    }


def cells(data: Path, micrometres: float) -> ad.AnnData:
    # One unit of these coordinates is 50 / 8.438 um.
    adata = ad.read_h5ad(data / "xenium/breast_cells.h5ad")
    return tst.tl.bin_cells(adata, bin_size=micrometres * 8.438 / 50)


def her2st(data: Path, section: str) -> ad.AnnData:
    os.environ["TRANSST_DATA_DIR"] = str(data / "her2st")
    return tst.datasets.her2st(section)


def store(arguments: argparse.Namespace, tissue: str, load: Callable[[], ad.AnnData], method: str) -> None:
    """Score a method on a tissue, unless that is done, in a process of its own."""
    path = arguments.scores / (re.sub(r"\W+", "_", f"{tissue} {method}") + ".csv.gz")
    if path.exists() and not arguments.rerun:
        return
    try:
        adata = load()
    except FileNotFoundError as error:
        print(f"left out, {tissue}: {error}", flush=True)
        return
    seeds = list(range(arguments.seeds)) if method in DRAWS else [0]
    scores = apart(score, adata, method, seeds, tissue in FILLED)
    scores.assign(tissue=tissue, **measured()).to_csv(path, index=False, float_format="%.5g")
    report(tissue, method, scores)


def report(tissue: str, what: str, scores: pd.DataFrame) -> None:
    middle = scores[["pcc", "rmse", "seconds"]].median()
    print(
        f"{tissue}, {what}: median pcc {middle['pcc']:.3f}, rmse {middle['rmse']:.3f}, "
        f"{middle['seconds']:.1f} s, {scores['peak_gib'].max():.1f} GiB",
        flush=True,
    )


def score(
    adata: ad.AnnData,
    method: str,
    seeds: list[int],
    fill: bool,
    options: dict[str, Any] | None = None,
    phases: str | list[tuple[int, int]] = "all",
) -> pd.DataFrame:
    """Scores by gene, pattern and seed, with the peak memory of this process."""
    totals = np.asarray(adata.X.sum(axis=0)).ravel()
    top = adata.var_names[np.sort(np.argsort(-totals, kind="stable")[:N_GENES])]
    parts = []
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = tst.tl.evaluate_imputation(
                adata,
                methods=[method],
                phases=phases,
                genes=None if adata.n_vars < 2 * N_GENES else list(top),
                fractions=(0.1, 0.3, 0.5) if fill and seed == 0 else (),
                hole_fractions=(0.1,) if fill and seed == 0 else (),
                options=None if options is None else {method: options},
                random_state=seed,
            )
        parts.append(scores.assign(seed=seed))
    return pd.concat(parts).assign(peak_gib=peak_gib())


def summarize(scores: Path, out: Path) -> None:
    """Write the tables from all scores that are there."""
    parts = [pd.read_csv(path, dtype={"commit": str}) for path in sorted(scores.glob("*.csv.gz"))]
    table = pd.concat(parts).assign(pattern=lambda t: t["phase"].str.split().str[0])
    means(table).to_csv(out / "imputation.csv", index=False, float_format="%.4g")
    tests(table).to_csv(out / "imputation_tests.csv", index=False, float_format="%.3g")


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Median and mean over genes of each metric, averaged over patterns of a kind and over seeds."""
    by_run = table.groupby(["tissue", "pattern", "method", "phase", "seed"], sort=False)
    found = by_run[list(METRICS)].agg(["median", "mean"])
    found.columns = [f"{metric}_{kind}" for metric, kind in found.columns]
    found[["seconds", "peak_gib"]] = by_run[["seconds", "peak_gib"]].first()
    grouped = found.groupby(level=["tissue", "pattern", "method"], sort=False)
    summary = grouped.mean()
    # Of the mean over genes, between seeds: what a user sees who runs it again.
    between = found["pcc_mean"].groupby(level=["tissue", "pattern", "method", "phase"]).std()
    summary["pcc_sd"] = between.groupby(level=["tissue", "pattern", "method"]).mean()
    return summary.join(oldest(table, summary.index.names)).reset_index()


def tests(table: pd.DataFrame) -> pd.DataFrame:
    """S2S against every other method, paired by gene, seeds averaged."""
    averaged = table.groupby(["tissue", "pattern", "method", "phase", "gene"], sort=False)
    averaged = averaged[list(METRICS)].mean().reset_index()
    kind = ["tissue", "pattern", "method"]
    when = oldest(table, kind)
    rows = []
    for (tissue, pattern), part in averaged.groupby(["tissue", "pattern"], sort=False):
        if "s2s" not in set(part["method"]):
            continue
        for metric in ("pcc", "rmse"):
            compared = compare_methods(part, metric=metric, reference="s2s").reset_index()
            compared = compared.assign(tissue=tissue, pattern=pattern, metric=metric)
            rows.append(compared.join(when, on=kind))
    return pd.concat(rows) if rows else pd.DataFrame()


if __name__ == "__main__":
    main()
