from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from grids import draw_process, make_section, square_grid

from transst_py.imputation import selection
from transst_py.imputation.kriging import FactorKriging, GeneKriging
from transst_py.imputation.selection import PRIOR_SPOTS, Calibrated, held_out_spots, select
from transst_py.imputation.smoothing import Smoother
from transst_py.imputation.spots import Imputer, Prediction, Sites

GRID = square_grid(12, 12).astype(float)
NOWHERE = Sites(np.empty((0, 2)))


@pytest.fixture(autouse=True)
def one_round(monkeypatch):
    monkeypatch.setattr(selection, "MAX_ROUNDS", 1)


class Spy(Imputer):
    """Predicts a constant, and remembers what it was shown."""

    def __init__(self, value=0.0, sd=None):
        self.value, self.sd, self.shown, self.asked = value, sd, [], []

    def fit(self, sections, sites, genes):
        self.shown.append(list(sections))
        self.asked.append(list(sites))
        self.n_genes = len(genes)
        return self

    def predict(self, section, sites):
        mean = np.full((len(sites), self.n_genes), self.value, dtype=np.float32)
        return Prediction(mean, None if self.sd is None else np.full_like(mean, self.sd))


def smooth_section(seed=0, positions=GRID, noise=0.3, n_genes=8):
    rng = np.random.default_rng(seed)
    values = draw_process(rng, positions, "matern32", 7.7, n_genes)
    return make_section(5 + values + noise * rng.normal(size=values.shape), positions)


def choose(imputers, *sections, genes=None, seed=0):
    genes = np.arange(sections[0].values.shape[1]) if genes is None else genes
    rng = np.random.default_rng(seed)
    return select(imputers, sections, [NOWHERE] * len(sections), genes, rng=rng)


def hidden_values(sections, seed=0):
    """The spots that `choose` holds out."""
    hidden = held_out_spots(sections, np.random.default_rng(seed))
    return hidden, np.concatenate(
        [section.values.toarray()[rows] for section, rows in zip(sections, hidden, strict=True)]
    )


class TestHeldOutSpots:
    @pytest.mark.parametrize(("n", "n_hidden"), [(2, 0), (3, 1), (4, 1), (9, 1), (20, 3), (100, 15)])
    def test_a_share_but_at_least_one_and_never_most(self, n, n_hidden):
        section = make_section(np.zeros((n, 1)), np.zeros((n, 2)))
        hidden = held_out_spots([section, section], np.random.default_rng(0))
        assert [rows.sum() for rows in hidden] == [n_hidden] * 2
        assert all(rows.shape == (n,) and rows.dtype == bool for rows in hidden)

    def test_seed_decides(self):
        section = smooth_section()
        one, same, other = (held_out_spots([section], np.random.default_rng(s))[0] for s in (0, 0, 1))
        assert (one == same).all()
        assert (one != other).any()


