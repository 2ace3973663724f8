"""The non-linear encoder: repeatable, learns, aligns, generalises, and refuses what it cannot use."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from grids import square_grid
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

import transst_py as tst
from transst_py.domains.mixture import SpatialGaussianMixture
from transst_py.expression.standardize import standardize
from transst_py.model import TransST
from transst_py.tissue.graph import spatial_neighbors
from transst_py.transfer.graph_vae import GraphVariationalEncoder
from transst_py.transfer.vae_network import Network, batches, datasets, mean_discrepancy, principal_components

SMALL = {
    "n_factors": 4,
    "n_inputs": 20,
    "hidden": 16,
    "n_epochs": 12,
    "batch_size": 64,
    "learning_rate": 5e-3,
    "device": "cpu",
}


def rows(labels, rng, *, shift=0.0, genes=40):
    """Non-linear expression of classes: two factors with a mean of every class, bent into the genes."""
    centres = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])
    z = centres[labels] + 0.4 * rng.normal(size=(len(labels), 2)) + shift
    basis = np.random.default_rng(1).normal(size=(4, genes))
    bent = np.column_stack([z, np.tanh(z[:, 0] * z[:, 1]), z[:, 0] ** 2 - 1])
    return bent @ basis + 1.5 * rng.normal(size=(len(labels), genes))


@pytest.fixture(scope="module")
def problem():
    """Target of 18 x 18 spots in three stripes, its graph and labels, and sources of 150 and 60 rows."""
    rng = np.random.default_rng(0)
    xy = square_grid(18, 18)
    truth = xy[:, 0] // 6
    sources = []
    for n in (150, 60):
        y = rng.integers(3, size=n)
        sources.append((rows(y, rng), np.array(["a", "b", "c"])[y]))
    return rows(truth, rng), spatial_neighbors(xy.astype(float), n_neighbors=4), truth, sources


@pytest.fixture(scope="module")
def fitted(problem):
    X, graph, _, sources = problem
    return GraphVariationalEncoder(**SMALL).fit(X, graph, sources)


def test_embeddings_of_target_and_sources(problem, fitted):
    X, _, _, sources = problem
    assert fitted.embedding_.shape == (len(X), 4)
    assert [Z.shape for Z in fitted.source_embeddings_] == [(150, 4), (60, 4)]
    assert list(fitted.classes_) == ["a", "b", "c"]
    assert fitted.n_epochs_ == len(fitted.losses_["train"]) == len(fitted.losses_["held_out"]) <= 12
    assert all(np.isfinite(Z).all() for Z in (fitted.embedding_, *fitted.source_embeddings_))
    assert len(sources) == 2


def test_the_seed_decides_and_leaves_torchs_own_state(problem, fitted):
    X, graph, _, sources = problem
    before = torch.random.get_rng_state()
    again = clone(fitted).fit(X, graph, sources)
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(again.embedding_, fitted.embedding_)
    assert again.losses_ == fitted.losses_
    other = GraphVariationalEncoder(**SMALL, random_state=1).fit(X, graph, sources)
    assert not np.allclose(other.embedding_, fitted.embedding_)


def test_held_out_loss_falls(fitted):
    held_out = fitted.losses_["held_out"]
    assert min(held_out) < held_out[0] - 0.2
    assert fitted.losses_["train"][-1] < fitted.losses_["train"][0]


def test_transform_of_the_training_slice_is_its_embedding(problem, fitted):
    X, graph, _, _ = problem
    np.testing.assert_allclose(fitted.transform(X, graph), fitted.embedding_, atol=1e-5)
    standardised = standardize(X, center=True, scale=True)
    np.testing.assert_allclose(fitted.transform(standardised, graph), fitted.embedding_, atol=1e-5)


def test_sparse_rows_are_the_same_rows(problem, fitted):
    X, graph, _, _ = problem
    np.testing.assert_allclose(fitted.transform(sp.csr_matrix(X), graph), fitted.embedding_, atol=1e-4)


def test_arrays_hold_all_that_transform_needs(problem, fitted):
    X, graph, _, _ = problem
    read = GraphVariationalEncoder.from_arrays(fitted.arrays())
    np.testing.assert_array_equal(read.transform(X, graph), fitted.transform(X, graph))


def test_spots_without_neighbours_are_their_own(problem, fitted):
    X = problem[0][:5]
    alone, pair = fitted.transform(X), sp.csr_matrix(([1.0], ([0], [1])), shape=(5, 5))
    joined = fitted.transform(X, pair)
    np.testing.assert_allclose(joined[2:], alone[2:], atol=1e-6)
    assert not np.allclose(joined[:2], alone[:2])


def test_alignment_brings_the_data_sets_together(problem):
    X, graph, _, sources = problem
    sources = [(X_s[y != "c"], y[y != "c"]) for X_s, y in sources]  # another mixture of classes

    def distance(weight):
        options = SMALL | {"n_epochs": 40, "alignment_weight": weight}
        encoder = GraphVariationalEncoder(**options).fit(X, graph, sources)
        target, *others = (torch.from_numpy(Z) for Z in (encoder.embedding_, *encoder.source_embeddings_))
        return np.mean([float(mean_discrepancy(target, Z)) for Z in others])

    assert distance(500.0) < 0.5 * distance(0.0)


def test_classes_lie_apart_where_their_labels_count(problem):
    X, graph, _, sources = problem

    def separation(weight):
        encoder = GraphVariationalEncoder(**SMALL, label_weight=weight, patience=100).fit(X, graph, sources)
        Z, y = encoder.source_embeddings_[0], sources[0][1]
        means = np.array([Z[y == k].mean(axis=0) for k in "abc"])
        within = Z - means[np.searchsorted(["a", "b", "c"], y)]
        return np.var(means, axis=0).sum() / within.var(axis=0).sum()

    assert separation(50.0) > separation(0.0)


def test_domains_of_an_easy_tissue_are_found(problem, fitted):
    _, graph, truth, _ = problem
    labels = SpatialGaussianMixture(3, random_state=0).fit(fitted.embedding_, graph).labels_
    assert adjusted_rand_score(truth, labels) > 0.9


def test_works_without_sources_and_without_graph(problem):
    X, _, _, _ = problem
    encoder = GraphVariationalEncoder(**SMALL).fit(X)
    assert encoder.embedding_.shape == (len(X), 4)
    assert encoder.source_embeddings_ == []
    assert len(encoder.classes_) == 0


def test_few_rows_have_few_components(problem):
    X, _, _, _ = problem
    encoder = GraphVariationalEncoder(**SMALL).fit(X[:9])
    assert encoder.rotation_.shape == (40, 8)
    assert np.isfinite(encoder.embedding_).all()
    with pytest.raises(ValueError, match=r"`n_factors` must be at most 3, .*, got 4"):
        GraphVariationalEncoder(**SMALL).fit(X[:4])


def test_starts_as_principal_components():
    values = np.array([4.0, 1.0, 0.25])
    network = Network(values, n_factors=2, n_classes=0, hidden=5).eval()
    x = torch.randn(7, 3)
    mean, _ = network.encode(torch.cat([x, x], dim=1))
    torch.testing.assert_close(mean, x[:, :2] / torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(network.decode(mean)[:, :2], x[:, :2])


def test_components_weigh_target_and_sources_alike(problem):
    X, _, _, sources = problem
    target, *others = (standardize(M, center=True, scale=True) for M in (X, *(S for S, _ in sources)))
    vectors, values = principal_components(target, others, 5, 0)
    n = sum(M.shape[0] for M in others)
    pooled = target.scatter() / (2 * len(X)) + sum(M.scatter() for M in others) / (2 * n)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(pooled)[::-1][:5], rtol=1e-6)
    np.testing.assert_allclose(pooled @ vectors, vectors * values, atol=1e-5)


def test_loss_is_the_gaussian_bound():
    """Against a plain formula for one row and a network that is linear still."""
    network = Network(np.array([1.0, 1.0]), n_factors=1, n_classes=2, hidden=3).eval()
    with torch.no_grad():
        network.class_means[:] = torch.tensor([[1.0], [-1.0]])
        network.log_noise[:] = torch.log(torch.tensor([0.5, 2.0]))
    x = torch.tensor([[0.8, -0.3, 0.8, -0.3]])
    loss, z = network.loss(x, torch.tensor([1]), 3.0, sample=False)
    m, variance = 0.8, np.exp(-2.0)
    assert z.item() == pytest.approx(m)
    unexplained = 0.5 * (0.3**2 / 2.0 + np.log(0.5) + np.log(2.0))
    divergence = 0.5 * ((m + 1) ** 2 + variance - 1 + 2.0)
    energies = 0.5 * np.array([(m - 1) ** 2, (m + 1) ** 2])
    mislabelled = energies[1] + np.log(np.exp(-energies).sum())
    assert loss.item() == pytest.approx(unexplained + divergence + 3 * mislabelled, rel=1e-5)


def test_discrepancy_is_zero_for_the_same_rows_and_grows_with_the_shift():
    a = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert float(mean_discrepancy(a, a)) == pytest.approx(0.0, abs=1e-6)
    near, far = (float(mean_discrepancy(a, a + shift)) for shift in (0.3, 2.0))
    assert 0 < near < far


def test_every_training_row_is_seen_once_in_an_epoch():
    inputs = [torch.zeros(53, 4), torch.zeros(7, 4), torch.zeros(30, 4)]
    codes = [np.zeros(7, dtype=int), np.zeros(30, dtype=int)]
    data = datasets(inputs, codes, 0, torch.device("cpu"))
    assert sum(d.weight for d in data) == pytest.approx(1.0)
    seen = list(batches(data, 9, np.random.default_rng(0)))
    assert len(seen) == 9
    for i, d in enumerate(data):
        np.testing.assert_array_equal(np.sort(np.concatenate([b[i] for b in seen])), np.sort(d.training))
        assert set(d.training) | set(d.held_out) == set(range(len(d.inputs)))
        assert not set(d.training) & set(d.held_out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_factors": 0}, "n_factors"),
        ({"n_factors": 40}, "n_factors.*number of genes"),
        ({"hidden": 0}, "hidden"),
        ({"label_weight": -1.0}, "label_weight"),
        ({"alignment_weight": np.inf}, "alignment_weight"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"device": "tpu"}, "device"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_bad_options(problem, options, message):
    X, graph, _, sources = problem
    with pytest.raises(ValueError, match=message):
        GraphVariationalEncoder(**SMALL | options).fit(X, graph, sources)


def test_training_that_diverges_is_said_so(problem):
    X, graph, _, sources = problem
    with pytest.raises(ValueError, match="`learning_rate`=1e\\+30 is too large"):
        GraphVariationalEncoder(**SMALL | {"learning_rate": 1e30}).fit(X, graph, sources)


def test_bad_data(problem, fitted):
    X, graph, _, sources = problem
    encoder = GraphVariationalEncoder(**SMALL)
    X_s, y = sources[0]
    with pytest.raises(ValueError, match=r"sources\[0\].*39 genes, the target 40"):
        encoder.fit(X, graph, [(X_s[:, 1:], y)])
    with pytest.raises(ValueError, match=r"sources\[1\].*shape \(3,\) for 150 rows"):
        encoder.fit(X, graph, [(X_s, y), (X_s, y[:3])])
    with pytest.raises(ValueError, match="connectivities"):
        encoder.fit(X, graph[:5, :5], sources)
    with pytest.raises(ValueError, match="NaN"):
        encoder.fit(np.where(X.max() - 1e-9 < X, np.nan, X), graph, sources)
    with pytest.raises(ValueError, match="X has 39 features, but GraphVariationalEncoder is expecting 40"):
        fitted.transform(X[:, 1:], graph)


OPTIONS = {k: v for k, v in SMALL.items() if k != "n_factors"}


def test_the_model_takes_its_factors(problem, tmp_path):
    X, graph, truth, sources = problem
    model = TransST(3, n_factors=4, encoder="graph-vae", encoder_options=OPTIONS)
    model.fit(X, graph, sources)
    assert model.transferred_ == "encoder"
    assert model.source_model_ is None
    np.testing.assert_array_equal(
        model.embedding_, GraphVariationalEncoder(**SMALL).fit(X, graph, sources).embedding_
    )
    assert adjusted_rand_score(truth, model.labels_) > 0.9
    np.testing.assert_array_equal(model.predict(X, graph), model.labels_)
    model.save(tmp_path / "model.npz")
    read = TransST.load(tmp_path / "model.npz")
    assert read.encoder_options == OPTIONS
    np.testing.assert_array_equal(read.predict(X[::-1], graph), model.predict(X[::-1], graph))


def test_the_model_works_without_source(problem):
    X, graph, _, _ = problem
    model = TransST(3, n_factors=4, encoder="graph-vae", encoder_options=OPTIONS).fit(X, graph)
    assert model.transferred_ == "nothing"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vae"}, "`encoder`: unknown value 'vae'"),
        ({"encoder": "linear", "encoder_options": {"hidden": 3}}, "`encoder_options` are for"),
        ({"encoder_options": {"width": 3}}, "`encoder_options`: 'width' unknown; choose of .*hidden"),
        ({"encoder_options": {"n_factors": 3}}, "`encoder_options`: 'n_factors' unknown"),
        ({"encoder_options": {"hidden": 0}}, "`hidden` must be at least 1"),
        ({"class_transfer": "always"}, "`class_transfer`='always' needs loadings"),
        ({"scaling": "auto"}, "`scaling`='auto' compares loadings"),
    ],
)
def test_the_model_refuses_what_the_encoder_cannot_do(problem, options, message):
    X, graph, _, sources = problem
    with pytest.raises(ValueError, match=message):
        TransST(3, **{"n_factors": 4, "encoder": "graph-vae"} | options).fit(X, graph, sources)


def test_on_anndata(tissue, tmp_path):
    target, source = tissue
    common = {"source_labels": "label", "n_domains": 3, "n_factors": 4}
    tst.tl.transst(target, source, **common)
    assert "transst_loadings" in target.varm
    assert target.uns["transst"]["transfer"]["encoder"] == "linear"
    tst.tl.transst(target, source, encoder="graph-vae", encoder_options=OPTIONS, **common)
    record = target.uns["transst"]
    assert "transst_loadings" not in target.varm
    assert record["transfer"]["encoder"] == "graph-vae"
    assert record["transfer"]["transferred"] == "encoder"
    assert record["source"]["used"].all()
    assert len(record["transfer"]["losses_held_out"]) <= OPTIONS["n_epochs"]
    assert record["params"]["encoder_options"] == OPTIONS
    assert target.obsm["X_transst"].shape == (target.n_obs, 4)
    assert isinstance(target.obs["transst"].dtype, pd.CategoricalDtype)
    with pytest.raises(KeyError, match=re.escape("encoder='graph-vae' has none")):
        tst.pl.transfer_path(target)
    target.write_h5ad(tmp_path / "result.h5ad")
    tst.report(target, tmp_path / "report.html")
    assert "to which the network was trained" in (tmp_path / "report.html").read_text()
