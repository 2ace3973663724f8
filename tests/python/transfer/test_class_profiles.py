"""Profiles of the source's classes: shrunk as far as held-out rows ask for it."""

import numpy as np
import pytest

from transst_py.expression.standardize import standardize
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.transfer.class_coordinates import ClassCoordinates
from transst_py.transfer.class_profiles import N_FOLDS, SHRINKAGES, believed_profiles, fold_means, shrunken

N_GENES, CLASSES = 300, np.array(["a", "b", "c"])


def source(n_rows, seed=0):
    """Rows of three classes whose means differ in factors and, in ten genes each, beside them."""
    truth = np.random.default_rng(7)
    W, means = truth.normal(size=(N_GENES, 3)), 0.7 * truth.normal(size=(3, 3))
    own = np.zeros((3, N_GENES))
    for k in range(3):
        own[k, 10 * k : 10 * k + 10] = 0.8
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=n_rows)
    Z = means[codes] + rng.normal(size=(n_rows, 3))
    X = Z @ W.T + own[codes] + 1.5 * rng.normal(size=(n_rows, N_GENES))
    return standardize(X, center=True, scale=True), CLASSES[codes], means @ W.T + own


def fitted(X, y):
    return SupervisedFactorAnalysis(3).fit_datasets([(X, y)])


def test_many_rows_are_believed_and_few_are_not():
    shrinkage = {}
    for n_rows in (40, 4000):
        X, y, _ = source(n_rows)
        _, shrinkage[n_rows] = believed_profiles(fitted(X, y), [(X, y)], 0)
    assert shrinkage[40] >= 1
    assert shrinkage[4000] <= 0.5


def test_shrunk_profiles_are_nearer_to_the_truth():
    X, y, truth = source(45, seed=2)
    model = fitted(X, y)
    profiles, c = believed_profiles(model, [(X, y)], 0)
    assert c > 0
    truth = (truth - X.mean) / X.scale
    spread = [P - P.mean(axis=0) for P in (profiles, model.class_profiles_, truth)]
    assert np.sum((spread[0] - spread[2]) ** 2) < 0.9 * np.sum((spread[1] - spread[2]) ** 2)


def test_held_out_rows_are_no_farther_than_the_model_says():
    """By a naive loop; the shrinkage before does not reach it."""
    X, y, _ = source(90, seed=4)
    model = fitted(X, y)
    _, chosen = believed_profiles(model, [(X, y)], 3)
    fold = np.random.default_rng(3).permutation(90) % N_FOLDS
    codes, rows = np.searchsorted(CLASSES, y), X.toarray()

    def excess(c):
        total = 0.0
        for f in range(N_FOLDS):
            kept = [(codes == k) & (fold != f) for k in range(3)]
            means = np.array([rows[members].mean(axis=0) for members in kept])
            profiles = shrunken(model, means, np.array([m.sum() for m in kept]), c)
            coordinates = ClassCoordinates.from_model(model, profiles)
            U = rows[fold == f] @ coordinates.projection - coordinates.means[codes[fold == f]]
            total += np.sum(np.mean(U**2, axis=1) - 1)
        return total

    place = SHRINKAGES.index(chosen)
    assert place > 0
    assert excess(SHRINKAGES[place - 1]) > 0
    assert chosen == np.inf or excess(chosen) <= 0


def test_shrinkage_has_its_ends():
    X, y, _ = source(60)
    model = fitted(X, y)
    counts = model.class_counts_
    np.testing.assert_array_equal(shrunken(model, model.class_profiles_, counts, 0.0), model.class_profiles_)
    spanned = shrunken(model, model.class_profiles_, counts, np.inf)
    assert np.linalg.matrix_rank(np.vstack([spanned, model.loadings_.T]), tol=1e-8) == 3
    rest = model.class_profiles_ - spanned
    for c in (0.5, 4.0):
        some = shrunken(model, model.class_profiles_, counts, c) - spanned
        assert np.all(np.abs(some) <= np.abs(rest) + 1e-12)
        small = counts[:, None] * rest**2 / model.noise_variance_ <= c
        np.testing.assert_allclose(some[small], 0, atol=1e-12)


def test_several_sources_count_together():
    X, y, _ = source(80)
    model = fitted(X, y)
    parts = [(X.rows(np.arange(50)), y[:50]), (X.rows(np.arange(50, 80)), y[50:])]
    whole = believed_profiles(model, [(X, y)], 0)
    several = believed_profiles(model, parts, 0)
    assert several[1] == whole[1]
    np.testing.assert_allclose(several[0], whole[0])
    codes = np.searchsorted(CLASSES, y)
    means, counts = fold_means([(X, y)], [codes], [np.arange(80) % N_FOLDS], 3)
    assert counts.sum() == 80
    np.testing.assert_allclose(
        np.einsum("fl,flp->lp", counts, means) / counts.sum(axis=0)[:, None], model.class_profiles_, atol=1e-9
    )


def test_many_rows_are_not_read_again(monkeypatch):
    X, y, _ = source(60)
    monkeypatch.setattr("transst_py.transfer.class_profiles._MAX_ROWS", 50)
    monkeypatch.setattr("transst_py.transfer.class_profiles.fold_means", pytest.fail)
    model = fitted(X, y)
    profiles, c = believed_profiles(model, [(X, y)], 0)
    assert c == 0
    np.testing.assert_array_equal(profiles, model.class_profiles_)
