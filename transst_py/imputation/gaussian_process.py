"""Gaussian processes over a section: many columns that share their spots, each with its own smoothness.

The covariance of a column z at positions x is

    cov(z_i, z_j) = v * (k(|x_i - x_j|; l) + r * s_i * [i = j]),

with k an exponential or Matern-3/2 correlation, l its length-scale, r the ratio of noise to signal, and s_i
the noise of a spot relative to others. For a given k and l, one eigendecomposition serves all columns and
all r: with D = diag(s)^(-1/2) and D K D = V diag(w) V', the profile likelihood of a column needs only V' D z.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from transst_py._core.threads import in_threads

__all__ = ["CORRELATIONS", "GaussianProcess"]

# Length-scales in units of the spacing of spots; noise to signal.
LENGTH_SCALES = (1.0, 1.7, 2.8, 4.6, 7.7, 12.8, 21.0)
NOISE_RATIOS = np.geomspace(0.02, 200.0, 13)
# Larger sections are fitted to compact patches, of so many spots, and kriged in tiles, from so many spots in
# and around each: what is farther away changes next to nothing.
MAX_SPOTS, CORE_SPOTS, N_PATCHES = 700, 300, 3


def _exponential(distance: np.ndarray, length: float) -> np.ndarray:
    return np.exp(-distance / length)


def _matern32(distance: np.ndarray, length: float) -> np.ndarray:
    scaled = np.sqrt(3.0) * distance / length
    return np.asarray((1.0 + scaled) * np.exp(-scaled))


# Rough and smooth: which suits, the likelihood says for every column.
CORRELATIONS = {"exponential": _exponential, "matern32": _matern32}
CANDIDATES = [(name, length) for name in CORRELATIONS for length in LENGTH_SCALES]


@dataclass(frozen=True)
class _Spots:
    """Spots of a section: positions (n, d), relative noise (n,), columns without their mean (n, r)."""

    positions: np.ndarray
    noise: np.ndarray
    columns: np.ndarray

    def subset(self, rows: np.ndarray) -> _Spots:
        return _Spots(self.positions[rows], self.noise[rows], self.columns[rows])

    def decompose(self, candidate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues w and vectors V of D K D, and D as a column."""
        root = 1.0 / np.sqrt(self.noise)[:, None]
        correlation = _correlation(candidate, self.positions, self.positions)
        whitened = correlation * root * root.T
        values, vectors = eigh(whitened, overwrite_a=True, check_finite=False, driver="evd")
        return np.maximum(values, 0.0), vectors, root


