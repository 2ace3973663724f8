from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import orth, subspace_angles
from sklearn.model_selection import KFold

from transst_py import AdaptiveLoadings
from transst_py.expression.standardize import standardize
from transst_py.transfer.penalized import (
    alternating_loadings,
    principal_path,
    projection_errors,
    score_moments,
    sweep,
)


@pytest.fixture
def problem():
    """Target (80 x 20) near a 3-dimensional subspace, and source loadings of that subspace, disturbed."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(20, 3))
    X = rng.normal(size=(80, 3)) * [3, 2, 1] @ W.T + rng.normal(size=(80, 20))
    return X - X.mean(axis=0), W + 0.3 * rng.normal(size=W.shape)


def closed_form(G, W0, penalty):
    return principal_path(G, W0, np.array([penalty]), 0)[0]


def projection_error(G, W):
    return projection_errors(G, [W])[0]


def test_toy_vectors(reference_dir):
    toy = np.load(reference_dir / "toy_vectors.npz")
    G = toy["Xt"].T @ toy["Xt"]
    for penalty in (0.0, 0.1, 10.0):
        W, objectives = toy["W0"], []
        for step in range(1, 6):
            W, F = sweep(G, W, toy["W0"], penalty)
            objectives.append(F)
            if step in (1, 5):
                np.testing.assert_allclose(W, toy[f"AW_lam{penalty}_step{step}_W"], atol=1e-9)
        np.testing.assert_allclose(objectives, toy[f"AW_lam{penalty}_rss_and_penobj"][:, 1], rtol=1e-9)


def test_toy_held_out_error(reference_dir):
    toy = np.load(reference_dir / "toy_vectors.npz")
    A, B = toy["Xt"][:5], toy["Xt"][5:]
    for penalty in (0.0, 0.1, 10.0):
        error = 0.0
        for train, test in ((A, B), (B, A)):
            W = toy["W0"]
            for _ in range(5):
                W, _ = sweep(train.T @ train, W, toy["W0"], penalty)
            error += projection_error(test.T @ test, W)
        assert error == pytest.approx(toy[f"CV_lam{penalty}"][1], rel=1e-9)


def test_gram_forms_equal_explicit_forms(problem):
    X, W0 = problem
    G, v = X.T @ X, X @ W0 @ np.linalg.inv(W0.T @ W0)
    P, V = score_moments(G, W0)
    np.testing.assert_allclose(P, X.T @ v, rtol=1e-10)
    np.testing.assert_allclose(V, v.T @ v, rtol=1e-10)
    assert projection_error(G, W0) == pytest.approx(np.sum((X - v @ W0.T) ** 2), rel=1e-10)


def test_alternating_objective_never_increases_and_limits_hold(problem):
    X, W0 = problem
    G = X.T @ X
    _, F = alternating_loadings(G, W0, 0.5, W0)
    assert (np.diff(F) <= 1e-9 * F[0]).all()
    strong, _ = alternating_loadings(G, W0, 1e10, W0)
    assert np.linalg.norm(strong - W0) < 1e-6 * np.linalg.norm(W0)
    free, F = alternating_loadings(G, W0, 0.0, W0, tol=1e-14)
    singular = np.linalg.svd(X, full_matrices=False)
    assert F[-1] == pytest.approx(np.sum(singular[1][3:] ** 2), rel=1e-6)
    assert subspace_angles(free, singular[2][:3].T).max() < 1e-3
    distances = [np.linalg.norm(alternating_loadings(G, W0, p, W0)[0] - W0) for p in (0.01, 0.1, 1, 10)]
    assert (np.diff(distances) < 0).all()


def test_exact_factorisation_is_a_fixed_point():
    rng = np.random.default_rng(1)
    W0 = rng.normal(size=(10, 2))
    X = rng.normal(size=(30, 2)) @ W0.T
    for penalty in (0.0, 1.0):
        W, _ = sweep(X.T @ X, W0, W0, penalty)
        np.testing.assert_allclose(W, W0, atol=1e-10)


def test_closed_form_limits_and_optimality(problem):
    X, W0 = problem
    G = X.T @ X
    right = np.linalg.svd(X, full_matrices=False)[2][:3].T
    assert subspace_angles(closed_form(G, W0, 0.0), right).max() < 1e-6
    assert subspace_angles(closed_form(G, W0, np.inf), W0).max() < 1e-6
    U0 = np.linalg.qr(W0)[0]
    strength = 0.7 * np.trace(U0.T @ G @ U0) / 3
    U = closed_form(G, W0, 0.7)

    def objective(Q):
        return projection_error(G, Q) - strength * np.sum((Q.T @ U0) ** 2)

    rng = np.random.default_rng(0)
    assert all(
        objective(U) <= objective(np.linalg.qr(U + 0.1 * rng.normal(size=U.shape))[0]) for _ in range(20)
    )


@pytest.mark.parametrize("solver", ["eigen", "alternating"])
def test_cross_validation_prefers_a_good_source_and_spares_a_bad_one(problem, solver):
    X, W0 = problem
    rng = np.random.default_rng(3)
    few = X[:12]
    good = AdaptiveLoadings(solver=solver).fit(few, source_loadings=W0)
    bad = AdaptiveLoadings(solver=solver).fit(few, source_loadings=rng.normal(size=W0.shape))
    assert good.penalty_ > bad.penalty_
    assert np.isfinite(bad.penalty_)
    errors = good.cv_errors_.mean(axis=0)
    assert errors.shape == good.cv_penalties_.shape
    assert good.penalty_ == good.cv_penalties_[errors.argmin()]


def test_cv_ends_are_target_and_source_projections(problem):
    X, W0 = problem
    model = AdaptiveLoadings(n_folds=4, penalties=(0, np.inf)).fit(X, source_loadings=W0)
    centred = X - X.mean(axis=0)
    total = np.sum(centred**2)
    errors = model.cv_errors_[:, 1]
    assert errors.mean() == pytest.approx(projection_error(centred.T @ centred, W0) / total, rel=0.05)
    assert (model.cv_errors_[:, 0] > 0).all()


def test_reduced_coordinates_change_nothing(problem):
    """Fewer spots than genes: the small basis must hold every solution."""
    X, W0 = problem
    few = X[:14]
    model = AdaptiveLoadings(n_folds=3, penalties=(0.0, 0.5, np.inf)).fit(few, source_loadings=W0)
    Z = few - few.mean(axis=0)
    direct = closed_form(Z.T @ Z, W0, model.penalty_)
    assert subspace_angles(model.loadings_, direct).max() < 1e-6


def test_span_does_not_depend_on_the_gauge_of_the_source(problem):
    X, W0 = problem
    T = np.array([[2.0, 1, 0], [0, 1, -1], [0.5, 0, 3]])
    one, other = (
        AdaptiveLoadings().fit(X, source_loadings=W0),
        AdaptiveLoadings().fit(X, source_loadings=W0 @ T),
    )
    np.testing.assert_allclose(other.loadings_, one.loadings_, atol=1e-7)


def test_scores_are_uncorrelated_by_decreasing_variance(problem):
    X, W0 = problem
    model = AdaptiveLoadings().fit(X, source_loadings=W0)
    covariance = np.cov(model.transform(X).T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8 * covariance.max())
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_without_source_it_is_principal_component_analysis(problem):
    X, _ = problem
    model = AdaptiveLoadings(3, scale=True).fit(sp.csr_matrix(X))
    Z = standardize(X, center=True, scale=True).toarray()
    assert subspace_angles(model.loadings_, np.linalg.svd(Z)[2][:3].T).max() < 1e-6
    np.testing.assert_allclose(model.transform(sp.csr_matrix(X)), Z @ model.loadings_, atol=1e-9)
    assert model.penalty_ == 0
    assert model.cv_errors_.size == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "magic"}, "`solver`: unknown value 'magic'"),
        ({"n_folds": 1}, "`n_folds` must lie between 2 and the 80 spots"),
        ({"penalties": (-1.0,)}, "`penalties` must be numbers >= 0"),
    ],
)
def test_bad_options(problem, options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveLoadings(**options).fit(problem[0], source_loadings=problem[1])


def test_bad_shapes(problem):
    X, W0 = problem
    with pytest.raises(ValueError, match="has 19 rows, the data 20 genes"):
        AdaptiveLoadings().fit(X, source_loadings=W0[1:])
    with pytest.raises(ValueError, match="`n_factors` must lie between"):
        AdaptiveLoadings(20).fit(X)


@pytest.mark.parametrize("solver", ["eigen", "alternating"])
def test_products_with_rows_equal_gram_matrices(problem, solver, monkeypatch):
    """With more genes than a (p, p) array has room for, nothing changes but the way of multiplying."""
    X, W0 = problem
    options = {"solver": solver, "penalties": (0.0, 0.1, 1.0, np.inf), "scale": True}
    grams, alone = AdaptiveLoadings(**options).fit(X, source_loadings=W0), AdaptiveLoadings(3).fit(X)
    monkeypatch.setattr("transst_py.transfer.adaptive_loadings._MAX_NUMBERS", 100)
    products = AdaptiveLoadings(**options).fit(sp.csr_matrix(X), source_loadings=W0)
    np.testing.assert_allclose(products.cv_errors_, grams.cv_errors_, rtol=1e-8)
    np.testing.assert_allclose(products.loadings_, grams.loadings_, atol=1e-7)
    np.testing.assert_allclose(AdaptiveLoadings(3).fit(X).loadings_, alone.loadings_, atol=1e-7)


def test_order_of_rows_and_genes_does_not_matter(problem):
    X, W0 = problem
    rng = np.random.default_rng(0)
    rows, genes = rng.permutation(len(X)), rng.permutation(X.shape[1])
    options = {"penalties": (0.3,), "scale": True}  # the split depends on the order of the rows
    base = AdaptiveLoadings(**options).fit(X, source_loadings=W0)
    moved = AdaptiveLoadings(**options).fit(X[rows][:, genes], source_loadings=W0[genes])
    np.testing.assert_allclose(moved.loadings_, base.loadings_[genes], atol=1e-8)


def test_units_of_target_and_source_do_not_matter(problem):
    X, W0 = problem
    base = AdaptiveLoadings().fit(X, source_loadings=W0)
    for scaled in (
        AdaptiveLoadings().fit(50 * X, source_loadings=W0),
        AdaptiveLoadings().fit(X, source_loadings=50 * W0),
    ):
        np.testing.assert_allclose(scaled.cv_errors_, base.cv_errors_, rtol=1e-8)
        np.testing.assert_allclose(scaled.loadings_, base.loadings_, atol=1e-8)


def test_cross_validation_equals_its_definition(problem):
    X, W0 = problem
    model = AdaptiveLoadings(n_folds=4, penalties=(0.0, 0.5, np.inf), center=False, random_state=3).fit(
        X, source_loadings=W0
    )
    for f, (train, test) in enumerate(KFold(4, shuffle=True, random_state=3).split(X)):
        for j, penalty in enumerate((0.0, 0.5, np.inf)):
            U = orth(closed_form(X[train].T @ X[train], W0, penalty))
            left = np.sum((X[test] - X[test] @ U @ U.T) ** 2)
            assert model.cv_errors_[f, j] == pytest.approx(left / np.sum(X[test] ** 2), rel=1e-10)


def test_held_out_errors_are_exact_to_a_millionth():
    """Loadings of a fold are found to an angle that leaves no trace in the errors."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(320, 5)) * [3, 2, 1, 0.5, 0.3]
    X = rng.normal(size=(500, 5)) @ W.T + rng.normal(size=(500, 320))
    W0 = W + 0.5 * rng.normal(size=W.shape)
    model = AdaptiveLoadings(penalties=(0.0, 0.01, 1.0, 100.0, np.inf)).fit(X, source_loadings=W0)
    Z = X - X.mean(axis=0)
    U0 = np.linalg.qr(W0)[0]
    folds = KFold(5, shuffle=True, random_state=0).split(Z)
    for fold, (train, test) in enumerate(folds):
        G = Z[train].T @ Z[train]
        unit = np.trace(U0.T @ G @ U0) / 5
        for j, penalty in enumerate((0.0, 0.01, 1.0, 100.0)):
            U = np.linalg.eigh(G + penalty * unit * U0 @ U0.T)[1][:, -5:]
            error = 1 - np.sum((Z[test] @ U) ** 2) / np.sum(Z[test] ** 2)
            assert model.cv_errors_[fold, j] == pytest.approx(error, rel=1e-6)


