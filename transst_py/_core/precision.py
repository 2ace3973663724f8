"""What has a value for every spot is kept in single precision on huge tissues; sums are double throughout."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["working_dtype"]

# From here on, each array of all factors is a quarter of a gigabyte or more; float32's noise matters nowhere.
_LARGE = 2_000_000


def working_dtype(n: int) -> np.dtype[Any]:
    """Floating type for arrays of n spots: float64 up to two million, float32 above."""
    return np.dtype(np.float64 if n <= _LARGE else np.float32)
