"""Leading eigenvectors of G + s U0 U0', for many strengths s at once.

Every such vector solves (θ - G) u = s U0 (U0'u), so that the Krylov space of G and U0 holds it, whatever s:
one block Lanczos run (Golub & Underwood 1977), reorthogonalised in full, serves all strengths, and touches
G only by its products with narrow blocks. The space grows until each set of vectors is exact: its residuals
are at most 1e-6 of the gap below it, which bounds the angle between its span and the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import eigh, qr

from transst_py._core.threads import one_blas_thread

__all__ = [
    "approximate_eigenvectors",
    "fix_signs",
    "leading_eigenvectors",
    "orthonormal_basis",
    "penalized_eigenvectors",
]

# Smaller matrices are decomposed in full.
_MIN_SIZE = 200
_TOLERANCE = 1e-6  # of the residuals, relative to the gap ...
_PRECISION = 1e-10  # ... but not below this share of the largest eigenvalue
# Sizes of the Krylov space, in numbers of eigenvectors, and as a multiple of the last, at which it is looked
# whether it is large enough.
_FIRST_CHECK, _NEXT_CHECK = 3, 1.2
# Of the approximate ones: more directions than asked for, and multiplications by G.
_OVERSAMPLING = 20
_POWER_STEPS = 5


def leading_eigenvectors(G: Any, n_components: int, seed: int, tolerance: float = _TOLERANCE) -> np.ndarray:
    """Orthonormal (p, n_components) leading eigenvectors of a symmetric matrix, largest entries positive.

    G is an array or anything else with `shape` and `G @ (p, r) array`; `tolerance` is the largest angle
    between their span and the exact one.
    """
    start = np.linalg.qr(np.random.default_rng(seed).standard_normal((G.shape[0], n_components)))[0]
    return fix_signs(penalized_eigenvectors(G, start, [0.0], n_components, seed, tolerance)[0])


def approximate_eigenvectors(G: Any, n_components: int, seed: int) -> np.ndarray:
    """Orthonormal (p, n_components) axes with nearly all that the leading eigenvectors explain.

    Subspace iteration from a random start (Halko et al. 2011): for what needs the space, not each of its
    axes. As `leading_eigenvectors` otherwise.
    """
    p = G.shape[0]
    if p <= _MIN_SIZE:
        return leading_eigenvectors(G, n_components, seed)
    width = min(n_components + _OVERSAMPLING, p)
    with one_blas_thread:
        Q = np.random.default_rng(seed).standard_normal((p, width))
        for _ in range(_POWER_STEPS):
            Q = qr(G @ Q, mode="economic", check_finite=False)[0]
        _, vectors = eigh(Q.T @ (G @ Q), check_finite=False)
        return fix_signs(np.asarray(Q @ vectors[:, ::-1][:, :n_components]))


def orthonormal_basis(W: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the span of the columns of W, (p, r)."""
    with one_blas_thread:
        norm = np.sqrt(np.sum(W**2, axis=0).max())
        return _outside(W, np.empty((len(W), 0)), 1e-12 * norm)


def fix_signs(W: np.ndarray) -> np.ndarray:
    """Flip columns so that the entry of largest magnitude is positive."""
    extremes = W[np.abs(W).argmax(axis=0), np.arange(W.shape[1])]
    return W * np.where(extremes < 0, -1.0, 1.0)


