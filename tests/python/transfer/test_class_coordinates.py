"""Transfer of the source's classes, and when it is refused."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score

from transst_py.domains.naming import name_domains
from transst_py.expression.normalize import log_normalize
from transst_py.model import TransST
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.tissue.graph import spatial_neighbors
from transst_py.transfer.class_coordinates import ClassCoordinates, solve_low_rank


@pytest.fixture
def no_trust(monkeypatch):
    """No source is trusted: the domains are found from scratch, or start from the classes."""
    monkeypatch.setattr("transst_py.transfer.label_transfer.MIN_TRUST", 2.0)


@pytest.fixture
def problem(tissue):
    """(X, graph, (X_s, y_s), truth) of the simulated tissue."""
    target, source = tissue
    X, X_s = (log_normalize(a.X.astype(float), target_sum=100.0) for a in (target, source))
    graph = spatial_neighbors(target.obsm["spatial"], n_neighbors=4)
    return X, graph, (X_s, source.obs["label"].to_numpy()), target.obs["label"].to_numpy()


def test_coordinates_have_unit_spread_within_classes(labelled_rows):
    X, y = labelled_rows
    model = SupervisedFactorAnalysis(2).fit(X, y)
    coordinates = ClassCoordinates.from_model(model)
    U = (X - model.mean_) @ coordinates.projection
    within = sum((y == k).mean() * np.cov(U[y == k].T, bias=True) for k in range(3))
    np.testing.assert_allclose(within, np.eye(2), atol=0.15)
    for k in range(3):
        np.testing.assert_allclose(U[y == k].mean(axis=0), coordinates.means[k], atol=0.35)


def test_nearest_class_agrees_with_discriminant_analysis(labelled_rows):
    X, y = labelled_rows
    model = SupervisedFactorAnalysis(2).fit(X, y)
    coordinates = ClassCoordinates.from_model(model)
    assigned = model.classes_[coordinates.nearest((X - model.mean_) @ coordinates.projection)]
    discriminant = LinearDiscriminantAnalysis(priors=[1 / 3] * 3).fit(X, y).predict(X)
    assert np.mean(assigned == discriminant) > 0.9


def test_low_rank_inverse_is_the_inverse():
    rng = np.random.default_rng(0)
    diagonal, F, B = rng.uniform(0.5, 2, 7), rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    expected = np.linalg.solve(np.diag(diagonal) + F @ F.T, B)
    np.testing.assert_allclose(solve_low_rank(diagonal, F, B), expected)


# Sources and their labels are not looked at before they are used.
AS_GIVEN = {"source_selection": "all", "label_noise": "ignore"}


@pytest.mark.parametrize("n_classes", [3, 10])
def test_random_labels_do_no_harm(problem, n_classes):
    """Domains resemble none of the classes that random labels make: these have no say."""
    X, graph, (X_s, _), truth = problem
    scores = {"auto": [], "never": []}
    for seed in range(3):
        labels = np.random.default_rng(seed).integers(n_classes, size=X_s.shape[0]).astype(str)
        for transfer, found in scores.items():
            options = {"class_transfer": transfer, "n_init": 5, **AS_GIVEN}
            model = TransST(3, n_factors=5, random_state=seed, **options)
            found.append(adjusted_rand_score(truth, model.fit(X, graph, [(X_s, labels)]).labels_))
    assert np.mean(scores["auto"]) > np.mean(scores["never"]) - 0.05


def test_one_domain_is_no_reason_to_transfer_classes(problem, no_trust):
    X, graph, source, _ = problem
    model = TransST(1, n_factors=5, n_init=3).fit(X, graph, [source])
    assert model.transferred_ == "loadings"


def test_matched_classes_are_transferred(problem, no_trust):
    X, graph, source, truth = problem
    model = TransST(3, n_factors=5, n_init=3).fit(X, graph, [source])
    assert model.transferred_ == "classes"
    assert model.class_likelihoods_["classes"] >= model.class_likelihoods_["loadings"]
    assert adjusted_rand_score(truth, model.labels_) > 0.8


def test_permuted_labels_do_not_decide(problem):
    X, graph, (X_s, y_s), _ = problem
    shuffled = np.random.default_rng(0).permutation(y_s)
    options = {"n_factors": 5, "n_init": 3, **AS_GIVEN}
    model = TransST(3, **options).fit(X, graph, [(X_s, shuffled)])
    never = TransST(3, class_transfer="never", **options).fit(X, graph, [(X_s, shuffled)])
    assert model.transferred_ == "loadings"
    assert adjusted_rand_score(model.labels_, never.labels_) > 0.9


def test_domains_that_are_kept_are_named_once(problem, monkeypatch):
    """Every time costs a pass over the expression."""
    X, graph, (X_s, y_s), _ = problem
    named = []

    def name(target, model, labels):
        named.append(labels)
        return name_domains(target, model, labels)

    monkeypatch.setattr("transst_py.model.name_domains", name)
    shuffled = np.random.default_rng(0).permutation(y_s)
    model = TransST(3, n_factors=5, n_init=3, **AS_GIVEN).fit(X, graph, [(X_s, shuffled)])
    assert model.class_likelihoods_ == {}
    assert len(named) == 1
    np.testing.assert_array_equal(named[0], model.labels_)


def test_class_transfer_does_not_depend_on_the_seed(problem):
    X, graph, source, _ = problem
    fits = [
        TransST(3, n_factors=5, class_transfer="always", penalties=(1.0,), random_state=s).fit(
            X, graph, [source]
        )
        for s in range(2)
    ]
    np.testing.assert_array_equal(fits[0].labels_, fits[1].labels_)


@pytest.mark.parametrize("n_domains", [2, 4, 5])
def test_other_numbers_of_domains_than_classes(problem, n_domains):
    X, graph, source, _ = problem
    model = TransST(n_domains, n_factors=5, class_transfer="always").fit(X, graph, [source])
    assert len(np.unique(model.labels_)) == n_domains


def test_numbers_to_choose_from(problem, no_trust):
    X, graph, source, _ = problem
    model = TransST(range(2, 9), n_factors=5, n_subsamples=0).fit(X, graph, [source])
    assert model.transferred_ == "classes"
    assert model.choice_ is not None
    assert model.choice_.n_domains == len(np.unique(model.labels_)) == 3


def test_classes_help_without_space_too(problem):
    X, _, source, truth = problem
    scores = {
        transfer: adjusted_rand_score(
            truth, TransST(3, n_factors=5, n_init=2, class_transfer=transfer).fit(X, None, [source]).labels_
        )
        for transfer in ("auto", "never")
    }
    assert scores["auto"] > scores["never"]


def test_names_of_the_classes_do_not_matter(problem):
    X, graph, (X_s, y_s), _ = problem
    renamed = np.array(
        [f"z{9 - int(str(label).split()[-1]) if str(label)[-1].isdigit() else label}" for label in y_s]
    )
    assert len(np.unique(renamed)) == len(np.unique(y_s))
    a = TransST(3, n_factors=5, class_transfer="always").fit(X, graph, [(X_s, y_s)])
    b = TransST(3, n_factors=5, class_transfer="always").fit(X, graph, [(X_s, renamed)])
    assert adjusted_rand_score(a.labels_, b.labels_) > 0.99


def test_options_are_checked(problem):
    X, graph, source, _ = problem
    with pytest.raises(ValueError, match="`class_transfer`: unknown value 'maybe'"):
        TransST(3, n_factors=5, class_transfer="maybe").fit(X, graph, [source])
    with pytest.raises(ValueError, match="needs a source with at least two classes"):
        TransST(3, n_factors=5, class_transfer="always").fit(X, graph)


@pytest.mark.parametrize(
    "options",
    [
        {"n_components": 0},
        {"n_components": 10_000},
        {"n_components": [2, 10_000]},
        {"n_components": []},
        {"n_components": 3.0},
        {"smoothness": -1},
        {"min_autocorrelation": 3},
        {"min_autocorrelation": "auto"},
        {"n_components": [2, 3], "criterion": "slope"},
        {"covariance_type": "round"},
    ],
)
def test_options_are_checked_before_any_work(problem, options, monkeypatch):
    X, graph, source, _ = problem
    monkeypatch.setattr(SupervisedFactorAnalysis, "fit_statistics", None)
    with pytest.raises((TypeError, ValueError), match=f"`{next(iter(options))}`|`criterion`"):
        TransST(**{"n_components": 3, "n_factors": 5} | options).fit(X, graph, [source])


@pytest.mark.parametrize("min_autocorrelation", [0.15, None])
def test_saved_with_classes(problem, tmp_path, min_autocorrelation):
    X, graph, source, _ = problem
    options = {"class_transfer": "always", "min_autocorrelation": min_autocorrelation}
    model = TransST(3, n_factors=5, **options).fit(X, graph, [source])
    model.save(tmp_path / "model.npz")
    again = TransST.load(tmp_path / "model.npz")
    for connectivities in (graph, None):
        np.testing.assert_array_equal(model.predict(X, connectivities), again.predict(X, connectivities))
    assert adjusted_rand_score(model.labels_, model.predict(X, graph)) > 0.9
