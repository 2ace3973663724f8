"""Library-size normalisation that keeps a sparse matrix sparse."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn.utils import gen_batches

from transst_py._core.options import Normalization, choices
from transst_py._core.typing import Matrix
from transst_py.expression.chunks import RowChunks
from transst_py.expression.values import check_counts

__all__ = ["NORMALIZATIONS", "log_expression", "log_normalize", "median_total", "row_totals", "typical_total"]

_CHUNK_ROWS = 16_384
NORMALIZATIONS = choices(Normalization)


def log_normalize(X: Matrix, *, target_sum: float) -> Matrix:
    """Scale every spot to the same total and take log(1 + x).

    Parameters
    ----------
    X
        Counts, (spots, genes).
    target_sum
        Total of every spot after scaling. Spots without any count stay zero.

    Returns
    -------
    A new matrix of the same kind and shape as `X`; a sparse one may share the positions of its entries.
    """
    if isinstance(X, RowChunks):
        return X.then(partial(log_normalize, target_sum=target_sum), known=("detected",))
    totals = row_totals(X)
    factors = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    if sp.issparse(X):
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        values = np.empty_like(X.data)
        for batch in gen_batches(X.shape[0], _CHUNK_ROWS):
            stored = slice(X.indptr[batch.start], X.indptr[batch.stop])
            spread = np.repeat(factors[batch], np.diff(X.indptr[batch.start : batch.stop + 1]))
            np.log1p(X.data[stored] * spread.astype(X.dtype), out=values[stored])
        return sp.csr_matrix((values, X.indices, X.indptr), shape=X.shape)
    return np.log1p(X * factors[:, None])


def row_totals(X: Matrix) -> np.ndarray:
    """Total of every spot, float64 (n,)."""
    if isinstance(X, RowChunks):
        return X.totals()
    return np.asarray(X.sum(axis=1), dtype=np.float64).ravel()


def median_total(X: Matrix) -> float:
    """Median total of the spots that have counts, or 1 if none has."""
    return typical_total(row_totals(X))


def typical_total(totals: np.ndarray) -> float:
    """Median of those that are not zero, or 1 if none is."""
    return float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0


def log_expression(X: Matrix, normalization: str) -> Matrix:
    """Bring expression to the log(1 + x) scale.

    Parameters
    ----------
    X
        (spots, genes); counts if `normalization` is "log".
    normalization
        "log" scales every spot to the median total of the spots with counts; "none" returns `X`.

    Raises
    ------
    ValueError
        Negative values where counts are expected.
    """
    if normalization == "none":
        return X
    check_counts(X)
    return log_normalize(X, target_sum=median_total(X))
