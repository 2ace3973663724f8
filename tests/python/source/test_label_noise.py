"""Wrong labels of the source: found, counted, left out, and reported."""

from __future__ import annotations

import re
import warnings

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import check_grad

import transst_py as tst
from transst_py import SupervisedFactorAnalysis
from transst_py.expression.chunks import open_rows
from transst_py.expression.standardize import standardize
from transst_py.model import TransST
from transst_py.source import label_noise
from transst_py.source.label_noise import (
    LabelNoise,
    estimate_label_noise,
    factor_projection,
    fit_noisy_labels,
    fit_source_model,
    negative_log_posterior,
    prior_confusion,
    rows_to_keep,
)
from transst_py.source.statistics import class_statistics

CLASSES = np.array(["a", "b", "c", "d"])


def separated_rows(n=600, separation=5.0, seed=0):
    """Rows of 30 genes in four classes, of a 4-factor model, standardised; and their classes."""
    rng = np.random.default_rng(seed)
    y = CLASSES[rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])]
    z = separation * np.eye(4)[np.searchsorted(CLASSES, y)] + rng.normal(size=(n, 4))
    X = z @ rng.normal(size=(4, 30)) + rng.normal(size=(n, 30))
    return standardize(X, center=True, scale=True), y


def with_errors(y, rate, kind="any", seed=1):
    """Labels of which a share is wrong: of "any" class, or of the next one."""
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(len(y))[: round(rate * len(y))]
    shift = rng.integers(1, 4, size=len(wrong)) if kind == "any" else 1
    found = y.copy()
    found[wrong] = CLASSES[(np.searchsorted(CLASSES, y[wrong]) + shift) % 4]
    return found


def noise_of(X, y):
    return estimate_label_noise(SupervisedFactorAnalysis(4).fit_datasets([(X, y)]), X, y)


def fit_to(model, X, y, label_noise):
    classes, statistics = class_statistics([(X, y)])
    return fit_source_model(model, [(X, y)], classes, statistics, label_noise=label_noise)[0]


@pytest.mark.parametrize("kind", ["any", "next"])
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.4])
def test_wrong_labels_are_found_and_counted(rate, kind):
    X, y = separated_rows(2000)
    given = with_errors(y, rate, kind)
    noise = noise_of(X, given)
    wrong = given != y
    assert noise.rate == pytest.approx(rate, abs=0.03 + 0.1 * rate)
    assert wrong[noise.suspicious].mean() > 0.85
    assert noise.suspicious[wrong].mean() > 0.8
    table = noise.table()
    assert (table["given"].to_numpy() == given[table["row"]]).all()
    assert (table["likely"].to_numpy() == y[table["row"]]).mean() > 0.85
    assert (table["given"] != table["likely"]).all()
    assert (np.diff(noise.trust[table["row"]]) >= 0).all()


def test_right_labels_are_believed():
    X, y = separated_rows()
    noise = noise_of(X, y)
    assert noise.rate < 0.02
    assert noise.suspicious.mean() < 0.01
    assert rows_to_keep(noise).all()


def test_labels_that_say_nothing_are_not_called_wrong():
    """Of permuted labels nothing is known: what is found is the prior."""
    X, y = separated_rows()
    noise = noise_of(X, np.random.default_rng(0).permutation(y))
    assert noise.suspicious.mean() < 0.1


def test_responsibilities_equal_bayes_rule_row_by_row():
    X, y = separated_rows(80)
    given = with_errors(y, 0.2)
    model = SupervisedFactorAnalysis(4).fit_datasets([(X, given)])
    noise = estimate_label_noise(model, X, given)

    W, lam, rows = model.loadings_, model.noise_variance_, X.toarray()
    precision = np.linalg.inv(np.eye(4) + W.T @ np.diag(1 / lam) @ W)
    factors = np.array([precision @ W.T @ (x / lam) for x in rows])
    np.testing.assert_allclose(rows @ factor_projection(model), factors, rtol=1e-8, atol=1e-10)
    U = np.column_stack([(factors - factors.mean(axis=0)) / factors.std(axis=0), np.ones(80)])
    codes = np.searchsorted(CLASSES, given)
    B, log_T = fit_noisy_labels(U, codes, 4)
    for i in range(80):
        p = np.exp(U[i] @ B) / np.exp(U[i] @ B).sum()
        joint = np.array([p[k] * np.exp(log_T[k, codes[i]]) for k in range(4)])
        np.testing.assert_allclose(noise.responsibilities[i], joint / joint.sum(), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(noise.confusion.sum(axis=1), 1.0)


def test_gradient_is_that_of_the_density():
    rng = np.random.default_rng(0)
    U, codes = np.column_stack([rng.normal(size=(40, 2)), np.ones(40)]), rng.integers(3, size=40)
    value, gradient = (
        lambda theta, part=part: negative_log_posterior(theta, U, codes, prior_confusion(3))[part]
        for part in (0, 1)
    )
    for _ in range(3):
        assert check_grad(value, gradient, rng.normal(size=3 * 3 + 9)) < 1e-4


def test_a_sample_of_many_rows_gives_nearly_the_same(monkeypatch):
    X, y = separated_rows(2000)
    given = with_errors(y, 0.2)
    full = noise_of(X, given)
    monkeypatch.setattr(label_noise, "_MAX_ROWS", 800)
    part = noise_of(X, given)
    assert part.responsibilities.shape == full.responsibilities.shape
    assert np.mean(part.suspicious == full.suspicious) > 0.98


def test_one_class_has_no_wrong_labels():
    X, y = separated_rows(50)
    noise = noise_of(X, np.full(len(y), "a"))
    assert noise.rate == 0
    assert noise.table().empty


def test_no_class_is_emptied():
    codes = np.array([0, 0, 1, 1, 2, 2])
    R = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 0.9, 0.1], [0.1, 0.9, 0], [0.9, 0, 0.1], [0.9, 0.1, 0]])
    noise = LabelNoise(CLASSES[:3], codes, np.eye(3), R)
    assert rows_to_keep(noise).tolist() == [True, False, True, True, True, True]


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_in_chunks_give_the_same(tmp_path, sparse):
    X, y = separated_rows(300)
    given = with_errors(y, 0.2)
    raw = X.toarray()
    matrix = sp.csr_matrix(np.where(raw > 0, raw, 0.0)) if sparse else raw
    anndata.AnnData(matrix).write_h5ad(tmp_path / "rows.h5ad")
    stored = anndata.read_h5ad(tmp_path / "rows.h5ad", backed="r")
    inside, outside = (
        standardize(rows, center=True, scale=True) for rows in (matrix, open_rows(stored.X, "rows"))
    )
    models = [SupervisedFactorAnalysis(4) for _ in range(2)]
    a, b = (
        fit_to(model, rows, given, "remove")[0] for model, rows in zip(models, (inside, outside), strict=True)
    )
    np.testing.assert_allclose(b.responsibilities, a.responsibilities, atol=1e-5)
    np.testing.assert_allclose(models[1].class_profiles_, models[0].class_profiles_, atol=1e-8)
    stored.file.close()


