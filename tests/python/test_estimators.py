"""What scikit-learn asks of estimators: its own checks, names of columns, pipelines, scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import multivariate_normal
from sklearn import set_config
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from transst_py import AdaptiveLoadings, SpatialGaussianMixture, SupervisedFactorAnalysis, TransST
from transst_py._core.optional import has_torch
from transst_py.domains.components import inverse_factors
from transst_py.tissue.spatial_factors import SpatialFactors


def chain(n):
    return sp.csr_matrix(sp.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[-1, 1], shape=(n, n)))


def n_rows(X):
    return X.shape[0] if hasattr(X, "shape") else len(np.asarray(X))


class FactorsOfAChain(SpatialFactors):
    """The checks know of no graph: here every row is a neighbour of the next."""

    def fit(self, X, y=None, *, connectivities=None):
        return super().fit(X, connectivities=chain(n_rows(X)) if connectivities is None else connectivities)

    def transform(self, X, connectivities=None):
        return super().transform(X, chain(n_rows(X)) if connectivities is None else connectivities)

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


ESTIMATORS = [
    TransST(3, n_factors=1, n_init=1),
    SupervisedFactorAnalysis(1),
    AdaptiveLoadings(1, n_folds=2),
    SpatialGaussianMixture(3, n_init=1),
    FactorsOfAChain(),
]
if has_torch():
    from transst_py import GraphVariationalEncoder

    ESTIMATORS.append(GraphVariationalEncoder(1, n_epochs=1, hidden=8))


@estimator_checks.parametrize_with_checks(ESTIMATORS)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def expression(labelled_rows):
    """(X, y, graph): 150 spots of 12 genes in three classes, side by side."""
    X, y = labelled_rows
    return pd.DataFrame(X, columns=[f"gene{j}" for j in range(12)]), y, chain(150)


def fitted(name, X, y, graph):
    """(estimator, what it does with new rows)."""
    if name == "TransST":
        model = TransST(3, n_factors=2, n_init=1).fit(X, connectivities=graph)
        return model, lambda X: model.predict(X, graph)
    if name == "SupervisedFactorAnalysis":
        model = SupervisedFactorAnalysis(2).fit(X, y)
        return model, lambda X: model.score(X, y)
    if name == "AdaptiveLoadings":
        model = AdaptiveLoadings(2).fit(X)
        return model, model.transform
    if name == "SpatialGaussianMixture":
        model = SpatialGaussianMixture(3, n_init=1).fit(X, connectivities=graph)
        return model, lambda X: model.predict(X, graph)
    if name == "SpatialFactors":
        model = SpatialFactors().fit(X, connectivities=graph)
        return model, lambda X: model.transform(X, graph)
    model = GraphVariationalEncoder(2, n_epochs=1, hidden=8).fit(X, connectivities=graph)
    return model, lambda X: model.transform(X, graph)


NAMES = [
    *["TransST", "SupervisedFactorAnalysis", "AdaptiveLoadings", "SpatialGaussianMixture", "SpatialFactors"],
    pytest.param("GraphVariationalEncoder", marks=pytest.mark.needs_torch),
]


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_those_of_the_fit(name, expression):
    X, y, graph = expression
    model, use = fitted(name, X, y, graph)
    assert model.n_features_in_ == 12
    assert list(model.feature_names_in_) == list(X.columns)
    use(X)
    with pytest.raises(ValueError, match="must be in the same order"):
        use(X[X.columns[::-1]])
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- other"):
        use(X.rename(columns={"gene3": "other"}))
    with pytest.raises(ValueError, match="yet now missing"):
        use(X.drop(columns="gene3"))
    unnamed = X.to_numpy()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        use(unnamed)
    model.fit(unnamed, y if name in ("SupervisedFactorAnalysis", "AdaptiveLoadings") else graph)
    assert not hasattr(model, "feature_names_in_")
    with pytest.raises(ValueError, match=r"X has 11 features, but .* is expecting 12"):
        use(unnamed[:, 1:])
    unnamed[3, 2] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        use(unnamed)


@pytest.mark.parametrize("name", NAMES)
def test_a_clone_is_not_fitted(name, expression):
    model, _ = fitted(name, *expression)
    assert not [attribute for attribute in vars(clone(model)) if attribute.endswith("_")]


@pytest.mark.parametrize("encoder", ["linear", pytest.param("graph-vae", marks=pytest.mark.needs_torch)])
def test_a_saved_model_knows_its_genes(encoder, expression, tmp_path):
    X, _, graph = expression
    options = {} if encoder == "linear" else {"encoder_options": {"n_epochs": 1, "hidden": 8}}
    model = TransST(3, n_factors=2, n_init=1, encoder=encoder, **options).fit(X, graph)
    model.save(tmp_path / "model")
    loaded = TransST.load(tmp_path / "model")
    assert loaded.n_features_in_ == 12
    np.testing.assert_array_equal(loaded.predict(X, graph), model.predict(X, graph))
    with pytest.raises(ValueError, match="must be in the same order"):
        loaded.predict(X[X.columns[::-1]], graph)


def test_sources_have_their_genes_in_the_order_of_the_target(expression):
    X, y, graph = expression
    model = TransST(3, n_factors=2, n_init=1)
    model.fit(X, graph, [(X, y)])
    with pytest.raises(ValueError, match=r"`source\[0\]` has its genes in another order"):
        model.fit(X, graph, [(X[X.columns[::-1]], y)])
    with pytest.raises(ValueError, match=r"`source\['b'\]` has genes that the target lacks \('x'\)"):
        model.fit(X, graph, {"b": (X.rename(columns={"gene0": "x"}), y)})
    shared = np.array([0, 2, 3, 4, 5, 7, 8, 11])
    with pytest.raises(ValueError, match="another order"):
        model.fit(X, graph, [(X.iloc[:, shared[::-1]], y)], shared)
    model.fit(X, graph, [(X.iloc[:, shared], y)], shared)


def test_pipelines_pass_the_graph_and_the_loadings_by_name(expression):
    X, y, graph = expression
    W0 = np.random.default_rng(0).normal(size=(12, 2))
    pipeline = make_pipeline(AdaptiveLoadings(2, penalties=(np.inf,)), SpatialGaussianMixture(3, n_init=1))
    given = {
        "adaptiveloadings__source_loadings": W0,
        "spatialgaussianmixture__connectivities": graph,
    }
    pipeline.fit(X, y, **given)
    loadings = AdaptiveLoadings(penalties=(np.inf,)).fit(X, source_loadings=W0)
    np.testing.assert_array_equal(pipeline[0].loadings_, loadings.loadings_)
    alone = SpatialGaussianMixture(3, n_init=1).fit(loadings.transform(X), graph)
    np.testing.assert_array_equal(pipeline[1].labels_, alone.labels_)
    predicted = pipeline.predict(X, connectivities=graph)
    np.testing.assert_array_equal(predicted, alone.predict(loadings.transform(X), graph))
    assert pipeline.fit(X, y)[0].penalty_ == 0  # labels are no loadings


@pytest.mark.parametrize("name", ["TransST", "SpatialGaussianMixture", "SpatialFactors"])
def test_the_graph_may_stand_second_and_labels_are_passed_over(name, expression):
    X, y, graph = expression
    model, use = fitted(name, X, y, graph)
    by_name = use(X)
    model.fit(X, graph)
    np.testing.assert_array_equal(use(X), by_name)
    if name != "SpatialFactors":
        np.testing.assert_array_equal(model.fit_predict(X, graph), model.labels_)
        np.testing.assert_array_equal(clone(model).fit_predict(X, connectivities=graph), model.labels_)
        np.testing.assert_array_equal(clone(model).fit_predict(X, y), clone(model).fit(X).labels_)
    with pytest.raises(TypeError, match="`connectivities` is given by name"):
        model.fit(X, graph, connectivities=graph)
    with pytest.raises(ValueError, match="`connectivities` must be a sparse matrix"):
        model.fit(X, graph.toarray())


def test_spatial_factors_need_a_graph(expression):
    X, y, graph = expression
    with pytest.raises(ValueError, match="`connectivities` is missing"):
        SpatialFactors().fit(X, y)
    with pytest.raises(ValueError, match=r"must be a sparse matrix of shape \(150, 150\)"):
        SpatialFactors().fit(X, graph).transform(X, graph[:10, :10])


def test_loadings_in_the_place_of_labels_are_refused(expression):
    X, _, _ = expression
    W0 = np.ones((12, 2))
    for y in (W0, sp.csr_matrix(W0), W0.tolist()):
        with pytest.raises(TypeError, match="give the loadings of a source by name: source_loadings="):
            AdaptiveLoadings(2).fit(X, y)
    with pytest.raises(ValueError, match=r"must have two dimensions, genes x factors, got shape \(12,\)"):
        AdaptiveLoadings(2).fit(X, source_loadings=np.ones(12))
    with pytest.raises(ValueError, match="`source_loadings` has missing or infinite values"):
        AdaptiveLoadings(2).fit(X, source_loadings=W0 * np.nan)


@pytest.mark.parametrize("name", ["AdaptiveLoadings", "SpatialFactors"])
def test_tables_in_tables_out(name, expression):
    X, y, graph = expression
    model, use = fitted(name, X, y, graph)
    plain = use(X)
    model.set_output(transform="pandas")
    found = use(X)
    assert list(found.columns) == [f"{name.lower()}{j}" for j in range(plain.shape[1])]
    np.testing.assert_array_equal(found.to_numpy(), plain)


def test_domains_do_not_depend_on_the_kind_of_tables_asked_for(expression):
    X, _, graph = expression
    plain = TransST(3, n_factors=2, n_init=1).fit(X, graph)
    predicted = plain.predict(X, graph)
    set_config(transform_output="pandas")
    try:
        model = TransST(3, n_factors=2, n_init=1).fit(X, graph)
        np.testing.assert_array_equal(model.labels_, plain.labels_)
        assert type(model.predict(X, graph)) is np.ndarray
        np.testing.assert_array_equal(model.predict(X, graph), predicted)
    finally:
        set_config(transform_output="default")


@pytest.mark.needs_torch
def test_fit_transform_of_the_network_uses_the_graph(expression):
    X, y, graph = expression
    model = GraphVariationalEncoder(2, n_epochs=1, hidden=8)
    found = model.fit_transform(X, y, connectivities=graph)
    np.testing.assert_array_equal(found, clone(model).fit(X, graph).embedding_)
    assert not np.allclose(found, clone(model).fit_transform(X))


def test_score_of_loadings_is_the_explained_share(expression):
    X, _, _ = expression
    model = AdaptiveLoadings(2).fit(X)
    values = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    assert model.score(X) == pytest.approx(values[:2].sum() / values.sum())
    scores = model.transform(X)
    left = X.to_numpy() - model.mean_ - scores @ model.loadings_.T
    others = X[:20]
    total = np.sum((others.to_numpy() - model.mean_) ** 2)
    assert model.score(others) == pytest.approx(1 - np.sum(left[:20] ** 2) / total)


def test_score_of_the_source_model_is_the_likelihood(expression):
    X, y, _ = expression
    names = np.array(["c", "a", "b"])[y]
    model = SupervisedFactorAnalysis(2, scale=True).fit(X, names)
    Z = (X.to_numpy() - model.mean_) / model.scale_
    W = model.loadings_
    expected = [
        multivariate_normal(
            W @ model.class_means_[k], W @ model.class_covariances_[k] @ W.T + np.diag(model.noise_variance_)
        ).logpdf(z)
        for z, k in zip(Z, np.searchsorted(model.classes_, names), strict=True)
    ]
    assert model.score(X, names) == pytest.approx(np.mean(expected))
    assert model.score(X[:25], names[:25]) == pytest.approx(np.mean(expected[:25]))  # not of every class
    assert model.score(X, names) == pytest.approx(model.lower_bounds_[-1] / 150, rel=1e-4)
    with pytest.raises(ValueError, match="`y` has labels that the fit has not seen: 'd'"):
        model.score(X, np.where(names == "a", "d", names))
    with pytest.raises(ValueError, match="`y` is missing"):
        model.fit(X, None)


def test_score_of_the_mixture_is_the_likelihood(expression):
    X, _, graph = expression
    V = X.to_numpy()[:, :3]
    one = SpatialGaussianMixture(1, covariance_prior=0).fit(V, graph)
    assert one.score(V, connectivities=graph) == pytest.approx(GaussianMixture(1).fit(V).score(V), rel=1e-5)
    model = SpatialGaussianMixture(3, n_init=1).fit(V)
    densities = [
        multivariate_normal(m, S).pdf(V) for m, S in zip(model.means_, model.covariances_, strict=True)
    ]
    assert model.score(V) == pytest.approx(np.mean(np.log(np.mean(densities, axis=0))))
    smooth = SpatialGaussianMixture(3, n_init=1).fit(V, graph)
    assert smooth.score(V, graph) == smooth.score(V, connectivities=graph) > model.score(V)


def test_a_covariance_without_digits_has_the_smallest_variance_that_has_some():
    """The scores vary along one axis only: in their units, the others' variance is lost beside it (D12)."""
    V = np.zeros((30, 4))
    V[0] = [1.0, 2.0, -1.0, 0.5]
    V[1] = -V[0]
    model = SpatialGaussianMixture(2, n_init=1).fit(V)
    np.testing.assert_array_equal(np.isfinite(model.predict(V)), True)
    assert np.isfinite(model.score(V))
    factors, half = inverse_factors(np.array([[[4.0, 0.0], [0.0, 1e-30]], [[4.0, 0.0], [0.0, -1e-18]]]))
    np.testing.assert_allclose(np.abs(factors[:, 0, 0] + factors[:, 1, 0]), 0.5)
    assert np.isfinite(factors).all()
    assert np.isfinite(half).all()
    well = np.array([[[4.0, 1.0], [1.0, 2.0]]])
    factors, half = inverse_factors(well)
    np.testing.assert_allclose(factors[0].T @ factors[0], np.linalg.inv(well[0]))
    assert half[0] == pytest.approx(0.5 * np.log(np.linalg.det(well[0])))


