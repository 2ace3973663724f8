import anndata as ad
import numpy as np
import pandas as pd
import pytest
from figures import colors_of, discs, render
from matplotlib.figure import Figure

import transst_py as tst
from transst_py.pl import _spots
from transst_py.pl._colors import MISSING_COLOR, domain_colors

pytestmark = pytest.mark.usefixtures("no_pyplot_state")


@pytest.fixture
def tissue():
    adata, _ = tst.datasets.simulated_tissue(n_rows=9, n_cols=10, n_genes=15, smoothness=0.5)
    return adata


class TestColors:
    def test_stable_and_distinct(self):
        names = [f"d{i}" for i in range(24)]
        colors = domain_colors(names)
        assert len(set(colors.values())) == 24
        for n in (1, 8, 9, 23):
            assert domain_colors(names[:n]) == {name: colors[name] for name in names[:n]}
        assert MISSING_COLOR.lower() not in colors.values()

    def test_many(self):
        assert len(set(domain_colors([str(i) for i in range(60)]).values())) == 60

    def test_own(self):
        assert domain_colors(["a", "b"], {"b": "red", "a": "blue", "c": "k"}) == {"a": "blue", "b": "red"}
        assert domain_colors(["a", "b"], ["blue", "red"]) == {"a": "blue", "b": "red"}
        for short in ({"a": "blue"}, ["blue"]):
            with pytest.raises(ValueError, match="no colour for 'b'"):
                domain_colors(["a", "b"], short)


class TestDomains:
    def test_every_spot_in_its_domains_colour(self, tissue, tmp_path):
        ax = tst.pl.domains(tissue, key="label")
        palette = domain_colors(tissue.obs["label"].cat.categories.tolist())
        assert colors_of(ax) == [palette[label].lower() for label in tissue.obs["label"]]
        np.testing.assert_array_equal(discs(ax).get_offsets(), tissue.obsm["spatial"])
        assert ax.get_title() == "label"
        assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == list(palette)
        render(ax, tmp_path / "domains.png")

    def test_geometry(self, tissue):
        ax = tst.pl.domains(tissue, key="label")
        assert ax.get_aspect() == 1
        top, bottom = ax.get_ylim()[::-1]
        assert top < bottom
        assert discs(ax).get_widths()[0] == pytest.approx(100.0)
        ax = tst.pl.domains(tissue, key="label", spot_size=30.0, legend=False)
        assert discs(ax).get_widths()[0] == pytest.approx(30.0)
        assert ax.figure.legends == []

    def test_subset_keeps_its_colours_and_missing_is_grey(self, tissue):
        whole = dict(zip(tissue.obs_names, colors_of(tst.pl.domains(tissue, key="label")), strict=True))
        part = tissue[tissue.obs["label"] != "domain 1"].copy()
        part.obs["label"] = part.obs["label"].cat.set_categories(tissue.obs["label"].cat.categories)
        part.obs.loc[part.obs_names[0], "label"] = np.nan
        ax = tst.pl.domains(part, key="label")
        found = dict(zip(part.obs_names, colors_of(ax), strict=True))
        assert found.pop(part.obs_names[0]) == MISSING_COLOR.lower()
        assert found == {name: whole[name] for name in found}
        assert ax.figure.legends[0].get_texts()[-1].get_text() == "no domain"

    def test_samples_side_by_side(self, tissue, tmp_path):
        sections = dict(zip(["B", "A", "C", "D", "E"], [tissue] * 5, strict=True))
        pooled = ad.concat(sections, label="slice", index_unique="-")
        axes = tst.pl.domains(pooled, key="label", sample_key="slice")
        assert [ax.get_title() for ax in axes] == ["B", "A", "C", "D", "E"]
        assert len(axes[0].figure.axes) == 5
        assert all(len(discs(ax).get_offsets()) == tissue.n_obs for ax in axes)
        render(axes, tmp_path / "samples.png")

    def test_draws_on_given_axes(self, tissue):
        ours, other = Figure().subplots(1, 2)
        assert tst.pl.domains(tissue, key="label", ax=ours, title="mine") is ours
        assert (ours.get_title(), len(other.collections)) == ("mine", 0)
        assert ours.get_legend() is not None
        with pytest.raises(ValueError, match="either `ax` or `sample_key`"):
            tst.pl.domains(tissue, key="label", sample_key="label", ax=ours)

    def test_many_spots_are_rasterized(self, tissue, monkeypatch):
        assert not discs(tst.pl.domains(tissue, key="label")).get_rasterized()
        monkeypatch.setattr(_spots, "MAX_VECTOR_SPOTS", tissue.n_obs - 1)
        assert discs(tst.pl.domains(tissue, key="label")).get_rasterized()

    def test_bad_input(self, tissue):
        with pytest.raises(KeyError, match="no column 'transst'"):
            tst.pl.domains(tissue)
        with pytest.raises(KeyError, match="no coordinates"):
            tst.pl.domains(tissue, key="label", spatial_key="nope")
        tissue.obs["slice"] = pd.Categorical([np.nan] + ["a"] * (tissue.n_obs - 1))
        with pytest.raises(ValueError, match=r"1 of [0-9]+ spots have no sample"):
            tst.pl.domains(tissue, key="label", sample_key="slice")


