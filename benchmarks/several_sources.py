"""Is there a better way to put several sources together than to pool their rows?

    python benchmarks/several_sources.py [--data FOLDER] [--tissues H1] [--seeds 3] [--out benchmarks/results]

The HER2 sections, each with the five other patients as sources. The ways change only the loadings that the
target is drawn to:

pooled      rows as they are: what TransST does
equal       every source weighs the same, however many rows it has
relevance   sources weigh as their relevance (see the module `source_selection`)
covariance  weights, not negative, with which the sources' covariances come nearest to the target's (least
            squares outside of the diagonal): its second moments are matched
aligned     the subspace nearest to the main axes of all sources, that of the mean projection: Procrustes
            alignment of the axes comes down to it, since only their span counts

One row per fit goes to several_sources.csv.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from methods import transst_record
from records import add, read
from scipy.optimize import nnls
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from tissues import tissues

from transst_py._core.eigen import leading_eigenvectors
from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.source.selection import SourceMerits
from transst_py.source.statistics import ClassStatistics, Scatter
from transst_py.transfer.linear_factors import LinearFactors

HERE = Path(__file__).parent
WAYS = ("pooled", "equal", "relevance", "covariance", "aligned")


def shares(
    way: str, target: StandardizedMatrix, statistics: list[ClassStatistics], relevance: np.ndarray
) -> np.ndarray:
    """Share of every source in the model, up to a factor."""
    if way == "equal":
        return np.ones(len(statistics))
    if way == "relevance":
        return relevance
    upper = np.triu_indices(target.shape[1], 1)
    ours = target.scatter()[upper] / target.shape[0]
    theirs = [(S.total @ np.eye(target.shape[1]))[upper] / S.counts.sum() for S in statistics]
    A = np.stack(theirs, axis=1)
    L = np.linalg.cholesky(A.T @ A)
    return nnls(L.T, np.linalg.solve(L, A.T @ ours))[0]


def weighted(S: ClassStatistics, weight: float) -> ClassStatistics:
    """The statistics as if every row had this weight."""
    parts = [Scatter(a.rows * weight**0.5, None if a.gram is None else a.gram * weight) for a in S.scatters]
    return ClassStatistics(S.counts * weight, S.means, parts)


def put_together(way: str) -> Any:
    """Replace `LinearFactors._fit_sources` by one whose loadings are those of the way."""
    usual = LinearFactors._fit_sources
    usual_model = SupervisedFactorAnalysis.fit_statistics

    def fit_sources(self: LinearFactors, target: StandardizedMatrix, datasets: Any) -> Any:
        def fit_model(model: SupervisedFactorAnalysis, classes: Any, statistics: Any) -> Any:
            if way == "aligned":
                axes = [leading_eigenvectors(S.total, self.n_factors, 0) for S in statistics]
                usual_model(model, classes, statistics)
                model.loadings_ = np.linalg.svd(np.hstack(axes), full_matrices=False)[0][:, : self.n_factors]
                return model
            rows = np.array([S.counts.sum() for S in statistics])
            relevance = SourceMerits.of(target, statistics, self.n_factors, self.random_state).relevance
            share = shares(way, target, statistics, relevance)
            weights = np.maximum(share / share.sum(), 1e-3) * rows.sum() / rows
            parts = [weighted(S, w) for S, w in zip(statistics, weights, strict=True)]
            return usual_model(model, classes, parts)

        with patch.object(SupervisedFactorAnalysis, "fit_statistics", fit_model):
            return usual(self, target, datasets)

    return patch.object(LinearFactors, "_fit_sources", usual if way == "pooled" else fit_sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", default=["HER2"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    path, key = args.out / "several_sources.csv", ["tissue", "way", "seed"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, domains without spots: known here
        for tissue in tissues(args.data, args.tissues):
            truth = tissue.target.obs["label"]
            scored = truth.notna().to_numpy()
            for way in WAYS:
                for seed in range(args.seeds):
                    with put_together(way):
                        found, _ = transst_record(
                            tissue.target, tissue.sources, tissue.n_domains, seed, class_transfer="never"
                        )
                    ari = adjusted_rand_score(truth[scored], found[scored])
                    nmi = normalized_mutual_info_score(truth[scored], found[scored])
                    row = {"tissue": tissue.name, "way": way, "seed": seed, "ari": ari, "nmi": nmi}
                    add(path, row, key)
                    print(*row.values(), flush=True)
    means = read(path, key).groupby(["way", "tissue"])[["ari", "nmi"]].mean().groupby("way").mean()
    print(means.reindex(WAYS).round(3))


if __name__ == "__main__":
    main()
