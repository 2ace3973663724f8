"""Functions of chunks of rows, called here one after the other, or on the workers of a dask cluster.

Where a `distributed.Client` is active, chunks are summed up where they are read: in runs of neighbouring
chunks, then pairs of runs. The order of the sums follows from the number of chunks and of the cluster's
threads alone, so that a worker that dies, whose runs others repeat, changes nothing.
"""

from __future__ import annotations

import operator
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from transst_py._core.typing import Matrix

__all__ = ["Task", "add_up", "each"]

# A worker that dies costs at most this many chunks.
_LONGEST_RUN = 32
# Results on their way here, for each thread of the cluster.
_AHEAD = 4


@dataclass(frozen=True)
class Task:
    """Rows to read, and what goes with them.

    Attributes
    ----------
    pieces
        Promises of rows: functions that read them, or `Delayed`; put one below the other.
    rows
        For each, which of its rows; `None` means all.
    parts
        Further arguments: what belongs to these rows.
    """

    pieces: tuple[Any, ...]
    rows: tuple[np.ndarray | None, ...]
    parts: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Call:
    """A function of the rows, after some steps from matrix to matrix."""

    function: Callable[..., Any]
    steps: tuple[Callable[[Matrix], Matrix], ...]

    def __call__(self, blocks: Sequence[Any], rows: Sequence[np.ndarray | None], parts: Sequence[Any]) -> Any:
        """Call it for rows that are here, or that can be read here."""
        read = [block() if callable(block) else block for block in blocks]
        chosen = [block if index is None else block[index] for block, index in zip(read, rows, strict=True)]
        X = chosen[0] if len(chosen) == 1 else _stacked(chosen)
        for step in self.steps:
            X = step(X)
        return self.function(X, *parts)


def _stacked(blocks: list[Matrix]) -> Matrix:
    return np.vstack(blocks) if isinstance(blocks[0], np.ndarray) else sp.vstack(blocks, format="csr")


def add_up(call: Call, tasks: Sequence[Task]) -> Any:
    """Sum the call's results for all tasks, at least one, in their order."""
    client = _active_client()
    if client is None:
        results = each(call, tasks)
        total = next(results)
        for part in results:
            total += part  # arrays in place
        return total
    from dask.delayed import delayed

    add, shared = delayed(_added), delayed(_Shared(call))
    threads = max(sum(client.nthreads().values()), 1)
    length = min(-(-len(tasks) // threads), _LONGEST_RUN)
    sums: list[Any] = []
    for i, task in enumerate(tasks):
        so_far = sums.pop() if i % length else None
        sums.append(add(so_far, shared, list(task.pieces), list(task.rows), list(task.parts)))
    plus = delayed(operator.add)
    while len(sums) > 1:
        sums = [plus(*sums[i : i + 2]) if i + 1 < len(sums) else sums[i] for i in range(0, len(sums), 2)]
    with _large_graphs():
        future = client.compute(sums[0])
    return _result(future)


def each(call: Call, tasks: Sequence[Task]) -> Iterator[Any]:
    """Yield the call's result for every task, in their order."""
    client = _active_client()
    if client is None:
        for task in tasks:
            yield call([_fetched(piece) for piece in task.pieces], task.rows, task.parts)
        return
    from dask.delayed import delayed

    shared, apply = client.persist(delayed(_Shared(call))), delayed(_called)
    width = _AHEAD * max(sum(client.nthreads().values()), 1)
    starts = [*range(0, len(tasks), width), len(tasks)]
    for start, stop in pairwise(starts):
        batch = [
            apply(shared, list(task.pieces), list(task.rows), list(task.parts)) for task in tasks[start:stop]
        ]
        with _large_graphs():
            futures = client.compute(batch)
        for future in futures:
            yield _result(future)


def _result(future: Any) -> Any:
    """Wait for what the workers compute.

    Raises
    ------
    OSError
        Worker after worker died on the same rows.
    """
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        n_died = error.allowed_failures + 1
        raise OSError(
            f"workers of the cluster died on the same rows, {n_died} one after the other, most often for "
            "want of memory: give the workers more, or the expression smaller chunks; their logs tell why, "
            f"the last was {error.last_worker.address}"
        ) from error


@dataclass(frozen=True)
class _Shared:
    """A call that every worker is sent once, not with each task."""

    call: Call


def _called(shared: _Shared, blocks: list[Any], rows: list[Any], parts: list[Any]) -> Any:
    return shared.call(blocks, rows, parts)


def _added(total: Any, shared: _Shared, blocks: list[Any], rows: list[Any], parts: list[Any]) -> Any:
    # Not in place: a result of a task may be needed again, should a worker die.
    part = shared.call(blocks, rows, parts)
    return part if total is None else total + part


def _fetched(piece: Any) -> Any:
    return piece.compute() if hasattr(piece, "compute") else piece


def _active_client() -> Any:
    """Return the client of the cluster that is in use, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


@contextmanager
def _large_graphs() -> Iterator[None]:
    # What belongs to the rows (classes, folds) goes with the tasks, a byte or so for each row.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
        yield
