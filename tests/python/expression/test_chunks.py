"""Rows on disk and in dask arrays give what they give in memory."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py.expression import stores as _stores
from transst_py.expression.chunks import open_rows
from transst_py.expression.genes import morans_i, n_detected
from transst_py.expression.normalize import log_normalize, median_total
from transst_py.expression.standardize import StandardizedMatrix, column_moments
from transst_py.expression.values import as_float_matrix, check_survey
from transst_py.source.statistics import ClassStatistics
from transst_py.tissue.graph import spatial_neighbors
from transst_py.transfer.class_profiles import SHRINKAGES

OPTIONS = {"source_labels": "label", "n_domains": 3, "n_factors": 4, "n_init": 2}
# Stored values of a chunk: about 18 rows, about 80, all.
CHUNKINGS = (900, 4000, 1 << 23)
KINDS = ("h5ad csr", "h5ad dense", "zarr csr", "dask csr", "dask dense")


@pytest.fixture(scope="module")
def tissue():
    """Simulated (target, source) of 196 spots x 60 genes with an empty spot."""
    target, source = tst.datasets.simulated_tissue(
        n_rows=14, n_cols=14, n_genes=60, n_domains=3, random_state=3
    )
    X = target.X.tolil()
    X[17] = 0
    target.X = X.tocsr()
    source.obs.loc[source.obs_names[:4], "label"] = np.nan
    return target, source


def stored(adata, kind, folder, values=1 << 23):
    """The same with its expression on disk, or in a dask array of as many values a chunk."""
    adata = adata.copy()
    dense = kind.endswith("dense")
    X = sp.csr_matrix(adata.X)
    adata.X = X.toarray() if dense else X
    if kind.startswith("dask"):
        da = pytest.importorskip("dask.array", reason="dask is not installed")
        rows = max(values * adata.n_obs // (adata.X.size if dense else adata.X.nnz), 1)
        adata.X = da.from_array(adata.X, chunks=(min(rows, adata.n_obs), -1), asarray=False)
        return adata
    path = folder / f"{kind[:4]}-{len(list(folder.iterdir()))}"
    if kind.startswith("h5ad"):
        adata.write_h5ad(path)
        return ad.read_h5ad(path, backed="r")
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata announces zarr's next format
        adata.write_zarr(path)
    group = zarr.open_group(path, mode="r")
    X = group["X"] if dense else ad.io.sparse_dataset(group["X"])
    return ad.AnnData(X, obs=adata.obs, var=adata.var, obsm=dict(adata.obsm))


def fit(target, source, **options):
    with pytest.warns(UserWarning, match=r"4 of 196 rows have no label|1 of 196 spots have no count"):
        tst.tl.transst(target, source, **{**OPTIONS, **options})
    return target


def assert_equal_results(one, other):
    np.testing.assert_allclose(
        one.varm["transst_loadings"], other.varm["transst_loadings"], rtol=0, atol=1e-8
    )
    pd.testing.assert_series_equal(one.obs["transst"], other.obs["transst"])
    np.testing.assert_allclose(one.obsm["X_transst"], other.obsm["X_transst"], atol=1e-7)
    np.testing.assert_allclose(one.obsm["transst_prob"], other.obsm["transst_prob"], atol=1e-6)
    np.testing.assert_array_equal(one.uns["transst"]["genes"], other.uns["transst"]["genes"])
    assert one.uns["transst"]["transfer"]["penalty"] == other.uns["transst"]["transfer"]["penalty"]


@pytest.fixture(
    scope="module", params=[{"n_top_genes": 30}, {"scaling": "joint"}, {"class_transfer": "always"}]
)
def in_memory(request, tissue):
    """Options, and the result in memory."""
    target, source = (part.copy() for part in tissue)
    return request.param, fit(target, source, **request.param)


@pytest.mark.parametrize(
    ("kind", "values"),
    [*[("dask csr", values) for values in CHUNKINGS], ("h5ad csr", 900), ("zarr csr", 900)],
)
def test_fit_does_not_depend_on_where_the_expression_is(
    kind, values, in_memory, tissue, tmp_path, monkeypatch
):
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", values)
    options, expected = in_memory
    target, source = (stored(part, kind, tmp_path, values) for part in tissue)
    fit(target, source, **options)
    assert_equal_results(target, expected)
    assert not isinstance(target.X, (np.ndarray, sp.csr_matrix))
    # An empty spot, unlabelled rows: what is chosen of rows costs no pass of its own.
    passes = target.uns["transst"]["passes"]
    # One of them for the relevance of the source, one to name domains.
    assert passes["target"] <= 7 + ("n_top_genes" in options)
    assert passes["source"] <= 5 + shrinkages_tried(target)


@pytest.mark.parametrize("kind", ["h5ad dense", "dask dense"])
def test_fit_of_dense_expression(kind, tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 900)
    expected = [part.copy() for part in tissue]
    for part in expected:
        part.X = part.X.toarray()
    target, source = (stored(part, kind, tmp_path, 900) for part in tissue)
    assert_equal_results(fit(target, source), fit(*expected))


def shrinkages_tried(target):
    """Passes over the source for the profiles of its classes, where the domains start from them."""
    shrinkage = target.uns["transst"]["transfer"]["class_shrinkage"]
    return 0 if np.isnan(shrinkage) else SHRINKAGES.index(shrinkage) + 1


def test_one_side_on_disk(tissue, tmp_path):
    target, source = (part.copy() for part in tissue)
    fit(target, source)
    other = fit(tissue[0].copy(), stored(tissue[1], "h5ad csr", tmp_path))
    assert_equal_results(other, target)
    assert other.uns["transst"]["passes"] == {"source": 5}


@pytest.mark.parametrize(
    ("method", "normalization"), [("wilcoxon", "log"), ("t", "linear"), ("contrast", "none")]
)
def test_markers_of_some_genes_at_a_time(method, normalization, tissue, tmp_path, monkeypatch):
    in_memory = tissue[0].copy()
    in_memory.obs["transst"] = in_memory.obs["label"].astype(object)
    in_memory.obs.loc[in_memory.obs_names[5:9], "transst"] = np.nan
    in_memory.obsm["X_transst"] = np.random.default_rng(0).normal(size=(196, 3))
    if normalization == "none":
        in_memory.X = sp.csr_matrix(in_memory.X).log1p()
    options = {"method": method, "normalization": normalization, "reference": "pairwise"}
    expected = tst.tl.rank_domain_genes(in_memory, **options)
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 1000)
    on_disk = stored(in_memory, "h5ad csr", tmp_path)
    for values in (1, 2000):
        monkeypatch.setattr(tst.tl._markers, "_BLOCK_VALUES", values)
        pd.testing.assert_frame_equal(tst.tl.rank_domain_genes(on_disk, **options), expected)
    assert "transst_markers" in on_disk.uns


@pytest.fixture(params=KINDS)
def rows(request, tissue, tmp_path, monkeypatch):
    """Rows that are not in memory in chunks of about 30, and the same in memory."""
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 1500)
    adata = stored(tissue[0], request.param, tmp_path, 1500)
    X = open_rows(adata.X, "adata")
    assert len(X.store.bounds) > 3
    return X, sp.csr_matrix(tissue[0].X, dtype=X.dtype)


def test_every_operation_is_that_in_memory(rows):
    X, M = rows
    close = {"rtol": 1e-5, "atol": 1e-4}  # float32
    np.testing.assert_array_equal(n_detected(X), n_detected(M))
    assert median_total(X) == median_total(M)
    X, M = (log_normalize(Z, target_sum=50.0) for Z in (X, M))
    keep = np.flatnonzero(np.arange(M.shape[0]) % 3 != 1)
    columns = np.array([4, 2, 50, 31])
    X, M = X[keep][:, columns], M[keep][:, columns]
    assert X.shape == M.shape
    np.testing.assert_allclose(sp.csr_matrix(X.to_memory()).toarray(), M.toarray(), rtol=1e-6)
    np.testing.assert_array_equal(n_detected(X), n_detected(M))
    for mine, theirs in zip(column_moments(X), column_moments(M), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    rng = np.random.default_rng(0)
    mean, scale, A = rng.normal(size=4), rng.uniform(1, 2, 4), rng.normal(size=(4, 2))
    weights, groups = rng.normal(size=len(keep)), rng.integers(0, 3, len(keep))
    Z, E = StandardizedMatrix(X, mean, scale), StandardizedMatrix(M, mean, scale)
    for name, arguments in {
        "toarray": (),
        "dot": (A,),
        "scatter": (mean,),
        "scatter_dot": (A, weights),
        "scatters": (groups, 3),
        "column_means": (),
        "column_squares": (),
        "row_squares": (),
    }.items():
        np.testing.assert_allclose(getattr(Z, name)(*arguments), getattr(E, name)(*arguments), **close)
    mine, theirs = (ClassStatistics.from_rows(S, groups, 3) for S in (Z, E))
    np.testing.assert_allclose(mine.means, theirs.means, **close)
    for a, b in zip(mine.scatters, theirs.scatters, strict=True):
        np.testing.assert_allclose(a @ A, b @ A, **close)


@pytest.mark.parametrize("order", ["lattice", "shuffled"])
def test_morans_i_across_chunks(rows, order):
    X, M = rows
    places = np.indices((14, 14)).reshape(2, -1).T
    if order == "shuffled":  # neighbours lie in chunks far away
        places = np.random.default_rng(0).permutation(places)
    keep = np.delete(np.arange(196), [17, 60, 61])
    graph = spatial_neighbors(places[keep].astype(float), n_neighbors=4)
    np.testing.assert_allclose(morans_i(X[keep], graph), morans_i(M[keep], graph), rtol=1e-6, atol=1e-9)


def test_rows_in_any_other_order_are_refused(rows):
    with pytest.raises(ValueError, match="in ascending order only"):
        rows[0][np.array([3, 2])]


@pytest.mark.parametrize("fault", ["lost", "negative", "fractional"])
def test_bad_values_are_found(fault, tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 900)
    adata = tissue[0].copy()
    X = sp.csr_matrix(adata.X, dtype=np.float64)
    if fault == "fractional":
        X.data *= 0.7
    else:
        X.data[-1] = np.nan if fault == "lost" else -1
    adata.X = X
    X = open_rows(stored(adata, "h5ad csr", tmp_path).X, "adata")
    if fault == "fractional":
        with pytest.warns(UserWarning, match="`adata` holds fractional values"):
            check_survey(X, counts=True)
    else:
        what = "missing or infinite" if fault == "lost" else "negative expression"
        with pytest.raises(ValueError, match=f"`adata` has {what}"):
            check_survey(X, counts=True)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.float32, np.float64, bool])
def test_types_are_those_in_memory(dtype, tissue, tmp_path):
    adata = tissue[0].copy()
    for layout in ("csr", "dense"):
        adata.X = sp.csr_matrix(tissue[0].X).astype(dtype)
        X = open_rows(stored(adata, f"h5ad {layout}", tmp_path).X, "adata")
        M = as_float_matrix(adata.X if layout == "csr" else adata.X.toarray())
        assert X.dtype == X.to_memory().dtype == M.dtype


def test_columns_stored_together_are_refused(tissue, tmp_path):
    adata = tissue[0].copy()
    adata.X = adata.X.tocsc()
    adata.write_h5ad(tmp_path / "x")
    backed = ad.read_h5ad(tmp_path / "x", backed="r")
    with pytest.raises(ValueError, match=r"`adata` is stored by columns \(csc\)"):
        tst.tl.transst(backed, n_domains=3)
