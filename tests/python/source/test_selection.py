"""Relevance of sources, 1 for the same tissue, 0 for shuffled genes; and dependence of their labels."""

import numpy as np
import pytest

from transst_py._core.eigen import leading_eigenvectors
from transst_py.expression.standardize import standardize
from transst_py.source.selection import SourceMerits, label_dependence, source_relevance
from transst_py.source.statistics import class_statistics


@pytest.fixture
def tissue_pair():
    """Two samples of one factor model, (400, 80)."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(80, 4))
    return [
        standardize(rng.normal(size=(400, 4)) @ W.T + rng.normal(size=(400, 80)), center=True, scale=True)
        for _ in range(2)
    ]


def relevance_of(target, scatters, q):
    return source_relevance(target, [leading_eigenvectors(G, q, 0) for G in scatters], q, 0)


def test_same_tissue_is_one_and_shuffled_genes_are_zero(tissue_pair):
    target, source = tissue_pair
    G = source.scatter()
    order = np.random.default_rng(1).permutation(80)
    same, shuffled = relevance_of(target, [G, G[order][:, order]], 4)
    assert same == pytest.approx(1, abs=0.05)
    assert abs(shuffled) < 0.15


def test_half_of_the_axes_shared_lies_between(tissue_pair):
    target, _ = tissue_pair
    _, vectors = np.linalg.eigh(target.scatter())
    rng = np.random.default_rng(2)
    shared = vectors[:, -2:]
    others = np.linalg.qr(np.hstack([shared, rng.normal(size=(80, 2))]))[0][:, 2:]
    mixed = 10 * shared @ shared.T + 9 * others @ others.T
    (relevance,) = relevance_of(target, [mixed], 4)
    assert 0.4 < relevance < 0.8


def test_noise_has_no_relevance(tissue_pair):
    """Not even where the target's own axes explain no more than chance, so that all is alike."""
    rng = np.random.default_rng(5)
    noise, other = (standardize(rng.normal(size=(60, 80)), center=True, scale=True) for _ in range(2))
    assert relevance_of(noise, [other.scatter(), tissue_pair[1].scatter()], 4).tolist() == [0, 0]


def test_a_source_may_know_the_axes_better_than_the_target(tissue_pair):
    """From 20 spots the target's own axes are poor; the best source is what others are measured by."""
    target, source = tissue_pair
    few = target.rows(np.arange(20))
    relevance = relevance_of(few, [source.scatter(), np.diag(np.arange(80.0))], 4)
    assert relevance[0] == 1
    assert relevance[1] < 0.3


def used(relevance, random_labels=False):
    n = len(relevance)
    return SourceMerits(np.array(relevance), np.ones(n), np.full(n, random_labels)).worth_using().tolist()


def test_the_best_decides_how_much_is_enough():
    assert used([0.05]) == [False]
    assert used([0.3]) == [False]
    assert used([0.4]) == [True]
    assert used([1.0, 0.6, 0.3, -0.1]) == [True, True, False, False]
    assert used([0.5, 0.3]) == [True, True]


def test_few_spots(tissue_pair):
    target, source = tissue_pair
    (relevance,) = relevance_of(target.rows(np.arange(6)), [source.scatter()], 4)
    assert np.isfinite(relevance)


def test_sources_with_random_labels_are_no_measure_for_others():
    merits = SourceMerits(np.array([1.0, 0.4]), np.array([0.0, 0.5]), np.array([True, False]))
    assert merits.worth_using().tolist() == [False, True]
    assert used([1.0, 0.9], random_labels=True) == [False, False]


@pytest.fixture
def classes():
    """Three classes apart in one factor model, (300, 60) and (300,)."""
    rng = np.random.default_rng(3)
    y = np.repeat(["a", "b", "c"], 100)
    means = 1.5 * rng.normal(size=(3, 4))
    Z = np.repeat(means, 100, axis=0) + rng.normal(size=(300, 4))
    return standardize(Z @ rng.normal(size=(4, 60)) + rng.normal(size=(300, 60)), center=True, scale=True), y


def dependence(X, y):
    _, (statistics,) = class_statistics([(X, y)])
    return label_dependence(statistics, 4)


def test_dependence_is_that_of_discriminant_analysis(classes):
    """Pillai's trace is the sum of the squared canonical correlations of scores and classes."""
    X, y = classes
    _, _, Vt = np.linalg.svd(X.toarray(), full_matrices=False)
    scores = np.linalg.qr(X.toarray() @ Vt[:4].T)[0]
    indicators = np.linalg.qr((y[:, None] == np.unique(y)).astype(float))[0]
    pillai = np.sum((scores.T @ indicators) ** 2)
    chance = 4 * 2 / 299
    assert dependence(X, y)[0] == pytest.approx((pillai - chance) / (2 - chance), abs=1e-6)


def test_labels_in_random_order_do_not_depend_on_expression(classes):
    X, y = classes
    value, chance = dependence(X, y)
    assert 0.2 < value < 1
    assert value > 2 * chance
    orders = [np.random.default_rng(seed).permutation(y) for seed in range(20)]
    found = [dependence(X, order)[0] for order in orders]
    assert max(found) < chance
    assert abs(np.mean(found)) < chance / 5


def test_few_labelled_rows_are_given_the_benefit_of_the_doubt(classes):
    X, y = classes
    few = np.r_[:9, 100:103, 200:204]
    assert np.isnan(dependence(X.rows(few), y[few])).all()
    _, statistics = class_statistics([(X.rows(few), y[few])])
    assert not SourceMerits.of(X, statistics, 4, 0).random_labels.any()


def test_small_classes_are_not_looked_at(classes):
    X, y = classes
    small = y.copy()
    small[:3] = "d"
    without = np.arange(300) >= 3
    assert dependence(X, small)[0] == pytest.approx(dependence(X.rows(without), y[without])[0], abs=0.01)
