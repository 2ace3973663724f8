"""How well are annotated domains found, by which method, over tissues and seeds?

    python benchmarks/domains.py [--data FOLDER] [--tissues HER2 osmFISH] [--methods TransST "no transfer"]
                                 [--seeds 5] [--rerun] [--out benchmarks/results]

One row per run goes to domains.csv at once: adjusted Rand index, normalised and adjusted mutual information
and homogeneity of the spots that are annotated; `n_domains` is the number of annotated classes, which every
method is given. Runs that are in the table are not repeated unless `--rerun` asks for it; rows of tissues,
methods and seeds not asked for stay. What cannot run (package or data missing, no source) is said.

Then the mean over tissues of every method (domains_means.csv), and paired differences of TransST from every
other, with 95 % bootstrap intervals over tissues of the seeds' means (domains_differences.csv, domains.png).
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from methods import METHODS, Method, installed
from peers import PEERS
from records import add, oldest, read
from sklearn import metrics
from tissues import Tissue, tissues

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
ALL = METHODS | PEERS
OURS = "TransST"
KEY = ["tissue", "method", "seed"]
SCORES = {
    "ari": metrics.adjusted_rand_score,
    "nmi": metrics.normalized_mutual_info_score,
    "ami": metrics.adjusted_mutual_info_score,
    "homogeneity": metrics.homogeneity_score,
}


def run_once(tissue: Tissue, method: Method, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    found = np.asarray(method.run(tissue.target, tissue.sources, tissue.n_domains, seed))
    seconds = time.perf_counter() - start
    scored = tissue.target.obs["label"].notna().to_numpy()
    truth, found = tissue.target.obs["label"][scored], found[scored]
    return {
        "n_domains": tissue.n_domains,
        "n_found": len(np.unique(found)),
        **{name: score(truth, found) for name, score in SCORES.items()},
        "seconds": seconds,
    }


def evaluate(tissue: Tissue, methods: dict[str, Method], seeds: int, path: Path, rerun: bool) -> None:
    """Run what is missing on one tissue and add it to the table."""
    for name, method in methods.items():
        if method.needs_sources and not tissue.sources:
            print(f"left out, {name} on {tissue.name}: no source", flush=True)
            continue
        for seed in range(min(seeds, method.max_seeds or seeds)):
            key = (tissue.name, name, seed)
            if key in read(path, KEY).index and not rerun:
                continue
            scores = run_once(tissue, method, seed)
            add(path, dict(zip(KEY, key, strict=True)) | scores, KEY)
            print(f"{tissue.name:15s} {name:15s} seed {seed}  ARI {scores['ari']:.2f}", flush=True)


def seed_means(done: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Mean over seeds of every score, tissues x methods in the order of this script."""
    means = done[list(SCORES)].groupby(level=["tissue", "method"]).mean()
    tables = {score: means[score].unstack("method") for score in SCORES}
    return {score: table[[name for name in ALL if name in table]] for score, table in tables.items()}


def method_means(means: dict[str, pd.DataFrame], done: pd.DataFrame) -> pd.DataFrame:
    """Mean over the tissues that all methods have, so that all are judged on the same.

    A method with runs on less than two thirds of the tissues would leave too few: it gets no mean.
    """
    has_run = means["ari"].notna()
    partial = has_run.mean() < 2 / 3
    for name in has_run.columns[partial]:
        print(f"no mean for {name}: runs on {has_run[name].sum()} of {len(has_run)} tissues only")
    methods = has_run.columns[~partial]
    complete = has_run.index[has_run[methods].all(axis=1)]
    table = pd.DataFrame({score: wide.loc[complete, methods].mean() for score, wide in means.items()})
    table["tissues"] = len(complete)
    table["seeds"] = done.reset_index().groupby("method")["seed"].nunique()
    return table


def differences(means: dict[str, pd.DataFrame], n_resamples: int = 10_000) -> pd.DataFrame:
    """Mean of TransST minus every other method over the tissues that both have, with bootstrap interval."""
    rng = np.random.default_rng(0)
    rows = []
    for score, table in means.items():
        for method in table.columns.drop(OURS, errors="ignore"):
            gains = (table[OURS] - table[method]).dropna().to_numpy()
            if len(gains) == 0:
                continue
            resampled = gains[rng.integers(len(gains), size=(n_resamples, len(gains)))].mean(axis=1)
            low, high = np.percentile(resampled, [2.5, 97.5])
            rows.append(
                {
                    "score": score,
                    "TransST minus": method,
                    "difference": gains.mean(),
                    "low": low,
                    "high": high,
                    "tissues": len(gains),
                    "better_on": int((gains > 0).sum()),
                }
            )
    return pd.DataFrame(rows)


def draw(means: dict[str, pd.DataFrame], gains: pd.DataFrame, path: Path) -> None:
    table = means["ari"]
    others = list(gains["TransST minus"].unique())
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(15, 0.35 * len(table) + 2.2), width_ratios=[3, 2], layout="constrained"
    )
    left.imshow(table, cmap="viridis", vmin=0, vmax=0.7, aspect="auto")
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        text = "" if np.isnan(value) else f"{value:.2f}"
        left.text(j, i, text, ha="center", va="center", size=9, color="black" if value > 0.4 else "white")
    left.set_xticks(range(table.shape[1]), table.columns, rotation=30, ha="right")
    left.set_yticks(range(len(table)), table.index)
    left.set_title("adjusted Rand index, mean over seeds")
    for i, score in enumerate(SCORES):
        part = gains[gains["score"] == score].set_index("TransST minus").reindex(others)
        y = np.arange(len(others)) + (i - 1.5) * 0.18
        right.hlines(y, part["low"], part["high"], color=f"C{i}", lw=1.5)
        right.plot(part["difference"], y, "o", ms=4, color=f"C{i}", label=score)
    right.axvline(0, color="0.7", lw=0.8, zorder=0)
    right.set_yticks(range(len(others)), others)
    right.invert_yaxis()
    right.set_title("TransST minus the method, mean over tissues, 95 % interval")
    fig.legend(frameon=False, loc="outside lower right", ncols=4)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def report(done: pd.DataFrame, out: Path) -> None:
    means = seed_means(done)
    table = method_means(means, done)
    table = table.join(oldest(done, "method"))
    table.to_csv(out / "domains_means.csv", float_format="%.4f")
    print("\nmean over tissues\n" + table.round(3).to_string())
    if OURS not in means["ari"]:
        return
    gains = differences(means)
    told = gains.join(oldest(done, "method"), on="TransST minus")
    told.to_csv(out / "domains_differences.csv", index=False, float_format="%.4f")
    print("\npaired differences\n" + gains.round(3).to_string(index=False))
    draw(means, gains, out / "domains.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--methods", nargs="+", choices=list(ALL), metavar="METHOD", default=list(ALL))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rerun", action="store_true", help="also what the table has already")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "domains.csv"

    methods = {name: ALL[name] for name in installed(args.methods, ALL)}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # unlabelled rows, unconverged starts, peers' deprecations: known here
        for tissue in tissues(args.data, args.tissues):
            evaluate(tissue, methods, args.seeds, path, args.rerun)
    report(read(path, KEY), args.out)


if __name__ == "__main__":
    main()
