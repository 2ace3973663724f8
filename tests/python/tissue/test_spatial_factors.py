"""Spatial factors: rotation, selection, and prediction from the spots around."""

import numpy as np
import pytest
import scipy.sparse as sp
from grids import square_grid

from transst_py.tissue.graph import spatial_neighbors
from transst_py.tissue.spatial_factors import (
    SpatialFactors,
    kriging_weights,
    neighbour_average,
    second_neighbour_covariance,
    signal_variance,
    whiten,
)


def lattice(side: int) -> tuple[np.ndarray, sp.csr_matrix]:
    """Positions and 4-neighbour graph of a square lattice."""
    xy = square_grid(side, side).astype(float)
    return xy, spatial_neighbors(xy, n_neighbors=4)


@pytest.fixture
def field() -> tuple[np.ndarray, np.ndarray, sp.csr_matrix]:
    """Three smooth signals with noise and three coordinates of noise alone, mixed; the signals; the graph."""
    xy, graph = lattice(30)
    rng = np.random.default_rng(0)
    signal = np.column_stack([np.sin(xy[:, 0] / 4), np.cos(xy[:, 1] / 5), np.sin(xy.sum(axis=1) / 6)])
    V = np.hstack([signal + 0.5 * rng.normal(size=signal.shape), rng.normal(size=(len(xy), 3))])
    return V @ rng.normal(size=(6, 6)) + 3.0, signal, graph


def test_keeps_the_spatial_factors_and_no_other(field):
    V, _, graph = field
    model = SpatialFactors().fit(V, graph)
    assert model.rotation_.shape == (6, 3)
    assert np.all(np.diff(model.autocorrelations_) <= 0)
    rotated = (V - model.center_) @ model.rotation_
    np.testing.assert_allclose(rotated.T @ rotated / len(V), np.eye(3), atol=1e-10)
    cross = rotated.T @ (graph @ rotated) / graph.sum()
    np.testing.assert_allclose(cross, np.diag(model.autocorrelations_[:3]), atol=1e-10)


def test_prediction_is_nearer_to_the_signal(field):
    V, signal, graph = field
    model = SpatialFactors()
    predicted = model.fit_transform(V, graph)
    rotated = (V - model.center_) @ model.rotation_

    def unexplained(F: np.ndarray) -> float:
        design = np.column_stack([np.ones(len(F)), F])
        return float(np.sum((signal - design @ np.linalg.lstsq(design, signal, rcond=None)[0]) ** 2))

    assert unexplained(predicted) < 0.5 * unexplained(rotated)


def test_affine_maps_of_the_scores_change_nothing(field):
    V, _, graph = field
    T = np.random.default_rng(1).normal(size=(6, 6))
    a = SpatialFactors().fit_transform(V, graph)
    b = SpatialFactors().fit_transform(V @ T - 2.0, graph)
    np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-8)


def test_order_of_the_spots_changes_nothing(field):
    V, _, graph = field
    order = np.random.default_rng(2).permutation(len(V))
    a = SpatialFactors().fit_transform(V, graph)
    b = SpatialFactors().fit_transform(V[order], graph[order][:, order])
    np.testing.assert_allclose(np.abs(a[order]), np.abs(b), atol=1e-8)


def test_without_noise_nothing_is_smoothed():
    xy, graph = lattice(30)
    Z = np.cos(xy / 8.0)  # the covariance of a cosine falls slower than geometrically
    weights = kriging_weights(Z / Z.std(axis=0), graph)
    np.testing.assert_allclose(weights, np.repeat([[1.0], [0.0], [0.0]], 2, axis=1), atol=1e-4)


def test_rough_factors_stay_as_they_are():
    xy, graph = lattice(20)
    noise = np.random.default_rng(0).normal(size=(len(xy), 2))
    model = SpatialFactors(0.0)
    predicted = model.fit_transform(noise, graph)
    assert predicted.shape == (len(xy), 2)  # two are kept whatever they are
    np.testing.assert_array_equal(predicted, (noise - model.center_) @ model.rotation_)


