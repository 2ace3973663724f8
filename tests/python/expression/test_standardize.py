from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from transst_py.expression.standardize import StandardizedMatrix, column_moments, standardize


@pytest.fixture(params=["dense", "sparse", "very sparse", "float32"])
def matrix(request):
    """90 x 40 log counts in several kinds of storage, and the same as a dense float64 array."""
    rng = np.random.default_rng(0)
    density = 0.03 if request.param == "very sparse" else 0.3
    X = np.log1p(rng.poisson(3, (90, 40)) * (rng.uniform(size=(90, 40)) < density))
    X[:, 5] = 0
    if request.param == "dense":
        return X, X
    return sp.csr_matrix(X, dtype=np.float32 if request.param == "float32" else np.float64), X


def explicit(X, mean, scale):
    return (X - mean) / scale


@pytest.fixture(params=[2048, 7])
def _chunks(request, monkeypatch):
    monkeypatch.setattr("transst_py.expression.standardize._CHUNK_ROWS", request.param)
    monkeypatch.setattr("transst_py.expression.standardize._CHUNK_VALUES", 3 * request.param)


@pytest.mark.usefixtures("_chunks")
def test_moments(matrix):
    X, dense = matrix
    mean, variance = column_moments(X)
    np.testing.assert_allclose(mean, dense.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance, dense.var(axis=0), rtol=1e-6, atol=1e-12)
    assert mean.dtype == variance.dtype == np.float64


@pytest.mark.usefixtures("_chunks")
def test_implicit_products_equal_explicit_ones(matrix):
    X, dense = matrix
    rng = np.random.default_rng(1)
    mean, scale = rng.normal(size=40), rng.uniform(0.5, 2, 40)  # those of other rows, as in joint scaling
    Z, E = StandardizedMatrix(X, mean, scale), explicit(dense, mean, scale)
    A, weights, point = rng.normal(size=(40, 3)), rng.integers(0, 2, 90).astype(float), rng.normal(size=40)
    close = {"rtol": 1e-5, "atol": 1e-4} if X.dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    np.testing.assert_allclose(Z.toarray(), E, **close)
    np.testing.assert_allclose(Z.dot(A), E @ A, **close)
    np.testing.assert_allclose(Z.scatter(), E.T @ E, **close)
    np.testing.assert_allclose(Z.scatter(point), (E - point).T @ (E - point), **close)
    np.testing.assert_allclose(Z.about(point).toarray(), E - point, **close)
    np.testing.assert_allclose(Z.scatter_dot(A), E.T @ (E @ A), **close)
    np.testing.assert_allclose(Z.scatter_dot(A, weights), E.T @ (weights[:, None] * (E @ A)), **close)
    np.testing.assert_allclose(Z.column_means(), E.mean(axis=0), **close)
    np.testing.assert_allclose(Z.column_squares(), np.sum(E**2, axis=0), **close)
    np.testing.assert_allclose(Z.row_squares(), np.sum(E**2, axis=1), **close)


def test_few_values_are_multiplied_as_they_are():
    rng = np.random.default_rng(0)
    X = sp.csr_matrix(np.where(rng.uniform(size=(400, 60)) < 0.03, rng.uniform(1, 3, (400, 60)), 0))
    Z = standardize(X, center=True, scale=True)
    assert Z._is_sparse(Z.mean)
    np.testing.assert_allclose(Z._sparse_scatter(Z.mean), Z.toarray().T @ Z.toarray(), atol=1e-10)
    far = StandardizedMatrix(X, Z.mean + 1e3 * Z.scale, Z.scale)
    assert not far._is_sparse(far.mean)  # too many digits would cancel
    np.testing.assert_allclose(far.scatter(), far.toarray().T @ far.toarray(), rtol=1e-12)


def test_levels_far_from_zero_keep_their_digits():
    rng = np.random.default_rng(0)
    X = 1e6 + rng.normal(size=(200, 4))
    centred = X - X.mean(axis=0)
    Z = standardize(X, center=True, scale=False)
    np.testing.assert_allclose(column_moments(X)[1], np.mean(centred**2, axis=0), rtol=1e-8)
    np.testing.assert_allclose(Z.scatter(), centred.T @ centred, rtol=1e-8, atol=1e-6)


def test_constant_columns_are_not_scaled():
    Z = standardize(np.c_[np.ones(5), np.arange(5.0)], center=True, scale=True)
    np.testing.assert_array_equal(Z.scale, [1, np.sqrt(2)])
    assert standardize(Z, center=False, scale=False) is Z
