"""How well are annotated domains found, with and without transfer, over tissues and seeds?

    python benchmarks/domains.py [--data FOLDER] [--seeds 5] [--out benchmarks/results]

The HER2 sections (each with the other labelled sections as sources) come from `datasets.her2st`. FOLDER
may hold further tissues as h5ad files with raw counts in X, positions in obsm["spatial"] and the truth in
obs["label"]: see `PAIRS`. What is not there is left out, and said so.

Every row is one run: adjusted Rand index and normalised mutual information against the annotation
(spots annotated "undetermined" or not at all are not scored), the number of annotated classes as
`n_domains`. Compared in the same run: TransST, the same model without transfer, and scikit-learn's PCA +
GaussianMixture on the same log-normalised, scaled genes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import matplotlib
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

import transst_py as tst

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HER2 = ["A1", "B1", "C1", "D1", "E1", "H1"]
PAIRS = {  # target: source
    "dlpfc/151676": "dlpfc/151674",
    "dlpfc/151674": "dlpfc/151676",
    "starmap_mpfc/BZ9": "starmap_mpfc/BZ5",
    "starmap_mpfc/BZ5": "starmap_mpfc/BZ9",
}
NO_LABEL = ["undetermined", "unlabelled", "unknown"]


def annotated(adata: ad.AnnData) -> ad.AnnData:
    """Labels as a column with NaN where the annotator gave none."""
    label = adata.obs["label"].astype(object)
    adata.obs["label"] = label.where(~label.isin(NO_LABEL))
    adata.var_names_make_unique()
    return adata


def tasks(data: Path | None) -> Iterator[tuple[str, ad.AnnData, dict[str, ad.AnnData]]]:
    """Yield (name, target, sources)."""
    for seed in range(2):
        target, source = tst.datasets.simulated_tissue(random_state=seed)
        yield f"simulated {seed}", target, {"source": source}
    try:
        sections = {name: annotated(tst.datasets.her2st(name)) for name in HER2}
    except tst.datasets.DataUnavailableError as error:
        print(f"left out, HER2: {error}")
        sections = {}
    for name, target in sections.items():
        yield f"HER2 {name}", target, {k: v for k, v in sections.items() if k != name}
    for target, source in PAIRS.items():
        files = [Path(data or ".") / f"{name}.h5ad" for name in (target, source)]
        if data is None or not all(f.exists() for f in files):
            print(f"left out, {target}: no such files below --data")
            continue
        yield target, annotated(ad.read_h5ad(files[0])), {source: annotated(ad.read_h5ad(files[1]))}


def run_transst(target: ad.AnnData, sources: dict[str, ad.AnnData] | None, k: int, seed: int) -> pd.Series:
    labels = "label" if sources else None
    done = tst.tl.transst(target, sources, source_labels=labels, n_domains=k, random_state=seed, copy=True)
    return done.obs["transst"]


def run_gmm(target: ad.AnnData, sources: dict[str, ad.AnnData] | None, k: int, seed: int) -> pd.Series:
    """PCA + Gaussian mixture on the genes that the model without transfer would use."""
    genes = tst.tl.transst(target, n_domains=1, n_init=1, copy=True).uns["transst"]["genes"]
    X = target[:, genes].X
    totals = np.asarray(target.X.sum(axis=1))
    X = np.log1p(X.toarray().astype(np.float64) / totals * np.median(totals))
    scores = PCA(15, random_state=seed).fit_transform((X - X.mean(axis=0)) / X.std(axis=0))
    return pd.Series(
        GaussianMixture(k, n_init=10, reg_covar=1e-3, random_state=seed).fit_predict(scores), target.obs_names
    )


METHODS: dict[str, Callable[..., pd.Series]] = {
    "TransST": run_transst,
    "no transfer": lambda target, sources, k, seed: run_transst(target, None, k, seed),
    "PCA + GMM": run_gmm,
}


def evaluate(data: Path | None, seeds: int) -> pd.DataFrame:
    rows = []
    for name, target, sources in tasks(data):
        truth = target.obs["label"]
        scored = truth.notna()
        k = truth[scored].nunique()
        for method, run in METHODS.items():
            for seed in range(seeds):
                start = time.perf_counter()
                found = run(target, sources, k, seed)
                rows.append(
                    {
                        "tissue": name,
                        "method": method,
                        "seed": seed,
                        "n_domains": k,
                        "ari": adjusted_rand_score(truth[scored], found[scored]),
                        "nmi": normalized_mutual_info_score(truth[scored], found[scored]),
                        "seconds": time.perf_counter() - start,
                    }
                )
            last = pd.DataFrame(rows[-seeds:])
            print(
                f"{name:20s} {method:12s} ARI {last.ari.median():.2f}  {last.seconds.median():.1f} s",
                flush=True,
            )
    return pd.DataFrame(rows)


def draw(results: pd.DataFrame, path: Path) -> None:
    tissues, methods = results["tissue"].unique(), results["method"].unique()
    fig, ax = plt.subplots(figsize=(1.1 * len(tissues) + 2, 4), layout="constrained")
    for i, method in enumerate(methods):
        part = results[results["method"] == method]
        for j, tissue in enumerate(tissues):
            values = part.loc[part["tissue"] == tissue, "ari"]
            x = j + (i - 1) * 0.22
            ax.plot(np.full(len(values), x), values, "o", ms=3, alpha=0.4, color=f"C{i}")
            ax.plot(x, values.median(), "_", ms=14, mew=3, color=f"C{i}", label=method if j == 0 else None)
    ax.set_xticks(range(len(tissues)), tissues, rotation=30, ha="right")
    ax.set_ylabel("adjusted Rand index (bar: median)")
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.legend(frameon=False)
    fig.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, unconverged starts: known here
        results = evaluate(args.data, args.seeds)
    results.to_csv(args.out / "domains.csv", index=False, float_format="%.4f")
    draw(results, args.out / "domains.png")
    table = results.pivot_table(index="tissue", columns="method", values="ari", aggfunc="median", sort=False)
    print("\nmedian ARI\n" + table.round(2).to_string())
    print("\nmean over tissues\n" + table.mean().round(3).to_string())


if __name__ == "__main__":
    main()