def test_weights_solve_the_kriging_equations():
    """Of a first-order autoregression along a line, whose covariance falls geometrically, plus noise."""
    rng = np.random.default_rng(0)
    n, rho, nugget = 200_000, 0.8, 0.5
    from scipy.signal import lfilter

    signal = lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.normal(size=n + 500))[500:]
    z = (signal + np.sqrt(nugget) * rng.normal(size=n)) / np.sqrt(1 + nugget)
    graph = sp.csr_matrix(sp.diags_array([np.ones(n - 1)] * 2, offsets=[-1, 1]))
    weights = kriging_weights(z[:, None], graph)[:, 0]

    lags = np.abs(np.subtract.outer([-2, -1, 0, 1, 2], [-2, -1, 0, 1, 2]))
    covariance = (rho**lags + nugget * np.eye(5)) / (1 + nugget)
    predictors = np.array([[0, 0, 1, 0, 0], [0, 0.5, 0, 0.5, 0], [0.25, 0, 0.5, 0, 0.25]])
    target = predictors @ rho ** np.array([2, 1, 0, 1, 2]) / (1 + nugget)
    np.testing.assert_allclose(
        weights, np.linalg.solve(predictors @ covariance @ predictors.T, target), atol=0.03
    )


def test_second_neighbours_by_double_loop():
    _, graph = lattice(5)
    Z = np.random.default_rng(0).normal(size=(25, 2))
    dense = graph.toarray() > 0
    products = [
        Z[i] * Z[j]
        for i in range(25)
        for j in range(25)
        if i != j and not dense[i, j] and (dense[i] & dense[j]).any()
    ]
    np.testing.assert_allclose(second_neighbour_covariance(Z, graph), np.mean(products, axis=0))


def test_signal_variance_lies_between_first_neighbours_and_all():
    total = np.ones(5)
    first, second = np.array([0.8, 0.8, 0.1, -0.2, 0.5]), np.array([0.7, 0.5, -0.1, 0.1, 0.6])
    np.testing.assert_allclose(signal_variance(total, first, second), [0.64 / 0.7, 1.0, 1.0, 0.4, 0.5])


def test_spots_without_neighbours_keep_their_values(field):
    V, _, graph = field
    graph = graph.tolil()
    graph[7], graph[:, 7] = 0, 0
    graph = sp.csr_matrix(graph)
    model = SpatialFactors()
    predicted = model.fit_transform(V, graph)
    np.testing.assert_allclose(predicted[7], (V[7] - model.center_) @ model.rotation_)
    assert not np.allclose(predicted[8], (V[8] - model.center_) @ model.rotation_)


def test_neighbour_average():
    graph = sp.csr_matrix(np.array([[0.0, 1, 1], [1, 0, 0], [1, 0, 0]]))
    expected = [[0, 0.5, 0.5], [1, 0, 0], [1, 0, 0]]
    np.testing.assert_array_equal(neighbour_average(graph).toarray(), expected)


def test_directions_without_variance_are_harmless():
    xy, graph = lattice(10)
    V = np.column_stack([xy, xy[:, 0], np.ones(len(xy))])
    assert np.isfinite(SpatialFactors().fit_transform(V, graph)).all()
    center, T = whiten(V)
    assert np.isfinite(T).all()
    np.testing.assert_allclose(center, V.mean(axis=0))


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_threshold_is_checked(field, value):
    V, _, graph = field
    with pytest.raises(ValueError, match="`min_autocorrelation` must lie between 0 and 1"):
        SpatialFactors(value).fit(V, graph)


def test_spots_without_neighbours_have_no_part_in_the_weights(field):
    V, _, graph = field
    Z = (V - V.mean(axis=0))[:, :2]
    far = np.random.default_rng(3).normal(size=(200, 2))
    more = sp.block_diag([graph, sp.csr_matrix((200, 200))], format="csr")
    np.testing.assert_allclose(kriging_weights(np.vstack([Z, far]), more), kriging_weights(Z, graph))


def test_a_graph_without_edges_is_refused(field):
    V, _, graph = field
    with pytest.raises(ValueError, match="`connectivities` has no edge"):
        SpatialFactors().fit(V, sp.csr_matrix(graph.shape))