class TestConfidence:
    @pytest.fixture
    def sure(self, tissue):
        tissue.obs["transst_confidence"] = np.linspace(0.25, 1.0, tissue.n_obs)
        return tissue

    def test_on_one_scale_in_every_plot(self, sure, tmp_path):
        ax = tst.pl.confidence(sure)
        np.testing.assert_allclose(discs(ax).get_array(), sure.obs["transst_confidence"])
        assert discs(ax).get_clim() == (0, 1)
        assert ax.get_title() == "transst_confidence"
        bar = ax.figure.axes[-1]
        assert (bar.get_ylabel(), bar.get_ylim()) == ("probability of the domain", (0, 1))
        render(ax, tmp_path / "confidence.png")

    def test_missing_is_grey(self, sure):
        sure.obs.loc[sure.obs_names[3], "transst_confidence"] = np.nan
        ax = tst.pl.confidence(sure)
        ax.figure.draw_without_rendering()
        assert [i for i, color in enumerate(colors_of(ax)) if color == MISSING_COLOR.lower()] == [3]

    def test_samples_side_by_side(self, sure):
        pooled = ad.concat({"B": sure, "A": sure}, label="slice", index_unique="-")
        axes = tst.pl.confidence(pooled, sample_key="slice")
        assert [ax.get_title() for ax in axes] == ["B", "A"]
        assert len(axes[0].figure.axes) == 3
        assert {discs(ax).get_clim() for ax in axes} == {(0, 1)}

    def test_draws_on_given_axes(self, sure):
        ax = Figure().subplots()
        assert tst.pl.confidence(sure, ax=ax, cmap="magma", title="mine") is ax
        assert (ax.get_title(), discs(ax).get_cmap().name) == ("mine", "magma")

    def test_bad_input(self, sure):
        with pytest.raises(KeyError, match="no column 'other_confidence'"):
            tst.pl.confidence(sure, key="other")
        with pytest.raises(ValueError, match="either `ax` or `sample_key`"):
            tst.pl.confidence(sure, sample_key="label", ax=Figure().subplots())
        sure.obs["transst_confidence"] *= 3
        with pytest.raises(ValueError, match=r"which is no probability"):
            tst.pl.confidence(sure)


