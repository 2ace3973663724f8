from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import subspace_angles
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold

from transst_py import AdaptiveLoadings, TransST
from transst_py.expression.normalize import log_normalize
from transst_py.expression.standardize import StandardizedMatrix, column_moments, pooled_moments, standardize
from transst_py.tissue.graph import spatial_neighbors


@pytest.fixture
def arrays(tissue):
    """(X, graph, X_s, y_s, y) of the simulated tissue, log-normalised, sparse."""
    target, source = tissue
    graph = spatial_neighbors(target.obsm["spatial"], n_neighbors=4)
    X, X_s = (log_normalize(a.X, target_sum=1000.0) for a in (target, source))
    return X, graph, X_s, source.obs["label"].to_numpy(), target.obs["label"].to_numpy()


def fit(arrays, **options):
    X, graph, X_s, y_s, _ = arrays
    return TransST(3, **{"n_factors": 5, "n_init": 3} | options).fit(X, graph, [(X_s, y_s)])


def test_domains_of_simulated_tissue(arrays):
    model = fit(arrays)
    assert adjusted_rand_score(arrays[4], model.labels_) > 0.8
    assert model.embedding_.shape == (400, 5)
    stages = {"source model", "transfer", "labels of the sources"}
    assert set(model.seconds_) == stages | {"label transfer"}
    np.testing.assert_array_equal(model.labels_, model.responsibilities_.argmax(axis=1))
    never = fit(arrays, class_transfer="never")
    assert set(never.seconds_) == stages - {"labels of the sources"} | {"spatial mixture"}
    np.testing.assert_array_equal(never.responsibilities_, never.mixture_.responsibilities_)


def test_sparse_equals_dense(arrays):
    X, graph, X_s, y_s, y = arrays
    dense = fit((X.toarray().astype(float), graph, X_s.toarray().astype(float), y_s, y))
    sparse = fit(arrays)
    assert subspace_angles(sparse.transfer_.loadings_, dense.transfer_.loadings_).max() < 1e-4
    np.testing.assert_array_equal(sparse.labels_, dense.labels_)


def test_joint_scaling_is_the_scaling_of_the_stack(arrays):
    X, _, X_s, *_ = arrays
    parts = [column_moments(M) for M in (X, X_s)]
    stack = sp.vstack([X, X_s]).toarray().astype(np.float64)
    mean, variance = pooled_moments(parts, [X.shape[0], X_s.shape[0]])
    np.testing.assert_allclose(mean, stack.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance, stack.var(axis=0), rtol=1e-6)
    model = fit(arrays, scaling="joint")
    np.testing.assert_allclose(model.transfer_.mean_, mean)
    assert adjusted_rand_score(arrays[4], model.labels_) > 0.8


def test_scaling_is_chosen_by_held_out_error(arrays):
    chosen = fit(arrays, scaling="auto", n_folds=3)
    errors = chosen.scaling_errors_
    assert set(errors) == {"per_dataset", "joint"}
    best = fit(arrays, scaling=min(errors, key=errors.get), n_folds=3)
    np.testing.assert_array_equal(chosen.labels_, best.labels_)

    joint = fit(arrays, scaling="joint", n_folds=3)
    X = arrays[0].toarray().astype(np.float64)
    spread = np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    own, other = (X - X.mean(axis=0)) / spread, (X - joint.transfer_.mean_) / joint.transfer_.scale_
    unexplained = 0.0
    for train, test in KFold(3, shuffle=True, random_state=0).split(X):
        inner = AdaptiveLoadings(penalties=(joint.transfer_.penalty_,), n_folds=2, center=False)
        W = inner.fit(other[train], source_loadings=joint.source_model_.loadings_).loadings_
        Q = np.linalg.qr((joint.transfer_.scale_ / spread)[:, None] * W)[0]
        unexplained += np.sum((own[test] - own[test] @ Q @ Q.T) ** 2)
    assert errors["joint"] == pytest.approx(unexplained / np.sum(own**2), rel=1e-5)
    assert fit(arrays, scaling="joint").scaling_errors_ == {}


def test_standardized_products_equal_dense_ones(arrays):
    X = arrays[0]
    Z = standardize(X, center=True, scale=True)
    dense = X.toarray().astype(np.float64)
    spread = dense.std(axis=0)
    dense = (dense - dense.mean(axis=0)) / np.where(spread > 0, spread, 1)
    A = np.random.default_rng(0).normal(size=(X.shape[1], 3))
    np.testing.assert_allclose(Z.dot(A), dense @ A, atol=1e-5)
    np.testing.assert_allclose(Z.toarray(), dense, atol=1e-6)
    np.testing.assert_allclose(Z.scatter(), dense.T @ dense, atol=1e-4)
    shift = np.arange(X.shape[1]) / 100
    np.testing.assert_allclose(Z.scatter(about=shift), (dense - shift).T @ (dense - shift), atol=1e-4)
    assert isinstance(Z.rows(np.arange(3)), StandardizedMatrix)


