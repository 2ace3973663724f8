from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from grids import square_grid
from scipy.sparse.csgraph import connected_components
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from transst_py import SpatialGaussianMixture
from transst_py.domains.components import ClassEvidence, Components, NamedComponents
from transst_py.domains.restarts import n_restarts
from transst_py.tissue.graph import spatial_neighbors
from transst_py.tissue.potts import (
    Field,
    colour_classes,
    distinct_rows,
    infer_from_neighbors,
    log_prior,
    newton_smoothness,
    one_hot,
)
from transst_py.tissue.spatial_factors import SpatialFactors


@pytest.fixture
def stripes():
    """Three stripes on a 15 x 24 lattice: scores (360, 4), graph, true labels."""
    rng = np.random.default_rng(0)
    xy = np.stack(np.meshgrid(np.arange(24), np.arange(15)), axis=-1).reshape(-1, 2).astype(float)
    y = (xy[:, 0] // 8).astype(int)
    means = np.array([[0.0, 0, 0, 0], [1.5, 0, 1, 0], [0, 1.5, 0, -1]])
    return means[y] + rng.normal(size=(len(y), 4)), spatial_neighbors(xy, n_neighbors=4), y


def test_toy_vectors(reference_dir):
    toy = np.load(reference_dir / "toy_vectors.npz")
    graph = sp.csr_matrix(toy["mrf_adj"])
    u = Components(toy["mrf_mu"], toy["mrf_Sigma"]).energies(toy["mrf_v"])
    np.testing.assert_allclose(u, toy["mrf_Ux"], atol=1e-9)
    field = Field.from_graph(graph, 0)
    prior = log_prior(field.disagreement(toy["mrf_z0"], 2), 2.0)
    T = u - prior
    np.testing.assert_allclose(np.exp(-T) / np.exp(-T).sum(axis=1, keepdims=True), toy["mrf_R"], atol=1e-9)
    assert np.log(np.exp(-T).sum(axis=1)).sum() == pytest.approx(float(toy["mrf_loglik"]), rel=1e-9)
    disagreement = field.disagreement(toy["mrf_z1"], 2)
    objective = [np.sum(toy["mrf_R"] * log_prior(disagreement, b)) for b in toy["mrf_beta_grid"]]
    np.testing.assert_allclose(objective, toy["mrf_beta_obj"], rtol=1e-9)


def test_newton_finds_the_maximum_of_the_concave_pseudo_likelihood(stripes):
    _, graph, y = stripes
    rng = np.random.default_rng(1)
    noisy = np.where(rng.uniform(size=len(y)) < 0.3, rng.integers(0, 3, len(y)), y)
    disagreement = Field.from_graph(graph, 0).disagreement(noisy, 3)
    R = one_hot(noisy, 3)
    grid = np.linspace(0, 5, 2001)
    values = np.array([np.sum(R * log_prior(disagreement, b)) for b in grid])
    assert (np.diff(values, 2) < 1e-9).all()
    assert values[0] == pytest.approx(-len(y) * np.log(3))
    for start in (0.0, 1.0, 5.0):
        assert newton_smoothness(R, disagreement, start) == pytest.approx(grid[values.argmax()], abs=2e-3)


def test_colouring_is_proper(stripes):
    _, graph, _ = stripes
    colour = colour_classes(graph, np.random.default_rng(0))
    i, j = graph.nonzero()
    assert (colour[i] != colour[j]).all()
    assert colour.min() == 0


def energy(field, labels, u, smoothness):
    """E(y) = Σ_i u_{i,y_i} + (β/2) #{edges between classes}."""
    rows = np.arange(len(labels))
    broken = field.disagreement(labels, u.shape[1])[rows, labels].sum() / 2
    return u[rows, labels].sum() + 0.5 * smoothness * broken


def test_icm_energy_never_rises_and_ends_in_a_mode(stripes):
    V, graph, _ = stripes
    field = Field.from_graph(graph, 0)
    u = np.random.default_rng(2).normal(size=(len(V), 3))
    labels = u.argmin(axis=1)
    energies = [energy(field, labels, u, 1.5)]
    for _ in range(10):
        labels = field.icm(labels, u, 1.5, max_sweeps=1)
        energies.append(energy(field, labels, u, 1.5))
    assert (np.diff(energies) <= 1e-9).all()
    assert energies[-1] < energies[0]
    final = field.icm(labels, u, 1.5)
    for i in range(0, len(V), 17):  # no single move lowers the energy
        for k in range(3):
            other = final.copy()
            other[i] = k
            assert energy(field, other, u, 1.5) >= energy(field, final, u, 1.5) - 1e-9


@pytest.mark.parametrize("with_graph", [False, True])
def test_without_smoothness_it_is_a_gaussian_mixture_with_equal_weights(stripes, with_graph):
    V, graph, _ = stripes
    options = {"smoothness": 0} if with_graph else {}
    model = SpatialGaussianMixture(3, covariance_prior=0, tol=1e-12, max_iter=500, n_init=3, **options)
    model.fit(V, graph if with_graph else None)
    density = np.column_stack(
        [multivariate_normal.pdf(V, m, s) for m, s in zip(model.means_, model.covariances_, strict=True)]
    )
    # The 1e-6 floor and the last M-step leave parameters and responsibilities equal to about 1e-5.
    np.testing.assert_allclose(
        model.responsibilities_, density / density.sum(axis=1, keepdims=True), atol=1e-4
    )
    assert (np.diff(model.lower_bounds_) >= -1e-6 * abs(model.lower_bounds_[-1])).all()


def test_labels_move_as_if_every_spot_were_looked_at_in_every_sweep(stripes):
    V, graph, _ = stripes
    field, u = Field.from_graph(graph, 0), np.random.default_rng(3).normal(size=(len(V), 3))
    naive = u.argmin(axis=1)
    for _ in range(30):
        for members in field.colours:
            local = u[members] + 0.5 * 1.5 * field.disagreement(naive, 3)[members]
            naive[members] = local.argmin(axis=1)
    np.testing.assert_array_equal(field.icm(u.argmin(axis=1), u, 1.5), naive)


def test_distinct_rows_stand_for_all(stripes):
    _, graph, y = stripes
    disagreement = Field.from_graph(graph, 0).disagreement(np.random.default_rng(0).permutation(y), 3)
    rows, counts = distinct_rows(disagreement)
    disagreement = disagreement.astype(float)
    assert len(rows) < 100
    assert counts.sum() == len(y)
    np.testing.assert_allclose(counts @ np.exp(-rows), np.exp(-disagreement).sum(axis=0))


def test_energies_and_moments_equal_the_textbook_forms(stripes, monkeypatch):
    monkeypatch.setattr("transst_py.domains.components._BATCH", 100)
    V = stripes[0]
    R = np.random.default_rng(0).dirichlet(np.ones(3), size=len(V))
    components = Components.estimate(V, R, prior=0)
    for k in range(3):
        np.testing.assert_allclose(components.means[k], np.average(V, axis=0, weights=R[:, k]))
        covariance = np.cov(V.T, aweights=R[:, k], bias=True) + 1e-6 * np.eye(4)
        np.testing.assert_allclose(components.covariances[k], covariance, rtol=1e-9, atol=1e-12)
        density = multivariate_normal.logpdf(V, components.means[k], components.covariances[k])
        np.testing.assert_allclose(components.energies(V)[:, k], -density - 2 * np.log(2 * np.pi))


def test_patches_are_of_neighbours_and_have_the_size_asked_for(stripes):
    _, graph, _ = stripes
    rng = np.random.default_rng(0)
    members = Field.from_graph(graph, 0).patches(60, rng)
    assert 60 <= len(members) < 90
    assert connected_components(graph[members][:, members])[0] == 1
    alone = Field.from_graph(sp.csr_matrix(graph.shape), 0).patches(60, rng)
    assert len(alone) == len(np.unique(alone)) == 60


def in_batches_of(monkeypatch, spots):
    for module in ("potts", "spatial_factors"):
        monkeypatch.setattr(f"transst_py.tissue.{module}._ROWS", spots)
    monkeypatch.setattr("transst_py.domains.components._BATCH", spots)


@pytest.mark.parametrize("n_domains", [3, 5])
def test_batches_share_one_vector_of_labels(stripes, monkeypatch, n_domains):
    """Whatever the size of the batches, spots at their edges see the labels of their neighbours beyond."""
    V, graph, y = stripes
    start = np.maximum(y, 1)  # classes to be split: all ways to move labels
    whole = SpatialGaussianMixture(n_domains).fit(V, graph, start=start)
    factors = SpatialFactors().fit(V, graph)
    for spots in (1, 7, 64):
        in_batches_of(monkeypatch, spots)
        model = SpatialGaussianMixture(n_domains).fit(V, graph, start=start)
        np.testing.assert_array_equal(model.labels_, whole.labels_)
        np.testing.assert_allclose(model.responsibilities_, whole.responsibilities_, atol=1e-9)
        np.testing.assert_allclose(model.lower_bounds_, whole.lower_bounds_, rtol=1e-10)
        other = SpatialFactors().fit(V, graph)
        np.testing.assert_allclose(other.transform(V, graph), factors.transform(V, graph), atol=1e-8)


def test_single_precision_on_huge_tissues(stripes, monkeypatch):
    V, graph, y = stripes
    double = SpatialGaussianMixture(3, random_state=0).fit(V, graph, start=y)
    single = SpatialGaussianMixture(3, random_state=0).fit(
        V.astype(np.float32), graph.astype(np.float32), start=y
    )
    assert single.responsibilities_.dtype == np.float32
    assert np.mean(single.labels_ == double.labels_) > 0.99
    np.testing.assert_allclose(single.means_, double.means_, atol=1e-3)
    np.testing.assert_allclose(single.lower_bounds_[-1], double.lower_bounds_[-1], rtol=1e-4)


def test_scores_may_be_overwritten(stripes):
    V, graph, y = stripes
    kept = V.copy()
    expected = SpatialGaussianMixture(3).fit(V, graph, start=y)
    np.testing.assert_array_equal(V, kept)
    model = SpatialGaussianMixture(3).fit(V, graph, start=y, overwrite=True)
    np.testing.assert_array_equal(model.labels_, expected.labels_)
    assert not np.array_equal(V, kept)


def test_large_tissue_starts_from_its_patches(stripes, monkeypatch):
    V, graph, y = stripes
    monkeypatch.setattr("transst_py.domains.mixture._START_SPOTS", 200)
    monkeypatch.setattr("transst_py.tissue.potts._PATCH_SPOTS", 20)
    one, two = (SpatialGaussianMixture(3, n_init=10).fit(V, graph) for _ in range(2))
    assert adjusted_rand_score(y, one.labels_) > 0.9
    np.testing.assert_array_equal(one.labels_, two.labels_)
    coloured = SpatialGaussianMixture(3, n_init=10).fit(V, Field.from_graph(graph))
    np.testing.assert_array_equal(one.labels_, coloured.labels_)


def test_smoothing_averages_neighbours_and_keeps_lonely_spots():
    graph = sp.csr_matrix(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=float))
    smooth = Field.from_graph(graph, 0).smooth(np.array([[0.0], [4.0], [7.0]]))
    np.testing.assert_array_equal(smooth, [[2.0], [2.0], [7.0]])