def test_one_standard_error_rule_follows_the_source_less(problem):
    X, W0 = problem
    best = AdaptiveLoadings(random_state=1).fit(X[:40], source_loadings=W0)
    cautious = AdaptiveLoadings(penalty_rule="1se", random_state=1).fit(X[:40], source_loadings=W0)
    errors = best.cv_errors_
    differences = errors - errors[:, [errors.mean(axis=0).argmin()]]
    standard_errors = differences.std(axis=0, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(best.cv_standard_errors_, standard_errors)
    allowed = errors.mean(axis=0) <= errors.mean(axis=0).min() + standard_errors
    assert cautious.penalty_ == best.cv_penalties_[np.flatnonzero(allowed)[0]]
    assert cautious.penalty_ < best.penalty_
    with pytest.raises(ValueError, match="`penalty_rule`: unknown value"):
        AdaptiveLoadings(penalty_rule="2se").fit(X, source_loadings=W0)


def test_loadings_come_nearer_to_the_source_as_the_penalty_grows(problem):
    X, W0 = problem
    G = X.T @ X
    path = [alternating_loadings(G, W0, penalty, W0)[0] for penalty in (0.01, 0.1, 1.0, 10.0, 1e12)]
    distances = [np.linalg.norm(W - W0) / np.linalg.norm(W0) for W in path]
    assert (np.diff(distances) <= 1e-9).all()
    assert distances[-1] < 1e-6
