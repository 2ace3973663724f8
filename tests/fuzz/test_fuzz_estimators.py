"""Random rows and options for every estimator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st
from objects import arrays, counts_of, labels_of, make_array, options
from outcomes import call, fuzz, require, state

from transst_py import AdaptiveLoadings, SpatialGaussianMixture, SupervisedFactorAnalysis, TransST
from transst_py._core.optional import has_torch
from transst_py.tissue.spatial_factors import SpatialFactors

GRAPHS = ["none", "chain", "chain", "random", "no edge", "weights", "array"]
BAD_GRAPHS = ["dense", "small", "NaN", "negative", "text", "labels"]
SEEDS = {"random_state": [0, 5]}
BAD_SEEDS = {"random_state": [-1, 2**40, 0.5, None, "a"]}
WORDS = ["", None, "else", 3]


def rows_and_graph(case):
    """(X, graph, rng) of a case."""
    spec = case["rows"]
    rng = np.random.default_rng(spec["seed"])
    X = make_array(counts_of(rng, spec["n"], spec["p"]), spec, rng)
    if spec["frame"] and isinstance(X, np.ndarray):
        X = pd.DataFrame(X, columns=[f"g{j}" for j in range(spec["p"])])
    return X, make_graph(case["graph"], spec["n"], rng), rng


def make_graph(kind, n, rng):
    chain = sp.csr_matrix(sp.diags_array([np.ones(max(n - 1, 0))] * 2, offsets=[-1, 1], shape=(n, n)))
    if kind in ("chain", "array"):
        return chain if kind == "chain" else sp.csr_array(chain)
    if kind in ("random", "weights", "no edge"):
        A = (rng.random((n, n)) < (0.0 if kind == "no edge" else 0.1)) * rng.random((n, n))
        A = A + A.T
        return sp.csr_matrix(A if kind == "weights" else (A > 0) * 1.0)
    if kind in ("NaN", "negative") and chain.nnz:
        chain.data[0] = np.nan if kind == "NaN" else -1.0
    made = {"none": None, "dense": chain.toarray(), "small": sp.eye_array(n + 1).tocsr(), "text": "knn"}
    return np.arange(n) % 2 if kind == "labels" else made.get(kind, chain)


def finite(*values):
    return all(np.isfinite(value).all() for value in values)


def cases(good, bad, *, sparse=True):
    graphs = st.integers(0, 5).flatmap(lambda i: st.sampled_from(BAD_GRAPHS if i == 5 else GRAPHS))
    return st.fixed_dictionaries(
        {"rows": arrays(sparse=sparse), "graph": graphs, "options": options(good, bad)}
    )


def with_mixture(K):
    return {
        "smoothness": ["auto", 0.0, 3.0],
        "covariance_prior": [0.0, 20.0],
        "covariance_type": ["full", "tied", "diag"],
        "n_components": K,
        **SEEDS,
    }


BAD_MIXTURE = {
    "smoothness": [-1.0, np.nan, "a", None],
    "covariance_prior": [-1, np.nan, "a", None],
    "covariance_type": WORDS,
    "n_components": [0, -1, 1.5, "a", 10**6, np.nan],
    "n_init": [0, 1.5, "a", None],
    **BAD_SEEDS,
}
MIXTURE = {**with_mixture([1, 2, 3, 5]), "max_iter": [1, 100], "tol": [0.0, 1e-4]}


@fuzz(
    "SpatialGaussianMixture",
    cases(MIXTURE, {**BAD_MIXTURE, "max_iter": [0, 1.5, "a"], "tol": [-1.0, np.nan, "a"]}, sparse=False),
    few=60,
    share=0.05,
)
def test_mixture(case):
    X, graph, _ = rows_and_graph(case)
    before = state(X), state(graph)
    model = SpatialGaussianMixture(**{"n_components": 2, "n_init": 1, **case["options"]})
    call(model.fit, X, graph, watched=(X, graph))
    K, n, q = model.n_components, case["rows"]["n"], case["rows"]["p"]
    require(model.labels_.shape == (n,) and set(model.labels_) <= set(range(K)), "labels")
    require(model.responsibilities_.shape == (n, K), "shape of the responsibilities")
    require(np.allclose(model.responsibilities_.sum(axis=1), 1, atol=1e-5), "responsibilities")
    require(
        finite(model.responsibilities_, model.means_, model.covariances_, model.smoothness_), "not finite"
    )
    require(model.means_.shape == (K, q), "shape of the means")
    graph = None if case["graph"] == "labels" else graph
    predicted = call(model.predict, X, graph, watched=(X, graph))
    require(set(predicted) <= set(range(K)), "predicted labels")
    require(finite(call(model.score, X, connectivities=graph)), "score")
    require(case["graph"] == "labels" or (state(X), state(graph)) == before, "the input was changed")


@fuzz(
    "SpatialFactors",
    cases(
        {"min_autocorrelation": [0.15, 0.0, 1.0]},
        {"min_autocorrelation": [-1, 2.0, np.nan, "a", None]},
        sparse=False,
    ),
    few=60,
    share=0.04,
)
def test_spatial_factors(case):
    X, graph, _ = rows_and_graph(case)
    before = state(X)
    model = SpatialFactors(**case["options"])
    found = call(model.fit_transform, X, graph, watched=(X, graph))
    r = model.rotation_.shape[1]
    require(found.shape == (case["rows"]["n"], r) and 1 <= r <= case["rows"]["p"], "shape")
    require(finite(found, model.weights_, model.autocorrelations_), "not finite")
    require(finite(call(model.smooth, np.asarray(X), graph)), "smoothed scores")
    require(state(X) == before, "the input was changed")


LOADINGS = {
    "n_factors": [1, 2, 3],
    "penalties": [(0.0, 1.0, np.inf), [0.5], np.array([0.1, 10.0])],
    "n_folds": [2, 3],
    "penalty_rule": ["best", "1se"],
    "solver": ["eigen", "alternating"],
    "center": [True, False],
    "scale": [True, False],
    **SEEDS,
}
BAD_LOADINGS = {
    "n_factors": [0, 100, 1.5, "a", None],
    "penalties": [(), 1.0, (-1.0,), (np.nan,), "12", ("a",), None],
    "n_folds": [1, 1000, 2.5, "a", None],
    "penalty_rule": WORDS,
    "solver": WORDS,
    **BAD_SEEDS,
}


@fuzz(
    "AdaptiveLoadings",
    st.tuples(
        cases(LOADINGS, BAD_LOADINGS),
        st.sampled_from(["none", "random", "random", "zero", "equal", "1d", "NaN", "short", "wide", "text"]),
    ),
    few=60,
    share=0.05,
)
def test_loadings(case):
    case, kind = case
    X, _, rng = rows_and_graph(case)
    p = case["rows"]["p"]
    before = state(X)
    W0 = rng.normal(size=(p, 2))
    W0 = {
        "none": None,
        "zero": 0 * W0,
        "equal": W0[:, [0, 0]],
        "1d": W0[:, 0],
        "NaN": W0 * np.nan,
        "short": W0[1:],
        "wide": rng.normal(size=(p, p)),
        "text": W0.astype(str),
    }.get(kind, W0)
    model = AdaptiveLoadings(**{"n_factors": 2, "n_folds": 2, **case["options"]})
    call(model.fit, X, source_loadings=W0, watched=(X, W0))
    require(finite(model.loadings_, model.mean_, model.scale_, model.cv_errors_), "not finite")
    require(
        model.loadings_.shape[0] == p and np.linalg.matrix_rank(model.loadings_) == model.loadings_.shape[1],
        "rank",
    )
    scores = call(model.transform, X, watched=(X,))
    require(finite(scores) and scores.shape == (case["rows"]["n"], model.loadings_.shape[1]), "scores")
    require(-1e-6 <= call(model.score, X) <= 1 + 1e-6, "score")
    require(state(X) == before, "the input was changed")


SOURCE = {
    "n_factors": [1, 2, 3],
    "center": [True, False],
    "scale": [True, False],
    "start": ["principal", "weighted"],
    "max_iter": [1, 50],
    "tol": [0.0, 1e-6],
}
BAD_SOURCE = {
    "n_factors": [0, 100, 1.5, "a", None],
    "start": WORDS,
    "max_iter": [-1, 1.5, "a"],
    "tol": [np.nan, "a"],
}


@fuzz("SupervisedFactorAnalysis", cases(SOURCE, BAD_SOURCE), few=60, share=0.05)
def test_source_model(case):
    X, _, rng = rows_and_graph(case)
    y = labels_of(case["rows"]["labels"], case["rows"]["n"], rng)
    before = state(X), state(y)
    model = SupervisedFactorAnalysis(**{"n_factors": 2, "max_iter": 100, **case["options"]})
    call(model.fit, X, y, watched=(X, y))
    require(
        finite(model.loadings_, model.class_means_, model.class_covariances_, model.lower_bounds_),
        "not finite",
    )
    require((model.noise_variance_ > 0).all(), "noise")
    require(finite(call(model.score, X, y)), "score")
    require((state(X), state(y)) == before, "the input was changed")


MODEL = {
    **with_mixture([1, 2, 3, [2, 3]]),
    "n_factors": [1, 2, 3],
    "scaling": ["per_dataset", "joint", "auto"],
    "penalties": LOADINGS["penalties"],
    "penalty_rule": ["best", "1se"],
    "solver": ["eigen", "alternating"],
    "source_start": ["principal", "weighted"],
    "source_selection": ["auto", "all"],
    "label_noise": ["remove", "report", "ignore"],
    "class_transfer": ["auto", "follow", "always", "never"],
    "min_autocorrelation": [0.15, None, 0.0, 1.0],
}
BAD_MODEL = {
    **BAD_MIXTURE,
    **BAD_LOADINGS,
    "n_components": [0, 1.5, "a", [], [0], [2, 2], None, 10**6],
    "scaling": WORDS,
    "source_start": WORDS,
    "source_selection": WORDS,
    "label_noise": WORDS,
    "class_transfer": WORDS,
    "min_autocorrelation": [2.0, "a"],
    "encoder": WORDS,
    "criterion": WORDS,
}


@fuzz(
    "TransST",
    st.tuples(cases(MODEL, BAD_MODEL), st.one_of(st.none(), arrays(), arrays()), st.booleans()),
    few=60,
    share=0.1,
)
def test_model(case):
    case, described, same_genes = case
    X, graph, rng = rows_and_graph(case)
    n, p = case["rows"]["n"], case["rows"]["p"]
    source = None
    if described is not None:
        described = {**described, "p": p} if same_genes else described
        X_s, _, _ = rows_and_graph({"rows": described, "graph": "none"})
        source = [(X_s, labels_of(described["labels"], described["n"], rng))]
    before = state(X), state(source)
    given = {
        "n_components": 2,
        "n_factors": 2,
        "n_init": 1,
        "n_folds": 2,
        "n_subsamples": 1,
        **case["options"],
    }
    model = TransST(**given)
    call(model.fit, X, graph, source, watched=(X, graph, source))
    require(model.labels_.shape == (n,), "labels")
    K = model.responsibilities_.shape[1]
    require(set(model.labels_) <= set(range(K)), "labels")
    require(finite(model.embedding_, model.responsibilities_, model.transfer_.loadings_), "not finite")
    require(np.allclose(model.responsibilities_.sum(axis=1), 1, atol=1e-5), "responsibilities")
    predicted = call(model.predict, X, None if case["graph"] == "labels" else graph, watched=(X, graph))
    require(predicted.shape == (n,) and set(predicted) <= set(range(K)), "predicted labels")
    require((state(X), state(source)) == before, "the input was changed")


if has_torch():
    from transst_py import GraphVariationalEncoder

    ENCODER = {
        "n_factors": [1, 2],
        "n_inputs": [1, 5, 50],
        "label_weight": [0, 60.0],
        "alignment_weight": [0.0, 10],
        "batch_size": [1, 256],
        **SEEDS,
    }
    BAD_ENCODER = {
        "n_factors": [0, 100, 1.5, "a"],
        "n_inputs": [0, 1.5, "a"],
        "hidden": [0, 1.5],
        "label_weight": [-1, np.nan, "a"],
        "learning_rate": [0, -1.0, np.nan, "a", 1e30],
        "n_epochs": [0, 1.5],
        "device": WORDS,
        **BAD_SEEDS,
    }

    @fuzz(
        "GraphVariationalEncoder",
        st.tuples(cases(ENCODER, BAD_ENCODER), st.booleans()),
        few=20,
        share=0.02,
    )
    def test_encoder(case):
        case, with_source = case
        X, graph, rng = rows_and_graph(case)
        sources = [(X, labels_of(case["rows"]["labels"], case["rows"]["n"], rng))] if with_source else ()
        before = state(X)
        model = GraphVariationalEncoder(**{"n_factors": 1, "n_epochs": 1, "hidden": 4, **case["options"]})
        call(model.fit, X, graph, sources, watched=(X, graph))
        graph = None if case["graph"] == "labels" else graph
        found = call(model.transform, X, graph, watched=(X, graph))
        require(finite(found, model.embedding_), "not finite")
        require(found.shape == model.embedding_.shape == (case["rows"]["n"], model.n_factors), "shape")
        require(state(X) == before, "the input was changed")
