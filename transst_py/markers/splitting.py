"""Count splitting: two independent data sets from one, by binomial thinning."""

from __future__ import annotations

from numbers import Real

import numpy as np
import scipy.sparse as sp

from transst_py._core.typing import Matrix
from transst_py._core.validation import check_seed
from transst_py.expression.values import as_float_matrix

__all__ = ["check_whole_counts", "thin_counts"]


def thin_counts(X: Matrix, fraction: float, *, random_state: int = 0) -> tuple[Matrix, Matrix]:
    """Deal every count to one of two matrices, to the first with probability `fraction`.

    If a count is Poisson with mean m, its parts are independent and Poisson with means fraction * m and
    (1 - fraction) * m. Zeros stay zeros, so that sparse matrices stay sparse.

    Parameters
    ----------
    X
        Whole numbers >= 0, (n, p).
    fraction
        Between 0 and 1, both excluded.
    random_state
        Seed. The result does not depend on how `X` is stored.

    Returns
    -------
    Two matrices that add up to `X`, csr if `X` is sparse and ndarray if not, of the same type of number
    (float32 if `X` is float16).

    Raises
    ------
    ValueError
        `fraction` is out of range, or a value is negative or no whole number.
    """
    if not (isinstance(fraction, Real) and 0 < fraction < 1):
        raise ValueError(f"`fraction` must lie between 0 and 1, both excluded, got {fraction!r}")
    check_seed(random_state)
    check_whole_counts(X)
    # scipy knows neither half precision nor foreign byte orders, which dense matrices may have.
    counts = sp.csr_matrix(as_float_matrix(X) if X.dtype.kind == "f" else X, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    rng = np.random.default_rng(random_state)
    dealt = rng.binomial(counts.data.astype(np.int64), fraction).astype(counts.dtype)
    rest = counts.data & ~dealt if counts.dtype == bool else counts.data - dealt
    first, second = _with_values(counts, dealt), _with_values(counts, rest)
    return (first, second) if sp.issparse(X) else (first.toarray(), second.toarray())


def _with_values(X: sp.csr_matrix, values: np.ndarray) -> sp.csr_matrix:
    # A copy: dropping zeros works in place, on the arrays given.
    part = sp.csr_matrix((values, X.indices, X.indptr), shape=X.shape, copy=True)
    part.eliminate_zeros()
    return part


def check_whole_counts(X: Matrix) -> None:
    """Refuse anything but whole numbers >= 0, which alone can be dealt out.

    Raises
    ------
    ValueError
        A value is negative or no whole number.
    """
    values = X.data if sp.issparse(X) else np.asarray(X).ravel()
    wrong = values[(values < 0) | (values != np.round(values))]
    if wrong.size:
        raise ValueError(
            f"counts can only be split if they are whole numbers >= 0, but {wrong.size} of {values.size} "
            f"values are not (the first: {wrong[0]:.4g}); pass the raw counts (see `layer`)"
        )