class GaussianProcess:
    """Kriging of columns whose smoothness and noise are chosen by maximum likelihood.

    Attributes
    ----------
    correlation_, length_scale_
        Correlation function (name) and length-scale of each column, in units of the positions.
    noise_ratio_
        Variance of a typical spot's noise over that of the signal, float64 (r,).
    variance_
        Variance of the signal, float64 (r,).
    """

    def fit(
        self, columns: Sequence[np.ndarray], positions: Sequence[np.ndarray], noise: Sequence[np.ndarray]
    ) -> GaussianProcess:
        """Choose correlation, length-scale and noise of every column; sections share them.

        Parameters
        ----------
        columns
            Values of the spots of each section, float (n_s, r).
        positions
            Their coordinates, (n_s, d), in units of the spacing of spots.
        noise
            Their relative noise variances, (n_s,), positive.
        """
        self._means = [np.average(z, axis=0, weights=1.0 / s) for z, s in zip(columns, noise, strict=True)]
        self._sections = [
            _Spots(x, s, z - mean)
            for z, x, s, mean in zip(columns, positions, noise, self._means, strict=True)
        ]
        patches = [patch for section in self._sections for patch in _patches(section)]
        fits = in_threads(lambda candidate: _profile(patches, candidate), range(len(CANDIDATES)))
        misfit = np.array([fit[0] for fit in fits])  # (candidates, ratios, r)
        best = misfit.reshape(-1, misfit.shape[2]).argmin(axis=0)
        self._candidate, ratio = np.divmod(best, len(NOISE_RATIOS))
        self.noise_ratio_ = NOISE_RATIOS[ratio]
        self.variance_ = np.array([fit[1] for fit in fits])[self._candidate, ratio, np.arange(best.size)]
        self.correlation_ = np.array([name for name, _ in CANDIDATES])[self._candidate]
        self.length_scale_ = np.array([length for _, length in CANDIDATES])[self._candidate]
        return self

    def predict(
        self, section: int, positions: np.ndarray, *, columns: slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the signal of some columns at positions of a section: float64 (m, r) each.

        Sections of more than `MAX_SPOTS` spots are kriged in tiles, each from the spots in and around it.
        """
        which = np.arange(self.variance_.size)[columns]
        mean, variance = np.empty((2, len(positions), which.size))
        spots = self._sections[section]
        for rows, around in _tiles(positions, spots.positions):
            mean[rows], variance[rows] = self._krige(spots.subset(around), positions[rows], which)
        return mean + self._means[section][which], variance

    def _krige(
        self, spots: _Spots, positions: np.ndarray, which: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = np.empty((2, len(positions), which.size))
        candidates, ratios = self._candidate[which], self.noise_ratio_[which]

        def krige(candidate: int) -> None:
            inside = _correlation(candidate, spots.positions, spots.positions)
            across = _correlation(candidate, spots.positions, positions)
            # Columns of one correlation and noise ratio share weights, and the variance.
            for ratio in np.unique(ratios[candidates == candidate]):
                chosen = np.flatnonzero((candidates == candidate) & (ratios == ratio))
                factor = cholesky(inside + np.diag(ratio * spots.noise), lower=True, check_finite=False)
                whitened = solve_triangular(factor, across, lower=True, check_finite=False)
                data = spots.columns[:, which[chosen]].astype(np.float64)
                data = solve_triangular(factor, data, lower=True, check_finite=False)
                mean[:, chosen] = whitened.T @ data
                left = np.maximum(1.0 - (whitened**2).sum(axis=0), 0.0)
                variance[:, chosen] = left[:, None] * self.variance_[which[chosen]]

        in_threads(krige, np.unique(candidates))
        return mean, variance


def _correlation(candidate: int, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    name, length = CANDIDATES[candidate]
    return CORRELATIONS[name](cdist(here, there), length)


def _profile(patches: list[_Spots], candidate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return -2 log likelihood (but for constants) and signal variance, (ratios, r) each."""
    n_columns = patches[0].columns.shape[1]
    squares = np.zeros((len(NOISE_RATIOS), n_columns))
    log_determinant = np.zeros((len(NOISE_RATIOS), 1))
    for patch in patches:
        values, vectors, root = patch.decompose(candidate)
        scores = (vectors.T @ (patch.columns * root)) ** 2
        spread = values[None, :] + NOISE_RATIOS[:, None]
        squares += (1.0 / spread) @ scores
        log_determinant += np.log(spread).sum(axis=1, keepdims=True)
    n = sum(len(patch.positions) for patch in patches)
    variance = squares / n
    return n * np.log(np.maximum(variance, np.finfo(float).tiny)) + log_determinant, variance


def _patches(section: _Spots) -> list[_Spots]:
    """Return the section, or compact parts of a large one: the likelihood of all of it would cost n³."""
    n = len(section.positions)
    if n <= MAX_SPOTS:
        return [section]
    centers = section.positions[np.random.default_rng(0).choice(n, N_PATCHES, replace=False)]
    nearest = np.argsort(cdist(centers, section.positions), axis=1, kind="stable")[:, :MAX_SPOTS]
    return [section.subset(rows) for rows in nearest]


def _tiles(positions: np.ndarray, spots: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (sites of a tile, the spots in and around it); together all sites, each once."""
    if len(spots) <= MAX_SPOTS:
        yield np.arange(len(positions)), np.arange(len(spots))
        return
    leaf = np.empty(len(spots), dtype=np.int64)
    for number, rows in enumerate(_halve(spots, np.arange(len(spots)))):
        leaf[rows] = number
    home = leaf[cKDTree(spots).query(positions)[1]]
    for number in np.unique(home):
        rows = np.flatnonzero(home == number)
        low, high = positions[rows].min(axis=0), positions[rows].max(axis=0)
        outside = np.maximum(np.maximum(low - spots, spots - high), 0.0)
        distance = np.linalg.norm(outside, axis=1)
        yield rows, np.argsort(distance, kind="stable")[:MAX_SPOTS]


def _halve(spots: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Cut spots at the median of their longer side until each part is small enough."""
    if len(rows) <= CORE_SPOTS:
        yield rows
        return
    side = np.ptp(spots[rows], axis=0).argmax()
    order = rows[np.argsort(spots[rows, side], kind="stable")]
    yield from _halve(spots, order[: len(order) // 2])
    yield from _halve(spots, order[len(order) // 2 :])