def test_space_helps(stripes):
    V, graph, y = stripes
    alone = SpatialGaussianMixture(3, max_iter=500, n_init=10).fit(V)
    spatial = SpatialGaussianMixture(3, n_init=10).fit(V, graph)
    assert adjusted_rand_score(y, spatial.labels_) > 0.9 > adjusted_rand_score(y, alone.labels_)
    assert spatial.smoothness_ > 0.5


@pytest.mark.parametrize("smoothness", [0.0, 1.0, 2.0])
def test_well_separated_classes_are_found(stripes, smoothness):
    _, graph, y = stripes
    V = 20 * one_hot(y, 3)[:, :2] + np.random.default_rng(0).normal(size=(len(y), 2))
    model = SpatialGaussianMixture(3, smoothness=smoothness).fit(V, graph)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    assert model.smoothness_ == smoothness


def test_affine_maps_of_the_scores_change_nothing(stripes):
    V, graph, _ = stripes
    T = np.array([[2.0, 1, 0, 0], [0, 0.1, 0, 0], [0, 1, 3, 0], [1, 0, 0, 50]])
    base, mapped = (SpatialGaussianMixture(3, n_init=3).fit(M, graph) for M in (V, V @ T + 7))
    np.testing.assert_array_equal(base.labels_, mapped.labels_)
    np.testing.assert_allclose(mapped.means_, base.means_ @ T + 7, rtol=1e-4, atol=1e-4)
    assert mapped.smoothness_ == pytest.approx(base.smoothness_, rel=1e-4)


