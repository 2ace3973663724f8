import numpy as np
import pytest
from grids import square_grid, visium_grid, visium_xy

from transst_py.tissue import lattice
from transst_py.tissue.lattice import Lattice, halve_pitch, infer_square_indices


class TestLattice:
    def test_kinds_steps_and_pitch(self):
        square = square_grid(4, 5)
        found = Lattice.from_indices(3 + 2 * square, square[:, ::-1] * 7.0)
        assert (found.kind, found.pitch) == ("square", pytest.approx(7.0))
        np.testing.assert_array_equal(found.index, square)
        np.testing.assert_array_equal(found.origin, [3, 3])
        np.testing.assert_array_equal(found.step, [2, 2])
        visium = visium_grid(5, 4)
        found = Lattice.from_indices(visium, visium_xy(visium))
        assert (found.kind, found.pitch) == ("hexagonal", pytest.approx(100.0))

    @pytest.mark.parametrize("index", [square_grid(5, 6), visium_grid(6, 5)], ids=["square", "visium"])
    def test_fine_sites_are_midpoints_on_half_the_pitch(self, index):
        xy = visium_xy(index)
        coarse = Lattice.from_indices(index, xy)
        fine = halve_pitch(coarse)
        np.testing.assert_array_equal(fine[: len(index)], 2 * coarse.index)
        assert len(np.unique(fine, axis=0)) == len(fine)
        again = Lattice.from_indices(fine, coarse.positions(fine / 2))
        assert again.kind == coarse.kind
        assert again.pitch == pytest.approx(coarse.pitch / 2)
        halfway = {tuple(a + b) for a in coarse.index for b in coarse.index}
        assert {tuple(site) for site in fine} <= halfway

    def test_full_square_lattice_is_filled_completely(self):
        index = square_grid(4, 6)
        fine = halve_pitch(Lattice.from_indices(index, index.astype(float)))
        assert {tuple(site) for site in fine} == {tuple(site) for site in square_grid(7, 11)}

    def test_new_sites_of_a_visium_lattice_are_the_midpoints_of_its_edges(self):
        index = visium_grid(7, 6)
        xy = visium_xy(index)
        fine = halve_pitch(Lattice.from_indices(index, xy))
        new = {tuple(site) for site in fine[len(index) :]}
        distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
        edges = {tuple(index[i] + index[j]) for i, j in np.argwhere((distance > 1) & (distance < 101))}
        assert edges <= new
        # The ends of the rows are ragged: in a notch, a site lies between spots two rows apart.
        assert all(col in (0, 2 * index[:, 1].max()) for _, col in new - edges)
        assert len(new - edges) == 5

    @pytest.mark.parametrize(
        ("grid", "spot"), [(square_grid(7, 7), (3, 3)), (visium_grid(9, 6), (4, 6))], ids=["square", "visium"]
    )
    def test_single_missing_spot_is_bridged(self, grid, spot):
        """The same fine sites as without the hole, the missing spot's own among the new ones."""
        full = halve_pitch(Lattice.from_indices(grid, visium_xy(grid)))
        holed = grid[(grid != spot).any(axis=1)]
        fine = halve_pitch(Lattice.from_indices(holed, visium_xy(holed)))
        assert {tuple(site) for site in fine} == {tuple(site) for site in full}
        assert tuple(2 * np.array(spot)) in {tuple(site) for site in fine[len(holed) :]}

    @pytest.mark.parametrize("spot", [(3, 0), (0, 3), (3, 6), (6, 3)])
    def test_missing_spot_on_the_border_lies_between_its_neighbours_there(self, spot):
        grid = square_grid(7, 7)
        holed = grid[(grid != spot).any(axis=1)]
        fine = halve_pitch(Lattice.from_indices(holed, holed.astype(float)))
        assert tuple(2 * np.array(spot)) in {tuple(site) for site in fine[len(holed) :]}

    def test_wide_gaps_and_the_outside_stay_empty(self):
        grid = square_grid(6, 12)
        halves = grid[(grid[:, 1] < 4) | (grid[:, 1] > 7)]
        fine = halve_pitch(Lattice.from_indices(halves, halves.astype(float)))
        assert not ((fine[:, 1] > 6) & (fine[:, 1] < 16)).any()
        assert fine.min() >= 0
        assert fine[:, 0].max() == 10
        # A row's end and the next row's start are no neighbours.
        corner = np.array([(0, 0), (0, 1), (1, 0), (0, 9), (1, 9)])
        assert len(halve_pitch(Lattice.from_indices(corner, corner.astype(float)))) == 5 + 2 + 1 + 1

    @pytest.mark.parametrize(
        ("index", "xy", "message"),
        [
            (np.zeros((3, 2), int), np.zeros((3, 2)), "several sections, say with `sample_key`"),
            (np.column_stack([np.arange(4)] * 2), np.arange(8.0).reshape(4, 2), "one line"),
            (square_grid(5, 5), np.random.default_rng(0).random((25, 2)), "do not follow the lattice"),
            (square_grid(3, 3), np.ones((9, 2)), "do not follow the lattice"),
        ],
    )
    def test_no_lattice(self, index, xy, message):
        with pytest.raises(ValueError, match=message):
            Lattice.from_indices(index, xy)


class TestInferSquare:
    @pytest.mark.parametrize("angle", [0.0, 0.3, -0.7, 1.5])
    def test_recovers_a_rotated_jittered_lattice_with_holes(self, angle):
        rng = np.random.default_rng(1)
        index = square_grid(40, 60)
        index = index[rng.random(len(index)) > 0.3]
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        xy = 13.7 * index[:, ::-1] @ rotation + rng.normal(scale=0.5, size=index.shape) + [500, -90]
        found = infer_square_indices(xy)
        # The axes may be swapped or flipped; distances on the lattice may not change.
        true_steps = np.abs(index - index[0]).sum(axis=1)
        np.testing.assert_array_equal(np.abs(found - found[0]).sum(axis=1), true_steps)

    def test_plain_lattice_keeps_rows_and_columns(self):
        index = square_grid(5, 7)
        found = infer_square_indices(index[:, ::-1] * 2.5)
        np.testing.assert_array_equal(found - found.min(axis=0), index)

    @pytest.mark.parametrize(
        "xy",
        [
            np.random.default_rng(0).random((200, 2)),
            visium_xy(visium_grid(10, 10)),
            np.zeros((9, 2)),
            np.zeros((3, 2)),
            np.eye(2)[[0]] * np.arange(9.0)[:, None],
            np.concatenate([square_grid(5, 5), [[2, 2]]]).astype(float),
        ],
        ids=["cloud", "hexagonal", "one point", "three spots", "line", "shared site"],
    )
    def test_refuses_what_is_no_square_lattice(self, xy):
        with pytest.raises(ValueError, match="square lattice"):
            infer_square_indices(xy)


def test_bridges_are_one_of_each_pair():
    for kind, bridges in lattice.BRIDGES.items():
        both = set(bridges) | {(-row, -col) for row, col in bridges}
        assert len(both) == 2 * len(bridges)
        if kind == "hexagonal":
            assert all((row + col) % 2 == 0 for row, col in bridges)
