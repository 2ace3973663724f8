"""Sums over the rows of each class: all that the source model needs to know of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from sklearn.utils.validation import column_or_1d

from transst_py._core.eigen import approximate_eigenvectors
from transst_py._core.typing import Matrix
from transst_py.expression.chunks import RowChunks
from transst_py.expression.standardize import StandardizedMatrix, dtype_of_products, gram_of

__all__ = ["ClassStatistics", "Scatter", "check_labels", "class_statistics"]

# Numbers that all classes' Gram matrices together may hold (1.6 GB); otherwise rows are multiplied.
_MAX_NUMBERS = 200_000_000


@dataclass
class Scatter:
    """A (p, p) sum of outer products, S = gram + rows' rows + Σ m'm, multiplied in the cheapest form.

    Attributes
    ----------
    rows
        (m, p), m <= p/2: vectors whose outer products are summed only when S meets another array.
    gram
        (p, p) part summed already, or `None`.
    matrices
        Centred rows of many genes: too large to be dense, too wide for a gram.
    """

    rows: np.ndarray
    gram: np.ndarray | None = None
    matrices: tuple[StandardizedMatrix, ...] = ()
    _axes: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_rows(cls, X: StandardizedMatrix, about: np.ndarray, max_numbers: int = _MAX_NUMBERS) -> Self:
        """Scatter of the rows of X about a point, in at most `max_numbers` numbers besides X itself."""
        n, p = X.shape
        if min(n, p) * p > max_numbers:
            return cls(np.empty((0, p)), None, (X.about(about),))
        return cls(X.toarray() - about) if n <= p / 2 else cls(np.empty((0, p)), X.scatter(about))

    @property
    def shape(self) -> tuple[int, int]:
        """(p, p)."""
        p = self.rows.shape[1]
        return p, p

    @classmethod
    def of_all(cls, parts: Sequence[Self]) -> Self:
        """Scatter of all sets of vectors together."""
        n_rows, p = sum(len(part.rows) for part in parts), parts[0].shape[0]
        grams = [part.gram for part in parts if part.gram is not None]
        if n_rows > p / 2:
            rows = np.empty((0, p))
            grams.append(gram_of(np.concatenate([part.rows for part in parts], dtype=dtype_of_products(p))))
        else:
            rows = np.concatenate([part.rows for part in parts])
        gram = np.add(grams[0], grams[1], dtype=np.float64) if len(grams) > 1 else grams[0] if grams else None
        for other in grams[2:]:
            gram += other
        return cls(rows, gram, tuple(matrix for part in parts for matrix in part.matrices))

    def __add__(self, other: Self) -> Self:
        """Scatter of both sets of vectors."""
        return self.of_all([self, other])

    def of_genes(self, genes: np.ndarray) -> Self:
        """Scatter of some of the genes (p',), of rows that are summed already; all without a copy."""
        if len(genes) == self.shape[0]:
            return self
        gram = None if self.gram is None else self.gram[np.ix_(genes, genes)]
        return type(self)(self.rows[:, genes], gram, tuple(matrix.columns(genes) for matrix in self.matrices))

    def axes(self, n: int) -> np.ndarray:
        """Orthonormal (p, n) axes that explain nearly the most, as `approximate_eigenvectors`; found once."""
        if n not in self._axes:
            # One start for all seeds: the axes are data, not a choice.
            self._axes[n] = approximate_eigenvectors(self, n, 0)
        return self._axes[n]

    def times(self, factor: float) -> Self:
        """Scatter of rows that count so many times; it forms no rows of many genes."""
        gram = None if self.gram is None else self.gram * factor
        weighted = tuple(StandardizedMatrix(m.X, m.mean, m.scale / factor**0.5) for m in self.matrices)
        return type(self)(self.rows * factor**0.5, gram, weighted)

    def in_single_precision(self) -> Self:
        """Return the same with half of the memory to read for every product."""
        gram = None if self.gram is None else self.gram.astype(np.float32, copy=False)
        return type(self)(self.rows.astype(np.float32), gram, self.matrices)

    def __matmul__(self, A: np.ndarray) -> np.ndarray:
        """S A, (p, r), in double precision."""
        product = np.zeros(A.shape)
        if len(self.rows):
            product += self.rows.T @ (self.rows @ A.astype(self.rows.dtype, copy=False))
        if self.gram is not None:
            # BLAS is twice as fast with the narrow factor on the left.
            product += (A.T.astype(self.gram.dtype, copy=False) @ self.gram).T
        for matrix in self.matrices:
            product += matrix.scatter_dot(A)
        return product

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Diagonal of S, (p,)."""
        squares = np.einsum("ij,ij->j", self.rows, self.rows, dtype=np.float64)
        if self.gram is not None:
            squares += np.diag(self.gram)
        return sum((matrix.column_squares() for matrix in self.matrices), start=squares)


@dataclass
class ClassStatistics:
    """All that the EM needs to know of the data.

    Attributes
    ----------
    counts
        Rows per class, (K,).
    means
        Class means, (K, p).
    scatters
        Sum of (x - mean)(x - mean)' within each of the K classes.
    """

    counts: np.ndarray
    means: np.ndarray
    scatters: list[Scatter]

    @classmethod
    def from_rows(cls, X: StandardizedMatrix, codes: np.ndarray, n_classes: int) -> Self:
        """Collect the statistics of rows with class codes 0..n_classes-1."""
        if isinstance(X.X, RowChunks) and n_classes * X.shape[1] ** 2 <= _MAX_NUMBERS:
            of_chunk = partial(_chunk_statistics, X.mean, X.scale, n_classes)
            return cast(Self, X.X.reduce(of_chunk, codes, kind=cls))
        counts = np.bincount(codes, minlength=n_classes).astype(np.float64)
        means = X.group_means(codes, n_classes)
        scatters = [
            Scatter.from_rows(X.rows(np.flatnonzero(codes == k)), means[k], _MAX_NUMBERS // n_classes)
            for k in range(n_classes)
        ]
        return cls(counts, means, scatters)

    def __add__(self, other: Self) -> Self:
        """Statistics of both data sets together (pairwise rule, Chan et al. 1979); each may lack classes."""
        counts = self.counts + other.counts
        delta = other.means - self.means
        share = np.divide(other.counts, counts, out=np.zeros_like(counts), where=counts > 0)
        between = np.sqrt(self.counts * share)[:, None] * delta
        scatters = [
            Scatter.of_all([a, b, Scatter(row[None, :])])
            for a, b, row in zip(self.scatters, other.scatters, between, strict=True)
        ]
        return type(self)(counts, self.means + share[:, None] * delta, scatters)

    def of_classes(self, chosen: np.ndarray) -> Self:
        """Statistics of some of the classes."""
        return type(self)(self.counts[chosen], self.means[chosen], [self.scatters[k] for k in chosen])

    def arrays(self) -> list[np.ndarray]:
        """Everything in arrays, if no scatter holds rows of its own."""
        grams = [np.zeros((0, 0)) if S.gram is None else S.gram for S in self.scatters]
        return [self.counts, self.means, *[S.rows for S in self.scatters], *grams]

    @classmethod
    def from_arrays(cls, arrays: list[np.ndarray]) -> Self:
        """Read what `arrays` gave."""
        (counts, means, *parts), n_classes = arrays, len(arrays[0])
        pairs = zip(parts[:n_classes], parts[n_classes:], strict=True)
        return cls(counts, means, [Scatter(rows, gram if gram.size else None) for rows, gram in pairs])

    @cached_property
    def total(self) -> Scatter:
        """Sum of x x' over all rows."""
        return Scatter.of_all([*self.scatters, Scatter(np.sqrt(self.counts)[:, None] * self.means)])


def _chunk_statistics(
    mean: np.ndarray, scale: np.ndarray, n_classes: int, X: Matrix, codes: np.ndarray
) -> ClassStatistics:
    return ClassStatistics.from_rows(StandardizedMatrix(X, mean, scale), codes, n_classes)


def check_labels(y: Any, n: int) -> np.ndarray:
    """Return (n,) labels as an array that sorts: text unless they are numbers.

    Raises
    ------
    ValueError
        Wrong length, or a label is missing.
    """
    y = column_or_1d(y)
    if len(y) != n:
        raise ValueError(f"`y` has {len(y)} labels for {n} rows")
    if pd.isna(y).any():
        raise ValueError(f"`y`: {pd.isna(y).sum()} of {n} labels are missing; drop those rows")
    return np.asarray(y if y.dtype.kind in "iufb" else y.astype(str))


def class_statistics(
    datasets: Sequence[tuple[StandardizedMatrix, Any]],
) -> tuple[np.ndarray, list[ClassStatistics]]:
    """Names of all classes, and the statistics of every data set (rows, labels), classes in that order."""
    labels = [check_labels(y, X.shape[0]) for X, y in datasets]
    classes = np.unique(np.concatenate(labels))
    return classes, [
        ClassStatistics.from_rows(X, np.searchsorted(classes, y), len(classes))
        for (X, _), y in zip(datasets, labels, strict=True)
    ]
