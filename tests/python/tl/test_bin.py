import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py.imputation.smoothers import typical_spacing
from transst_py.tl._gate import LATTICE_COLUMNS


def make_cells(n=400, *, n_genes=5, seed=0, dtype=np.float32):
    """Cells at random on 10 x 8, with counts and the names of genes in `var`."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.7, (n, n_genes)).astype(dtype)
    obs = pd.DataFrame({"area": rng.random(n)}, index=[f"c{i}" for i in range(n)])
    var = pd.DataFrame({"id": range(n_genes)}, index=[f"g{j}" for j in range(n_genes)])
    return ad.AnnData(sp.csr_matrix(X), obs=obs, var=var, obsm={"spatial": rng.random((n, 2)) * [10, 8] - 3})


def two_sections():
    """Sections B and A, on overlapping coordinates and mixed up."""
    both = ad.concat({"B": make_cells(), "A": make_cells(300, seed=1)}, label="section", index_unique="-")
    return both[np.random.default_rng(0).permutation(both.n_obs)].copy()


def summed_by_hand(adata, bin_size):
    """{(row, col): [number of cells, counts]}, cell by cell."""
    low = adata.obsm["spatial"].min(axis=0)
    found = {}
    for counts, (x, y) in zip(adata.X.toarray(), adata.obsm["spatial"], strict=True):
        site = (int((y - low[1]) / bin_size), int((x - low[0]) / bin_size))
        n, total = found.get(site, (0, 0))
        found[site] = (n + 1, total + counts)
    return found


def assert_same(one, other):
    assert one.obs_names.tolist() == other.obs_names.tolist()
    np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())
    np.testing.assert_array_equal(one.obs["n_cells"], other.obs["n_cells"])
    np.testing.assert_allclose(one.obsm["spatial"], other.obsm["spatial"])


class TestSums:
    def test_are_those_of_a_loop(self):
        adata = make_cells()
        before = adata.copy()
        binned = tst.tl.bin_cells(adata, bin_size=1.3)
        expected = summed_by_hand(adata, 1.3)
        assert binned.X.format == "csr"
        assert binned.X.has_canonical_format
        sites = [tuple(site) for site in binned.obs[list(LATTICE_COLUMNS)].to_numpy()]
        assert sites == sorted(expected)
        assert binned.obs_names.tolist() == [f"{row}x{col}" for row, col in sites]
        assert binned.obs["n_cells"].tolist() == [expected[site][0] for site in sites]
        np.testing.assert_array_equal(binned.X.toarray(), [expected[site][1] for site in sites])
        low = adata.obsm["spatial"].min(axis=0)
        np.testing.assert_allclose(binned.obsm["spatial"], low + 1.3 * (np.array(sites)[:, ::-1] + 0.5))
        assert (binned.obs.dtypes == np.int64).all()
        pd.testing.assert_frame_equal(binned.var, adata.var)
        assert (adata.X != before.X).nnz == 0
        pd.testing.assert_frame_equal(adata.obs, before.obs)

    def test_every_cell_lies_in_its_square(self):
        adata = make_cells()
        adata.X = sp.identity(adata.n_obs, format="csr", dtype=np.float32)[:, :5]  # cells 0 to 4 are genes
        binned = tst.tl.bin_cells(adata, bin_size=0.9)
        for cell in range(5):
            centre = binned.obsm["spatial"][binned.X[:, [cell]].toarray().ravel() == 1]
            assert np.abs(centre - adata.obsm["spatial"][cell]).max() <= 0.45 + 1e-9

    def test_order_of_cells_does_not_matter(self):
        adata = make_cells()
        shuffled = adata[np.random.default_rng(1).permutation(adata.n_obs)].copy()
        assert_same(tst.tl.bin_cells(shuffled, bin_size=1.0), tst.tl.bin_cells(adata, bin_size=1.0))

    @pytest.mark.parametrize("store", [sp.csr_matrix, sp.csc_matrix, np.asarray])
    def test_how_the_counts_are_stored_does_not_matter(self, store):
        adata = make_cells()
        expected = tst.tl.bin_cells(adata, bin_size=1.0)
        adata.layers["counts"] = store(adata.X.toarray())
        adata.X = None
        assert_same(tst.tl.bin_cells(adata, bin_size=1.0, layer="counts"), expected)

    @pytest.mark.parametrize(
        ("dtype", "count", "expected"),
        [
            (np.uint8, 200, np.int64),
            (np.int64, 2**24 + 1, np.int64),
            (np.float32, 200, np.float32),
            (np.float32, 2**23 + 1, np.float64),
            (np.float64, 200, np.float64),
        ],
    )
    def test_are_exact_in_any_type(self, dtype, count, expected):
        adata = make_cells(dtype=dtype)
        adata.X = sp.csr_matrix(np.full(adata.shape, count, dtype=dtype))
        binned = tst.tl.bin_cells(adata, bin_size=2.0)
        assert binned.X.dtype == expected
        np.testing.assert_array_equal(
            binned.X.toarray().astype(np.int64), binned.obs[["n_cells"]].to_numpy() * count * [[1] * 5]
        )

    def test_squares_with_few_cells_are_left_out(self):
        adata = make_cells()
        every = tst.tl.bin_cells(adata, bin_size=1.0)
        few = tst.tl.bin_cells(adata, bin_size=1.0, min_cells=5)
        kept = (every.obs["n_cells"] >= 5).to_numpy()
        assert 0 < kept.sum() < every.n_obs
        assert_same(few, every[kept])
        record = few.uns["binning"]
        assert record["n_dropped"] == every.obs["n_cells"][~kept].sum()
        assert record["n_cells"] - record["n_dropped"] == few.obs["n_cells"].sum()
        assert every.uns["binning"]["n_dropped"] == 0
        assert every.X.sum() == adata.X.sum()

    def test_transcripts_are_counted(self):
        """One row with a single count for each transcript gives the counts of the cells they are of."""
        adata = make_cells()
        cell, gene = np.repeat(np.argwhere(adata.X.toarray()), adata.X.data.astype(int), axis=0).T
        X = sp.csr_matrix((np.ones(len(cell), np.int64), (np.arange(len(cell)), gene)), shape=(len(cell), 5))
        # The cell at either end of the first axis sets the origin, whether it has transcripts or not.
        corner = adata.obsm["spatial"].min(axis=0)
        spots = ad.AnnData(
            sp.vstack([sp.csr_matrix((1, 5), dtype=np.int64), X], format="csr"),
            obsm={"spatial": np.vstack([corner, adata.obsm["spatial"][cell]])},
        )
        found = tst.tl.bin_cells(spots, bin_size=2.5)
        expected = tst.tl.bin_cells(adata, bin_size=2.5)
        np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())


class TestSamples:
    def test_each_has_a_lattice_of_its_own(self):
        both = two_sections()
        binned = tst.tl.bin_cells(both, bin_size=1.0, sample_key="section", min_cells=2)
        assert binned.obs_names.is_unique
        assert binned.obs["section"].dtype == both.obs["section"].dtype
        assert binned.obs["section"].tolist() == sorted(binned.obs["section"])
        record = binned.uns["binning"]
        assert (record["sample_key"], record["samples"].tolist()) == ("section", ["A", "B"])
        for name, origin in zip("AB", record["origin"], strict=True):
            alone = tst.tl.bin_cells(both[both.obs["section"] == name].copy(), bin_size=1.0, min_cells=2)
            mine = binned[binned.obs["section"] == name].copy()
            assert all(label.startswith(f"{name}_") for label in mine.obs_names)
            mine.obs_names = mine.obs_names.str.removeprefix(f"{name}_")
            assert_same(mine, alone)
            np.testing.assert_array_equal(origin, alone.uns["binning"]["origin"])

    def test_one_sample_is_the_same_as_none(self):
        adata = make_cells()
        adata.obs["section"] = 3
        named = tst.tl.bin_cells(adata, bin_size=1.0, sample_key="section")
        assert_same(named, tst.tl.bin_cells(adata, bin_size=1.0))
        assert named.obs["section"].unique().tolist() == [3]

    def test_can_be_written(self, tmp_path):
        binned = tst.tl.bin_cells(two_sections(), bin_size=1.0, sample_key="section")
        binned.write_h5ad(tmp_path / "binned.h5ad")
        back = ad.read_h5ad(tmp_path / "binned.h5ad")
        pd.testing.assert_frame_equal(back.obs, binned.obs)
        assert back.uns["binning"]["bin_size"] == 1.0


@pytest.mark.usefixtures("quick_imputation")
@pytest.mark.parametrize("sample_key", [None, "section"])
def test_bins_can_be_imputed(sample_key):
    both = two_sections()
    cells = both if sample_key else both[both.obs["section"] == "A"].copy()
    cells.X = cells.X + sp.csr_matrix(np.eye(1, 5, dtype=np.float32).repeat(cells.n_obs, axis=0))
    binned = tst.tl.bin_cells(cells, bin_size=1.0, sample_key=sample_key)
    finer = tst.tl.impute(binned, task="densify", sample_key=sample_key)
    np.testing.assert_allclose(finer.uns["imputation"]["lattice"]["pitch"], 1.0)
    assert (finer.obs_names[: binned.n_obs] == binned.obs_names).all()
    assert finer.n_obs > 3 * binned.n_obs


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"bin_size": 0}, ValueError, "`bin_size` must be positive and finite, got 0"),
            ({"bin_size": -1.0}, ValueError, "positive"),
            ({"bin_size": np.inf}, ValueError, "finite"),
            ({"bin_size": np.nan}, ValueError, "positive"),
            ({"bin_size": "50"}, TypeError, "one number.*'50'"),
            ({"bin_size": True}, TypeError, "one number"),
            ({"bin_size": [50]}, TypeError, "one number"),
            ({"bin_size": 9.0}, ValueError, r"fewer than 2 x 2 bins: the cells extend over 9\.\d+ x 7\.\d+ "),
            ({"bin_size": 1e-12}, ValueError, "more than can be numbered"),
            ({"bin_size": 1e-320}, ValueError, "more than can be numbered"),
            ({"min_cells": 0}, ValueError, "`min_cells` must be at least 1"),
            ({"min_cells": 1.5}, TypeError, "`min_cells` must be one whole number"),
            ({"min_cells": 401}, ValueError, r"no bin has 401 cells \(the fullest has \d+\)"),
            ({"layer": "nope"}, KeyError, "no layer"),
            ({"spatial_key": "nope"}, KeyError, "no coordinates"),
            ({"sample_key": "nope"}, KeyError, "no column 'nope'"),
        ],
    )
    def test_arguments(self, arguments, error, message):
        with pytest.raises(error, match=message):
            tst.tl.bin_cells(make_cells(), **{"bin_size": 1.0, **arguments})

    def test_values(self):
        adata = make_cells()
        adata.X = -adata.X
        with pytest.raises(ValueError, match=r"negative .* pass raw counts \(see `layer`\)$"):
            tst.tl.bin_cells(adata, bin_size=1.0)
        adata.X = abs(adata.X).log1p()
        with pytest.warns(UserWarning, match=r"fractional .* pass raw counts \(see `layer`\)$"):
            tst.tl.bin_cells(adata, bin_size=1.0)
        adata.X.data[0] = np.nan
        with pytest.raises(ValueError, match="missing"):
            tst.tl.bin_cells(adata, bin_size=1.0)

    def test_positions(self):
        adata = make_cells()
        adata.obsm["deep"] = np.column_stack([adata.obsm["spatial"], np.zeros(400)])
        with pytest.raises(ValueError, match="3 columns"):
            tst.tl.bin_cells(adata, bin_size=1.0, spatial_key="deep")
        adata.obsm["spatial"][7] = np.nan
        with pytest.raises(ValueError, match="1 of 400 spots have no position"):
            tst.tl.bin_cells(adata, bin_size=1.0)

    def test_samples(self):
        both = two_sections()
        both.obsm["spatial"][(both.obs["section"] == "B").to_numpy(), 1] = 0
        with pytest.raises(ValueError, match=r"the cells of sample 'B' extend over 9\.\d+ x 0 "):
            tst.tl.bin_cells(both, bin_size=1.0, sample_key="section")
        both.obs.loc[both.obs_names[0], "section"] = None
        with pytest.raises(ValueError, match="1 of 700 spots have no sample"):
            tst.tl.bin_cells(both, bin_size=1.0, sample_key="section")

    def test_cells_alone_in_their_squares(self):
        adata = make_cells()
        spacing = typical_spacing(adata.obsm["spatial"])
        with pytest.warns(UserWarning, match=f"single cell: `bin_size` is 0.05, .* is {spacing:.3g}; "):
            binned = tst.tl.bin_cells(adata, bin_size=0.05)
        assert binned.X.sum() == adata.X.sum()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tst.tl.bin_cells(adata, bin_size=1.0)
