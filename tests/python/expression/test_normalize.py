from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from transst_py.expression.normalize import log_expression, log_normalize, median_total


@pytest.fixture
def counts():
    X = np.random.default_rng(0).poisson(0.7, (30, 12)).astype(np.float32)
    X[3] = 0
    return X


@pytest.mark.parametrize("rows", [16_384, 4])
def test_totals_become_equal_and_empty_spots_stay_empty(counts, rows, monkeypatch):
    monkeypatch.setattr("transst_py.expression.normalize._CHUNK_ROWS", rows)
    X = sp.csr_matrix(counts)
    before = X.copy()
    normalized = log_normalize(X, target_sum=10.0)
    totals = np.expm1(normalized.toarray()).sum(axis=1)
    np.testing.assert_allclose(totals, np.where(np.arange(30) == 3, 0, 10), rtol=1e-5)
    np.testing.assert_allclose(normalized.toarray(), log_normalize(counts, target_sum=10.0), rtol=1e-5)
    assert normalized.dtype == np.float32
    assert (before != X).nnz == 0


def test_entries_stored_twice_are_summed_first_and_the_input_is_left_alone():
    X = sp.csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    np.testing.assert_allclose(log_normalize(X, target_sum=6.0).toarray(), np.log1p([[2, 4]]))
    np.testing.assert_array_equal(X.indices, [1, 0, 1])


def test_scale_is_the_median_of_the_spots_with_counts(counts):
    totals = counts.sum(axis=1)
    assert median_total(sp.csr_matrix(counts)) == np.median(totals[totals > 0])
    assert median_total(np.zeros((2, 2))) == 1.0
    np.testing.assert_array_equal(log_expression(counts, "none"), counts)
    with pytest.raises(ValueError, match="negative"):
        log_expression(-counts, "log")
