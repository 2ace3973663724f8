import numpy as np
import pytest
from grids import square_grid, visium_grid
from scipy.interpolate import RectBivariateSpline, RegularGridInterpolator

from transst_py.imputation.interpolation import can_interpolate, interpolate

ORDERS = ["linear", "cubic"]
ROWS, COLS = 7, 9
# The measured spots have even indices, starting anywhere; the sites lie on and between them.
OFFSET = np.array([-4, 10])
MEASURED = 2 * square_grid(ROWS, COLS) + OFFSET
SITES = square_grid(2 * ROWS - 1, 2 * COLS - 1) + OFFSET


def random_values(n, p=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32)


def ramp(index):
    return np.column_stack([index @ [0.3, -0.7] + 2, index @ [0.0, 1.0], np.full(len(index), 5.0)])


def axial(index):
    return np.column_stack([index[:, 0], (index[:, 1] - index[:, 0]) // 2])


def with_holes(share=0.2, seed=3):
    """Numbers of measured spots, some missing inside and at the border; two corners are kept."""
    keep = np.random.default_rng(seed).random(len(MEASURED)) > share
    keep[[0, -1]] = True
    keep[4] = False
    return np.flatnonzero(keep)


@pytest.mark.parametrize("order", ORDERS)
class TestBothOrders:
    def test_ramps_and_constants_are_reproduced(self, order):
        found = interpolate(ramp(MEASURED), MEASURED, SITES, order=order)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, ramp(SITES), atol=1e-5)

    def test_measured_values_stay(self, order):
        values = random_values(len(MEASURED))
        np.testing.assert_allclose(
            interpolate(values, MEASURED, MEASURED, order=order), values, rtol=1e-6, atol=1e-6
        )

    @pytest.mark.parametrize("step", [(1, 1), (2, 2), (3, 5)])
    def test_steps_of_the_lattice_are_found(self, order, step):
        values = random_values(len(MEASURED))
        index = square_grid(ROWS, COLS)
        expected = interpolate(values, index * 30, index * 30 + [15, 6], order=order)
        found = interpolate(values, index * 30 * step, (index * 30 + [15, 6]) * step, order=order)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

    def test_outside_is_the_nearest_inside(self, order):
        values = random_values(len(MEASURED))
        low, high = MEASURED.min(axis=0), MEASURED.max(axis=0)
        far = np.array([low - 3, [low[0] - 50, 13], high + 100, [3, high[1] + 1]])
        near = np.clip(far, low, high)
        np.testing.assert_array_equal(
            interpolate(values, MEASURED, far, order=order), interpolate(values, MEASURED, near, order=order)
        )

    def test_holes_inside_do_not_bend_a_ramp(self, order):
        """Within the convex hull; with all four corners that is the whole box."""
        keep = np.union1d(with_holes(0.3), [COLS - 1, len(MEASURED) - COLS])
        found = interpolate(ramp(MEASURED[keep]), MEASURED[keep], SITES, order=order)
        np.testing.assert_allclose(found, ramp(SITES), atol=1e-5)

    def test_holes_are_filled_between_the_values_around_them(self, order):
        keep = with_holes()
        values = random_values(len(MEASURED))[keep]
        holes = np.delete(MEASURED, keep, axis=0)
        found = interpolate(values, MEASURED[keep], holes, order=order)
        assert (found >= values.min(axis=0) - 1e-6).all()
        assert (found <= values.max(axis=0) + 1e-6).all()
        measured = interpolate(values, MEASURED[keep], MEASURED[keep], order=order)
        np.testing.assert_allclose(measured, values, rtol=1e-6, atol=1e-6)

    def test_beyond_the_hull_is_the_nearest_value(self, order):
        corner = np.arange(len(MEASURED)) == 0
        values = random_values(len(MEASURED))[~corner]
        # The corner is one step from two spots, and beyond the line between them.
        found = interpolate(values, MEASURED[~corner], MEASURED[corner], order=order)[0]
        near = values[[0, COLS - 1]]
        assert any(np.allclose(found, value, atol=1e-6) for value in near)

    def test_order_of_the_spots_does_not_matter(self, order):
        keep = with_holes()
        values, index = random_values(len(keep)), MEASURED[keep]
        shuffled = np.random.default_rng(5).permutation(len(keep))
        np.testing.assert_array_equal(
            interpolate(values[shuffled], index[shuffled], SITES, order=order),
            interpolate(values, index, SITES, order=order),
        )

    def test_a_gene_does_not_depend_on_its_company(self, order):
        keep = with_holes()
        values = random_values(len(keep))
        together = interpolate(values, MEASURED[keep], SITES, order=order)
        alone = interpolate(values[:, [2]], MEASURED[keep], SITES, order=order)
        np.testing.assert_allclose(alone, together[:, [2]], rtol=1e-6, atol=1e-6)


class TestAxialIndices:
    """A section of Visium: a ramp over the tissue is one in axial indices too, which fill part of a box."""

    def test_linear_ramp_in_cells_of_measured_spots(self):
        coarse, fine = visium_grid(9, 8), visium_grid(17, 16)
        found = interpolate(ramp(2 * coarse), axial(2 * coarse), axial(fine), order="linear")
        measured = {tuple(site) for site in axial(coarse)}
        low, high = axial(fine) // 2, -(-axial(fine) // 2)
        corners = [np.column_stack([u[:, 0], v[:, 1]]) for u in (low, high) for v in (low, high)]
        inside = np.all([[tuple(site) in measured for site in corner] for corner in corners], axis=0)
        assert inside.sum() > 0.8 * len(fine)
        np.testing.assert_allclose(found[inside], ramp(fine)[inside], atol=1e-5)

    def test_cubic_ramp_far_from_the_border(self):
        coarse, fine = visium_grid(25, 24), visium_grid(49, 48)
        found = interpolate(ramp(2 * coarse), axial(2 * coarse), axial(fine), order="cubic")
        middle = (np.abs(fine - [24, 47]) < [6, 20]).all(axis=1)
        assert middle.sum() > 200
        np.testing.assert_allclose(found[middle], ramp(fine)[middle], atol=1e-2)

    @pytest.mark.parametrize("step", [(0, 2), (1, 1)])
    def test_linear_middles_of_edges_along_the_axes_are_means_of_their_ends(self, step):
        coarse = visium_grid(9, 8)
        values = random_values(len(coarse))
        pairs = np.argwhere((coarse[None] - coarse[:, None] == step).all(axis=-1))
        middles = coarse[pairs[:, 0]] + coarse[pairs[:, 1]]
        found = interpolate(values, axial(2 * coarse), axial(middles), order="linear")
        np.testing.assert_allclose(found, values[pairs].mean(axis=1), atol=1e-6)


def test_linear_halfway_points_are_means_of_the_spots_around():
    values = random_values(ROWS * COLS)
    grid = values.reshape(ROWS, COLS, -1)
    found = interpolate(values, MEASURED, SITES, order="linear").reshape(2 * ROWS - 1, 2 * COLS - 1, -1)
    np.testing.assert_allclose(found[1::2, ::2], (grid[1:] + grid[:-1]) / 2, atol=1e-6)
    np.testing.assert_allclose(found[::2, 1::2], (grid[:, 1:] + grid[:, :-1]) / 2, atol=1e-6)
    four = grid[1:, 1:] + grid[:-1, 1:] + grid[1:, :-1] + grid[:-1, :-1]
    np.testing.assert_allclose(found[1::2, 1::2], four / 4, atol=1e-6)


def test_complete_lattices_agree_with_other_implementations():
    values = random_values(ROWS * COLS).astype(np.float64)
    grid = values.reshape(ROWS, COLS, -1)
    at = (SITES - OFFSET) / 2
    bilinear = RegularGridInterpolator((np.arange(ROWS), np.arange(COLS)), grid)(at)
    np.testing.assert_allclose(interpolate(values, MEASURED, SITES, order="linear"), bilinear, atol=1e-5)
    bicubic = [RectBivariateSpline(range(ROWS), range(COLS), grid[..., g], s=0).ev(*at.T) for g in range(4)]
    found = interpolate(values, MEASURED, SITES, order="cubic")
    np.testing.assert_allclose(found, np.transpose(bicubic), atol=1e-5)


def test_cubic_is_closer_to_a_smooth_function():
    def wave(index):
        return np.sin(index[:, [0]] / 3) * np.cos(index[:, [1]] / 4)

    error = {
        order: np.abs(interpolate(wave(MEASURED), MEASURED, SITES, order=order) - wave(SITES)).mean()
        for order in ORDERS
    }
    assert error["cubic"] < 0.2 * error["linear"]


def test_cubic_may_overshoot():
    spike = (np.arange(ROWS * COLS) == ROWS * COLS // 2).astype(float)[:, None]
    assert interpolate(spike, MEASURED, SITES, order="cubic").min() < -0.01
    assert interpolate(spike, MEASURED, SITES, order="linear").min() == 0


VALUES = np.ones((ROWS * COLS, 2))
BAD = VALUES.copy()
BAD[3, 1] = np.nan


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"order": "quintic"}, ValueError, "choose one of linear, cubic"),
        ({"index": np.vstack([MEASURED[:-1], MEASURED[:1]])}, ValueError, "1 spots share their site"),
        ({"index": np.column_stack([np.arange(63)] * 2)}, ValueError, "63 spots lie on one line"),
        ({"index": MEASURED[:2], "values": VALUES[:2]}, ValueError, "2 spots lie on one line"),
        ({"index": MEASURED[:0], "values": VALUES[:0]}, ValueError, "0 spots lie on one line"),
        (
            {"index": np.random.default_rng(0).integers(0, 10**9, (63, 2))},
            ValueError,
            "only 63 of .* measured",
        ),
        ({"index": MEASURED / 2}, TypeError, "`index` must hold integers, got float64"),
        ({"sites": SITES / 2}, TypeError, "`sites` must hold integers"),
        ({"sites": SITES[:, :1]}, ValueError, r"`sites` must have two columns .*\(221, 1\)"),
        ({"values": VALUES[1:]}, ValueError, r"a row for each of 63 spots, got shape \(62, 2\)"),
        ({"values": BAD}, ValueError, "missing or infinite"),
    ],
)
def test_bad_input(arguments, error, message):
    given = {"values": VALUES, "index": MEASURED, "sites": SITES, "order": "linear"} | arguments
    with pytest.raises(error, match=message):
        interpolate(given.pop("values"), given.pop("index"), given.pop("sites"), **given)


def test_cubic_needs_four_sites_along_both_axes():
    index = square_grid(3, 8)
    with pytest.raises(ValueError, match=r"4 or more sites .* found 3 x 8; use order='linear'"):
        interpolate(random_values(24), index, index, order="cubic")
    assert interpolate(random_values(24), index, index, order="linear").shape == (24, 4)
    index = square_grid(4, 8)
    assert interpolate(random_values(32), index, index, order="cubic").shape == (32, 4)


CROSS = square_grid(9, 9)[((square_grid(9, 9) == 4) & (np.arange(2) == 0)).any(axis=1)]


def two_cores(*shift):
    return np.concatenate([square_grid(6, 6), square_grid(6, 6) + shift])


class TestCanInterpolate:
    @pytest.mark.parametrize(
        ("index", "linear", "cubic"),
        [
            (square_grid(2, 30), False, False),
            (square_grid(3, 3), True, False),
            (square_grid(5, 40), True, False),
            (square_grid(6, 6), True, True),
            (3 * square_grid(6, 6) - 100, True, True),
            (square_grid(1, 9), False, False),
            (square_grid(0, 9), False, False),
            # A third less, two spots would be left.
            (np.array([[0, 1], [1, 3], [2, 0]]), False, False),
            # Rows or diagonals with little beside them.
            (np.vstack([CROSS, [(3, 2), (5, 7)]]), False, False),
            (np.vstack([np.column_stack([np.arange(9)] * 2), [(3, 2), (5, 7)]]), False, False),
            (np.vstack([np.column_stack([np.arange(9), -np.arange(9)]), [(3, 2), (5, -7)]]), False, False),
            (np.vstack([square_grid(3, 20), [(4, 1), (5, 2), (6, 3)]]), True, False),
            # They fill 1.7, 2.1 and 3.5 % of their bounding box.
            (two_cores(60, 60), False, False),
            (two_cores(60, 45), False, False),
            (two_cores(60, 25), True, True),
        ],
    )
    def test_by_layout(self, index, linear, cubic):
        assert can_interpolate(index, "linear") is linear
        assert can_interpolate(index, "cubic") is cubic
        assert can_interpolate(index[:, ::-1], "linear") is linear

    @pytest.mark.parametrize("order", ORDERS)
    def test_what_it_allows_works_without_a_third(self, order):
        """Scattered spots of any density, and any third of them missing."""
        rng = np.random.default_rng(0)
        n_allowed = 0
        for _ in range(200):
            sites = square_grid(*rng.integers(3, 30, 2))
            index = sites[rng.random(len(sites)) < 10 ** rng.uniform(-1.7, 0)]
            if not can_interpolate(index, order):
                continue
            n_allowed += 1
            kept = rng.permutation(len(index))[len(index) // 3 :]
            found = interpolate(np.ones((len(kept), 1)), index[kept], sites, order=order)
            np.testing.assert_allclose(found, 1, rtol=1e-6)
        assert 50 < n_allowed < 200

    def test_unknown_order(self):
        with pytest.raises(ValueError, match="choose one of linear, cubic"):
            can_interpolate(MEASURED, "quintic")