class TestSelect:
    def test_the_lower_error_wins(self):
        imputers = {"kernel": Smoother("kernel"), "nearest": Smoother("nearest")}
        for section, best in (
            (smooth_section(), "kernel"),
            # Squares of 3 x 3 spots: the nearest spot knows, the neighbourhood misleads.
            (
                make_section(
                    np.random.default_rng(0).choice([0.0, 8.0], (16, 5)).repeat(9, axis=0), self.squares()
                ),
                "nearest",
            ),
        ):
            chosen = choose(imputers, section)
            assert chosen.method == best
            assert chosen.table.set_index("method")["relative_error"].idxmin() == best
            assert chosen.fitted.imputer is imputers[best]

    @staticmethod
    def squares():
        """16 squares of 3 x 3 spots, far from each other."""
        return (10 * square_grid(4, 4)[:, None] + 0.5 * square_grid(3, 3)[None]).reshape(-1, 2)

    def test_table(self):
        sections = smooth_section(0), smooth_section(1, GRID[:60])
        imputers = {"low": Spy(4.0), "right": Spy(5.0), "kernel": Smoother("kernel")}
        genes = np.array([3, 1, 6])
        table = choose(imputers, *sections, genes=genes).table
        assert table.columns.tolist() == ["method", "relative_error", "n_best", "n_spots", "seconds"]
        assert table["method"].tolist() == list(imputers)
        assert table["n_best"].sum() == 3
        assert (table["seconds"] >= 0).all()
        _, truth = hidden_values(sections)
        assert table["n_spots"].tolist() == [len(truth)] * 3
        values = [section.values.toarray()[:, genes].astype(float) for section in sections]
        variance = np.concatenate([v - v.mean(axis=0) for v in values]).var(axis=0)
        for number, value in enumerate((4.0, 5.0)):
            error = (((truth[:, genes] - value) ** 2).mean(axis=0) / variance).mean()
            assert table["relative_error"][number] == pytest.approx(error, rel=1e-5)

    def test_one_held_out_spot_is_enough_to_compare(self):
        """It has no variance of its own."""
        section = smooth_section(0, GRID[:6])
        near = float(np.median(section.values.toarray()))
        chosen = choose({"far": Spy(near + 50), "near": Spy(near)}, section)
        assert chosen.table["n_spots"].tolist() == [1, 1]
        assert chosen.method == "near"

    def test_a_gene_that_happens_not_to_vary_where_held_out_does_not_decide(self):
        rng = np.random.default_rng(0)
        values = rng.normal(5.0, 1.0, (30, 4))
        hidden = held_out_spots([make_section(values, GRID[:30])], np.random.default_rng(0))[0]
        values[hidden, 0] = 7.0 + 1e-2 * rng.random(hidden.sum())
        table = choose({"five": Spy(5.0), "seven": Spy(7.0)}, make_section(values, GRID[:30])).table
        assert table["relative_error"][0] < table["relative_error"][1] < 20

    def test_a_constant_gene_does_not_count(self):
        """It has no error in units of its variance."""
        section = smooth_section()
        values = np.column_stack([section.values.toarray(), np.full(len(section), 7.0)])
        both = make_section(values, GRID)
        imputers = {"kernel": Smoother("kernel"), "far": Spy(5.0)}
        with_it, without = choose(imputers, both), choose(imputers, section)
        assert with_it.table["relative_error"].tolist() == without.table["relative_error"].tolist()
        assert with_it.table["n_best"].sum() == 8

    def test_held_out_spots_never_reach_the_imputer(self):
        sections = smooth_section(0), smooth_section(1, GRID[:60])
        spy = Spy()
        sites = [Sites(np.array([[0.5, 0.5]])), Sites(np.array([[2.5, 0.5], [1.5, 0.5]]))]
        select({"spy": spy}, sections, sites, np.arange(8), rng=np.random.default_rng(0))
        hidden, _ = hidden_values(sections)
        while_validating, at_last = spy.shown
        for shown, section, rows in zip(while_validating, sections, hidden, strict=True):
            np.testing.assert_array_equal(shown.values.toarray(), section.values.toarray()[~rows])
            np.testing.assert_array_equal(shown.sites.positions, section.sites.positions[~rows])
            assert len(shown.noise) == (~rows).sum()
        for asked, section, rows in zip(spy.asked[0], sections, hidden, strict=True):
            np.testing.assert_array_equal(asked.positions, section.sites.positions[rows])
        assert at_last == list(sections)
        assert spy.asked[1] == sites

    def test_all_compete_on_the_same_spots(self):
        one, other = Spy(1.0), Spy(2.0)
        choose({"one": one, "other": other}, smooth_section())
        np.testing.assert_array_equal(one.shown[0][0].sites.positions, other.shown[0][0].sites.positions)
        assert len(one.shown) + len(other.shown) == 3  # only the better one is fitted to all spots

    def test_no_variation_and_tiny_sections(self):
        flat = make_section(np.full((30, 3), 4.0), GRID[:30])
        methods = {"kernel": Smoother("kernel"), "gp": GeneKriging(), "svd_gp": FactorKriging()}
        chosen = choose(methods, flat)
        assert chosen.method == "kernel"
        assert chosen.table["relative_error"].isna().all()
        assert chosen.table["n_best"].tolist() == [0, 0, 0]
        found = chosen.fitted.predict(0, Sites(GRID[:5] + 0.5))
        np.testing.assert_allclose(found.mean, 4.0, rtol=1e-6)
        np.testing.assert_allclose(found.sd, 0.0, atol=1e-6)
        three = smooth_section(0, GRID[[0, 1, 12]])
        for name, method in methods.items():
            chosen = choose({name: method}, three, three)
            assert chosen.table["n_spots"].tolist() == [2]
            assert np.isfinite(chosen.fitted.predict(1, Sites(GRID[:3])).sd).all()

    def test_of_two_spots_none_is_held_out_and_nothing_is_known_of_errors(self):
        two = smooth_section(0, GRID[:2])
        for sd in (None, 2.0):
            chosen = choose({"first": Spy(1.0, sd), "second": Spy(2.0, sd)}, two)
            assert chosen.method == "first"
            assert chosen.table["n_spots"].tolist() == [0, 0]
            assert chosen.table["relative_error"].isna().all()
            found = chosen.fitted.predict(0, Sites(GRID[:3]))
            assert np.isnan(found.sd).all()
            np.testing.assert_array_equal(found.mean, 1.0)
        # Beside a larger section it is no obstacle.
        chosen = choose({"kernel": Smoother("kernel")}, two, smooth_section(1))
        assert np.isfinite(chosen.fitted.predict(0, Sites(GRID[:3])).sd).all()

    def test_small_sections_hold_out_other_spots_again_and_again(self, monkeypatch):
        monkeypatch.setattr(selection, "MAX_ROUNDS", 4)
        spies = {"first": Spy(1.0), "second": Spy(2.0)}
        table = choose(spies, smooth_section(0, GRID[:40])).table
        assert table["n_spots"].tolist() == [24, 24]
        kept = [[tuple(map(tuple, s.sites.positions)) for (s,) in spy.shown[:4]] for spy in spies.values()]
        assert len(set(kept[0])) == 4
        assert kept[0] == kept[1]
        spy = Spy()
        assert choose({"spy": spy}, smooth_section(0, GRID)).table["n_spots"].item() == 3 * 22
        square = square_grid(25, 25).astype(float)
        assert choose({"spy": spy}, smooth_section(0, square)).table["n_spots"].item() == 94


