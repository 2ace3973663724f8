"""Centred and scaled expression that is never formed: sparse rows stay sparse, products are exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

from transst_py._typing import Matrix

__all__ = ["StandardizedMatrix", "column_moments", "standardize"]

# Rows densified at a time: 2048 x 2000 genes in float64 are 33 MB.
_CHUNK_ROWS = 2048


def column_moments(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) variance of every column, in float64, without densifying.

    Returns
    -------
    mean, variance
        Arrays of shape (p,).
    """
    n, p = X.shape
    if not sp.issparse(X):
        X = np.asarray(X, dtype=np.float64)
        return X.mean(axis=0), X.var(axis=0)
    values = X.data.astype(np.float64)
    mean = np.bincount(X.indices, weights=values, minlength=p) / n
    stored = np.bincount(X.indices, minlength=p)
    # Sum of squared deviations: stored entries about the mean, plus the zeros' share.
    deviations = np.bincount(X.indices, weights=(values - mean[X.indices]) ** 2, minlength=p)
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

    def rows(self, index: np.ndarray) -> StandardizedMatrix:
        """Return the chosen rows, standardised by the same mean and scale."""
        return StandardizedMatrix(self.X[index], self.mean, self.scale)

    def toarray(self) -> np.ndarray:
        """Return the (n, p) float64 array: only for few rows."""
        return (
            np.asarray(self.X.toarray() if sp.issparse(self.X) else self.X, dtype=np.float64) - self.mean
        ) / self.scale

    def dot(self, A: np.ndarray) -> np.ndarray:
        """Return the (n, r) product with a (p, r) array."""
        scaled = A / self.scale[:, None]
        return np.asarray(self.X @ scaled) - self.mean @ scaled

    def column_means(self) -> np.ndarray:
        """Return the (p,) mean of the standardised rows."""
        return (column_moments(self.X)[0] - self.mean) / self.scale

    def scatter(self, about: np.ndarray | None = None) -> np.ndarray:
        """Return the (p, p) sum of (x - about)(x - about)' over the standardised rows.

        Rows are densified and shifted in chunks, so that no digits cancel (5.2-N9).
        """
        p = self.shape[1]
        origin = self.mean if about is None else self.mean + about * self.scale
        total = np.zeros((p, p))
        for chunk in self._dense_chunks():
            chunk -= origin
            chunk /= self.scale
            total += chunk.T @ chunk
        return total

    def _dense_chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, self.shape[0], _CHUNK_ROWS):
            chunk = self.X[start : start + _CHUNK_ROWS]
            yield np.array(chunk.toarray() if sp.issparse(chunk) else chunk, dtype=np.float64)


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