def test_order_of_spots_does_not_matter(stripes):
    V, graph, _ = stripes
    order = np.random.default_rng(0).permutation(len(V))
    base = SpatialGaussianMixture(3, n_init=10).fit(V, graph).labels_
    moved = SpatialGaussianMixture(3, n_init=10).fit(V[order], graph[order][:, order]).labels_
    assert adjusted_rand_score(base[order], moved) > 0.97


def test_same_seed_same_labels_and_sizes_decrease(stripes):
    V, graph, _ = stripes
    one, two = (SpatialGaussianMixture(3, n_init=10, random_state=4).fit(V, graph) for _ in range(2))
    np.testing.assert_array_equal(one.labels_, two.labels_)
    np.testing.assert_array_equal(one.responsibilities_, two.responsibilities_)
    assert (np.diff(np.bincount(one.labels_)) <= 0).all()
    np.testing.assert_allclose(one.responsibilities_.sum(axis=1), 1)


def test_spots_without_scores_follow_their_neighbours():
    # 0 - 1 - 2 - 3, and 4 alone; 2 and 4 have no scores
    edges = ([0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2])
    graph = sp.csr_matrix((np.ones(6), edges), shape=(5, 5))
    known = np.array([True, True, False, True, False])
    R = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    everything = infer_from_neighbors(graph, R, known, smoothness=2.0)
    np.testing.assert_array_equal(everything[known], R)
    odds = np.exp(2.0 / 2 * 2)  # two neighbours, both in the second class
    np.testing.assert_allclose(everything[2], [1 / (1 + odds), odds / (1 + odds)])
    np.testing.assert_allclose(everything[4], [0.5, 0.5])


