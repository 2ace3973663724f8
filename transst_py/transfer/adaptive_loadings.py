"""Stage 2, adaptive transfer: loadings of the target, pulled towards those of the source.

    minimise ‖X - v W'‖² + λ ‖W - W0‖²           (docs/method.md, stage 2)

λ is chosen by K-fold cross-validation on held-out projection error; one split serves all penalties, and
the grid reaches from no transfer (0) to full transfer (∞). Everything runs on p x p Gram matrices
independent of the number of spots; where those of all folds would take more than 2.4 GB,
on products with the rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from scipy.linalg import qr
from scipy.linalg.lapack import dormqr
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from transst_py._core.eigen import fix_signs, leading_eigenvectors, orthonormal_basis
from transst_py._core.options import DEFAULTS, PenaltyRule, Solver, choices
from transst_py._core.threads import in_threads
from transst_py._core.validation import check_choice, check_seed
from transst_py.expression.features import (
    NUMBER,
    WHOLE,
    check_n_factors,
    is_passed_over,
    rows_of_fit,
    rows_to_predict,
)
from transst_py.expression.standardize import StandardizedMatrix, standardize
from transst_py.transfer.penalized import (
    ImplicitGram,
    alternating_loadings,
    principal_order,
    principal_path,
    unexplained_shares,
)

__all__ = ["AdaptiveLoadings"]

# Numbers that all dense arrays together may hold.
_MAX_NUMBERS = 300_000_000
# Angle to which the loadings of a fold are known: held-out errors are then exact to 1e-6.
_CV_TOLERANCE = 1e-3


class AdaptiveLoadings(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Loadings of the target data with a ridge pull towards source loadings (stage 2 of TransST).

    Parameters
    ----------
    n_factors
        Number of factors when there are no source loadings; otherwise they decide it.
    penalties
        Grid of relative penalties, 0 (no transfer) and `inf` (source loadings as they are) allowed. 1 means
        that the source weighs as much as the target's variance along an average source factor.
    n_folds
        Folds of the cross-validation.
    penalty_rule
        "best": the penalty with the smallest mean error. "1se": the smallest penalty whose error exceeds that
        by no more than one standard error of their difference over the folds, so that the source is followed
        no further than the target confirms.
    solver
        "eigen" (closed form, global minimum) or "alternating" (the published alternating minimisation, run to
        convergence).
    center, scale
        Centre the genes; scale them to unit variance. Ignored for input standardised already.
    random_state
        Seed of the split and of the eigen solver's start.

    Attributes
    ----------
    loadings_ : ndarray (p, q)
        W, columns by decreasing target variance.
    penalty_ : float
        The chosen relative penalty (0 without source loadings).
    cv_penalties_ : ndarray (m,)
    cv_errors_ : ndarray (n_folds, m)
        Held-out share of the variance not explained.
    cv_standard_errors_ : ndarray (m,)
        Standard error, over the folds, of a penalty's difference from the best.
    mean_, scale_ : ndarray (p,)
    n_features_in_ : int
    feature_names_in_ : ndarray (p,)
        Names of the genes, where X was a DataFrame; `transform` then wants the same in the same order.
    """

    def __init__(
        self,
        n_factors: int = DEFAULTS.n_factors,
        *,
        penalties: tuple[float, ...] = DEFAULTS.penalties,
        n_folds: int = DEFAULTS.n_folds,
        penalty_rule: PenaltyRule = DEFAULTS.penalty_rule,
        solver: Solver = DEFAULTS.solver,
        center: bool = True,
        scale: bool = False,
        random_state: int = DEFAULTS.random_state,
    ) -> None:
        self.n_factors = n_factors
        self.penalties = penalties
        self.n_folds = n_folds
        self.penalty_rule = penalty_rule
        self.solver = solver
        self.center = center
        self.scale = scale
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, source_loadings: np.ndarray | None = None) -> Self:
        """Choose the penalty and fit the loadings on all spots.

        Parameters
        ----------
        X
            (n, p) array, sparse matrix, DataFrame or `StandardizedMatrix`.
        y
            Not used: pipelines put labels here.
        source_loadings
            W0, (p, q); `None` fits the same model without transfer (principal axes of the target).

        Raises
        ------
        ValueError
            An option is out of range, or shapes do not fit.
        TypeError
            Loadings stand in the place of `y`, where nothing would use them.
        """
        if not is_passed_over(y):
            raise TypeError(
                f"`y` is not used, and got an array of shape {np.shape(y)}; give the loadings of a source by "
                "name: source_loadings="
            )
        X = standardize(rows_of_fit(self, X), center=self.center, scale=self.scale)
        W0 = None if source_loadings is None else check_loadings(source_loadings, X.shape[1])
        self._check(X, self.n_factors if W0 is None else W0.shape[1])
        self.mean_, self.scale_ = X.mean, X.scale
        self._scatter: np.ndarray | None = None
        if W0 is None:
            self.penalty_ = 0.0
            self.cv_penalties_, self.cv_standard_errors_ = np.zeros(0), np.zeros(0)
            self.cv_errors_ = np.zeros((0, 0))
            G = X.scatter() if X.shape[1] ** 2 <= _MAX_NUMBERS else ImplicitGram(X, np.ones(X.shape[0]))
            self.loadings_ = leading_eigenvectors(G, self.n_factors, self.random_state)
            return self

        to_genes, W0, grams = self._coordinates(X, W0)
        total = _sum(grams)
        self._scatter = total if to_genes is _unchanged and isinstance(total, np.ndarray) else None
        self.cv_penalties_ = np.unique(self.penalties)
        own = threading.local()

        def errors(G: Any) -> np.ndarray:
            if isinstance(G, np.ndarray):
                # A new array for every fold would take longer than what is computed with it.
                own.others = np.subtract(total, G, out=getattr(own, "others", None))
            else:
                own.others = total - G
            return unexplained_shares(G, self._path(own.others, W0, self.cv_penalties_, _CV_TOLERANCE))

        self.cv_errors_ = np.array(in_threads(errors, grams))
        self.cv_standard_errors_ = paired_standard_errors(self.cv_errors_)
        self.penalty_ = float(self.cv_penalties_[self._chosen()])
        W = self._path(total, W0, np.array([self.penalty_]))[0]
        self.loadings_ = fix_signs(to_genes(principal_order(W, total)))
        return self

    def take_scatter(self) -> np.ndarray | None:
        """Give away the (p, p) sum of x x' over the rows of the fit, once; `None` where it was not formed."""
        scatter, self._scatter = self._scatter, None
        return scatter

    def transform(self, X: Any) -> np.ndarray:
        """Return the (n, q) projection scores v = X W (W'W)⁻¹ of standardised rows."""
        return self.standardize(X).dot(self.projection())

    def projection(self) -> np.ndarray:
        """Return W (W'W)⁻¹, (p, q), which takes standardised genes to scores."""
        check_is_fitted(self)
        W = self.loadings_
        return np.asarray(np.linalg.solve(W.T @ W, W.T).T)

    def standardize(self, X: Any) -> StandardizedMatrix:
        """Centre and scale rows by the moments of the fit.

        Raises
        ------
        ValueError
            X has other genes.
        """
        check_is_fitted(self)
        rows = rows_to_predict(self, X)
        if isinstance(rows, StandardizedMatrix):
            return rows
        return StandardizedMatrix(rows, self.mean_, self.scale_)

    def score(self, X: Any, y: Any = None) -> float:
        """Share of the variance of rows, standardised as those of the fit, that the loadings explain.

        It is 1 minus what `cv_errors_` holds of held-out rows. `y` is not used.
        """
        rows = self.standardize(X)
        total = float(rows.row_squares().sum())
        explained = float(np.sum(rows.dot(orthonormal_basis(self.loadings_)) ** 2))
        return explained / total if total > 0 else 1.0

    @property
    def _n_features_out(self) -> int:
        return int(self.loadings_.shape[1])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check(self, X: StandardizedMatrix, q: int) -> None:
        n, p = X.shape
        check_seed(self.random_state)
        check_n_factors(q, n, p)
        check_choice("solver", self.solver, choices(Solver))
        check_choice("penalty_rule", self.penalty_rule, choices(PenaltyRule))
        n_folds: Any = self.n_folds
        if not (isinstance(n_folds, WHOLE) and 2 <= n_folds <= n):
            raise ValueError(f"`n_folds` must lie between 2 and the {n} spots, got {self.n_folds}")
        check_penalties(self.penalties)

    def _chosen(self) -> int:
        errors = self.cv_errors_.mean(axis=0)
        if self.penalty_rule == "best":
            return int(errors.argmin())
        return int(np.argmax(errors <= errors.min() + self.cv_standard_errors_))

    def _coordinates(
        self, X: StandardizedMatrix, W0: np.ndarray
    ) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray, list[Any]]:
        """Coordinates that hold every solution: the way back to genes, W0, and the Gram matrix of every fold.

        All solutions lie in the span of the rows of X and of W0: with fewer spots than genes
        that is the smaller space, and B = QR, B = [X', W0], gives an orthonormal basis of it, in which R
        holds the rows and W0.
        """
        (n, p), n_grams = X.shape, self.n_folds + 2
        folds = KFold(self.n_folds, shuffle=True, random_state=self.random_state).split(np.zeros(n))
        tests = [held_out for _, held_out in folds]
        few_rows = n + W0.shape[1] < p
        if n_grams * min(n, p) ** 2 + few_rows * 3 * n * p > _MAX_NUMBERS:
            return _unchanged, W0, [ImplicitGram(X, np.isin(np.arange(n), test) * 1.0) for test in tests]
        if not few_rows:
            fold = np.empty(n, dtype=np.int16)
            for k, test in enumerate(tests):
                fold[test] = k
            return _unchanged, W0, list(X.scatters(fold, self.n_folds))
        B = np.hstack([X.toarray().T, W0])
        (reflectors, tau), R = qr(B, mode="raw", overwrite_a=True, check_finite=False)
        rows = R[:, :n].T
        grams = [rows[test].T @ rows[test] for test in tests]
        return partial(_back_to_genes, reflectors, tau), R[:, n:], grams

    def _path(
        self, G: Any, W0: np.ndarray, penalties: np.ndarray, tolerance: float = 1e-6
    ) -> list[np.ndarray]:
        """Loadings for each penalty (ascending); the alternating solver walks down from W0."""
        if self.solver == "eigen":
            return principal_path(G, W0, penalties, self.random_state, tolerance)
        path, W = [], W0
        for penalty in penalties[::-1]:
            # λ = 0 has the exact limit of the sweeps: the principal axes of the target.
            W = (
                leading_eigenvectors(G, W0.shape[1], self.random_state)
                if penalty == 0
                else alternating_loadings(G, W0, penalty, W)[0]
            )
            path.append(W)
        return path[::-1]


