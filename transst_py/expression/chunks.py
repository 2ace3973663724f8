"""Rows that are not all in memory: on disk or in a dask array, read a chunk at a time.

`RowChunks` stands where a csr matrix or an array would: rows and columns can be chosen, and functions of the
rows summed up. A chunk, once read, is an ordinary matrix, and what is computed of it is what would be
computed of all rows in memory; sums are made in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from transst_py._core.typing import Matrix
from transst_py.expression import cluster as _cluster
from transst_py.expression.saved import SavedPasses
from transst_py.expression.stores import Store, find_store, is_stored

__all__ = ["RowChunks", "Survey", "detected_by_group", "is_stored", "open_rows"]


@dataclass
class Survey:
    """What a first look at the stored values tells.

    Attributes
    ----------
    totals
        Sum of every row, float64, in parts.
    sketch
        Sum of every row, each column with a weight of its own, float64, in parts: tells other values, and the
        same values in other columns or rows, without keeping them.
    detected
        Rows in which each column is not zero, (p,).
    lowest, highest
        Of the values, with zeros that are not stored.
    n_lost
        Values that are missing or infinite.
    n_positive, n_fractional
        Values above zero, and those that are no whole numbers.
    detected_by
        Rows of every group in which each column is not zero, (groups, p), if there are groups.
    """

    totals: list[np.ndarray]
    sketch: list[np.ndarray]
    detected: np.ndarray
    lowest: float = 0.0
    highest: float = 0.0
    n_lost: int = 0
    n_positive: int = 0
    n_fractional: int = 0
    detected_by: np.ndarray | None = None

    @classmethod
    def of(cls, X: Matrix, groups: np.ndarray | None = None, *, n_groups: int = 0) -> Self:
        """Look at a matrix in memory; `groups` are the numbers of its rows' groups."""
        values = X.data if sp.issparse(X) else X.ravel()
        positive = values[values > 0]
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values are counted below
            sketch = X @ np.random.default_rng(0).random(X.shape[1])
        return cls(
            [np.asarray(X.sum(axis=1), dtype=np.float64).ravel()],
            [np.asarray(sketch, dtype=np.float64).ravel()],
            _n_detected(X),
            min(float(values.min()), 0.0) if values.size else 0.0,
            max(float(values.max()), 0.0) if values.size else 0.0,
            int(values.size - np.isfinite(values).sum()),
            int(positive.size),
            int(np.sum(positive != np.round(positive))),
            None if groups is None else detected_by_group(X, groups, n_groups),
        )

    def __add__(self, other: Self) -> Self:
        """Look at the rows of both, one below the other."""
        return type(self)(
            self.totals + other.totals,
            self.sketch + other.sketch,
            self.detected + other.detected,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.n_lost + other.n_lost,
            self.n_positive + other.n_positive,
            self.n_fractional + other.n_fractional,
            None
            if self.detected_by is None or other.detected_by is None
            else self.detected_by + other.detected_by,
        )


def _n_detected(X: Matrix) -> np.ndarray:
    if not sp.issparse(X):
        return np.asarray(np.count_nonzero(X, axis=0))
    return np.bincount(X.indices[X.data != 0], minlength=X.shape[1])


def detected_by_group(X: Matrix, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Rows of every group in which each column is not zero, (n_groups, p)."""
    return np.stack([_n_detected(X[groups == group]) for group in range(n_groups)])


@dataclass(eq=False)
class RowChunks:
    """An (n, p) matrix of which only a chunk of rows is in memory at a time.

    Attributes
    ----------
    store
        Where the rows are.
    shape, dtype
        Of the matrix as it is after all steps.
    kept
        Rows of the store, ascending; `None` means all.
    steps
        From rows as they are stored to rows of this matrix.
    saved
        Where results of passes over the rows are kept; `None` keeps none.
    known
        Statistics of the columns that need no second pass, by name: (p,) arrays.
    """

    store: Store
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    kept: np.ndarray | None = None
    steps: tuple[Callable[[Matrix], Matrix], ...] = ()
    saved: SavedPasses | None = None
    known: dict[str, np.ndarray] = field(default_factory=dict)
    _survey: Survey | None = None

    def __getitem__(self, key: Any) -> RowChunks:
        """Choose rows, X[rows], in ascending order, or columns, X[:, columns]."""
        if not isinstance(key, tuple):
            return self._rows(key)
        rows, columns = key
        chosen = np.arange(self.shape[1])[columns]
        known = {name: values[chosen] for name, values in self.known.items()}
        return self._rows(rows)._changed(
            shape=(self.shape[0], len(chosen)),
            steps=(*self.steps, partial(_columns, index=chosen)),
            known=known if rows == slice(None) else {},
        )

    def _rows(self, index: Any) -> RowChunks:
        if isinstance(index, slice) and index == slice(None):
            return self
        index = np.asarray(index) if not isinstance(index, slice) else np.arange(self.shape[0])[index]
        index = np.flatnonzero(index) if index.dtype == bool else index
        if np.any(np.diff(index) <= 0):
            raise ValueError("rows that are not in memory can be chosen in ascending order only")
        kept = index if self.kept is None else self.kept[index]
        return self._changed(shape=(len(index), self.shape[1]), kept=kept, known={}, _survey=None)

    def _changed(self, **changes: Any) -> RowChunks:
        return RowChunks(**{**self.__dict__, "_survey": None, **changes})

    def then(
        self, step: Callable[[Matrix], Matrix], *, known: tuple[str, ...] = (), dtype: Any = None
    ) -> RowChunks:
        """Apply a step to every chunk when it is read; it must not mix rows or change columns.

        `known` names statistics of the columns that the step leaves as they are.
        """
        return self._changed(
            steps=(*self.steps, step),
            known={name: self.known[name] for name in known if name in self.known},
            dtype=self.dtype if dtype is None else np.dtype(dtype),
        )

    def keeping(self, saved: SavedPasses | None) -> RowChunks:
        """Keep the results of passes from now on."""
        return self._changed(saved=saved, _survey=self._survey)

    def survey(self, groups: np.ndarray | None = None) -> Survey:
        """Look at all values once; later calls remember. `groups`: the number of every row's group, (n,)."""
        survey = self._survey
        if survey is None or (groups is not None and survey.detected_by is None):
            n_groups = 0 if groups is None else int(groups.max()) + 1
            aligned = () if groups is None else (groups,)
            survey = self.reduce(partial(Survey.of, n_groups=n_groups), *aligned, save=False)
            self._survey, self.known["detected"] = survey, survey.detected
        return survey

    def totals(self) -> np.ndarray:
        """Sum of every row, float64 (n,)."""
        return np.concatenate(self.survey().totals)

    def reduce(
        self, function: Callable[..., Any], *aligned: np.ndarray, kind: Any = None, save: bool = True
    ) -> Any:
        """Sum a function of the rows over all chunks, in one pass.

        Parameters
        ----------
        function
            Of the rows of a chunk, and of the entries of `aligned` that belong to them; what it returns can
            be added. It and what it holds must pickle.
        aligned
            Arrays with an entry for each row.
        kind
            Class of what is returned, with `arrays` and `from_arrays`, unless it is an array.
        """
        call = _cluster.Call(function, self.steps)
        return self._kept(
            lambda: _cluster.add_up(call, self._tasks(aligned)), (call, aligned), kind if save else _UNSAVED
        )

    def reduce_tasks(self, function: Callable[..., np.ndarray], tasks: list[_cluster.Task]) -> np.ndarray:
        """Sum a function, an array, of the rows of tasks that `task` has made, in one pass."""
        call = _cluster.Call(function, self.steps)
        key = (call, [task.parts for task in tasks])
        return np.asarray(self._kept(lambda: _cluster.add_up(call, tasks), key, None))

    def concatenate(self, function: Callable[..., np.ndarray], *aligned: np.ndarray) -> np.ndarray:
        """Put together a function of the rows of all chunks, an array with an entry for each, in one pass."""
        call = _cluster.Call(function, self.steps)
        return np.asarray(self._kept(lambda: self._together(call, aligned), (call, aligned), None))

    def _together(self, call: _cluster.Call, aligned: tuple[np.ndarray, ...]) -> np.ndarray:
        together, stop = np.empty(0), 0
        for part in _cluster.each(call, self._tasks(aligned)):
            if not stop:
                together = np.empty((self.shape[0], *part.shape[1:]), dtype=part.dtype)
            together[stop : stop + len(part)] = part
            stop += len(part)
        return together

    def _kept(self, compute: Callable[[], Any], key: Any, kind: Any) -> Any:
        def one_pass() -> Any:
            self.store.reads += 1
            return compute()

        if self.saved is None or kind is _UNSAVED:
            return one_pass()
        return self.saved.recall((key, self.kept), one_pass, kind)

    def to_memory(self) -> Matrix:
        """Read all rows: only for few."""
        self.store.reads += 1
        call = _cluster.Call(_itself, self.steps)
        return _cluster._stacked(list(_cluster.each(call, self._tasks(()))))

    def _tasks(self, aligned: tuple[np.ndarray, ...]) -> list[_cluster.Task]:
        bounds = self.bounds()
        return [
            self.task(np.arange(start, stop), *(a[start:stop] for a in aligned))
            for start, stop in pairwise(bounds)
            if start < stop
        ]

    def bounds(self) -> np.ndarray:
        """Where chunks begin and end among the rows of this matrix."""
        return self.store.bounds if self.kept is None else np.searchsorted(self.kept, self.store.bounds)

    def task(self, rows: np.ndarray, *parts: Any) -> _cluster.Task:
        """Any rows, ascending, to be read together, and what goes with them."""
        stored = rows if self.kept is None else self.kept[rows]
        bounds = self.store.bounds
        first = np.searchsorted(bounds, stored[0], side="right") - 1
        last = np.searchsorted(bounds, stored[-1], side="right") - 1
        pieces, chosen = [], []
        for chunk in range(first, last + 1):
            low, high = np.searchsorted(stored, bounds[chunk : chunk + 2])
            if low == high:
                continue
            local = stored[low:high] - bounds[chunk]
            whole = local[-1] - local[0] + 1 == len(local)
            pieces.append(self.store.piece(chunk, int(local[0]), int(local[-1]) + 1))
            chosen.append(None if whole else local - local[0])
        return _cluster.Task(tuple(pieces), tuple(chosen), parts)


_UNSAVED = object()


def open_rows(X: Any, what: str) -> RowChunks:
    """Read the rows of what `is_stored` recognises when they are needed, as floating numbers.

    The types are those of `as_float_matrix`.

    Raises
    ------
    TypeError
        They are no numbers.
    ValueError, OSError
        See `find_store`.
    """
    store = find_store(X, what)
    if store.dtype.kind not in "fiub":
        raise TypeError(f"expression values must be numbers, got dtype {store.dtype}")
    rows = RowChunks(store, store.shape, store.dtype)
    dtype: np.dtype[Any] = np.dtype(np.float64)
    if store.dtype.kind == "f":
        dtype = np.dtype(np.float32 if store.dtype.itemsize <= 4 else np.float64)
    elif store.sparse and (store.dtype.itemsize <= 2 or _largest(rows) < 2**24):
        dtype = np.dtype(np.float32)
    return rows.then(partial(_as_float, dtype=dtype), dtype=dtype)


def _largest(rows: RowChunks) -> float:
    survey = rows.then(partial(_as_float, dtype=np.dtype(np.float64))).survey()
    return max(-survey.lowest, survey.highest)


def _as_float(X: Any, *, dtype: np.dtype[Any]) -> Matrix:
    return np.asarray(X, dtype=dtype) if isinstance(X, np.ndarray) else sp.csr_matrix(X, dtype=dtype)


def _columns(X: Matrix, *, index: np.ndarray) -> Matrix:
    return X[:, index]


def _itself(X: Matrix) -> Matrix:
    return X