def test_kept_components_are_those_of_the_responsibilities(stripes):
    V, graph, _ = stripes
    with pytest.warns(ConvergenceWarning):
        model = SpatialGaussianMixture(3, max_iter=2, n_init=1).fit(V, graph)
    u = Components(model.means_, model.covariances_).energies(V)
    disagreement = Field.from_graph(graph, 0).disagreement(model.labels_, 3)
    joint = np.exp(log_prior(disagreement, model.smoothness_) - u)
    np.testing.assert_allclose(model.responsibilities_, joint / joint.sum(axis=1, keepdims=True), atol=1e-8)


def test_predict_on_the_training_slice_repeats_the_labels(stripes):
    V, graph, _ = stripes
    model = SpatialGaussianMixture(3, n_init=10).fit(V, graph)
    assert adjusted_rand_score(model.predict(V, graph), model.labels_) > 0.95


def test_duplicated_spots_and_more_classes_than_groups_stay_finite(stripes):
    _, graph, y = stripes
    V = 5.0 * one_hot(y, 3)  # three distinct points only
    with pytest.warns(UserWarning, match="domains asked for hold a spot"):
        model = SpatialGaussianMixture(5, n_init=2).fit(V + 0, graph)
    assert np.isfinite(model.means_).all()
    assert np.isfinite(model.responsibilities_).all()


