"""What `tl.transst` left in `uns`, also where it came back from R or from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from anndata import AnnData

from transst_py._core.typing import SpatialDataLike
from transst_py.tl._gate import check_anndata

__all__ = ["as_written", "check_same_fit", "fit_identity", "fit_record", "is_fit_record", "numbers"]


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
    if not is_fit_record(record):
        raise KeyError(f"`key`: adata.uns has no record {key!r} of a fit; run `tl.transst` first")
    return dict(as_written(record))


def is_fit_record(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether an entry of `uns` is what `tl.transst` wrote."""
    return isinstance(value, Mapping) and "mixture" in value


def as_written(value: Any) -> Any:
    """Return a record with its texts as they were written; zarr gives numpy's variable-width strings."""
    if isinstance(value, Mapping):
        return {name: as_written(part) for name, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "T":
        return value.astype(object)
    return value


def fit_identity(params: Mapping[str, Any], labels: np.ndarray, scores: np.ndarray) -> str:
    """Tell a fit from any other by its options, the domains and the factor scores, as text.

    What is made from a fit (markers, a report) keeps it, and is not taken for a part of another fit.
    """
    digest = hashlib.blake2b(json.dumps(params, sort_keys=True, default=str).encode(), digest_size=12)
    for array in (labels, scores):
        digest.update(np.ascontiguousarray(array).reshape(-1).data)  # without a copy: spots may be millions
    return digest.hexdigest()


def check_same_fit(adata: AnnData, key: str, part: Mapping[str, Any], what: str, again: str) -> None:
    """Refuse a part that was made from another fit than the one whose record is there now.

    Parameters
    ----------
    part
        Record of the part; its "fit" is the identity of the fit.
    what, again
        Name of the part, and how to make it anew, for the message.

    Raises
    ------
    ValueError
        The identities differ.
    """
    record = adata.uns.get(key)
    now = record.get("id") if isinstance(record, Mapping) else None
    if now is not None and str(part.get("fit", now)) != str(now):
        raise ValueError(
            f"{what} belong to another fit than the domains in obs[{key!r}], which were found later; {again}"
        )


def numbers(values: Any) -> np.ndarray:
    """Return a float64 vector (n,), also of a list or, from R, of a single number."""
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
