import numpy as np
import pytest
from grids import square_grid, visium_grid, visium_xy

from transst_py.imputation.holdout import (
    comb,
    comb_phases,
    dense_index,
    holes,
    number_sites,
    random_spots,
    site_indices,
)
from transst_py.tissue.lattice import Lattice, neighboring_sites

LATTICES = [("square", square_grid(12, 13)), ("hexagonal", visium_grid(14, 9))]


def rng(seed=0):
    return np.random.default_rng(seed)


class TestComb:
    @pytest.mark.parametrize(("kind", "index"), LATTICES, ids=["square", "hexagonal"])
    @pytest.mark.parametrize("stride", [2, 3])
    def test_keeps_a_lattice_of_the_same_kind_with_a_larger_pitch(self, kind, index, stride):
        xy = visium_xy(index) if kind == "hexagonal" else 100.0 * index
        for phase in comb_phases(stride):
            kept = ~comb(index, kind, stride=stride, phase=phase)
            coarse = Lattice.from_indices(index[kept], xy[kept])
            assert coarse.kind == kind
            assert coarse.pitch == pytest.approx(100.0 * stride)

    @pytest.mark.parametrize(("kind", "index"), LATTICES, ids=["square", "hexagonal"])
    @pytest.mark.parametrize("stride", [2, 3])
    def test_every_spot_is_kept_in_one_phase(self, kind, index, stride):
        kept = [~comb(index, kind, stride=stride, phase=phase) for phase in comb_phases(stride)]
        assert len(kept) == stride**2
        np.testing.assert_array_equal(np.sum(kept, axis=0), 1)

    def test_square_comb_is_rows_and_columns(self):
        index = square_grid(5, 7)
        hidden = comb(index, "square", stride=3, phase=(2, 1))
        np.testing.assert_array_equal(index[~hidden], [(2, 1), (2, 4)])
        assert hidden.dtype == bool

    def test_hexagonal_comb_of_either_parity(self):
        """Every kept spot has its six kept spots at twice the steps; odd lattices are even ones, shifted."""
        index = visium_grid(9, 6)
        kept = index[~comb(index, "hexagonal", phase=(0, 0))]
        np.testing.assert_array_equal(kept[kept[:, 0] == 0, 1], [0, 4, 8])
        np.testing.assert_array_equal(kept[kept[:, 0] == 2, 1], [2, 6, 10])
        for phase in comb_phases(2):
            np.testing.assert_array_equal(
                comb(index + np.array([0, 1]), "hexagonal", phase=phase),
                comb(index, "hexagonal", phase=phase),
            )

    def test_order_of_the_spots_does_not_matter(self):
        index = visium_grid(8, 5)
        order = rng().permutation(len(index))
        np.testing.assert_array_equal(comb(index[order], "hexagonal"), comb(index, "hexagonal")[order])

    def test_default_is_half_of_each_direction(self):
        index = square_grid(6, 6)
        np.testing.assert_array_equal(comb(index, "square"), comb(index, "square", stride=2, phase=(0, 0)))

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"stride": 1}, ValueError, "`stride` must be at least 2"),
            ({"stride": 2.0}, TypeError, "`stride`"),
            ({"phase": (0, 2)}, ValueError, "`phase` must be two whole numbers from 0 to 1"),
            ({"phase": (-1, 0)}, ValueError, "`phase`"),
            ({"phase": (0,)}, ValueError, "`phase`"),
            ({"stride": 9, "phase": (8, 8)}, ValueError, "hides all of the 16 spots"),
        ],
    )
    def test_bad_options(self, options, error, message):
        with pytest.raises(error, match=message):
            comb(square_grid(4, 4), "square", **options)

    def test_nothing_hidden(self):
        with pytest.raises(ValueError, match="hides none of the 1 spots"):
            comb(np.array([[0, 0]]), "square")


class TestDenseIndex:
    def test_hexagonal_neighbours_are_those_of_the_lattice(self):
        index = visium_grid(7, 6)
        dense = dense_index(index, "hexagonal")
        steps = {(0, 1), (1, 0), (1, -1)}
        found = {
            (i, j)
            for i in range(len(dense))
            for j in range(len(dense))
            if tuple(dense[j] - dense[i]) in steps
        }
        expected = {tuple(pair) for pair in neighboring_sites(index)}
        assert {frozenset(pair) for pair in found} == {frozenset(pair) for pair in expected}
        assert len(np.unique(dense, axis=0)) == len(dense)

    @pytest.mark.parametrize(("kind", "index"), LATTICES, ids=["square", "hexagonal"])
    def test_numbers_lead_back(self, kind, index):
        for shift in (0, 1):
            shifted = index + np.array([0, shift])
            back = site_indices(number_sites(shifted, kind), kind)
            np.testing.assert_array_equal(back, index if kind == "hexagonal" else shifted)

    def test_square_stays(self):
        index = square_grid(3, 4) - 2
        np.testing.assert_array_equal(dense_index(index, "square"), index)

    @pytest.mark.parametrize(
        ("index", "kind", "error", "message"),
        [
            (square_grid(3, 3), "hex", ValueError, "choose one of square, hexagonal"),
            (square_grid(3, 3), "hexagonal", ValueError, "no hexagonal lattice"),
            (visium_grid(3, 3), "square", ValueError, "use kind='hexagonal'"),
            (2 * square_grid(3, 3), "square", ValueError, r"common steps \[2, 2\]"),
            (square_grid(3, 3).astype(float), "square", TypeError, "integers"),
            (np.arange(4), "square", ValueError, r"\(n, 2\)"),
        ],
    )
    def test_bad_input(self, index, kind, error, message):
        with pytest.raises(error, match=message):
            dense_index(index, kind)


