"""Relevance of sources: 1 for the same tissue, 0 for shuffled genes."""

import numpy as np
import pytest

from transst_py.source_relevance import source_relevance, worth_using
from transst_py.standardize import standardize


@pytest.fixture
def tissue_pair():
    """Two samples of one factor model, (400, 80)."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(80, 4))
    return [
        standardize(rng.normal(size=(400, 4)) @ W.T + rng.normal(size=(400, 80)), center=True, scale=True)
        for _ in range(2)
    ]


def test_same_tissue_is_one_and_shuffled_genes_are_zero(tissue_pair):
    target, source = tissue_pair
    G = source.scatter()
    order = np.random.default_rng(1).permutation(80)
    same, shuffled = source_relevance(target, [G, G[order][:, order]], 4, 0)
    assert same == pytest.approx(1, abs=0.05)
    assert abs(shuffled) < 0.15


def test_half_of_the_axes_shared_lies_between(tissue_pair):
    target, _ = tissue_pair
    _, vectors = np.linalg.eigh(target.scatter())
    rng = np.random.default_rng(2)
    shared = vectors[:, -2:]
    others = np.linalg.qr(np.hstack([shared, rng.normal(size=(80, 2))]))[0][:, 2:]
    mixed = 10 * shared @ shared.T + 9 * others @ others.T
    (relevance,) = source_relevance(target, [mixed], 4, 0)
    assert 0.4 < relevance < 0.8


def test_the_best_decides_how_much_is_enough():
    assert worth_using(np.array([0.05])).tolist() == [False]
    assert worth_using(np.array([0.3])).tolist() == [False]
    assert worth_using(np.array([0.4])).tolist() == [True]
    assert worth_using(np.array([1.0, 0.6, 0.3, -0.1])).tolist() == [True, True, False, False]
    assert worth_using(np.array([0.5, 0.3])).tolist() == [True, True]


def test_few_spots(tissue_pair):
    target, source = tissue_pair
    (relevance,) = source_relevance(target.rows(np.arange(6)), [source.scatter()], 4, 0)
    assert np.isfinite(relevance)
