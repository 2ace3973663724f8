import os
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grids import make_tissue, square_grid, visium_grid, visium_xy
from scipy.spatial.distance import cdist

import transst_py as tst
from transst_py._core.optional import has_torch
from transst_py.imputation.methods import LATTICE_METHODS, METHODS
from transst_py.imputation.smoothing import Smoother
from transst_py.tl import _memory
from transst_py.tl._gate import layer_names

pytestmark = pytest.mark.usefixtures("quick_imputation")

real_data = pytest.mark.skipif(
    not os.environ.get("TRANSST_DATA_DIR"), reason="set TRANSST_DATA_DIR to the folder with the her2st files"
)
# "s2s" trains a network, and has tests of its own.
QUICK = [name for name in METHODS if name != "s2s"]
ANYWHERE = [name for name in METHODS if name not in LATTICE_METHODS]
GRIDS = {"square": square_grid(7, 6), "visium": visium_grid(7, 6)}
# Options of the methods that have any.
OWN = {"domain_means": {"n_domains": 2}}
DETAILS = {
    "nearest": set(),
    "knn": {"width"},
    "kernel": {"width"},
    "bilinear": set(),
    "bicubic": set(),
    "gp": {"correlation", "length_scale", "noise_ratio"},
    "svd_gp": {"n_factors", "correlation", "length_scale", "noise_ratio"},
    "kriging": {"own_share", "n_factors", "correlation", "length_scale", "noise_ratio"},
    "domain_means": {"n_domains"},
}


def log_values(adata, rows=slice(None)):
    """The definition of the scale, written out densely."""
    X = adata.X.toarray().astype(float)
    totals = X.sum(axis=1, keepdims=True)
    target = np.median(totals[rows])
    return np.log1p(np.divide(X * target, totals, out=np.zeros_like(X), where=totals > 0))


def with_holes(grid, *, holes=(10, 24, 25), seed=0):
    adata = make_tissue(grid, xy=visium_xy(grid), seed=seed)
    adata.obs["measured"] = ~np.isin(np.arange(len(grid)), holes)
    return adata


def with_pattern(adata, *, step=1.0, seed=0):
    """Counts whose genes have two levels, left and right, and rise along the section."""
    rng = np.random.default_rng(seed)
    x, y = (adata.obsm["spatial"] / np.ptp(adata.obsm["spatial"], axis=0)).T
    levels, slope = rng.choice([-step, step], adata.n_vars), rng.normal(size=adata.n_vars)
    rate = 30 * np.exp(np.outer(x > 0.5, levels) + 0.5 * np.outer(y, slope))
    adata.X = sp.csr_matrix(rng.poisson(rate).astype(np.float32))
    return adata


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("method", QUICK)
class TestEveryMethod:
    def test_fill(self, grid, method, tmp_path):
        adata = with_pattern(with_holes(grid))
        tst.tl.impute(adata, task="fill", method=method, **OWN.get(method, {}))
        measured = adata.obs["measured"].to_numpy()
        imputed, sd = (adata.layers[name].toarray() for name in ("imputed", "imputed_sd"))
        np.testing.assert_allclose(imputed[measured], log_values(adata, measured)[measured], rtol=1e-5)
        assert np.isfinite(imputed).all()
        assert (imputed[~measured].sum(axis=1) > 0).all()
        assert (sd[measured] == 0).all()
        assert np.isfinite(sd).all()
        assert (sd[~measured] > 0).all()
        record = adata.uns["imputation"]
        assert (record["task"], record["method"]) == ("fill", method)
        assert set(record["details"]) == DETAILS[method]
        for name in ("width", "length_scale", "noise_ratio"):
            if name in record["details"] and method not in ("svd_gp", "kriging"):
                assert len(record["details"][name]) == adata.n_vars
        assert record["candidates"]["method"].tolist() == [method]
        assert record["layers"].tolist() == ["imputed", "imputed_sd"]
        adata.write_h5ad(tmp_path / "filled.h5ad")
        read = ad.read_h5ad(tmp_path / "filled.h5ad")
        np.testing.assert_array_equal(read.layers["imputed_sd"].toarray(), sd)
        assert set(read.uns["imputation"].get("details", {})) == DETAILS[method]

    def test_densify(self, grid, method):
        adata = with_pattern(make_tissue(grid, xy=visium_xy(grid)))
        dense = tst.tl.impute(adata, method=method, **OWN.get(method, {}))
        n = adata.n_obs
        assert dense.n_obs > 3 * n
        np.testing.assert_allclose(dense.layers["imputed"][:n], log_values(adata), rtol=1e-5)
        for name in ("imputed", "imputed_sd"):
            assert dense.layers[name].dtype == np.float32
            assert np.isfinite(dense.layers[name]).all()
        assert (dense.layers["imputed_sd"][:n] == 0).all()
        assert (dense.layers["imputed_sd"][n:] > 0).all()


