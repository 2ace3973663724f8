from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from grids import square_grid, visium_grid, visium_xy
from scipy.spatial.transform import Rotation

from transst_py.tissue import graph as graphs
from transst_py.tissue.graph import (
    check_connectivities,
    find_radius,
    lattice_neighbors,
    radius_neighbors,
    spatial_neighbors,
)

# One entry of each kind, as functions of coordinates (or indices) and samples.
KINDS = {
    "knn": lambda places, samples=None: spatial_neighbors(places, n_neighbors=4, samples=samples),
    "radius": lambda places, samples=None: radius_neighbors(places, radius=1.5, samples=samples),
    "lattice": lambda places, samples=None: lattice_neighbors(places.astype(int), samples=samples),
}


def distances(xy):
    return np.linalg.norm(xy[:, None] - xy[None], axis=-1)


def loop_nearest(xy, k):
    """The definition, spot by spot: as near as the k-th nearest other, then both directions."""
    D, n = distances(xy), len(xy)
    near = np.zeros((n, n), dtype=bool)
    for i in range(n):
        others = sorted(D[i, j] for j in range(n) if j != i)
        for j in range(n):
            near[i, j] = j != i and D[i, j] <= others[min(k, n - 1) - 1] * (1 + 1e-6)
    return near | near.T


def loop_lattice(index, steps):
    n = len(index)
    return np.array([[tuple(index[i] - index[j]) in steps for j in range(n)] for i in range(n)])


SQUARE_STEPS = {(0, 1), (0, -1), (1, 0), (-1, 0)}
HEXAGONAL_STEPS = {(0, 2), (0, -2), (1, 1), (1, -1), (-1, 1), (-1, -1)}


def assert_edges(graph, expected):
    assert graph.format == "csr"
    assert graph.has_sorted_indices
    assert graph.dtype == np.float64
    np.testing.assert_array_equal(graph.toarray(), np.asarray(expected, dtype=float))


def degree_in_the_middle(graph, xy):
    center = np.linalg.norm(xy - xy.mean(axis=0), axis=1).argmin()
    return graph[center].sum()


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_symmetric_ones_without_loops(self, kind):
        graph = KINDS[kind](square_grid(6, 7).astype(float))
        assert (graph != graph.T).nnz == 0
        assert graph.diagonal().sum() == 0
        assert set(graph.data) == {1.0}

    def test_order_of_spots_does_not_matter(self, kind):
        places = square_grid(6, 7).astype(float)
        order = np.random.default_rng(0).permutation(len(places))
        graph, moved = KINDS[kind](places), KINDS[kind](places[order])
        assert_edges(moved, graph[order][:, order].toarray())

    def test_samples_are_never_joined(self, kind):
        """Interleaved samples at the same places: the same as each for itself."""
        places = np.repeat(square_grid(4, 5), 2, axis=0).astype(float)
        samples = np.tile(["b", "a"], 20)
        graph = KINDS[kind](places, samples)
        alone = KINDS[kind](square_grid(4, 5).astype(float)).toarray()
        for name in ("a", "b"):
            members = samples == name
            np.testing.assert_array_equal(graph[members][:, members].toarray(), alone)
            assert graph[members][:, ~members].nnz == 0

    def test_a_spot_alone_in_its_sample(self, kind):
        samples = np.array(["a"] * 9 + ["b"])
        graph = KINDS[kind](np.vstack([square_grid(3, 3), [[1, 1]]]).astype(float), samples)
        assert graph[9].nnz == 0
        assert graph[:9].getnnz(axis=1).min() >= 2


