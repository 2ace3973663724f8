"""Figures of a fit: transfer path, convergence, agreement."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from figures import render
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

import transst_py as tst

pytestmark = pytest.mark.usefixtures("no_pyplot_state")


@pytest.fixture(scope="module")
def _fitted():
    options = {"n_rows": 10, "n_cols": 10, "n_genes": 40, "n_domains": 3, "random_state": 3}
    adata, source = tst.datasets.simulated_tissue(**options)
    fit = {"n_domains": 3, "n_factors": 3, "n_init": 1}
    tst.tl.transst(adata, source, source_labels="label", **fit)
    for key in ("never", "follow"):
        tst.tl.transst(adata, source, source_labels="label", key_added=key, class_transfer=key, **fit)
    tst.tl.transst(adata, key_added="alone", **fit)
    return adata


@pytest.fixture
def fitted(_fitted):
    return _fitted.copy()


def with_path(penalties, errors, chosen, transferred="loadings"):
    """A record with this path only; the errors are of each fold."""
    transfer = {
        "cv_penalties": penalties,
        "cv_errors": errors,
        "cv_standard_errors": [0.01] * len(penalties),
        "penalty": chosen,
        "transferred": transferred,
    }
    return ad.AnnData(np.zeros((2, 1)), uns={"transst": {"mixture": {}, "transfer": transfer}})


def ticks(ax):
    return {tick: text.get_text() for tick, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}


class TestTransferPath:
    def test_the_record(self, fitted, tmp_path):
        ax = tst.pl.transfer_path(fitted)
        record = fitted.uns["transst"]["transfer"]
        dotted, inner = ax.lines[1:3]
        np.testing.assert_allclose(dotted.get_ydata(), record["cv_errors"].mean(axis=0))
        np.testing.assert_allclose(10 ** inner.get_xdata(), record["cv_penalties"][1:-1])
        bars = np.array(ax.containers[0].lines[2][0].get_segments())
        np.testing.assert_allclose(np.diff(bars[:, :, 1])[:, 0], 2 * record["cv_standard_errors"])
        assert f"penalty {record['penalty']:g} chosen" in ax.get_title()
        render(ax, tmp_path / "path.png")

    def test_ends_lie_one_decade_beyond(self):
        ax = tst.pl.transfer_path(with_path([0.0, 0.1, 10.0, np.inf], [[4, 3, 2, 3], [4, 1, 2, 3]], 10.0))
        np.testing.assert_allclose(ax.lines[1].get_xdata(), [-2, -1, 1, 2])
        np.testing.assert_allclose(ax.lines[1].get_ydata(), [4, 2, 2, 3])
        assert ticks(ax) == {-2: "0\nno transfer", -1: "0.1", 0: "1", 1: "10", 2: "∞\nfull transfer"}

    @pytest.mark.parametrize(
        ("chosen", "x", "title"),
        [
            (0.0, -1, "penalty 0 chosen (no transfer)"),
            (1.0, 0, "penalty 1 chosen"),
            (np.inf, 1, "penalty ∞ chosen (full transfer)"),
        ],
    )
    def test_the_chosen_one_is_marked(self, chosen, x, title):
        ax = tst.pl.transfer_path(with_path([0.0, 1.0, np.inf], [[1.0, 2.0, 3.0]] * 2, chosen))
        assert list(ax.lines[0].get_xdata()) == [x, x]
        assert ax.get_title() == title

    @pytest.mark.parametrize("penalties", [[0.0, np.inf], [0.5], [np.inf], [0.3, 0.5]])
    def test_few_penalties(self, penalties, tmp_path):
        n = len(penalties)
        ax = tst.pl.transfer_path(with_path(penalties, [[1.0] * n, [2.0] * n], penalties[-1]))
        assert len(ticks(ax)) == n
        assert len(set(ax.lines[1].get_xdata())) == n
        render(ax, tmp_path / "few.png")

    def test_classes_of_the_source(self):
        ax = tst.pl.transfer_path(with_path([0.0, 1.0], [[1.0, 2.0]], 1.0, "classes"))
        assert "follow the source's classes" in ax.get_title()

    def test_as_it_comes_from_r(self, fitted):
        """Lists instead of arrays, and numbers instead of lists of one."""
        expected = tst.pl.transfer_path(fitted)
        record = fitted.uns["transst"]["transfer"]
        for name in ("cv_penalties", "cv_errors", "cv_standard_errors"):
            record[name] = record[name].tolist()
        found = tst.pl.transfer_path(fitted)
        np.testing.assert_array_equal(expected.lines[1].get_xydata(), found.lines[1].get_xydata())
        single = with_path([2.0], [[1.0], [2.0]], 2.0)
        single.uns["transst"]["transfer"] |= {"cv_penalties": 2.0, "cv_standard_errors": 0.0}
        assert ticks(tst.pl.transfer_path(single)) == {np.log10(2.0): "2"}

    def test_bad_input(self, fitted):
        with pytest.raises(KeyError, match=r"nothing was transferred; give `tl\.transst` a `source`"):
            tst.pl.transfer_path(fitted, key="alone")
        with pytest.raises(KeyError, match=r"no record 'other' of a fit; run `tl\.transst` first"):
            tst.pl.transfer_path(fitted, key="other")


class TestConvergence:
    def test_both_models(self, fitted, tmp_path):
        ax = tst.pl.convergence(fitted, key="never")
        record = fitted.uns["never"]
        for panel, model in zip(ax.figure.axes, ("mixture", "source"), strict=True):
            bounds = record[model]["log_likelihoods"]
            np.testing.assert_array_equal(panel.lines[0].get_ydata(), bounds)
            np.testing.assert_array_equal(panel.lines[0].get_xdata(), np.arange(len(bounds)) + 1)
        n = len(record["mixture"]["log_likelihoods"])
        assert ax.get_title().startswith(f"mixture converged after {n} iterations\nsource model converged")
        render(ax, tmp_path / "convergence.png")

    def test_without_a_mixture(self, fitted):
        ax = tst.pl.convergence(fitted, key="follow")
        assert ax.figure.axes == [ax]
        bounds = fitted.uns["follow"]["source"]["log_likelihoods"]
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), bounds)
        assert ax.get_title().startswith("source model converged")

    def test_without_a_source(self, fitted):
        ax = Figure().subplots()
        assert tst.pl.convergence(fitted, key="alone", ax=ax) is ax
        assert ax.figure.axes == [ax]

    def test_not_converged(self, fitted):
        fitted.uns["alone"]["mixture"]["converged"] = False
        fitted.uns["alone"]["mixture"]["log_likelihoods"] = -12.5
        assert (
            tst.pl.convergence(fitted, key="alone").get_title() == "mixture NOT converged after 1 iterations"
        )

    def test_no_record(self, fitted):
        fitted.uns["other"] = {"something": 1}
        with pytest.raises(KeyError, match="no record 'other' of a fit"):
            tst.pl.convergence(fitted, key="other")


class TestAgreement:
    def test_shares_of_the_rows(self, fitted, tmp_path):
        ax = tst.pl.agreement(fitted, labels="label")
        table = pd.crosstab(fitted.obs["label"], fitted.obs["transst"])
        shares = 100 * table.div(table.sum(axis=1), axis=0)
        np.testing.assert_allclose(ax.images[0].get_array(), shares)
        shown = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
        assert set(shown) == set(map(tuple, np.argwhere(table.to_numpy())))
        for (row, column), text in shown.items():
            share = shares.iloc[row, column]
            assert text == ("<1" if share < 0.5 else f"{share:.0f}")
        index = adjusted_rand_score(fitted.obs["label"], fitted.obs["transst"])
        assert ax.get_title().endswith(f"adjusted Rand index {index:.2f}")
        rows = [text.get_text() for text in ax.get_yticklabels()]
        assert rows == [f"{name} ({n})" for name, n in table.sum(axis=1).items()]
        render(ax, tmp_path / "agreement.png")

    def test_only_spots_with_both(self, fitted):
        fitted.obs.loc[fitted.obs_names[:20], "label"] = np.nan
        fitted.obs.loc[fitted.obs_names[15:40], "transst"] = np.nan
        found = tst.pl.agreement(fitted, labels="label")
        expected = tst.pl.agreement(fitted[40:], labels="label")
        np.testing.assert_array_equal(found.images[0].get_array(), expected.images[0].get_array())
        assert found.get_title() == expected.get_title()

    def test_draws_on_given_axes(self, fitted):
        ax = Figure().subplots()
        assert tst.pl.agreement(fitted, labels="label", ax=ax) is ax

    def test_bad_input(self, fitted):
        with pytest.raises(KeyError, match=r"`labels`: adata\.obs has no column 'nope'"):
            tst.pl.agreement(fitted, labels="nope")
        fitted.obs["number"] = np.arange(fitted.n_obs)
        with pytest.raises(ValueError, match="100 different values, more than a table of 60 rows"):
            tst.pl.agreement(fitted, labels="number")
        fitted.obs["empty"] = pd.Categorical([None] * fitted.n_obs)
        with pytest.raises(ValueError, match="no spot has both a label in"):
            tst.pl.agreement(fitted, labels="empty")
