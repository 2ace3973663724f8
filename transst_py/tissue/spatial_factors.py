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

from collections.abc import Mapping
from numbers import Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from transst_py._core.options import DEFAULTS
from transst_py.expression.features import graph_given, rows_of_fit, rows_to_predict

__all__ = ["SpatialFactors"]

# Spots from which the covariance with second neighbours is estimated.
_LAG_TWO_ROWS = 20_000
_MIN_SMOOTHED = 0.5
_STATE = ("center_", "rotation_", "weights_")
# Spots, and factors, looked at together: of more than so many factors at a time there is never a copy.
_ROWS = 1 << 16
_COLUMNS = 5


class SpatialFactors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
    n_features_in_ : int
    feature_names_in_ : ndarray (q,)
        Names of the scores, where V was a DataFrame.
    """

    def __init__(self, min_autocorrelation: float = DEFAULTS.min_autocorrelation) -> None:
        self.min_autocorrelation = min_autocorrelation

    def fit(self, X: Any, y: Any = None, *, connectivities: sp.csr_matrix | None = None) -> Self:
        """Find the factors and the weights.

        Parameters
        ----------
        X
            (n, q) scores.
        y
            Not used: pipelines put labels here. The graph may stand here, too.
        connectivities
            (n, n) symmetric sparse graph with at least one edge; it must be given.

        Raises
        ------
        ValueError
            `min_autocorrelation` is no number from 0 to 1, or there is no graph, or it has no edge.
        """
        check_min_autocorrelation(self.min_autocorrelation)
        V, graph = rows_of_fit(self, X, sparse=False), graph_given(y, connectivities)
        _check_graph(graph, len(V))
        if graph.nnz == 0:
            raise ValueError("`connectivities` has no edge; without neighbours there are no spatial factors")
        self.center_, whitening = whiten(V)
        covariance = whitening.T @ neighbour_covariance(V, self.center_, graph) @ whitening
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        self.autocorrelations_ = values[::-1]
        needed = max(self.min_autocorrelation * values[-1], 0.0)
        kept = max(int(np.sum(values >= needed)), min(2, len(values)))
        self.rotation_ = whitening @ vectors[:, ::-1][:, :kept]
        smoothed = int(np.sum(self.autocorrelations_[:kept] >= _MIN_SMOOTHED))
        self.weights_ = np.tile([[1.0], [0.0], [0.0]], kept)
        for block in gen_batches(smoothed, _COLUMNS) if smoothed else ():
            factors = whitened(V, self.center_, self.rotation_[:, block])
            self.weights_[:, block] = kriging_weights(factors, graph)
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """What `transform` and `smooth` need, in named arrays, for a file."""
        return {k: getattr(self, k) for k in _STATE}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Read what `arrays` gave; other names are passed over."""
        factors = cls()
        for k in _STATE:
            setattr(factors, k, arrays[k])
        factors.n_features_in_ = len(factors.center_)
        return factors

    def rotate(self, V: Any) -> np.ndarray:
        """Return the spatial factors of each spot alone, (n, r)."""
        check_is_fitted(self)
        return whitened(rows_to_predict(self, V, sparse=False), self.center_, self.rotation_)

    def transform(self, X: Any, connectivities: sp.csr_matrix) -> np.ndarray:
        """Predict the spatial factors of spots, (n, r); a spot without neighbours keeps its own values."""
        return self.predicted(X, connectivities)

    def predicted(self, V: Any, connectivities: sp.csr_matrix) -> np.ndarray:
        """Return what `transform` does, an array whatever `set_output` says."""
        Z = self.rotate(V)
        _check_graph(connectivities, len(Z))
        return self._predict(Z, connectivities, self.weights_)

    def smooth(self, V: Any, connectivities: sp.csr_matrix) -> np.ndarray:
        """Return the scores freed of noise, in their own coordinates, (n, q).

        The weights are made to sum to one, so that what is constant over an area keeps its value there.
        Whatever is no spatial factor stays as it is.
        """
        check_is_fitted(self)
        V = rows_to_predict(self, V, sparse=False)
        _check_graph(connectivities, len(V))
        Z = whitened(V, self.center_, self.rotation_)
        predicted = self._predict(Z.copy(), connectivities, self.weights_ / self.weights_.sum(axis=0))
        predicted -= Z
        back = np.linalg.pinv(self.rotation_).astype(predicted.dtype)
        return np.asarray(V + predicted @ back)

    def _predict(self, Z: np.ndarray, connectivities: sp.csr_matrix, weights: np.ndarray) -> np.ndarray:
        """Predict the factors from those of spots alone, Z (n, r), which is overwritten."""
        for block in gen_batches(Z.shape[1], _COLUMNS):
            around = average_around(Z[:, block], connectivities)
            own, first, second = weights[:, block]
            for batch in gen_batches(len(Z), _ROWS):
                graph, z = connectivities[batch], Z[batch, block]
                joined = np.diff(graph.indptr)[:, None] > 0
                predicted = own * z + first * around[batch] + second * (neighbour_average(graph) @ around)
                Z[batch, block] = np.where(joined, predicted, z)
        return Z

    def fit_transform(
        self, X: Any, y: Any = None, *, connectivities: sp.csr_matrix | None = None
    ) -> np.ndarray:
        """Find the factors, and predict them for the same spots, (n, r)."""
        graph = graph_given(y, connectivities)
        return self.fit(X, connectivities=graph).predicted(X, graph)

    @property
    def _n_features_out(self) -> int:
        return int(self.rotation_.shape[1])


