import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import transst_py as tst
from transst_py._core.threads import in_threads


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


def test_overlapping_calls_leave_blas_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = blas_threads()
    first_inside, second_inside, first_left = (threading.Event() for _ in range(3))

    def first(_):
        first_inside.set()
        assert second_inside.wait(60)

    def second(_):
        second_inside.set()
        assert first_left.wait(60)
        return blas_threads()

    one = threading.Thread(target=in_threads, args=(first, [0]))
    one.start()
    assert first_inside.wait(60)
    within = []
    two = threading.Thread(target=lambda: within.extend(in_threads(second, [0])))
    two.start()
    one.join()
    first_left.set()
    two.join()
    assert within == [[1] * len(before)]
    assert blas_threads() == before


def test_fits_in_threads_are_those_of_fits_in_turn(tissue):
    target, source = tissue
    options = {"source_labels": "label", "n_factors": 4, "n_init": 2, "n_folds": 2, "copy": True}
    jobs = [{"n_domains": k, "random_state": seed} for k in (2, 3) for seed in (0, 1)]
    alone = [tst.tl.transst(target, source, **options, **job) for job in jobs]
    before = blas_threads()
    with ThreadPoolExecutor(len(jobs)) as pool:
        together = list(pool.map(lambda job: tst.tl.transst(target, source, **options, **job), jobs))
    assert blas_threads() == before
    for one, other in zip(alone, together, strict=True):
        assert one.obs["transst"].equals(other.obs["transst"])
        assert list(one.uns["transst"]["warnings"]) == list(other.uns["transst"]["warnings"])
