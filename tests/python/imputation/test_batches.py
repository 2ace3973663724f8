import numpy as np
import pytest
import torch
from sections import comb_task, lattice_index

from transst_py.imputation import batches
from transst_py.imputation.batches import ImageSampler, ViewSampler, whole_maps
from transst_py.imputation.views import Layout, View

CPU = torch.device("cpu")


def numbered_view(height=12, width=10, *, kind="square", isotropic=True):
    """A view whose pixels all differ, and whose planes can be told from its maps."""
    pixel = np.arange(1.0, height * width + 1).reshape(height, width)
    index = lattice_index(height, width)
    shown = (index % 2 == 0).all(axis=1).reshape(height, width)
    maps = np.stack([pixel, 1000 + pixel])
    return View(
        start=maps,
        observed=maps * shown,
        target=2 * maps,
        shown=shown,
        tissue=np.ones((height, width), dtype=bool),
        weight=pixel / 7,
        kind=kind,
        isotropic=isotropic,
    )


class TestViewSampler:
    def test_whole_maps(self):
        view = numbered_view()
        batch = whole_maps(view, np.array([1, 0, 1]), CPU)
        np.testing.assert_allclose(batch.start[:, 0].numpy(), view.start[[1, 0, 1]])
        assert batch.extra.shape == (3, 2, 12, 10)

    @pytest.mark.parametrize("kind", ["square", "hexagonal"])
    def test_crops_stay_registered_however_they_are_turned(self, kind):
        view, rng = numbered_view(kind=kind), np.random.default_rng(0)
        sampler = ViewSampler(view, CPU, side=5)
        turns = set()
        for _ in range(60):
            batch = sampler.crops(np.array([0, 1, 0]), rng)
            assert batch.start.shape == (3, 1, 5, 5)
            torch.testing.assert_close(batch.target, 2 * batch.start)
            torch.testing.assert_close(batch.observed, batch.start * batch.shown)
            torch.testing.assert_close(batch.weight, batch.start % 1000 / 7, rtol=1e-4, atol=1e-4)
            first = batch.start[0, 0]
            turns.add((int(first[0, 1] - first[0, 0]), int(first[1, 0] - first[0, 0])))
        expected = {(s * a, t * b) for a, b in ((1, 10), (10, 1)) for s in (1, -1) for t in (1, -1)}
        if kind == "hexagonal":  # the others are no symmetries of the lattice
            expected = {(1, 10), (-1, -10), (10, 1), (-10, -1)}
        assert turns == expected

    def test_rows_are_no_columns_where_spots_are_farther_apart_along_them(self):
        sampler = ViewSampler(numbered_view(isotropic=False), CPU, side=5)
        rng = np.random.default_rng(0)
        for _ in range(20):
            first = sampler.crops(np.array([0]), rng).start[0, 0]
            assert abs(int(first[0, 1] - first[0, 0])) == 1

    def test_an_island_far_from_the_fullest_crop(self):
        view = numbered_view(20, 20)
        view.tissue[:, 6:14] = False
        view.weight[:, 6:] = 0
        batch = ViewSampler(view, CPU, side=8).crops(np.array([0]), np.random.default_rng(0))
        assert (batch.weight > 0).any()

    def test_hexagonal_turns_keep_neighbours(self):
        # Axial neighbours differ by (0, 1), (1, 0), (1, -1).
        index = lattice_index(6, 6)
        neighbours = {tuple(d) for d in ([0, 1], [1, 0], [1, -1], [0, -1], [-1, 0], [-1, 1])}
        for transpose in (False, True):
            for sign in (1, -1):
                turned = sign * (index[:, ::-1] if transpose else index)
                steps = {tuple(turned[i] - turned[0]) for i in (1, 6)}
                assert steps <= neighbours

    def test_small_sections_are_taken_whole(self):
        batch = ViewSampler(numbered_view(6, 9), CPU, side=8).crops(np.array([0]), np.random.default_rng(0))
        assert sorted(batch.start.shape[2:]) == [6, 8]

    def test_crops_lie_in_the_tissue_and_ask_for_something(self):
        view = numbered_view(20, 20)
        view.tissue[:, 8:] = False
        view.weight[:, 8:] = 0
        view.weight[:10] = 0
        sampler, rng = ViewSampler(view, CPU, side=6), np.random.default_rng(1)
        for _ in range(30):
            batch = sampler.crops(np.array([0]), rng)
            assert batch.tissue.mean() >= 0.5
            assert (batch.weight > 0).any()


