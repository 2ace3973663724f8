"""Mean profiles of the source's classes, believed as far as held-out rows bear them out.

A mean of n rows is the factors' part W g plus a rest r of which some is noise of variance Λ / n. Few rows
leave so much of it that directions which tell the classes apart follow the noise, and classes look farther
apart than they are. So every gene's rest is shrunk, r (1 - c / z²)₊ with z² = n r² / Λ (the positive part
rule of James & Stein 1961), with the least c for which rows that had no part in the means are no farther from
their class than the model says they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.transfer.class_coordinates import ClassCoordinates

__all__ = ["believed_profiles"]

SHRINKAGES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
N_FOLDS = 5
# With more rows the means are known well enough, but for rare classes, and passes over the rows take long.
_MAX_ROWS = 50_000


def believed_profiles(
    model: SupervisedFactorAnalysis,
    datasets: Sequence[tuple[StandardizedMatrix, np.ndarray]],
    random_state: int,
) -> tuple[np.ndarray, float]:
    """Profiles (L, p) of the classes, and the shrinkage c that they were given.

    Parameters
    ----------
    model
        Fitted to the sources.
    datasets
        Rows of every source, standardised as for the model, and their labels.
    random_state
        Seed of the folds.
    """
    n = sum(len(y) for _, y in datasets)
    if n > _MAX_ROWS:
        return model.class_profiles_, 0.0
    codes = [np.searchsorted(model.classes_, y) for _, y in datasets]
    folds = np.random.default_rng(random_state).permutation(n) % N_FOLDS
    fold_of = np.split(folds, np.cumsum([len(y) for _, y in datasets])[:-1])
    means, counts = fold_means(datasets, codes, fold_of, len(model.classes_))
    for c in SHRINKAGES:
        held_out = [coordinates_without(model, means, counts, fold, c) for fold in range(N_FOLDS)]
        if sum(map(partial(excess, held_out), datasets, codes, fold_of)) <= 0:
            break
    return shrunken(model, model.class_profiles_, model.class_counts_, c), c


def coordinates_without(
    model: SupervisedFactorAnalysis, means: np.ndarray, counts: np.ndarray, fold: int, c: float
) -> ClassCoordinates:
    """Coordinates from all folds but one, of which `fold_means` gives means and counts."""
    others = np.arange(N_FOLDS) != fold
    rows = np.maximum(counts[others].sum(axis=0), 1.0)
    profiles = np.einsum("fl,flp->lp", counts[others], means[others]) / rows[:, None]
    return ClassCoordinates.from_model(model, shrunken(model, profiles, rows, c))


def excess(
    held_out: Sequence[ClassCoordinates],
    dataset: tuple[StandardizedMatrix, np.ndarray],
    codes: np.ndarray,
    fold_of: np.ndarray,
) -> float:
    """Squared distance of a source's rows from their class, beyond the one that the model says; one pass."""
    places = dataset[0].dot(np.hstack([one.projection for one in held_out]))
    ends = np.cumsum([one.projection.shape[1] for one in held_out])[:-1]
    total = 0.0
    for fold, (one, U) in enumerate(zip(held_out, np.split(places, ends, axis=1), strict=True)):
        rows = fold_of == fold
        total += float(np.sum((U[rows] - one.means[codes[rows]]) ** 2) / U.shape[1] - rows.sum())
    return total


def fold_means(
    datasets: Sequence[tuple[StandardizedMatrix, np.ndarray]],
    codes: Sequence[np.ndarray],
    fold_of: Sequence[np.ndarray],
    n_classes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean profile (folds, L, p) and number of rows (folds, L) of every class in every fold."""
    sums, counts = 0.0, np.zeros(N_FOLDS * n_classes)
    for (X, _), of_class, of_fold in zip(datasets, codes, fold_of, strict=True):
        groups = of_fold * n_classes + of_class
        here = np.bincount(groups, minlength=len(counts))
        sums = sums + here[:, None] * X.group_means(groups, len(counts))
        counts += here
    means = sums / np.maximum(counts, 1.0)[:, None]
    return means.reshape(N_FOLDS, n_classes, -1), counts.reshape(N_FOLDS, n_classes)


def shrunken(
    model: SupervisedFactorAnalysis, profiles: np.ndarray, counts: np.ndarray, c: float
) -> np.ndarray:
    """Profiles (L, p), means of so many rows (L,), with what is not of the factors shrunk."""
    if c == 0:
        return profiles
    A = model.loadings_ / model.noise_variance_[:, None]
    spanned = np.linalg.solve(model.loadings_.T @ A, A.T @ profiles.T).T @ model.loadings_.T
    if np.isinf(c):
        return np.asarray(spanned)
    rest = profiles - spanned
    z2 = counts[:, None] * rest**2 / model.noise_variance_
    return np.asarray(spanned + rest * np.maximum(0.0, 1.0 - c / np.maximum(z2, 1e-12)))
