from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from transst_py.graph import check_connectivities, spatial_neighbors


def square(rows, cols):
    return np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), axis=-1).reshape(-1, 2).astype(float)


def interior_degree(coordinates, k):
    graph = spatial_neighbors(coordinates, n_neighbors=k)
    center = np.linalg.norm(coordinates - coordinates.mean(axis=0), axis=1).argmin()
    return graph[center].sum()


def test_square_lattice_has_four_neighbours():
    assert interior_degree(square(9, 9), 4) == 4


def test_hexagonal_lattice_has_six_neighbours():
    xy = square(9, 9)
    xy[:, 0] += 0.5 * (xy[:, 1] % 2)
    xy[:, 1] *= np.sqrt(3) / 2
    assert interior_degree(xy, 6) == 6


def test_symmetric_without_loops_and_every_spot_has_k_neighbours():
    xy = np.random.default_rng(0).uniform(size=(60, 2))
    graph = spatial_neighbors(xy, n_neighbors=5)
    assert (graph != graph.T).nnz == 0
    assert graph.diagonal().sum() == 0
    assert set(graph.data) == {1.0}
    assert graph.sum(axis=1).min() >= 5


def test_equals_brute_force():
    xy = np.random.default_rng(1).uniform(size=(40, 2))
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    near = distance <= np.sort(distance, axis=1)[:, [3]]
    np.testing.assert_array_equal(spatial_neighbors(xy, n_neighbors=4).toarray() > 0, near | near.T)


def test_order_of_spots_does_not_matter_on_a_lattice():
    xy = square(6, 7)
    order = np.random.default_rng(0).permutation(len(xy))
    graph, moved = spatial_neighbors(xy, n_neighbors=6), spatial_neighbors(xy[order], n_neighbors=6)
    assert (graph[order][:, order] != moved).nnz == 0


def test_samples_are_never_joined():
    xy = np.vstack([square(3, 3), square(3, 3) + 0.1])
    samples = np.repeat(["a", "b"], 9)
    graph = spatial_neighbors(xy, n_neighbors=4, samples=samples)
    assert graph[:9, 9:].nnz == 0
    assert (graph[:9, :9] != graph[9:, 9:]).nnz == 0


def test_warnings():
    xy = square(2, 3)
    with pytest.warns(UserWarning, match="1 spot.s. have no neighbours"):
        graph = spatial_neighbors(xy, samples=np.array(["a"] * 5 + ["b"]))
    assert graph[5].nnz == 0
    with pytest.warns(UserWarning, match="share their position"):
        spatial_neighbors(np.vstack([xy, xy[:1]]))
    with pytest.raises(ValueError, match="`n_neighbors` must be at least 1, got 0"):
        spatial_neighbors(xy, n_neighbors=0)


def test_check_connectivities():
    directed = sp.csr_matrix(([2.0, 0.5], ([0, 1], [1, 2])), shape=(3, 3))
    graph = check_connectivities(directed, 3)
    np.testing.assert_array_equal(graph.toarray(), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    assert directed.data[0] == 2.0
    with pytest.raises(ValueError, match=r"sparse matrix of shape \(3, 3\)"):
        check_connectivities(np.eye(3), 3)
    with pytest.warns(UserWarning, match="no spot has a neighbour"):
        check_connectivities(sp.csr_matrix((3, 3)), 3)
