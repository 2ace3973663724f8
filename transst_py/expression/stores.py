"""Where rows come from that are not in memory: csr or dense arrays in HDF5 and zarr files, and dask arrays.

A store is cut into chunks of rows. `piece(i, first, last)` promises some rows of chunk i: called, it reads
them, here or, pickled, on another machine that sees the same file; of a dask array it is a `Delayed`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import h5py
import numpy as np
import scipy.sparse as sp
from anndata.abc import CSCDataset, CSRDataset

from transst_py._core.typing import Matrix

__all__ = ["Store", "find_store", "is_stored"]

# Stored values of a chunk: 8 million with their columns are 64 MB.
_CHUNK_VALUES = 1 << 23


class Store(Protocol):
    """Rows somewhere else: their (n, p) shape, type, and the (chunks + 1,) bounds of the chunks."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    sparse: bool
    bounds: np.ndarray
    reads: int

    def piece(self, chunk: int, first: int, last: int) -> Any:
        """Promise rows first..last-1 of a chunk."""


def is_stored(X: Any) -> bool:
    """Tell whether X is on disk, or a dask array."""
    return isinstance(X, (CSRDataset, CSCDataset, h5py.Dataset)) or _is_zarr(X) or _is_dask(X)


def _is_zarr(X: Any) -> bool:
    zarr = sys.modules.get("zarr")
    return zarr is not None and isinstance(X, zarr.Array)


def _is_dask(X: Any) -> bool:
    dask = sys.modules.get("dask.array")
    return dask is not None and isinstance(X, dask.Array)


def find_store(X: Any, what: str) -> Store:
    """Return the store of what `is_stored` has recognised.

    Raises
    ------
    ValueError
        It is stored by columns, is no matrix, or a dask array that does not know its own rows.
    OSError
        The file is damaged.
    """
    if isinstance(X, CSCDataset):
        raise ValueError(
            f"`{what}` is stored by columns (csc), but is read by rows; write it as csr: "
            "adata.X = scipy.sparse.csr_matrix(adata.X) before adata.write_h5ad()"
        )
    if len(X.shape) != 2:
        raise ValueError(f"`{what}` must be a matrix, got shape {X.shape}")
    if _is_dask(X):
        return DaskRows.of(X, what)
    return FileRows.of(X.group if isinstance(X, CSRDataset) else X, tuple(X.shape))


@dataclass
class FileRows:
    """A csr matrix (a group of three arrays) or a dense array in an HDF5 or a zarr file."""

    node: Any
    path: str
    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    sparse: bool
    bounds: np.ndarray
    reads: int = 0

    @classmethod
    def of(cls, node: Any, shape: tuple[int, int]) -> FileRows:
        """Describe an open array or group."""
        sparse = hasattr(node, "keys")
        hdf5 = isinstance(node, (h5py.Group, h5py.Dataset))
        path, name = (node.file.filename, node.name) if hdf5 else (str(node.store_path), node.path or "/")
        self = cls(node, path, name, shape, np.dtype(float), sparse, np.zeros(1, dtype=np.int64))
        self.dtype, stored = self._guarded(self._measure, 0, shape[0])
        rows = max(int(_CHUNK_VALUES * shape[0] / max(stored, 1)), 1)
        self.bounds = np.append(np.arange(0, shape[0], rows), shape[0])
        return self

    def _measure(self, node: Any) -> tuple[np.dtype[Any], int]:
        """Type and number of the stored values; refuses a sparse matrix whose parts do not fit together."""
        if not self.sparse:
            return node.dtype, int(np.prod(self.shape))
        parts = {name: node[name] for name in ("data", "indices", "indptr")}
        stored = int(parts["indptr"][-1])
        lengths = [part.shape[0] for part in parts.values()]
        if lengths != [stored, stored, self.shape[0] + 1]:
            raise ValueError(f"data, indices and indptr of {lengths} values do not fit {self.shape[0]} rows")
        for name, part in parts.items():
            # zarr reads a chunk whose file is lost as zeros.
            if getattr(part, "nchunks_initialized", 0) < getattr(part, "nchunks", 0):
                raise ValueError(f"{part.nchunks - part.nchunks_initialized} chunks of {name!r} are missing")
        return parts["data"].dtype, stored

    def piece(self, chunk: int, first: int, last: int) -> Callable[[], Matrix]:
        """Promise rows first..last-1 of a chunk."""
        start = int(self.bounds[chunk])
        return _Rows(self, start + first, start + last)

    def read(self, start: int, stop: int) -> Matrix:
        """Read rows start..stop-1 of the file.

        Raises
        ------
        OSError
            They cannot be read, or make no sense; the message names the file and the rows.
        """
        return self._guarded(lambda node: self._read(node, start, stop), start, stop)

    def _guarded(self, function: Callable[[Any], Any], start: int, stop: int) -> Any:
        try:
            with nullcontext(self.node) if self.node is not None else h5py.File(self.path, "r") as node:
                return function(node[self.name] if self.node is None else node)
        except Exception as error:
            raise OSError(
                f"{self.path}, {self.name}: rows {start} to {stop} cannot be read ({error}); the file is "
                "damaged or incomplete, closed, or not seen by this machine: copy it or write it again"
            ) from error

    def _read(self, node: Any, start: int, stop: int) -> Matrix:
        if not self.sparse:
            return np.asarray(node[start:stop])
        indptr = np.asarray(node["indptr"][start : stop + 1], dtype=np.int64)
        stored = slice(int(indptr[0]), int(indptr[-1]))
        data, indices = np.asarray(node["data"][stored]), np.asarray(node["indices"][stored])
        n_genes = self.shape[1]
        if np.any(np.diff(indptr) < 0) or len(data) != indptr[-1] - indptr[0] or len(indices) != len(data):
            raise ValueError("its row pointers make no sense")
        if len(indices) and not (indices.min() >= 0 and indices.max() < n_genes):
            raise ValueError(f"it has columns that are not among its {n_genes}")
        return sp.csr_matrix((data, indices, indptr - indptr[0]), shape=(stop - start, n_genes))

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens an HDF5 file itself; zarr's groups and arrays know how to.
        opened = isinstance(self.node, (h5py.Group, h5py.Dataset))
        return self.__dict__ | {"node": None if opened else self.node, "bounds": None, "reads": 0}


@dataclass(frozen=True)
class _Rows:
    """A promise to read rows of a file."""

    store: FileRows
    start: int
    stop: int

    def __call__(self) -> Matrix:
        return self.store.read(self.start, self.stop)


@dataclass
class DaskRows:
    """A dask array in blocks of whole rows."""

    array: Any
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    sparse: bool
    bounds: np.ndarray
    reads: int = 0
    _blocks: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, array: Any, what: str) -> DaskRows:
        """Describe an array, its columns brought together."""
        if not np.isfinite(array.shape).all():
            raise ValueError(
                f"`{what}` is a dask array of unknown shape; call its compute_chunk_sizes() first"
            )
        array = array.rechunk({1: -1}) if array.numblocks[1] > 1 else array
        bounds = np.concatenate([[0], np.cumsum(array.chunks[0])]).astype(np.int64)
        sparse = not isinstance(array._meta, np.ndarray)
        return cls(array, array.shape, array.dtype, sparse, bounds)

    def piece(self, chunk: int, first: int, last: int) -> Any:
        """Promise rows first..last-1 of a chunk, as a `dask.delayed.Delayed`."""
        if not self._blocks:
            self._blocks = list(self.array.to_delayed()[:, 0])
        block = self._blocks[chunk]
        return block if last - first == self.bounds[chunk + 1] - self.bounds[chunk] else block[first:last]