class TestCalibrated:
    def test_without_own_idea_it_is_the_error_at_held_out_spots(self):
        section = smooth_section()
        fitted = choose({"spy": Spy(4.0)}, section).fitted
        _, truth = hidden_values([section])
        # Of few held-out spots, steadied by what is typical of all genes.
        variance = section.values.toarray().astype(float).var(axis=0)
        ratio = ((truth - 4.0) ** 2).mean(axis=0) / variance
        steadied = (len(truth) * ratio + PRIOR_SPOTS * ratio.mean()) / (len(truth) + PRIOR_SPOTS)
        expected = np.sqrt(steadied * variance)
        np.testing.assert_allclose(fitted.factor, expected, rtol=1e-4)
        found = fitted.predict(0, Sites(GRID[:5]))
        np.testing.assert_allclose(found.sd, np.tile(expected, (5, 1)), rtol=1e-4)
        assert found.sd.dtype == np.float32

    def test_the_size_of_given_ones_does_not_matter(self):
        section = smooth_section()
        small, large = (
            choose({"spy": Spy(4.0, sd)}, section).fitted.predict(0, Sites(GRID[:5])).sd for sd in (0.01, 5.0)
        )
        np.testing.assert_allclose(small, large, rtol=1e-5)

    def test_a_gene_that_was_nowhere_missed_is_not_certain(self):
        section = smooth_section()
        rare = section.dense(np.arange(section.values.shape[1]))
        rare[:, 0] = 0.0
        hidden = hidden_values([section])[0][0]
        rare[np.flatnonzero(~hidden)[0], 0] = 3.0
        section = replace(section, values=sp.csc_matrix(rare))
        found = choose({"spy": Spy(0.0)}, section).fitted.predict(0, Sites(GRID[:5]))
        assert (found.sd[:, 0] > 0).all()

    def test_the_pattern_of_given_ones_is_kept(self):
        class Doubtful(Spy):
            def predict(self, section, sites):
                mean = super().predict(section, sites).mean
                return Prediction(mean, np.float32(1 + sites.positions[:, :1]) * np.ones_like(mean))

        found = Calibrated(Doubtful().fit([], [], np.arange(2)), np.float32([2.0, 3.0])).predict(
            0, Sites(GRID)
        )
        np.testing.assert_allclose(found.sd, (1 + GRID[:, :1]) * [2.0, 3.0])

    @pytest.mark.parametrize("method", [Smoother("kernel"), GeneKriging(), FactorKriging()])
    def test_at_other_spots_it_is_about_the_error(self, method):
        section = smooth_section(n_genes=30, noise=0.5)
        new = np.random.default_rng(7).random(len(GRID)) < 0.25
        chosen = choose({"method": method}, section.subset(~new))
        found = chosen.fitted.predict(0, section.sites.subset(new))
        error = found.mean - section.values.toarray()[new]
        ratio = np.sqrt((error**2).mean(axis=0)) / np.sqrt((found.sd**2).mean(axis=0))
        assert 0.85 < ratio.mean() < 1.15
