import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

import transst_py as tst
from transst_py import markers

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


def plain_test(X, groups, k):
    """Gene by gene p-values, and the sign of the effect, by scipy."""
    p_values, signs = [], []
    for x in X.T:
        inside, outside = x[groups == k], x[groups != k]
        result = stats.mannwhitneyu(inside, outside, method="asymptotic")
        p_values.append(1.0 if np.isnan(result.pvalue) else result.pvalue)
        signs.append(np.sign(result.statistic - inside.size * outside.size / 2))
    return np.array(p_values), np.array(signs)


@pytest.mark.parametrize("block", [1, 40, 10**6])
def test_rank_sums_agree_with_scipy(hard_cases, monkeypatch, block):
    monkeypatch.setattr(markers, "MAX_BLOCK_VALUES", block)
    X, groups = hard_cases
    stored = sp.csc_matrix(X)
    before = stored.copy()
    scores, p_values = markers.rank_sum_test(stored, groups, 4)
    for k in range(4):
        expected, signs = plain_test(X, groups, k)
        np.testing.assert_allclose(p_values[k], expected, rtol=1e-10)
        clear = p_values[k] < 1
        np.testing.assert_array_equal(np.sign(scores[k])[clear], signs[clear])
    np.testing.assert_array_equal(stored.data, before.data)


def test_constant_genes_give_no_evidence(hard_cases):
    X, groups = hard_cases
    scores, p_values = markers.rank_sum_test(sp.csc_matrix(X), groups, 4)
    assert (scores[:, :3] == 0).all()
    assert (p_values[:, :3] == 1).all()


def test_stored_zeros_do_not_count_as_values(hard_cases):
    X, groups = hard_cases
    rows, cols = np.indices(X.shape).reshape(2, -1)
    explicit = sp.csc_matrix((X.ravel(), (rows, cols)), shape=X.shape)
    assert explicit.nnz > np.count_nonzero(X)
    for found, expected in zip(
        markers.rank_sum_test(explicit, groups, 4),
        markers.rank_sum_test(sp.csc_matrix(X), groups, 4),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_nothing_stored_at_all():
    scores, p_values = markers.rank_sum_test(sp.csc_matrix((4, 3)), np.array([0, 0, 1, 1]), 2)
    assert (scores == 0).all()
    assert (p_values == 1).all()


def test_fold_changes_and_fractions_follow_their_formulas(hard_cases):
    X, groups = hard_cases
    X = np.abs(X)
    stored = sp.csc_matrix(X)
    changes = markers.log_fold_changes(stored, groups, 4)
    inside, outside = markers.detection_fractions(stored, groups, 4)
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
            ({"method": "t-test"}, ValueError, "'t-test'; choose one of wilcoxon"),
            ({"normalization": "sqrt"}, ValueError, "choose one of log, none"),
        ],
    )
    def test_bad_input(self, tissue, arguments, error, message):
        tissue.obs["one"] = "a"
        tissue.obs["none"] = pd.Categorical([np.nan] * tissue.n_obs)
        with pytest.raises(error, match=message):
            tst.tl.rank_domain_genes(tissue, **{"key": "label", **arguments})
