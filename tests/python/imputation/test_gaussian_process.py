import numpy as np
import pytest
from grids import draw_process, square_grid
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from transst_py.imputation import gaussian_process
from transst_py.imputation.gaussian_process import CANDIDATES, CORRELATIONS, NOISE_RATIOS, GaussianProcess

GRID = square_grid(10, 12).astype(float)
# On spots, between them, outside, and far away.
SITES = np.array([[3.0, 4.0], [3.5, 4.5], [0.2, 11.9], [-2.0, 5.0], [500.0, 500.0]])


def rough_and_smooth(seed=0, positions=GRID, n=4):
    """Columns of both correlations, with noise that differs between spots."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.2, 5.0, len(positions))
    signal = np.hstack(
        [
            draw_process(rng, positions, "exponential", 2.8, n),
            draw_process(rng, positions, "matern32", 7.7, n),
        ]
    )
    error = rng.normal(size=signal.shape) * np.sqrt(noise)[:, None]
    return 5.0 + 2.0 * (signal + 0.15 * error), noise


def naive(process, column, z, positions, noise, sites):
    """The textbook's mean and variance of one column."""
    correlation = CORRELATIONS[process.correlation_[column]]
    length, variance = process.length_scale_[column], process.variance_[column]
    mean = (z / noise).sum() / (1 / noise).sum()
    K = variance * correlation(cdist(positions, positions), length)
    K += variance * process.noise_ratio_[column] * np.diag(noise)
    across = variance * correlation(cdist(sites, positions), length)
    return mean + across @ np.linalg.solve(K, z - mean), variance - np.einsum(
        "ij,ji->i", across, np.linalg.solve(K, across.T)
    )


def minus_twice_log_density(z, K, variance):
    return -2 * multivariate_normal(cov=variance * K).logpdf(z)


def test_mean_and_variance_are_those_of_a_dense_solve():
    columns, noise = rough_and_smooth()
    process = GaussianProcess().fit([columns], [GRID], [noise])
    assert set(process.correlation_) == {"exponential", "matern32"}
    mean, variance = process.predict(0, SITES)
    for j in range(columns.shape[1]):
        expected = naive(process, j, columns[:, j], GRID, noise, SITES)
        np.testing.assert_allclose(mean[:, j], expected[0], rtol=1e-6)
        np.testing.assert_allclose(variance[:, j], expected[1], rtol=1e-5, atol=1e-9)


def test_far_from_all_spots_nothing_is_known():
    columns, noise = rough_and_smooth()
    process = GaussianProcess().fit([columns], [GRID], [noise])
    mean, variance = process.predict(0, SITES[-1:])
    np.testing.assert_allclose(mean[0], np.average(columns, axis=0, weights=1 / noise))
    np.testing.assert_allclose(variance[0], process.variance_)


@pytest.mark.parametrize("candidate", [2, len(CANDIDATES) - 3], ids=["exponential", "matern32"])
def test_profile_is_the_likelihood_at_its_best_variance(candidate):
    """Two patches: independent, with one variance."""
    parts = [rough_and_smooth(seed, GRID[:40]) for seed in (0, 1)]
    patches = [gaussian_process._Spots(GRID[:40], s, z - z.mean(axis=0)) for z, s in parts]
    profile, variance = gaussian_process._profile(patches, candidate)
    name, length = CANDIDATES[candidate]
    constant = sum(np.log(patch.noise).sum() + 40 * (1 + np.log(2 * np.pi)) for patch in patches)
    for number in (0, 6, 12):
        Ks = [
            CORRELATIONS[name](cdist(GRID[:40], GRID[:40]), length)
            + NOISE_RATIOS[number] * np.diag(patch.noise)
            for patch in patches
        ]

        def misfit(v, j, Ks=Ks):
            return sum(
                minus_twice_log_density(patch.columns[:, j], K, v)
                for patch, K in zip(patches, Ks, strict=True)
            )

        for j in (0, 5):
            best = variance[number, j]
            assert profile[number, j] + constant == pytest.approx(misfit(best, j), rel=1e-8)
            assert misfit(best, j) < min(misfit(0.95 * best, j), misfit(1.05 * best, j))


def test_the_most_likely_of_all_candidates_is_chosen():
    columns, noise = rough_and_smooth(3, GRID[:30], n=1)
    process = GaussianProcess().fit([columns], [GRID[:30]], [noise])
    for j, z in enumerate((columns - np.average(columns, axis=0, weights=1 / noise)).T):
        misfit = {}
        for name, length in CANDIDATES:
            for ratio in NOISE_RATIOS:
                K = CORRELATIONS[name](cdist(GRID[:30], GRID[:30]), length) + ratio * np.diag(noise)
                variance = z @ np.linalg.solve(K, z) / len(z)
                misfit[name, length, ratio] = minus_twice_log_density(z, K, variance)
        best = min(misfit, key=misfit.get)
        assert (process.correlation_[j], process.length_scale_[j], process.noise_ratio_[j]) == best


@pytest.mark.parametrize(("correlation", "length"), [("exponential", 4.6), ("matern32", 2.8)])
def test_what_was_simulated_is_found_again(correlation, length):
    rng = np.random.default_rng(1)
    positions = square_grid(15, 18).astype(float)
    signal = 3.0 * draw_process(rng, positions, correlation, length, 60)
    noise = rng.choice([0.5, 2.0], len(positions))
    columns = signal + 1.5 * np.sqrt(noise)[:, None] * rng.normal(size=signal.shape)
    process = GaussianProcess().fit([columns], [positions], [noise])
    assert (process.correlation_ == correlation).mean() > 0.5
    right = process.correlation_ == correlation
    assert 0.6 < np.median(process.length_scale_[right]) / length < 1.7
    assert 0.6 < np.median(process.noise_ratio_[right]) / 0.25 < 1.7
    assert 0.6 < np.median(process.variance_[right]) / 9 < 1.7