class TestImputation:
    def test_measured_beside_imputed_on_one_scale(self, tissue, tmp_path):
        dense = tst.tl.impute(tissue, method="nearest", genes=["gene3"])
        left, right = axes = tst.pl.imputation(dense, "gene3")
        assert len(discs(left).get_offsets()) == tissue.n_obs
        assert len(discs(right).get_offsets()) == dense.n_obs
        assert discs(left).get_clim() == discs(right).get_clim()
        np.testing.assert_allclose(discs(right).get_array(), dense.layers["imputed"][:, 0])
        assert discs(right).get_widths()[0] == pytest.approx(50.0)
        assert discs(left).get_widths()[0] == pytest.approx(100.0)
        assert left.figure.axes[-1].get_ylabel() == "log-normalised expression"
        render(axes, tmp_path / "imputation.png")

    def test_filled(self, tissue):
        tissue.obs["measured"] = np.arange(tissue.n_obs) != 44
        tst.tl.impute(tissue, task="fill", method="nearest", genes=["gene3"])
        left, right = tst.pl.imputation(tissue, "gene3")
        assert len(discs(right).get_offsets()) - len(discs(left).get_offsets()) == 1
        with pytest.raises(ValueError, match="'gene4' was not imputed"):
            tst.pl.imputation(tissue, "gene4")

    def test_draws_on_given_axes(self, tissue):
        dense = tst.tl.impute(tissue, method="nearest", genes=["gene3"])
        ax = Figure().subplots()
        assert tst.pl.imputation(dense, "gene3", ax=ax, cmap="magma") is ax
        assert len(discs(ax).get_offsets()) == dense.n_obs
        assert discs(ax).get_cmap().name == "magma"

    def test_a_row_of_panels_for_each_sample(self, tissue, tmp_path):
        other = tissue[tissue.obs["array_row"] < 7].copy()
        other.X = other.X * 3
        pooled = ad.concat({"B": tissue, "A": other}, label="slice", index_unique="-")
        dense = tst.tl.impute(pooled, method="nearest", genes=["gene3"], sample_key="slice")
        axes = tst.pl.imputation(dense, "gene3", sample_key="slice")
        assert axes.shape == (2, 2)
        assert len({discs(ax).get_clim() for ax in axes.flat}) == 1
        n_shown = np.vectorize(lambda ax: len(discs(ax).get_offsets()))(axes)
        np.testing.assert_array_equal(n_shown[:, 0], [tissue.n_obs, other.n_obs])
        np.testing.assert_array_equal(n_shown[:, 1], [(dense.obs["slice"] == name).sum() for name in "BA"])
        assert axes[0, 0].get_title() == f"gene3, B\nmeasured, {tissue.n_obs} spots"
        for row in axes:
            assert row[0].get_ylim() == row[1].get_ylim()
        assert axes[0, 0].get_ylim() != axes[1, 0].get_ylim()
        assert len(axes[0, 0].figure.axes) == 4 + 1
        render(axes, tmp_path / "samples.png")
        with pytest.raises(ValueError, match="either `ax` or `sample_key`"):
            tst.pl.imputation(dense, "gene3", sample_key="slice", ax=Figure().subplots())

    def test_symbols(self, tissue):
        tissue.var["symbol"] = tissue.var_names.str.replace("gene", "SYM")
        dense = tst.tl.impute(tissue, method="nearest", genes=["gene3"])
        axes = tst.pl.imputation(dense, "SYM3", gene_symbols="symbol")
        assert axes[0].get_title().startswith("SYM3\n")
        plain = tst.pl.imputation(dense, "gene3")
        assert plain[0].get_title().startswith("gene3\n")

    def test_bad_input(self, tissue):
        with pytest.raises(KeyError, match="no layer 'imputed'; run"):
            tst.pl.imputation(tissue, "gene3")
        dense = tst.tl.impute(tissue, method="nearest", genes=["gene3"])
        with pytest.raises(KeyError, match="no gene 'nope'"):
            tst.pl.imputation(dense, "nope")
        del dense.obs["measured"]
        with pytest.raises(KeyError, match="no column 'measured'"):
            tst.pl.imputation(dense, "gene3")


