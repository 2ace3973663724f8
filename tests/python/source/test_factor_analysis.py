from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import subspace_angles
from scipy.stats import multivariate_normal
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning

from transst_py import SupervisedFactorAnalysis
from transst_py.expression.standardize import StandardizedMatrix, standardize
from transst_py.source.em import (
    Parameters,
    em_update,
    fix_gauge,
    initial_axes,
    initial_parameters,
    lowest_noise,
)
from transst_py.source.statistics import ClassStatistics


def statistics(X, y):
    raw = StandardizedMatrix(X, np.zeros(X.shape[1]), np.ones(X.shape[1]))
    return ClassStatistics.from_rows(raw, y, y.max() + 1)


def naive_update(X, y, p):
    """Section 1.1 as it stands, spot by spot."""
    W, lam, K = p.loadings, p.noise_variance, len(p.class_means)
    n, q = len(X), W.shape[1]
    z, C = np.empty((n, q)), []
    for k in range(K):
        inverse = np.linalg.inv(p.class_covariances[k])
        C.append(np.linalg.inv(W.T @ np.diag(1 / lam) @ W + inverse))
        for i in np.flatnonzero(y == k):
            z[i] = C[k] @ (W.T @ (X[i] / lam) + inverse @ p.class_means[k])
    mu = np.array([z[y == k].mean(axis=0) for k in range(K)])
    sigma = np.array([C[k] + np.cov(z[y == k].T, bias=True) for k in range(K)])
    H = z.T @ z + sum((y == k).sum() * C[k] for k in range(K))
    W_new = X.T @ z @ np.linalg.inv(H)
    spread = sum((y == k).sum() * np.einsum("jq,qr,jr->j", W_new, C[k], W_new) for k in range(K))
    return Parameters(W_new, (((X - z @ W_new.T) ** 2).sum(axis=0) + spread) / n, mu, sigma)


def naive_log_likelihood(X, y, p):
    S = [p.loadings @ s @ p.loadings.T + np.diag(p.noise_variance) for s in p.class_covariances]
    return sum(
        multivariate_normal.logpdf(X[y == k], p.loadings @ p.class_means[k], S[k]).sum()
        for k in range(len(S))
    )


def some_parameters(p=12, q=2, K=3, seed=1):
    rng = np.random.default_rng(seed)
    sigma = np.array([np.cov(rng.normal(size=(q, 20))) + np.eye(q) for _ in range(K)])
    return Parameters(rng.normal(size=(p, q)), rng.uniform(0.5, 2, p), rng.normal(size=(K, q)), sigma)


def test_update_and_likelihood_equal_the_spot_by_spot_form(labelled_rows):
    X, y = labelled_rows
    start = some_parameters()
    updated, bound = em_update(statistics(X, y), start, np.zeros(12))
    expected = naive_update(X, y, start)
    assert bound == pytest.approx(naive_log_likelihood(X, y, start), rel=1e-10)
    for name in ("loadings", "noise_variance", "class_means", "class_covariances"):
        np.testing.assert_allclose(getattr(updated, name), getattr(expected, name), rtol=1e-9, atol=1e-12)


def test_toy_vectors(reference_dir):
    toy = np.load(reference_dir / "toy_vectors.npz")
    stats = statistics(toy["X"], toy["y"])
    p = Parameters(toy["W_init"], np.ones(5), toy["mu_init"], toy["Sigma_init"])
    bounds = []
    for step in range(51):
        if step in (1, 2):
            np.testing.assert_allclose(p.loadings, toy[f"W_em{step}"], atol=1e-9)
            np.testing.assert_allclose(p.noise_variance, toy[f"Lambda_em{step}"], atol=1e-9)
            np.testing.assert_allclose(p.class_means, toy[f"mu_em{step}"], atol=1e-9)
            np.testing.assert_allclose(p.class_covariances, toy[f"Sigma_em{step}"], atol=1e-9)
        p, bound = em_update(stats, p, np.zeros(5))
        bounds.append(bound)
    np.testing.assert_allclose(bounds, toy["loglik_trace"], rtol=1e-9)