@pytest.mark.parametrize("method", QUICK)
class TestWhatMayNotMatter:
    def test_content_of_spots_that_are_not_measured(self, method):
        clean = with_pattern(with_holes(GRIDS["square"]))
        clean.obs["label"] = clean.obs["array_col"].to_numpy() // 4
        poisoned = clean.copy()
        X = poisoned.X.toarray()
        X[~clean.obs["measured"].to_numpy()] = np.nan
        poisoned.X = X
        # Nor do labels, which may have been found with these spots.
        poisoned.obs["label"] = 0
        # Domains take longest, and are found from the same spots for either task.
        for task in ("fill",) if method == "domain_means" else ("fill", "densify"):
            found = [
                tst.tl.impute(adata, task=task, method=method, **OWN.get(method, {}))
                for adata in (clean, poisoned)
            ]
            one, other = (clean, poisoned) if task == "fill" else found
            assert one.obs_names.tolist() == other.obs_names.tolist()
            for name in ("imputed", "imputed_sd"):
                values, expected = (sp.csr_matrix(a.layers[name]).toarray() for a in (other, one))
                np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)

    def test_which_genes_are_asked_for(self, method):
        adata = with_pattern(with_holes(GRIDS["square"]))
        some, every = adata.copy(), adata.copy()
        own = OWN.get(method, {})
        tst.tl.impute(every, task="fill", method=method, **own)
        tst.tl.impute(some, task="fill", method=method, genes=["g4", "g1"], **own)
        hidden = ~adata.obs["measured"].to_numpy()
        # The calibration of a gene leans on that of the others that are asked for.
        for name, tolerance in {"imputed": 1e-4, "imputed_sd": 0.3}.items():
            values, expected = (a.layers[name].toarray() for a in (some, every))
            np.testing.assert_allclose(values[:, [1, 4]], expected[:, [1, 4]], rtol=tolerance, atol=1e-6)
            assert np.isnan(values[hidden][:, [0, 2, 3, 5]]).all()
            assert np.isfinite(values[~hidden]).all()
        assert some.uns["imputation"]["genes"].tolist() == ["g4", "g1"]


