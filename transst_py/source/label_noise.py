"""Wrong labels of a source: how many there are, which rows bear them, and what these rows look like.

The true class c of a row is latent (Côme et al. 2009; Bootkrajang & Kabán 2012): with its factors u,

    p(c = k | u) = softmax_k(β_k0 + β_k'u),    p(given label l | c = k) = T_kl,

    r_k = p(c = k | u, l) ∝ p(c = k | u) T_kl.

The model says how labels depend on the factors and nothing of how these are distributed: Gaussians that do
not fit would show as wrong labels. Of the rows only the factors are needed, one pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from transst_py._core.warn import warn
from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.source.statistics import ClassStatistics

__all__ = ["LabelNoise", "estimate_label_noise", "fit_source_model"]

# Prior of the labels of every true class: as if this many rows had been seen, this share of them wrong.
_PRIOR_ROWS, _PRIOR_RATE = 5.0, 0.1
# Precision of the Gaussian prior of the slopes, on factors of unit variance.
_SLOPE_PRECISION = 0.3
# Rows that the probabilities are fitted to; more of them would not change these, but take their time.
_MAX_ROWS = 50_000
# Of the log density: beyond it no row changes its class.
_FIT_TOLERANCE = 1e-7
# From this share of wrong labels on the user is warned, and the rows are left out: fewer do no harm, and
# careful annotations come near it (at most 0.08 on HER2 tissue).
_NOTABLE_RATE = 0.1


@dataclass
class LabelNoise:
    """What the labels of one source are worth.

    Attributes
    ----------
    classes
        (K,) labels that occur, sorted.
    codes
        (n,) label given to every row, as a position in `classes`.
    confusion
        (K, K) T: probability of the label in the column for rows of the class in the row.
    responsibilities
        (n, K) probability of every class to be the row's true one.
    """

    classes: np.ndarray
    codes: np.ndarray
    confusion: np.ndarray
    responsibilities: np.ndarray

    @cached_property
    def trust(self) -> np.ndarray:
        """Probability that the given label is right, (n,)."""
        return np.asarray(self.responsibilities[np.arange(len(self.codes)), self.codes])

    @property
    def rate(self) -> float:
        """Expected share of wrong labels."""
        return float(1.0 - self.trust.mean())

    @property
    def suspicious(self) -> np.ndarray:
        """Rows whose label is more likely wrong than right, and which look like another class, (n,) bool."""
        return np.asarray((self.trust < 0.5) & (self.responsibilities.argmax(axis=1) != self.codes))

    def table(self) -> pd.DataFrame:
        """Suspicious rows, the surest first: columns `row`, `given`, `likely` and its `probability`."""
        rows = np.flatnonzero(self.suspicious)
        rows = rows[np.argsort(self.trust[rows], kind="stable")]
        found = self.responsibilities[rows]
        return pd.DataFrame(
            {
                "row": rows,
                "given": self.classes[self.codes[rows]],
                "likely": self.classes[found.argmax(axis=1)],
                "probability": found.max(axis=1),
            }
        )


def estimate_label_noise(
    model: SupervisedFactorAnalysis, X: StandardizedMatrix, y: np.ndarray, *, random_state: int = 0
) -> LabelNoise:
    """Estimate how the labels of a source were confused, and the true class of every row.

    Parameters
    ----------
    model
        Fitted to the source with the labels as they are: its factors hardly depend on the wrong ones.
    X
        (n, p) the source, standardised as for the model.
    y
        (n,) labels, none missing.
    random_state
        Seed of the choice of rows, where there are more than are needed.
    """
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        return LabelNoise(classes, codes, np.ones((1, 1)), np.ones((len(codes), 1)))
    U = X.dot(factor_projection(model))
    spread = U.std(axis=0)
    U = np.column_stack([(U - U.mean(axis=0)) / np.where(spread > 0, spread, 1.0), np.ones(len(U))])
    rows = np.arange(len(U))
    if len(U) > _MAX_ROWS:
        rows = np.sort(np.random.default_rng(random_state).choice(len(U), _MAX_ROWS, replace=False))
    B, log_confusion = fit_noisy_labels(U[rows], codes[rows], len(classes))
    joint = log_softmax(U @ B, axis=1) + log_confusion.T[codes]
    responsibilities = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return LabelNoise(classes, codes, np.exp(log_confusion), responsibilities)


def factor_projection(model: SupervisedFactorAnalysis) -> np.ndarray:
    """From standardised genes to the posterior mean of the factors, whatever the class, (p, q)."""
    A = model.loadings_ / model.noise_variance_[:, None]
    # The factors have unit second moment in the gauge of the model.
    precision = model.loadings_.T @ A + np.eye(A.shape[1])
    return np.asarray(np.linalg.solve(precision, A.T).T)


def fit_noisy_labels(U: np.ndarray, codes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """B (d, K) and log T (K, K) of largest posterior density, for U (n, d), factors and a column of ones.

    Starts from linear discriminant analysis: there are several maxima, as classes could change names.
    """
    d = U.shape[1]
    prior = prior_confusion(n_classes)
    start = np.concatenate([discriminant_start(U, codes, n_classes).ravel(), np.log(prior).ravel()])
    options = {"maxiter": 500, "maxcor": 20, "ftol": _FIT_TOLERANCE}
    found = minimize(negative_log_posterior, start, (U, codes, prior), "L-BFGS-B", jac=True, options=options)
    B, logits = np.split(found.x, [d * n_classes])
    return B.reshape(d, n_classes), log_softmax(logits.reshape(n_classes, n_classes), axis=1)


def prior_confusion(n_classes: int) -> np.ndarray:
    """T before any row was seen, (K, K): wrong labels of all kinds are alike."""
    T = np.full((n_classes, n_classes), _PRIOR_RATE / (n_classes - 1))
    np.fill_diagonal(T, 1.0 - _PRIOR_RATE)
    return T


def discriminant_start(U: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Coefficients of linear discriminant analysis, (d, K)."""
    X, counts = U[:, :-1], np.bincount(codes, minlength=n_classes)
    counts = np.maximum(counts, 1)  # a class may have no row among those that are looked at
    means = np.array([X[codes == k].sum(axis=0) for k in range(n_classes)]) / counts[:, None]
    residual = X - means[codes]
    slopes = np.linalg.solve(residual.T @ residual / len(X) + 1e-3 * np.eye(X.shape[1]), means.T)
    return np.vstack([slopes, np.log(counts / len(X)) - 0.5 * np.sum(means.T * slopes, axis=0)])


