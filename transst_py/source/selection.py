"""Which sources are worth using: by their relevance for the target, and by what their labels are worth.

Relevance is how far a source's main axes explain the target: 0 is what they explain when their genes are
shuffled, 1 what the best axes do, those of a source or the target's own, found in one half of the spots and
tried on the other. A neighbouring slice comes out near 1, another patient at 0.3 to 0.6, another organ at 0
to 0.3 (benchmarks/transfer.py).

Label dependence is how far a source's labels go with its own expression: Pillai's trace of the classes along
its main axes, 0 what labels in random order give on the mean, 1 classes that do not overlap. Labels that fell
out of step with the rows show here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.linalg import pinvh

from transst_py._core.eigen import approximate_eigenvectors
from transst_py.expression.chunks import RowChunks
from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.statistics import ClassStatistics

__all__ = [
    "MIN_RELEVANCE",
    "MIN_SHARE",
    "SourceMerits",
    "label_dependence",
    "sampled",
    "source_relevance",
]

# With the best source below this, none is used; beside a better one, none below this share of the best. A
# third keeps out other organs (at most 0.32), which cost the genes they do not share, not other patients.
MIN_RELEVANCE = 1 / 3
MIN_SHARE = 0.5
# The relevance is an average over spots: this many tell it well enough.
_SPOTS = 4000
# Axes must explain more than with shuffled genes by this many standard deviations of these.
_SHUFFLES = 20
_SHUFFLED_SDS = 3.0
# Smaller classes, and more axes than a tenth of the rows, would make labels in random order look dependent.
_MIN_CLASS_ROWS = 10
_ROWS_PER_AXIS = 10
# Labels must go with the expression this many standard deviations better than in random order. Annotations
# come out at 10 or more, in random order at 6.4 or less (1000 draws for each of seven sources).
_CHANCE_SDS = 7.0


@dataclass
class SourceMerits:
    """What speaks for every source, (S,) each.

    Attributes
    ----------
    relevance
        See `source_relevance`.
    label_dependence
        See `label_dependence`; NaN where there are too few rows to tell.
    random_labels
        Whether the labels go with the expression no more than in random order.
    """

    relevance: np.ndarray
    label_dependence: np.ndarray
    random_labels: np.ndarray

    @classmethod
    def of(
        cls,
        target: StandardizedMatrix,
        statistics: Sequence[ClassStatistics],
        n_factors: int,
        random_state: int,
    ) -> Self:
        """Measure both, from the statistics of the sources and a sample of the target's spots."""
        n_axes = min(n_factors, target.shape[1] - 1)
        axes = [S.total.axes(n_axes) for S in statistics]
        relevance = source_relevance(target, axes, n_factors, random_state)
        labels = [label_dependence(S, n_factors) for S in statistics]
        dependence, chance = np.array(labels).reshape(-1, 2).T
        return cls(relevance, dependence, dependence < chance)

    @classmethod
    def unknown(cls, n_sources: int) -> Self:
        """Nothing was measured."""
        return cls(np.full(n_sources, np.nan), np.full(n_sources, np.nan), np.zeros(n_sources, dtype=bool))

    def table(self, names: Sequence[Any]) -> pd.DataFrame:
        """A row for every source, by name."""
        return pd.DataFrame(vars(self), index=list(names))

    def worth_using(self) -> np.ndarray:
        """Sources whose labels are not random and whose relevance is enough, alone and beside the best."""
        relevance = np.where(self.random_labels, -np.inf, self.relevance)
        best = relevance.max(initial=-np.inf)
        return np.asarray((relevance >= MIN_SHARE * best) & (best >= MIN_RELEVANCE))


def sampled(target: StandardizedMatrix, random_state: int) -> StandardizedMatrix:
    """Spots that are enough to tell the relevance, in memory; all of a small target."""
    chosen = np.random.default_rng(random_state).permutation(target.shape[0])[:_SPOTS]
    rows = target.rows(np.sort(chosen))
    return (
        StandardizedMatrix(rows.X.to_memory(), rows.mean, rows.scale)
        if isinstance(rows.X, RowChunks)
        else rows
    )