class TestAuto:
    def test_takes_the_candidate_with_the_lowest_error(self):
        adata = with_pattern(with_holes(square_grid(9, 10)))
        tst.tl.impute(adata, task="fill", candidates=["nearest", "gp", "bilinear", "kernel"])
        record = adata.uns["imputation"]
        table = record["candidates"].set_index("method")
        assert table.index.tolist() == ["nearest", "gp", "bilinear", "kernel"]
        assert record["method"] == table["relative_error"].idxmin() != "nearest"
        assert (table["n_spots"] == round(0.15 * 87)).all()
        assert table["n_best"].sum() == adata.n_vars
        alone = adata.copy()
        tst.tl.impute(alone, task="fill", method=record["method"])
        for name in ("imputed", "imputed_sd"):
            np.testing.assert_array_equal(alone.layers[name].toarray(), adata.layers[name].toarray())

    def test_tries_what_the_data_allow(self):
        adata = with_holes(square_grid(7, 7))
        tst.tl.impute(adata, task="fill")
        tried = adata.uns["imputation"]["candidates"]["method"].tolist()
        assert tried == [
            "nearest",
            "knn",
            "kernel",
            "bilinear",
            "bicubic",
            "gp",
            "svd_gp",
            "kriging",
            "domain_means",
        ]
        for columns in ([], ["array_row"]):
            bare = adata.copy()
            bare.obs = bare.obs[["measured", *columns]]
            tst.tl.impute(bare, task="fill")
            tried = bare.uns["imputation"]["candidates"]["method"].tolist()
            assert tried == ["nearest", "knn", "kernel", "gp", "svd_gp", "kriging", "domain_means"]

    @pytest.mark.parametrize("broken", [{"array_row": 0}, {"array_row": 0.5}, {"array_col": "x"}])
    def test_broken_lattice_columns_leave_methods_out_with_a_warning(self, broken):
        adata = with_holes(square_grid(6, 7))
        adata.obs = adata.obs.assign(**broken)
        with pytest.warns(UserWarning, match="methods that need a lattice are left out") as caught:
            tst.tl.impute(adata, task="fill")
        assert caught[0].filename == __file__
        assert not set(adata.uns["imputation"]["candidates"]["method"]) & set(LATTICE_METHODS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tst.tl.impute(adata, task="fill", candidates=["gp", "kernel"])
        with pytest.raises(ValueError, match="bilinear needs a lattice"):
            tst.tl.impute(adata, task="fill", candidates=["gp", "bilinear"])

    def test_cores_far_apart_go_without_interpolation(self):
        grid = visium_grid(78, 64)
        xy = visium_xy(grid)
        cores = [np.linalg.norm(xy - at, axis=1).argsort()[:11] for at in ((500, 6000), (6000, 500))]
        grid = grid[np.concatenate(cores)]
        adata = make_tissue(grid, xy=visium_xy(grid))
        tst.tl.impute(adata[np.arange(22) != 3].copy())
        adata.obs["measured"] = np.arange(22) % 11 != 3
        tst.tl.impute(adata, task="fill")
        tried = adata.uns["imputation"]["candidates"]["method"].tolist()
        assert tried == ["nearest", "knn", "kernel", "gp", "svd_gp", "kriging"]

    def test_seed_decides_what_is_held_out(self):
        adata = with_holes(square_grid(6, 7))
        tables = []
        for seed in (0, 0, 1):
            tst.tl.impute(adata, task="fill", candidates=["nearest", "kernel"], random_state=seed)
            tables.append(adata.uns["imputation"]["candidates"]["relative_error"].tolist())
            assert adata.uns["imputation"]["random_state"] == seed
        assert tables[0] == tables[1] != tables[2]


class TestUncertainty:
    @pytest.mark.parametrize("method", ["kernel", "bilinear", "gp", "svd_gp"])
    def test_is_the_size_of_the_errors(self, method):
        adata = with_pattern(make_tissue(square_grid(14, 15), n_genes=12), step=0.2)
        adata.obs["measured"] = np.random.default_rng(1).random(adata.n_obs) > 0.25
        measured = adata.obs["measured"].to_numpy()
        tst.tl.impute(adata, task="fill", method=method)
        truth = log_values(adata, measured)[~measured]
        error = adata.layers["imputed"].toarray()[~measured] - truth
        sd = adata.layers["imputed_sd"].toarray()[~measured]
        assert 0.8 < np.sqrt((error**2).mean() / (sd**2).mean()) < 1.25

    def test_two_measured_spots_leave_it_unknown(self):
        adata = make_tissue(square_grid(2, 2))
        adata.obs["measured"] = [True, False, False, True]
        tst.tl.impute(adata, task="fill", candidates=["kernel", "nearest"])
        hidden = ~adata.obs["measured"].to_numpy()
        assert np.isfinite(adata.layers["imputed"].toarray()).all()
        assert np.isnan(adata.layers["imputed_sd"].toarray()[hidden]).all()
        # "auto" finds something that works.
        del adata.obs["array_row"], adata.obs["array_col"]
        tst.tl.impute(adata, task="fill")
        assert adata.uns["imputation"]["candidates"]["method"].tolist() == ["nearest", "knn", "kernel"]


class TestS2S:
    @pytest.mark.needs_torch
    def test_is_one_of_the_methods(self):
        adata = with_holes(square_grid(9, 9))
        tst.tl.impute(adata, task="fill", method="s2s", device="cpu")
        hidden = ~adata.obs["measured"].to_numpy()
        assert np.isfinite(adata.layers["imputed"].toarray()).all()
        assert (adata.layers["imputed_sd"].toarray()[hidden] > 0).all()
        record = adata.uns["imputation"]
        assert (record["method"], record["details"]["start"]) == ("s2s", "kriging")


class TestDensify:
    @pytest.mark.parametrize("grid", [square_grid(6, 7), visium_grid(6, 5)], ids=["square", "visium"])
    def test_slots(self, grid, tmp_path):
        adata = make_tissue(grid, xy=visium_xy(grid))
        before = adata.copy()
        dense = tst.tl.impute(adata)
        n = adata.n_obs
        assert dense.X is None
        assert dense.n_obs > 3 * n
        assert dense.obs_names[:n].tolist() == adata.obs_names.tolist()
        assert dense.obs["measured"].tolist() == [True] * n + [False] * (dense.n_obs - n)
        assert dense.obs["in_tissue"].all()
        assert (dense.obs[["array_row", "array_col"]][:n].to_numpy() == 2 * grid).all()
        np.testing.assert_array_equal(dense.obsm["spatial"][:n], adata.obsm["spatial"])
        fine = dense.obs[["array_row", "array_col"]].to_numpy()
        np.testing.assert_allclose(dense.obsm["spatial"], visium_xy(fine / 2), atol=1e-8)
        pd.testing.assert_frame_equal(dense.var, adata.var)
        np.testing.assert_allclose(dense.layers["imputed"][:n], log_values(adata), rtol=1e-5)
        record = dense.uns["imputation"]
        assert record["scale"] == "log(1 + counts * target_sum / total)"
        assert record["target_sum"] == np.median(adata.X.toarray().sum(axis=1))
        assert record["method"] in record["candidates"]["method"].tolist()
        assert record["genes"].tolist() == adata.var_names.tolist()
        dense.write_h5ad(tmp_path / "dense.h5ad")
        read = ad.read_h5ad(tmp_path / "dense.h5ad")
        np.testing.assert_array_equal(read.layers["imputed_sd"], dense.layers["imputed_sd"])
        pd.testing.assert_frame_equal(
            read.uns["imputation"]["candidates"], record["candidates"], check_index_type=False
        )
        assert (adata.X != before.X).nnz == 0
        assert layer_names(adata) == []
        assert len(adata.uns) == 0

    @pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
    def test_every_value_is_at_its_site(self, grid):
        """With a value of its own for every spot, it shows which one a site got it from."""
        adata = make_tissue(grid, xy=visium_xy(grid), n_genes=2)
        adata.X = np.column_stack([np.arange(len(grid)), 1 + np.arange(len(grid))]).astype(np.float32)
        adata = adata[np.random.default_rng(0).permutation(len(grid))].copy()
        dense = tst.tl.impute(adata, method="nearest", normalization="none")
        imputed, number = dense.layers["imputed"], adata.X[:, 0].argsort()
        spot = number[imputed[:, 0].astype(int)]
        np.testing.assert_array_equal(imputed, adata.X[spot])
        distance = cdist(dense.obsm["spatial"], adata.obsm["spatial"])
        np.testing.assert_allclose(distance[np.arange(len(spot)), spot], distance.min(axis=1), atol=1e-6)

    def test_order_of_spots_does_not_matter(self):
        """But for which spots are held out, so only to the imputed values."""
        adata = make_tissue(square_grid(6, 7))
        shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
        for method in ("nearest", "knn", "kernel", "bilinear", "bicubic", "gp"):
            one, other = (tst.tl.impute(a, method=method) for a in (adata, shuffled))
            assert set(one.obs_names) == set(other.obs_names)
            np.testing.assert_allclose(
                one.layers["imputed"], other[one.obs_names].layers["imputed"], rtol=1e-4
            )

    def test_densify_of_a_comb_lands_on_the_full_lattice(self):
        """Every second row and column measured: the new sites are the ones left out."""
        full = make_tissue(square_grid(9, 11) + np.array([3, 5]), n_genes=3)
        comb = full[(full.obs["array_row"] % 2 == 1) & (full.obs["array_col"] % 2 == 1)].copy()
        dense = tst.tl.impute(comb)
        made_of = dense.uns["imputation"]["lattice"]
        fine = dense.obs[["array_row", "array_col"]].to_numpy()
        back = made_of["origin"] + made_of["step"] * fine / 2
        expected = {tuple(i) for i in full.obs[["array_row", "array_col"]].to_numpy()}
        assert {tuple(i) for i in back.astype(int)} == expected
        np.testing.assert_allclose(dense.obsm["spatial"], back[:, ::-1], atol=1e-9)

    @pytest.mark.parametrize("method", ["kernel", "svd_gp"])
    def test_genes(self, method):
        adata = make_tissue(square_grid(5, 5))
        dense = tst.tl.impute(adata, method=method, genes=["g4", "g1"])
        assert dense.var_names.tolist() == ["g4", "g1"]
        np.testing.assert_allclose(dense.layers["imputed"][:25], log_values(adata)[:, [4, 1]], rtol=1e-5)
        whole = tst.tl.impute(adata, method=method)[:, ["g4", "g1"]]
        for name, tolerance in {"imputed": 1e-4, "imputed_sd": 0.3}.items():
            np.testing.assert_allclose(dense.layers[name], whole.layers[name], rtol=tolerance, atol=1e-6)

    def test_strips_far_from_each_other(self):
        """Sites lie within the strips; what is between them is no lattice of its own."""
        grid = square_grid(8, 9)
        adata = make_tissue(grid[np.isin(grid[:, 0], [0, 3, 7])])
        for method in ("bilinear", "kernel"):
            dense = tst.tl.impute(adata, method=method)
            assert dense.n_obs == 3 * 17
            assert np.isfinite(dense.layers["imputed"]).all()

    def test_lattice_columns_may_be_text_or_missing(self):
        adata = make_tissue(square_grid(6, 7))
        text = adata.copy()
        text.obs = text.obs.astype(str)
        bare = adata.copy()
        bare.obs = bare.obs[[]]
        expected = tst.tl.impute(adata)
        for other in (text, bare):
            found = tst.tl.impute(other)
            assert found.obs_names.tolist() == expected.obs_names.tolist()
            np.testing.assert_allclose(found.layers["imputed"], expected.layers["imputed"], rtol=1e-5)

    def test_twice(self):
        once = tst.tl.impute(make_tissue(square_grid(4, 4)))
        del once.obs["measured"]
        twice = tst.tl.impute(once, layer="imputed", normalization="none")
        assert twice.n_obs == 13 * 13
        assert twice.obs_names.is_unique
        assert twice.obs_names[: once.n_obs].tolist() == once.obs_names.tolist()
        assert twice.uns["imputation"]["scale"] == "as given"
        np.testing.assert_array_equal(twice.layers["imputed"][: once.n_obs], once.layers["imputed"])


class TestFill:
    @pytest.fixture
    def holed(self):
        adata = make_tissue(square_grid(7, 7))
        adata.obs["measured"] = True
        adata.obs.loc[adata.obs_names[[0, 24, 25]], "measured"] = False
        return adata

    def test_fills_in_place_and_keeps_the_rest(self, holed):
        before = holed.copy()
        assert tst.tl.impute(holed, task="fill") is None
        measured = holed.obs["measured"].to_numpy()
        imputed = holed.layers["imputed"].toarray()
        np.testing.assert_allclose(imputed[measured], log_values(before, measured)[measured], rtol=1e-5)
        assert np.isfinite(imputed).all()
        assert (holed.X != before.X).nnz == 0
        assert isinstance(holed.layers["imputed"], sp.csr_matrix)
        assert holed.layers["imputed_sd"].nnz == (~measured).sum() * holed.n_vars

    @pytest.mark.parametrize("method", ["auto", *ANYWHERE])
    def test_needs_no_lattice(self, method):
        own = {"auto": {"n_domains": 2}, **OWN}.get(method, {})
        adata = with_pattern(make_tissue(square_grid(8, 8)))
        adata.obs = pd.DataFrame({"measured": np.arange(64) % 20 > 0}, index=adata.obs_names)
        adata.obsm["spatial"] = np.random.default_rng(0).random((64, 2))
        tst.tl.impute(adata, task="fill", method=method, **own)
        assert np.isfinite(adata.layers["imputed"].toarray()).all()
        assert (adata.layers["imputed_sd"].toarray()[::20] > 0).all()

    def test_lattice_is_read_from_the_coordinates_if_there_are_no_columns(self, holed):
        bare = holed.copy()
        bare.obs = bare.obs[["measured"]]
        for adata in (holed, bare):
            tst.tl.impute(adata, task="fill", method="bilinear")
        np.testing.assert_allclose(
            bare.layers["imputed"].toarray(), holed.layers["imputed"].toarray(), rtol=1e-5
        )

    def test_spots_without_counts(self, holed, tmp_path):
        empty = ~holed.obs.pop("measured").to_numpy()
        holed.X = sp.diags(np.where(empty, 0.0, 1.0).astype(np.float32), format="csr") @ holed.X
        with pytest.warns(UserWarning, match=r"3 of 49 spots have no counts .*'s0', 's24', 's25'"):
            tst.tl.impute(holed, task="fill")
        assert holed.obs["measured"].tolist() == (~empty).tolist()
        assert (holed.layers["imputed"].toarray()[empty].sum(axis=1) > 0).all()
        holed.write_h5ad(tmp_path / "holed.h5ad")

    def test_a_failure_leaves_adata_as_it_was(self, monkeypatch):
        adata = make_tissue(square_grid(5, 5))
        X = adata.X.toarray()
        X[7] = 0
        adata.X = X

        def fail(self):
            raise RuntimeError("no description")

        monkeypatch.setattr(Smoother, "describe", fail)
        with (
            pytest.warns(UserWarning, match="no counts"),
            pytest.raises(RuntimeError, match="no description"),
        ):
            tst.tl.impute(adata, task="fill", method="nearest")
        assert layer_names(adata) == []
        assert "measured" not in adata.obs
        assert len(adata.uns) == 0

    def test_nothing_to_fill(self, holed):
        holed.obs["measured"] = True
        with pytest.raises(ValueError, match="nothing to fill"):
            tst.tl.impute(holed, task="fill")


class TestSamples:
    @staticmethod
    def two_sections(shift=0.5, scale=1.0):
        """Section A and, on nearly the same coordinates, B with quite other values; both with holes."""
        a, b = (make_tissue(square_grid(*shape), seed=seed) for shape, seed in (((7, 7), 0), ((6, 8), 1)))
        b.X = b.X * 20
        b.obsm["spatial"] = scale * b.obsm["spatial"] + shift
        for section in (a, b):
            section.obs["measured"] = ~np.isin(np.arange(section.n_obs), [0, 24, 25])
        both = ad.concat({"A": a, "B": b}, label="section", index_unique="-")
        order = np.random.default_rng(0).permutation(both.n_obs)
        return both[order].copy()

    @staticmethod
    def on_log_scale(adata, sections):
        """The values that both sections together are imputed from, so that one can be imputed alone."""
        alone = adata[adata.obs["section"].isin(sections)].copy()
        X = adata.X.toarray()
        totals = X.sum(axis=1, keepdims=True)
        log = np.log1p(X * np.median(totals[adata.obs["measured"].to_numpy()]) / totals)
        alone.X = log[adata.obs["section"].isin(sections).to_numpy()]
        return alone

    @pytest.mark.parametrize("task", ["fill", "densify"])
    def test_nothing_is_borrowed_from_another_sample(self, task):
        adata = self.two_sections()
        found = tst.tl.impute(adata, task=task, method="nearest", sample_key="section")
        found = adata if found is None else found
        for name in ("A", "B"):
            alone = self.on_log_scale(adata, [name])
            options = {"task": task, "method": "nearest", "normalization": "none"}
            expected = tst.tl.impute(alone, **options)
            expected = alone if expected is None else expected
            names = expected.obs_names.str.replace("new_", f"new_{name}_")
            mine = found[found.obs["section"] == name]
            assert mine.obs_names.tolist() == names.tolist()
            np.testing.assert_allclose(mine.obsm["spatial"], expected.obsm["spatial"])
            for column in ("measured", "array_row", "array_col"):
                assert mine.obs[column].tolist() == expected.obs[column].tolist()
            values, wanted = (
                np.asarray(sp.csr_matrix(a.layers["imputed"]).todense()) for a in (mine, expected)
            )
            np.testing.assert_allclose(values, wanted, rtol=1e-4)

    def test_without_the_samples_it_would_be(self):
        adata = self.two_sections()
        mixed, apart = adata.copy(), adata.copy()
        tst.tl.impute(mixed, task="fill", method="nearest")
        tst.tl.impute(apart, task="fill", method="nearest", sample_key="section")
        assert (mixed.layers["imputed"] != apart.layers["imputed"]).nnz

    def test_one_choice_for_all_samples_in_units_of_their_spacing(self):
        """A section in other units changes nothing but its spacing."""
        near, far = self.two_sections(), self.two_sections(shift=-3.0, scale=1000.0)
        for adata in (near, far):
            tst.tl.impute(adata, task="fill", candidates=["kernel", "knn"], sample_key="section")
        for name in ("imputed", "imputed_sd"):
            np.testing.assert_allclose(near.layers[name].toarray(), far.layers[name].toarray(), rtol=1e-4)
        record = far.uns["imputation"]
        assert (record["sample_key"], record["samples"].tolist()) == ("section", ["A", "B"])
        np.testing.assert_allclose(record["spacing"], [1.0, 1000.0])
        assert len(record["details"]["width"]) == adata.n_vars

    @pytest.mark.parametrize("method", ["nearest", "knn", "kernel", "bilinear", "bicubic", "gp", "svd_gp"])
    def test_a_sample_may_have_nothing_to_fill_or_few_spots(self, method):
        adata = self.two_sections()
        adata.obs.loc[adata.obs["section"] == "A", "measured"] = True
        tst.tl.impute(adata, task="fill", method=method, sample_key="section")
        for name in ("imputed", "imputed_sd"):
            assert np.isfinite(adata.layers[name].toarray()).all()

    def test_different_lattices(self):
        grid = visium_grid(5, 6)
        visium = make_tissue(grid, xy=visium_xy(grid))
        both = ad.concat(
            {"A": make_tissue(square_grid(5, 6)), "B": visium}, label="section", index_unique="-"
        )
        both.obs["measured"] = np.arange(both.n_obs) % 10 > 0
        with pytest.raises(ValueError, match="both square and hexagonal"):
            tst.tl.impute(both, sample_key="section")
        with pytest.warns(UserWarning, match="left out: the samples lie on both"):
            tst.tl.impute(both, task="fill", sample_key="section", n_domains=3)

    def test_one_sample_is_the_same_as_none(self):
        adata = make_tissue(visium_grid(6, 5), xy=visium_xy(visium_grid(6, 5)))
        adata.obs["section"] = 1
        plain, named = (tst.tl.impute(adata, sample_key=key) for key in (None, "section"))
        np.testing.assert_array_equal(named.layers["imputed"], plain.layers["imputed"])
        np.testing.assert_array_equal(named.obsm["spatial"], plain.obsm["spatial"])
        assert set(named.obs["section"]) == {1}

    def test_densify_describes_each_lattice_and_can_be_written(self, tmp_path):
        adata = self.two_sections(scale=3.0)
        adata.obs["section"] = adata.obs["section"].cat.rename_categories({"A": "p/1"})
        dense = tst.tl.impute(adata, sample_key="section")
        assert dense.obs_names.is_unique
        n = int(adata.obs["measured"].sum())
        assert dense.obs_names[:n].tolist() == adata.obs_names[adata.obs["measured"]].tolist()
        dense.write_h5ad(tmp_path / "dense.h5ad")
        record = ad.read_h5ad(tmp_path / "dense.h5ad").uns["imputation"]
        assert record["samples"].tolist() == ["B", "p/1"]
        np.testing.assert_allclose(record["lattice"]["pitch"], [3.0, 1.0])
        assert record["lattice"]["affine"].shape == (2, 3, 2)

    def test_bad_samples(self):
        adata = self.two_sections()
        with pytest.raises(KeyError, match=r"`sample_key`: adata\.obs has no column 'nope'"):
            tst.tl.impute(adata, sample_key="nope")
        lonely = adata[(adata.obs["section"] == "A") | (adata.obs_names == "s3-B")].copy()
        with pytest.raises(ValueError, match=r"`sample_key`: fewer than two measured spots in 1 of 2 .*'B'"):
            tst.tl.impute(lonely, task="fill", sample_key="section")
        line = adata[(adata.obs["section"] == "A") | (adata.obs["array_row"] == 2)].copy()
        with pytest.raises(ValueError, match="sample 'B': all spots lie on one line"):
            tst.tl.impute(line, sample_key="section")
        adata.obs.loc["s3-B", "section"] = None
        with pytest.raises(ValueError, match=r"`sample_key`: 1 of 97 spots have no sample .*'s3-B'"):
            tst.tl.impute(adata, task="fill", sample_key="section")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"task": "dense"}, ValueError, "choose one of densify, fill"),
            ({"method": "loess"}, ValueError, "'loess'; choose one of auto, nearest, knn, kernel"),
            ({"candidates": ["gp", "loess"]}, ValueError, "`candidates`: .*'loess'; choose one of nearest"),
            ({"candidates": []}, ValueError, "`candidates` must be a list of methods"),
            ({"candidates": "gp"}, ValueError, "`candidates` must be a list of methods, got 'gp'"),
            ({"candidates": ["gp"], "method": "knn"}, ValueError, "for method='auto', got method='knn'"),
            ({"method": "domain_means", "n_domains": 0}, ValueError, "`n_domains` must be at least 1"),
            ({"method": "domain_means", "n_domains": 40}, ValueError, "`n_domains`=40 is more than the"),
            ({"random_state": None}, TypeError, "random_state"),
            ({"random_state": -1}, ValueError, "random_state"),
            ({"normalization": "sqrt"}, ValueError, "choose one of log, none"),
            ({"genes": "g1"}, TypeError, r"write \['g1'\]"),
            ({"genes": ["g1", "nope"]}, KeyError, "no 'nope'"),
            ({"genes": ["g1", "g1"]}, ValueError, "none twice"),
            ({"genes": []}, ValueError, "at least one"),
            ({"layer": "nope"}, KeyError, "no layer"),
            ({"spatial_key": "nope"}, KeyError, "no coordinates"),
        ],
    )
    def test_arguments(self, arguments, error, message):
        with pytest.raises(error, match=message):
            tst.tl.impute(make_tissue(square_grid(5, 5)), **arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"method": "gp", "channels": "genes"},
                "`channels` is an option of 's2s' and would change nothing here, as `method` is 'gp'; "
                "leave it out, or ask for 's2s'",
            ),
            ({"method": "knn", "preset": "huge"}, "`preset` is an option of 's2s'"),
            ({"method": "knn", "natural_images": [np.zeros((9, 9))] * 2}, "`natural_images` is .* 's2s'"),
            ({"method": "nearest", "checkpoint": "x"}, "`checkpoint` is an option of 's2s'"),
            ({"method": "domain_means", "fine_tune": 3}, "`fine_tune` is .* `method` is 'domain_means'"),
            ({"method": "kernel", "n_domains": 3}, "`n_domains` is an option of 'domain_means'"),
            (
                {"candidates": ["gp", "knn"], "n_domains": 3},
                "`n_domains` is .*, as `candidates` are 'gp', 'knn'; .* ask for 'domain_means'",
            ),
        ],
    )
    def test_options_of_another_method(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            tst.tl.impute(make_tissue(square_grid(5, 5)), **arguments)

    def test_options_with_their_defaults_or_of_a_candidate(self):
        adata = with_holes(square_grid(6, 6))
        defaults = {"n_domains": 8, "channels": "auto", "natural_images": None, "verbose": True}
        tst.tl.impute(adata, task="fill", method="nearest", **defaults)
        tst.tl.impute(adata, task="fill", candidates=["gp", "domain_means"], n_domains=2)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"array_row": 0.5}, "whole numbers; 25 spots"),
            ({"array_row": 0}, "several spots"),
            ({"in_tissue": 0}, "25 of 25 spots lie outside"),
            ({"measured": "yes"}, "True or False"),
            ({"measured": False}, "at least two"),
        ],
    )
    def test_columns(self, columns, message):
        adata = make_tissue(square_grid(5, 5))
        adata.obs = adata.obs.assign(**columns)
        with pytest.raises(ValueError, match=message):
            tst.tl.impute(adata)

    def test_half_a_lattice(self):
        adata = make_tissue(square_grid(5, 5))
        del adata.obs["array_col"]
        with pytest.raises(ValueError, match="needs both"):
            tst.tl.impute(adata)

    def test_no_lattice_at_all_advises(self):
        adata = make_tissue(square_grid(5, 5), xy=np.random.default_rng(0).random((25, 2)))
        adata.obs = adata.obs[[]]
        with pytest.raises(ValueError, match="task='fill' needs coordinates only"):
            tst.tl.impute(adata)
        adata.obs["measured"] = np.arange(25) != 12
        for method in set(LATTICE_METHODS) - (set() if has_torch() else {"s2s"}):
            advice = rf"{method} needs a lattice: .* no square lattice.*transst_py\.tl\.bin_cells"
            with pytest.raises(ValueError, match=advice):
                tst.tl.impute(adata, task="fill", method=method)

    def test_scattered_spots_have_no_sites_between_them(self):
        index = np.array([[0, 0], [3, 5], [8, 2], [12, 9], [5, 11], [1, 17]])
        with pytest.raises(ValueError, match="nothing to impute: the measured spots are too far apart"):
            tst.tl.impute(make_tissue(index))

    @pytest.mark.parametrize("task", ["densify", "fill"])
    def test_too_large_for_memory(self, monkeypatch, task):
        adata = make_tissue(square_grid(5, 5))
        adata.obs["measured"] = np.arange(25) != 12
        monkeypatch.setattr(_memory, "MAX_BYTES", 60)
        with pytest.raises(ValueError, match=r"choose at most \d genes"):
            tst.tl.impute(adata, task=task)

    def test_log_data_where_counts_belong(self):
        adata = make_tissue(square_grid(5, 5))
        adata.X = adata.X.log1p()
        with pytest.warns(UserWarning, match="fractional"):
            tst.tl.impute(adata)
        adata.X = -adata.X
        with pytest.raises(ValueError, match="negative"):
            tst.tl.impute(adata)


@real_data
def test_hidden_spots_of_real_tissue_are_predicted_better_than_by_the_nearest():
    adata = tst.datasets.her2st("H1")
    total = np.asarray(adata.X.mean(axis=0)).ravel()
    top = adata.var_names[np.argsort(-total)[:100]].tolist()
    adata.obs["measured"] = np.random.default_rng(0).random(adata.n_obs) > 0.2
    hidden = ~adata.obs["measured"].to_numpy()
    truth = log_values(adata, ~hidden)[hidden][:, adata.var_names.get_indexer(top)]
    error = {}
    for method in ("nearest", "kernel", "gp", "svd_gp"):
        tst.tl.impute(adata, task="fill", genes=top, method=method)
        imputed = adata[hidden, top].layers["imputed"].toarray()
        error[method] = np.sqrt(((imputed - truth) ** 2).mean(axis=0)).mean()
    assert error["kernel"] < 0.8 * error["nearest"]
    assert error["svd_gp"] < error["kernel"]
    assert error["kernel"] < truth.std(axis=0).mean()
