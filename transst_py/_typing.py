"""Names for the types that recur in signatures."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Matrix"]

# ndarray or scipy csr matrix. scipy ships no types, so a union could not be narrowed by `issparse`.
Matrix: TypeAlias = Any
