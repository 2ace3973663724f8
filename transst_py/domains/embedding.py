"""From standardised genes to what the mixture sees: a projection, then its spatial factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp

from transst_py.expression.standardize import StandardizedMatrix
from transst_py.tissue.spatial_factors import SpatialFactors, whiten, whitened

__all__ = ["Coordinates"]


@dataclass
class Coordinates:
    """A projection of the genes, and the spatial factors of its coordinates.

    Attributes
    ----------
    projection
        (p, r) from genes to factor scores.
    spatial
        The spatial factors of these; `None` takes them as they are.
    """

    projection: np.ndarray
    spatial: SpatialFactors | None = None

    def transform(self, X: StandardizedMatrix, graph: sp.csr_matrix) -> np.ndarray:
        """What the mixture sees of the spots X (n, p)."""
        return self.smooth(X.dot(self.projection), graph)

    def smooth(self, V: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
        """Spatial factors of coordinates V (n, r), predicted from each spot and those around it."""
        return V if self.spatial is None else self.spatial.predicted(V, graph)

    def alone(self, V: np.ndarray) -> np.ndarray:
        """Spatial factors of coordinates V (n, r), from each spot alone, of unit variance."""
        if self.spatial is None:
            center, whitening = whiten(V)
            return whitened(V, center, whitening)
        return self.spatial.rotate(V)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything in named arrays, for a file."""
        fitted = {} if self.spatial is None else self.spatial.arrays()
        return {"projection": self.projection} | {f"spatial.{k}": v for k, v in fitted.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Read what `arrays` gave."""
        fitted = {k.removeprefix("spatial."): v for k, v in arrays.items() if k.startswith("spatial.")}
        return cls(arrays["projection"], SpatialFactors.from_arrays(fitted) if fitted else None)
