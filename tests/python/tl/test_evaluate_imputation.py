from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grids import square_grid, visium_grid, visium_xy
from quick import TRAINING

import transst_py as tst
from transst_py.imputation.holdout import comb
from transst_py.imputation.methods import METHODS
from transst_py.imputation.scores import METRICS, compare_methods, score_genes
from transst_py.tl import _evaluate_imputation, _memory
from transst_py.tl._evaluate_imputation import _measured_spots, _predict_hidden, _Request

pytestmark = pytest.mark.usefixtures("quick_imputation")

N_GENES = 20
IMAGES = [np.random.default_rng(0).random((40, 40))]
OPTIONS = {
    "s2s": {"config": TRAINING, "natural_images": IMAGES, "device": "cpu"},
    "domain_means": {"n_domains": 3},
}


def make_tissue(index, xy=None, seed=0):
    """Counts of genes that follow two waves, on a lattice; spots of unequal depth."""
    rng = np.random.default_rng(seed)
    xy = index[:, ::-1].astype(float) if xy is None else xy
    waves = np.sin(xy / np.ptp(xy, axis=0) * 5)
    rates = np.exp(0.7 + waves @ rng.normal(size=(2, N_GENES)) / 2)
    X = rng.poisson(rates * rng.lognormal(sigma=0.3, size=(len(xy), 1))).astype(np.float32)
    X[:, 0] += 1
    obs = pd.DataFrame(index, columns=["array_row", "array_col"], index=[f"s{i}" for i in range(len(index))])
    var = pd.DataFrame(index=[f"g{j}" for j in range(N_GENES)])
    return ad.AnnData(sp.csr_matrix(X), obs=obs, var=var, obsm={"spatial": xy})


@pytest.fixture
def small():
    return make_tissue(square_grid(9, 8))


