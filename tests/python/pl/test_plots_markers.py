"""Dot plot and heat map of marker genes."""

import numpy as np
import pandas as pd
import pytest
from figures import render
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import transst_py as tst
from transst_py.pl._colors import domain_colors
from transst_py.pl._markers import top_markers

pytestmark = pytest.mark.usefixtures("no_pyplot_state")


@pytest.fixture(scope="module")
def _ranked():
    adata, _ = tst.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=40, n_domains=3)
    tst.tl.rank_domain_genes(adata, key="label")
    return adata


@pytest.fixture
def ranked(_ranked):
    return _ranked.copy()


def genes_of(ax):
    return [text.get_text() for text in ax.get_xticklabels()]


def naive_profile(adata, genes):
    """Scaled means and shares of positive spots, (domains, genes)."""
    X = adata.X.toarray()
    totals = X.sum(axis=1, keepdims=True)
    logs = pd.DataFrame(np.log1p(X / totals * np.median(totals)), adata.obs_names, adata.var_names)[genes]
    mean = logs.groupby(adata.obs["label"], observed=True).mean()
    share = (logs > 0).groupby(adata.obs["label"], observed=True).mean()
    return ((mean - mean.min()) / (mean.max() - mean.min())).to_numpy(), share.to_numpy()


class TestTopMarkers:
    TABLE = pd.DataFrame(
        [
            ("a", "g1", 5.0),
            ("a", "g2", 4.0),
            ("a", "g3", 3.0),
            ("b", "g1", 6.0),
            ("b", "g2", 2.0),
            ("b", "g3", -1),
        ],
        columns=["domain", "gene", "score"],
    )

    def test_each_gene_where_it_scores_highest(self):
        assert top_markers(self.TABLE, 2) == {"a": ["g2", "g3"], "b": ["g1"]}
        assert top_markers(self.TABLE, 1) == {"a": ["g2"], "b": ["g1"]}

    def test_order_of_the_domains_is_that_of_the_categories(self):
        table = self.TABLE.assign(domain=pd.Categorical(self.TABLE["domain"], ["b", "a"]))
        assert list(top_markers(table, 1)) == ["b", "a"]

    def test_the_worst_of_several_references_counts(self):
        second = self.TABLE.assign(score=[1.0, 1.0, 7.0, 6.0, 2.0, -1.0])
        assert top_markers(pd.concat([self.TABLE, second]), 1) == {"a": ["g3"], "b": ["g1"]}

    def test_no_gene_twice_and_none_that_is_lower(self, ranked):
        groups = top_markers(ranked.uns["label_markers"], 100)
        shown = [gene for genes in groups.values() for gene in genes]
        assert len(set(shown)) == len(shown)
        scores = ranked.uns["label_markers"].set_index(["domain", "gene"])["score"]
        for domain, genes in groups.items():
            for gene in genes:
                assert scores[domain, gene] == scores[:, gene].max() > 0


