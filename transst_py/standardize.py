"""Centred and scaled expression that is never formed: sparse rows stay sparse, products are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, gen_batches

from transst_py._typing import Matrix

__all__ = ["StandardizedMatrix", "column_moments", "standardize"]

# Rows looked at at a time: 2048 x 2000 genes in float64 are 33 MB.
_CHUNK_ROWS = 2048
# Stored values looked at at a time.
_CHUNK_VALUES = 1 << 22
# Products of sparse rows pay below this share of the dense multiplications.
_SPARSE_SHARE = 1 / 200


def column_moments(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) variance of every column, in float64, without densifying or copying X.

    Returns
    -------
    mean, variance
        Arrays of shape (p,).
    """
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


class StandardizedMatrix:
    """The matrix (X - 1 mean') diag(1/scale), held as X, mean and scale.

    Section 6.2 of the method document ("implicit centring/scaling").

    Parameters
    ----------
    X
        ndarray or csr matrix, (n, p).
    mean, scale
        Arrays of shape (p,); `scale` positive.
    """

    def __init__(self, X: Matrix, mean: np.ndarray, scale: np.ndarray) -> None:
        self.X, self.mean, self.scale = X, mean, scale
        self.shape: tuple[int, int] = X.shape

    def rows(self, index: np.ndarray | slice) -> StandardizedMatrix:
        """Return the chosen rows, standardised by the same mean and scale."""
        return StandardizedMatrix(self.X[index], self.mean, self.scale)

    def toarray(self) -> np.ndarray:
        """Return the (n, p) float64 array: only for few rows."""
        X = np.asarray(self.X.toarray() if sp.issparse(self.X) else self.X, dtype=np.float64)
        return np.asarray((X - self.mean) / self.scale)

    def about(self, point: np.ndarray) -> StandardizedMatrix:
        """Return the standardised rows minus a (p,) point."""
        return StandardizedMatrix(self.X, self.mean + point * self.scale, self.scale)

    def dot(self, A: np.ndarray) -> np.ndarray:
        """Return the (n, r) product with a (p, r) array."""
        scaled = A / self.scale[:, None]
        product = np.empty((self.shape[0], A.shape[1]))
        for batch in gen_batches(self.shape[0], _CHUNK_ROWS):
            product[batch] = self.X[batch] @ scaled
        product -= self.mean @ scaled
        return product

    def scatter_dot(self, A: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Return Σ_i w_i x_i x_i' A, (p, r), by products with the rows: no (p, p) array is formed."""
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

    def column_squares(self) -> np.ndarray:
        """Return the (p,) sums of squares of the standardised columns."""
        mean, variance = column_moments(self.X)
        return np.asarray(self.shape[0] * (variance + (mean - self.mean) ** 2) / self.scale**2)

    def row_squares(self) -> np.ndarray:
        """Return the (n,) sums of squares of the standardised rows."""
        batches = gen_batches(self.shape[0], _CHUNK_ROWS)
        return np.concatenate([np.sum(self.rows(batch).toarray() ** 2, axis=1) for batch in batches])

    def scatter(self, about: np.ndarray | None = None) -> np.ndarray:
        """Return the (p, p) sum of (x - about)(x - about)' over the standardised rows.

        Few stored values are multiplied as they are, and the means taken out of the sum: a sparse column's
        mean is no larger than its spread, so that few digits cancel (5.2-N9). Otherwise rows are densified
        and shifted in chunks.
        """
        origin = self.mean if about is None else self.mean + about * self.scale
        if self._is_sparse(origin):
            return self._sparse_scatter(origin)
        p = self.shape[1]
        total = np.zeros((p, p))
        for batch in gen_batches(self.shape[0], _CHUNK_ROWS):
            chunk = self.X[batch]
            chunk = np.array(chunk.toarray() if sp.issparse(chunk) else chunk, dtype=np.float64)
            chunk -= origin
            chunk /= self.scale
            total += chunk.T @ chunk
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


def standardize(X: Any, *, center: bool, scale: bool) -> StandardizedMatrix:
    """Check a matrix and standardise its columns by their own mean and standard deviation.

    Parameters
    ----------
    X
        array-like, sparse matrix, or a `StandardizedMatrix`, which is returned as it is.
    center, scale
        Subtract the column means; divide by the standard deviations (columns without any variation are
        left unscaled).
    """
    if isinstance(X, StandardizedMatrix):
        return X
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_min_samples=2)
    mean, variance = column_moments(X)
    spread = np.sqrt(variance)
    return StandardizedMatrix(
        X,
        mean if center else np.zeros_like(mean),
        np.where(spread > 0, spread, 1.0) if scale else np.ones_like(spread),
    )
