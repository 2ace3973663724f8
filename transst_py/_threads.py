"""Independent products in parallel threads, each on single-threaded BLAS.

Threads within narrow products gain little, and lose all of it on a busy machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from joblib import cpu_count
from threadpoolctl import ThreadpoolController

__all__ = ["in_threads"]


def in_threads(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Results of a function for every item, in order, on as many threads as OMP_NUM_THREADS allows."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    workers = int(allowed) if allowed.isdigit() and int(allowed) > 0 else cpu_count()
    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


@cache
def _blas() -> ThreadpoolController:
    """Look the process's libraries through once: that takes longer than a small product."""
    return ThreadpoolController()
