"""Loadings pulled towards those of a source, for every penalty: closed form, alternating solver, errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from transst_py._core.eigen import orthonormal_basis, penalized_eigenvectors
from transst_py._core.warn import warn
from transst_py.expression.standardize import StandardizedMatrix

__all__ = [
    "ImplicitGram",
    "alternating_loadings",
    "principal_order",
    "principal_path",
    "projection_errors",
    "score_moments",
    "sweep",
    "unexplained_shares",
]


@dataclass
class ImplicitGram:
    """X'diag(w)X, known by its products only: for more genes than a (p, p) array has room for."""

    X: StandardizedMatrix
    weights: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(p, p)."""
        return self.X.shape[1], self.X.shape[1]

    def __add__(self, other: Self) -> Self:
        """Gram matrix of the rows of both."""
        return type(self)(self.X, self.weights + other.weights)

    def __sub__(self, other: Self) -> Self:
        """Gram matrix without the rows of the other."""
        return type(self)(self.X, self.weights - other.weights)

    def __matmul__(self, A: np.ndarray) -> np.ndarray:
        """Return the (p, r) product."""
        return self.X.scatter_dot(A, self.weights)

    def trace(self) -> float:
        """Sum of squares of the rows."""
        return float(self.weights @ self.X.row_squares())


def principal_path(
    G: Any, W0: np.ndarray, penalties: np.ndarray, seed: int, tolerance: float = 1e-6
) -> list[np.ndarray]:
    """Closed form, for every penalty λ: the q leading eigenvectors of G + λ P0, P0 the projector on span(W0).

    The global minimum of ‖X - XUU'‖² - λ tr(U'P0U) over U'U = I (Hendy & Dar 2024); gauge-free, since only
    the span of W0 enters. λ is in units of the mean variance of the target along W0.
    """
    U0 = orthonormal_basis(W0)
    unit = np.vdot(U0, G @ U0) / U0.shape[1]
    finite = np.isfinite(penalties)
    solutions = iter(penalized_eigenvectors(G, U0, unit * penalties[finite], W0.shape[1], seed, tolerance))
    return [next(solutions) if is_finite else U0 for is_finite in finite]


def alternating_loadings(
    G: np.ndarray,
    W0: np.ndarray,
    penalty: float,
    start: np.ndarray,
    *,
    max_iter: int = 5000,
    tol: float = 1e-6,
) -> tuple[np.ndarray, list[float]]:
    """Alternate the exact minimisers in v and in W until F stops falling (as published).

    λ is in units of the mean of the eigenvalues of v'v at W0.

    Returns
    -------
    loadings
        (p, q).
    objective
        F after each sweep; never increases.
    """
    if np.isinf(penalty):
        return W0, []
    strength = penalty * np.trace(score_moments(G, W0)[1]) / W0.shape[1]
    W, objective = start, []
    for _ in range(max_iter):
        W, value = sweep(G, W, W0, strength)
        objective.append(value)
        if len(objective) > 1 and objective[-2] - value <= tol * value:
            return W, objective
    warn(
        f"the alternating solver did not converge in {max_iter} sweeps at penalty {penalty:g}; "
        "use solver='eigen'",
        ConvergenceWarning,
    )
    return W, objective


def sweep(G: Any, W: np.ndarray, W0: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """One pair of exact updates, v then W ← (λW0 + X'v)(λI + v'v)⁻¹, and the value of F after it."""
    P, V = score_moments(G, W)
    W = np.linalg.solve(strength * np.eye(len(V)) + V, (strength * W0 + P).T).T
    fit = G.trace() - 2 * np.sum(W * P) + np.sum((W @ V) * W)
    return W, float(fit + strength * np.sum((W - W0) ** 2))


def score_moments(G: Any, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X'v (p, q) and v'v (q, q) of the projection scores v = X W (W'W)⁻¹."""
    GW = G @ W
    M = np.linalg.inv(W.T @ W)
    return GW @ M, M @ (W.T @ GW) @ M


def projection_errors(G: Any, path: list[np.ndarray]) -> np.ndarray:
    """‖X - P_W X‖² for every W: what its span leaves unexplained of held-out rows with Gram matrix G."""
    axes = np.hstack(path)
    axes = axes.astype(G.dtype, copy=False) if isinstance(G, np.ndarray) else axes
    products = np.split(G @ axes, np.cumsum([W.shape[1] for W in path])[:-1], axis=1)
    explained = [np.trace(np.linalg.solve(W.T @ W, W.T @ GW)) for W, GW in zip(path, products, strict=True)]
    return np.asarray(_trace(G) - np.array(explained))


def _trace(G: Any) -> float:
    return float(np.trace(G, dtype=np.float64) if isinstance(G, np.ndarray) else G.trace())


def unexplained_shares(G: Any, path: list[np.ndarray]) -> np.ndarray:
    """`projection_errors` as shares of the rows' sum of squares; 0 where that is 0, as nothing is left."""
    errors, total = projection_errors(G, path), _trace(G)
    return np.asarray(errors / total if total > 0 else np.zeros_like(errors))


def principal_order(W: np.ndarray, G: Any) -> np.ndarray:
    """Rotate and scale W within its span so that the scores are uncorrelated, by decreasing variance.

    The span decides the model; these coordinates make factors comparable and readable.
    """
    U = orthonormal_basis(W)
    _, rotation = np.linalg.eigh(U.T @ (G @ U))
    return np.asarray(U @ rotation[:, ::-1])
