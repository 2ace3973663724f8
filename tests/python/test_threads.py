import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from transst_py._threads import in_threads


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize(("allowed", "n_threads"), [("1", 1), ("3", 3)])
def test_as_many_threads_as_are_allowed(monkeypatch, allowed, n_threads):
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    together = threading.Barrier(n_threads, timeout=60)  # passes as soon as all of them wait

    def work(item):
        together.wait()
        return item**2, threading.get_ident()

    squares, idents = zip(*in_threads(work, range(6)), strict=True)
    assert squares == (0, 1, 4, 9, 16, 25)
    assert len(set(idents)) == n_threads


@pytest.mark.parametrize("allowed", ["", "all", "0"])
def test_all_cores_where_nothing_is_said(monkeypatch, allowed):
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert in_threads(abs, [-2, 1]) == [2, 1]


def test_blas_is_on_one_thread_within_and_as_before_after(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = blas_threads()
    for _ in range(2):  # the libraries are looked up once
        within = in_threads(lambda _: blas_threads(), range(2))
        assert within == [[1] * len(before)] * 2
        assert blas_threads() == before
    with pytest.raises(np.linalg.LinAlgError):
        in_threads(np.linalg.inv, [np.zeros((2, 2))])
    assert blas_threads() == before