def _check_graph(graph: Any, n: int) -> None:
    if graph is None:
        raise ValueError("`connectivities` is missing: spatial factors need the graph of the spots")
    if not sp.issparse(graph) or graph.shape != (n, n):
        found = f"{type(graph).__name__} of shape {getattr(graph, 'shape', None)}"
        raise ValueError(f"`connectivities` must be a sparse matrix of shape ({n}, {n}), got {found}")
    if not (graph.data >= 0).all():
        raise ValueError("`connectivities` must hold numbers >= 0; it has negative or missing ones")


def check_min_autocorrelation(value: float) -> None:
    """Raise a ValueError unless it is a number from 0 to 1."""
    if not (isinstance(value, Real) and 0 <= value <= 1):
        raise ValueError(f"`min_autocorrelation` must lie between 0 and 1, got {value!r}")


def neighbour_average(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of weights that average over the neighbours of a spot."""
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    shares = (1 / np.maximum(degrees, 1)).astype(graph.dtype, copy=False)
    return sp.csr_matrix(sp.diags_array(shares) @ graph)


def neighbour_covariance(V: np.ndarray, center: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Mean product of neighbouring spots' deviations from the centre, (q, q)."""
    total = np.zeros((V.shape[1], V.shape[1]))
    for batch in gen_batches(len(V), _ROWS):
        rows = graph[batch]
        others = np.unique(rows.indices)
        deviations = rows[:, others] @ (V[others] - center)
        total += (V[batch] - center).T @ deviations
    return np.asarray(total / graph.nnz)


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
    n, r = Z.shape
    around = average_around(Z, graph)
    shares = 1 / np.maximum(np.diff(graph.indptr), 1.0)
    own_share, first, products = 0.0, np.zeros(r), np.zeros((r, 3, 3))
    for batch in gen_batches(n, _ROWS):
        rows = graph[batch]
        own_share += shares[batch] @ (rows @ shares) / n  # of a spot in the mean over second neighbours
        z = Z[batch].astype(np.float64, copy=False)
        first += np.einsum("ij,ij->j", z, rows @ Z) / graph.nnz
        F = np.stack([z, around[batch], neighbour_average(rows) @ around], axis=2)
        products += np.einsum("nja,njb->jab", F, F) / n
    total = products[:, 0, 0]
    signal = signal_variance(total, first, second_neighbour_covariance(Z, graph))

    weights = np.empty((3, r))
    for j, covariance in enumerate(products):
        with_signal = covariance[0] - (total[j] - signal[j]) * np.array([1.0, 0.0, own_share])
        ridge = 1e-9 * np.trace(covariance) * np.eye(3)
        weights[:, j] = np.linalg.solve(covariance + ridge, with_signal)
    return weights


def average_around(Z: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Mean of Z (n, r) over every spot's neighbours; 0 where there are none."""
    around = np.empty_like(Z)
    for batch in gen_batches(len(Z), _ROWS):
        around[batch] = neighbour_average(graph[batch]) @ Z
    return around


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
    pairs = sp.csr_matrix(pairs - pairs.multiply(nearer)).astype(Z.dtype, copy=False)
    return np.asarray(np.einsum("ij,ij->j", Z[rows], pairs @ Z) / max(pairs.sum(), 1.0))


def whiten(V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (q, q) matrix T such that (V - mean) T has unit covariance.

    Directions without variance keep theirs.
    """
    center = V.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((V.shape[1], V.shape[1]))
    for batch in gen_batches(len(V), _ROWS):
        deviations = V[batch] - center
        covariance += deviations.T @ deviations / len(V)
    values, vectors = np.linalg.eigh(covariance)
    floor = max(values.max() * 1e-12, np.finfo(float).tiny)
    return center, vectors / np.sqrt(np.maximum(values, floor))


def whitened(
    V: np.ndarray, center: np.ndarray, T: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """(V - center) T, (n, r), of the type of V; `out` may be V itself where r is its width."""
    if out is None:
        out = np.empty((len(V), T.shape[1]), dtype=V.dtype)
    for batch in gen_batches(len(V), _ROWS):
        out[batch] = (V[batch] - center) @ T
    return out
