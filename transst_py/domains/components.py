"""The classes of a spatial mixture: Gaussians of the scores, free or named after the classes of a source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils import gen_batches

from transst_py._core.options import DEFAULTS

__all__ = ["ClassEvidence", "Components", "NamedComponents", "Spots", "TwoDescriptions", "scores_of"]

# Spots whose products with all classes are formed at a time: they stay in the processor's cache.
_BATCH = 1024
# Spots whose energies in the second description are added at a time.
_ROWS = 1 << 16


@dataclass
class TwoDescriptions:
    """Spots by their scores (n, q), and by their coordinates between the classes of a source (n, d)."""

    scores: np.ndarray
    coordinates: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, spots: np.ndarray) -> Self:
        """Some of the spots."""
        return type(self)(self.scores[spots], self.coordinates[spots])


Spots: TypeAlias = np.ndarray | TwoDescriptions


def scores_of(Z: Spots) -> np.ndarray:
    """Scores of the spots, (n, q)."""
    return Z.scores if isinstance(Z, TwoDescriptions) else Z


def coordinates_of(Z: Spots) -> np.ndarray:
    """Coordinates of the spots between the classes of the source, (n, d)."""
    if not isinstance(Z, TwoDescriptions):
        raise TypeError("spots without coordinates between classes cannot be compared with these")
    return Z.coordinates


@dataclass
class Components:
    """Class means (K, q) and covariances (K, q, q)."""

    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def estimate(
        cls,
        Z: Spots,
        R: np.ndarray,
        prior: float = DEFAULTS.covariance_prior,
        covariance_type: str = DEFAULTS.covariance_type,
    ) -> Self:
        """Moments of centred scores of unit variance, weighted by the responsibilities R (n, K)."""
        Z = scores_of(Z)
        K, q = R.shape[1], Z.shape[1]
        N, sums, moments = np.full(K, 10 * np.finfo(float).eps), np.zeros((K, q)), np.zeros((K * q, q))
        for batch in gen_batches(len(Z), _BATCH):
            z, r = Z[batch].astype(np.float64, copy=False), R[batch].astype(np.float64, copy=False)
            N += r.sum(axis=0)
            sums += r.T @ z
            moments += (r[:, :, None] * z[:, None, :]).reshape(-1, K * q).T @ z
        means = sums / N[:, None]
        # Z is centred, of unit variance: few digits cancel.
        scatters = moments.reshape(K, q, q) - N[:, None, None] * means[:, :, None] * means[:, None, :]
        pooled = scatters.sum(axis=0) / len(Z)
        if covariance_type == "tied":
            covariances = np.repeat(pooled[None], K, axis=0)
        else:
            covariances = (scatters + prior * pooled) / (N + prior)[:, None, None]
        if covariance_type == "diag":
            covariances = covariances * np.eye(q)
        # Z has unit variance, so the floor is relative; it only matters for duplicated spots.
        return cls(means, covariances + 1e-6 * np.eye(q))

    def update(self, Z: Spots, R: np.ndarray, prior: float, covariance_type: str) -> Self:
        """Estimate the same kind of classes anew (the M-step)."""
        return type(self).estimate(Z, R, prior, covariance_type)

    def without(self, k: int) -> Self:
        """Return all classes but the k-th."""
        return replace(self, means=np.delete(self.means, k, 0), covariances=np.delete(self.covariances, k, 0))

    def with_twin(self, k: int) -> Self:
        """Return the classes and, as the last, the k-th once more."""
        order = [*range(len(self.means)), k]
        return replace(self, means=self.means[order], covariances=self.covariances[order])

    def energies(self, Z: Spots, out: np.ndarray | None = None) -> np.ndarray:
        """u_ik = ½ log|Σ_k| + ½ (v_i - m_k)'Σ_k⁻¹(v_i - m_k), (n, K), for scores v; into `out`, if given."""
        V, (K, q) = scores_of(Z), self.means.shape
        inverse, half_log_determinants = inverse_factors(self.covariances)
        A, offset = inverse.reshape(K * q, q).T, np.einsum("kqr,kr->kq", inverse, self.means)
        u = np.empty((len(V), K), dtype=V.dtype) if out is None else out
        for batch in gen_batches(len(V), _BATCH) if len(V) else ():
            Y = (V[batch] @ A).reshape(-1, K, q) - offset
            u[batch] = np.einsum("ikq,ikq->ik", Y, Y)
        u *= 0.5
        u += half_log_determinants
        return u