class TestRandomSpots:
    def test_hides_the_fraction_anywhere(self):
        drawn = np.stack([random_spots(40, fraction=0.3, rng=rng(seed)) for seed in range(300)])
        assert drawn.dtype == bool
        assert (drawn.sum(axis=1) == 12).all()
        # 300 draws of probability 0.3: 5 standard deviations.
        assert np.abs(drawn.mean(axis=0) - 0.3).max() < 5 * np.sqrt(0.21 / 300)

    def test_seed_decides(self):
        first, same = (random_spots(50, fraction=0.5, rng=rng(1)) for _ in range(2))
        np.testing.assert_array_equal(first, same)

    @pytest.mark.parametrize(
        ("n", "fraction", "message"),
        [
            (10, 0.0, "between 0 and 1"),
            (10, 1.0, "between 0 and 1"),
            (10, np.nan, "between 0 and 1"),
            (10, 0.01, "hides none of the 10"),
            (10, 0.99, "hides all of the 10"),
            (1, 0.5, "`n` must be at least 2"),
        ],
    )
    def test_bad_input(self, n, fraction, message):
        with pytest.raises(ValueError, match=message):
            random_spots(n, fraction=fraction, rng=rng())

    def test_needs_a_generator(self):
        with pytest.raises(TypeError, match="default_rng"):
            random_spots(10, fraction=0.5, rng=0)


class TestHoles:
    def test_holes_are_full_discs_around_spots(self):
        xy = visium_xy(visium_grid(30, 20))
        hidden = holes(xy, fraction=0.3, radius=200.0, rng=rng())
        distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
        full = ~((distance <= 200.1) & ~hidden).any(axis=1)  # centres whose disc is hidden altogether
        np.testing.assert_array_equal(hidden, (distance[full] <= 200.1).any(axis=0))

    @pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
    def test_fraction_is_met_within_half_a_hole(self, fraction):
        xy = square_grid(40, 40).astype(float)
        for seed in range(5):
            hidden = holes(xy, fraction=fraction, radius=2.0, rng=rng(seed))
            assert abs(hidden.sum() - fraction * 1600) <= 13 / 2

    def test_small_radius_hides_single_spots(self):
        hidden = holes(square_grid(10, 10).astype(float), fraction=0.2, radius=0.5, rng=rng())
        assert hidden.sum() == 20

    def test_shift_and_unit_do_not_matter(self):
        xy = square_grid(15, 15).astype(float)
        plain = holes(xy, fraction=0.25, radius=2.0, rng=rng(3))
        np.testing.assert_array_equal(plain, holes(7 * xy - 40, fraction=0.25, radius=14.0, rng=rng(3)))

    def test_a_third_coordinate_counts(self):
        """Flat it changes nothing; two layers far apart have holes of their own."""
        xy = np.tile(square_grid(10, 10).astype(float), (2, 1))
        flat = np.column_stack([xy[:100], np.full(100, 5.0)])
        plain = holes(xy[:100], fraction=0.3, radius=1.0, rng=rng())
        np.testing.assert_array_equal(holes(flat, fraction=0.3, radius=1.0, rng=rng()), plain)
        height = np.repeat([0.0, 9.0], 100)
        hidden = holes(np.column_stack([xy, height]), fraction=0.3, radius=1.0, rng=rng())
        assert (hidden[:100] != hidden[100:]).any()
        assert not (hidden == holes(xy, fraction=0.3, radius=1.0, rng=rng())).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fraction": 0.1, "radius": 100.0}, "hides none of the 25 spots"),
            ({"fraction": 0.6, "radius": 100.0}, "hides all of the 25 spots"),
            ({"fraction": 1.5, "radius": 1.0}, "`fraction`"),
            ({"fraction": 0.5, "radius": 0.0}, "`radius`"),
            ({"fraction": 0.5, "radius": np.inf}, "`radius`"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            holes(square_grid(5, 5).astype(float), rng=rng(), **options)

    @pytest.mark.parametrize(
        "xy", [np.zeros((4, 4)), np.zeros((4, 1)), np.zeros((1, 2)), np.full((4, 3), np.nan)]
    )
    def test_bad_positions(self, xy):
        with pytest.raises(ValueError, match="`positions`"):
            holes(xy, fraction=0.5, radius=1.0, rng=rng())
