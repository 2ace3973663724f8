"""What values of expression may be: counts, normalised values, finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from transst_py._core.typing import Matrix
from transst_py._core.warn import warn
from transst_py.expression.chunks import RowChunks, Survey

__all__ = ["LARGEST", "LARGE_COUNT", "as_float_matrix", "check_counts", "check_normalized", "check_survey"]

# Values of expression and positions beyond this are damaged, and their squares overflow.
LARGEST = 1e15
# Log-normalised values stay below this.
LARGE_COUNT = 20


def as_float_matrix(X: Any) -> Matrix:
    """Return a floating csr matrix or ndarray, without a copy where X already is one.

    Integer and logical values become float32 when they are sparse counts below 2**24 (exactly
    representable), float64 otherwise; half precision becomes single, foreign byte order one's own.
    """
    sparse = sp.issparse(X)
    X = sp.csr_matrix(X) if sparse else np.asarray(X)
    if X.dtype.kind not in "fiub":
        raise TypeError(f"expression values must be numbers, got dtype {X.dtype}")
    if X.dtype in (np.float32, np.float64):
        return X
    if X.dtype.kind == "f":
        return X.astype(np.float32 if X.dtype.itemsize <= 4 else np.float64)
    exact = sparse and (X.nnz == 0 or np.abs(X.data).max() < 2**24)
    return X.astype(np.float32 if exact else np.float64)


def _not_finite(what: str) -> ValueError:
    return ValueError(f"`{what}` has missing or infinite expression values; remove or impute them first")


def check_survey(
    X: RowChunks, *, counts: bool, what: str = "adata", or_normalized: bool = True, raw: bool = False
) -> Survey:
    """Look at all values of rows that are not in memory, as `check_matrix` and `check_counts`, in one pass.

    Raises
    ------
    ValueError
        A value is missing or infinite, or negative where `counts` are expected.

    Warns
    -----
    UserWarning
        As `check_counts`.
    """
    survey = X.survey()
    if survey.n_lost:
        raise _not_finite(what)
    if counts:
        share = survey.n_fractional / max(survey.n_positive, 1)
        _judge_counts(survey.lowest, share, survey.highest, what, or_normalized, raw)
    return survey


def check_counts(X: Matrix, *, what: str = "adata", or_normalized: bool = True, raw: bool = False) -> None:
    """Refuse negative values and warn when X does not look like counts.

    `or_normalized` says whether the caller takes normalised data too, with `normalization='none'`; `raw`
    whether there is an `adata.raw`, where scanpy's users keep what was there before.

    Raises
    ------
    ValueError
        A value is negative.

    Warns
    -----
    UserWarning
        More than 1 % of the non-zero values are no whole numbers: probably log-normalised already.
    """
    values = X.data if sp.issparse(X) else X.ravel()
    if values.size == 0:
        return
    sample = values[:: max(1, values.size // 1_000_000)]
    sample = sample[sample > 0]
    share = float(np.mean(sample != np.round(sample))) if sample.size else 0.0
    highest = float(sample.max()) if sample.size else 0.0
    _judge_counts(float(values.min()), share, highest, what, or_normalized, raw)


def check_normalized(X: Matrix, *, what: str = "adata") -> None:
    """Warn when X looks like counts, where normalised expression is expected.

    Warns
    -----
    UserWarning
        All non-zero values are whole numbers, some of them large.
    """
    values = X.data if sp.issparse(X) else X.ravel()
    sample = values[:: max(1, values.size // 1_000_000)]
    if sample.size and sample.max() >= LARGE_COUNT and (sample == np.round(sample)).all():
        warn(
            f"`{what}` holds whole numbers up to {sample.max():.0f} where normalised expression is "
            "expected; for counts leave normalization='log'"
        )


def _judge_counts(
    lowest: float, share: float, highest: float, what: str, or_normalized: bool, raw: bool
) -> None:
    """Refuse a negative lowest value, and warn of a share of fractional values."""
    where = "(see `layer`" + (", or adata.raw.to_adata() if it holds them)" if raw else ")")
    if lowest < 0:
        raise ValueError(
            f"`{what}` has negative expression values, so it holds no counts; pass raw counts {where}"
            + (", or normalised data with `normalization='none'`" if or_normalized else "")
        )
    if share > 0.01:
        warn(
            f"`{what}` holds fractional values (largest {highest:.3g}) where raw counts are expected; "
            f"pass raw counts {where}"
            + (", or set normalization='none' if the data are normalised already" if or_normalized else "")
        )
