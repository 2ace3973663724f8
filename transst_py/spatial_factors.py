"""Between transfer and mixture: the factors that vary over the tissue, freed of the noise of single spots.

A Gaussian mixture with full covariances gives the same domains whatever the scale of its coordinates, so a
factor without any spatial pattern weighs as much as the strongest. Here the scores are

1. rotated to uncorrelated spatial factors, ordered by Moran's I (min/max autocorrelation factors, Switzer &
   Green 1984), of which those far below the first are left out;
2. replaced by their best linear prediction from the spot and the spots around it (kriging on the graph).
   How much of a factor is noise of the single spot, and with it how far its neighbours are trusted, follows
   from its autocovariance: hardly at all for thin layers measured well, much for single cells. Factors
   that change from spot to spot (Moran's I below 0.5) stay as they are: there, noise and pattern cannot be
   told apart.
"""

from __future__ import annotations

from numbers import Real
from typing import Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

__all__ = ["SpatialFactors"]

# Spots from which the covariance with second neighbours is estimated.
_LAG_TWO_ROWS = 20_000
_MIN_SMOOTHED = 0.5


class SpatialFactors(BaseEstimator):
    """Spatially structured part of factor scores.

    Parameters
    ----------
    min_autocorrelation
        Spatial factors whose Moran's I is below this share of the largest are left out; 0 keeps all with a
        positive one. Two are always kept, where there are two.

    Attributes
    ----------
    center_, rotation_ : ndarray (q,), (q, r)
        Affine map from scores to the r spatial factors, of unit variance.
    autocorrelations_ : ndarray (q,)
        Moran's I of all spatial factors, decreasing.
    weights_ : ndarray (3, r)
        Weights of the spot itself, of the mean of its neighbours, and of the mean of their neighbours.
    """

    def __init__(self, min_autocorrelation: float = 0.15) -> None:
        self.min_autocorrelation = min_autocorrelation

    def fit(self, V: np.ndarray, connectivities: sp.csr_matrix) -> Self:
        """Find the factors and the weights.

        Parameters
        ----------
        V
            (n, q) scores.
        connectivities
            (n, n) symmetric sparse graph with at least one edge.

        Raises
        ------
        ValueError
            `min_autocorrelation` is no number from 0 to 1, or the graph has no edge.
        """
        check_min_autocorrelation(self.min_autocorrelation)
        V = check_array(V, dtype=np.float64, ensure_min_samples=2)
        if connectivities.nnz == 0:
            raise ValueError("`connectivities` has no edge; without neighbours there are no spatial factors")
        self.center_, whitening = whiten(V)
        Z = (V - self.center_) @ whitening
        covariance = Z.T @ (connectivities @ Z) / connectivities.sum()
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        self.autocorrelations_ = values[::-1]
        needed = max(self.min_autocorrelation * values[-1], 0.0)
        kept = max(int(np.sum(values >= needed)), min(2, len(values)))
        self.rotation_ = whitening @ vectors[:, ::-1][:, :kept]
        smoothed = int(np.sum(self.autocorrelations_[:kept] >= _MIN_SMOOTHED))
        self.weights_ = np.tile([[1.0], [0.0], [0.0]], kept)
        self.weights_[:, :smoothed] = kriging_weights(Z @ vectors[:, ::-1][:, :smoothed], connectivities)
        return self

    def rotate(self, V: np.ndarray) -> np.ndarray:
        """Return the spatial factors of each spot alone, (n, r)."""
        check_is_fitted(self)
        return np.asarray((check_array(V, dtype=np.float64) - self.center_) @ self.rotation_)

    def transform(self, V: np.ndarray, connectivities: sp.csr_matrix) -> np.ndarray:
        """Predict the spatial factors of spots, (n, r); a spot without neighbours keeps its own values."""
        Z = self.rotate(V)
        average = neighbour_average(connectivities)
        around = average @ Z
        own, first, second = self.weights_
        predicted: np.ndarray = own * Z + first * around + second * (average @ around)
        alone = np.diff(connectivities.indptr) == 0
        predicted[alone] = Z[alone]
        return predicted

    def fit_transform(self, V: np.ndarray, connectivities: sp.csr_matrix) -> np.ndarray:
        """Find the factors, and predict them for the same spots, (n, r)."""
        return self.fit(V, connectivities).transform(V, connectivities)


def check_min_autocorrelation(value: float) -> None:
    """Raise a ValueError unless it is a number from 0 to 1."""
    if not (isinstance(value, Real) and 0 <= value <= 1):
        raise ValueError(f"`min_autocorrelation` must lie between 0 and 1, got {value!r}")


def neighbour_average(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of weights that average over the neighbours of a spot."""
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(degrees, 1)) @ graph)


def kriging_weights(Z: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Weights (3, r) of a spot, its neighbours' mean and theirs that best predict each factor's signal.

    z = s + ε with ε independent between spots: the weights solve Cov(F) w = Cov(F, s) for the three
    predictors F. The covariances are those of the data, but for the signal's own variance, which is
    extrapolated from first and second neighbours as if it fell geometrically with distance. Spots without
    neighbours say nothing.
    """
    joined = np.diff(graph.indptr) > 0
    if not joined.all():
        Z, graph = Z[joined], graph[joined][:, joined]
    average = neighbour_average(graph)
    around = average @ Z
    beyond = average @ around
    own_share = average.multiply(average.T).sum() / len(Z)  # of a spot in the mean over second neighbours
    first = np.einsum("ij,ij->j", Z, graph @ Z) / graph.sum()
    total = np.einsum("ij,ij->j", Z, Z) / len(Z)
    signal = signal_variance(total, first, second_neighbour_covariance(Z, graph))

    weights = np.empty((3, Z.shape[1]))
    for j in range(Z.shape[1]):
        F = np.column_stack([Z[:, j], around[:, j], beyond[:, j]])
        covariance = F.T @ F / len(Z)
        with_signal = covariance[0] - (total[j] - signal[j]) * np.array([1.0, 0.0, own_share])
        ridge = 1e-9 * np.trace(covariance) * np.eye(3)
        weights[:, j] = np.linalg.solve(covariance + ridge, with_signal)
    return weights


def signal_variance(total: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Variance without the spots' own noise: c₁²/c₂, between c₁ and the total variance."""
    extrapolated = np.divide(first**2, second, out=total.copy(), where=second > 0)
    return np.asarray(np.clip(extrapolated, np.clip(first, 0, total), total))


def second_neighbour_covariance(Z: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Mean product of spots two steps apart, (r,), from evenly spaced rows of a large graph."""
    n = len(Z)
    rows = np.unique(np.linspace(0, n - 1, min(n, _LAG_TWO_ROWS)).astype(np.intp))
    pairs = sp.csr_matrix(graph[rows] @ graph)
    pairs.data[:] = 1.0
    itself = sp.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), rows)), shape=pairs.shape)
    nearer = graph[rows] + itself
    pairs = pairs - pairs.multiply(nearer)
    return np.asarray(np.einsum("ij,ij->j", Z[rows], pairs @ Z) / max(pairs.sum(), 1.0))


def whiten(V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (q, q) matrix T such that (V - mean) T has unit covariance.

    Directions without variance keep theirs.
    """
    center = V.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(V, rowvar=False, bias=True)))
    floor = max(values.max() * 1e-12, np.finfo(float).tiny)
    return center, vectors / np.sqrt(np.maximum(values, floor))
