"""Transfer of the source's classes: coordinates that tell them apart, and whether the target bears them out.

The loadings span everything that varies in the source, with its labels or not. Where source and target are
alike, the labels say more: which directions of the factor space separate the classes, and where in them
each class lies. Where they differ (another patient, cell types against tissue regions), the same knowledge
misleads. So both are tried, and the target decides: domains are what a spot has in common with its
neighbours, and the classes are taken over when spots, each classified by its own expression alone, tell
about as much of their neighbours' domains as they do with domains found from scratch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from sklearn.metrics import mutual_info_score, pairwise_distances_argmin
from sklearn.utils import gen_batches

from transst_py.source_model import SupervisedFactorAnalysis
from transst_py.spatial_mixture import Components, one_hot

__all__ = ["MIN_INFORMATION_RATIO", "ClassCoordinates", "spatial_information"]

# The classes of the source are kept when their spatial information reaches this share of what domains found
# from scratch have. On real tissue matched sources have 0.98 or more; other patients, cell types instead of
# regions, and permuted labels at most 0.81 (benchmarks/class_transfer.py).
MIN_INFORMATION_RATIO = 0.9
_PERMUTATIONS = 10
# Spots whose edges are looked at together.
_ROWS = 1 << 16


@dataclass
class ClassCoordinates:
    """Discriminant coordinates of a source model (Fisher 1936), in units of the spread within classes.

    Attributes
    ----------
    projection
        (p, d) from standardised genes to coordinates, d = min(K_s - 1, q).
    means
        (K_s, d) classes of the source.
    """

    projection: np.ndarray
    means: np.ndarray

    @classmethod
    def from_model(cls, model: SupervisedFactorAnalysis) -> Self:
        """Directions with the largest ratio of variance between classes to variance within.

        Within counts the classes' spread and the error of the weighted least-squares scores
        (W'Λ⁻¹W)⁻¹W'Λ⁻¹x, by which the projection maps genes to factors.
        """
        A = model.loadings_ / model.noise_variance_[:, None]
        score_error = np.linalg.inv(model.loadings_.T @ A)
        share = model.class_counts_ / model.class_counts_.sum()
        within = np.einsum("k,kqr->qr", share, model.class_covariances_) + score_error
        centered = model.class_means_ - share @ model.class_means_
        between = np.einsum("k,kq,kr->qr", share, centered, centered)
        _, directions = eigh(between, within)  # of unit variance within classes
        directions = directions[:, ::-1][:, : len(share) - 1]
        return cls(A @ score_error @ directions, model.class_means_ @ directions)

    def assign(self, U: np.ndarray) -> np.ndarray:
        """Nearest class of every spot's coordinates U (n, d), (n,)."""
        return np.asarray(pairwise_distances_argmin(U, self.means))


def spatial_information(V: np.ndarray, labels: np.ndarray, graph: sp.csr_matrix) -> float:
    """Mutual information, in nats, between the domains of neighbours when each spot is judged alone.

    Above what spots in random places would have, which is not zero on small tissues.

    Parameters
    ----------
    V
        (n, r) centred coordinates of unit variance that hold nothing of a spot's neighbours.
    labels
        (n,) domains, 0..K-1; they give the Gaussians by which every spot is classified anew from V.
    graph
        (n, n) neighbourhood graph.
    """
    K = labels.max() + 1
    alone = Components.estimate(V, one_hot(labels, K, V.dtype)).energies(V).argmin(axis=1)
    rng = np.random.default_rng(0)
    by_chance = [neighbour_information(rng.permutation(alone), graph) for _ in range(_PERMUTATIONS)]
    return neighbour_information(alone, graph) - float(np.mean(by_chance))


def neighbour_information(labels: np.ndarray, graph: sp.csr_matrix) -> float:
    """Mutual information, in nats, between the labels at both ends of an edge."""
    K = labels.max() + 1
    pairs = np.zeros(K * K, dtype=np.int64)
    for batch in gen_batches(len(labels), _ROWS):
        stored = slice(graph.indptr[batch.start], graph.indptr[batch.stop])
        own = np.repeat(labels[batch], np.diff(graph.indptr[batch.start : batch.stop + 1]))
        pairs += np.bincount(own * K + labels[graph.indices[stored]], minlength=K * K)
    return float(mutual_info_score(None, None, contingency=pairs.reshape(K, K)))
