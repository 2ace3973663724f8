"""Stages 1 and 2: the sources worth using, their model, and what of its loadings the target takes over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import KFold

from transst_py._core.eigen import orthonormal_basis
from transst_py._core.options import (
    DEFAULTS,
    LabelNoiseAction,
    PenaltyRule,
    Scaling,
    Solver,
    SourceSelection,
    SourceStart,
)
from transst_py._core.progress import Progress
from transst_py._core.typing import Matrix
from transst_py._core.warn import warn
from transst_py.expression.standardize import StandardizedMatrix, column_moments, pooled_moments
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.source.label_noise import LabelNoise, fit_source_model, warn_of_label_noise
from transst_py.source.selection import SourceMerits, sampled
from transst_py.source.statistics import Scatter, class_statistics
from transst_py.transfer.adaptive_loadings import AdaptiveLoadings

__all__ = ["LinearFactors", "standardized"]


@dataclass
class SourceFit:
    """Stage 1 with the genes scaled in one way; the model is `None` where no source is used.

    Attributes
    ----------
    model, merits, used, label_noise
        What came out.
    datasets, believed
        Rows and labels of the sources that are used, and whose labels are believed, (n_s,) bool.
    sample
        Spots of the target, in memory, enough to compare it with the sources.
    scatters
        Sum of x x' over the rows of each source that is used.
    of_target
        Sum of x x' over all spots of the target, where the transfer has formed it.
    """

    model: SupervisedFactorAnalysis | None = None
    merits: SourceMerits = field(default_factory=lambda: SourceMerits.unknown(0))
    used: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    label_noise: list[LabelNoise] = field(default_factory=list)
    datasets: list[tuple[StandardizedMatrix, np.ndarray]] = field(default_factory=list)
    believed: list[np.ndarray] = field(default_factory=list)
    sample: StandardizedMatrix | None = None
    scatters: list[Scatter] = field(default_factory=list)
    of_target: Scatter | None = None


@dataclass
class FactorFit:
    """Stages 1 and 2 with the genes scaled in one way."""

    scaling: str
    target: StandardizedMatrix
    source: SourceFit
    transfer: AdaptiveLoadings


class LinearFactors(BaseEstimator):
    """Loadings of the target's genes, with those of labelled sources as far as they help.

    Parameters
    ----------
    n_factors, scaling, penalties, n_folds, penalty_rule, solver, source_start
        See `TransST`.
    source_selection, label_noise, random_state
        See `TransST`.

    Attributes
    ----------
    target_ : StandardizedMatrix (n, p)
    shared_ : ndarray (p_s,)
        Which of the p genes the sources have: those of the source model.
    source_model_ : SupervisedFactorAnalysis or None
    sources_ : SourceFit
        The sources that this is a model of.
    transfer_ : AdaptiveLoadings
    source_merits_, sources_used_, label_noise_, suspicious_, scaling_errors_
        See `TransST`; rows of `suspicious_` are those that were given here.
    """

    def __init__(
        self,
        n_factors: int,
        *,
        scaling: Scaling = DEFAULTS.scaling,
        penalties: tuple[float, ...] = DEFAULTS.penalties,
        n_folds: int = DEFAULTS.n_folds,
        penalty_rule: PenaltyRule = DEFAULTS.penalty_rule,
        solver: Solver = DEFAULTS.solver,
        source_start: SourceStart = DEFAULTS.source_start,
        source_selection: SourceSelection = DEFAULTS.source_selection,
        label_noise: LabelNoiseAction = DEFAULTS.label_noise,
        random_state: int = DEFAULTS.random_state,
    ) -> None:
        self.n_factors = n_factors
        self.scaling = scaling
        self.penalties = penalties
        self.n_folds = n_folds
        self.penalty_rule = penalty_rule
        self.solver = solver
        self.source_start = source_start
        self.source_selection = source_selection
        self.label_noise = label_noise
        self.random_state = random_state

    def fit(
        self,
        X: Matrix,
        sources: dict[Any, tuple[Matrix, np.ndarray]],
        progress: Progress,
        shared: np.ndarray,
    ) -> Self:
        """Fit with the given scaling, or with the one that predicts held-out spots better.

        Parameters
        ----------
        X
            (n, p) log expression of the target.
        sources
            By name, (n_s, p_s) log expression and (n_s,) labels, none missing.
        progress
            What tells of the stages.
        shared
            (p_s,) which of the target's genes those of the sources are.

        Warns
        -----
        UserWarning
            A source is not used, or many of its labels seem wrong.
        """
        self.shared_ = shared
        both = self.scaling == "auto"
        scalings = ["per_dataset", *(["joint"] if sources else [])] if both else [self.scaling]
        fits = [self._fit_scaled(X, list(sources.values()), scaling, progress) for scaling in scalings]
        self.scaling_errors_: dict[str, float] = {}
        if len(fits) > 1:
            with progress.stage("scaling", "held-out error of " + " and ".join(scalings)):
                self.scaling_errors_ = {
                    fit.scaling: self._held_out_error(fit, fits[0].target) for fit in fits
                }
        chosen = min(fits, key=lambda fit: self.scaling_errors_.get(fit.scaling, 0.0))
        self.target_, self.transfer_ = chosen.target, chosen.transfer
        self.source_model_, self.sources_ = chosen.source.model, chosen.source
        self._note_sources(list(sources), chosen.source)
        return self

    def _fit_scaled(
        self, X: Matrix, sources: list[tuple[Matrix, np.ndarray]], scaling: str, progress: Progress
    ) -> FactorFit:
        """Both stages on genes scaled in one way."""
        joint = scaling == "joint"
        target, scaled = standardized(X, [M for M, _ in sources], joint=joint, shared=self.shared_)
        labels = [y for _, y in sources]
        source = SourceFit()
        if sources:
            with progress.stage(
                "source model", f"{sum(map(len, labels))} labelled rows, {len(self.shared_)} genes"
            ):
                pairs = list(zip(scaled, labels, strict=True))
                source = self._fit_sources(target.columns(self.shared_), pairs)
        with progress.stage("transfer", f"{X.shape[0]} spots, {self.n_factors} factors"):
            transfer = self._transfer(self.penalties, self.n_folds)
            transfer.fit(target, source_loadings=self._source_loadings(source.model, X.shape[1]))
            scatter = transfer.take_scatter()
        if scatter is not None:
            source.of_target = Scatter(np.empty((0, X.shape[1])), scatter).of_genes(self.shared_)
        return FactorFit(scaling, target, source, transfer)

    def _fit_sources(
        self, target: StandardizedMatrix, datasets: list[tuple[StandardizedMatrix, np.ndarray]]
    ) -> SourceFit:
        """Choose the sources that are worth it, and fit their model."""
        classes, statistics = class_statistics(datasets)
        sample = sampled(target, self.random_state)
        merits = SourceMerits.of(sample, statistics, self.n_factors, self.random_state)
        every = np.ones(len(datasets), dtype=bool)
        used = merits.worth_using() if self.source_selection == "auto" else every
        if not used.any():
            return SourceFit(merits=merits, used=used)
        model = SupervisedFactorAnalysis(self.n_factors, start=self.source_start)
        chosen = [datasets[s] for s in np.flatnonzero(used)]
        theirs = [statistics[s] for s in np.flatnonzero(used)]
        noise, believed = fit_source_model(
            model, chosen, classes, theirs, label_noise=self.label_noise, random_state=self.random_state
        )
        scatters = [one.total for one in theirs]
        return SourceFit(model, merits, used, noise, chosen, believed, sample, scatters)

    def _source_loadings(self, model: SupervisedFactorAnalysis | None, n_genes: int) -> np.ndarray | None:
        """Loadings of the target's genes in the source, (p, q); 0 for those that it has not."""
        return None if model is None else spread(model.loadings_, self.shared_, n_genes)

    def _transfer(self, penalties: tuple[float, ...], n_folds: int) -> AdaptiveLoadings:
        return AdaptiveLoadings(
            self.n_factors,
            penalties=penalties,
            n_folds=n_folds,
            penalty_rule=self.penalty_rule,
            solver=self.solver,
            random_state=self.random_state,
        )

    def _held_out_error(self, fit: FactorFit, own: StandardizedMatrix) -> float:
        """Share of the target's variance that loadings found on other spots leave unexplained.

        Genes count in units of their own spread in the target (`own`), however the fit has scaled them.
        """
        W0 = self._source_loadings(fit.source.model, own.shape[1])
        units = (fit.target.scale / own.scale)[:, None]
        n = own.shape[0]
        unexplained = 0.0
        folds = KFold(self.n_folds, shuffle=True, random_state=self.random_state)
        for others, held_out in folds.split(np.zeros(n)):
            transfer = self._transfer((fit.transfer.penalty_,), 2)
            transfer.fit(fit.target.rows(others), source_loadings=W0)
            rows = own.rows(held_out)
            explained = np.sum(rows.dot(orthonormal_basis(units * transfer.loadings_)) ** 2)
            unexplained += float(rows.row_squares().sum() - explained)
        return unexplained / float(own.row_squares().sum())

    def _note_sources(self, names: list[Any], fit: SourceFit) -> None:
        """Record what speaks for the sources and their labels, and warn of what speaks against."""
        self.source_merits_ = fit.merits.table(names)
        self.sources_used_ = [name for name, use in zip(names, fit.used, strict=True) if use]
        left_out = self.source_merits_.drop(index=self.sources_used_)
        random = left_out["random_labels"]
        _warn_of_sources(
            left_out.loc[random, "label_dependence"],
            "sources whose labels go with their own expression no better than labels in random order",
            "0 is chance; are labels and rows in the same order?",
        )
        _warn_of_sources(
            left_out.loc[~random, "relevance"],
            "sources of too little relevance for the target",
            "1 is a neighbouring slice, 0 chance.",
        )
        found = dict(zip(self.sources_used_, fit.label_noise, strict=bool(fit.label_noise)))
        warn_of_label_noise(found, removed=self.label_noise == "remove")
        self.label_noise_ = {name: noise.rate for name, noise in found.items()}
        self.suspicious_ = {name: noise.table() for name, noise in found.items()}


