"""How much do the domains depend on the order of the spots, beside how much they depend on the seed?

    python benchmarks/order.py [--data FOLDER] [--tissues HER2 STARmap] [--draws 5] [--out FOLDER]

Folds, samples of spots and the starts of the mixture are drawn by position, so that another order of the rows
is another draw, as another seed is. Every tissue is fitted with its rows permuted, and with other seeds, and
compared with the fit of its rows as they are and seed 0: adjusted Rand index of the domains, and the share of
spots that change domain when the domains are matched. One row for each tissue and kind goes to order.csv:
mean and least agreement.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from records import measured
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from tissues import Tissue, tissues

import transst_py as tst

HERE = Path(__file__).parent


def domains(tissue: Tissue, order: np.ndarray, seed: int) -> np.ndarray:
    """Domains of the spots in their own order, fitted in another one."""
    target = tissue.target[order].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tst.tl.transst(
            target,
            tissue.sources or None,
            source_labels="label" if tissue.sources else None,
            n_domains=tissue.n_domains,
            random_state=seed,
        )
    found = np.empty(len(order), dtype=int)
    found[order] = target.obs["transst"].cat.codes
    return found


def moved(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the spots that are in another domain, domains matched."""
    table = contingency_matrix(a, b)
    return 1.0 - table[linear_sum_assignment(-table)].sum() / len(a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    rows = []
    for tissue in tissues(args.data, args.tissues):
        n = tissue.target.n_obs
        first = domains(tissue, np.arange(n), 0)
        for kind in ("order of the rows", "seed"):
            others = [
                domains(tissue, np.random.default_rng(draw).permutation(n), 0)
                if kind == "order of the rows"
                else domains(tissue, np.arange(n), draw)
                for draw in range(1, args.draws + 1)
            ]
            ari = [adjusted_rand_score(first, other) for other in others]
            share = [moved(first, other) for other in others]
            row = {"tissue": tissue.name, "other": kind, "ari": np.mean(ari), "least_ari": np.min(ari)}
            rows.append(row | {"moved": np.mean(share), "most_moved": np.max(share), "draws": args.draws})
            print(*rows[-1].values(), flush=True)
    table = pd.DataFrame(rows).assign(**measured())
    table.to_csv(args.out / "order.csv", index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