def test_unlabelled_rows_are_left_out_with_a_warning(arrays):
    X, graph, X_s, y_s, y = arrays
    some = np.array(y_s, dtype=object)
    some[:150] = None
    with pytest.warns(UserWarning, match="150 of 400 rows have no label"):
        partly = fit((X, graph, X_s, some, y))
    rest = fit((X, graph, X_s[150:], y_s[150:], y))
    np.testing.assert_array_equal(partly.labels_, rest.labels_)


def test_an_unrelated_source_is_rejected(arrays):
    X, graph, X_s, y_s, _ = arrays
    shuffled = X_s[:, np.random.default_rng(0).permutation(X_s.shape[1])]
    without = TransST(3, n_factors=5, n_init=3).fit(X, graph)
    with pytest.warns(UserWarning, match=r"sources of too little relevance .* not used: 'other' \("):
        unrelated = TransST(3, n_factors=5, n_init=3).fit(X, graph, {"other": (shuffled, y_s)})
    assert unrelated.transferred_ == "nothing"
    assert unrelated.sources_used_ == []
    assert unrelated.domain_names_ is None
    np.testing.assert_array_equal(unrelated.labels_, without.labels_)


def test_a_source_with_labels_in_random_order_is_rejected(arrays):
    X, graph, X_s, y_s, _ = arrays
    mixed = np.random.default_rng(0).permutation(y_s)
    without = TransST(3, n_factors=5, n_init=3).fit(X, graph)
    with pytest.warns(UserWarning, match=r"no better than labels in random order are not used: 'mixed' \("):
        rejected = TransST(3, n_factors=5, n_init=3).fit(X, graph, {"mixed": (X_s, mixed)})
    assert rejected.source_merits_["relevance"]["mixed"] > 0.7
    assert rejected.source_merits_["random_labels"]["mixed"]
    assert rejected.transferred_ == "nothing"
    np.testing.assert_array_equal(rejected.labels_, without.labels_)


def test_a_rejected_source_has_no_part_in_the_choice_of_the_scaling(arrays):
    X, graph, X_s, y_s, _ = arrays
    shuffled = X_s[:, np.random.default_rng(0).permutation(X_s.shape[1])]
    with pytest.warns(UserWarning, match="too little relevance"):
        model = TransST(3, n_factors=5, n_init=3, scaling="auto").fit(X, graph, {"other": (shuffled, y_s)})
    assert set(model.scaling_errors_) == {"per_dataset", "joint"}
    assert model.transferred_ == "nothing"


def test_beside_a_good_source_an_unrelated_one_changes_nothing(arrays):
    X, graph, X_s, y_s, _ = arrays
    shuffled = X_s[:, np.random.default_rng(0).permutation(X_s.shape[1])]
    alone = TransST(3, n_factors=5, n_init=3).fit(X, graph, {"good": (X_s, y_s)})
    sources = {"good": (X_s, y_s), "other": (shuffled, [f"x{label}" for label in y_s])}
    with pytest.warns(UserWarning, match="not used: 'other'"):
        both = TransST(3, n_factors=5, n_init=3).fit(X, graph, sources)
    assert both.sources_used_ == ["good"]
    assert list(both.source_model_.classes_) == list(alone.source_model_.classes_)
    np.testing.assert_array_equal(both.labels_, alone.labels_)
    with pytest.warns(UserWarning, match=r"not carried over: xdomain 1, xdomain 2, xdomain 3 \('other'"):
        everything = TransST(3, n_factors=5, n_init=3, source_selection="all").fit(X, graph, sources)
    assert everything.sources_used_ == ["good", "other"]


@pytest.mark.parametrize("class_transfer", ["auto", "always", "never"])
def test_predict_save_load(class_transfer, arrays, tmp_path):
    X, graph, *_ = arrays
    model = fit(arrays, class_transfer=class_transfer)
    predicted = model.predict(X, graph)
    assert adjusted_rand_score(predicted, model.labels_) > 0.95
    model.save(tmp_path / "model")
    loaded = TransST.load(tmp_path / "model")
    assert loaded.get_params() == model.get_params()
    np.testing.assert_array_equal(loaded.predict(X, graph), predicted)