HEXAGONS = visium_grid(18, 18)
LATTICES = {
    "square": make_tissue(square_grid(18, 18)),
    "hexagonal": make_tissue(HEXAGONS, visium_xy(HEXAGONS)),
}
COMBS = {
    "square": lambda index: (index % 2 != (0, 1)).any(axis=1),
    "hexagonal": lambda index: (index[:, 0] % 2 != 0) | (((index[:, 1] - index[:, 0]) // 2) % 2 != 1),
}


def hide(adata, kind, pattern):
    """Written anew, from what the patterns are."""
    index = adata.obs[["array_row", "array_col"]].to_numpy()
    if pattern == "comb":
        return COMBS[kind](index)
    if pattern == "random":
        return np.random.default_rng(1).random(adata.n_obs) < 0.3
    centers = adata.obsm["spatial"][[40, 120, 250]]
    spacing = 1.0 if kind == "square" else 100.0
    distance = np.linalg.norm(adata.obsm["spatial"][:, None] - centers, axis=-1)
    return (distance < 2.5 * spacing).any(axis=1)


def poisoned(adata, hidden, value):
    """Another value instead of the counts of the hidden spots."""
    copy = adata.copy()
    X = copy.X.toarray()
    X[hidden] = value
    copy.X = sp.csr_matrix(X)
    return copy


class TestNoLeak:
    """Whatever the hidden spots hold, predictions are the same to the last bit."""

    @staticmethod
    def predict(adata, hidden, value, methods):
        """Predictions at the hidden spots, which hold some value; the places are from untouched data."""
        request = _Request(methods, OPTIONS, np.arange(2, N_GENES), 0)
        spots = _measured_spots(adata, None, "log", "spatial", None, "`phases`: a comb")
        spots = replace(spots, adata=poisoned(adata, hidden, value))
        return {found.method: found for found in _predict_hidden(spots, hidden, request)}

    @pytest.mark.parametrize(
        ("kind", "pattern"),
        [("square", "comb"), ("square", "random"), ("square", "holes"), ("hexagonal", "comb")],
    )
    def test_evaluation(self, kind, pattern):
        adata = LATTICES[kind]
        hidden = hide(adata, kind, pattern)
        methods = ("bilinear", "svd_gp", "s2s") if kind == "hexagonal" else (*METHODS, "auto")
        expected = self.predict(adata, hidden, 0, methods)
        found = self.predict(adata, hidden, np.nan, methods)
        assert list(found) == list(expected) == list(methods)
        for method in methods:
            (a,), (b,) = expected[method].predicted, found[method].predicted
            assert a.shape == (hidden.sum(), N_GENES - 2)
            np.testing.assert_array_equal(a, b, err_msg=method)
            assert np.isfinite(b).all()
            assert found[method].chosen == expected[method].chosen
        # The test can fail: the network has a part in its predictions.
        assert not np.array_equal(expected["s2s"].predicted[0], expected["svd_gp"].predicted[0])

    @pytest.mark.parametrize("sparse", [True, False])
    def test_the_whole_function(self, small, monkeypatch, sparse):
        """Huge counts at the hidden spots reach the truth, but no prediction."""
        seen = []

        def spy(truth, predicted, hidden, **options):
            seen.append((truth, predicted, hidden))
            return score_genes(truth, predicted, hidden, **options)

        monkeypatch.setattr(_evaluate_imputation, "score_genes", spy)
        hidden = comb(square_grid(9, 8), "square", phase=(1, 0))
        options = {"methods": ["kernel", "gp", "svd_gp", "auto"], "phases": [(1, 0)]}
        for adata in (small, poisoned(small, hidden, 1e5)):
            if not sparse:
                adata.X = adata.X.toarray()
            tst.tl.evaluate_imputation(adata, **options)
        assert len(seen) == 8
        for (x, y, where), (changed, z, _) in zip(seen[:4], seen[4:], strict=True):
            np.testing.assert_array_equal(where, hidden)
            np.testing.assert_array_equal(y, z)
            np.testing.assert_array_equal(x[~hidden], changed[~hidden])
            assert np.abs(x[hidden] - changed[hidden]).max() > 0.1

    @pytest.mark.parametrize("pattern", ["comb", "random", "holes"])
    def test_fill(self, pattern):
        adata = LATTICES["square"]
        hidden = hide(adata, "square", pattern)
        for method in ("nearest", "bicubic", "s2s", "auto"):
            options = {
                "auto": {"candidates": ["kernel", "svd_gp", "bilinear", "domain_means"], "n_domains": 3},
                "s2s": {"natural_images": IMAGES},
            }.get(method, {})
            filled = []
            for value in (0, np.nan):
                copy = poisoned(adata, hidden, value)
                copy.obs["measured"] = ~hidden
                tst.tl.impute(copy, task="fill", method=method, **options)
                filled.append(copy)
            for layer in ("imputed", "imputed_sd"):
                a, b = (copy.layers[layer].toarray() for copy in filled)
                np.testing.assert_array_equal(a, b, err_msg=method)
                assert np.isfinite(b).all()
            assert filled[0].uns["imputation"]["method"] == filled[1].uns["imputation"]["method"]


class TestWhatIsScored:
    def test_predictions_are_those_of_impute(self, small, monkeypatch):
        seen = []
        monkeypatch.setattr(
            _evaluate_imputation,
            "score_genes",
            lambda truth, predicted, hidden, **options: (
                seen.append((truth, predicted, hidden)) or score_genes(truth, predicted, hidden, **options)
            ),
        )
        methods = ["nearest", "knn", "kernel", "bilinear", "gp", "svd_gp"]
        tst.tl.evaluate_imputation(small, methods=methods, phases=(), fractions=[0.3], genes=["g4", "g2"])
        assert len(seen) == len(methods)
        for method, (_, predicted, hidden) in zip(methods, seen, strict=True):
            filled = small.copy()
            filled.obs["measured"] = ~hidden
            tst.tl.impute(filled, task="fill", method=method, genes=["g4", "g2"])
            expected = filled[hidden, ["g4", "g2"]].layers["imputed"].toarray()
            np.testing.assert_array_equal(predicted, expected, err_msg=method)

    @pytest.mark.parametrize("kind", ["square", "hexagonal"])
    def test_nearest_by_hand(self, kind):
        """Truth on the scale of the shown spots, nearest spots by brute force, scores by their function."""
        adata, genes = LATTICES[kind], ["g3", "g7", "g1"]
        index = adata.obs[["array_row", "array_col"]].to_numpy()
        hidden = COMBS[kind](index)
        X = adata.X.toarray().astype(float)
        totals = X.sum(axis=1, keepdims=True)
        values = np.log1p(X / totals * np.median(totals[~hidden]))[:, [3, 7, 1]]
        xy = adata.obsm["spatial"]
        distance = np.linalg.norm(xy[hidden][:, None] - xy[~hidden], axis=-1)
        near = distance <= distance.min(axis=1, keepdims=True) + 1e-9
        predicted = values[~hidden][near.argmax(axis=1)]  # the first of several, rows come first
        expected = score_genes(values, predicted, hidden, genes=genes, index=index, kind=kind)
        table = tst.tl.evaluate_imputation(adata, methods=["nearest"], phases=[(0, 1)], genes=genes)
        assert (table["phase"] == "comb 0,1").all()
        found = table.set_index("gene")[expected.columns]
        # Spearman: values that are equal on paper may differ by rounding, here or there.
        pd.testing.assert_frame_equal(found, expected, rtol=5e-3, atol=1e-5)

    def test_not_normalised(self, small):
        small.layers["log"] = small.X.log1p()
        table = tst.tl.evaluate_imputation(
            small, methods=["nearest"], phases=[(0, 0)], layer="log", normalization="none"
        )
        hidden = comb(square_grid(9, 8), "square")
        values = small.layers["log"].toarray()
        small.obs["measured"] = ~hidden
        tst.tl.impute(small, task="fill", method="nearest", layer="log", normalization="none")
        error = small.layers["imputed"].toarray()[hidden] - values[hidden]
        np.testing.assert_allclose(table["rmse"], np.sqrt((error**2).mean(axis=0)), rtol=1e-5)

    def test_unmeasured_spots_have_no_part(self, small):
        options = {"methods": ["kernel"], "phases": [(0, 0)], "fractions": [0.2]}
        keep = np.arange(small.n_obs) % 7 != 3
        expected = tst.tl.evaluate_imputation(small[keep].copy(), **options)
        small.obs["measured"] = keep
        found = tst.tl.evaluate_imputation(poisoned(small, ~keep, np.nan), **options)
        pd.testing.assert_frame_equal(found.drop(columns="seconds"), expected.drop(columns="seconds"))

    def test_better_methods_get_better_scores(self):
        table = tst.tl.evaluate_imputation(LATTICES["square"], methods=["nearest", "svd_gp"])
        for metric in ("pcc", "rmse"):
            row = compare_methods(table, metric=metric, reference="svd_gp").loc["nearest"]
            assert row["share_reference_better"] > 0.9
            assert row["n_genes"] == N_GENES


class TestTable:
    def test_layout(self, small):
        before = small.copy()
        table = tst.tl.evaluate_imputation(
            small,
            methods=["nearest", "kernel"],
            fractions=[0.1, 0.255],
            hole_fractions=[0.3],
            genes=["g1", "g0"],
        )
        assert list(table) == ["method", "phase", "gene", "n", *METRICS, "seconds"]
        phases = ["comb 0,0", "comb 0,1", "comb 1,0", "comb 1,1", "random 10%", "random 25.5%", "holes 30%"]
        keys = pd.MultiIndex.from_product([phases, ["nearest", "kernel"], ["g1", "g0"]])
        assert list(table[["phase", "method", "gene"]].itertuples(index=False, name=None)) == list(keys)
        n = table.drop_duplicates("phase").set_index("phase")["n"]
        assert n.tolist()[:6] == [72 - 20, 72 - 20, 72 - 16, 72 - 16, 7, 18]
        assert 12 < n["holes 30%"] < 30
        assert (table.groupby(["method", "phase"])["seconds"].nunique() == 1).all()
        assert table.attrs["parameters"]["chosen"] == {}
        assert list(small.uns) == list(before.uns)
        assert (small.X != before.X).nnz == 0
        pd.testing.assert_frame_equal(small.obs, before.obs)

    def test_auto_is_the_method_that_it_chose(self, small):
        auto = tst.tl.evaluate_imputation(small, methods=["auto"], phases=[(0, 0), (1, 0)])
        chosen = auto.attrs["parameters"]["chosen"]
        assert list(chosen) == ["comb 0,0", "comb 1,0"]
        for phase, method in chosen.items():
            table = tst.tl.evaluate_imputation(small, methods=[method], phases=[(int(phase[5]), 0)])
            found = auto[auto["phase"] == phase].reset_index(drop=True)
            apart = ["method", "seconds"]
            pd.testing.assert_frame_equal(found.drop(columns=apart), table.drop(columns=apart))
            assert (found["method"] == "auto").all()

    def test_seed(self, small):
        def hidden_scores(seed):
            table = tst.tl.evaluate_imputation(
                small,
                methods=["nearest"],
                phases=(),
                fractions=[0.3],
                hole_fractions=[0.3],
                random_state=seed,
            )
            return table["mae"].to_numpy()

        np.testing.assert_array_equal(hidden_scores(0), hidden_scores(0))
        assert (hidden_scores(0) != hidden_scores(1)).mean() > 0.8

    def test_options_reach_the_methods(self, small):
        errors = [
            tst.tl.evaluate_imputation(
                small,
                methods=["domain_means"],
                phases=(),
                fractions=[0.1],
                options={"domain_means": {"n_domains": k}},
            )
            for k in (2, 4)
        ]
        assert (errors[0]["mae"] != errors[1]["mae"]).mean() > 0.8
        assert errors[1].attrs["parameters"]["options"] == {"domain_means": {"n_domains": "4"}}

    def test_options_of_what_auto_may_take_and_no_options(self, small):
        hidden = {"phases": (), "fractions": [0.2]}
        for method, options in (("auto", {"domain_means": {"n_domains": 2}}), ("nearest", {"s2s": {}})):
            tst.tl.evaluate_imputation(small, methods=[method], options=options, **hidden)

    def test_off_a_lattice(self, small):
        del small.obs["array_row"]
        small.obsm["spatial"] += np.random.default_rng(0).random((72, 2))
        table = tst.tl.evaluate_imputation(small, methods=["kernel", "auto"], phases=(), fractions=[0.2])
        assert table[["ssim", "moran_difference"]].isna().all(axis=None)
        assert table[["pcc", "rmse"]].notna().all(axis=None)

    def test_samples(self, small):
        """Each is hidden and scored by itself; what needs no learning is what it is for one sample."""
        other = make_tissue(square_grid(8, 8), seed=3)
        both = ad.concat({"b": small, "a": other}, label="slice", index_unique="-")
        table = tst.tl.evaluate_imputation(both, methods=["kernel", "svd_gp"], sample_key="slice")
        assert list(table)[:4] == ["method", "phase", "sample", "gene"]
        assert table["sample"].unique().tolist() == ["a", "b"]
        n = table.groupby(["sample", "phase"])["n"].agg(["min", "max"])
        assert n["min"].tolist() == n["max"].tolist() == [48] * 4 + [52, 52, 56, 56]
        compare_methods(table[table["sample"] == "b"], metric="pcc", reference="kernel")
        with pytest.raises(ValueError, match="compare one tissue at a time"):
            compare_methods(table, metric="pcc", reference="kernel")

    def test_progress(self, small, capsys):
        options = {"methods": ["nearest"], "genes": ["g1"]}
        tst.tl.evaluate_imputation(small, **options)
        assert capsys.readouterr().err == ""
        tst.tl.evaluate_imputation(small, verbose=True, **options)
        assert "4/4" in capsys.readouterr().err


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"methods": "gp"}, ValueError, "`methods` must be a list"),
            ({"methods": []}, ValueError, "`methods` must be a list"),
            ({"methods": ["gp", "gp"]}, ValueError, "none of them twice"),
            ({"methods": ["gp", "magic"]}, ValueError, "`methods`: unknown value 'magic'"),
            (
                {"methods": ["s2s"]},
                ValueError,
                "'s2s' cannot impute 'comb 0,0': too few spots or genes are left, 20",
            ),
            ({"phases": "some"}, ValueError, "`phases`: unknown value 'some'; choose one of all"),
            ({"phases": [(0, 2)]}, ValueError, r"pairs of whole numbers from 0 to 1, got \(0, 2\)"),
            ({"phases": (0, 1)}, ValueError, "pairs of whole numbers from 0 to 1, got 0"),
            ({"phases": [(0, 1), (0, 1)]}, ValueError, "'comb 0,1' is asked for twice"),
            ({"phases": ()}, ValueError, "nothing to hide"),
            ({"stride": 1}, ValueError, "`stride` must be at least 2"),
            ({"fractions": [0.1, 0.1]}, ValueError, "'random 10%' is asked for twice"),
            ({"fractions": [0.2, 1.5]}, ValueError, "`fractions` must lie between 0 and 1, .* got 1.5"),
            ({"hole_fractions": [np.nan]}, ValueError, "`hole_fractions` must lie between 0 and 1"),
            ({"fractions": 0.2}, TypeError, "`fractions` must be a list of numbers .* got 0.2"),
            ({"hole_fractions": ["0.2"]}, TypeError, "`hole_fractions` must be a list of numbers"),
            ({"fractions": [0.001]}, ValueError, "^`fractions`: a fraction of 0.001 hides none of the 72"),
            (
                {"hole_fractions": [0.1], "hole_radius": 30},
                ValueError,
                "^`hole_fractions`: a fraction of 0.1 in holes of radius 30 hides none",
            ),
            ({"stride": 9, "phases": [(8, 8)]}, ValueError, "^`phases`: a stride of 9 .* hides all"),
            ({"hole_radius": -1}, ValueError, "`hole_radius` must be positive and finite, got -1"),
            ({"hole_radius": "2"}, TypeError, "`hole_radius` must be a number, got '2'"),
            ({"genes": "g1"}, TypeError, "`genes` must be a list"),
            ({"genes": ["nope"]}, KeyError, "adata has no 'nope'"),
            ({"layer": "nope"}, KeyError, "no layer 'nope'"),
            ({"normalization": "sqrt"}, ValueError, "`normalization`: unknown value"),
            ({"spatial_key": "nope"}, KeyError, "no coordinates"),
            ({"sample_key": "nope"}, KeyError, "no column 'nope'"),
            ({"random_state": -1}, ValueError, "`random_state` must be at least 0"),
            ({"options": {"kernel": {"width": 2}}}, ValueError, "`options` are for .* got some for 'kernel'"),
            ({"methods": ["s2s"], "options": {"s2s": {"speed": 2}}}, TypeError, "'speed'"),
            ({"options": {"s2s": {"random_state": 2}}}, ValueError, "cannot have 'random_state' here"),
            ({"options": {"s2s": {"checkpoint": "x"}}}, ValueError, "cannot have 'checkpoint' here"),
            (
                {"methods": ["gp", "knn"], "options": {"s2s": {"preset": "medium"}}},
                ValueError,
                "`options`: 'preset' is an option of 's2s' and would change nothing here, as `methods` are "
                "'gp', 'knn'; leave it out, or ask for 's2s'",
            ),
        ],
    )
    def test_is_refused_before_any_work(self, small, monkeypatch, options, error, message):
        monkeypatch.setattr(_evaluate_imputation, "_predict_hidden", None)
        with pytest.raises(error, match=message):
            tst.tl.evaluate_imputation(small, **({"methods": ["nearest"]} | options))

    def test_scattered_spots(self):
        cores = make_tissue(np.concatenate([square_grid(6, 6), square_grid(6, 6) + 60]))
        options = {"phases": (), "fractions": [0.1]}
        with pytest.raises(ValueError, match=r"'bilinear' cannot impute 'random 10%': .* too scattered"):
            tst.tl.evaluate_imputation(cores, methods=["gp", "bilinear"], **options)

    def test_errors_name_the_sample(self, small):
        small.obs["slice"] = np.where(np.arange(72) < 56, "a", "b")
        with pytest.raises(ValueError, match=r"^`fractions` in sample 'b': a fraction of 0\.03 hides none"):
            tst.tl.evaluate_imputation(
                small, methods=["nearest"], phases=(), fractions=[0.03], sample_key="slice"
            )

    def test_genes_of_one_name(self, small):
        small.var_names = ["g1", *small.var_names[1:]]
        with pytest.raises(ValueError, match=r"duplicated gene names .*'g1'"):
            tst.tl.evaluate_imputation(small, methods=["nearest"], genes=["g1", "g2"])

    def test_lattice_is_needed(self, small):
        small.obs = small.obs[[]]
        small.obsm["spatial"] += np.random.default_rng(0).random((72, 2))
        with pytest.raises(
            ValueError, match="`phases`: a comb needs a lattice: there are no lattice columns"
        ):
            tst.tl.evaluate_imputation(small, methods=["nearest"])
        with pytest.raises(ValueError, match="`methods`: 'bilinear' needs a lattice: there are no"):
            tst.tl.evaluate_imputation(small, methods=["gp", "bilinear"], phases=(), fractions=[0.1])

    def test_useless_lattice_columns(self, small):
        small.obs["array_row"] = 0.5
        with pytest.warns(UserWarning, match="so there are no `ssim` .* whole numbers") as caught:
            table = tst.tl.evaluate_imputation(small, methods=["nearest"], phases=(), fractions=[0.1])
        assert table["ssim"].isna().all()
        assert caught[0].filename == __file__

    def test_values(self, small, monkeypatch):
        small.X[3, 2] = -1
        with pytest.raises(ValueError, match="negative expression values"):
            tst.tl.evaluate_imputation(small, methods=["nearest"])
        small.X[3, 2] = np.nan
        small.obs["measured"] = True
        with pytest.raises(ValueError, match="missing or infinite"):
            tst.tl.evaluate_imputation(small, methods=["nearest"])
        monkeypatch.setattr(_memory, "MAX_BYTES", 12 * 72 * 5)
        small.X[3, 2] = 1
        with pytest.raises(ValueError, match=r"72 spots x 20 genes .* at most 5 genes with `genes`"):
            tst.tl.evaluate_imputation(small, methods=["nearest"])