class TestImageSampler:
    @staticmethod
    def sampler(processes, steps=(2, 2), side=8):
        rows, cols = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
        images = [(0.5 + 0.5 * np.sin(rows / 9 + cols / 7)).astype(np.float32)]
        rng = np.random.default_rng(0)
        return ImageSampler(images, steps=steps, side=side, processes=processes, rng=rng, device=CPU)

    def test_nearest_fill_repeats_shown_pixels(self):
        batch = self.sampler([]).sample(3, np.random.default_rng(0))
        shown = batch.shown.bool()
        torch.testing.assert_close(batch.start[shown], batch.target[shown])
        torch.testing.assert_close(batch.observed, batch.target * batch.shown)
        for image in range(3):
            filled, seen = batch.start[image], batch.observed[image][shown[image]]
            assert torch.isin(filled, seen).all()
        assert 0 <= batch.target.min() <= batch.target.max() <= 1

    def test_kriging_fill_is_the_posterior_mean(self):
        shown = np.zeros(36, dtype=bool)
        shown[[0, 2, 14, 21, 35]] = True
        places = lattice_index(6, 6).astype(float)
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        K = np.exp(-distance / 3.0)
        expected = K[:, shown] @ np.linalg.inv(K[np.ix_(shown, shown)] + 0.4 * np.eye(5))
        np.testing.assert_allclose(batches._kriging_fill(shown, "exponential", 3.0, 0.4), expected, atol=1e-5)

    def test_noise_has_the_share_of_the_tissue(self):
        ratio = 0.8
        sampler, rng = self.sampler([("matern32", 4.0, ratio)]), np.random.default_rng(0)
        noise, signal = [], []
        for _ in range(40):
            batch = sampler.sample(8, rng)
            shown = batch.shown.bool()
            noise.append((batch.observed - batch.target)[shown])
            signal.append(batch.target.flatten(1).var(dim=1, correction=0))
        np.testing.assert_allclose(torch.cat(noise).var().item(), ratio / (1 + ratio), rtol=0.05)
        np.testing.assert_allclose(torch.cat(signal).numpy(), 1 / (1 + ratio), rtol=1e-3)

    def test_pattern_is_that_of_the_tissue(self):
        comb, rng = self.sampler([]), np.random.default_rng(0)
        phases = {int(comb.sample(1, rng).shown[0, 0].flatten().argmax()) for _ in range(60)}
        assert phases == {0, 1, 8, 9}
        scattered = self.sampler([], steps=(1, 1)).sample(1, rng).shown.mean()
        assert 0.4 < scattered < 0.95

    def test_hopelessly_noisy_processes_are_not_used(self):
        sampler = self.sampler([("matern32", 4.0, 150.0), ("matern32", 4.0, 0.5)])
        assert {ratio for _, _, ratio in sampler._fills} == {0.5}


def test_views_of_sections_can_be_cropped():
    section, sites, _ = comb_task(kind="hexagonal")
    layout = Layout.of(section, section, sites)
    start = np.zeros((len(layout.everywhere), 5))
    values = section.dense(np.arange(5))
    batch = ViewSampler(layout.view(start, values, values), CPU, side=8).crops(
        np.arange(5), np.random.default_rng(0)
    )
    torch.testing.assert_close(batch.observed, batch.target)