def negative_log_posterior(
    parameters: np.ndarray, U: np.ndarray, codes: np.ndarray, prior: np.ndarray
) -> tuple[float, np.ndarray]:
    """Value and gradient, for B and the logits of T in one array; `prior` (K, K) as `prior_confusion`."""
    (n, d), K = U.shape, len(prior)
    B, logits = parameters[: d * K].reshape(d, K), parameters[d * K :].reshape(K, K)
    log_T = log_softmax(logits, axis=1)
    T, slopes = np.exp(log_T), B[:-1]
    P = U @ B
    P -= P.max(axis=1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=1, keepdims=True)
    # No term of the sum may vanish: the likeliest class has p >= 1/K, and the prior keeps T above 0.
    R = P * T.T[codes]
    likelihood = R.sum(axis=1, keepdims=True)
    R /= likelihood
    value = np.log(likelihood).sum() - 0.5 * _SLOPE_PRECISION * np.sum(slopes**2)
    value += _PRIOR_ROWS * np.sum(prior * log_T)
    # In row k, expected rows of true class k by the label that they bear.
    bearing = sp.csr_matrix((np.ones(n), codes, np.arange(n + 1)), shape=(n, K))
    counts = (bearing.T @ R).T + _PRIOR_ROWS * prior
    R -= P
    gradient_B = U.T @ R
    gradient_B[:-1] -= _SLOPE_PRECISION * slopes
    gradient_T = counts - T * counts.sum(axis=1, keepdims=True)
    return -float(value), -np.concatenate([gradient_B.ravel(), gradient_T.ravel()])


