"""Transfer of the source's classes: coordinates that tell them apart, and domains that bear their names.

The loadings span everything that varies in the source, with its labels or not. Where source and target are
alike, the labels say more: which directions of gene space separate the classes, and where in them each
class lies. Where they differ (another patient, cell types against tissue regions), the same knowledge
misleads. So a spot is described twice, by its factors and by its coordinates between the classes; a domain
is free in the first, and in the second lies where the class lies that it is named after. Domains found from
scratch and domains that start from the classes are judged by the one likelihood of both descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from sklearn.metrics import pairwise_distances_argmin

from transst_py.source.em import cholesky_with_ridge
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.tissue.spatial_factors import SpatialFactors

__all__ = ["ClassCoordinates"]

_SPATIAL = "classes.spatial."


@dataclass
class ClassCoordinates:
    """Discriminant coordinates of a source model (Fisher 1936), in units of the spread within classes.

    Attributes
    ----------
    classes
        (L,) names of the classes.
    projection
        (p, d) from standardised genes to coordinates, d <= L - 1.
    means
        (L, d) classes of the source.
    spatial
        What frees the coordinates of a target's spots of noise, once fitted to it.
    """

    classes: np.ndarray
    projection: np.ndarray
    means: np.ndarray
    spatial: SpatialFactors | None = None

    @classmethod
    def from_model(cls, model: SupervisedFactorAnalysis, profiles: np.ndarray | None = None) -> Self:
        """Directions with the largest ratio of variance between classes to variance within.

        Within is what the model says, Λ + WΣW' (Σ pooled over the classes), and as much again as the genes
        vary on the mean: without that ridge the directions follow small differences that another tissue does
        not share. Between are the classes' mean profiles themselves, not only what of them the factors span;
        `profiles` (L, p) take their place, if given.
        """
        W, profiles = model.loadings_, model.class_profiles_ if profiles is None else profiles
        share = model.class_counts_ / model.class_counts_.sum()
        covariance = np.einsum("k,kqr->qr", share, model.class_covariances_)
        spread = W @ cholesky_with_ridge(covariance)  # WΣW' = spread spread'
        B = np.sqrt(share)[:, None] * (profiles - share @ profiles)
        total = model.noise_variance_ + np.sum(spread**2, axis=1) + np.sum(B**2, axis=0)
        A = solve_low_rank(model.noise_variance_ + total.mean(), spread, B.T)
        values, vectors = eigh(B @ A)
        kept = np.flatnonzero(values > 1e-9 * max(values[-1], 0.0))[::-1][: len(share) - 1]
        D = A @ (vectors[:, kept] / np.sqrt(values[kept]))
        within = D.T @ (model.noise_variance_[:, None] * D) + (spread.T @ D).T @ (spread.T @ D)
        D = np.linalg.solve(cholesky_with_ridge(within), D.T).T
        return cls(model.classes_, D, profiles @ D)

    def fit(self, U: np.ndarray, graph: sp.csr_matrix) -> None:
        """Find how the coordinates U (n, d) of a target's spots are freed of noise."""
        self.spatial = SpatialFactors(0.0).fit(U, graph) if graph.nnz else None

    def smooth(self, U: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
        """Coordinates U (n, d) of spots, predicted from each spot and those around it."""
        return U if self.spatial is None else self.spatial.smooth(U, graph)

    def nearest(self, U: np.ndarray) -> np.ndarray:
        """Nearest class of coordinates U (n, d), (n,)."""
        return np.asarray(pairwise_distances_argmin(U, self.means), dtype=np.int32)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything in named arrays, for a file."""
        own = {
            "classes.names": self.classes.astype(str),
            "classes.projection": self.projection,
            "classes.means": self.means,
        }
        fitted = {} if self.spatial is None else self.spatial.arrays()
        return own | {_SPATIAL + k: v for k, v in fitted.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self | None:
        """Read what `arrays` gave; None where there are none."""
        if "classes.means" not in arrays:
            return None
        fitted = {k.removeprefix(_SPATIAL): v for k, v in arrays.items() if k.startswith(_SPATIAL)}
        spatial = SpatialFactors.from_arrays(fitted) if fitted else None
        names, projection, means = (arrays[f"classes.{k}"] for k in ("names", "projection", "means"))
        return cls(names, projection, means, spatial)


def solve_low_rank(diagonal: np.ndarray, F: np.ndarray, B: np.ndarray) -> np.ndarray:
    """(diag + F F')⁻¹ B by the Woodbury identity, for F (p, q) and B (p, r)."""
    scaled = F / diagonal[:, None]
    core = np.eye(F.shape[1]) + F.T @ scaled
    return np.asarray(B / diagonal[:, None] - scaled @ np.linalg.solve(core, scaled.T @ B))