def test_rows_are_left_out_of_the_model_or_only_reported():
    X, y = separated_rows()
    given = with_errors(y, 0.2)
    removed, reported, ignored, clean = (SupervisedFactorAnalysis(4) for _ in range(4))
    noise = fit_to(removed, X, given, "remove")
    assert fit_to(ignored, X, given, "ignore") == []
    fit_to(reported, X, given, "report")
    clean.fit_datasets([(X, y)])
    np.testing.assert_array_equal(reported.loadings_, ignored.loadings_)
    assert removed.class_counts_.sum() == len(y) - noise[0].suspicious.sum()

    def error(model):
        return np.abs(model.class_profiles_ - clean.class_profiles_).max()

    assert error(removed) < 0.5 * error(reported)


def test_rows_are_kept_where_too_few_would_be_left(monkeypatch):
    X, y = separated_rows(60)
    monkeypatch.setattr(label_noise, "rows_to_keep", lambda noise: np.arange(len(noise.codes)) < 4)
    model = SupervisedFactorAnalysis(4, tol=1e-3)
    fit_to(model, X, y, "remove")
    assert model.class_counts_.sum() == 60


def test_every_source_has_a_rate_of_its_own():
    M, y = separated_rows(1000)
    rows = M.toarray()
    X, given = rows[:200], with_errors(y, 0.3).astype(object)
    given[600:605] = None
    data = {"good": (rows[200:600], y[200:600]), "bad": (rows[600:], given[600:])}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = TransST(4, n_factors=4, n_init=2, penalties=(1.0,)).fit(X, None, data)
    (message,) = [str(w.message) for w in caught if "seem wrong" in str(w.message)]
    assert re.match(
        "source 'bad': about [23][0-9]% of the labels seem wrong; .* of 395 rows are left out", message
    )
    assert model.label_noise_["good"] < 0.05
    assert model.label_noise_["bad"] == pytest.approx(0.3, abs=0.06)
    table = model.suspicious_["bad"]
    assert (table["row"] >= 5).all()
    assert (table["given"] == given[600:][table["row"]]).all()


def test_unknown_option_is_refused():
    X, y = separated_rows(50)
    with pytest.raises(ValueError, match="`label_noise`: unknown value 'drop'"):
        TransST(2, n_factors=4, label_noise="drop").fit(X.toarray(), None, [(X.toarray(), y)])


def test_record_names_the_rows_and_survives_h5ad(tissue, tmp_path):
    target, source = tissue
    names = sorted(source.obs["label"].unique())
    given = source.obs["label"].astype(str).to_numpy()
    wrong = np.random.default_rng(0).permutation(source.n_obs)[:80]
    given[wrong] = [names[(names.index(name) + 1) % len(names)] for name in given[wrong]]
    source.obs["label"] = given
    with pytest.warns(UserWarning, match="of the labels seem wrong"):
        tst.tl.transst(target, {"a/b": source}, source_labels="label", n_domains=3, n_factors=5, n_init=2)
    target.write_h5ad(tmp_path / "result.h5ad")
    for record in (target.uns["transst"], anndata.read_h5ad(tmp_path / "result.h5ad").uns["transst"]):
        found = record["source"]["suspicious"]
        assert record["source"]["label_noise"][0] == pytest.approx(0.2, abs=0.06)
        rows = source.obs_names.get_indexer(found["row"])
        assert (found["given"] == given[rows]).all()
        assert np.isin(rows, wrong).mean() > 0.8
        assert set(found["source"]) == {"a/b"}
        assert ((found["probability"] > 0.3) & (found["probability"] <= 1)).all()


def test_record_of_clean_and_of_unchecked_labels(tissue, tmp_path):
    target, source = tissue
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tst.tl.transst(target, source, source_labels="label", n_domains=3, n_factors=5, n_init=2)
        target.write_h5ad(tmp_path / "result.h5ad")
        assert target.uns["transst"]["source"]["label_noise"][0] < 0.05
        tst.tl.transst(
            target, source, source_labels="label", n_domains=3, n_factors=5, n_init=2, label_noise="ignore"
        )
    assert "suspicious" not in target.uns["transst"]["source"]