@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e10])
def test_spots_that_are_all_alike(value):
    V = np.full((20, 3), value)
    with pytest.raises(ValueError, match="`n_components` is 2, but only 1 spots differ"):
        SpatialGaussianMixture(2, n_init=1).fit(V)
    assert set(SpatialGaussianMixture(1, n_init=1).fit(V).labels_) == {0}
    assert make_pipeline(StandardScaler(), SpatialGaussianMixture(1, n_init=1)).fit(V)


def test_rows_without_any_variance():
    zeros = np.zeros((20, 5))
    model = AdaptiveLoadings(2, n_folds=2).fit(zeros, source_loadings=np.eye(5)[:, :2])
    assert np.isfinite(model.cv_errors_).all()
    assert model.score(zeros) == 1
    with pytest.raises(ValueError, match="`X` has no gene that varies"):
        SupervisedFactorAnalysis(2).fit(zeros, np.arange(20) % 2)


@pytest.mark.parametrize("scaling", ["per_dataset", "joint", "auto"])
def test_a_source_with_one_labelled_row(scaling, expression):
    X, _, graph = expression
    labels = np.array(["a", *[None] * 149], dtype=object)
    model = TransST(2, n_factors=2, n_init=1, scaling=scaling, source_selection="all")
    with (
        pytest.warns(UserWarning, match="149 of 150 rows have no label|one class tells nothing of domains"),
        pytest.raises(ValueError, match="`y` has 1 labelled row in all"),
    ):
        model.fit(X, graph, [(X, labels)])


