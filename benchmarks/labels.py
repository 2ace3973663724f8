"""How well are labels carried over, where they are what is asked for: cell types, halves of a section?

    python benchmarks/labels.py [--data FOLDER] [--tissues STARmap] [--methods TransST LDA] [--seeds 5]
                                [--rerun] [--out benchmarks/results]

The tasks "labels" of tissues.py, and of the domain tasks those with a matched source, cortex and STARmap. One
row per run goes to labels.csv at once, as in domains.py; then the mean over seeds of every method on every
task (labels_means.csv), and a heat map (labels.png). What is not installed is left out, and said.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from domains import KEY, evaluate
from label_peers import LABEL_PEERS
from methods import METHODS, installed
from records import oldest, read
from tissues import tissues

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
OURS = ["TransST", "no transfer"]
BASELINES = ["LDA", "LDA transfer", "kNN transfer", "logistic regression"]
ALL = {name: METHODS[name] for name in (*OURS, *BASELINES)} | LABEL_PEERS
MATCHED = ["DLPFC", "STARmap"]


def draw(table: pd.DataFrame, path: Path) -> None:
    figure, ax = plt.subplots(
        figsize=(1.2 + 1.05 * table.shape[1], 1.6 + 0.34 * len(table)), layout="constrained"
    )
    ax.imshow(table, cmap="viridis", vmin=0, vmax=0.9, aspect="auto")
    best = table.max(axis=1).round(2)
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        weight = "bold" if round(value, 2) == best.iloc[i] else "normal"
        text = "" if np.isnan(value) else f"{value:.2f}"
        color = "black" if value > 0.5 else "white"
        ax.text(j, i, text, ha="center", va="center", size=9, color=color, weight=weight)
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=30, ha="right")
    ax.set_yticks(range(len(table)), table.index)
    ax.set_title("adjusted Rand index, mean over seeds; bold: best", loc="left", size=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


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
    path = args.out / "labels.csv"

    methods = {name: ALL[name] for name in installed(args.methods, ALL)}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # unlabelled rows, unconverged starts, peers' deprecations: known here
        tasks = chain(
            tissues(args.data, args.tissues, "labels"), tissues(args.data, args.tissues or MATCHED, "domains")
        )
        for tissue in tasks:
            if tissue.name.startswith(tuple(MATCHED)) or "half" in tissue.name:
                evaluate(tissue, methods, args.seeds, path, args.rerun)
    done = read(path, KEY)
    means = done["ari"].groupby(level=["tissue", "method"]).mean().unstack("method")
    means = means[[name for name in ALL if name in means]]
    means.join(oldest(done, "tissue")).to_csv(args.out / "labels_means.csv", float_format="%.4f")
    print(means.round(2).to_string())
    draw(means, args.out / "labels.png")


if __name__ == "__main__":
    main()