def _warn_of_sources(merits: pd.Series, what: str, meaning: str) -> None:
    if len(merits):
        listed = ", ".join(f"{name!r} ({value:.2f})" for name, value in merits.items())
        warn(f"{what} are not used: {listed}; {meaning} `source_selection`='all' uses every source")


def spread(A: np.ndarray, shared: np.ndarray, n_genes: int) -> np.ndarray:
    """Rows of A (p_s, r) at the positions of the shared genes, (p, r); 0 for the others."""
    if len(shared) == n_genes:
        return A
    rows = np.zeros((n_genes, A.shape[1]))
    rows[shared] = A
    return rows


def standardized(
    X: Matrix, sources: list[Matrix], *, joint: bool, shared: np.ndarray | None = None
) -> tuple[StandardizedMatrix, list[StandardizedMatrix]]:
    """Centre and scale every data set by its own moments, or by those of all rows together.

    The sources have the genes `shared` of the target, or all.
    """
    moments = [column_moments(M) for M in (X, *sources)]
    if joint and sources:
        index = np.arange(X.shape[1]) if shared is None else shared
        mean, variance = (own.copy() for own in moments[0])
        of_shared = [(mean[index], variance[index]), *moments[1:]]
        pooled = pooled_moments(of_shared, [M.shape[0] for M in (X, *sources)])
        mean[index], variance[index] = pooled
        moments = [(mean, variance), *[pooled] * len(sources)]
    target, *others = [
        StandardizedMatrix(M, mean, np.where(variance > 0, np.sqrt(variance), 1.0))
        for M, (mean, variance) in zip((X, *sources), moments, strict=True)
    ]
    return target, others
