"""What every estimator is given: rows of numbers in the columns of its fit, and a graph that is no label.

Columns are compared by name where the fit and the new rows have names (a DataFrame), otherwise by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from transst_py.expression.chunks import RowChunks, is_stored
from transst_py.expression.standardize import StandardizedMatrix, check_rows
from transst_py.expression.values import LARGEST

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6
    validate_data = None

__all__ = [
    "NUMBER",
    "WHOLE",
    "check_iterations",
    "check_n_factors",
    "graph_given",
    "is_passed_over",
    "names_of_columns",
    "rows_of_fit",
    "rows_to_predict",
]


# What options may be, for `isinstance`.
WHOLE = (int, np.integer)
NUMBER = (int, float, np.integer, np.floating)


def rows_of_fit(estimator: BaseEstimator, X: Any, *, sparse: bool = True) -> Any:
    """Return the rows that an estimator is fitted to, at least two; it keeps the number and names of columns.

    A `StandardizedMatrix` stays as it is.

    Raises
    ------
    ValueError
        They are no finite numbers in two dimensions.
    """
    checked = _check(estimator, X, sparse, at_least=2)
    _note_columns(estimator, X if hasattr(X, "columns") else checked, fitting=True)
    return checked


def rows_to_predict(estimator: BaseEstimator, X: Any, *, sparse: bool = True) -> Any:
    """Return rows, at least one, in the columns of the estimator's fit.

    Raises
    ------
    ValueError
        They are no finite numbers in two dimensions, or have other columns, or the same in another order.

    Warns
    -----
    UserWarning
        Only the fit, or only these rows, had names.
    """
    checked = _check(estimator, X, sparse, at_least=1)
    if not isinstance(checked, StandardizedMatrix | RowChunks):
        _note_columns(estimator, X if hasattr(X, "columns") else checked, fitting=False)
    elif checked.shape[1] != estimator.n_features_in_:  # such rows never have names
        raise ValueError(
            f"X has {checked.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    return checked


def _check(estimator: BaseEstimator, X: Any, sparse: bool, at_least: int) -> Any:
    if isinstance(X, StandardizedMatrix):
        return X
    if sparse and (isinstance(X, RowChunks) or is_stored(X)):
        return check_rows(X, "X")
    checked = check_array(
        X,
        accept_sparse="csr" if sparse else False,
        dtype=[np.float64, np.float32],
        ensure_min_samples=at_least,
        input_name="X",
        estimator=estimator,
    )
    values = checked.data if sp.issparse(checked) else checked
    if values.size and (largest := max(values.max(), -values.min())) > LARGEST:
        raise ValueError(f"`X` has values up to {largest:.3g}, which cannot be: their squares overflow")
    return checked


def _note_columns(estimator: BaseEstimator, X: Any, *, fitting: bool) -> None:
    """Set `n_features_in_` and `feature_names_in_`, or compare."""
    if isinstance(X, StandardizedMatrix | RowChunks):
        estimator.n_features_in_ = X.shape[1]
        vars(estimator).pop("feature_names_in_", None)
    elif validate_data is not None:
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
    else:
        estimator._check_feature_names(X, reset=fitting)
        estimator._check_n_features(X, reset=fitting)


def names_of_columns(X: Any) -> np.ndarray | None:
    """Names of a table's columns, if it has any and all are text."""
    columns = None if isinstance(X, StandardizedMatrix) else getattr(X, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.asarray(columns, dtype=object)


def check_n_factors(q: Any, n: int, p: int, rows: str = "spots") -> None:
    """Refuse a number of factors that is not below the numbers of rows and of genes.

    Raises
    ------
    TypeError, ValueError
        It is no whole number; it is not between 1 and what rows and genes allow.
    """
    if isinstance(q, bool) or not isinstance(q, WHOLE):
        raise TypeError(f"`n_factors` must be one whole number, got {q!r}")
    if p < 2:
        raise ValueError(f"`X` has {p} feature(s), but factors need at least two genes")
    if not 1 <= q < min(n, p):
        raise ValueError(
            f"`n_factors` must lie between 1 and {min(n, p) - 1} for {n} {rows} x {p} genes, got {q}"
        )


def check_iterations(max_iter: Any, tol: Any, *, at_least: int) -> None:
    """Refuse a number of iterations, or a tolerance, that is none.

    Raises
    ------
    ValueError
        It is no whole number of at least so many; it is no number >= 0.
    """
    if not (isinstance(max_iter, WHOLE) and max_iter >= at_least):
        raise ValueError(f"`max_iter` must be a whole number >= {at_least}, got {max_iter!r}")
    if not (isinstance(tol, NUMBER) and 0 <= tol < np.inf):
        raise ValueError(f"`tol` must be a number >= 0, got {tol!r}")


def is_passed_over(y: Any) -> bool:
    """Whether this can only be labels, or nothing, in the place of `y`: it has one dimension."""
    return y is None or (not sp.issparse(y) and np.asarray(y).ndim == 1)


def graph_given(y: Any, connectivities: Any) -> Any:
    """Return the graph of `fit(X, y, connectivities=...)`, which may stand in the place of `y`, too.

    Pipelines put labels there. They have one dimension and are passed over; a graph has two, so that neither
    can be taken for the other.

    Raises
    ------
    TypeError
        There are two graphs.
    """
    if is_passed_over(y):
        return connectivities
    if connectivities is not None:
        raise TypeError(
            f"`connectivities` is given by name, and there is a {type(y).__name__} in the place of `y`; "
            "leave out one of them"
        )
    return y
