"""What `tl.transst` left in `uns`, also where it came back from R or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

__all__ = ["fit_record", "numbers"]


def fit_record(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return the record of a fit.

    Raises
    ------
    KeyError
        `adata.uns` has none of that name.
    """
    record = adata.uns.get(key)
    if not isinstance(record, Mapping) or "mixture" not in record:
        raise KeyError(f"`key`: adata.uns has no record {key!r} of a fit; run `tl.transst` first")
    return record


def numbers(values: Any) -> np.ndarray:
    """Return a float64 vector (n,), also of a list or, from R, of a single number."""
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
