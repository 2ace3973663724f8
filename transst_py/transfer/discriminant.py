"""Linear discriminant analysis from sums: Gaussian classes of one covariance, adapted to another tissue.

    f_i | class l ~ N(m_l, S),    p_il ∝ π_l N(f_i; m_l, S)

The means m_l and the shrunken covariance S come from labelled rows (Friedman 1989); on the target the means
move as far as its spots ask for, with the source's as a prior (maximum a posteriori adaptation, Gauvain & Lee
1994).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.utils import gen_batches

__all__ = ["Discriminant", "Moments"]

# Rows whose products with all classes are formed at a time.
_ROWS = 1 << 16


@dataclass
class Moments:
    """Sums over labelled rows, which add up: rows (L,), values (L, c) and outer products (c, c)."""

    counts: np.ndarray
    sums: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, F: np.ndarray, codes: np.ndarray, n_classes: int) -> Self:
        """Sums of the rows F (n, c) with class codes 0..n_classes-1 (n,)."""
        rows = np.arange(len(codes))
        member = sp.csr_matrix((np.ones(len(codes)), (rows, codes)), shape=(len(codes), n_classes))
        return cls.soft(F, member)

    @classmethod
    def soft(cls, F: np.ndarray, R: np.ndarray | sp.csr_matrix) -> Self:
        """Sums of the rows F (n, c) with probabilities R (n, L) of the classes, rows of sum 1."""
        counts, sums = np.zeros(R.shape[1]), np.zeros((R.shape[1], F.shape[1]))
        products = np.zeros((F.shape[1], F.shape[1]))
        for batch in gen_batches(len(F), _ROWS) if len(F) else ():
            f, r = (A[batch].astype(np.float64, copy=False) for A in (F, R))
            counts += np.asarray(r.sum(axis=0)).ravel()
            sums += r.T @ f
            products += f.T @ f
        return cls(counts, sums, products)

    def __add__(self, other: Self) -> Self:
        """Sums over the rows of both."""
        return type(self)(self.counts + other.counts, self.sums + other.sums, self.products + other.products)

    def __sub__(self, other: Self) -> Self:
        """Sums without the rows of the other."""
        return type(self)(self.counts - other.counts, self.sums - other.sums, self.products - other.products)


@dataclass
class Discriminant:
    """Gaussian classes of one covariance.

    Attributes
    ----------
    means
        (L, c).
    covariance
        (c, c), the same for all classes.
    log_priors
        (L,) log share of every class; -inf for a class without rows, which no row gets.
    """

    means: np.ndarray
    covariance: np.ndarray
    log_priors: np.ndarray

    @classmethod
    def fit(cls, moments: Moments, shrinkage: float) -> Self:
        """Means and priors of the rows; their covariance shrunk towards its mean variance, S + ridge."""
        n = moments.counts.sum()
        means = moments.sums / np.maximum(moments.counts, 1.0)[:, None]
        within = (moments.products - means.T @ (moments.counts[:, None] * means)) / n
        mean_variance = max(float(np.trace(within)) / len(within), np.finfo(float).tiny)
        covariance = (1.0 - shrinkage) * within + shrinkage * mean_variance * np.eye(len(within))
        with np.errstate(divide="ignore"):
            log_priors = np.log(moments.counts / n)
        return cls(means, covariance, log_priors)

    def posteriors(self, F: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, (n, L), for rows F (n, c)."""
        slopes, offsets = self._linear()
        P = np.empty((len(F), len(self.means)), dtype=F.dtype)
        for batch in gen_batches(len(F), _ROWS) if len(F) else ():
            P[batch] = np.exp(log_softmax(F[batch] @ slopes + offsets, axis=1))
        return P

    def distances(self, F: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance of rows F (n, c) from the nearest class, (n,)."""
        factor = np.linalg.inv(np.linalg.cholesky(self.covariance))
        places = self.means[np.isfinite(self.log_priors)] @ factor.T
        nearest = np.empty(len(F))
        for batch in gen_batches(len(F), _ROWS) if len(F) else ():
            f = F[batch] @ factor.T
            squares = np.sum(f**2, axis=1)[:, None] - 2 * f @ places.T + np.sum(places**2, axis=1)
            nearest[batch] = squares.min(axis=1)
        return nearest

    def adapted(self, F: np.ndarray, R: np.ndarray, prior_rows: np.ndarray | float) -> Self:
        """Move the means to rows F (n, c) of probabilities R (n, L): (κ m + Σ_i R_i f_i) / (κ + Σ_i R_i).

        `prior_rows`, κ, is how many rows the old mean is worth, (L,) or one number.
        """
        rows = Moments.soft(F, R)
        prior = np.broadcast_to(np.asarray(prior_rows, dtype=np.float64), rows.counts.shape)
        weight = prior + rows.counts
        moved = weight > 1e-6  # a class that no row has and that has no prior stays where it is
        means = self.means.copy()
        means[moved] = (prior[:, None] * means + rows.sums)[moved] / weight[moved, None]
        return replace(self, means=means)

    def with_classes(self, means: np.ndarray, share: float) -> Self:
        """Add classes of these means (e, c), which together make up this share of the rows."""
        log_share = np.full(len(means), np.log(share / len(means)))
        return replace(
            self,
            means=np.vstack([self.means, means]),
            log_priors=np.concatenate([self.log_priors + np.log1p(-share), log_share]),
        )

    def _linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Slopes (c, L) and offsets (L,) of the log posteriors, up to a constant for each row."""
        slopes = np.linalg.solve(self.covariance, self.means.T)
        return slopes, self.log_priors - 0.5 * np.sum(self.means.T * slopes, axis=0)