class TestImputationWithTruth:
    @pytest.fixture
    def filled(self, tissue):
        row, col = tissue.obs["array_row"].to_numpy(), tissue.obs["array_col"].to_numpy()
        tissue.obs["measured"] = (row % 2 == 0) & (col % 2 == 0)
        tissue.layers["truth"] = tissue.X.log1p().tocsr()
        tst.tl.impute(tissue, task="fill", method="nearest")
        return tissue

    @pytest.fixture
    def values(self, filled):
        """Imputed and true values of gene3, and which spots are hidden."""
        imputed, truth = (filled.to_df(name)["gene3"].to_numpy() for name in ("imputed", "truth"))
        return imputed, truth, ~filled.obs["measured"].to_numpy()

    def test_four_panels(self, filled, values, tmp_path):
        imputed, truth, hidden = values
        axes = tst.pl.imputation(filled, "gene3", truth="truth")
        shown = [np.asarray(discs(ax).get_array()) for ax in axes]
        np.testing.assert_allclose(shown[0], imputed[~hidden])
        np.testing.assert_allclose(shown[1], imputed)
        np.testing.assert_allclose(shown[2], np.where(hidden, truth, imputed))
        np.testing.assert_allclose(shown[3], (imputed - truth)[hidden], atol=1e-6)
        np.testing.assert_array_equal(discs(axes[3]).get_offsets(), filled.obsm["spatial"][hidden])
        render(axes, tmp_path / "truth.png")

    def test_scales(self, filled, values):
        imputed, truth, hidden = values
        axes = tst.pl.imputation(filled, "gene3", truth=truth)
        limits = {discs(ax).get_clim() for ax in axes[:3]}
        assert len(limits) == 1
        both = np.concatenate([imputed, truth[hidden]])
        assert limits.pop() == (both.min(), both.max())
        low, high = discs(axes[3]).get_clim()
        assert -low == high == pytest.approx(np.abs(imputed - truth)[hidden].max())
        labels = [ax.get_ylabel() for ax in axes[0].figure.axes[4:]]
        assert labels == ["log-normalised expression", "imputed - truth"]

    def test_panels_show_the_same_place(self, filled, values):
        axes = tst.pl.imputation(filled, "gene3", truth=values[1])
        for ax in axes:
            assert (ax.get_xlim(), ax.get_ylim()) == (axes[0].get_xlim(), axes[0].get_ylim())
        low, high = filled.obsm["spatial"].min(axis=0) - 100, filled.obsm["spatial"].max(axis=0) + 100
        assert axes[0].get_xlim()[0] <= low[0]
        assert axes[0].get_xlim()[1] >= high[0]
        assert axes[0].get_ylim()[1] <= low[1]
        assert axes[0].get_ylim()[0] >= high[1]

    def test_a_sample_without_hidden_spots_has_an_empty_error(self, filled, values):
        filled.obs["half"] = np.where(filled.obs["array_row"] < 6, "top", "bottom")
        top = (filled.obs["half"] == "top").to_numpy()
        filled.obs["measured"] |= top
        imputed, truth, hidden = values
        truth = truth + 5.0 * hidden
        axes = tst.pl.imputation(filled, "gene3", truth=truth, sample_key="half")
        assert axes.shape == (2, 4)
        errors = [np.asarray(discs(ax).get_array()) for ax in axes[:, 3]]
        np.testing.assert_allclose(errors[0], (imputed - truth)[hidden & ~top], atol=1e-6)
        assert errors[1].size == 0
        assert axes[1, 3].get_title() == "gene3, top\nerror, 0 hidden spots"
        assert discs(axes[0, 3]).get_clim() == discs(axes[1, 3]).get_clim()
        assert axes[1, 3].get_xlim() == axes[1, 0].get_xlim()

    def test_only_hidden_truth_counts(self, filled, values):
        _, truth, hidden = values
        expected = tst.pl.imputation(filled, "gene3", truth=truth)
        found = tst.pl.imputation(filled, "gene3", truth=np.where(hidden, truth, np.nan))
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(discs(a).get_array(), discs(b).get_array())
            assert discs(a).get_clim() == discs(b).get_clim()

    def test_bad_truth(self, filled, values):
        _, truth, hidden = values
        with pytest.raises(KeyError, match="`truth`: adata has no layer 'nope'"):
            tst.pl.imputation(filled, "gene3", truth="nope")
        with pytest.raises(ValueError, match=r"`truth` must be of shape \(90,\)"):
            tst.pl.imputation(filled, "gene3", truth=truth[hidden])
        with pytest.raises(ValueError, match=r"`truth` is missing at 65 of 65 hidden spots"):
            tst.pl.imputation(filled, "gene3", truth=np.where(hidden, np.nan, truth))
        with pytest.raises(ValueError, match="`ax` takes one panel, `truth` makes four"):
            tst.pl.imputation(filled, "gene3", truth=truth, ax=Figure().subplots())
        filled.obs["measured"] = True
        with pytest.raises(ValueError, match="no spot is hidden"):
            tst.pl.imputation(filled, "gene3", truth=truth)