def test_damaged_values_are_refused(expression):
    X, y, graph = expression
    X.iloc[3, 4] = 1e200
    for model in (AdaptiveLoadings(2), SpatialGaussianMixture(2), SupervisedFactorAnalysis(2)):
        with pytest.raises(ValueError, match=r"`X` has values up to 1e\+200"):
            model.fit(X, y)
    graph = graph.copy()
    graph.data[0] = np.nan
    with pytest.raises(ValueError, match="`connectivities` must hold numbers >= 0"):
        SpatialFactors().fit(X.clip(upper=9), graph)


def test_dependent_columns_of_source_loadings_are_refused(expression):
    X, _, _ = expression
    W0 = np.random.default_rng(0).normal(size=(12, 2))[:, [0, 0, 1]]
    with pytest.raises(ValueError, match="has 3 columns that span only 2"):
        AdaptiveLoadings().fit(X, source_loadings=W0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SpatialGaussianMixture(2.0), "`n_components` must be one whole number"),
        (SpatialGaussianMixture(2, max_iter=0), "`max_iter` must be a whole number >= 1"),
        (SpatialGaussianMixture(2, tol=np.nan), "`tol` must be a number >= 0"),
        (SupervisedFactorAnalysis(2, max_iter=-1), "`max_iter` must be a whole number >= 0"),
        (SupervisedFactorAnalysis(2, tol="a"), "`tol` must be a number >= 0"),
        (AdaptiveLoadings(2.5), "`n_factors` must be one whole number"),
        (AdaptiveLoadings(2, penalties=1.0), "`penalties` must be numbers >= 0, got 1.0"),
        (AdaptiveLoadings(2, n_folds=2.5), "`n_folds` must lie between 2 and"),
    ],
)
def test_options_out_of_range(model, message, expression):
    X, y, _ = expression
    options = {"source_loadings": np.eye(12)[:, :2]} if "penalties" in message else {}
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, y, **options)


@pytest.mark.needs_torch
def test_batches_smaller_than_the_steps_need(expression):
    X, y, _ = expression
    model = GraphVariationalEncoder(2, n_epochs=1, hidden=4, batch_size=1)
    model.fit(X[:15], chain(15), [(X[:9], y[:9])])
    assert np.isfinite(model.embedding_).all()
