"""What `tl.transst` left in `uns`, also where it came back from R or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from transst_py._typing import SpatialDataLike
from transst_py._validation import check_anndata

__all__ = ["fit_record", "numbers"]


def fit_record(adata: AnnData | SpatialDataLike, key: str) -> Mapping[str, Any]:
    """Return the record of a fit.

    Raises
    ------
    TypeError, ValueError
        It is no AnnData, nor a SpatialData with one table.
    KeyError
        Its `uns` has none of that name.
    """
    record = check_anndata(adata, in_memory=None).uns.get(key)
    if not isinstance(record, Mapping) or "mixture" not in record:
        raise KeyError(f"`key`: adata.uns has no record {key!r} of a fit; run `tl.transst` first")
    return record


def numbers(values: Any) -> np.ndarray:
    """Return a float64 vector (n,), also of a list or, from R, of a single number."""
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
