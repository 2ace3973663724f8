from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh, subspace_angles

from transst_py._core.eigen import leading_eigenvectors, orthonormal_basis, penalized_eigenvectors

STRENGTHS = np.array([0.0, 0.01, 1.0, 30.0, 1e4])


class OnlyProducts:
    """A matrix that shows nothing but its products."""

    def __init__(self, G):
        self.G, self.shape = G, G.shape

    def __matmul__(self, A):
        return self.G @ A


def exact(G, q):
    return eigh(G, subset_by_index=[len(G) - q, len(G) - 1])[1][:, ::-1]


def gram(p, *, seed=0, decay=1.0):
    """Random covariance whose eigenvalues fall slowly, as those of expression do."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(p, p)))[0]
    return (basis * (1 + 100 / np.arange(1, p + 1) ** decay)) @ basis.T


@pytest.mark.parametrize("p", [60, 300, 500])
@pytest.mark.parametrize("related", [False, True])
def test_every_strength_has_the_exact_eigenvectors(p, related):
    G, q = gram(p), 7
    U0 = np.linalg.qr(np.random.default_rng(1).normal(size=(p, q)))[0]
    if related:
        U0 = np.linalg.qr(exact(G, q) + 0.2 * U0)[0]
    order = np.random.default_rng(2).permutation(len(STRENGTHS))
    for s, U in zip(
        STRENGTHS[order], penalized_eigenvectors(OnlyProducts(G), U0, STRENGTHS[order], q, 0), strict=True
    ):
        np.testing.assert_allclose(U.T @ U, np.eye(q), atol=1e-12)
        assert subspace_angles(U, exact(G + s * U0 @ U0.T, q)).max() < 1e-6
        np.testing.assert_allclose(np.abs(np.sum(U * exact(G + s * U0 @ U0.T, q), axis=0)), 1, atol=1e-6)


def test_directions_that_the_source_does_not_touch_are_found():
    p, q = 400, 3
    G = np.diag(np.r_[50.0, 40.0, 30.0, 20.0, 10.0, np.linspace(1, 2, p - 5)])
    U0 = np.eye(p)[:, 3:6]  # orthogonal to the three leading eigenvectors, and invariant under G
    free, pulled = penalized_eigenvectors(G, U0, [0.0, 100.0], q, 0)
    assert subspace_angles(free, np.eye(p)[:, :3]).max() < 1e-6
    assert subspace_angles(pulled, U0).max() < 1e-6


def test_low_rank_and_rank_deficient_start():
    rng = np.random.default_rng(0)
    p, q = 300, 4
    X = rng.normal(size=(6, p))
    G = X.T @ X
    U0 = np.linalg.qr(rng.normal(size=(p, 2)))[0]  # fewer columns than eigenvectors
    for s, U in zip([0.0, 10.0], penalized_eigenvectors(G, U0, [0.0, 10.0], q, 0), strict=True):
        assert subspace_angles(U, exact(G + s * U0 @ U0.T, q)).max() < 1e-6


@pytest.mark.parametrize("p", [50, 400])
def test_leading_eigenvectors_do_not_depend_on_the_seed(p):
    G = gram(p)
    one, two = leading_eigenvectors(G, 5, 0), leading_eigenvectors(OnlyProducts(G), 5, 1)
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert (one[np.abs(one).argmax(axis=0), np.arange(5)] > 0).all()
    assert subspace_angles(one, exact(G, 5)).max() < 1e-6


def test_equal_eigenvalues_come_to_an_end():
    G = np.eye(300)
    U = leading_eigenvectors(G, 3, 0)
    np.testing.assert_allclose(U.T @ U, np.eye(3), atol=1e-12)


def test_basis_of_a_span():
    W = np.random.default_rng(0).normal(size=(30, 3))
    basis = orthonormal_basis(np.c_[W, W @ [1e-3, 2, 0]])
    assert basis.shape == (30, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)
    assert subspace_angles(basis, W).max() < 1e-7