def fit_source_model(
    model: SupervisedFactorAnalysis,
    datasets: Sequence[tuple[StandardizedMatrix, np.ndarray]],
    classes: np.ndarray,
    statistics: Sequence[ClassStatistics],
    *,
    label_noise: str,
    random_state: int = 0,
) -> tuple[list[LabelNoise], list[np.ndarray]]:
    """Fit the model to sources, with `label_noise` "remove" without the rows whose labels seem wrong.

    Parameters
    ----------
    model
        Fitted here.
    datasets
        Rows and labels of every source.
    classes, statistics
        What `class_statistics` gives for them.
    label_noise
        See `TransST`.
    random_state
        As `estimate_label_noise`.

    Returns
    -------
    One for each source, of the model fitted to all rows; none for "ignore". And the rows of every source,
    (n,) bool, whose labels are believed: the model is fitted to these in the end.
    """
    model.fit_statistics(classes, statistics)
    everything = [np.ones(len(y), dtype=bool) for _, y in datasets]
    if label_noise == "ignore":
        return [], everything
    noise = [estimate_label_noise(model, X, y, random_state=random_state) for X, y in datasets]
    kept = [rows_to_keep(one) for one in noise]
    few = sum(rows.sum() for rows in kept) <= model.n_factors
    if label_noise != "remove" or few or all(rows.all() for rows in kept):
        return noise, everything
    rest = [chosen_rows(pair, rows) for pair, rows in zip(datasets, kept, strict=True)]
    model.fit_statistics(
        classes,
        [
            old if rows.all() else _statistics_of(X, y, classes)
            for old, (X, y), rows in zip(statistics, rest, kept, strict=True)
        ],
    )
    return noise, kept


def chosen_rows(
    dataset: tuple[StandardizedMatrix, np.ndarray], rows: np.ndarray
) -> tuple[StandardizedMatrix, np.ndarray]:
    """Some rows (n,) bool of a data set and their labels, without a copy where these are all."""
    X, y = dataset
    return dataset if rows.all() else (X.rows(np.flatnonzero(rows)), y[rows])


def _statistics_of(X: StandardizedMatrix, y: np.ndarray, classes: np.ndarray) -> ClassStatistics:
    return ClassStatistics.from_rows(X, np.searchsorted(classes, y), len(classes))


def rows_to_keep(noise: LabelNoise) -> np.ndarray:
    """Rows whose labels are believed, (n,) bool; a class none of whose rows is believed stays as it is."""
    if noise.rate < _NOTABLE_RATE:
        return np.ones(len(noise.codes), dtype=bool)
    kept = ~noise.suspicious
    left = np.bincount(noise.codes[kept], minlength=len(noise.classes))
    return np.asarray(kept | (left[noise.codes] == 0))


def among_all(table: pd.DataFrame, y: Any) -> pd.DataFrame:
    """Table of suspicious rows, with rows numbered among all labels y, missing ones too."""
    labelled = np.flatnonzero(pd.Series(np.asarray(y, dtype=object)).notna())
    return table.assign(row=labelled[table["row"]])


def warn_of_label_noise(found: Mapping[Any, LabelNoise], *, removed: bool) -> None:
    """Warn of sources many of whose labels seem wrong."""
    for name, noise in found.items():
        if noise.rate >= _NOTABLE_RATE:
            done = "are left out" if removed else "look like another class"
            warn(
                f"source {name!r}: about {noise.rate:.0%} of the labels seem wrong; "
                f"{noise.suspicious.sum()} of {len(noise.codes)} rows {done}: check them, they are "
                "listed in uns[key]['source']['suspicious'] (`suspicious_` of the model)"
            )
