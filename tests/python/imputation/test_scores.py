import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats as st
from grids import square_grid, visium_grid
from scipy.spatial.distance import jensenshannon

from transst_py.imputation import scores
from transst_py.imputation.holdout import comb, dense_index
from transst_py.imputation.scores import METRICS, compare_methods, score_genes

CORRELATIONS = ["pcc", "spearman"]
LATTICES = [("square", square_grid(11, 13)), ("hexagonal", visium_grid(14, 8))]
kinds = pytest.mark.parametrize(("kind", "index"), LATTICES, ids=["square", "hexagonal"])


def holey(index, seed=0):
    """The lattice without a tenth of its spots, in random order."""
    rng = np.random.default_rng(seed)
    return rng.permutation(index)[: int(0.9 * len(index))]


def make_maps(index, kind, n_genes=4, seed=1):
    """Patterned counts on the log scale, with predictions of the spots a comb hides."""
    rng = np.random.default_rng(seed)
    waves = np.sin(index @ rng.normal(scale=0.4, size=(2, n_genes))) + 1
    truth = np.log1p(rng.poisson(3 * waves))
    hidden = comb(index, kind)
    predicted = (truth + rng.normal(scale=0.4, size=truth.shape))[hidden].clip(0)
    return truth, predicted, hidden


def naive_ssim(truth, completed, index, kind, hidden):
    """One gene, from the definition: loops over spots and windows."""
    cell = dense_index(index, kind)
    span = truth.max() - truth.min()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    local = []
    for i in np.flatnonzero(hidden):
        inside = (np.abs(cell - cell[i]) <= 3).all(axis=1)
        x, y = truth[inside], completed[inside]
        covariance = np.cov(x, y, ddof=0)
        local.append(
            (2 * x.mean() * y.mean() + c1)
            * (2 * covariance[0, 1] + c2)
            / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
        )
    return np.mean(local)


def naive_moran(x, index, kind):
    """From the definition, over all pairs of spots."""
    steps = {(0, 1), (1, 0)} if kind == "square" else {(0, 2), (1, 1), (1, -1)}
    steps |= {(-r, -c) for r, c in steps}
    w = np.array([[tuple(b - a) in steps for b in index] for a in index], dtype=float)
    z = x - x.mean()
    return len(x) / w.sum() * (z @ w @ z) / (z @ z)


