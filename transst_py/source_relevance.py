"""Relevance of a source: how far its main axes explain the target, and which sources are worth using.

0 is what the axes explain when their genes are shuffled, 1 what the target's own axes, found in one half of
the spots, explain of the other. A neighbouring slice comes out near 1, another patient at 0.3 to 0.6, another
organ at 0 to 0.3 (benchmarks/transfer.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transst_py.eigen import leading_eigenvectors
from transst_py.standardize import StandardizedMatrix, standardize
from transst_py.transfer import ImplicitGram

__all__ = ["MIN_RELEVANCE", "MIN_SHARE", "source_relevance", "worth_using"]

# With the best source below this, none is used; beside a better one, none below this share of the best. A
# third keeps out other organs (at most 0.32), which cost the genes they do not share, not other patients.
MIN_RELEVANCE = 1 / 3
MIN_SHARE = 0.5
# The relevance is an average over spots: this many tell it well enough.
_SPOTS = 4000
_SHUFFLES = 3


def source_relevance(
    target: StandardizedMatrix, scatters: Sequence[Any], n_factors: int, random_state: int
) -> np.ndarray:
    """Relevance of every source, (S,).

    Parameters
    ----------
    target
        (n, p) spots.
    scatters
        Sum of x x' of every source, (p, p) or known by its products.
    n_factors
        Number of axes that are compared.
    random_state
        Seed of the spots looked at, their halves, and of the shuffled genes.
    """
    rng = np.random.default_rng(random_state)
    chosen = np.sort(rng.permutation(target.shape[0])[:_SPOTS])
    middle = len(chosen) // 2
    sample = target.rows(chosen).toarray()[rng.permutation(len(chosen))]
    halves = [standardize(part, center=False, scale=False) for part in (sample[:middle], sample[middle:])]
    q = max(min(n_factors, middle - 1, target.shape[1] - 1), 1)
    grams = [ImplicitGram(half, np.ones(half.shape[0])) for half in halves]
    own = [leading_eigenvectors(gram, q, random_state) for gram in grams]
    best = explained(halves[0], own[1]) + explained(halves[1], own[0])
    relevance = []
    for scatter in scatters:
        U = leading_eigenvectors(scatter, q, random_state)
        shuffled = [U[rng.permutation(len(U))] for _ in range(_SHUFFLES)]
        found, *chance = (sum(explained(half, axes) for half in halves) for axes in (U, *shuffled))
        relevance.append((found - np.mean(chance)) / max(best - float(np.mean(chance)), 1e-12 * best))
    return np.array(relevance)


def worth_using(relevance: np.ndarray) -> np.ndarray:
    """Which sources are relevant enough, alone and beside the best of them, (S,) bool."""
    best = relevance.max()
    return np.asarray((relevance >= MIN_SHARE * best) & (best >= MIN_RELEVANCE))


def explained(X: StandardizedMatrix, U: np.ndarray) -> float:
    """Sum of squares of the rows along orthonormal axes."""
    return float(np.sum(X.dot(U) ** 2))
