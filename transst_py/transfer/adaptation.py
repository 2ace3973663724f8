"""Classes of the sources, adapted to the spots of the target: moved, joined by free ones, dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import KMeans

from transst_py.tissue.graph import averaged
from transst_py.transfer.discriminant import Discriminant, Moments

__all__ = [
    "FittedSetting",
    "energies_of",
    "explained_share",
    "found_classes",
    "normalized",
    "unlike_any",
    "with_free_classes",
]
ADAPTATIONS = 3


@dataclass
class FittedSetting:
    """One way from components to labels: rounds of averaging before and after, its say, its discriminant."""

    feature_rounds: int
    label_rounds: int
    weight: float
    discriminant: Discriminant

    def posteriors(self, F: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
        """Probabilities of the classes, (n, L), for averaged components F (n, c)."""
        return averaged(graph, self.discriminant.posteriors(F), self.label_rounds)

    def adapt(self, F: np.ndarray, graph: sp.csr_matrix, prior_rows: Any, n_times: int) -> None:
        """Move the class means to the target's spots."""
        start = self.discriminant
        for _ in range(n_times):
            self.discriminant = start.adapted(F, self.posteriors(F, graph), prior_rows)


def unlike_any(
    setting: FittedSetting, F: np.ndarray, graph: sp.csr_matrix, prior_rows: np.ndarray, n_free: int
) -> np.ndarray:
    """Spots that are least like any class of the source, in groups: indicator (n, n_free)."""
    known = replace(setting)
    known.adapt(F, graph, prior_rows, ADAPTATIONS)
    distance = averaged(graph, known.discriminant.distances(F)[:, None], 2).ravel()
    n_spots = max(len(F) * n_free // (2 * (len(prior_rows) + n_free)), n_free)
    far = np.argsort(-distance, kind="stable")[:n_spots]
    groups = np.zeros(n_spots, dtype=int)
    if n_free > 1:
        groups = KMeans(n_free, n_init=5, random_state=0).fit_predict(F[far])
    indicator = np.zeros((len(F), n_free))
    indicator[far, groups] = 1.0
    return indicator


def with_free_classes(discriminant: Discriminant, F: np.ndarray, members: np.ndarray) -> Discriminant:
    """Add a class for each group of spots, indicator (n, e), at its mean."""
    means = (members.T @ F) / np.maximum(members.sum(axis=0), 1.0)[:, None]
    return discriminant.with_classes(means, float(members.sum() / len(F)))


def explained_share(X: np.ndarray, labels: np.ndarray) -> float:
    """Share of the variance of X (n, c) between the groups of its rows."""
    X = X - X.mean(axis=0)
    moments = Moments.of(X, labels, int(labels.max()) + 1)
    means = moments.sums / np.maximum(moments.counts, 1.0)[:, None]
    return float(np.sum(means * moments.sums) / np.trace(moments.products))


def found_classes(P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, k) of the classes that are the likeliest of some spot, and which they are (k,)."""
    kept = np.unique(P.argmax(axis=1))
    return normalized(P[:, kept]), kept


def normalized(P: np.ndarray) -> np.ndarray:
    """Rows of sum 1; a row of zeros becomes uniform."""
    total = P.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, P / np.where(total > 0, total, 1.0), 1.0 / P.shape[1]))


def energies_of(P: np.ndarray) -> np.ndarray:
    """Negative log probabilities, (n, k)."""
    return np.asarray(-np.log(np.maximum(P, np.finfo(P.dtype).tiny)))
