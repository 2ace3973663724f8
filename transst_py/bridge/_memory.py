"""Numbers between R's memory and numpy's, with no more copies than needed."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp

from ._session import r_session

__all__ = ["matrix_view", "r_array", "r_matrix", "r_vector", "stored_matrix"]

_MAX_R_INDEX = np.iinfo(np.int32).max
_DTYPES = {"REALSXP": "<f8", "INTSXP": "<i4", "LGLSXP": "<i4", "RAWSXP": "|u1"}


class _Window:
    """Window on an R vector, read-only unless the vector is new.

    numpy keeps this object as the array's base, and it keeps the R vector alive. A bare memoryview does not,
    and reading it after R's garbage collection ends the process.
    """

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, sexp: Any, shape: tuple[int, ...], dtype: np.dtype, *, writable: bool = False) -> None:
        from rpy2.rinterface_lib import openrlib

        address = int(openrlib.ffi.cast("uintptr_t", sexp._R_GET_PTR(sexp.__sexp__._cdata)))
        self._owner = sexp
        self.__array_interface__ = {
            "version": 3,
            "typestr": dtype.str,
            "shape": shape,
            "strides": tuple(np.cumprod((dtype.itemsize, *shape[:-1])).tolist()),  # R is column-major
            "data": (address, not writable),
        }


def r_array(sexp: Any) -> np.ndarray:
    """View an R double, integer, logical or raw vector or matrix as a read-only array on R's own memory."""
    ri = r_session().interface
    dtype = np.dtype(_DTYPES[sexp.typeof.name])
    dim = ri.baseenv["dim"](sexp)
    shape = (len(sexp),) if dim is ri.NULL else tuple(int(d) for d in dim)
    if len(sexp) == 0:
        return np.empty(shape, dtype)
    return np.asarray(_Window(sexp, shape, dtype))


def matrix_view(sexp: Any) -> np.ndarray | sp.csr_matrix:
    """View an R (genes x spots) dgCMatrix or matrix as a read-only (spots x genes) one on R's own memory.

    Both layouts agree (CSC of the one is CSR of the other), so nothing is transposed.
    """
    if sexp.typeof != r_session().interface.RTYPES.S4SXP:
        return r_array(sexp).T
    x, i, p = (r_array(sexp.do_slot(name)) for name in "xip")
    shape = tuple(int(d) for d in sexp.do_slot("Dim"))[::-1]
    X = sp.csr_matrix(shape, dtype=x.dtype)
    X.data, X.indices, X.indptr = x, i, p  # the constructor would look through them once more
    X.has_canonical_format = True  # R checks that of every dgCMatrix
    return X


def stored_matrix(file: dict[str, Any]) -> h5py.Dataset:
    """Open a (genes x spots) matrix of R in its HDF5 file, `path` and `name`, where it is (spots x genes)."""
    path, name = (str(file[part][0]) for part in ("path", "name"))
    return h5py.File(path, "r")[name]


def r_matrix(X: np.ndarray | sp.spmatrix, names: Any = None) -> Any:
    """Copy a (spots x genes) matrix into an R (genes x spots) one: dgCMatrix if sparse, else a double matrix.

    As in `matrix_view`, nothing is transposed.

    Parameters
    ----------
    X
        The values.
    names
        R's dimnames of the result. To set them later would copy a dense matrix.

    Raises
    ------
    ValueError
        A sparse matrix has more stored values than R's dgCMatrix can index.
    """
    ri = r_session().interface
    if isinstance(X, np.ndarray):
        rows, columns = (ri.IntSexpVector([n]) for n in X.shape[::-1])
        new = ri.baseenv["matrix"](ri.FloatSexpVector([0.0]), rows, columns, dimnames=names or ri.NULL)
        return _filled(new, X.T)
    X = sp.csr_matrix(X)
    if X.nnz > _MAX_R_INDEX:
        raise ValueError(f"{X.nnz} stored values are more than R's dgCMatrix can hold ({_MAX_R_INDEX})")
    if not X.has_canonical_format:
        X = X.copy()  # the caller's matrix stays as it is
        X.sum_duplicates()
    slots = [(X.data, "double"), (X.indices, "integer"), (X.indptr, "integer"), (X.shape[::-1], "integer")]
    copies = [r_vector(np.asarray(values), mode) for values, mode in slots]
    return r_session().package[".newDgCMatrix"](*copies, names or ri.NULL)


def r_vector(values: np.ndarray, mode: str) -> Any:
    """Copy a one-dimensional array into an R vector."""
    ri = r_session().interface
    new = ri.baseenv["vector"](ri.StrSexpVector([mode]), ri.FloatSexpVector([values.size]))
    return _filled(new, values)


def _filled(new: Any, values: np.ndarray) -> Any:
    """Write into a new R vector or matrix: one copy, whatever the type and the order of the values."""
    if values.size:
        dtype = np.dtype(_DTYPES[new.typeof.name])
        np.asarray(_Window(new, values.shape, dtype, writable=True))[...] = values
    return new