class TestNearest:
    @pytest.mark.parametrize("dimensions", [2, 3])
    @pytest.mark.parametrize("k", [1, 4, 13])
    def test_equals_the_definition(self, dimensions, k, monkeypatch):
        monkeypatch.setattr(graphs, "BLOCK_SPOTS", 7)
        xy = np.random.default_rng(k).uniform(size=(40, dimensions))
        assert_edges(spatial_neighbors(xy, n_neighbors=k), loop_nearest(xy, k))

    @pytest.mark.parametrize("k", range(1, 9))
    @pytest.mark.parametrize(
        "xy", [square_grid(6, 6) * 0.1, visium_xy(visium_grid(6, 4))], ids=["square", "visium"]
    )
    def test_equals_the_definition_with_ties(self, xy, k):
        assert_edges(spatial_neighbors(xy, n_neighbors=k), loop_nearest(xy, k))

    def test_ties_are_kept_however_many(self):
        """Sixty spots on a circle: the one in its centre has all of them as nearest."""
        angle = 2 * np.pi * np.arange(60) / 60
        xy = np.vstack([[[0.0, 0.0]], np.column_stack([np.cos(angle), np.sin(angle)])])
        graph = spatial_neighbors(xy, n_neighbors=2)
        assert graph[0].sum() == 60
        assert_edges(graph, loop_nearest(xy, 2))

    def test_more_neighbours_than_spots(self):
        xy = square_grid(2, 2).astype(float)
        assert_edges(spatial_neighbors(xy, n_neighbors=6), 1 - np.eye(4))

    def test_lattices(self):
        square, hexagonal, cubic = square_grid(9, 9), visium_xy(visium_grid(9, 9)), np.indices((5, 5, 5))
        assert degree_in_the_middle(spatial_neighbors(square, n_neighbors=4), square) == 4
        assert degree_in_the_middle(spatial_neighbors(hexagonal, n_neighbors=6), hexagonal) == 6
        cubic = cubic.reshape(3, -1).T @ Rotation.from_euler("xyz", [0.3, 0.5, 0.7]).as_matrix()
        assert degree_in_the_middle(spatial_neighbors(cubic, n_neighbors=6), cubic) == 6

    def test_shared_positions(self):
        xy = np.vstack([square_grid(3, 3), [[0, 0], [0, 0], [2, 2]]]).astype(float)
        with pytest.warns(UserWarning, match=r"^3 spot\(s\) share their position"):
            graph = spatial_neighbors(xy, n_neighbors=2)
        assert_edges(graph, loop_nearest(xy, 2))

    def test_stacked_spots_are_refused(self):
        xy = np.vstack([np.zeros((1000, 2)), square_grid(3, 3)])
        with (
            pytest.warns(UserWarning, match="1000 spot"),
            pytest.raises(ValueError, match=r"over 256 others exactly as near .* positions are stacked"),
        ):
            spatial_neighbors(xy)

    @pytest.mark.parametrize(
        ("k", "error", "message"),
        [
            (0, ValueError, "`n_neighbors` must be at least 1, got 0"),
            (101, ValueError, "`n_neighbors` must be at most 100, got 101"),
            (2.5, TypeError, "`n_neighbors` must be one whole number, got 2.5"),
        ],
    )
    def test_bad_number(self, k, error, message):
        with pytest.raises(error, match=message):
            spatial_neighbors(square_grid(3, 3), n_neighbors=k)


class TestRadius:
    @pytest.mark.parametrize("dimensions", [2, 3])
    def test_equals_the_definition(self, dimensions):
        xy = np.random.default_rng(0).uniform(size=(50, dimensions))
        D = distances(xy)
        near = [[i != j and D[i, j] <= 0.2 for j in range(50)] for i in range(50)]
        assert_edges(radius_neighbors(xy, radius=0.2), near)

    def test_rounding_noise_of_a_lattice_does_not_count(self):
        xy = square_grid(30, 3) * 0.1  # 0.1 apart, give or take an ulp
        assert radius_neighbors(xy, radius=0.1).nnz == 2 * (29 * 3 + 30 * 2)

    def test_shared_positions_are_neighbours(self):
        with pytest.warns(UserWarning, match="1 spot.* share their position"):
            graph = radius_neighbors(np.array([[0.0, 0], [0, 0], [5, 5]]), radius=1)
        assert_edges(graph, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])

    @pytest.mark.parametrize(
        "xy",
        [
            square_grid(9, 9) * 137.0,
            visium_xy(visium_grid(9, 9)),
            np.indices((5, 5, 5)).reshape(3, -1).T,
            np.random.default_rng(0).uniform(size=(301, 2)),
            np.random.default_rng(1).normal(size=(300, 3)),
            [[0, 0], [0, 1], [1, 0], [1, 1], [3, 3]],
        ],
        ids=["square", "visium", "cubic", "uniform", "normal", "five spots"],
    )
    def test_median_of_the_radius_found(self, xy):
        xy = np.asarray(xy, dtype=float)
        degree = radius_neighbors(xy, radius=find_radius(xy)).sum(axis=1)
        assert 4 <= np.median(np.asarray(degree)) <= 6

    def test_radius_found_with_samples(self):
        """One radius for all; a sample may be too small to have four neighbours at all."""
        xy = np.vstack([square_grid(9, 9), square_grid(9, 9), square_grid(1, 2)]).astype(float)
        samples = np.repeat([0, 1, 2], [81, 81, 2])
        graph = radius_neighbors(xy, radius=find_radius(xy, samples=samples), samples=samples)
        assert graph[[40, 121, 163]].sum(axis=1).tolist() == [[4], [4], [1]]

    def test_no_radius(self):
        with pytest.raises(ValueError, match=r"median number of neighbours is 4 to 6 \(most samples"):
            find_radius(square_grid(2, 2).astype(float))
        stacked = np.repeat(square_grid(3, 3), 8, axis=0).astype(float)
        with pytest.raises(ValueError, match=r"4 to 6 \(0 holds more already\); give a radius, or use graph"):
            find_radius(stacked)

    @pytest.mark.parametrize("radius", [0, -1.0, np.nan, np.inf, "1"])
    def test_bad_radius(self, radius):
        with pytest.raises(ValueError, match="`radius` must be a positive number, got"):
            radius_neighbors(square_grid(3, 3), radius=radius)

    def test_far_too_large(self):
        with pytest.raises(ValueError, match=r"`radius`=50 gives 399 .* the nearest spot is 1 away"):
            radius_neighbors(square_grid(20, 20), radius=50)


