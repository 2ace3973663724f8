"""Passes over rows on the workers of a cluster, one of which is killed; in processes of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py.expression import stores as _stores
from transst_py.expression.chunks import open_rows

pytest.importorskip("distributed", reason="dask.distributed is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")

OPTIONS = {"source_labels": "label", "n_domains": 3, "n_factors": 4, "n_init": 2, "n_top_genes": 40}

# What workers tell of their own start and end is not ours to judge.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def client():
    """Client of two workers, each a process of its own."""
    from distributed import Client, LocalCluster

    # R, where another test has started it in this process, leaves paths there that lead to another Python.
    without_r = pytest.MonkeyPatch()
    without_r.delenv("LD_LIBRARY_PATH", raising=False)
    with (
        LocalCluster(
            2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
    without_r.undo()


@pytest.fixture(scope="module")
def tissue():
    return tst.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=60, n_domains=3, random_state=3)


@pytest.fixture(scope="module")
def expected(tissue):
    """Result in memory, without a cluster."""
    target, source = (part.copy() for part in tissue)
    tst.tl.transst(target, source, **OPTIONS)
    return target


def assert_equal_results(one, other):
    loadings = "transst_loadings"
    np.testing.assert_allclose(one.varm[loadings], other.varm[loadings], rtol=0, atol=1e-8)
    assert (one.obs["transst"] == other.obs["transst"]).all()


def kill_once(block: sp.csr_matrix, marker: Path) -> sp.csr_matrix:
    """End this worker, as the machine would, the first time that it gets here."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def in_blocks(adata: ad.AnnData, rows: int, marker: Path | None = None) -> ad.AnnData:
    """The same as a dask array; reading its third block kills the worker, once."""
    adata = adata.copy()
    blocks = [
        da.from_array(sp.csr_matrix(adata.X[i : i + rows]), chunks=-1, asarray=False)
        for i in range(0, adata.n_obs, rows)
    ]
    if marker is not None:
        blocks[2] = blocks[2].map_blocks(kill_once, marker, dtype=adata.X.dtype, meta=blocks[2]._meta)
    adata.X = da.concatenate(blocks)
    return adata


@pytest.mark.parametrize("kind", ["h5ad", "dask"])
def test_workers_find_what_one_process_finds(kind, client, tissue, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 900)
    target, source = (in_blocks(part, 20) for part in tissue)
    if kind == "h5ad":
        tissue[0].write_h5ad(tmp_path / "x.h5ad")
        target = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
        source = tissue[1].copy()
    tst.tl.transst(target, source, **OPTIONS)
    assert_equal_results(target, expected)


def test_a_killed_worker_changes_nothing(client, tissue, expected, tmp_path):
    marker = tmp_path / "killed"
    target, source = in_blocks(tissue[0], 20, marker), in_blocks(tissue[1], 20)
    tst.tl.transst(target, source, **OPTIONS)
    assert marker.exists()
    assert_equal_results(target, expected)


def test_rows_stay_on_the_workers(client, tissue):
    X = open_rows(in_blocks(tissue[0], 20).X, "adata")
    workers = set(X.concatenate(process_of_rows))
    assert os.getpid() not in workers
    assert len(workers) == 2


def process_of_rows(X: sp.csr_matrix) -> np.ndarray:
    return np.full(X.shape[0], os.getpid())


def test_an_error_on_a_worker_is_told_here(client, tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(_stores, "_CHUNK_VALUES", 900)
    tissue[0].write_h5ad(tmp_path / "x.h5ad")
    X = open_rows(ad.read_h5ad(tmp_path / "x.h5ad", backed="r").X, "adata")
    X.store.path = str(tmp_path / "gone.h5ad")
    with pytest.raises(OSError, match=r"gone.h5ad, /X: rows \d+ to \d+ cannot be read"):
        X.survey()
