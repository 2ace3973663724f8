"""The EM of the source model: its parameters, their start, an update, and the gauge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from transst_py._core.eigen import fix_signs, leading_eigenvectors
from transst_py._core.threads import in_threads
from transst_py.source.statistics import ClassStatistics, Scatter

__all__ = [
    "Parameters",
    "Rescaled",
    "cholesky_with_ridge",
    "em_update",
    "fix_gauge",
    "initial_axes",
    "initial_parameters",
    "lowest_noise",
    "residual_variance",
]

# Products with the scatters of more genes are worth a thread each, and read half in single precision.
MANY_GENES = 500
# Angle to which the axes that the EM starts from are known.
_START_TOLERANCE = 1e-3


@dataclass
class Parameters:
    """W (p, q), Λ (p,), μ (K, q), Σ (K, q, q)."""

    loadings: np.ndarray
    noise_variance: np.ndarray
    class_means: np.ndarray
    class_covariances: np.ndarray

    def vector(self) -> np.ndarray:
        """All of them in one array without bounds: Λ by its logarithm, Σ by its Cholesky factor."""
        factors = np.array([cholesky_with_ridge(sigma) for sigma in self.class_covariances])
        lower = factors[:, *np.tril_indices(factors.shape[1])]
        parts = (self.loadings, np.log(self.noise_variance), self.class_means, lower)
        return np.concatenate([part.ravel() for part in parts])

    def weights(self) -> np.ndarray:
        """Units in which changes of the entries of `vector` matter about equally."""
        (p, q), K = self.loadings.shape, len(self.class_means)
        of_loadings = np.repeat(1 / np.sqrt(self.noise_variance), q)
        return np.concatenate([of_loadings, np.ones(p + K * q + K * q * (q + 1) // 2)])

    def with_vector(self, x: np.ndarray, noise_floor: np.ndarray) -> Parameters:
        """Return the parameters that a vector stands for, noise variances at their floor or above."""
        (p, q), K = self.loadings.shape, len(self.class_means)
        W, log_noise, mu, lower = np.split(x, np.cumsum([p * q, p, K * q]))
        factors = np.zeros((K, q, q))
        factors[:, *np.tril_indices(q)] = lower.reshape(K, -1)
        noise = np.maximum(np.exp(log_noise), noise_floor)
        return Parameters(W.reshape(p, q), noise, mu.reshape(K, q), factors @ factors.transpose(0, 2, 1))


def cholesky_with_ridge(covariance: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor; a ridge of 1e-8 of the mean variance only where it fails."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        q = len(covariance)
        ridge = 1e-8 * max(np.trace(covariance) / q, np.finfo(float).tiny ** 0.5)
        return np.linalg.cholesky(covariance + ridge * np.eye(q))


def em_update(
    statistics: ClassStatistics,
    parameters: Parameters,
    noise_floor: np.ndarray,
    scatters: Sequence[Scatter] | None = None,
) -> tuple[Parameters, float]:
    """One exact EM update, and the log-likelihood of the parameters it started from.

    `scatters` are those of the statistics, in less precision: what is multiplied.

    Works without Σ⁻¹: with M = W'Λ⁻¹W and Σ = LL', the posterior covariance is
    C = (M + Σ⁻¹)⁻¹ = L (I + L'ML)⁻¹ L' and the posterior mean μ + C W'Λ⁻¹(x - Wμ), so that a class
    covariance may come close to singular.
    """
    W, noise = parameters.loadings, parameters.noise_variance
    (p, q), n = W.shape, statistics.counts.sum()
    A = W / noise[:, None]  # Λ⁻¹W
    M = W.T @ A

    means, covariances = [], []
    J, H = np.zeros((p, q)), np.zeros((q, q))
    deviance = n * (p * np.log(2 * np.pi) + np.log(noise).sum())
    products = in_threads(lambda S: S @ A, scatters or statistics.scatters, large=p > MANY_GENES)
    for n_k, x_bar, S, SA, mu, sigma in zip(
        statistics.counts,
        statistics.means,
        statistics.scatters,
        products,
        parameters.class_means,
        parameters.class_covariances,
        strict=True,
    ):
        L = cholesky_with_ridge(sigma)
        B = np.eye(q) + L.T @ M @ L
        B_factor = cho_factor(B, lower=True)
        C = L @ cho_solve(B_factor, L.T)

        ASA = A.T @ SA
        residual = x_bar - W @ mu
        shift = A.T @ residual
        deviance += 2 * n_k * np.log(np.diag(B_factor[0])).sum()
        deviance += (S.diagonal / noise).sum() + n_k * (residual**2 / noise).sum()
        deviance -= np.sum(C * ASA) + n_k * shift @ C @ shift

        b = mu + C @ shift  # mean of the posterior means
        T = C @ ASA @ C  # their scatter
        means.append(b)
        covariances.append(C + T / n_k)
        J += SA @ C + n_k * np.outer(x_bar, b)
        H += T + n_k * (np.outer(b, b) + C)

    W_new = np.linalg.solve(H, J.T).T
    noise_new = (statistics.total.diagonal - np.sum(J * W_new, axis=1)) / n
    updated = Parameters(W_new, np.maximum(noise_new, noise_floor), np.array(means), np.array(covariances))
    return updated, -0.5 * deviance


@dataclass
class Rescaled:
    """D⁻¹ S D⁻¹ for a scatter S and a diagonal D, known by its products."""

    scatter: Scatter
    scale: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(p, p)."""
        return len(self.scale), len(self.scale)

    def __matmul__(self, A: np.ndarray) -> np.ndarray:
        """Return the (p, r) product."""
        return np.asarray((self.scatter @ (A / self.scale[:, None])) / self.scale[:, None])


def residual_variance(total: Scatter, W: np.ndarray, n: float, noise_floor: np.ndarray) -> np.ndarray:
    """Variance of every gene that orthonormal axes W leave unexplained, (p,)."""
    explained = np.einsum("jq,qr,jr->j", W, W.T @ (total @ W), W) / n
    return np.asarray(np.maximum(total.diagonal / n - explained, noise_floor))


def initial_axes(
    statistics: ClassStatistics, n_factors: int, noise_floor: np.ndarray, start: str
) -> np.ndarray:
    """Principal axes of the source, or ("weighted") of genes first divided by their residual spread (1.9)."""
    total = statistics.total
    # The EM stops before it has forgotten its start, so that this must not depend on a seed.
    W = leading_eigenvectors(total, n_factors, 0, _START_TOLERANCE)
    if start == "principal":
        return W
    spread = np.sqrt(residual_variance(total, W, statistics.counts.sum(), noise_floor))
    weighted = leading_eigenvectors(Rescaled(total, spread), n_factors, 0, _START_TOLERANCE)
    return np.linalg.qr(spread[:, None] * weighted)[0]


def initial_parameters(statistics: ClassStatistics, W: np.ndarray, noise_floor: np.ndarray) -> Parameters:
    """Start from orthonormal axes and the class moments of the scores along them."""
    n, n_factors = statistics.counts.sum(), W.shape[1]
    projected = np.array([W.T @ (S @ W) for S in statistics.scatters])
    pooled = projected.sum(axis=0) / max(n - len(statistics.counts), 1)
    # A class of at most q rows has a singular covariance of its own.
    covariances = np.array(
        [
            S / (n_k - 1) if n_k > n_factors + 1 else pooled
            for S, n_k in zip(projected, statistics.counts, strict=True)
        ]
    )
    noise = residual_variance(statistics.total, W, n, noise_floor)
    return Parameters(W, noise, statistics.means @ W, covariances)


def fix_gauge(parameters: Parameters, counts: np.ndarray) -> Parameters:
    """Choose among equivalent solutions the one whose factors have unit second moment.

    (W T⁻¹, Tμ, TΣT') has the same likelihood for every invertible T. T whitens the factors, and then
    rotates them so that W'Λ⁻¹W is diagonal, decreasing: the transfer penalty then reads as an equivalent
    number of spots on every data set.
    """
    mu, sigma = parameters.class_means, parameters.class_covariances
    moment = np.einsum("k,kqr->qr", counts, sigma + mu[:, :, None] * mu[:, None, :]) / counts.sum()
    L = cholesky_with_ridge(moment)
    W = parameters.loadings @ L
    precision, rotation = np.linalg.eigh(W.T @ (W / parameters.noise_variance[:, None]))
    rotation = rotation[:, np.argsort(precision)[::-1]]
    W = fix_signs(W @ rotation)
    T = np.linalg.lstsq(W, parameters.loadings, rcond=None)[0]
    return Parameters(W, parameters.noise_variance, mu @ T.T, T @ sigma @ T.T)


def lowest_noise(variance: np.ndarray) -> np.ndarray:
    """Floor of the noise variances, (p,), from the genes' total variances.

    Without one a factor can shrink onto a single gene whose noise goes to zero (a Heywood case), with no
    end of the EM and no digits left. 0.005 of the variance is what R's `factanal` takes. A gene that never
    varies has no loading: any noise variance but a tiny one keeps it out of the way.
    """
    mean = variance.mean()
    return np.where(variance > 1e-12 * mean, 0.005 * variance, mean)
