from dataclasses import replace

import numpy as np
import pytest
from sections import comb_task, lattice_index, make_section, smooth_values
from test_training import SMALL

from transst_py.imputation import s2s, training
from transst_py.imputation.kriging import FactorKriging
from transst_py.imputation.s2s import S2SImputer
from transst_py.imputation.smoothing import Smoother

GENES = np.arange(5)
GREY = [np.random.default_rng(0).random((64, 64)).astype(np.float32)]
QUICK = replace(SMALL, start="svd_gp", steps=6)


def imputer(config=QUICK, **options):
    return S2SImputer(config=config, natural_images=GREY, **options)


def rmse(found, truth):
    return np.sqrt(np.mean((found - truth) ** 2))


class TestFit:
    @pytest.mark.parametrize("kind", ["square", "hexagonal"])
    @pytest.mark.parametrize("channels", ["genes", "factors"])
    def test_predicts_between_spots(self, kind, channels):
        section, sites, truth = comb_task(kind=kind)
        found = imputer(channels=channels).fit([section], [sites], GENES).predict(0, sites)
        assert found.mean.shape == found.sd.shape == truth.shape
        assert found.mean.dtype == np.float32
        assert rmse(found.mean, truth) < rmse(section.dense(GENES).mean(axis=0), truth) / 3

    def test_learns_what_the_nearest_spot_misses(self):
        section, sites, truth = comb_task(32, 30, noise=0.1)
        config = replace(SMALL, steps=150, learning_rate=3e-3)
        found = imputer(config).fit([section], [sites], GENES).predict(0, sites)
        nearest = Smoother("nearest").fit([section], [sites], GENES).predict(0, sites)
        assert rmse(found.mean, truth) < 0.8 * rmse(nearest.mean, truth)

    def test_fills_missing_spots(self):
        index = lattice_index(14, 14)
        values = smooth_values(index, 5, noise=0.2)
        missing = np.random.default_rng(0).random(len(index)) < 0.2
        section = make_section(index[~missing], values[~missing])
        sites = make_section(index[missing], values[missing]).sites
        found = imputer().fit([section], [sites], GENES).predict(0, sites)
        assert rmse(found.mean, smooth_values(index, 5)[missing]) < 0.4

    def test_untrained_network_is_its_start(self):
        section, sites, _ = comb_task()
        config = replace(QUICK, learning_rate=1e-9)
        found = imputer(config).fit([section], [sites], GENES).predict(0, sites)
        start = FactorKriging().fit([section], [sites], GENES).predict(0, sites)
        np.testing.assert_allclose(found.mean, start.mean, atol=1e-3)
        np.testing.assert_array_equal(found.sd, start.sd)

    def test_sites_outside_the_fit_are_filled_too(self):
        section, sites, _ = comb_task()
        fitted = imputer().fit([section], [sites.subset(np.arange(10))], GENES)
        assert np.isfinite(fitted.predict(0, sites).mean).all()

    def test_several_sections_share_the_network(self):
        tasks = [comb_task(seed=1), comb_task(20, 26, seed=1)]
        sections, sites = [task[0] for task in tasks], [task[1] for task in tasks]
        fitted = imputer().fit(sections, sites, GENES)
        for number, (_, wanted, truth) in enumerate(tasks):
            assert rmse(fitted.predict(number, wanted).mean, truth) < 0.6

    def test_some_genes_of_many(self, monkeypatch):
        section, sites, _ = comb_task(n_genes=9)
        wanted = np.array([7, 2])
        monkeypatch.setattr(s2s, "BLOCK_CHANNELS", 1)
        found = imputer().fit([section], [sites], wanted).predict(0, sites)
        assert found.mean.shape == (len(sites), 2)
        start = FactorKriging().fit([section], [sites], wanted).predict(0, sites)
        assert rmse(found.mean, start.mean) < 0.1

    def test_many_genes_go_by_factors(self, monkeypatch):
        section, sites, _ = comb_task()
        monkeypatch.setattr(s2s, "MAX_GENE_MAPS", 4)
        assert imputer().fit([section], [sites], GENES).describe()["channels"] == "factors"

    def test_trains_on_the_most_variable_genes(self, monkeypatch):
        section, sites, _ = comb_task()
        section.values[:, 3] *= 0.01
        monkeypatch.setattr(s2s, "MAX_TRAINED", 4)
        fitted = imputer().fit([section], [sites], GENES)
        assert fitted._trained_genes.tolist() == [0, 1, 2, 4]
        assert fitted.predict(0, sites).mean.shape[1] == 5

    def test_fine_tuning_changes_genes_one_by_one_or_not_at_all(self):
        section, sites, truth = comb_task()
        config = replace(SMALL, steps=40, learning_rate=3e-3)
        plain = imputer(config).fit([section], [sites], GENES).predict(0, sites).mean
        tuned = imputer(config, fine_tune=20).fit([section], [sites], GENES).predict(0, sites).mean
        assert (np.abs(tuned - plain).max(axis=0) > 1e-4).any()
        assert rmse(tuned, truth) < 1.05 * rmse(plain, truth)


