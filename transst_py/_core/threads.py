"""Independent products in parallel threads, each on single-threaded BLAS.

Threads within narrow products gain little, and lose all of it on a busy machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import Any

from joblib import cpu_count
from threadpoolctl import ThreadpoolController

__all__ = ["blas_as_before", "in_threads", "one_blas_thread"]


def in_threads(function: Callable[[Any], Any], items: Iterable[Any], *, large: bool = True) -> list[Any]:
    """Results of a function for every item, in order, on as many threads as OMP_NUM_THREADS allows.

    Items that take less than some milliseconds are not `large`: handing them over costs what it gains.
    """
    items = list(items)
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    workers = int(allowed) if allowed.isdigit() and int(allowed) > 0 else cpu_count()
    workers = min(workers, len(items)) if large else 1
    with one_blas_thread:
        if workers < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(function, items))


@cache
def _blas() -> ThreadpoolController:
    """Look the process's libraries through once: that takes longer than a small product."""
    return ThreadpoolController()


class _Limit:
    """A limit on the threads of BLAS while any thread is inside; as it was once the last has left.

    How many threads BLAS has is the whole process's: with a limit of its own, the call that began second
    would in the end restore the limit of the first.
    """

    def __init__(self, of: Callable[[int], int]) -> None:
        self._of = of
        self._lock = threading.Lock()
        self._inside = 0
        self._limit = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                controllers = _blas().select(user_api="blas").lib_controllers
                limits = {library.prefix: self._of(library.num_threads) for library in controllers}
                self._limit.enter_context(_blas().limit(limits=limits))
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.close()


one_blas_thread = _Limit(lambda _: 1)
# Around k-means of scikit-learn, which limits BLAS itself and, in calls that overlap, forgets how it was.
blas_as_before = _Limit(lambda found: found)
