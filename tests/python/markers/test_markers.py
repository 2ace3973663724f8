import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.exceptions import ConvergenceWarning

import transst_py as tst
from transst_py.markers import statistics as markers
from transst_py.markers.splitting import thin_counts
from transst_py.markers.statistics import Comparisons
from transst_py.tl._gate import layer_names
from transst_py.tl._markers import split_counts

COLUMNS = [
    "domain",
    "gene",
    "score",
    "log_fold_change",
    "p_value",
    "p_adjusted",
    "fraction_in",
    "fraction_out",
]


@pytest.fixture
def hard_cases():
    """Ties, constants, negative values, groups of one and two spots."""
    rng = np.random.default_rng(0)
    X = rng.poisson(0.7, (50, 12)).astype(float)
    X[:, 0] = 0
    X[:, 1] = 2
    X[:, 2] = -1
    X[:, 3] = np.where(rng.random(50) < 0.5, 0, rng.normal(size=50))
    X[:, 4] = rng.normal(size=50)
    X[:, 5] = -rng.poisson(1.0, 50)
    X[:, 6] = 0
    X[3, 6] = 1
    groups = np.r_[0, 0, 1, rng.integers(2, 4, 47)]
    return X, groups


ALL_COMPARISONS = {
    "rest": Comparisons.with_rest(4),
    "pairs": Comparisons.of_pairs(4),
    "one": Comparisons.with_one(4, 2),
    "some": Comparisons(np.array([0, 3]), np.array([[0, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)),
}


def sides(X, groups, comparisons):
    """Rows inside and outside of each comparison."""
    for k, others in zip(comparisons.inside, comparisons.outside, strict=True):
        yield X[groups == k], X[np.isin(groups, np.flatnonzero(others))]


def plain_rank_test(inside_rows, outside_rows):
    """Gene by gene p-values, and the sign of the effect, by scipy."""
    p_values, signs = [], []
    for inside, outside in zip(inside_rows.T, outside_rows.T, strict=True):
        result = stats.mannwhitneyu(inside, outside, method="asymptotic")
        p_values.append(1.0 if np.isnan(result.pvalue) else result.pvalue)
        signs.append(np.sign(result.statistic - inside.size * outside.size / 2))
    return np.array(p_values), np.array(signs)


def test_comparisons_are_what_their_names_say():
    pairs = Comparisons.of_pairs(3)
    assert list(zip(pairs.inside, pairs.outside.argmax(axis=1), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 2),
        (2, 0),
        (2, 1),
    ]
    assert (pairs.outside.sum(axis=1) == 1).all()
    assert Comparisons.with_rest(3).outside.tolist() == [
        [False, True, True],
        [True, False, True],
        [True, True, False],
    ]
    one = Comparisons.with_one(3, 1)
    assert one.inside.tolist() == [0, 2]
    assert one.outside.tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize("comparisons", ALL_COMPARISONS.values(), ids=list(ALL_COMPARISONS))
@pytest.mark.parametrize("block", [1, 40, 10**6])
def test_rank_sums_agree_with_scipy(hard_cases, monkeypatch, block, comparisons):
    monkeypatch.setattr(markers, "MAX_BLOCK_VALUES", block)
    X, groups = hard_cases
    stored = sp.csc_matrix(X)
    before = stored.copy()
    scores, p_values = markers.rank_sum_test(stored, groups, comparisons)
    for c, (inside, outside) in enumerate(sides(X, groups, comparisons)):
        expected, signs = plain_rank_test(inside, outside)
        np.testing.assert_allclose(p_values[c], expected, rtol=1e-10)
        clear = p_values[c] < 1
        np.testing.assert_array_equal(np.sign(scores[c])[clear], signs[clear])
    np.testing.assert_array_equal(stored.data, before.data)


@pytest.mark.parametrize("comparisons", ALL_COMPARISONS.values(), ids=list(ALL_COMPARISONS))
@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning", "ignore:.*too small:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:Degrees of freedom:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # scipy 1.12
def test_welch_agrees_with_scipy(hard_cases, monkeypatch, block, comparisons):
    monkeypatch.setattr(markers, "MAX_BLOCK_VALUES", block)
    X, groups = hard_cases
    scores, p_values = markers.welch_test(sp.csc_matrix(X), groups, comparisons)
    compared = 0
    for c, (inside, outside) in enumerate(sides(X, groups, comparisons)):
        varies = (inside.var(axis=0) + outside.var(axis=0)) > 0
        known = varies & (min(len(inside), len(outside)) > 1)
        expected = stats.ttest_ind(inside, outside, equal_var=False, axis=0)
        np.testing.assert_allclose(scores[c, known], expected.statistic[known], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(p_values[c, known], expected.pvalue[known], rtol=1e-9)
        assert (scores[c, ~known] == 0).all()
        assert (p_values[c, ~known] == 1).all()
        compared += known.sum()
    assert compared > 8


def test_welch_loses_no_digits_far_from_zero():
    """Textbook sums of squares would be all rounding error here."""
    rng = np.random.default_rng(0)
    X, groups = 1e8 + rng.normal(size=(60, 5)), np.repeat([0, 1, 2], 20)
    scores, _ = markers.welch_test(sp.csc_matrix(X), groups, Comparisons.with_rest(3))
    for c, (inside, outside) in enumerate(sides(X, groups, Comparisons.with_rest(3))):
        expected = stats.ttest_ind(inside, outside, equal_var=False).statistic
        np.testing.assert_allclose(scores[c], expected, rtol=1e-6, atol=1e-6)


def test_contrast_follows_its_formula():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, 200)
    z = rng.normal(size=(3, 3))[groups] + rng.normal(size=(200, 3)) * [2.0, 1.0, 0.5]
    X = 1.0 + z @ rng.normal(size=(3, 20)) + rng.normal(size=(200, 20))
    scores, p_values = markers.contrast_test(sp.csc_matrix(X), groups, Comparisons.with_rest(3), z)
    design = np.column_stack([np.ones(200), z])
    coefficients, rss, _, _ = np.linalg.lstsq(design, X, rcond=None)
    inside, outside = z[groups == 1], z[groups != 1]
    d = inside.mean(axis=0) - outside.mean(axis=0)
    S = np.cov(inside.T) / len(inside) + np.cov(outside.T) / len(outside)
    for j, w in enumerate(coefficients[1:].T):
        error = rss[j] / (200 - 4) * np.linalg.inv(design.T @ design)[1:, 1:]
        np.testing.assert_allclose(scores[1, j], w @ d / np.sqrt(w @ S @ w + d @ error @ d), rtol=1e-8)
    np.testing.assert_allclose(p_values, 2 * stats.norm.sf(np.abs(scores)))


def test_contrast_keeps_its_level_and_beats_welch():
    """Null genes vary with the factors, but not between domains, in the population."""
    rejected = {"contrast": [], "welch": []}
    found = {"contrast": [], "welch": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 3, 500)
        means = rng.normal(size=(3, 3))
        d = means[0] - means[groups[groups > 0]].mean(axis=0)
        loadings = rng.normal(size=(400, 3)) * 0.5
        loadings[:200] -= np.outer(loadings[:200] @ d, d) / (d @ d)
        z = means[groups] + rng.normal(size=(500, 3)) * [2.0, 1.0, 0.5]
        X = sp.csc_matrix(z @ loadings.T + rng.normal(size=(500, 400)) * 3)
        comparisons = Comparisons.with_rest(3)
        for name, p_values in {
            "contrast": markers.contrast_test(X, groups, comparisons, z)[1][0],
            "welch": markers.welch_test(X, groups, comparisons)[1][0],
        }.items():
            rejected[name].append((p_values[:200] < 0.05).mean())
            found[name].append((p_values[200:] < 0.001).mean())
    assert 0.02 < np.mean(rejected["contrast"]) < 0.08
    assert np.mean(found["contrast"]) > 1.2 * np.mean(found["welch"])


@pytest.mark.parametrize("value", [0.0, 2.0, 0.1, -1 / 3, 1e9 / 7])
def test_rounding_is_no_evidence(value):
    """Means of equal values differ in their last digits; their ratio to each other would be anything."""
    rng = np.random.default_rng(0)
    groups, v = rng.integers(0, 4, 501), rng.normal(size=(501, 2))
    X = sp.csc_matrix(np.full((501, 2), value))
    for comparisons in ALL_COMPARISONS.values():
        for scores, p_values in (
            markers.rank_sum_test(X, groups, comparisons),
            markers.welch_test(X, groups, comparisons),
            markers.contrast_test(X, groups, comparisons, v),
        ):
            assert (scores == 0).all()
            assert (p_values == 1).all()


def test_constant_genes_give_no_evidence(hard_cases):
    X, groups = hard_cases
    scores, p_values = markers.rank_sum_test(sp.csc_matrix(X), groups, Comparisons.with_rest(4))
    assert (scores[:, :3] == 0).all()
    assert (p_values[:, :3] == 1).all()


def test_stored_zeros_do_not_count_as_values(hard_cases):
    X, groups = hard_cases
    rows, cols = np.indices(X.shape).reshape(2, -1)
    explicit = sp.csc_matrix((X.ravel(), (rows, cols)), shape=X.shape)
    assert explicit.nnz > np.count_nonzero(X)
    for found, expected in zip(
        markers.rank_sum_test(explicit, groups, Comparisons.with_rest(4)),
        markers.rank_sum_test(sp.csc_matrix(X), groups, Comparisons.with_rest(4)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_nothing_stored_at_all():
    groups = np.array([0, 0, 1, 1])
    scores, p_values = markers.rank_sum_test(sp.csc_matrix((4, 3)), groups, Comparisons.with_rest(2))
    assert (scores == 0).all()
    assert (p_values == 1).all()


def test_fold_changes_and_fractions_follow_their_formulas(hard_cases):
    X, groups = hard_cases
    X = np.abs(X)
    stored = sp.csc_matrix(X)
    changes = markers.log_fold_changes(stored, groups, Comparisons.with_rest(4))
    inside, outside = markers.detection_fractions(stored, groups, Comparisons.with_rest(4))
    for k in range(4):
        a, b = np.expm1(X[groups == k]).mean(axis=0), np.expm1(X[groups != k]).mean(axis=0)
        np.testing.assert_allclose(changes[k], np.log2((a + 1 / 50) / (b + 1 / 50)), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(inside[k], (X[groups == k] > 0).mean(axis=0))
        np.testing.assert_allclose(outside[k], (X[groups != k] > 0).mean(axis=0), atol=1e-15)
    assert (changes[:, 0] == 0).all()


@pytest.fixture
def tissue():
    adata, _ = tst.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=30, smoothness=0.6)
    silent = np.ones(adata.n_vars, dtype=np.float32)
    silent[5] = 0
    adata.X = adata.X @ sp.diags(silent, format="csr")
    return adata


class TestRankDomainGenes:
    def test_table(self, tissue, tmp_path):
        table = tst.tl.rank_domain_genes(tissue, key="label")
        assert table.columns.tolist() == COLUMNS
        assert len(table) == 4 * 30
        assert table["domain"].drop_duplicates().tolist() == tissue.obs["label"].cat.categories.tolist()
        for _, rows in table.groupby("domain", observed=True):
            assert rows["score"].is_monotonic_decreasing
            assert sorted(rows["gene"]) == sorted(tissue.var_names)
            expected = stats.false_discovery_control(rows["p_value"].to_numpy())
            np.testing.assert_allclose(rows["p_adjusted"], expected)
        silent = table[table["gene"] == "gene6"]
        assert (silent[["score", "log_fold_change", "fraction_in", "fraction_out"]] == 0).all(axis=None)
        assert (silent[["p_value", "p_adjusted"]] == 1).all(axis=None)
        tissue.write_h5ad(tmp_path / "tissue.h5ad")
        read = ad.read_h5ad(tmp_path / "tissue.h5ad").uns["label_markers"]
        pd.testing.assert_frame_equal(read.reset_index(drop=True), table)

    @pytest.mark.parametrize("method", ["wilcoxon", "t"])
    def test_pairs_of_domains(self, tissue, method):
        table = tst.tl.rank_domain_genes(tissue, key="label", method=method, reference="pairwise")
        assert table.columns.tolist() == ["domain", "reference", *COLUMNS[1:]]
        assert len(table) == 4 * 3 * 30
        assert (table["domain"].astype(str) != table["reference"].astype(str)).all()
        turned = table.rename(columns={"domain": "reference", "reference": "domain"})
        both = table.merge(turned, on=["domain", "reference", "gene"])
        np.testing.assert_allclose(both["score_x"], -both["score_y"], atol=1e-9)
        np.testing.assert_allclose(both["log_fold_change_x"], -both["log_fold_change_y"], atol=1e-9)
        np.testing.assert_allclose(both["fraction_in_x"], both["fraction_out_y"])

        one = tst.tl.rank_domain_genes(tissue, key="label", method=method, reference="domain 3")
        part = table[table["reference"] == "domain 3"].reset_index(drop=True)
        pd.testing.assert_frame_equal(one, part)
        for _, rows in part.groupby("domain", observed=True):
            assert rows["score"].is_monotonic_decreasing
            expected = stats.false_discovery_control(rows["p_value"].to_numpy())
            np.testing.assert_allclose(rows["p_adjusted"], expected)

    def test_a_pair_is_the_test_of_its_spots(self, tissue):
        """Up to the normalisation, which knows all tested spots."""
        tissue.layers["log"] = tissue.X.log1p()
        options = {"key": "label", "layer": "log", "normalization": "none"}
        table = tst.tl.rank_domain_genes(tissue, reference="domain 2", **options)
        part = table[table["domain"] == "domain 4"].reset_index(drop=True)
        two = tissue[tissue.obs["label"].isin(["domain 2", "domain 4"])].copy()
        alone = tst.tl.rank_domain_genes(two, **options).query("domain == 'domain 4'").reset_index(drop=True)
        columns = ["gene", "score", "p_value", "p_adjusted", "fraction_in", "fraction_out"]
        pd.testing.assert_frame_equal(part[columns], alone[columns])

    def test_linear_values_are_the_counts_at_equal_depth(self, tissue):
        totals = np.asarray(tissue.X.sum(axis=1))
        tissue.layers["scaled"] = tissue.X.toarray() / totals * np.median(totals)
        ours = tst.tl.rank_domain_genes(tissue, key="label", method="t", normalization="linear")
        given = tst.tl.rank_domain_genes(
            tissue, key="label", method="t", layer="scaled", normalization="none"
        )
        joined = ours.merge(given, on=["domain", "gene"])
        np.testing.assert_allclose(joined["score_x"], joined["score_y"], rtol=1e-4, atol=1e-5)
        log = tst.tl.rank_domain_genes(tissue, key="label", method="t")
        joined = ours.merge(log, on=["domain", "gene"])
        np.testing.assert_allclose(joined["log_fold_change_x"], joined["log_fold_change_y"])

    def test_own_genes_of_the_domains_come_first(self, tissue):
        """The generator raises factor k, and so gene k, in domain k."""
        best = tst.tl.rank_domain_genes(tissue, key="label").groupby("domain", observed=True).head(1)
        assert best["gene"].tolist()[:3] == ["gene1", "gene2", "gene3"]
        assert (best["log_fold_change"] > 0).all()

    def test_counts_are_normalised_by_the_median_total(self, tissue):
        totals = np.asarray(tissue.X.sum(axis=1)).ravel()
        X = np.log1p(tissue.X.toarray() / totals[:, None] * np.median(totals))
        tissue.layers["log"] = X
        ours = tst.tl.rank_domain_genes(tissue, key="label")
        given = tst.tl.rank_domain_genes(tissue, key="label", layer="log", normalization="none")
        # Ties of equal counts can break in the last digit, which moves a rank by a half.
        joined = ours.merge(given, on=["domain", "gene"])
        np.testing.assert_allclose(joined["score_x"], joined["score_y"], atol=0.05)
        np.testing.assert_allclose(joined["log_fold_change_x"], joined["log_fold_change_y"], atol=1e-4)

    def test_spots_without_domain_are_left_out(self, tissue):
        part = tissue.obs["label"].where(np.arange(tissue.n_obs) % 5 > 0)
        kept = tissue[part.notna().to_numpy()].copy()
        tissue.obs["label"] = part
        pd.testing.assert_frame_equal(
            tst.tl.rank_domain_genes(tissue, key="label"), tst.tl.rank_domain_genes(kept, key="label")
        )

    def test_dense_and_sparse_agree(self, tissue):
        sparse = tst.tl.rank_domain_genes(tissue, key="label")
        tissue.X = tissue.X.toarray()
        pd.testing.assert_frame_equal(tst.tl.rank_domain_genes(tissue, key="label"), sparse)

    def test_counts_and_object_stay_as_they_are(self, tissue):
        before = tissue.copy()
        tst.tl.rank_domain_genes(tissue, key="label")
        assert (tissue.X != before.X).nnz == 0
        pd.testing.assert_frame_equal(tissue.obs, before.obs)

    def test_number_domains_become_names(self, tissue):
        tissue.obs["number"] = tissue.obs["label"].cat.codes + 9
        domains = tst.tl.rank_domain_genes(tissue, key="number")["domain"]
        assert domains.drop_duplicates().tolist() == ["9", "10", "11", "12"]

    def test_negative_values_need_no_normalisation(self, tissue):
        tissue.layers["z"] = tissue.X.toarray() - np.asarray(tissue.X.mean(axis=0)).ravel()
        with pytest.raises(ValueError, match=r"negative.*normalization='none'"):
            tst.tl.rank_domain_genes(tissue, key="label", layer="z")
        table = tst.tl.rank_domain_genes(tissue, key="label", layer="z", normalization="none")
        assert table["score"].notna().all()
        assert table.loc[table["gene"] != "gene6", "log_fold_change"].isna().all()

    def test_log_data_where_counts_belong(self, tissue):
        tissue.X = tissue.X.log1p()
        with pytest.warns(UserWarning, match="fractional"):
            tst.tl.rank_domain_genes(tissue, key="label")

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"key": "nope"}, KeyError, "no column 'nope'"),
            ({"key": "one"}, ValueError, r"1 domain\(s\)"),
            ({"key": "none"}, ValueError, r"0 domain\(s\)"),
            ({"layer": "nope"}, KeyError, "no layer 'nope'"),
            ({"method": "t-test"}, ValueError, r"'t-test'; choose one of wilcoxon, t, contrast"),
            ({"reference": "nope"}, ValueError, "'rest', 'pairwise' or one of 'domain 1'"),
            ({"method": "contrast"}, KeyError, r"obsm\['X_label'\]; it has 'spatial'"),
            ({"method": "contrast", "key": "few"}, ValueError, "4 spots are too few .* on 3 factors"),
            ({"normalization": "sqrt"}, ValueError, "choose one of log, linear, none"),
        ],
    )
    def test_bad_input(self, tissue, arguments, error, message):
        tissue.obs["one"] = "a"
        tissue.obs["few"] = pd.Categorical(["a", "a", "b", "b"] + [np.nan] * (tissue.n_obs - 4))
        tissue.obsm["X_few"] = np.zeros((tissue.n_obs, 3))
        tissue.obs["none"] = pd.Categorical([np.nan] * tissue.n_obs)
        with pytest.raises(error, match=message):
            tst.tl.rank_domain_genes(tissue, **{"key": "label", **arguments})