def penalized_eigenvectors(
    G: Any,
    U0: np.ndarray,
    strengths: Sequence[float],
    n_components: int,
    seed: int,
    tolerance: float = _TOLERANCE,
) -> list[np.ndarray]:
    """Leading eigenvectors of G + s U0 U0' for every strength s.

    Parameters
    ----------
    G
        (p, p) symmetric, positive semi-definite: an array or anything else with `shape` and
        `G @ (p, r) array`.
    U0
        (p, r) orthonormal columns.
    strengths
        Values of s, >= 0.
    n_components
        Number q < p of eigenvectors.
    seed
        Of one random direction, which makes up for eigenvectors that U0 does not touch.
    tolerance
        Largest angle between a set of vectors and the exact one.

    Returns
    -------
    For every strength a (p, q) array with orthonormal columns, by decreasing eigenvalue.
    """
    # Narrow products gain little from threads, and lose all of it on a busy machine.
    with one_blas_thread:
        if len(U0) <= _MIN_SIZE:
            dense = G @ np.eye(len(U0))
            return [_leading(dense + s * (U0 @ U0.T), n_components)[1] for s in strengths]
        return _block_lanczos(G, U0, strengths, n_components, seed, tolerance)


def _block_lanczos(
    G: Any, U0: np.ndarray, strengths: Sequence[float], q: int, seed: int, tolerance: float
) -> list[np.ndarray]:
    (p, r) = U0.shape
    found: dict[int, np.ndarray] = {}
    pending = sorted(range(len(strengths)), key=lambda i: strengths[i])
    extra = np.random.default_rng(seed).standard_normal((p, 1))
    space, T = np.empty((p, 2 * _FIRST_CHECK * q), order="F"), np.empty((0, 0))
    block = np.hstack([U0, _outside(extra, U0, 0.0)])
    size, next_check = 0, _FIRST_CHECK * q
    while pending:
        width = block.shape[1]
        if size + width > space.shape[1]:
            space = np.hstack([space, np.empty_like(space)])
        space[:, size : size + width] = block
        size += width
        Q = space[:, :size]
        # BLAS is twice as fast with the narrow factor on the left.
        image = (block.T @ G).T if isinstance(G, np.ndarray) else G @ block
        coupling = Q.T @ image
        T = np.block([[T, coupling[: len(T)]], [coupling.T]])
        rest = image - Q @ coupling
        block = _next_block(rest, Q, 1e-12 * np.abs(T).max())
        if size < next_check and block.size:
            continue
        next_check = _NEXT_CHECK * size
        # Large strengths come first: what they add stands out already in a small space.
        while pending:
            projected = T.copy()
            projected[range(r), range(r)] += strengths[pending[-1]]
            values, vectors = _leading(projected, q)
            residual = np.linalg.norm(rest @ vectors[-width:], axis=0).max()
            if block.size and residual > max(tolerance * (values[-2] - values[-1]), _PRECISION * values[0]):
                break
            found[pending.pop()] = Q @ vectors
    return [found[i] for i in range(len(strengths))]


def _next_block(rest: np.ndarray, Q: np.ndarray, floor: float) -> np.ndarray:
    """Orthonormal basis of what was projected out of span(Q) once, and is here again: twice is enough."""
    rest = rest - Q @ (Q.T @ rest)
    basis, R = qr(rest, mode="economic", check_finite=False)
    if np.abs(np.diag(R)).min() > floor and Q.shape[1] + rest.shape[1] <= Q.shape[0]:
        return np.asarray(basis)
    return _outside(rest, Q, floor)


def _leading(S: np.ndarray, q: int) -> tuple[np.ndarray, np.ndarray]:
    """The q + 1 largest eigenvalues, decreasing, and the eigenvectors of the first q."""
    n = len(S)
    values, vectors = eigh(S, subset_by_index=[max(n - q - 1, 0), n - 1], check_finite=False)
    return values[::-1], vectors[:, ::-1][:, :q]


def _outside(A: np.ndarray, Q: np.ndarray, floor: float) -> np.ndarray:
    """Orthonormal basis of the part of A outside span(Q), without directions shorter than `floor`."""
    A = A - Q @ (Q.T @ A)
    basis, R, _ = qr(A, mode="economic", pivoting=True, check_finite=False)
    basis = basis[:, np.abs(np.diag(R)) > floor][:, : Q.shape[0] - Q.shape[1]]
    return np.asarray(
        qr(basis - Q @ (Q.T @ basis), mode="economic", check_finite=False)[0] if basis.size else basis
    )
