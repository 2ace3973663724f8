"""Runs of the spatial mixture from several starts: how many, and which is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from transst_py.domains.components import (
    Components,
)

__all__ = ["Run", "n_distinct", "n_restarts"]


def n_restarts(n: int) -> int:
    """Restarts for n spots, 10 to 50."""
    return int(np.clip(20_000 // n, 10, 50))


def n_distinct(Z: np.ndarray, enough: int) -> int:
    """Count the distinct rows of Z, or `enough` where one column has so many values."""
    if Z.shape[1] and len(np.unique(Z[:, 0])) >= enough:
        return enough
    return len(np.unique(Z, axis=0))


@dataclass
class Run:
    """One restart of the ICM-EM."""

    labels: np.ndarray
    responsibilities: np.ndarray
    components: Components
    smoothness: float
    bounds: list[float]
    converged: bool

    @property
    def n_occupied(self) -> int:
        """Classes that hold a spot."""
        return int(np.count_nonzero(np.bincount(self.labels)))
