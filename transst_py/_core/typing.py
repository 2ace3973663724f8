"""Names for the types that recur in signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from anndata import AnnData

__all__ = ["Matrix", "SpatialDataLike"]

# ndarray or scipy csr matrix. scipy ships no types, so a union could not be narrowed by `issparse`.
Matrix: TypeAlias = Any


class SpatialDataLike(Protocol):
    """A `spatialdata.SpatialData`, as far as anything here looks at it."""

    @property
    def tables(self) -> Mapping[str, AnnData]:
        """Tables by name."""
