"""Stage 1, the source model: supervised factor analysis of labelled spots or cells.

    x_i | z_i ~ N(W z_i, Λ),   z_i | class k ~ N(μ_k, Σ_k),   Λ diagonal.

The EM of docs/method.md (stage 1), run on class statistics: after one pass over
the data every iteration costs O(K p² q), whatever the number of rows. Where the p x p statistics of all
classes would take more than 1.6 GB, the iterations multiply the sparse rows instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from transst_py._core.anderson import AndersonMixing
from transst_py._core.options import DEFAULTS, SourceStart, choices
from transst_py._core.threads import one_blas_thread
from transst_py._core.validation import check_choice, list_some
from transst_py._core.warn import warn
from transst_py.expression.features import check_iterations, check_n_factors, rows_of_fit, rows_to_predict
from transst_py.expression.standardize import StandardizedMatrix, standardize
from transst_py.source.em import (
    MANY_GENES,
    Parameters,
    em_update,
    fix_gauge,
    initial_axes,
    initial_parameters,
    lowest_noise,
)
from transst_py.source.statistics import ClassStatistics, check_labels, class_statistics

__all__ = ["SupervisedFactorAnalysis"]


class SupervisedFactorAnalysis(BaseEstimator):
    """Factor analysis whose factors follow one Gaussian per labelled class (stage 1 of TransST).

    Parameters
    ----------
    n_factors
        Number of factors q.
    center, scale
        Centre the genes; scale them to unit variance. Ignored for input standardised already.
    start
        "principal": the EM starts from principal axes. "weighted": from those of genes weighted by the
        inverse of their residual spread (Bai & Liao 2013).
    max_iter
        Largest number of EM updates.
    tol
        Stop when the log-likelihood grows by less than `tol` times its magnitude, twice in turn. Much less
        than the default converges further and fits the weak factors to noise: no tissue gained by it, tumours
        lost (docs/method.md).

    Attributes
    ----------
    classes_ : ndarray (K,)
        Class names, sorted.
    loadings_ : ndarray (p, q)
        W, in the gauge where the factors have unit second moment.
    noise_variance_ : ndarray (p,)
        Diagonal of Λ, at least 0.005 of the gene's variance.
    class_counts_ : ndarray (K,)
        Rows of every class.
    class_profiles_ : ndarray (K, p)
        Mean of the standardised genes in every class.
    class_means_, class_covariances_ : ndarray (K, q), (K, q, q)
        μ and Σ, in the gauge of `loadings_`.
    mean_, scale_ : ndarray (p,)
        Standardisation applied to the genes.
    lower_bounds_ : list of float
        Log-likelihood of the start and of each better point that was found; never decreases.
    n_iter_, converged_
        Passes over the statistics after the first, and whether `tol` was met.
    n_features_in_ : int
    feature_names_in_ : ndarray (p,)
        Names of the genes, where X was a DataFrame; `score` then wants the same in the same order.

    Notes
    -----
    The probabilistic model of the paper (pLDR); equations in docs/method.md, stage 1.
    """

    def __init__(
        self,
        n_factors: int = DEFAULTS.n_factors,
        *,
        center: bool = True,
        scale: bool = False,
        start: SourceStart = DEFAULTS.source_start,
        max_iter: int = 500,
        tol: float = 1e-5,
    ) -> None:
        self.n_factors = n_factors
        self.center = center
        self.scale = scale
        self.start = start
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model.

        Parameters
        ----------
        X
            (n, p) array, sparse matrix or `StandardizedMatrix`.
        y
            (n,) class labels, none missing.

        Raises
        ------
        ValueError
            Lengths differ, a label is missing, or `n_factors` exceeds what rows and genes allow.

        Warns
        -----
        ConvergenceWarning
            `max_iter` was reached.
        """
        X = standardize(rows_of_fit(self, X), center=self.center, scale=self.scale)
        if y is None:
            raise ValueError("`y` is missing: the model requires y to be passed, but the target y is None")
        fitted = self.fit_datasets([(X, y)])
        self.mean_, self.scale_ = X.mean, X.scale
        return fitted

    def fit_datasets(self, datasets: Sequence[tuple[StandardizedMatrix, Any]]) -> Self:
        """Fit one model to several data sets, each standardised in its own way.

        Parameters
        ----------
        datasets
            Pairs of a `StandardizedMatrix` (n_s, p), all of the same p genes, and its (n_s,) labels. `mean_`
            and `scale_` are not set.

        Raises
        ------
        ValueError
            As `fit`.
        """
        return self.fit_statistics(*class_statistics(datasets))

    def fit_statistics(self, classes: np.ndarray, datasets: Sequence[ClassStatistics]) -> Self:
        """Fit one model to the statistics of several data sets, as `class_statistics` collects them.

        Parameters
        ----------
        classes
            (K,) names of the classes; those without rows in any of the data sets are left out.
        datasets
            Statistics of every data set.

        Raises
        ------
        ValueError
            `n_factors` exceeds what rows and genes allow, or `start` is unknown.
        """
        check_choice("start", self.start, choices(SourceStart))
        check_iterations(self.max_iter, self.tol, at_least=0)
        statistics = sum(datasets[1:], start=datasets[0])
        present = np.flatnonzero(statistics.counts)
        if len(present) < len(classes):
            statistics = statistics.of_classes(present)
        n, p = int(statistics.counts.sum()), statistics.means.shape[1]
        if n < 2:
            raise ValueError(f"`y` has {n} labelled row in all; the source model needs more than `n_factors`")
        check_n_factors(self.n_factors, n, p, "rows")
        if not statistics.total.diagonal.any():
            raise ValueError("`X` has no gene that varies: there is nothing to find factors of")
        self.classes_ = classes[present]
        self.n_features_in_ = p
        # As narrow as the products of the eigen solver (see there).
        with one_blas_thread:
            parameters = self._run_em(statistics)
        gauged = fix_gauge(parameters, statistics.counts)
        self.loadings_ = gauged.loadings
        self.noise_variance_ = gauged.noise_variance
        self.class_counts_ = statistics.counts
        self.class_profiles_ = statistics.means
        self.class_means_ = gauged.class_means
        self.class_covariances_ = gauged.class_covariances
        return self

    def _run_em(self, statistics: ClassStatistics) -> Parameters:
        """Raise the likelihood by updates of the EM, and by what Anderson acceleration makes of them.

        A point of less likelihood than the last is dropped, and the plain update of the last taken.
        """
        variance = statistics.total.diagonal / statistics.counts.sum()
        noise_floor = lowest_noise(variance)
        axes = initial_axes(statistics, self.n_factors, noise_floor, self.start)
        tried = best = initial_parameters(statistics, axes, noise_floor)
        mixing = AndersonMixing(tried.weights())
        plain, accelerated = tried, False
        many = len(variance) > MANY_GENES
        scatters = [S.in_single_precision() for S in statistics.scatters] if many else None
        self.lower_bounds_: list[float] = []
        self.converged_ = False
        for n_passes in range(self.max_iter + 1):
            self.n_iter_ = n_passes
            updated, bound = em_update(statistics, tried, noise_floor, scatters)
            if accelerated and bound < self.lower_bounds_[-1]:
                mixing.forget()
                tried, accelerated = plain, False
                continue
            best, plain = tried, updated
            self.lower_bounds_.append(bound)
            # Twice in turn: a single step of the accelerated EM may gain little by chance.
            if (
                len(self.lower_bounds_) > 2
                and (np.diff(self.lower_bounds_[-3:]) < self.tol * abs(bound)).all()
            ):
                self.converged_ = True
                return best
            image = updated.vector()
            proposed = mixing.propose(tried.vector(), image)
            accelerated = proposed is not image
            tried = updated.with_vector(proposed, noise_floor) if accelerated else updated
        warn(
            f"the source model did not converge in {self.max_iter} EM updates; "
            "increase `max_iter`, or relax `tol`",
            ConvergenceWarning,
        )
        return best

    def score(self, X: Any, y: Any) -> float:
        """Mean log-likelihood of rows, standardised as those of the fit, given their classes.

        Parameters
        ----------
        X
            (n, p) array, sparse matrix or `StandardizedMatrix`.
        y
            (n,) labels, of classes that the fit has seen.

        Raises
        ------
        ValueError
            X has other genes, or a label is missing or unknown.
        """
        check_is_fitted(self, "mean_")
        rows = rows_to_predict(self, X)
        if not isinstance(rows, StandardizedMatrix):
            rows = StandardizedMatrix(rows, self.mean_, self.scale_)
        labels = check_labels(y, rows.shape[0])
        known = np.isin(labels, self.classes_)
        if not known.all():
            raise ValueError(
                f"`y` has labels that the fit has not seen: {list_some(list(np.unique(labels[~known])))}"
            )
        codes = np.searchsorted(self.classes_, labels)
        present = np.unique(codes)
        statistics = ClassStatistics.from_rows(rows, codes, len(self.classes_)).of_classes(present)
        parameters = Parameters(
            self.loadings_,
            self.noise_variance_,
            self.class_means_[present],
            self.class_covariances_[present],
        )
        return float(em_update(statistics, parameters, self.noise_variance_)[1] / rows.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags
