import numpy as np
import pytest
from sections import comb_task, lattice_index, make_section, smooth_values

from transst_py.imputation.gene_images import Frame, common_step
from transst_py.imputation.views import MIN_SHOWN, Layout, sparser_masks


class TestFrame:
    def test_there_and_back(self):
        index = lattice_index(5, 4) + np.array([7, -3])
        values = np.arange(40.0).reshape(20, 2)
        frame = Frame.around(index)
        assert frame.shape == (5, 4)
        images = frame.lay(values, index)
        assert images[1, 2, 3] == values[11, 1]
        np.testing.assert_array_equal(frame.take(images, index), values)

    def test_pixels_are_steps_apart(self):
        index = lattice_index(5, 4, step=3) + 1
        frame = Frame.around(index, common_step(index))
        assert frame.shape == (5, 4)
        assert frame.mark(index).all()

    def test_sites_without_a_value_are_zero_and_unmarked(self):
        index = lattice_index(4, 4)
        some = index[[0, 5]]
        frame = Frame.around(index)
        assert frame.mark(some).sum() == 2
        assert np.count_nonzero(frame.lay(np.ones((2, 1)), some)) == 2

    def test_common_step(self):
        assert common_step(lattice_index(3, 3, step=4) + 5).tolist() == [4, 4]
        assert common_step(np.array([[1, 1], [1, 2], [4, 3]])).tolist() == [3, 1]
        assert common_step(np.array([[2, 2]])).tolist() == [1, 1]


class TestSparserMasks:
    def test_phases_of_a_comb_share_no_spot_and_leave_none_out(self):
        section, _, _ = comb_task()
        masks = sparser_masks(section, np.random.default_rng(0))
        assert len(masks) == 4
        np.testing.assert_array_equal(np.sum(masks, axis=0), 1)
        for mask in masks:
            assert common_step(section.sites.index[mask]).tolist() == [4, 4]

    def test_random_spots_and_holes_without_a_comb(self):
        index = lattice_index(12, 12)
        section = make_section(index, smooth_values(index, 2))
        masks = sparser_masks(section, np.random.default_rng(0))
        shares = [1 - mask.mean() for mask in masks]
        assert len(masks) > 2
        assert 0.05 < min(shares) < max(shares) < 0.6

    def test_where_a_comb_would_show_too_few_spots_are_random(self):
        index = lattice_index(8, 8, step=3)
        section = make_section(index, smooth_values(index, 2))
        assert len(section) / 9 < MIN_SHOWN
        masks = sparser_masks(section, np.random.default_rng(0))
        assert all(mask.sum() >= 32 for mask in masks)

    def test_small_sections_have_no_room_for_holes(self):
        index = lattice_index(5, 5)
        section = make_section(index, smooth_values(index, 2))
        for seed in range(20):
            masks = sparser_masks(section, np.random.default_rng(seed))
            assert all(MIN_SHOWN <= mask.sum() < 25 for mask in masks)


class TestLayout:
    @pytest.fixture
    def layout(self):
        section, sites, _ = comb_task(12, 10)
        keep = np.arange(len(section)) % 3 > 0
        return Layout.of(section.subset(keep), section.subset(~keep), sites)

    def test_masks_are_kept_apart(self, layout):
        n_shown, n_asked = len(layout.shown), len(layout.asked)
        view = layout.view(
            np.full((len(layout.everywhere), 2), 5.0), np.full((n_shown, 2), 6.0), np.full((n_asked, 2), 7.0)
        )
        assert view.tissue.sum() == len(layout.everywhere) == 120
        assert view.shown.sum() == n_shown
        assert (view.weight > 0).sum() == n_asked
        assert not (view.shown & (view.weight > 0)).any()
        np.testing.assert_array_equal(view.start, 5.0)
        np.testing.assert_array_equal(view.observed[0], 6.0 * view.shown)
        np.testing.assert_array_equal(view.target[1], 7.0 * (view.weight > 0))

    def test_precise_spots_weigh_more(self):
        index = lattice_index(4, 4)
        section = make_section(index, smooth_values(index, 1), noise=np.linspace(1, 4, 16))
        layout = Layout.of(section, section, section.sites)
        values = section.dense(np.array([0]))
        view = layout.view(values, values, values)
        np.testing.assert_allclose(layout.frame.take(view.weight[None], index)[:, 0], 1 / section.noise)

    def test_asking_for_other_spots(self, layout):
        values = np.ones((len(layout.shown), 1))
        view = layout.view(
            np.zeros((len(layout.everywhere), 1)), values, np.zeros((len(layout.asked), 1))
        ).asking(layout, layout.shown, values)
        np.testing.assert_array_equal(view.weight > 0, view.shown)
        np.testing.assert_array_equal(view.target, view.observed)
