import numpy as np
import pytest
from grids import draw_process, make_section, square_grid

from transst_py.imputation import kriging
from transst_py.imputation.gaussian_process import GaussianProcess
from transst_py.imputation.kriging import FactorKriging, Factors, GeneKriging
from transst_py.imputation.spots import Sites

GRID = square_grid(9, 10).astype(float)


def falling(n=90, p=24, seed=0):
    """Values whose singular values fall off, each gene on another level."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(m, p)))[0] for m in (n, p))
    return 10 * left * 0.6 ** np.arange(p) @ right.T + rng.random(p)


def scaled(Y, mean):
    return (Y - mean) / np.sqrt((Y - mean).std(axis=0) + kriging.SD_FLOOR)


def low_rank(seed=0, n_genes=30, noise=0.0, gene_noise=0.0, weights=None):
    """3 patterns on 16 x 16 spots, mixed into genes."""
    rng = np.random.default_rng(seed)
    positions = square_grid(16, 16).astype(float)
    spot_noise = np.ones(256) if weights is None else rng.choice(weights, 256)
    patterns = draw_process(rng, positions, "matern32", 7.7, 3)
    patterns += noise * np.sqrt(spot_noise)[:, None] * rng.normal(size=patterns.shape)
    values = 2.0 + patterns @ rng.normal(size=(3, n_genes))
    values += gene_noise * np.sqrt(spot_noise)[:, None] * rng.normal(size=values.shape)
    return make_section(values, positions, noise=spot_noise)


class TestFactors:
    def test_without_weights_they_are_singular_vectors(self):
        Y = falling()
        factors = Factors().fit([make_section(Y, GRID)], np.arange(24))
        U, d, Vt = np.linalg.svd(scaled(Y, Y.mean(axis=0)), full_matrices=False)
        n = len(factors.loadings_)
        assert n == kriging.MIN_FACTORS
        scale = np.sqrt(Y.std(axis=0) + kriging.SD_FLOOR)
        found = factors.loadings_ / scale
        sign = np.sign((found * Vt[:n]).sum(axis=1))
        np.testing.assert_allclose(found * sign[:, None], Vt[:n], atol=1e-4)
        np.testing.assert_allclose(factors.scores_[0] * sign, U[:, :n] * d[:n], atol=1e-3)
        np.testing.assert_allclose(factors.means_[0], Y.mean(axis=0), rtol=1e-5)
        left = ((scaled(Y, Y.mean(axis=0)) - (U * d)[:, :n] @ Vt[:n]) * scale) ** 2
        np.testing.assert_allclose(factors.residual_variance_, left.mean(axis=0), rtol=1e-3)

    def test_with_weights_they_are_singular_vectors_of_weighted_rows(self):
        Y, noise = falling(), np.random.default_rng(1).choice([0.1, 1.0, 10.0], 90)
        factors = Factors().fit([make_section(Y, GRID, noise=noise)], np.arange(24))
        mean = np.average(Y, axis=0, weights=1 / noise)
        _, _, Vt = np.linalg.svd(scaled(Y, mean) / np.sqrt(noise)[:, None])
        expected = scaled(Y, mean) @ Vt[:10].T
        sign = np.sign((factors.scores_[0] * expected).sum(axis=0))
        np.testing.assert_allclose(factors.scores_[0] * sign, expected, atol=1e-2)

    def test_noisy_spots_count_less(self):
        """A spot with half the variance is two such spots; one with noise without end is none."""
        Y = falling(n=60)
        noise = np.where(np.arange(60) < 20, 0.5, 1.0)
        weighted = Factors().fit([make_section(Y, GRID[:60], noise=noise)], np.arange(24))
        doubled = Factors().fit([make_section(np.concatenate([Y, Y[:20]]), GRID[:80])], np.arange(24))
        np.testing.assert_allclose(weighted.means_, doubled.means_, rtol=1e-6)
        Y[:20] = np.random.default_rng(1).normal(scale=3.0, size=(20, 24))
        misfit = {}
        for wild in (1.0, 1e12):
            noise = np.where(np.arange(60) < 20, wild, 1.0)
            fitted = Factors().fit([make_section(Y, GRID[:60], noise=noise)], np.arange(24))
            left = Y - fitted.means_[0] - fitted.scores_[0] @ fitted.loadings_
            misfit[wild] = (left[20:] ** 2).mean()
        assert misfit[1e12] < 0.2 * misfit[1.0]
        np.testing.assert_allclose(fitted.means_[0], Y[20:].mean(axis=0), rtol=1e-4)

    def test_a_gene_outside_the_factors_is_regressed_on_them(self, monkeypatch):
        monkeypatch.setattr(kriging, "MAX_FACTOR_GENES", 15)
        Y = falling(n=80)
        Y[:, ::3] *= 0.05
        sections = [
            make_section(Y[:50], GRID[:50], noise=np.linspace(0.5, 2.0, 50)),
            make_section(Y[50:] + 1.0, GRID[:30], noise=np.linspace(0.5, 2.0, 30)),
        ]
        outside = np.argsort(Y.std(axis=0))[[0, 3]]
        factors = Factors().fit(sections, outside)
        assert factors.loadings_.shape == (10, 2)
        root, centred = [], []
        for number, section in enumerate(sections):
            values = section.values.toarray()[:, outside].astype(float)
            mean = np.average(values, axis=0, weights=1 / section.noise)
            np.testing.assert_allclose(factors.means_[number], mean, rtol=1e-6)
            root.append(1 / np.sqrt(section.noise)[:, None])
            centred.append(values - mean)
        design = np.concatenate([w * s for w, s in zip(root, factors.scores_, strict=True)])
        rows = np.concatenate([w * c for w, c in zip(root, centred, strict=True)])
        expected = np.linalg.lstsq(design, rows, rcond=None)[0]
        np.testing.assert_allclose(factors.loadings_, expected, rtol=1e-4, atol=1e-6)
        left = ((rows - design @ expected) ** 2).mean(axis=0)
        np.testing.assert_allclose(factors.residual_variance_, left, rtol=1e-4)

    def test_spots_that_were_fitted_have_their_scores(self):
        Y = falling(n=80)
        sections = [make_section(Y[:50], GRID[:50]), make_section(Y[50:] + 1.0, GRID[:30])]
        factors = Factors().fit(sections, np.arange(3))
        for number, section in enumerate(sections):
            np.testing.assert_allclose(factors.score(number, section), factors.scores_[number], atol=1e-9)
        some = np.arange(30) % 4 == 1
        np.testing.assert_allclose(
            factors.score(1, sections[1].subset(some)), factors.scores_[1][some], atol=1e-9
        )

    def test_levels_of_sections_do_not_matter(self):
        Y = falling(n=80)
        both = [
            Factors().fit(
                [make_section(Y[:50], GRID[:50]), make_section(Y[50:] + s, GRID[:30])], np.arange(24)
            )
            for s in (0.0, 3.0)
        ]
        np.testing.assert_allclose(both[0].loadings_, both[1].loadings_, atol=1e-4)
        np.testing.assert_allclose(both[1].means_ - both[0].means_, [[0.0] * 24, [3.0] * 24], atol=1e-5)

    def test_few_spots_or_genes_and_nothing_that_varies(self):
        for values in (falling()[:3], falling()[:, :2], np.full((90, 4), 2.0)):
            section = make_section(values, GRID[: len(values)])
            factors = Factors().fit([section], np.arange(values.shape[1]))
            assert len(factors.loadings_) <= min(values.shape[0] - 1, values.shape[1])
            fitted = factors.means_[0] + factors.scores_[0] @ factors.loadings_
            np.testing.assert_allclose(fitted, values, atol=1e-4)


class TestGeneKriging:
    def test_every_gene_is_a_process_and_blocks_do_not_matter(self, monkeypatch):
        section = low_rank(n_genes=5, gene_noise=0.5, weights=[0.5, 2.0])
        genes = np.array([4, 0, 2])
        sites = Sites(section.sites.positions[:40] + 0.4)
        process = GaussianProcess().fit([section.dense(genes)], [section.sites.positions], [section.noise])
        mean, variance = process.predict(0, sites.positions)
        spread = np.sqrt(variance + process.variance_ * process.noise_ratio_)
        for size in (512, 2):
            monkeypatch.setattr(kriging, "BLOCK_GENES", size)
            fitted = GeneKriging().fit([section], [sites], genes)
            found = fitted.predict(0, sites)
            assert found.mean.dtype == found.sd.dtype == np.float32
            np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
            np.testing.assert_allclose(found.sd, spread, rtol=1e-5)
            described = fitted.describe()
            assert described["correlation"].tolist() == process.correlation_.tolist()
            np.testing.assert_array_equal(described["length_scale"], process.length_scale_)
            np.testing.assert_array_equal(described["noise_ratio"], process.noise_ratio_)


class TestFactorKriging:
    def test_low_rank_without_noise_is_nearly_exact(self):
        section = low_rank()
        hidden = np.random.default_rng(0).random(256) < 0.3
        found = FactorKriging().validate([section], [Sites(np.empty((0, 2)))], np.arange(30), [hidden])[0]
        truth = section.values.toarray()[hidden]
        assert (((found.mean - truth) ** 2).mean(axis=0) / truth.var(axis=0)).mean() < 0.02

    def test_other_genes_inform_a_noisy_one(self):
        """A gene hidden in noise, but made of the same patterns as others."""
        section = low_rank(gene_noise=2.0)
        clean = low_rank()
        hidden = np.random.default_rng(0).random(256) < 0.3
        sites, gene = [Sites(np.empty((0, 2)))], np.array([7])
        truth = clean.values.toarray()[hidden][:, gene]
        together, alone = (
            ((method.validate([section], sites, gene, [hidden])[0].mean - truth) ** 2).mean()
            for method in (FactorKriging(), GeneKriging())
        )
        assert together < 0.7 * alone

    @pytest.mark.parametrize("method", [FactorKriging, GeneKriging])
    @pytest.mark.parametrize(("noise", "gene_noise"), [(0.3, 0.8), (0.0, 1.5)])
    def test_standard_deviations_are_calibrated(self, method, noise, gene_noise):
        section = low_rank(n_genes=80, noise=noise, gene_noise=gene_noise)
        hidden = np.random.default_rng(0).random(256) < 0.3
        found = method().validate([section], [Sites(np.empty((0, 2)))], np.arange(80), [hidden])[0]
        error = found.mean - section.values.toarray()[hidden]
        assert 0.85 < np.sqrt(((error / found.sd) ** 2).mean()) < 1.15

    def test_less_is_known_far_from_spots(self):
        section = low_rank(noise=0.1, gene_noise=0.1)
        sites = Sites(np.array([[4.5, 4.5], [60.0, 60.0]]))
        fitted = FactorKriging().fit([section], [sites], np.arange(30))
        found = fitted.predict(0, sites)
        assert (found.sd[1] > 2 * found.sd[0]).all()
        np.testing.assert_allclose(found.mean[1], fitted.factors_.means_[0], rtol=0.1, atol=0.05)

    def test_describes_its_factors(self):
        section = low_rank()
        fitted = FactorKriging().fit([section], [section.sites], np.arange(30))
        described = fitted.describe()
        assert described["n_factors"] == 256 // kriging.SPOTS_PER_FACTOR == len(described["length_scale"])

    def test_constants(self):
        section = make_section(np.full((90, 4), 2.0), GRID)
        for method in (FactorKriging(), GeneKriging()):
            found = method.fit([section], [section.sites], np.arange(4)).predict(0, section.sites)
            np.testing.assert_allclose(found.mean, 2.0, rtol=1e-6)
            np.testing.assert_allclose(found.sd, 0.0, atol=1e-6)
