"""Passes over rows on the workers of a cluster, one of which is killed; in processes of their own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
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
def _client():
    import dask
    from distributed import Client, LocalCluster

    config = {
        # dask gives up a worker that is gone so long after it went, be it then once more.
        "distributed.deploy.lost-worker-timeout": "1h",
        "distributed.worker.multiprocessing-method": "forkserver",  # starts them soonest
    }
    # R, where another test has started it in this process, leaves paths there that lead to another Python.
    without_r = pytest.MonkeyPatch()
    without_r.delenv("LD_LIBRARY_PATH", raising=False)
    with (
        dask.config.set(config),
        LocalCluster(
            2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
    without_r.undo()


@pytest.fixture
def client(_client):
    """Client of two workers, each a process of its own; those that were killed are there again."""
    _client.wait_for_workers(2, timeout=60)
    return _client


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


def asks_to_be_killed(block: sp.csr_matrix, folder: Path) -> sp.csr_matrix:
    """Wait for `executioner`, every other time that the block is read: once in each pass."""
    reading = len(list(folder.iterdir()))
    (folder / f"{reading}-{os.getpid()}").touch()
    if reading % 2 == 0:
        time.sleep(60)
    return block


@contextmanager
def executioner(client: Any, folder: Path) -> Iterator[None]:
    """Kill the workers that ask for it, once dask would start others in their place.

    A worker that dies while it is still starting is not replaced; without any, the fit would wait for ever.
    """
    from distributed.core import Status

    over, killed = threading.Event(), set()

    def work() -> None:
        while not over.wait(0.02):
            processes = [nanny.process for nanny in client.cluster.workers.values()]
            running = {one.pid for one in processes if one is not None and one.status == Status.running}
            for reading, pid in (map(int, file.name.split("-")) for file in folder.iterdir()):
                if reading % 2 == 0 and pid in running - killed:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def in_blocks(adata: ad.AnnData, rows: int, folder: Path | None = None) -> ad.AnnData:
    """The same as a dask array; if there is a folder, its third block asks that workers be killed."""
    adata = adata.copy()
    blocks = [
        da.from_array(sp.csr_matrix(adata.X[i : i + rows]), chunks=-1, asarray=False)
        for i in range(0, adata.n_obs, rows)
    ]
    if folder is not None:
        blocks[2] = blocks[2].map_blocks(asks_to_be_killed, folder, dtype=adata.X.dtype, meta=blocks[2]._meta)
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


def test_workers_killed_in_every_pass_change_nothing(client, tissue, expected, tmp_path):
    target, source = in_blocks(tissue[0], 20, tmp_path), in_blocks(tissue[1], 20)
    with executioner(client, tmp_path):
        tst.tl.transst(target, source, **OPTIONS)
    n_passes = target.uns["transst"]["passes"]["target"]
    assert n_passes > 4
    assert len(list(tmp_path.iterdir())) == 2 * n_passes
    assert_equal_results(target, expected)


def test_rows_that_kill_every_worker_end_the_fit(client, tissue, tmp_path, monkeypatch):
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    target = in_blocks(tissue[0], 20, tmp_path)
    before = target.obs.copy()
    message = r"workers of the cluster died on the same rows, 1 one after the other, .* memory"
    with executioner(client, tmp_path), pytest.raises(OSError, match=message):
        tst.tl.transst(target, n_domains=3, n_factors=4)
    pd.testing.assert_frame_equal(target.obs, before)
    assert "transst" not in target.uns


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
