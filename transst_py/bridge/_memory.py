"""Numbers between R's memory and numpy's, with no more copies than needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ._session import r_session

__all__ = ["r_array", "r_matrix"]

_MAX_R_INDEX = np.iinfo(np.int32).max


class _Window:
    """Read-only window on an R vector.

    numpy keeps this object as the array's base, and it keeps the R vector alive. A bare memoryview does not,
    and reading it after R's garbage collection ends the process.
    """

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, sexp: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
        from rpy2.rinterface_lib import openrlib

        address = int(openrlib.ffi.cast("uintptr_t", sexp._R_GET_PTR(sexp.__sexp__._cdata)))
        self._owner = sexp
        self.__array_interface__ = {
            "version": 3,
            "typestr": dtype.str,
            "shape": shape,
            "strides": tuple(np.cumprod((dtype.itemsize, *shape[:-1])).tolist()),  # R is column-major
            "data": (address, True),
        }


def r_array(sexp: Any) -> np.ndarray:
    """View an R double or integer vector or matrix as a read-only array on R's own memory."""
    ri = r_session().interface
    dtype = np.dtype({ri.RTYPES.REALSXP: "<f8", ri.RTYPES.INTSXP: "<i4"}[sexp.typeof])
    dim = ri.baseenv["dim"](sexp)
    shape = (len(sexp),) if dim is ri.NULL else tuple(int(d) for d in dim)
    if len(sexp) == 0:
        return np.empty(shape, dtype)
    return np.asarray(_Window(sexp, shape, dtype))


def r_matrix(X: np.ndarray | sp.spmatrix) -> Any:
    """Copy a (spots x genes) matrix into an R (genes x spots) one: dgCMatrix if sparse, else a double matrix.

    Both layouts agree (CSR of the one is CSC of the other), so nothing is transposed.

    Raises
    ------
    ValueError
        A sparse matrix has more stored values than R's dgCMatrix can index.
    """
    ri = r_session().interface
    dim = ri.IntSexpVector(list(X.shape[::-1]))
    if isinstance(X, np.ndarray):
        return ri.baseenv["array"](_r_vector(X.ravel(), "f8"), dim=dim)
    X = sp.csr_matrix(X, copy=True)  # putting the entries in order must not touch the caller's matrix
    if X.nnz > _MAX_R_INDEX:
        raise ValueError(f"{X.nnz} stored values are more than R's dgCMatrix can hold ({_MAX_R_INDEX})")
    X.sum_duplicates()
    build = r_session().package[".newDgCMatrix"]
    return build(_r_vector(X.data, "f8"), _r_vector(X.indices, "i4"), _r_vector(X.indptr, "i4"), dim)


def _r_vector(values: np.ndarray, dtype: str) -> Any:
    """Copy a one-dimensional array into an R vector."""
    ri = r_session().interface
    kind = ri.FloatSexpVector if dtype == "f8" else ri.IntSexpVector
    if values.size == 0:
        return kind([])
    return kind.from_memoryview(np.ascontiguousarray(values, dtype).data)