def test_warns_without_convergence(stripes):
    V, graph, _ = stripes
    with pytest.warns(ConvergenceWarning, match="1 iterations"):
        SpatialGaussianMixture(3, max_iter=1).fit(V, graph)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 361}, "`n_components` must lie between 1 and the 360 spots, got 361"),
        ({"smoothness": "much"}, "`smoothness` must be 'auto' or a number"),
        ({"smoothness": -1}, "`smoothness` must be"),
        ({"covariance_prior": -1}, "`covariance_prior` must be >= 0"),
        ({"n_init": 0}, "`n_init` must be 'auto' or a whole number"),
        ({"random_state": -1}, "`random_state` must be at least 0, got -1"),
    ],
)
def test_bad_options(stripes, options, message):
    with pytest.raises(ValueError, match=message):
        SpatialGaussianMixture(**{"n_components": 3, **options}).fit(*stripes[:2])


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_covariance_types(stripes, covariance_type):
    V, graph, y = stripes
    model = SpatialGaussianMixture(3, covariance_type=covariance_type, n_init=3).fit(V, graph)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    if covariance_type == "tied":
        np.testing.assert_allclose(model.covariances_, np.repeat(model.covariances_[:1], 3, axis=0))


def test_diagonal_covariances_are_diagonal_along_the_principal_axes(stripes):
    V, graph, _ = stripes
    model = SpatialGaussianMixture(3, covariance_type="diag", n_init=2).fit(V, graph)
    _, axes = np.linalg.eigh(np.cov(V.T))
    for covariance in model.covariances_:
        turned = axes.T @ covariance @ axes
        np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-9)


