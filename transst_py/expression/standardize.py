"""Centred and scaled expression that is never formed: sparse rows stay sparse, products are exact.

Rows that are not in memory (`RowChunks`) are read a chunk at a time: what is computed of a chunk is what
would be computed of all rows, and is summed up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, gen_batches

from transst_py._core.precision import working_dtype
from transst_py._core.typing import Matrix
from transst_py.expression.chunks import RowChunks, is_stored, open_rows

__all__ = [
    "StandardizedMatrix",
    "check_rows",
    "chosen_columns",
    "column_moments",
    "dtype_of_products",
    "gram_of",
    "pooled_moments",
    "standardize",
]

# Rows looked at at a time: 2048 x 2000 genes in float64 are 33 MB.
_CHUNK_ROWS = 2048
# Stored values looked at at a time.
_CHUNK_VALUES = 1 << 22
# Sums of squares of more genes are multiplied in single precision.
_MANY_GENES = 500
# Products of sparse rows pay below this share of the dense multiplications.
_SPARSE_SHARE = 1 / 200


def column_moments(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) variance of every column, in float64, without densifying or copying X.

    Returns
    -------
    mean, variance
        Arrays of shape (p,).
    """
    if isinstance(X, RowChunks):
        if "mean" not in X.known:
            moments = X.reduce(_Moments.of, kind=_Moments)
            X.known.update(mean=moments.mean, variance=moments.variance)
        return X.known["mean"], X.known["variance"]
    n, p = X.shape
    if not sp.issparse(X):
        X = np.asarray(X)
        return X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
    total, deviations, stored = np.zeros(p), np.zeros(p), np.zeros(p, dtype=np.int64)
    batches = list(gen_batches(X.nnz, _CHUNK_VALUES)) if X.nnz else []
    for batch in batches:
        total += np.bincount(X.indices[batch], weights=X.data[batch], minlength=p)
        stored += np.bincount(X.indices[batch], minlength=p)
    mean = total / n
    # Sum of squared deviations: stored entries about the mean, plus the zeros' share.
    for batch in batches:
        squares = (X.data[batch] - mean[X.indices[batch]]) ** 2
        deviations += np.bincount(X.indices[batch], weights=squares, minlength=p)
    return mean, (deviations + (n - stored) * mean**2) / n