def test_likelihood_never_decreases_and_converges(labelled_rows):
    model = SupervisedFactorAnalysis(2, tol=1e-10, max_iter=2000).fit(*labelled_rows)
    bounds = np.array(model.lower_bounds_)
    assert model.converged_
    assert len(bounds) == model.n_iter_ + 1 > 3
    assert (np.diff(bounds) >= -1e-9 * np.abs(bounds[1:])).all()


def test_acceleration_reaches_a_larger_likelihood_in_fewer_passes(labelled_rows):
    X, y = labelled_rows
    model = SupervisedFactorAnalysis(2, tol=1e-8, max_iter=5000).fit(X, y)
    stats = statistics(X - X.mean(axis=0), y)
    floor = lowest_noise(stats.total.diagonal / len(X))
    p = initial_parameters(stats, stats.total.axes(2), floor)
    plain = [-np.inf]
    for _ in range(5000):
        p, bound = em_update(stats, p, floor)
        plain.append(bound)
        if plain[-1] - plain[-2] < 1e-8 * abs(bound):
            break
    assert model.lower_bounds_[0] == pytest.approx(plain[1], rel=1e-12)
    assert model.lower_bounds_[-1] >= plain[-1]
    assert model.n_iter_ < 0.7 * len(plain)


def test_parameters_survive_the_way_through_a_vector():
    p = some_parameters()
    again = p.with_vector(p.vector(), np.zeros(12))
    for name in ("loadings", "noise_variance", "class_means", "class_covariances"):
        np.testing.assert_allclose(getattr(again, name), getattr(p, name), rtol=1e-12)
    assert len(p.weights()) == len(p.vector())
    high = p.with_vector(p.vector(), np.full(12, 50.0))
    np.testing.assert_array_equal(high.noise_variance, 50.0)


