from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from transst_py.expression.genes import (
    excess_dispersion,
    morans_i,
    n_detected,
    n_detected_by,
    select_genes,
    shared_genes,
)
from transst_py.tissue.graph import spatial_neighbors


@pytest.fixture
def lattice():
    xy = np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(-1, 2).astype(float)
    return xy, spatial_neighbors(xy, n_neighbors=4)


def test_morans_i_equals_its_definition(lattice):
    xy, graph = lattice
    rng = np.random.default_rng(0)
    X = np.column_stack([xy[:, 0], (xy.sum(axis=1) % 2), rng.poisson(1, 64), np.full(64, 3.0)])
    W = graph.toarray()
    expected = []
    for x in X[:, :3].T:
        d = x - x.mean()
        expected.append(64 / W.sum() * (d @ W @ d) / (d @ d))
    for form in (X, sp.csr_matrix(X)):
        values = morans_i(form, graph)
        np.testing.assert_allclose(values[:3], expected, rtol=1e-10)
        assert values[3] == 0
    assert values[0] > 0.7  # a gradient
    assert values[1] < -0.3  # a chequerboard
    assert (morans_i(X, sp.csr_matrix((64, 64))) == 0).all()


def test_blocks_do_not_matter(lattice, monkeypatch):
    X = np.random.default_rng(1).poisson(1.0, (64, 11)).astype(float)
    whole = morans_i(X, lattice[1])
    monkeypatch.setattr("transst_py.expression.genes._CHUNK_NUMBERS", 300)
    np.testing.assert_allclose(morans_i(sp.csr_matrix(X), lattice[1]), whole)


def test_selection(lattice):
    xy, graph = lattice
    X = np.random.default_rng(2).poisson(1.0, (64, 6)).astype(float)
    X[:, 4] = xy[:, 0]
    X[:, 1] = xy[:, 1]
    everything = np.ones(6, dtype=bool)
    np.testing.assert_array_equal(select_genes(X, graph, everything, 2), [1, 4])
    np.testing.assert_array_equal(select_genes(X, graph, np.arange(6) != 4, None), [0, 1, 2, 3, 5])
    np.testing.assert_array_equal(n_detected(sp.csr_matrix(X)), (X != 0).sum(axis=0))


def test_genes_are_counted_in_groups_of_rows(monkeypatch):
    rng = np.random.default_rng(0)
    X, groups = rng.poisson(0.4, size=(50, 6)) * 1.0, np.repeat([2, 0, 1, 2, 0], 10)
    expected = [(X[groups == group] != 0).sum(axis=0) for group in range(3)]
    for numbers in (1 << 22, 7):
        monkeypatch.setattr("transst_py.expression.genes._CHUNK_NUMBERS", numbers)
        for one in (X, sp.csr_matrix(X)):
            np.testing.assert_array_equal(n_detected_by(one, groups), expected)


def test_shared_genes_keep_the_order_of_the_target():
    target = pd.Index(["d", "a", "c", "b"])
    shared = shared_genes(target, {"one": pd.Index(["a", "b", "c"]), "two": pd.Index(["c", "x", "a"])})
    assert list(shared) == ["a", "c"]
    with pytest.raises(ValueError, match="no gene is shared with source 'two'"):
        shared_genes(target, {"one": target, "two": pd.Index(["x"])})


def test_variable_genes_are_those_with_much_variance_for_their_mean():
    rng = np.random.default_rng(0)
    means = rng.uniform(0.5, 8, size=200)
    data = [rng.poisson(means, size=(300, 200)).astype(float) for _ in range(2)]
    for X in data:
        X[:, [3, 77]] = rng.negative_binomial(1, 1 / (1 + means[[3, 77]]), size=(300, 2))
    graph = sp.csr_matrix((300, 300))
    options = {"by": "variable", "sources": data[1:]}
    chosen = select_genes(data[0], graph, np.ones(200, dtype=bool), 2, **options)
    np.testing.assert_array_equal(chosen, [3, 77])
    sparse = select_genes(sp.csr_matrix(data[0]), graph, np.ones(200, dtype=bool), 2, **options)
    np.testing.assert_array_equal(sparse, [3, 77])


def test_genes_without_variation_are_never_variable():
    X = np.random.default_rng(0).poisson(3.0, (50, 30)).astype(float)
    X[:, 5] = 2.0
    X[:, 6] = 0.0
    assert np.isneginf(excess_dispersion(X)[[5, 6]]).all()
    assert np.isfinite(np.delete(excess_dispersion(X), [5, 6])).all()


def test_without_neighbours_genes_are_chosen_by_dispersion():
    X = np.random.default_rng(0).poisson(3.0, (50, 30)).astype(float)
    graph = sp.csr_matrix((50, 50))
    with pytest.warns(UserWarning, match="genes are chosen by their dispersion"):
        chosen = select_genes(X, graph, np.ones(30, dtype=bool), 5)
    np.testing.assert_array_equal(chosen, select_genes(X, graph, np.ones(30, dtype=bool), 5, by="variable"))
