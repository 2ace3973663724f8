import os

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grids import square_grid, visium_grid, visium_xy
from transst_py.imputation.baselines import BaselineImputer

import transst_py as tst
from transst_py.imputation import baselines, smoothers
from transst_py.tl import _impute

real_data = pytest.mark.skipif(
    not os.environ.get("TRANSST_DATA_DIR"), reason="set TRANSST_DATA_DIR to the folder with the her2st files"
)


def make_tissue(index, *, xy=None, n_genes=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.poisson(3.0, (len(index), n_genes)).astype(np.float32) + np.eye(1, n_genes, dtype=np.float32)
    obs = pd.DataFrame(
        {"array_row": index[:, 0], "array_col": index[:, 1]}, index=[f"s{i}" for i in range(len(index))]
    )
    var = pd.DataFrame({"id": range(n_genes)}, index=[f"g{j}" for j in range(n_genes)])
    xy = index[:, ::-1].astype(float) if xy is None else xy
    return ad.AnnData(sp.csr_matrix(X), obs=obs, var=var, obsm={"spatial": xy})


def log_values(adata, rows=slice(None)):
    """The definition of the scale, written out densely."""
    X = adata.X.toarray().astype(float)
    totals = X.sum(axis=1, keepdims=True)
    target = np.median(totals[rows])
    return np.log1p(np.divide(X * target, totals, out=np.zeros_like(X), where=totals > 0))


class TestSmoothers:
    @pytest.fixture
    def cloud(self):
        rng = np.random.default_rng(0)
        return rng.random((30, 2)), rng.random((12, 2))

    def test_kernel_is_nadaraya_watson(self, cloud):
        measured, sites = cloud
        around = smoothers.find_neighbours(measured, sites, n_neighbors=100)
        found = smoothers.kernel_weights(around, 0.2).toarray()
        plain = np.exp(-((sites[:, None] - measured[None]) ** 2).sum(axis=-1) / (2 * 0.2**2))
        np.testing.assert_allclose(found, plain / plain.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)

    def test_leaving_one_out_is_removing_it(self, cloud):
        measured, _ = cloud
        without = smoothers.find_neighbours(measured, n_neighbors=100)
        for weights_of in (
            smoothers.nearest_weights,
            lambda near: smoothers.kernel_weights(near, 0.1),
            lambda near: smoothers.knn_weights(near, 4),
        ):
            found = weights_of(without).toarray()
            for i in range(len(measured)):
                others = np.delete(np.arange(len(measured)), i)
                near = smoothers.find_neighbours(measured[others], measured[[i]], n_neighbors=100)
                assert found[i, i] == 0
                np.testing.assert_allclose(found[i, others], weights_of(near).toarray()[0], atol=1e-6)

    def test_far_sites_get_their_nearest_spot_not_nan(self, cloud):
        measured, _ = cloud
        far = np.array([[1e4, 1e4]])
        near = smoothers.find_neighbours(measured, far, n_neighbors=8)
        weights = smoothers.kernel_weights(near, 1e-3).toarray()
        np.testing.assert_allclose(weights, smoothers.nearest_weights(near).toarray(), atol=1e-6)

    def test_ties_do_not_depend_on_the_order_of_spots(self):
        measured = square_grid(6, 6).astype(float)
        sites = measured + 0.5
        shuffled = np.random.default_rng(0).permutation(len(measured))
        straight = smoothers.nearest_weights(smoothers.find_neighbours(measured, sites, n_neighbors=9))
        other = smoothers.nearest_weights(smoothers.find_neighbours(measured[shuffled], sites, n_neighbors=9))
        np.testing.assert_array_equal(straight.toarray()[:, shuffled], other.toarray())
        assert (straight.toarray().sum(axis=1) == 1).all()

    def test_knn_is_the_mean_of_the_nearest(self, cloud):
        measured, sites = cloud
        around = smoothers.find_neighbours(measured, sites, n_neighbors=9)
        distance = np.linalg.norm(sites[:, None] - measured[None], axis=-1)
        for k in (1, 5):
            nearest = distance <= np.sort(distance, axis=1)[:, [k - 1]]
            np.testing.assert_allclose(smoothers.knn_weights(around, k).toarray(), nearest / k, rtol=1e-6)

    def test_knn_shares_the_last_places_between_equally_near_spots(self):
        measured = square_grid(7, 7).astype(float)
        middle = 3 * 7 + 3
        noise = np.random.default_rng(0).normal(scale=1e-9, size=measured.shape)
        shuffled = np.random.default_rng(1).permutation(len(measured))
        for positions in (measured, measured + noise):
            near = smoothers.find_neighbours(positions, n_neighbors=20)
            weights = smoothers.knn_weights(near, 6).toarray()
            assert weights[middle, middle] == 0
            at = weights[middle].reshape(7, 7)
            np.testing.assert_allclose(at[[2, 4, 3, 3], [3, 3, 2, 4]], 1 / 6, rtol=1e-6)
            # Two places are left for the four diagonal neighbours.
            np.testing.assert_allclose(at[[2, 2, 4, 4], [2, 4, 2, 4]], 0.5 / 6, rtol=1e-6)
            assert np.count_nonzero(at) == 8
            other = smoothers.find_neighbours(positions[shuffled], n_neighbors=20)
            np.testing.assert_allclose(
                smoothers.knn_weights(other, 6).toarray(), weights[np.ix_(shuffled, shuffled)], rtol=1e-6
            )

    def test_knn_of_few_spots_is_their_mean(self, cloud):
        measured, sites = cloud
        all_of_them = smoothers.find_neighbours(measured[:4], sites, n_neighbors=9)
        np.testing.assert_allclose(smoothers.knn_weights(all_of_them, 9).toarray(), 1 / 4)
        without = smoothers.find_neighbours(measured[:4], n_neighbors=9)
        np.testing.assert_allclose(
            smoothers.knn_weights(without, 9).toarray(), (1 - np.eye(4)) / 3, rtol=1e-6
        )

    def test_knn_refuses_what_may_cut_equally_near_spots(self):
        measured = square_grid(6, 6).astype(float)
        near = smoothers.find_neighbours(measured, n_neighbors=7)
        with pytest.raises(ValueError, match=r"`k`: .* among those as far as the 6-th nearest; find more"):
            smoothers.knn_weights(near, 6)
        near = smoothers.find_neighbours(measured, n_neighbors=12)
        with pytest.raises(ValueError, match="`k` must be at least 1"):
            smoothers.knn_weights(near, 0)
        with pytest.raises(TypeError, match="`k` must be one whole number"):
            smoothers.knn_weights(near, 2.0)

    def test_coinciding_spots(self):
        with pytest.raises(ValueError, match="share their position"):
            smoothers.typical_spacing(np.zeros((5, 2)))


class TestBaselineImputer:
    @staticmethod
    def smooth_and_noise(n=400, seed=0):
        """Gene 0 is a sharp stripe, gene 1 a smooth wave, gene 2 noise, gene 3 constant."""
        rng = np.random.default_rng(seed)
        xy = square_grid(20, n // 20).astype(float)
        stripe = (xy[:, 1] // 3 % 2) * 5.0
        wave = 3 + np.sin(xy[:, 0] / 4)
        genes = [
            stripe,
            wave + rng.normal(scale=0.3, size=len(xy)),
            rng.random(len(xy)),
            np.full(len(xy), 2.0),
        ]
        return sp.csc_matrix(np.column_stack(genes).astype(np.float32)), xy

    def test_bandwidth_suits_each_gene(self):
        X, xy = self.smooth_and_noise()
        imputer = BaselineImputer("kernel").fit(X, xy)
        stripe, wave, noise, _ = imputer.bandwidth_
        assert stripe < wave < noise
        assert imputer.errors_["n_genes"].sum() == 4

    def test_errors_are_those_of_plain_leave_one_out(self):
        X, xy = self.smooth_and_noise()
        imputer = BaselineImputer().fit(X, xy)
        dense = X.toarray().astype(float)
        bandwidth = 1.5 * imputer.spacing_
        predicted = np.empty_like(dense)
        for i in range(len(xy)):
            distance = ((xy - xy[i]) ** 2).sum(axis=1)
            nearest = np.argsort(distance)[1 : baselines.N_NEIGHBORS + 1]
            weights = np.exp(-distance[nearest] / (2 * bandwidth**2))
            predicted[i] = weights @ dense[nearest] / weights.sum()
        varying = dense.var(axis=0) > 0
        relative = ((predicted - dense) ** 2).mean(axis=0)[varying] / dense.var(axis=0)[varying]
        row = imputer.errors_.query("bandwidth == 1.5")
        assert row["relative_error"].item() == pytest.approx(relative.mean(), rel=1e-3)

    def test_auto_takes_the_lower_error(self):
        X, xy = self.smooth_and_noise()
        assert BaselineImputer().fit(X, xy).method_ == "kernel"
        # Pairs of twins far from each other: the nearest spot knows, the neighbourhood misleads.
        rng = np.random.default_rng(0)
        centres = square_grid(10, 10) * 3.0
        twins = np.concatenate([centres, centres + np.array([1.0, 0.0])])
        values = np.tile(rng.choice([0.0, 8.0], (100, 5)), (2, 1)).astype(np.float32)
        imputer = BaselineImputer().fit(sp.csc_matrix(values), twins)
        errors = imputer.errors_.set_index("method")["relative_error"]
        assert errors["nearest"] == 0
        assert imputer.method_ == "nearest"
        assert np.isnan(imputer.bandwidth_).all()

    def test_a_gene_does_not_depend_on_its_company(self):
        X, xy = self.smooth_and_noise()
        sites = xy + 0.5
        together = BaselineImputer("kernel").fit(X, xy).predict(sites)
        for j in range(4):
            alone = BaselineImputer("kernel").fit(X[:, [j]], xy).predict(sites)
            np.testing.assert_allclose(alone[:, 0], together[:, j], rtol=1e-6)

    def test_constants_stay_constant_and_blocks_do_not_matter(self, monkeypatch):
        X, xy = self.smooth_and_noise()
        whole = BaselineImputer().fit(X, xy).predict(xy + 0.5)
        np.testing.assert_allclose(whole[:, 3], 2.0, rtol=1e-6)
        monkeypatch.setattr(baselines, "BLOCK_GENES", 1)
        monkeypatch.setattr(baselines, "BLOCK_SITES", 7)
        np.testing.assert_allclose(BaselineImputer().fit(X, xy).predict(xy + 0.5), whole, rtol=1e-6)

    def test_two_spots_and_no_variation(self):
        imputer = BaselineImputer().fit(sp.csc_matrix(np.full((2, 3), 4.0, np.float32)), np.eye(2))
        assert imputer.method_ == "kernel"
        assert imputer.errors_["relative_error"].isna().all()
        np.testing.assert_allclose(imputer.predict(np.ones((1, 2))), 4.0)

    def test_smooth_gene_is_predicted_better_than_by_its_mean(self):
        X, xy = self.smooth_and_noise()
        hidden = np.random.default_rng(1).random(len(xy)) < 0.3
        imputed = BaselineImputer().fit(X[~hidden], xy[~hidden]).predict(xy[hidden])
        truth = X.toarray()[hidden]
        error = ((imputed - truth) ** 2).mean(axis=0)
        assert (error[:2] < 0.6 * truth.var(axis=0)[:2]).all()


class TestDensify:
    @pytest.mark.parametrize("method", ["nearest", "kernel", "auto"])
    @pytest.mark.parametrize("grid", [square_grid(6, 7), visium_grid(6, 5)], ids=["square", "visium"])
    def test_slots(self, grid, method, tmp_path):
        adata = make_tissue(grid, xy=visium_xy(grid))
        before = adata.copy()
        dense = tst.tl.impute(adata, method=method)
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
        assert np.isfinite(dense.layers["imputed"]).all()
        record = dense.uns["imputation"]
        assert record["scale"] == "log(1 + counts * target_sum / total)"
        assert record["target_sum"] == np.median(adata.X.toarray().sum(axis=1))
        assert record["method"] == ("kernel" if method == "auto" else method)
        dense.write_h5ad(tmp_path / "dense.h5ad")
        read = ad.read_h5ad(tmp_path / "dense.h5ad")
        assert (
            read.uns["imputation"]["candidates"]["method"].tolist() == record["candidates"]["method"].tolist()
        )
        assert (adata.X != before.X).nnz == 0
        assert list(adata.layers) == []
        assert len(adata.uns) == 0

    def test_order_of_spots_does_not_matter(self):
        adata = make_tissue(square_grid(6, 7))
        shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
        for method in ("nearest", "kernel"):
            one, other = (tst.tl.impute(a, method=method) for a in (adata, shuffled))
            assert set(one.obs_names) == set(other.obs_names)
            np.testing.assert_allclose(
                one.layers["imputed"], other[one.obs_names].layers["imputed"], rtol=1e-5
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

    def test_unmeasured_values_have_no_influence(self):
        adata = make_tissue(square_grid(8, 8))
        adata.obs["measured"] = np.random.default_rng(0).random(64) > 0.2
        clean = tst.tl.impute(adata)
        poisoned = adata.copy()
        X = poisoned.X.toarray()
        X[~adata.obs["measured"].to_numpy()] = np.nan
        poisoned.X = X
        again = tst.tl.impute(poisoned)
        assert clean.obs_names.tolist() == again.obs_names.tolist()
        np.testing.assert_allclose(again.layers["imputed"], clean.layers["imputed"], rtol=1e-5)

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

    def test_genes(self):
        adata = make_tissue(square_grid(5, 5))
        dense = tst.tl.impute(adata, genes=["g4", "g1"])
        assert dense.var_names.tolist() == ["g4", "g1"]
        np.testing.assert_allclose(dense.layers["imputed"][:25], log_values(adata)[:, [4, 1]], rtol=1e-5)


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
        low, high = imputed[measured].min(axis=0), imputed[measured].max(axis=0)
        assert ((imputed[~measured] >= low - 1e-6) & (imputed[~measured] <= high + 1e-6)).all()

    def test_needs_no_lattice(self, holed):
        holed.obs = holed.obs[["measured"]]
        holed.obsm["spatial"] = np.random.default_rng(0).random((49, 2))
        tst.tl.impute(holed, task="fill")
        assert np.isfinite(holed.layers["imputed"].data).all()

    def test_genes_not_asked_for_are_missing_not_zero(self, holed):
        tst.tl.impute(holed, task="fill", genes=["g2"])
        imputed, measured = holed.layers["imputed"].toarray(), holed.obs["measured"].to_numpy()
        assert np.isfinite(imputed[:, 2]).all()
        assert np.isnan(imputed[~measured][:, [0, 1, 3, 4, 5]]).all()
        assert np.isfinite(imputed[measured]).all()
        assert holed.uns["imputation"]["genes"].tolist() == ["g2"]

    def test_spots_without_counts(self, holed, tmp_path):
        empty = ~holed.obs.pop("measured").to_numpy()
        holed.X = sp.diags(np.where(empty, 0.0, 1.0).astype(np.float32), format="csr") @ holed.X
        with pytest.warns(UserWarning, match=r"3 of 49 spots have no counts .*'s0', 's24', 's25'"):
            tst.tl.impute(holed, task="fill")
        assert holed.obs["measured"].tolist() == (~empty).tolist()
        assert (holed.layers["imputed"].toarray()[empty].sum(axis=1) > 0).all()
        holed.write_h5ad(tmp_path / "holed.h5ad")

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
            tst.tl.impute(adata, task="fill", sample_key="section")
        np.testing.assert_allclose(
            near.layers["imputed"].toarray(), far.layers["imputed"].toarray(), rtol=1e-5
        )
        record = far.uns["imputation"]
        assert (record["sample_key"], record["samples"].tolist()) == ("section", ["A", "B"])
        np.testing.assert_allclose(record["spacing"], [1.0, 1000.0])
        assert len(record["bandwidth"]) == adata.n_vars

    def test_errors_are_pooled_over_spots(self):
        """The error relative to the gene's variance in its sample; leaving out sees one sample only."""
        adata = self.two_sections()
        adata = adata[adata.obs["measured"]].copy()
        X, xy = sp.csc_matrix(adata.X.log1p()), adata.obsm["spatial"]
        samples = adata.obs["section"].astype(str).to_numpy()
        pooled = BaselineImputer().fit(X, xy, samples)
        error, variance = 0.0, 0.0
        for name in ("A", "B"):
            rows = np.flatnonzero(samples == name)
            alone = BaselineImputer().fit(X[rows], xy[rows])
            error = error + alone._leave_one_out_errors() * len(rows)
            variance = variance + X[rows].toarray().astype(float).var(axis=0) * len(rows)
        np.testing.assert_allclose(
            pooled.errors_["relative_error"], (error / variance).mean(axis=1), rtol=1e-4
        )

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
            ({"method": "s2s"}, ValueError, "'s2s'; choose one of auto, nearest, kernel"),
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

    @pytest.mark.parametrize("task", ["densify", "fill"])
    def test_too_large_for_memory(self, monkeypatch, task):
        adata = make_tissue(square_grid(5, 5))
        adata.obs["measured"] = np.arange(25) != 12
        monkeypatch.setattr(_impute, "MAX_OUTPUT_BYTES", 60)
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
    for method in ("nearest", "kernel"):
        tst.tl.impute(adata, task="fill", genes=top, method=method)
        imputed = adata[hidden, top].layers["imputed"].toarray()
        error[method] = np.sqrt(((imputed - truth) ** 2).mean(axis=0)).mean()
    assert error["kernel"] < 0.8 * error["nearest"]
    assert error["kernel"] < truth.std(axis=0).mean()