def test_products_of_many_genes_in_single_precision(monkeypatch):
    """Many genes are multiplied in single precision: the likelihood and the loadings are the same."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 200)
    scores = rng.normal(size=(600, 3)) + 2 * np.eye(3)[y]
    X = scores @ rng.normal(size=(3, 520)) + rng.normal(size=(600, 520))
    single = SupervisedFactorAnalysis(3).fit(X, y)
    for name in (
        "source.factor_analysis.MANY_GENES",
        "source.em.MANY_GENES",
        "expression.standardize._MANY_GENES",
    ):
        monkeypatch.setattr(f"transst_py.{name}", 1000)
    double = SupervisedFactorAnalysis(3).fit(X, y)
    np.testing.assert_allclose(single.lower_bounds_[-1], double.lower_bounds_[-1], rtol=1e-7)
    np.testing.assert_allclose(single.loadings_, double.loadings_, atol=1e-3)


def test_reported_parameters_have_the_reported_likelihood(labelled_rows):
    X, y = labelled_rows
    model = SupervisedFactorAnalysis(2).fit(X, y)
    p = Parameters(model.loadings_, model.noise_variance_, model.class_means_, model.class_covariances_)
    assert naive_log_likelihood(X - model.mean_, y, p) == pytest.approx(model.lower_bounds_[-1], rel=1e-9)


def test_gauge_has_unit_second_moment_and_diagonal_precision(labelled_rows):
    X, y = labelled_rows
    model = SupervisedFactorAnalysis(2).fit(X, y)
    mu, sigma = model.class_means_, model.class_covariances_
    weights = np.bincount(y) / len(y)
    moment = np.einsum("k,kqr->qr", weights, sigma + mu[:, :, None] * mu[:, None, :])
    np.testing.assert_allclose(moment, np.eye(2), atol=1e-8)
    precision = model.loadings_.T @ (model.loadings_ / model.noise_variance_[:, None])
    assert abs(precision[0, 1]) < 1e-8 * precision[0, 0]
    assert precision[0, 0] > precision[1, 1]


def test_start_in_another_gauge_gives_the_same_fit(labelled_rows):
    X, y = labelled_rows
    stats, T = statistics(X, y), np.array([[2.0, 0.3], [-0.5, 0.7]])
    p = some_parameters()
    other = Parameters(
        p.loadings @ np.linalg.inv(T), p.noise_variance, p.class_means @ T.T, T @ p.class_covariances @ T.T
    )
    for _ in range(5):
        p, bound = em_update(stats, p, np.zeros(12))
        other, other_bound = em_update(stats, other, np.zeros(12))
        assert bound == pytest.approx(other_bound, rel=1e-9)
    np.testing.assert_allclose(p.noise_variance, other.noise_variance, rtol=1e-7)
    fixed, other_fixed = fix_gauge(p, stats.counts), fix_gauge(other, stats.counts)
    np.testing.assert_allclose(fixed.loadings, other_fixed.loadings, rtol=1e-6, atol=1e-8)


def test_one_class_is_maximum_likelihood_factor_analysis(labelled_rows):
    X, _ = labelled_rows
    ours = SupervisedFactorAnalysis(2, tol=1e-12, max_iter=20_000).fit(X, np.zeros(len(X), dtype=int))
    theirs = FactorAnalysis(2, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(X)
    assert ours.lower_bounds_[-1] == pytest.approx(theirs.score(X) * len(X), rel=1e-6)


def test_sparse_chunked_and_scaled_equals_dense(labelled_rows, monkeypatch):
    X, y = labelled_rows
    X = np.maximum(X, 0)
    dense = SupervisedFactorAnalysis(2, center=False).fit((X - X.mean(axis=0)) / X.std(axis=0), y)
    monkeypatch.setattr("transst_py.expression.standardize._CHUNK_ROWS", 7)
    sparse = SupervisedFactorAnalysis(2, scale=True).fit(sp.csr_matrix(X), y)
    np.testing.assert_allclose(sparse.loadings_, dense.loadings_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(sparse.lower_bounds_, dense.lower_bounds_, rtol=1e-9)


def test_row_order_gene_order_and_label_names_do_not_matter(labelled_rows):
    X, y = labelled_rows
    rng = np.random.default_rng(2)
    rows, genes = rng.permutation(len(X)), rng.permutation(X.shape[1])
    base = SupervisedFactorAnalysis(2, tol=1e-9).fit(X, y)
    moved = SupervisedFactorAnalysis(2, tol=1e-9).fit(X[rows][:, genes], np.array(["c", "a", "b"])[y[rows]])
    np.testing.assert_allclose(moved.loadings_, base.loadings_[genes], atol=1e-6)
    np.testing.assert_allclose(moved.noise_variance_, base.noise_variance_[genes], rtol=1e-6)
    np.testing.assert_allclose(moved.class_means_, base.class_means_[[1, 2, 0]], atol=1e-5)


def test_several_data_sets_equal_their_stack(labelled_rows):
    X, y = labelled_rows
    whole = standardize(X, center=True, scale=True)
    order = np.argsort(np.arange(len(X)) % 3, kind="stable")
    parts = [order[:10], order[10:40], order[40:]]  # fewer and more rows than genes
    one = SupervisedFactorAnalysis(2).fit(whole, y)
    many = SupervisedFactorAnalysis(2).fit_datasets([(whole.rows(i), y[i]) for i in parts])
    np.testing.assert_allclose(many.loadings_, one.loadings_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(many.lower_bounds_, one.lower_bounds_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_tiny_classes_and_constant_genes_give_finite_results(labelled_rows):
    X, y = labelled_rows
    X = np.hstack([X, np.full((len(X), 1), 4.0)])
    y = y.copy()
    y[0] = 7
    model = SupervisedFactorAnalysis(3).fit(X, y)
    for name in ("loadings_", "noise_variance_", "class_means_", "class_covariances_"):
        assert np.isfinite(getattr(model, name)).all(), name


def test_a_gene_that_never_varies_changes_nothing(labelled_rows):
    X, y = labelled_rows
    base = SupervisedFactorAnalysis(2).fit(X, y)
    more = SupervisedFactorAnalysis(2).fit(np.insert(X, 4, 0.0, axis=1), y)
    np.testing.assert_allclose(np.delete(more.loadings_, 4, axis=0), base.loadings_, atol=1e-6)
    np.testing.assert_allclose(more.loadings_[4], 0, atol=1e-12)
    assert more.n_iter_ == base.n_iter_


def test_heywood_case_converges(labelled_rows):
    X, y = labelled_rows
    X = np.column_stack([X, 3 * np.random.default_rng(1).normal(size=len(X))])  # a factor of its own
    model = SupervisedFactorAnalysis(4, scale=True, max_iter=5000).fit(X, y)
    assert model.converged_
    assert model.noise_variance_.min() >= 0.005 - 1e-12
    assert (np.diff(model.lower_bounds_) > -1e-9 * abs(model.lower_bounds_[-1])).all()


@pytest.mark.parametrize("q", [0, 12])
def test_bad_n_factors(labelled_rows, q):
    with pytest.raises(ValueError, match="`n_factors` must lie between 1 and 11"):
        SupervisedFactorAnalysis(q).fit(*labelled_rows)


def test_bad_labels(labelled_rows):
    X, y = labelled_rows
    with pytest.raises(ValueError, match="149 labels for 150 rows"):
        SupervisedFactorAnalysis(2).fit(X, y[1:])
    with pytest.raises(ValueError, match="1 of 150 labels are missing"):
        SupervisedFactorAnalysis(2).fit(X, np.where(np.arange(150) == 3, None, y.astype(object)))


def test_warns_without_convergence(labelled_rows):
    with pytest.warns(ConvergenceWarning, match="2 EM updates"):
        SupervisedFactorAnalysis(2, max_iter=2, tol=0).fit(*labelled_rows)


def test_products_with_rows_equal_gram_matrices(labelled_rows, monkeypatch):
    X, y = labelled_rows
    X = sp.csr_matrix(np.maximum(X, 0))
    grams = SupervisedFactorAnalysis(2, scale=True).fit(X, y)
    monkeypatch.setattr("transst_py.source.statistics._MAX_NUMBERS", 3)
    products = SupervisedFactorAnalysis(2, scale=True).fit(X, y)
    np.testing.assert_allclose(products.lower_bounds_, grams.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(products.loadings_, grams.loadings_, rtol=1e-6, atol=1e-9)
    two = SupervisedFactorAnalysis(2)
    Z = standardize(X, center=True, scale=True)
    two.fit_datasets([(Z.rows(np.arange(60)), y[:60]), (Z.rows(np.arange(60, 150)), y[60:])])
    np.testing.assert_allclose(two.lower_bounds_, grams.lower_bounds_, rtol=1e-9)


def test_weighted_start_reaches_the_same_model(labelled_rows):
    X, y = labelled_rows
    options = {"tol": 1e-11, "max_iter": 5000}
    principal = SupervisedFactorAnalysis(2, **options).fit(X, y)
    weighted = SupervisedFactorAnalysis(2, start="weighted", **options).fit(X, y)
    assert weighted.lower_bounds_[0] != principal.lower_bounds_[0]
    assert weighted.lower_bounds_[-1] == pytest.approx(principal.lower_bounds_[-1], rel=1e-6)
    with pytest.raises(ValueError, match="`start`: unknown value"):
        SupervisedFactorAnalysis(2, start="random").fit(X, y)


def test_weighted_axes_equal_their_definition(labelled_rows):
    """Section 1.9: principal axes of genes divided by their residual spread, scaled back."""
    X, y = labelled_rows
    X = X - X.mean(axis=0)
    axes = initial_axes(statistics(X, y), 2, np.zeros(X.shape[1]), "weighted")
    _, _, V = np.linalg.svd(X, full_matrices=False)
    spread = np.sqrt(np.mean((X - X @ V[:2].T @ V[:2]) ** 2, axis=0))
    _, _, U = np.linalg.svd(X / spread, full_matrices=False)
    assert np.rad2deg(subspace_angles(axes, spread[:, None] * U[:2].T)).max() < 1e-4