@pytest.mark.parametrize("n_start", [2, 3, 5])
@pytest.mark.parametrize("n_domains", [2, 3, 4])
def test_start_from_labels_of_any_number(stripes, n_start, n_domains):
    V, graph, y = stripes
    start = {2: y // 2, 3: y, 5: y + 3 * (np.arange(len(y)) % 2 == 0) * (y < 2)}[n_start]
    model = SpatialGaussianMixture(n_domains).fit(V, graph, start=start)
    assert len(np.unique(model.labels_)) == n_domains
    again = SpatialGaussianMixture(n_domains, random_state=7).fit(V, graph, start=start)
    np.testing.assert_array_equal(model.labels_, again.labels_)
    if n_domains == 3:
        assert adjusted_rand_score(y, model.labels_) > 0.9


def test_start_has_to_fit(stripes):
    V, graph, y = stripes
    for start in (y[1:], y - 1):
        with pytest.raises(ValueError, match=r"`start` must hold 360 labels 0, 1, \.\.\."):
            SpatialGaussianMixture(3).fit(V, graph, start=start)


def test_strong_smoothness_leaves_few_borders(stripes):
    V, graph, y = stripes
    edges = graph.tocoo()
    borders = []
    for smoothness in (0.0, 1.0, 5.0):
        labels = SpatialGaussianMixture(3, smoothness=smoothness).fit(V, graph, start=y).labels_
        borders.append(np.mean(labels[edges.row] != labels[edges.col]))
    assert borders[0] > borders[1] > borders[2]


def test_restarts_grow_on_small_tissues():
    assert [n_restarts(n) for n in (50, 1000, 5000)] == [50, 20, 10]


def test_a_class_that_empties_is_given_up(stripes):
    V, graph, y = stripes
    start = y.copy()
    start[[50, 200]] = 3  # two spots apart: their class holds no spot once the field is settled
    model = SpatialGaussianMixture(3, smoothness=4.0).fit(V, graph, start=start)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert Components(np.zeros((2, 4)), np.stack([np.eye(4)] * 2)).energies(V[:0]).shape == (0, 2)


@pytest.mark.parametrize("n_domains", [4, 7])
@pytest.mark.parametrize("n_start", [1, 3])
def test_more_domains_than_the_spots_allow(stripes, n_domains, n_start):
    """Three distinct points hold three domains: a warning, and empty ones, whatever the start."""
    _, graph, y = stripes
    V = np.eye(3)[y]
    start = y % n_start
    with pytest.warns(UserWarning, match=f"of the {n_domains} domains asked for hold a spot"):
        model = SpatialGaussianMixture(n_domains).fit(V, graph, start=start)
    assert model.means_.shape == (n_domains, 3)
    assert np.isfinite(model.responsibilities_).all()


def test_noise_in_many_domains_from_labels():
    rng = np.random.default_rng(0)
    xy = square_grid(14, 14).astype(float)
    graph = spatial_neighbors(xy, n_neighbors=4)
    with pytest.warns(UserWarning, match="of the 30 domains asked for hold a spot"):
        model = SpatialGaussianMixture(30, smoothness=5.0).fit(
            rng.normal(size=(196, 3)), graph, start=rng.integers(5, size=196)
        )
    assert model.responsibilities_.shape == (196, 30)


@pytest.fixture
def beside_classes(stripes):
    """Scores of the stripes, graph, truth, and coordinates between two classes, the second of them twice."""
    V, graph, y = stripes
    means = np.array([[-3.0, 0.0], [3.0, 0.0]])
    X = means[np.minimum(y, 1)] + np.random.default_rng(3).normal(size=(len(V), 2))
    return V, graph, y, ClassEvidence(X, means)


def test_named_energies_are_the_mean_of_both_densities(beside_classes):
    V, _, y, evidence = beside_classes
    Z = evidence.beside(V)
    R = np.random.default_rng(0).dirichlet(np.ones(3), size=len(V))
    start = NamedComponents.name(Z, np.eye(3)[y], evidence.means)
    assert start.classes.tolist() == [0, 1, 1]
    named = start.update(Z, R, 20.0, "full")
    free = Components.estimate(V, R, 20.0)
    X, means = evidence.coordinates, evidence.means[named.classes]
    spread = sum((R[:, [k]] * (X - means[k])).T @ (X - means[k]) for k in range(3)) / len(X)
    np.testing.assert_allclose(named.spread, spread + 0.01 * np.eye(2))
    density = np.column_stack([multivariate_normal.logpdf(X, m, named.spread) for m in means])
    expected = 0.5 * (free.energies(V) - density - np.log(2 * np.pi))
    np.testing.assert_allclose(named.energies(Z), expected)


def test_domains_bear_the_classes_of_their_start(beside_classes):
    V, graph, y, evidence = beside_classes
    model = SpatialGaussianMixture(3).fit(V, graph, start=y, classes=evidence)
    assert sorted(model.domain_classes_.tolist()) == [0, 1, 1]
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert np.all(np.diff(model.lower_bounds_) > -1e-6 * len(V))
    predicted = model.predict(V, graph, class_coordinates=evidence.coordinates)
    assert adjusted_rand_score(predicted, model.labels_) > 0.95
    for n_domains in (2, 5):
        other = SpatialGaussianMixture(n_domains).fit(V, graph, start=y, classes=evidence)
        assert len(other.domain_classes_) == n_domains


def test_forgotten_responsibilities_are_recalled(beside_classes):
    V, graph, y, evidence = beside_classes
    for classes in (None, evidence):
        model = SpatialGaussianMixture(3).fit(V, graph, start=y, classes=classes)
        known = model.responsibilities_
        model.forget()
        before = V.copy()
        model.recall(V, graph, classes)
        np.testing.assert_allclose(model.responsibilities_, known, atol=1e-9)
        np.testing.assert_array_equal(V, before)


def test_classes_are_checked(beside_classes):
    V, graph, y, evidence = beside_classes
    with pytest.raises(ValueError, match="`classes` needs `start`"):
        SpatialGaussianMixture(3).fit(V, graph, classes=evidence)
    with pytest.raises(ValueError, match=r"`classes` has coordinates of \d+ spots, `V` of 10"):
        SpatialGaussianMixture(3).fit(V[:10], None, start=y[:10], classes=evidence)
    model = SpatialGaussianMixture(3).fit(V, graph, start=y, classes=evidence)
    with pytest.raises(ValueError, match="`class_coordinates` are missing"):
        model.predict(V, graph)