def test_number_of_components_is_chosen_and_saved(arrays, tmp_path):
    X, graph, X_s, y_s, _ = arrays
    options = {"n_factors": 5, "n_init": 3, "n_subsamples": 0, "class_transfer": "never"}
    model = TransST(range(2, 6), **options).fit(X, graph, [(X_s, y_s)])
    assert model.choice_.n_domains == len(model.mixture_.means_)
    model.save(tmp_path / "model")
    loaded = TransST.load(tmp_path / "model")
    assert loaded.n_components == [2, 3, 4, 5]
    np.testing.assert_array_equal(loaded.predict(X, graph), model.predict(X, graph))


@pytest.mark.parametrize("scaling", ["per_dataset", "joint", "auto"])
def test_a_source_of_some_of_the_genes(arrays, scaling):
    X, graph, X_s, y_s, y = arrays
    shared = np.flatnonzero(np.arange(120) % 3 != 1)
    options = {"n_factors": 5, "n_init": 3, "scaling": scaling}
    model = TransST(3, **options).fit(X, graph, [(X_s[:, shared], y_s)], shared)
    assert adjusted_rand_score(y, model.labels_) > 0.8
    assert model.transfer_.loadings_.shape == (120, 5)
    assert model.source_model_.loadings_.shape == (len(shared), 5)
    np.testing.assert_array_equal(model.predict(X, graph), model.labels_)


def test_a_strong_penalty_leaves_the_other_genes_without_loadings(arrays):
    X, graph, X_s, y_s, _ = arrays
    shared = np.flatnonzero(np.arange(120) % 3 != 1)
    others = np.setdiff1d(np.arange(120), shared)
    options = {"n_factors": 5, "n_init": 3, "penalties": (1e6,)}
    padded = TransST(3, **options).fit(X, graph, [(X_s[:, shared], y_s)], shared)
    narrow = TransST(3, **options).fit(X[:, shared], graph, [(X_s[:, shared], y_s)])
    np.testing.assert_allclose(padded.transfer_.loadings_[others], 0, atol=1e-4)
    found = padded.transfer_.loadings_[shared]
    assert subspace_angles(found, narrow.transfer_.loadings_).max() < 1e-4


def test_all_genes_shared_is_the_default(arrays):
    X, graph, X_s, y_s, _ = arrays
    model = TransST(3, n_factors=5, n_init=3).fit(X, graph, [(X_s, y_s)], np.arange(120))
    np.testing.assert_array_equal(model.transfer_.loadings_, fit(arrays).transfer_.loadings_)


@pytest.mark.parametrize("shared", [[0, 0], np.uint64([3, 1]), [-1, 3], [5, 120], [0.0, 1.0], []])
def test_positions_of_shared_genes_must_ascend(arrays, shared):
    X, graph, X_s, y_s, _ = arrays
    with pytest.raises(ValueError, match="`shared` must hold ascending positions of the 120 genes"):
        TransST(3).fit(X, graph, [(X_s[:, :2], y_s)], shared)


@pytest.mark.needs_torch
def test_the_network_has_no_shared_genes(arrays):
    X, graph, X_s, y_s, _ = arrays
    with pytest.raises(ValueError, match="needs the same genes"):
        TransST(3, encoder="graph-vae").fit(X, graph, [(X_s[:, :100], y_s)], np.arange(100))


@pytest.mark.parametrize(
    ("value", "error"), [(None, TypeError), ("a", TypeError), (1.5, TypeError), (0, ValueError)]
)
def test_a_number_of_factors_is_checked_before_the_sources_are_looked_at(arrays, value, error):
    X, graph, X_s, y_s, _ = arrays
    with pytest.raises(error, match=r"^`n_factors` must be"):
        TransST(3, n_factors=value).fit(X, graph, [(X_s, y_s)])


def test_bad_input(arrays):
    X, graph, X_s, y_s, _ = arrays
    with pytest.raises(ValueError, match=r"`source\[0\]` has 20 genes, `shared` 15"):
        TransST(3).fit(X, graph, [(X_s[:, :20], y_s)], np.arange(15))
    with pytest.raises(ValueError, match=r"`source\[0\]` has 100 genes, the target 120"):
        TransST(3).fit(X, graph, [(X_s[:, :100], y_s)])
    with pytest.raises(ValueError, match="has 10 labels for 400 rows"):
        TransST(3).fit(X, graph, [(X_s, y_s[:10])])
    with pytest.raises(ValueError, match="every label is missing"):
        TransST(3).fit(X, graph, [(X_s, np.full(400, np.nan))])
    with pytest.raises(ValueError, match="X has 100 features, but TransST is expecting 120"):
        fit(arrays).predict(X[:, :100])
    with pytest.raises(ValueError, match="`scaling`: unknown value"):
        TransST(3, scaling="none").fit(X, graph)