class TestTiles:
    @pytest.fixture
    def small_tiles(self, monkeypatch):
        def shrink(max_spots, core_spots):
            monkeypatch.setattr(gaussian_process, "MAX_SPOTS", max_spots)
            monkeypatch.setattr(gaussian_process, "CORE_SPOTS", core_spots)

        return shrink

    def test_every_site_once_from_spots_around_it(self, small_tiles):
        small_tiles(50, 16)
        sites = np.random.default_rng(0).uniform(-3, 14, (300, 2))
        tiles = list(gaussian_process._tiles(sites, GRID))
        assert len(tiles) > 4
        rows = np.concatenate([rows for rows, _ in tiles])
        assert np.sort(rows).tolist() == list(range(300))
        for rows, around in tiles:
            assert len(around) == len(set(around)) == 50
            assert set(cdist(sites[rows], GRID).argmin(axis=1)) <= set(around.tolist())

    def test_no_sites(self, small_tiles):
        columns, noise = rough_and_smooth()
        process = GaussianProcess().fit([columns], [GRID], [noise])
        for max_spots in (1000, 50):
            small_tiles(max_spots, 16)
            mean, variance = process.predict(0, np.empty((0, 2)))
            assert mean.shape == variance.shape == (0, 8)

    def test_they_are_close_to_the_whole(self, small_tiles):
        columns, noise = rough_and_smooth()
        process = GaussianProcess().fit([columns], [GRID], [noise])
        sites = np.random.default_rng(0).uniform(0, 10, (80, 2))
        exact = process.predict(0, sites)
        small_tiles(70, 20)
        tiled = process.predict(0, sites)
        difference = np.sqrt(((tiled[0] - exact[0]) ** 2).mean(axis=0))
        assert (difference > 0).all()
        assert (difference < 0.1 * np.sqrt(exact[1].mean(axis=0))).all()
        assert (tiled[1] >= exact[1] - 1e-9).all()
        np.testing.assert_allclose(tiled[1].mean(axis=0), exact[1].mean(axis=0), rtol=0.1)

    def test_patches_choose_about_the_same(self, small_tiles):
        columns, noise = rough_and_smooth(n=20)
        whole = GaussianProcess().fit([columns], [GRID], [noise])
        small_tiles(70, 20)
        patches = gaussian_process._patches(gaussian_process._Spots(GRID, noise, columns))
        assert [len(patch.positions) for patch in patches] == [70] * gaussian_process.N_PATCHES
        parts = GaussianProcess().fit([columns], [GRID], [noise])
        for name in ("noise_ratio_", "variance_"):
            change = np.median(np.log(getattr(parts, name) / getattr(whole, name)))
            assert abs(change) < np.log(1.7)


def test_sections_share_the_choice_and_nothing_else():
    (one, noise_one), (two, noise_two) = rough_and_smooth(0), rough_and_smooth(1, GRID[:70])
    arguments = [[GRID, GRID[:70]], [noise_one, noise_two]]
    process = GaussianProcess().fit([one, two], *arguments)
    shifted = GaussianProcess().fit([one, two + 100.0], *arguments)
    for j in range(one.shape[1]):
        for number, (z, x, s) in enumerate([(one, GRID, noise_one), (two, GRID[:70], noise_two)]):
            expected = naive(process, j, z[:, j], x, s, SITES)[0]
            np.testing.assert_allclose(process.predict(number, SITES)[0][:, j], expected, rtol=1e-6)
    np.testing.assert_allclose(shifted.predict(0, SITES)[0], process.predict(0, SITES)[0], rtol=1e-6)
    np.testing.assert_allclose(shifted.predict(1, SITES)[0], process.predict(1, SITES)[0] + 100, rtol=1e-6)


def test_units_and_order_of_spots_and_columns_do_not_matter():
    columns, noise = rough_and_smooth()
    process = GaussianProcess().fit([columns], [GRID], [noise])
    mean, variance = process.predict(0, SITES)
    order = np.random.default_rng(0).permutation(len(GRID))
    shuffled = GaussianProcess().fit([columns[order]], [GRID[order]], [noise[order]])
    np.testing.assert_allclose(shuffled.predict(0, SITES)[0], mean, rtol=1e-6)
    alone = GaussianProcess().fit([1000.0 * columns[:, [6]]], [GRID], [noise])
    np.testing.assert_allclose(alone.predict(0, SITES)[0][:, 0], 1000 * mean[:, 6], rtol=1e-6)
    np.testing.assert_allclose(alone.predict(0, SITES)[1][:, 0], 1e6 * variance[:, 6], rtol=1e-6)


def test_constant_columns_stay_constant():
    columns, noise = rough_and_smooth()
    columns[:, 2], columns[:, 3] = 0.0, 0.1
    process = GaussianProcess().fit([columns], [GRID], [noise])
    mean, variance = process.predict(0, SITES)
    np.testing.assert_allclose(mean[:, [2, 3]], np.tile([0.0, 0.1], (len(SITES), 1)), atol=1e-12)
    np.testing.assert_allclose(variance[:, [2, 3]], 0.0, atol=1e-20)
    assert np.isfinite(mean).all()
    assert np.isfinite(variance).all()


def test_two_spots():
    process = GaussianProcess().fit([np.array([[1.0], [3.0]])], [np.eye(2)], [np.ones(2)])
    mean, variance = process.predict(0, np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert mean[0, 0] == pytest.approx(2.0)
    assert mean[:, 0].min() > 1.0
    assert mean[:, 0].max() < 3.0
    assert (variance > 0).all()