@dataclass
class NamedComponents(Components):
    """Domains of which each is named after a class of the source, seen in two descriptions of every spot.

    Spots are `TwoDescriptions`: q scores, and d coordinates between the classes. A domain's Gaussian is free
    in the scores; in the coordinates it lies where its class lies, with one covariance for all domains. The
    two descriptions overlap, so their log-densities are averaged, not added (a logarithmic opinion pool,
    Genest & Zidek 1986).

    Attributes
    ----------
    classes
        (K,) class of every domain; several may share one.
    class_means
        (L, d) classes of the source.
    spread
        (d, d) covariance of the spots about their classes.
    """

    classes: np.ndarray
    class_means: np.ndarray
    spread: np.ndarray

    @classmethod
    def name(cls, Z: Spots, R: np.ndarray, class_means: np.ndarray) -> Self:
        """Name domains, given by responsibilities R (n, K), after the class nearest to their mean."""
        free = Components.estimate(Z, R, covariance_type="tied")
        U = coordinates_of(Z)
        centers = (R.T @ U) / np.maximum(R.sum(axis=0), 1e-12)[:, None]
        classes = pairwise_distances_argmin(centers, class_means)
        spread = class_spread(U, R, class_means[classes])
        return cls(free.means, free.covariances, classes, class_means, spread)

    def update(self, Z: Spots, R: np.ndarray, prior: float, covariance_type: str) -> Self:
        """Estimate the free Gaussians and the spread about the classes anew; the names stay."""
        free = Components.estimate(Z, R, prior, covariance_type)
        spread = class_spread(coordinates_of(Z), R, self.class_means[self.classes])
        return replace(self, means=free.means, covariances=free.covariances, spread=spread)

    def without(self, k: int) -> Self:
        """Return all domains but the k-th."""
        return replace(super().without(k), classes=np.delete(self.classes, k))

    def with_twin(self, k: int) -> Self:
        """Return the domains and, as the last, the k-th once more, of the same class."""
        return replace(super().with_twin(k), classes=np.append(self.classes, self.classes[k]))

    def energies(self, Z: Spots, out: np.ndarray | None = None) -> np.ndarray:
        """Mean of the energies in scores and in class coordinates, (n, K); into `out`, if given."""
        tied = np.repeat(self.spread[None], len(self.classes), axis=0)
        between = Components(self.class_means[self.classes], tied)
        u, U = super().energies(Z, out), coordinates_of(Z)
        for batch in gen_batches(len(U), _ROWS) if len(U) else ():
            u[batch] += between.energies(U[batch])
        u *= 0.5
        return u


def inverse_factors(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices F (K, q, q) with F'F = Σ⁻¹, and ½ log|Σ|, (K,).

    Along an axis on which scores do not vary, a covariance in their units may have no digits left: it takes
    the smallest variance that has some.
    """
    try:
        factors = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariances)
        digits = covariances.shape[1] * np.finfo(float).eps
        lowest = np.maximum(digits * values[:, -1:], np.finfo(float).tiny)
        values = np.maximum(values, lowest)
        return np.swapaxes(vectors / np.sqrt(values)[:, None, :], 1, 2), 0.5 * np.log(values).sum(axis=1)
    return np.linalg.inv(factors), np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)


def class_spread(X: np.ndarray, R: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Pooled covariance of X (n, d) about means (K, d), weighted by R (n, K)."""
    d = X.shape[1]
    scatter, sums, N = np.zeros((d, d)), np.zeros((len(means), d)), np.zeros(len(means))
    for batch in gen_batches(len(X), _BATCH):
        x, r = X[batch].astype(np.float64, copy=False), R[batch].astype(np.float64, copy=False)
        scatter += x.T @ x
        sums += r.T @ x
        N += r.sum(axis=0)
    cross = sums.T @ means
    scatter += means.T @ (N[:, None] * means) - cross - cross.T
    # The coordinates have unit variance within the source's classes; the floor is for duplicated spots.
    return np.asarray(scatter / len(X) + 0.01 * np.eye(d))


@dataclass
class ClassEvidence:
    """Coordinates of the spots between the classes of a source (n, d), and where the classes lie (L, d)."""

    coordinates: np.ndarray
    means: np.ndarray

    def beside(self, Z: np.ndarray) -> TwoDescriptions:
        """Return the spots by their scores Z (n, q) and by the coordinates."""
        if len(self.coordinates) != len(Z):
            raise ValueError(f"`classes` has coordinates of {len(self.coordinates)} spots, `V` of {len(Z)}")
        return TwoDescriptions(Z, self.coordinates)