def pooled_moments(
    moments: Sequence[tuple[np.ndarray, np.ndarray]], rows: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of all rows together, from those of the parts."""
    weights = np.asarray(rows, dtype=np.float64) / sum(rows)
    mean = sum(w * m for w, (m, _) in zip(weights, moments, strict=True))
    variance = sum(w * (v + (m - mean) ** 2) for w, (m, v) in zip(weights, moments, strict=True))
    return np.asarray(mean), np.asarray(variance)


@dataclass
class _Moments:
    """Column moments of some rows, to be added up."""

    n: int
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, X: Matrix) -> Self:
        return cls(X.shape[0], *column_moments(X))

    def __add__(self, other: Self) -> Self:
        parts = [(self.mean, self.variance), (other.mean, other.variance)]
        return type(self)(self.n + other.n, *pooled_moments(parts, [self.n, other.n]))

    def arrays(self) -> list[np.ndarray]:
        return [np.array(self.n), self.mean, self.variance]

    @classmethod
    def from_arrays(cls, arrays: list[np.ndarray]) -> Self:
        return cls(int(arrays[0]), *arrays[1:])


def chosen_columns(X: Any, index: np.ndarray) -> Any:
    """X[:, index], without a copy where that is X."""
    return X if np.array_equal(index, np.arange(X.shape[1])) else X[:, index]


class StandardizedMatrix:
    """The matrix (X - 1 mean') diag(1/scale), held as X, mean and scale.

    Parameters
    ----------
    X
        ndarray, csr matrix or `RowChunks`, (n, p).
    mean, scale
        Arrays of shape (p,); `scale` positive.
    """

    def __init__(self, X: Matrix, mean: np.ndarray, scale: np.ndarray) -> None:
        self.X, self.mean, self.scale = X, mean, scale
        self.shape: tuple[int, int] = X.shape

    def rows(self, index: np.ndarray | slice) -> StandardizedMatrix:
        """Return the chosen rows, standardised by the same mean and scale."""
        return StandardizedMatrix(self.X[index], self.mean, self.scale)

    def columns(self, index: np.ndarray) -> StandardizedMatrix:
        """Return the chosen genes; all of them without a copy."""
        return StandardizedMatrix(chosen_columns(self.X, index), self.mean[index], self.scale[index])

    def of_chunk(self, operation: str, *arguments: Any) -> partial[Any]:
        """Promise one of the methods, for the rows of a chunk."""
        return partial(_of_chunk, self.mean, self.scale, operation, arguments)

    def toarray(self, dtype: Any = np.float64) -> np.ndarray:
        """Return the (n, p) array: only for few rows."""
        if isinstance(self.X, RowChunks):
            return StandardizedMatrix(self.X.to_memory(), self.mean, self.scale).toarray(dtype)
        return _dense(self.X, self.mean, self.scale, dtype)

    def about(self, point: np.ndarray) -> StandardizedMatrix:
        """Return the standardised rows minus a (p,) point."""
        return StandardizedMatrix(self.X, self.mean + point * self.scale, self.scale)

    def dot(self, A: np.ndarray, dtype: np.dtype[Any] | None = None) -> np.ndarray:
        """Return the (n, r) product with a (p, r) array, of `dtype` or else the `working_dtype` of n rows."""
        dtype = working_dtype(self.shape[0]) if dtype is None else dtype
        if isinstance(self.X, RowChunks):
            return self.X.concatenate(self.of_chunk("dot", A, dtype))
        scaled = A / self.scale[:, None]
        offset = self.mean @ scaled
        product = np.empty((self.shape[0], A.shape[1]), dtype=dtype)
        for batch in gen_batches(self.shape[0], _CHUNK_ROWS):
            product[batch] = self.X[batch] @ scaled - offset
        return product

    def scatter_dot(self, A: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return Σ_i w_i x_i x_i' A, (p, r), by products with the rows: no (p, p) array is formed."""
        if isinstance(self.X, RowChunks):
            aligned = () if weights is None else (weights,)
            return np.asarray(self.X.reduce(self.of_chunk("scatter_dot", A), *aligned, save=False))
        scaled = A / self.scale[:, None]
        offset = self.mean @ scaled
        product, total = np.zeros(A.shape), np.zeros(A.shape[1])
        for batch in gen_batches(self.shape[0], _CHUNK_ROWS):
            scores = self.X[batch] @ scaled - offset
            if weights is not None:
                scores *= weights[batch, None]
            product += self.X[batch].T @ scores
            total += scores.sum(axis=0)
        return np.asarray((product - np.outer(self.mean, total)) / self.scale[:, None])

    def column_means(self) -> np.ndarray:
        """Return the (p,) mean of the standardised rows."""
        return np.asarray((column_moments(self.X)[0] - self.mean) / self.scale)

    def group_means(self, groups: np.ndarray, n_groups: int) -> np.ndarray:
        """Return the mean of the rows of every group, (n_groups, p), in one pass; 0 for a group without rows.

        `groups` holds 0..n_groups-1 for each row.
        """
        counts = np.bincount(groups, minlength=n_groups)
        means = self._group_sums(n_groups, groups) / np.maximum(counts, 1)[:, None]
        return np.asarray(np.where(counts[:, None] > 0, (means - self.mean) / self.scale, 0.0))

    def _group_sums(self, n_groups: int, groups: np.ndarray) -> np.ndarray:
        """Sums of the rows as they are, not standardised, (n_groups, p)."""
        if isinstance(self.X, RowChunks):
            return np.asarray(self.X.reduce(self.of_chunk("_group_sums", n_groups), groups))
        total = np.zeros((n_groups, self.shape[1]))
        for batch in gen_batches(self.shape[0], _CHUNK_ROWS):
            rows = self.X[batch]
            member = sp.csr_matrix(
                (np.ones(rows.shape[0]), (groups[batch], np.arange(rows.shape[0]))),
                shape=(n_groups, rows.shape[0]),
            )
            product = member @ rows
            total += product.toarray() if sp.issparse(product) else product
        return total

    def column_squares(self) -> np.ndarray:
        """Return the (p,) sums of squares of the standardised columns."""
        mean, variance = column_moments(self.X)
        return np.asarray(self.shape[0] * (variance + (mean - self.mean) ** 2) / self.scale**2)

    def row_squares(self) -> np.ndarray:
        """Return the (n,) sums of squares of the standardised rows."""
        if isinstance(self.X, RowChunks):
            return self.X.concatenate(self.of_chunk("row_squares"))
        batches = gen_batches(self.shape[0], _CHUNK_ROWS)
        return np.concatenate([np.sum(self.rows(batch).toarray() ** 2, axis=1) for batch in batches])

    def scatter(self, about: np.ndarray | None = None) -> np.ndarray:
        """Return the (p, p) sum of (x - about)(x - about)' over the standardised rows.

        Few stored values are multiplied as they are, and the means taken out of the sum: a sparse column's
        mean is no larger than its spread, so that few digits cancel. Otherwise rows are densified
        and shifted in chunks; those of many genes are multiplied in single precision, and summed in double:
        it takes half the time, and what is rounded is a thousandth of the sampling error.
        """
        if isinstance(self.X, RowChunks):
            return np.asarray(self.X.reduce(self.of_chunk("scatter", about)))
        origin = self.mean if about is None else self.mean + about * self.scale
        if self._is_sparse(origin):
            return self._sparse_scatter(origin)
        batches = list(gen_batches(self.shape[0], _CHUNK_ROWS))
        dtype = dtype_of_products(self.shape[1])
        total = gram_of(_dense(self.X[batches[0]], origin, self.scale, dtype))
        total = total.astype(np.float64, copy=False) if len(batches) > 1 else total
        for batch in batches[1:]:
            chunk = _dense(self.X[batch], origin, self.scale, dtype)
            total += chunk.T @ chunk
        return total

    def scatters(self, groups: np.ndarray, n_groups: int) -> np.ndarray:
        """Return the sums of x x' over the rows of every group, (n_groups, p, p), in one pass.

        `groups` holds 0..n_groups-1 for each row.
        """
        if isinstance(self.X, RowChunks):
            return np.asarray(self.X.reduce(partial(_scatters, self.mean, self.scale, n_groups), groups))
        p = self.shape[1]
        total = np.empty((n_groups, p, p), dtype=dtype_of_products(p))
        for g in range(n_groups):
            rows = np.flatnonzero(groups == g)
            total[g] = self.rows(rows).scatter() if len(rows) else 0.0  # a chunk may have none of some
        return total

    def _is_sparse(self, origin: np.ndarray) -> bool:
        if not sp.issparse(self.X) or np.max((origin / self.scale) ** 2) > 1e4:
            return False
        multiplications = np.sum(np.diff(self.X.indptr).astype(np.float64) ** 2)
        return bool(multiplications < _SPARSE_SHARE * self.shape[0] * self.shape[1] ** 2)

    def _sparse_scatter(self, origin: np.ndarray) -> np.ndarray:
        n, p = self.shape
        products, sums = np.zeros((p, p)), np.zeros(p)
        for batch in gen_batches(n, 8 * _CHUNK_ROWS):
            chunk = self.X[batch].astype(np.float64)
            products += (chunk.T @ chunk).toarray()
            sums += np.asarray(chunk.sum(axis=0)).ravel()
        cross = np.outer(sums - 0.5 * n * origin, origin)
        products -= cross
        products -= cross.T
        products /= self.scale
        products /= self.scale[:, None]
        return products


def dtype_of_products(n_genes: int) -> Any:
    """Precision in which rows of so many genes are multiplied."""
    return np.float32 if n_genes > _MANY_GENES else np.float64


def gram_of(rows: np.ndarray) -> np.ndarray:
    """Sum of x x' over some rows (n, p), (p, p), in `dtype_of_products`."""
    rows = rows.astype(dtype_of_products(rows.shape[1]), copy=False)
    return np.asarray(rows.T @ rows)


def _dense(X: Matrix, mean: np.ndarray, scale: np.ndarray, dtype: Any) -> np.ndarray:
    """(X - mean) / scale as a new array."""
    dense = np.array(X.toarray() if sp.issparse(X) else X, dtype=dtype)
    dense -= mean.astype(dtype, copy=False)
    dense /= scale.astype(dtype, copy=False)
    return dense


def _of_chunk(
    mean: np.ndarray, scale: np.ndarray, operation: str, arguments: tuple[Any, ...], X: Matrix, *parts: Any
) -> Any:
    return getattr(StandardizedMatrix(X, mean, scale), operation)(*arguments, *parts)


def _scatters(
    mean: np.ndarray, scale: np.ndarray, n_groups: int, X: Matrix, groups: np.ndarray
) -> np.ndarray:
    return StandardizedMatrix(X, mean, scale).scatters(groups, n_groups)


def standardize(X: Any, *, center: bool, scale: bool) -> StandardizedMatrix:
    """Check a matrix and standardise its columns by their own mean and standard deviation.

    Parameters
    ----------
    X
        array-like, sparse matrix, rows that are not in memory, or a `StandardizedMatrix`, which is returned
        as it is.
    center, scale
        Subtract the column means; divide by the standard deviations (columns without any variation are
        left unscaled).
    """
    if isinstance(X, StandardizedMatrix):
        return X
    X = check_rows(X, "X")
    mean, variance = column_moments(X)
    spread = np.sqrt(variance)
    return StandardizedMatrix(
        X,
        mean if center else np.zeros_like(mean),
        np.where(spread > 0, spread, 1.0) if scale else np.ones_like(spread),
    )


def check_rows(X: Any, name: str) -> Matrix:
    """Return X as a floating ndarray (finite), csr matrix (finite) or `RowChunks` with at least two rows."""
    X = open_rows(X, name) if is_stored(X) else X
    if isinstance(X, RowChunks):
        if X.shape[0] < 2:
            raise ValueError(f"`{name}` has {X.shape[0]} row(s); at least two are needed")
        return X
    return check_array(
        X, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_min_samples=2, input_name=name
    )