class TestMarkers:
    def test_dots(self, ranked, tmp_path):
        ax = tst.pl.markers(ranked, key="label", n_genes=2)
        genes = genes_of(ax)
        assert len(genes) == 6
        scaled, share = naive_profile(ranked, genes)
        (dots,) = ax.collections
        np.testing.assert_allclose(dots.get_array(), scaled.ravel(), atol=1e-6)
        np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), (share / share.max()).ravel())
        assert dots.get_clim() == (0, 1)
        names = ranked.obs["label"].cat.categories.tolist()
        assert [text.get_text() for text in ax.get_yticklabels()] == names
        assert [text.get_text() for text in ax.figure.legends[0].get_texts()][-1] == "100%"
        render(ax, tmp_path / "dots.png")

    def test_largest_dot_is_that_of_the_legend(self, ranked):
        ax = tst.pl.markers(ranked, key="label", genes=["gene1"])
        ranked.X = ranked.X.toarray() + 1.0
        everywhere = tst.pl.markers(ranked, key="label", genes=["gene1"])
        (dots,) = everywhere.collections
        handle = ax.figure.legends[0].legend_handles[-1]
        np.testing.assert_allclose(np.sqrt(dots.get_sizes()), handle.get_markersize())

    def test_bars_have_the_colours_of_the_map(self, ranked):
        ranked.obs["label"] = ranked.obs["label"].cat.set_categories(
            ["nowhere", *ranked.obs["label"].cat.categories]
        )
        ax = tst.pl.markers(ranked, key="label", n_genes=3)
        colors = domain_colors(ranked.obs["label"].cat.categories.tolist())
        assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [
            color.lower() for name, color in colors.items() if name != "nowhere"
        ]
        assert [text.get_text() for text in ax.texts] == [name for name in colors if name != "nowhere"]
        assert len(ax.get_yticklabels()) == 3

    def test_heat_map(self, ranked):
        ax = tst.pl.markers(ranked, key="label", kind="heatmap", n_genes=3)
        scaled, _ = naive_profile(ranked, genes_of(ax))
        np.testing.assert_allclose(ax.images[0].get_array(), scaled, atol=1e-6)
        assert ax.figure.legends == []

    def test_own_genes_in_their_order(self, ranked):
        ax = tst.pl.markers(ranked, key="label", genes=["gene7", "gene2"])
        assert genes_of(ax) == ["gene7", "gene2"]
        assert list(ax.patches) == []

    def test_draws_what_was_tested(self, ranked):
        ranked.layers["logs"] = np.log1p(ranked.X.toarray())
        tst.tl.rank_domain_genes(ranked, key="label", layer="logs", normalization="none")
        ax = tst.pl.markers(ranked, key="label", genes=["gene7"], kind="heatmap")
        values = ranked.to_df("logs")["gene7"]
        mean = values.groupby(ranked.obs["label"], observed=True).mean()
        expected = (mean - mean.min()) / (mean.max() - mean.min())
        np.testing.assert_allclose(ax.images[0].get_array()[:, 0], expected, atol=1e-6)

    def test_spots_without_a_domain_do_not_count(self, ranked):
        ranked.obs.loc[ranked.obs_names[:30], "label"] = np.nan
        tst.tl.rank_domain_genes(ranked, key="label")
        ax = tst.pl.markers(ranked, key="label", genes=["gene7"], kind="heatmap")
        scaled, _ = naive_profile(ranked[30:], ["gene7"])
        np.testing.assert_allclose(ax.images[0].get_array(), scaled, atol=1e-6)

    def test_a_gene_that_is_the_same_everywhere(self, ranked):
        X = ranked.X.toarray()
        X[:, ranked.var_names == "gene3"] = 0
        ranked.X = X
        ax = tst.pl.markers(ranked, key="label", genes=["gene3"], kind="heatmap")
        np.testing.assert_array_equal(ax.images[0].get_array(), 0)

    def test_draws_on_given_axes(self, ranked):
        ax = Figure().subplots()
        assert tst.pl.markers(ranked, key="label", ax=ax) is ax
        assert ax.get_legend() is not None

    def test_bad_input(self, ranked):
        with pytest.raises(KeyError, match=r"no table 'transst_markers'; run `tl\.rank_domain_genes` first"):
            tst.pl.markers(ranked)
        with pytest.raises(ValueError, match="`kind`: unknown value 'violin'"):
            tst.pl.markers(ranked, key="label", kind="violin")
        with pytest.raises(ValueError, match="`n_genes` must be at least 1"):
            tst.pl.markers(ranked, key="label", n_genes=0)
        with pytest.raises(KeyError, match="`genes`: adata has no gene 'nope'"):
            tst.pl.markers(ranked, key="label", genes=["gene1", "nope"])
        with pytest.raises(TypeError, match=r"`genes` must be a list of names, got the text 'gene1'"):
            tst.pl.markers(ranked, key="label", genes="gene1")
        ranked.uns["label_markers"]["score"] = -1.0
        with pytest.raises(ValueError, match="no gene is higher in a domain than outside"):
            tst.pl.markers(ranked, key="label")


class TestSymbols:
    @pytest.fixture
    def named(self, ranked):
        """Symbols for all genes but gene2; gene3 and gene4 share one."""
        symbols = ranked.var_names.to_series().str.replace("gene", "SYM").astype(object)
        symbols[["gene2", "gene3", "gene4"]] = [None, "SAME", "SAME"]
        ranked.var["symbol"] = symbols
        return ranked

    def test_are_shown_where_there_are_some(self, named):
        ax = tst.pl.markers(named, key="label", genes=["gene1", "gene2"], gene_symbols="symbol")
        assert genes_of(ax) == ["SYM1", "gene2"]
        plain = tst.pl.markers(named, key="label", n_genes=2)
        shown = tst.pl.markers(named, key="label", n_genes=2, gene_symbols="symbol")
        expected = named.var["symbol"].fillna(pd.Series(named.var_names, named.var_names))
        assert genes_of(shown) == list(expected[genes_of(plain)])

    def test_name_genes(self, named):
        by_symbol = tst.pl.markers(named, key="label", genes=["SYM1", "gene5"], gene_symbols="symbol")
        by_name = tst.pl.markers(named, key="label", genes=["gene1", "gene5"], gene_symbols="symbol")
        assert genes_of(by_symbol) == ["SYM1", "SYM5"]
        np.testing.assert_array_equal(
            by_symbol.collections[0].get_array(), by_name.collections[0].get_array()
        )

    def test_bad_input(self, named):
        with pytest.raises(KeyError, match=r"`gene_symbols`: adata\.var has no column 'nope'; it has"):
            tst.pl.markers(named, key="label", gene_symbols="nope")
        with pytest.raises(ValueError, match="'SAME' is the symbol of 'gene3', 'gene4'; name one of them"):
            tst.pl.markers(named, key="label", genes=["SAME"], gene_symbols="symbol")
        with pytest.raises(KeyError, match="`genes`: adata has no gene 'SYM1'"):
            tst.pl.markers(named, key="label", genes=["SYM1"])
        named.var["symbol"] = pd.Categorical(named.var["symbol"])
        ax = tst.pl.markers(named, key="label", genes=["SYM1"], gene_symbols="symbol")
        assert genes_of(ax) == ["SYM1"]