class TestPointwise:
    @pytest.fixture
    def maps(self):
        rng = np.random.default_rng(0)
        truth = rng.poisson(2.0, (40, 5)).astype(float)
        hidden = rng.random(40) < 0.5
        return truth, truth[hidden] + rng.normal(size=(hidden.sum(), 5)), hidden

    def test_equal_to_scipy_and_the_definitions(self, maps):
        truth, predicted, hidden = maps
        table = score_genes(truth, predicted, hidden, genes=list("abcde"))
        assert list(table.columns) == ["n", *METRICS]
        assert table.index.name == "gene"
        assert (table["n"] == hidden.sum()).all()
        for j, gene in enumerate("abcde"):
            x, y = truth[hidden, j], predicted[:, j]
            found = table.loc[gene]
            assert found["pcc"] == pytest.approx(st.pearsonr(x, y).statistic)
            assert found["spearman"] == pytest.approx(st.spearmanr(x, y).statistic)
            assert found["rmse"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
            assert found["mae"] == pytest.approx(np.mean(np.abs(x - y)))
            assert found["js"] == pytest.approx(jensenshannon(x, np.maximum(y, 0), base=2))
        assert table[["ssim", "moran_difference"]].isna().all(axis=None)

    def test_shown_spots_do_not_count(self, maps):
        truth, predicted, hidden = maps
        other = np.where(hidden[:, None], truth, 100.0)
        pd.testing.assert_frame_equal(
            score_genes(truth, predicted, hidden), score_genes(other, predicted, hidden)
        )

    def test_a_perfect_prediction(self, maps):
        truth, _, hidden = maps
        table = score_genes(truth, truth[hidden], hidden)
        np.testing.assert_allclose(table[CORRELATIONS], 1)
        np.testing.assert_array_equal(table[["rmse", "mae", "js"]], 0)

    def test_nearly_perfect_is_not_undefined(self):
        """Rounding can make the divergence of nearly equal maps negative."""
        truth = np.random.default_rng(0).random((30, 500))
        predicted = truth * (1 + 1e-9 * np.random.default_rng(1).random((30, 500)))
        js = score_genes(truth, predicted, np.ones(30, dtype=bool))["js"]
        assert js.between(0, 1e-6).all()

    def test_maps_that_share_no_spot_are_at_distance_1(self):
        truth = np.array([[1.0], [2.0], [0.0], [0.0]])
        assert score_genes(truth, truth[::-1], np.ones(4, dtype=bool))["js"].item() == pytest.approx(1)

    def test_invariances(self, maps):
        truth, predicted, hidden = maps
        plain = score_genes(truth, predicted, hidden)
        scaled = score_genes(truth, 3 * predicted, hidden)
        np.testing.assert_allclose(scaled[[*CORRELATIONS, "js"]], plain[[*CORRELATIONS, "js"]])
        shifted = score_genes(truth, 3 * predicted - 7, hidden)
        np.testing.assert_allclose(shifted[CORRELATIONS], plain[CORRELATIONS])
        np.testing.assert_allclose(
            score_genes(truth, np.exp(predicted), hidden)["spearman"], plain["spearman"]
        )
        np.testing.assert_allclose(score_genes(truth, -predicted, hidden)["pcc"], -plain["pcc"])
        both = score_genes(2 * truth, 2 * predicted, hidden)
        np.testing.assert_allclose(both[["rmse", "mae"]], 2 * plain[["rmse", "mae"]])

    def test_constant_maps(self):
        """Constant is: truth; prediction; the same but for rounding; both; truth, at 0; prediction, at 0."""
        varied = np.arange(1.0, 7.0)
        rounded = 1 + 1e-7 * (np.arange(6) % 2)
        truth = np.column_stack([np.ones(6), varied, varied, np.ones(6), np.zeros(6), varied])
        predicted = np.column_stack([varied, np.ones(6), rounded, np.ones(6), varied, np.zeros(6)])
        table = score_genes(truth, predicted, np.ones(6, dtype=bool))
        for name in CORRELATIONS:
            np.testing.assert_array_equal(table[name], [np.nan, 0, 0, np.nan, np.nan, 0])
        assert table["js"].isna().tolist() == [False] * 4 + [True] * 2
        assert table[["rmse", "mae"]].notna().all(axis=None)

    def test_batches_of_genes_and_float32_give_the_same(self, maps, monkeypatch):
        truth, predicted, hidden = maps
        whole = score_genes(truth, predicted, hidden)
        narrow = score_genes(truth.astype(np.float32), predicted.astype(np.float32), hidden)
        np.testing.assert_allclose(narrow, whole, rtol=1e-5)
        monkeypatch.setattr(scores, "_CHUNK_NUMBERS", 80)
        pd.testing.assert_frame_equal(score_genes(truth, predicted, hidden), whole)


class TestMaps:
    @kinds
    def test_ssim_is_the_mean_over_hidden_spots_of_the_windows(self, kind, index):
        index = holey(index)
        truth, predicted, hidden = make_maps(index, kind)
        completed = truth.copy()
        completed[hidden] = predicted
        found = score_genes(truth, predicted, hidden, index=index, kind=kind)["ssim"]
        expected = [naive_ssim(x, y, index, kind, hidden) for x, y in zip(truth.T, completed.T, strict=True)]
        np.testing.assert_allclose(found, expected)
        assert found.between(0.1, 0.99).all()

    @kinds
    def test_moran_difference_is_from_the_definition(self, kind, index):
        index = holey(index)
        truth, predicted, hidden = make_maps(index, kind)
        completed = truth.copy()
        completed[hidden] = predicted
        found = score_genes(truth, predicted, hidden, index=index, kind=kind)["moran_difference"]
        expected = [
            naive_moran(y, index, kind) - naive_moran(x, index, kind)
            for x, y in zip(truth.T, completed.T, strict=True)
        ]
        np.testing.assert_allclose(found, expected)

    @kinds
    def test_a_perfect_prediction(self, kind, index):
        truth, _, hidden = make_maps(index, kind)
        table = score_genes(truth, truth[hidden], hidden, index=index, kind=kind)
        np.testing.assert_allclose(table["ssim"], 1)
        np.testing.assert_array_equal(table["moran_difference"], 0)

    @kinds
    def test_unit_place_and_order_do_not_matter(self, kind, index):
        truth, predicted, hidden = make_maps(index, kind)
        plain = score_genes(truth, predicted, hidden, index=index, kind=kind)
        pd.testing.assert_frame_equal(
            score_genes(truth, predicted, hidden, index=index + np.array([-4, 8]), kind=kind), plain
        )
        scaled = score_genes(5 * truth, 5 * predicted, hidden, index=index, kind=kind)
        maps = ["ssim", "moran_difference"]
        np.testing.assert_allclose(scaled[maps], plain[maps])
        order = np.random.default_rng(0).permutation(len(index))
        whole = np.zeros_like(truth)
        whole[hidden] = predicted
        moved = score_genes(
            truth[order], whole[order][hidden[order]], hidden[order], index=index[order], kind=kind
        )
        np.testing.assert_allclose(moved, plain)

    def test_smoothing_shows_in_morans_i(self):
        index = square_grid(20, 20)
        rng = np.random.default_rng(0)
        truth = np.sin(index[:, :1] / 3) + rng.normal(size=(400, 1))
        hidden = comb(index, "square")
        smooth, noise = np.sin(index[hidden, :1] / 3), rng.normal(scale=3, size=(hidden.sum(), 1))
        too_smooth, too_noisy = (
            score_genes(truth, p, hidden, index=index, kind="square")["moran_difference"].item()
            for p in (smooth, noise)
        )
        assert too_smooth > 0.1
        assert too_noisy < -0.1

    def test_genes_constant_over_all_spots_are_undefined(self):
        """The second varies over the shown spots only, the third is completed by a constant."""
        index = square_grid(8, 8)
        hidden = comb(index, "square")
        truth = np.ones((64, 3))
        truth[~hidden, 1] = np.arange((~hidden).sum())
        truth[hidden, 2] = np.arange(hidden.sum())
        predicted = np.ones((hidden.sum(), 3))
        predicted[0, 0] = 2
        table = score_genes(truth, predicted, hidden, index=index, kind="square")
        for name in ("ssim", "moran_difference"):
            assert table[name].isna().tolist() == [True, False, False]
        np.testing.assert_allclose(table["ssim"][1], 1)
        assert table["moran_difference"][2] == pytest.approx(-naive_moran(truth[:, 2], index, "square"))
        assert table["pcc"].isna().tolist() == [True, True, False]


class TestBadMaps:
    truth = np.random.default_rng(0).random((9, 2))
    hidden = np.arange(9) < 4
    index = square_grid(3, 3)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"hidden": np.arange(9)}, TypeError, "`hidden` must be a logical"),
            ({"hidden": np.zeros(9, dtype=bool)}, ValueError, "`hidden` hides no spot"),
            (
                {"predicted": np.ones((5, 2))},
                ValueError,
                r"`predicted` must be of shape \(4, number of genes\)",
            ),
            ({"predicted": np.ones((4, 3))}, ValueError, "2 genes, `predicted` 3"),
            ({"predicted": np.full((4, 2), np.nan)}, ValueError, "`predicted` has missing"),
            ({"truth": np.full((9, 2), np.inf)}, ValueError, "`truth` has missing or infinite"),
            ({"truth": np.ones((8, 2))}, ValueError, r"`truth` must be of shape \(9,"),
            ({"truth": sp.csr_matrix((9, 2))}, TypeError, "`truth` must be a dense array"),
            ({"genes": ["a"]}, ValueError, "`genes` has 1 names for the 2 columns"),
            ({"index": index}, ValueError, "`index` and `kind` belong together"),
            ({"kind": "square"}, ValueError, "`index` and `kind` belong together"),
            ({"index": index[:8], "kind": "square"}, ValueError, "`index` has 8 rows for the 9 spots"),
            ({"index": index, "kind": "hexagonal"}, ValueError, "no hexagonal lattice"),
            (
                {"index": np.delete(index, 8, 0)[[*range(8), 0]], "kind": "square"},
                ValueError,
                "several spots",
            ),
        ],
    )
    def test_is_refused(self, change, error, message):
        good = {"truth": self.truth, "predicted": self.truth[self.hidden], "hidden": self.hidden}
        score_genes(**good, index=self.index, kind="square")
        with pytest.raises(error, match=message):
            score_genes(**(good | change))