class TestLattice:
    @pytest.mark.parametrize(
        ("index", "steps", "middle"),
        [(square_grid(7, 8), SQUARE_STEPS, 4), (visium_grid(7, 5), HEXAGONAL_STEPS, 6)],
        ids=["square", "visium"],
    )
    def test_equals_the_definition(self, index, steps, middle):
        index = index[np.random.default_rng(0).permutation(len(index))]
        graph = lattice_neighbors(index)
        assert_edges(graph, loop_lattice(index, steps))
        assert degree_in_the_middle(graph, index) == middle
        holed = index[: len(index) // 2 + 5]
        assert_edges(lattice_neighbors(holed), loop_lattice(holed, steps))
        # Indices may start anywhere, and all go in steps.
        assert_edges(lattice_neighbors(3 * index - [50, 7]), graph.toarray())

    def test_visium_in_stretched_pixels(self):
        """Six neighbours, where the nearest in the stretched image are others."""
        index = visium_grid(9, 7)
        graph = lattice_neighbors(index)
        stretched = visium_xy(index) * [1.0, 2.0]
        assert degree_in_the_middle(graph, stretched) == 6
        assert (graph != spatial_neighbors(stretched, n_neighbors=6)).nnz > 0
        assert (graph != radius_neighbors(visium_xy(index), radius=101)).nnz == 0

    def test_each_sample_is_recognised_by_itself(self):
        index = np.vstack([square_grid(4, 4), visium_grid(4, 4)])
        samples = np.repeat(["s", "v"], 16)
        graph = lattice_neighbors(index, samples=samples)
        assert_edges(graph[:16][:, :16], loop_lattice(index[:16], SQUARE_STEPS))
        assert_edges(graph[16:][:, 16:], loop_lattice(index[16:], HEXAGONAL_STEPS))

    def test_neither(self):
        index = np.random.default_rng(0).integers(0, 1000, size=(50, 2))
        with pytest.raises(ValueError, match=r"neither a hexagonal lattice .* nor a square one: \d+ of 50"):
            lattice_neighbors(index)

    def test_shared_sites(self):
        index = np.vstack([square_grid(3, 3), [[1, 2]]])
        with pytest.raises(ValueError, match=r"1 lattice sites hold several spots \(row 1, column 2 holds 2"):
            lattice_neighbors(index)


class TestMatrix:
    @pytest.mark.parametrize("convert", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array])
    def test_symmetric_without_weights(self, convert):
        directed = sp.csr_matrix(([2.0, 0.5, 3.0, 0.0], ([0, 1, 2, 0], [1, 2, 2, 2])), shape=(3, 3))
        before = directed.copy()
        assert_edges(check_connectivities(convert(directed), 3), [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        assert (directed != before).nnz == 0
        both = convert(sp.csr_matrix([[False, True, False], [True, False, False], [False] * 3]))
        assert_edges(check_connectivities(both, 3), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])

    @pytest.mark.parametrize(
        ("matrix", "message"),
        [
            (np.eye(3), r"`graph` must be a sparse matrix of shape \(3, 3\), got ndarray of shape \(3, 3\)"),
            (sp.eye(4).tocsr(), r"got csr_matrix of shape \(4, 4\)"),
            (7, "got int"),
            (-sp.eye(3).tocsr(), "must hold numbers >= 0"),
            (sp.csr_matrix(np.diag([np.nan, 0, 1])), "missing"),
            (sp.csr_matrix(1j * np.eye(3)), "no numbers"),
        ],
    )
    def test_bad_matrix(self, matrix, message):
        with pytest.raises(ValueError, match=message):
            check_connectivities(matrix, 3, argument="graph")

    def test_without_edges(self):
        with pytest.warns(UserWarning, match="no spot has a neighbour"):
            check_connectivities(sp.csr_matrix((3, 3)), 3)

    def test_edges_across_samples(self):
        ring = sp.csr_matrix(np.roll(np.eye(6), 1, axis=0))
        with pytest.warns(UserWarning, match=r"`connectivities`: 2 of 6 edges join spots of different"):
            graph = check_connectivities(ring, 6, samples=np.array([0, 0, 0, 1, 1, 1]))
        path = np.eye(3, k=1) + np.eye(3, k=-1)
        assert_edges(graph, np.kron(np.eye(2), path))
        assert check_connectivities(graph, 6, samples=np.array([0, 0, 0, 1, 1, 1])).nnz == 8