class TestSplitCounts:
    @pytest.fixture
    def counts(self):
        rng = np.random.default_rng(0)
        X = sp.random(200, 50, density=0.3, random_state=0, format="csr")
        X.data = rng.integers(1, 9, X.nnz).astype(np.float32)
        return X

    def test_parts_add_up_and_stay_sparse(self, counts):
        for fraction in (0.2, 0.5):
            train, test = thin_counts(counts, fraction)
            assert (train + test != counts).nnz == 0
            for part in (train, test):
                assert part.format == "csr"
                assert part.dtype == counts.dtype
                assert part.data.min() >= 1
                assert (part.data == np.round(part.data)).all()
            n = counts.sum()
            assert abs(train.sum() - fraction * n) < 4 * np.sqrt(n * fraction * (1 - fraction))

    def test_parts_of_poisson_counts_are_independent(self):
        X = np.random.default_rng(0).poisson(2.0, (100_000, 1))
        train, test = thin_counts(X, 0.3)
        assert abs(np.corrcoef(train.ravel(), test.ravel())[0, 1]) < 4 / np.sqrt(100_000)
        assert abs(train.var() / train.mean() - 1) < 0.03

    def test_storage_does_not_matter(self, counts):
        expected, _ = thin_counts(counts, 0.5)
        dense, _ = thin_counts(counts.toarray().astype(np.int32), 0.5)
        assert dense.dtype == np.int32
        np.testing.assert_array_equal(dense, expected.toarray())
        assert (thin_counts(counts.tocsc(), 0.5)[0] != expected).nnz == 0
        assert (thin_counts(counts, 0.5, random_state=1)[0] != expected).nnz > 0

    def test_slots(self, tissue, tmp_path):
        before = tissue.X.copy()
        made = split_counts(tissue, copy=True)
        assert not tissue.layers
        assert split_counts(tissue, random_state=0) is None
        assert (before != tissue.X).nnz == 0
        assert (tissue.layers["counts_train"] + tissue.layers["counts_test"] != before).nnz == 0
        assert (made.layers["counts_test"] != tissue.layers["counts_test"]).nnz == 0
        split_counts(tissue, key_added="other", fraction=0.8, random_state=3)
        tissue.write_h5ad(tmp_path / "tissue.h5ad")
        splits = ad.read_h5ad(tmp_path / "tissue.h5ad").uns["count_splits"]
        assert splits["counts"]["train"] == "counts_train"
        assert splits["other"] == {
            "train": "other_train",
            "test": "other_test",
            "fraction": 0.8,
            "random_state": 3,
        }

    def test_bad_input(self, tissue):
        for fraction in (0, 1, -0.5, np.nan):
            with pytest.raises(ValueError, match="`fraction` must lie between"):
                split_counts(tissue, fraction=fraction)
        with pytest.raises(KeyError, match="no layer 'nope'"):
            split_counts(tissue, layer="nope")
        tissue.layers["log"] = tissue.X.log1p()
        with pytest.raises(ValueError, match=r"whole numbers.*the first: 2\.079.*raw counts"):
            split_counts(tissue, layer="log")
        assert layer_names(tissue) == ["log"]

    def test_another_split_does_not_slip_under_domains_found(self, tissue):
        split_counts(tissue)
        split_counts(tissue)
        with pytest.raises(ValueError, match="'counts_train' exists and holds other values"):
            split_counts(tissue, random_state=1)


