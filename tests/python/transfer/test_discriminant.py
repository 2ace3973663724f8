"""Linear discriminant analysis from sums."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from transst_py.transfer import discriminant
from transst_py.transfer.discriminant import Discriminant, Moments


@pytest.fixture
def rows(labelled_rows, monkeypatch):
    monkeypatch.setattr(discriminant, "_ROWS", 40)
    return labelled_rows


def test_posteriors_are_those_of_scikit_learn(rows):
    X, y = rows
    # scikit-learn shrinks every class's covariance by itself, in units of the genes' standard deviations.
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y).predict_proba(X)
    found = Discriminant.fit(Moments.of(X, y, 3), 0.0).posteriors(X)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_shrinkage_is_towards_the_mean_variance(rows):
    X, y = rows
    plain, half, full = (Discriminant.fit(Moments.of(X, y, 3), s).covariance for s in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(full, np.eye(12) * np.trace(plain) / 12)
    np.testing.assert_allclose(half, (plain + full) / 2)


def test_sums_add_up_and_can_be_taken_away(rows):
    X, y = rows
    parts = Moments.of(X[:60], y[:60], 3), Moments.of(X[60:], y[60:], 3)
    whole = Moments.of(X, y, 3)
    soft = Moments.soft(X, np.eye(3)[y])
    for other in (parts[0] + parts[1], soft, whole + parts[0] - parts[0]):
        for name, values in vars(whole).items():
            np.testing.assert_allclose(getattr(other, name), values, atol=1e-9)


def test_a_class_without_rows_is_never_found(rows):
    X, y = rows
    found = Discriminant.fit(Moments.of(X, y, 4), 0.1).posteriors(X)
    assert (found[:, 3] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_adaptation_is_the_posterior_mean(rows):
    X, y = rows
    model = Discriminant.fit(Moments.of(X[::2], y[::2], 3), 0.1)
    R = np.random.default_rng(0).dirichlet(np.ones(3), len(X))
    moved = model.adapted(X, R, np.array([5.0, 0.0, 1e12]))
    naive = (5 * model.means[0] + (R[:, [0]] * X).sum(axis=0)) / (5 + R[:, 0].sum())
    np.testing.assert_allclose(moved.means[0], naive)
    np.testing.assert_allclose(moved.means[1], (R[:, [1]] * X).sum(axis=0) / R[:, 1].sum())
    np.testing.assert_allclose(moved.means[2], model.means[2], rtol=1e-6)
    gone = model.adapted(X, np.eye(3)[np.zeros(len(X), dtype=int)], 0.0)
    np.testing.assert_array_equal(gone.means[1:], model.means[1:])


def test_distance_is_that_of_the_nearest_class(rows):
    X, y = rows
    model = Discriminant.fit(Moments.of(X, y, 4), 0.1)  # the fourth has no rows
    inverse = np.linalg.inv(model.covariance)
    naive = [min((x - m) @ inverse @ (x - m) for m in model.means[:3]) for x in X]
    np.testing.assert_allclose(model.distances(X), naive)


def test_added_classes_share_what_they_are_given(rows):
    X, y = rows
    model = Discriminant.fit(Moments.of(X, y, 3), 0.1).with_classes(X[:2], 0.2)
    assert len(model.means) == 5
    np.testing.assert_allclose(np.exp(model.log_priors).sum(), 1)
    np.testing.assert_allclose(np.exp(model.log_priors[3:]), 0.1)
