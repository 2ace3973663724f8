"""Library-size normalisation that keeps a sparse matrix sparse."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from transst_py._typing import Matrix
from transst_py._validation import check_counts

__all__ = ["NORMALIZATIONS", "log_expression", "log_normalize", "median_total"]

NORMALIZATIONS = ("log", "none")


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
    A new matrix of the same kind and shape as `X`.
    """
    totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
    factors = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    if sp.issparse(X):
        scaled = sp.csr_matrix(X, copy=True)
        scaled.data *= np.repeat(factors, np.diff(scaled.indptr)).astype(scaled.dtype)
        np.log1p(scaled.data, out=scaled.data)
        return scaled
    return np.log1p(X * factors[:, None])


def median_total(X: Matrix) -> float:
    """Median total of the spots that have counts, or 1 if none has."""
    totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
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
