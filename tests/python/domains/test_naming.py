"""Names of domains: what they are compared with, and when there is none."""

import numpy as np
import pytest

from transst_py.domains.naming import MIN_CORRELATION, name_domains, relative, resembling
from transst_py.expression.standardize import standardize
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.source.labels import UNKNOWN


@pytest.fixture
def classes():
    """Rows of three classes in 60 genes, their labels, and the model of them."""
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], 80)
    profiles = 0.8 * rng.normal(size=(3, 60))
    X = profiles[np.searchsorted(["a", "b", "c"], y)] + rng.normal(size=(240, 60))
    return X, y, SupervisedFactorAnalysis(3, scale=True).fit(X, y)


def rows_like(X):
    return standardize(X, center=True, scale=True)


def test_domains_bear_the_names_of_their_classes(classes):
    X, y, model = classes
    labels = np.array([2, 0, 1])[np.searchsorted(["a", "b", "c"], y)]
    table = name_domains(rows_like(X), model, labels)
    assert table["name"].tolist() == ["b", "c", "a"]
    assert (table["lower"] < table["correlation"]).all()
    assert (table["correlation"] > 0.95).all()


def test_correlation_is_that_of_numpy(classes):
    X, _, model = classes
    rng = np.random.default_rng(1)
    labels = rng.integers(4, size=240)
    target = rows_like(X + rng.normal(size=X.shape))
    profiles = np.array([target.toarray()[labels == k].mean(axis=0) for k in range(4)])
    domains = profiles - profiles.mean(axis=0)
    sources = model.class_profiles_ - model.class_profiles_.mean(axis=0)
    expected = np.corrcoef(domains, sources)[:4, 4:].max(axis=1)
    np.testing.assert_allclose(name_domains(target, model, labels)["correlation"], expected)


def test_what_resembles_no_class_is_unknown(classes):
    X, y, model = classes
    rng = np.random.default_rng(2)
    new = rng.normal(size=(80, 60)) + 1.5 * rng.normal(size=60)
    labels = np.r_[np.searchsorted(["a", "b", "c"], y), np.full(80, 3)]
    table = name_domains(rows_like(np.vstack([X, new])), model, labels)
    assert table["name"][3] == UNKNOWN
    assert table["lower"][3] < MIN_CORRELATION
    assert table["likely"][3] in {"a", "b", "c"}


def test_a_domain_may_resemble_a_class_and_have_no_name(classes):
    """The class that fits best is not always one that fits: the source may lack the domain's own."""
    X, y, model = classes
    rng = np.random.default_rng(3)
    other = X[y == "a"] + 1.4 * rng.normal(size=60)  # half the class, half something else
    labels = np.r_[np.searchsorted(["b", "c"], y[y != "a"]), np.full(len(other), 2)]
    table = name_domains(rows_like(np.vstack([X[y != "a"], other])), model, labels)
    assert table["likely"].tolist() == ["b", "c", "a"]
    assert table["name"].tolist() == ["b", "c", UNKNOWN]
    assert resembling(table).tolist() == [True, True, True]
    assert (table["second"] < table["correlation"]).all()


def test_with_nothing_to_compare_all_are_unknown(classes):
    X, _, model = classes
    assert name_domains(rows_like(X), model, np.zeros(240, dtype=int))["name"].tolist() == [UNKNOWN]
    single = SupervisedFactorAnalysis(3, scale=True).fit(X, np.full(240, "a"))
    assert set(name_domains(rows_like(X), single, np.arange(240) % 2)["name"]) == {UNKNOWN}


def test_a_domain_without_spots_is_unknown(classes):
    X, y, model = classes
    labels = np.where(y == "a", 0, 2)
    table = name_domains(rows_like(X), model, labels)
    assert table.loc[1, ["name", "likely"]].tolist() == [UNKNOWN, UNKNOWN]
    assert table["name"][0] == "a"


def test_relative_profiles_have_unit_length():
    profiles = relative(np.random.default_rng(0).normal(size=(3, 5)), np.array([True, True, False]))
    np.testing.assert_allclose(np.linalg.norm(profiles, axis=1), [1, 1, 0])
    np.testing.assert_allclose(profiles.mean(axis=1), 0, atol=1e-15)