class TestCompareMethods:
    @pytest.fixture
    def table(self):
        rng = np.random.default_rng(0)
        keys = pd.MultiIndex.from_product(
            [["ours", "kernel", "nearest"], ["00", "01", "10"], [f"g{j}" for j in range(12)]],
            names=["method", "phase", "gene"],
        )
        values = rng.normal(scale=0.2, size=(len(keys), len(METRICS)))
        table = pd.DataFrame(values, columns=METRICS, index=keys).reset_index()
        table.loc[table["method"] == "ours", list(METRICS)] += 0.1
        return table.sample(frac=1, random_state=0)

    @pytest.mark.parametrize("metric", METRICS)
    def test_equal_to_the_definition(self, table, metric):
        found = compare_methods(table, metric=metric, reference="ours")
        assert list(found.index) == ["kernel", "nearest"]
        assert found.index.name == "method"
        for other in found.index:
            differences = []
            for _, rows in table.groupby("gene"):
                by_phase = []
                for _, pair in rows.groupby("phase"):
                    value = pair.set_index("method")[metric]
                    if metric in ("pcc", "spearman", "ssim"):
                        by_phase.append(value["ours"] - value[other])
                    elif metric == "moran_difference":
                        by_phase.append(abs(value[other]) - abs(value["ours"]))
                    else:
                        by_phase.append(value[other] - value["ours"])
                differences.append(np.mean(by_phase))
            row = found.loc[other]
            assert row["median_difference"] == pytest.approx(np.median(differences))
            assert row["mean_difference"] == pytest.approx(np.mean(differences))
            assert row["share_reference_better"] == pytest.approx(np.mean(np.array(differences) > 0))
            assert row["p_value"] == pytest.approx(st.wilcoxon(differences).pvalue)
            assert row["n_genes"] == 12

    @pytest.mark.parametrize("metric", METRICS)
    def test_the_better_reference_has_positive_differences(self, metric):
        higher = metric in ("pcc", "spearman", "ssim")
        good, bad = (0.9, 0.2) if higher else (0.2, -0.9 if metric == "moran_difference" else 0.9)
        table = pd.DataFrame(
            [(m, "00", f"g{j}", v) for m, v in (("a", good), ("b", bad)) for j in range(8)],
            columns=["method", "phase", "gene", metric],
        )
        forth = compare_methods(table, metric=metric, reference="a").loc["b"]
        assert forth["median_difference"] == pytest.approx(0.7)
        assert forth["share_reference_better"] == 1
        back = compare_methods(table, metric=metric, reference="b").loc["a"]
        assert back["mean_difference"] == pytest.approx(-0.7)
        assert back["share_reference_better"] == 0
        # All 8 signs equal: 2 of 2**8 outcomes are as extreme.
        assert back["p_value"] == forth["p_value"] == pytest.approx(2 / 2**8)

    def test_only_pairs_count(self, table):
        """A score that one method lacks in one phase is left out of both."""
        table = table.set_index(["method", "phase", "gene"]).sort_index()
        table.loc[("kernel", "00", "g0"), "pcc"] = np.nan
        table.loc[("ours", "00", "g0"), "pcc"] = 1e6  # now without a partner
        table.loc[("kernel", slice(None), "g1"), "pcc"] = np.nan
        table = table.drop(("nearest", "01", "g2")).reset_index()
        found = compare_methods(table, metric="pcc", reference="ours")
        assert found["n_genes"].tolist() == [11, 12]
        assert found.loc["kernel", "mean_difference"] < 1
        assert found.loc["nearest", "mean_difference"] > 1e4

    def test_categories_are_names(self, table):
        keys = ["method", "phase", "gene"]
        table.loc[(table["method"] == "kernel") & (table["gene"] == "g1"), "pcc"] = np.nan
        found = compare_methods(table.astype(dict.fromkeys(keys, "category")), metric="pcc", reference="ours")
        plain = compare_methods(table, metric="pcc", reference="ours")
        np.testing.assert_array_equal(found, plain)
        assert list(found.index) == list(plain.index)

    def test_equal_methods_and_methods_without_scores(self):
        table = pd.DataFrame(
            [(m, "00", g, v) for m, v in (("a", 0.5), ("b", 0.5), ("c", np.nan)) for g in "xyz"],
            columns=["method", "phase", "gene", "js"],
        )
        found = compare_methods(table, metric="js", reference="a")
        assert found.loc["b"].tolist() == [0, 0, 0, 1, 3]
        assert found.loc["c"].isna().tolist() == [True] * 4 + [False]
        assert found["n_genes"].tolist() == [3, 0]

    def test_takes_the_tables_of_score_genes(self):
        index = square_grid(8, 8)
        truth, predicted, hidden = make_maps(index, "square", n_genes=7)
        parts = [
            score_genes(truth, y, hidden, index=index, kind="square")
            .reset_index()
            .assign(method=method, phase="00")
            for method, y in (("good", predicted), ("bad", predicted[::-1]))
        ]
        for metric in ("pcc", "rmse", "ssim"):
            found = compare_methods(pd.concat(parts), metric=metric, reference="good").loc["bad"]
            assert found["share_reference_better"] == 1

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"metric": "r2"}, ValueError, "`metric`: unknown value 'r2'"),
            ({"reference": "none"}, ValueError, "`reference` must be one of two or more methods, got 'none'"),
        ],
    )
    def test_bad_options(self, table, options, error, message):
        with pytest.raises(error, match=message):
            compare_methods(table, **({"metric": "pcc", "reference": "ours"} | options))

    def test_bad_tables(self, table):
        with pytest.raises(KeyError, match="no column 'phase'"):
            compare_methods(table.drop(columns="phase"), metric="pcc", reference="ours")
        with pytest.raises(ValueError, match="1 rows with the method, phase and gene of another"):
            compare_methods(pd.concat([table, table[:1]]), metric="pcc", reference="ours")
        with pytest.raises(ValueError, match="two or more methods"):
            compare_methods(table[table["method"] == "ours"], metric="pcc", reference="ours")