@dataclass
class _Half:
    """Dense rows (n, p) in single precision: sums of squares along axes need no more digits."""

    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(p, p), of the sum of x x'."""
        p = self.rows.shape[1]
        return p, p

    def __matmul__(self, A: np.ndarray) -> np.ndarray:
        """Return Σ x x' A, (p, r)."""
        return np.asarray(self.rows.T @ self.dot(A), dtype=np.float64)

    def dot(self, A: np.ndarray) -> np.ndarray:
        """Scores of the rows, (n, r)."""
        return np.asarray(self.rows @ A.astype(np.float32))

    def explained(self, A: np.ndarray) -> np.ndarray:
        """Sum of squares of the rows along every axis, (r,)."""
        scores = self.dot(A)
        return np.asarray(np.sum(scores**2, axis=0, dtype=np.float64))


def source_relevance(
    target: StandardizedMatrix, axes: Sequence[np.ndarray], n_factors: int, random_state: int
) -> np.ndarray:
    """Relevance of every source, (S,).

    Parameters
    ----------
    target
        (n, p) spots.
    axes
        Main axes of every source, orthonormal (p, n_factors); no more of them are looked at than half of the
        spots can tell apart.
    n_factors
        Number of axes that are compared.
    random_state
        Seed of the spots looked at, their halves, and of the shuffled genes.
    """
    rng = np.random.default_rng(random_state)
    chosen = np.sort(rng.permutation(target.shape[0])[:_SPOTS])
    middle = len(chosen) // 2
    sample = target.rows(chosen).toarray(np.float32)[rng.permutation(len(chosen))]
    halves = _Half(sample[:middle]), _Half(sample[middle:])
    q = max(min(n_factors, middle - 1, target.shape[1] - 1), 1)
    own = [approximate_eigenvectors(half, q, random_state) for half in halves]
    gains = [_gain(halves, of_source[:, :q], rng) for of_source in axes]
    chance = np.mean([_shuffled(halves, of_half, rng).mean() for of_half in own])
    best = halves[0].explained(own[1]).sum() + halves[1].explained(own[0]).sum() - chance
    return np.asarray(gains) / float(max(best, *gains, np.finfo(float).tiny))


def _gain(halves: Sequence[_Half], axes: np.ndarray, rng: np.random.Generator) -> float:
    """Sum of squares along the axes beyond that with shuffled genes; 0 where that may be chance."""
    chance = _shuffled(halves, axes, rng)
    gain = float(sum(half.explained(axes).sum() for half in halves) - chance.mean())
    return gain if gain > _SHUFFLED_SDS * chance.std(ddof=1) else 0.0


def _shuffled(halves: Sequence[_Half], axes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sums of squares along the axes with their genes shuffled, (_SHUFFLES,)."""
    shuffled = np.hstack([axes[rng.permutation(len(axes))] for _ in range(_SHUFFLES)])
    squares = sum(half.explained(shuffled) for half in halves)
    return np.asarray(np.reshape(squares, (_SHUFFLES, -1)).sum(axis=1))


def label_dependence(statistics: ClassStatistics, n_factors: int) -> tuple[float, float]:
    """Dependence of a source's labels on its expression, and what labels in random order might reach.

    Both are NaN where fewer than two classes have `_MIN_CLASS_ROWS` rows: the others are not looked at.
    """
    large = statistics.counts >= _MIN_CLASS_ROWS
    statistics = statistics if large.all() else statistics.of_classes(np.flatnonzero(large))
    counts, n = statistics.counts, statistics.counts.sum()
    n_classes = len(counts)
    if n_classes < 2:
        return np.nan, np.nan
    q = int(min(n_factors, n // _ROWS_PER_AXIS, statistics.means.shape[1] - 1))
    U = statistics.total.axes(q)
    means = statistics.means @ U
    means -= counts @ means / n
    between = (counts[:, None] * means).T @ means
    within = sum(U.T @ (scatter @ U) for scatter in statistics.scatters)
    pillai = float(np.trace(pinvh(between + within) @ between))
    # In random order (n - 1) pillai is about chi-squared, with this many degrees of freedom.
    freedom = q * (n_classes - 1)
    largest, chance = min(q, n_classes - 1), freedom / (n - 1)
    sd = np.sqrt(2 * freedom) / (n - 1)
    return (pillai - chance) / (largest - chance), _CHANCE_SDS * sd / (largest - chance)