class TestValidate:
    def test_another_fit_is_another_network(self):
        (section, sites, _), (other, _, _) = comb_task(), comb_task(seed=1)
        method = imputer(replace(QUICK, keep_best=False, shrink=False))
        first = method.fit([section], [sites], GENES).predict(0, sites).mean
        method.fit([other], [sites], GENES)
        np.testing.assert_array_equal(method.fit([section], [sites], GENES).predict(0, sites).mean, first)

    def test_is_blind_to_held_out_values(self):
        section, sites, _ = comb_task()
        hidden = np.arange(len(section)) % 6 == 0
        other = section.dense(GENES)
        other[hidden] = 1000.0
        poisoned = make_section(section.sites.index, other)
        clean = imputer().validate([section], [sites], GENES, [hidden])[0]
        dirty = imputer().validate([poisoned], [sites], GENES, [hidden])[0]
        assert clean.mean.shape == (hidden.sum(), 5)
        np.testing.assert_array_equal(clean.mean, dirty.mean)
        np.testing.assert_array_equal(clean.sd, dirty.sd)

    def test_refit_spares_the_training(self):
        section, sites, _ = comb_task()
        hidden = np.arange(len(section)) % 6 == 0
        method = imputer()
        method.validate([section], [sites], GENES, [hidden])
        network = method.trained_
        method.refit([section], [sites], GENES)
        assert method.trained_ is network
        assert np.isfinite(method.predict(0, sites).mean).all()


def test_every_training_has_a_checkpoint_of_its_own(tmp_path, monkeypatch):
    (section, sites, _), (other, _, _) = comb_task(), comb_task(seed=1)
    method = imputer(checkpoint=tmp_path / "state.npz")
    first = method.fit([section], [sites], GENES).predict(0, sites).mean
    second = method.fit([other], [sites], GENES).predict(0, sites).mean
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-2.npz", "state.npz"]
    monkeypatch.setattr(training._Run, "advance", None)  # resumed, not trained again
    again = imputer(checkpoint=tmp_path / "state.npz")
    np.testing.assert_array_equal(again.fit([section], [sites], GENES).predict(0, sites).mean, first)
    np.testing.assert_array_equal(again.fit([other], [sites], GENES).predict(0, sites).mean, second)


def test_record_is_plain():
    section, sites, _ = comb_task()
    record = imputer().fit([section], [sites], GENES).describe()
    assert record["n_images"] == 1
    assert record["start"] == "svd_gp"
    assert record["check_step"].tolist() == [2, 4, 6]
    assert 0 <= record["shrinkage"] <= 1


class TestBadInput:
    def test_too_few_spots(self):
        section, sites, _ = comb_task(6, 8)
        with pytest.raises(ValueError, match="needs 16 or more measured spots"):
            imputer().fit([section], [sites], GENES)

    def test_no_lattice(self):
        section, sites, _ = comb_task()
        off = replace(section, sites=replace(section.sites, index=None))
        with pytest.raises(ValueError, match="need a lattice"):
            imputer().fit([off], [sites], GENES)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"preset": "huge"}, "`preset`"),
            ({"channels": "rgb"}, "`channels`"),
            ({"config": replace(SMALL, start="bilinear")}, "`start`"),
            ({"natural_images": "/no/such/folder"}, "no folder"),
            ({"checkpoint": "/no/such/folder/state.npz"}, "`checkpoint`: there is no folder"),
            ({"fine_tune": -1}, "`fine_tune`"),
            ({"device": "abacus"}, "`device`"),
        ],
    )
    def test_options(self, options, match):
        with pytest.raises(ValueError, match=match):
            S2SImputer(**options)

    def test_factors_need_kriged_factors(self):
        section, sites, _ = comb_task()
        with pytest.raises(ValueError, match="'factors' starts from 'svd_gp'"):
            imputer(SMALL, channels="factors").fit([section], [sites], GENES)
        with pytest.raises(ValueError, match="`fine_tune` is for maps of genes"):
            imputer(channels="factors", fine_tune=2).fit([section], [sites], GENES)