def check_loadings(given: Any, n_genes: int) -> np.ndarray:
    """Return the loadings of a source, (p, q).

    Raises
    ------
    ValueError
        They are of another shape, not finite, or linearly dependent.
    """
    W0: np.ndarray = np.asarray(given, dtype=np.float64)
    if W0.ndim != 2:
        raise ValueError(f"`source_loadings` must have two dimensions, genes x factors, got shape {W0.shape}")
    if W0.shape[0] != n_genes:
        raise ValueError(f"`source_loadings` has {W0.shape[0]} rows, the data {n_genes} genes")
    if not np.isfinite(W0).all():
        raise ValueError("`source_loadings` has missing or infinite values")
    if 0 < W0.shape[1] < n_genes and (rank := orthonormal_basis(W0).shape[1]) < W0.shape[1]:
        raise ValueError(
            f"`source_loadings` has {W0.shape[1]} columns that span only {rank} dimension(s); "
            "leave the others out"
        )
    return W0


def check_penalties(penalties: Any) -> None:
    """Refuse anything but numbers >= 0, at least one.

    Raises
    ------
    ValueError
        They are something else.
    """
    numbers = not isinstance(penalties, str) and np.ndim(penalties) == 1 and len(penalties) > 0
    if not numbers or not all(isinstance(one, NUMBER) and one >= 0 for one in penalties):
        raise ValueError(f"`penalties` must be numbers >= 0, got {penalties!r}")


def paired_standard_errors(errors: np.ndarray) -> np.ndarray:
    """Standard error over the folds (rows) of each column's difference from the column of smallest mean."""
    differences = errors - errors[:, [errors.mean(axis=0).argmin()]]
    return np.asarray(differences.std(axis=0, ddof=1) / np.sqrt(len(errors)))


def _sum(grams: Sequence[Any]) -> Any:
    """Gram matrix of all rows, in double precision."""
    if not isinstance(grams[0], np.ndarray):
        return sum(grams[1:], start=grams[0])
    total = grams[0].astype(np.float64)
    for G in grams[1:]:
        total += G
    return total


def _unchanged(W: np.ndarray) -> np.ndarray:
    return W


def _back_to_genes(reflectors: np.ndarray, tau: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Q W, Q given as LAPACK's Householder reflectors."""
    padded = np.zeros((len(reflectors), W.shape[1]), order="F")
    padded[: len(W)] = W
    work = max(1, 64 * W.shape[1])
    return np.asarray(dormqr("L", "N", reflectors, tau, padded, work)[0])