def find_domains(adata, **options):
    """Fit quickly; whether the mixture has converged to the last digit is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        tst.tl.transst(adata, n_domains=4, n_init=3, **options)


@pytest.fixture(scope="module")
def no_domains():
    """Independent Poisson counts of equal depth, "domains" found on all of them and on half."""
    rng = np.random.default_rng(0)
    rates = rng.lognormal(np.log(3), 0.5, 60)
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(rates, (400, 60)).astype(np.float32)))
    adata.obsm["spatial"] = np.indices((20, 20)).reshape(2, -1).T.astype(float)
    split_counts(adata)
    find_domains(adata)
    find_domains(adata, layer="counts_train", key_added="half")
    return adata


class TestImputedLayers:
    @pytest.fixture
    def filled(self, tissue):
        tissue.obs["measured"] = np.arange(tissue.n_obs) % 5 != 0
        tst.tl.impute(tissue, task="fill", method="nearest")
        return tissue

    @pytest.mark.parametrize("layer", ["imputed", "imputed_sd"])
    def test_are_refused(self, filled, layer):
        message = f"`layer`: '{layer}' holds imputed values.* test on the counts, .*`allow_imputed=True`"
        with pytest.raises(ValueError, match=message):
            tst.tl.rank_domain_genes(filled, key="label", layer=layer, normalization="none")
        assert "label_markers" not in filled.uns

    def test_are_tested_if_one_insists(self, filled):
        options = {"key": "label", "normalization": "none"}
        filled.layers["same values"] = filled.layers["imputed"]
        expected = tst.tl.rank_domain_genes(filled, layer="same values", **options)
        with pytest.warns(UserWarning, match="'imputed' holds imputed values, .* rank by them only"):
            found = tst.tl.rank_domain_genes(filled, layer="imputed", allow_imputed=True, **options)
        pd.testing.assert_frame_equal(found, expected)

    def test_counts_beside_them_are_tested(self, filled):
        expected = tst.tl.rank_domain_genes(filled, key="label")
        del filled.uns["imputation"]
        found = tst.tl.rank_domain_genes(filled, key="label")
        pd.testing.assert_frame_equal(found, expected)


class TestHonestPValues:
    @pytest.mark.parametrize(("method", "normalization"), [("wilcoxon", "log"), ("t", "linear")])
    def test_without_domains(self, no_domains, method, normalization):
        options = {"method": method, "normalization": normalization}
        naive = tst.tl.rank_domain_genes(no_domains, **options)["p_value"]
        split = tst.tl.rank_domain_genes(no_domains, key="half", layer="counts_test", **options)["p_value"]
        assert (naive < 0.05).mean() > 0.1
        assert (split < 0.05).mean() < 0.08

    def test_contrast_warns_of_the_same_counts(self, no_domains):
        with pytest.warns(UserWarning, match="a contrast on the counts that the domains were found on"):
            naive = tst.tl.rank_domain_genes(no_domains, method="contrast")["p_value"]
        split = tst.tl.rank_domain_genes(no_domains, key="half", layer="counts_test", method="contrast")
        assert (naive < 0.05).mean() > 0.25
        assert (split["p_value"] < 0.05).mean() < 0.08

    def test_power_remains(self):
        adata, _ = tst.datasets.simulated_tissue(
            n_rows=25, n_cols=25, n_genes=150, smoothness=0.8, random_state=1
        )
        split_counts(adata)
        find_domains(adata, layer="counts_train")
        find_domains(adata, key_added="naive")
        for options in ({}, {"method": "t", "normalization": "linear"}, {"method": "contrast"}):
            split = tst.tl.rank_domain_genes(adata, layer="counts_test", **options)
            if options.get("method") != "contrast":  # it would warn
                naive = tst.tl.rank_domain_genes(adata, key="naive", **options)
                assert (split["p_adjusted"] < 0.05).sum() > 0.7 * (naive["p_adjusted"] < 0.05).sum()
            assert split.attrs["independent_counts"] == "yes"
            best = split.groupby("domain", observed=True).head(1)
            assert (best["p_adjusted"] < 1e-4).all()

    def test_what_the_record_says(self, no_domains):
        adata = no_domains.copy()
        adata.obs["own"] = adata.obs["transst"]
        for key, layer, expected in [
            ("half", "counts_test", "yes"),
            ("transst", None, "no"),
            ("own", None, "unknown"),
            ("own", "counts_test", "unknown"),
        ]:
            table = tst.tl.rank_domain_genes(adata, key=key, layer=layer)
            assert table.attrs["independent_counts"] == expected
            record = dict(adata.uns[f"{key}_markers_params"])
            fit = adata.uns[key]["id"] if key in adata.uns else None
            assert record.pop("fit", None) == fit
            assert record == {
                "key": key,
                "layer": layer or "X",
                "method": "wilcoxon",
                "reference": "rest",
                "normalization": "log",
                "independent_counts": expected,
            }

    @pytest.mark.parametrize(
        ("key", "layer"), [("half", "counts_train"), ("half", None), ("transst", "counts_test")]
    )
    def test_a_split_that_is_not_used(self, no_domains, key, layer):
        with pytest.warns(UserWarning, match="find them on 'counts_train' and test on 'counts_test'"):
            table = tst.tl.rank_domain_genes(no_domains, key=key, layer=layer)
        assert table.attrs["independent_counts"] == "no"
