"""Damaged files, full disks, fits that were stopped: told clearly, nothing half-written or done twice."""

from __future__ import annotations

import errno
import os
import warnings

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py._core import atomic as _atomic
from transst_py.expression import saved as _saved
from transst_py.expression import stores as _stores
from transst_py.expression.chunks import RowChunks, open_rows

OPTIONS = {"source_labels": "label", "n_domains": 3, "n_factors": 4, "n_init": 2, "n_top_genes": 40}


@pytest.fixture(scope="module")
def tissue():
    return tst.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=60, n_domains=3, random_state=3)


@pytest.fixture
def backed(tissue, tmp_path, monkeypatch):
    """Target and source, backed by files, in chunks of 20 rows."""
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 1000)
    opened = []
    for name, part in zip(("target", "source"), tissue, strict=True):
        part.write_h5ad(tmp_path / name)
        opened.append(ad.read_h5ad(tmp_path / name, backed="r"))
    yield opened
    for adata in opened:
        adata.file.close()


@pytest.fixture
def stored(tissue, tmp_path, monkeypatch):
    """Target on zarr, in small files, and the folder of it."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 1000)
    group = zarr.open_group(tmp_path / "zarr", mode="w")
    X = sp.csr_matrix(tissue[0].X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata announces zarr's next format
        ad.io.write_elem(group, "X", X, dataset_kwargs={"chunks": (500,)})
    group = zarr.open_group(tmp_path / "zarr", mode="r")
    adata = ad.AnnData(
        ad.io.sparse_dataset(group["X"]), obs=tissue[0].obs, var=tissue[0].var, obsm=dict(tissue[0].obsm)
    )
    return adata, tmp_path / "zarr" / "X"


def chunk_files(folder):
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "zarr"))
    )


def test_a_truncated_chunk_is_named(stored):
    adata, folder = stored
    file = chunk_files(folder / "indices")[2]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(OSError, match=r"zarr.*X: rows \d+ to \d+ cannot be read \(.*damaged or incomplete"):
        tst.tl.transst(adata, n_domains=3, n_factors=4)
    assert "transst" not in adata.obs
    assert "transst" not in adata.uns


@pytest.mark.parametrize("part", ["data", "indices"])
def test_a_lost_chunk_is_not_taken_for_zeros(part, stored):
    adata, folder = stored
    chunk_files(folder / part)[1].unlink()
    with pytest.raises(OSError, match=f"1 chunks of '{part}' are missing"):
        open_rows(adata.X, "adata")


@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    [
        ("indices", 60, "columns that are not among its 60"),
        ("indices", -1, "columns that are not among its 60"),
        ("indptr", 10**6, "row pointers make no sense"),
    ],
)
def test_a_corrupt_h5ad_is_named(part, value, complaint, tissue, tmp_path, monkeypatch):
    import h5py

    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 1000)
    tissue[0].write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        file["X"][part][100] = value
    adata = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(OSError, match=rf"x.h5ad, /X: rows \d+ to \d+ cannot be read \(.*{complaint}"):
        tst.tl.transst(adata, n_domains=3, n_factors=4)
    assert "transst" not in adata.obs


def test_parts_of_other_lengths(tissue, tmp_path):
    import h5py

    tissue[0].write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        values = file["X"]["data"][:-7]
        del file["X"]["data"]
        file["X"]["data"] = values
    with pytest.raises(OSError, match="do not fit 196 rows"):
        open_rows(ad.read_h5ad(tmp_path / "x.h5ad", backed="r").X, "adata")


def stop_after(monkeypatch, n_passes):
    """Let the machine fail in the pass after so many."""
    original = RowChunks._kept

    def kept(self, compute, key, kind):
        def failing():
            kept.passes += 1
            if kept.passes > n_passes:
                raise KeyboardInterrupt
            return compute()

        return original(self, failing, key, kind)

    kept.passes = 0
    monkeypatch.setattr(RowChunks, "_kept", kept)


def test_a_fit_goes_on_where_it_was_stopped(tissue, backed, tmp_path, monkeypatch):
    in_memory = tissue[0].copy()
    tst.tl.transst(in_memory, tissue[1].copy(), **OPTIONS)
    folder = tmp_path / "statistics"
    with monkeypatch.context() as patch:
        stop_after(patch, 7)  # all but the scores, and what the domains are named by
        with pytest.raises(KeyboardInterrupt):
            tst.tl.transst(*backed, statistics=folder, **OPTIONS)
    assert "transst" not in backed[0].obs
    tst.tl.transst(*backed, statistics=folder, **OPTIONS)
    # The survey tells whether the data are the same; the sample of spots is not kept; scores; names.
    passes = backed[0].uns["transst"]["passes"]
    assert passes["target"] == 5
    assert passes["source"] <= 2  # survey, components
    np.testing.assert_allclose(
        backed[0].varm["transst_loadings"], in_memory.varm["transst_loadings"], rtol=0, atol=1e-8
    )
    assert (backed[0].obs["transst"] == in_memory.obs["transst"]).all()
    # What only the domains depend on needs no pass.
    tst.tl.transst(*backed, statistics=folder, **{**OPTIONS, "n_domains": 2})
    assert backed[0].uns["transst"]["passes"] == {"target": 3, "source": 1}  # survey, sample, names
    assert backed[0].obs["transst"].nunique() == 2


def test_other_data_are_not_mistaken(tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 1000)
    folder = tmp_path / "statistics"
    passes = []
    for name, part in (("a", tissue[0]), ("b", tissue[1]), ("c", tissue[0])):
        part.write_h5ad(tmp_path / name)
        adata = ad.read_h5ad(tmp_path / name, backed="r")
        tst.tl.transst(adata, n_domains=3, n_factors=4, n_init=1, statistics=folder)
        passes.append(adata.uns["transst"]["passes"]["target"])
    assert passes == [4, 4, 1]


def test_the_same_values_in_other_columns_are_other_data(tissue, tmp_path):
    """Totals, detections and extremes of every row are equal."""
    folder, options = tmp_path / "statistics", {"n_domains": 3, "n_factors": 4, "n_init": 1}
    X = 1 + (tissue[0].X.toarray() if sp.issparse(tissue[0].X) else np.array(tissue[0].X))
    permuted = X[:, np.random.default_rng(0).permutation(X.shape[1])]
    for name, values in (("X", X), ("permuted", permuted)):
        adata = ad.AnnData(values, obsm={"spatial": tissue[0].obsm["spatial"]})
        adata.write_h5ad(tmp_path / name)
        backed = ad.read_h5ad(tmp_path / name, backed="r")
        tst.tl.transst(backed, statistics=folder, **options)
        tst.tl.transst(adata, **options)
        np.testing.assert_allclose(backed.varm["transst_loadings"], adata.varm["transst_loadings"], atol=1e-7)


def test_statistics_need_data_on_disk(tissue, tmp_path):
    with pytest.raises(ValueError, match="`statistics` was given, but all expression is in memory"):
        tst.tl.transst(tissue[0].copy(), n_domains=3, statistics=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_damaged_statistics_are_named(backed, tmp_path):
    folder = tmp_path / "statistics"
    tst.tl.transst(backed[0], n_domains=3, n_factors=4, n_init=1, statistics=folder)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(OSError, match=r"pass-\w+.npz cannot be read .* delete it, and its pass is done anew"):
        tst.tl.transst(backed[0], n_domains=3, n_factors=4, n_init=1, statistics=folder)


def test_a_full_disk_leaves_nothing_half_written(backed, tmp_path, monkeypatch):
    folder = tmp_path / "statistics"

    def full(file, *arrays):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_saved.np, "savez", full)
    with pytest.raises(OSError, match=r"cannot write .*pass-\w+.npz: No space left on device"):
        tst.tl.transst(backed[0], n_domains=3, n_factors=4, statistics=folder)
    assert list(folder.iterdir()) == []
    assert "transst" not in backed[0].obs


def test_an_older_file_stays_if_the_new_one_fails(tmp_path):
    path = tmp_path / "model"
    path.write_text("old")
    with pytest.raises(TypeError), _atomic.written_whole(path) as file:
        file.write("no bytes")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    with _atomic.written_whole(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_is_not_there(tmp_path):
    path = tmp_path / "none" / "x"
    with pytest.raises(OSError, match=r"cannot write .*none/x: No such file"), _atomic.written_whole(path):
        pass
