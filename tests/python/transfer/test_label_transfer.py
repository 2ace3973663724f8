"""Label transfer: averaging and trust learnt on hidden labels, classes adapted to the target."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

import transst_py as tst
from transst_py import TransST
from transst_py.tissue.graph import averaged, spatial_neighbors
from transst_py.tissue.potts import Field
from transst_py.transfer import hidden_labels, label_transfer
from transst_py.transfer.hidden_labels import LabelledScores, hidden_scores, teachers, weighted
from transst_py.transfer.label_transfer import LabelTransfer

SIDE = 24
PLACES = np.array([(i, j) for i in range(SIDE) for j in range(SIDE)], dtype=float)
GRAPH = spatial_neighbors(PLACES, n_neighbors=4)
CLASSES = np.array(["a", "b", "c", "d"])


def labels_of(kind, seed):
    """Labels of quadrants ("regions"), or of cells at random ("types")."""
    if kind == "regions":
        return (2 * (PLACES[:, 0] >= SIDE / 2) + (PLACES[:, 1] >= SIDE / 2)).astype(int)
    return np.random.default_rng(seed).integers(4, size=len(PLACES))


def scores_of(codes, seed, noise=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    means = 2.5 * np.eye(4, 6)
    return means[codes] + shift + noise * rng.normal(size=(len(codes), 6))


def source(kind="regions", seed=0, noise=1.0, relevance=1.0, placed=True):
    codes = labels_of(kind, seed)
    believed = np.ones(len(codes), dtype=bool)
    places = (GRAPH, PLACES) if placed else (None, None)
    return LabelledScores(scores_of(codes, seed + 10, noise), codes, believed, relevance, *places)


def learnt(sources, classes=CLASSES):
    named = sources if isinstance(sources, dict) else {"s": sources}
    return LabelTransfer(classes, np.eye(6)).learn(named, 0)


def best(transfer):
    return transfer.settings[0].feature_rounds, transfer.settings[0].label_rounds


def test_averaging_is_learnt_on_the_source():
    regions, types = learnt(source("regions", noise=3.0)), learnt(source("types"))
    assert sum(best(regions)) >= label_transfer.REGION_ROUNDS
    assert best(types) == (0, 0)
    assert regions.hidden == types.hidden == "places"
    assert set(regions.smoothing.columns) == {"feature_rounds", "label_rounds", "score", "weight"}
    np.testing.assert_allclose(regions.smoothing["weight"].sum(), 1)


@pytest.mark.parametrize("kind", ["regions", "types"])
def test_every_spot_gets_its_class(kind):
    transfer = learnt(source(kind))
    truth = labels_of(kind, 1)
    P = transfer.fit(scores_of(truth, 5, shift=0.3), Field.from_graph(GRAPH))
    np.testing.assert_allclose(P.sum(axis=1), 1)
    domains = transfer.domains(P).argmax(axis=1)
    assert np.mean(transfer.classes_of(P, domains) == CLASSES[truth]) > 0.85
    assert transfer.names() == [["a"], ["b"], ["c"], ["d"]]
    again = transfer.predict(scores_of(truth, 5, shift=0.3), Field.from_graph(GRAPH), np.zeros((1, 1)))
    np.testing.assert_allclose(again, P)


def test_hidden_scores_are_those_of_a_plain_implementation():
    S = source("regions", noise=2.0)
    hidden, table = hidden_scores({"s": S}, 4, seed=0)
    parts = hidden_labels._sample(S, False, 0)[1]
    assert hidden == "places"
    assert sum(part.sum() for part in parts) == len(PLACES)
    assert len(parts) == 4
    naive = []
    A = sp.diags(1 / np.diff(GRAPH.indptr)) @ GRAPH
    F = 0.5 * (S.scores + A @ S.scores)
    for part in parts:
        means = np.array([F[~part & (S.codes == k)].mean(axis=0) if (~part & (S.codes == k)).any()
                          else np.full(6, np.nan) for k in range(4)])  # fmt: skip
        rest = F[~part] - means[S.codes[~part]]
        within = rest.T @ rest / len(rest)
        within = 0.8 * within + 0.2 * np.trace(within) / 6 * np.eye(6)
        share = np.bincount(S.codes[~part], minlength=4) / (~part).sum()
        logits = np.array([
            -0.5 * np.einsum("ij,ij->i", (F - m) @ np.linalg.inv(within), F - m) + np.log(s)
            if s > 0 else np.full(len(F), -np.inf) for m, s in zip(means, share, strict=True)
        ]).T  # fmt: skip
        P = np.exp(logits - logits.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        P = 0.5 * (P + A @ P)
        naive.append(adjusted_rand_score(S.codes[part], P[part].argmax(axis=1)))
    assert table.loc[(1, 1), "s"] == pytest.approx(np.mean(naive))


def test_settings_of_about_the_same_score_have_about_the_same_say():
    index = pd.MultiIndex.from_tuples([(0, 0), (0, 1), (1, 0)], names=["feature_rounds", "label_rounds"])
    weight = weighted(pd.DataFrame({"s": [0.50, 0.48, 0.1]}, index=index))["weight"].to_numpy()
    assert weight[0] / weight[1] == pytest.approx(np.e)
    assert weight[2] == 0
    assert weight.sum() == pytest.approx(1)


def test_labels_that_cannot_be_predicted_are_not_trusted():
    S = source("types")
    random = replace(S, codes=np.random.default_rng(3).permutation(S.codes))
    assert learnt(S).trusted
    assert not learnt(random).trusted
    assert not learnt(replace(S, relevance=0.5)).trusted


def test_trust_is_score_times_relevance_squared():
    transfer = learnt(source("types", relevance=0.9))
    assert transfer.trust["s"] == pytest.approx(transfer.scores["s"] * 0.81)
    assert transfer.total_trust == transfer.trust["s"]


def test_of_several_sources_whole_ones_are_hidden():
    good, other = source("types", 0), source("types", 1)
    transfer = learnt({"good": good, "other": other})
    assert transfer.hidden == "sources"
    assert transfer.trusted
    # Labels that mean something else in the other source are not predicted there.
    rng = np.random.default_rng(0)
    unlike = replace(other, scores=other.scores[:, [3, 2, 1, 0, 5, 4]] + rng.normal(size=other.scores.shape))
    assert learnt({"good": good, "unlike": unlike}).trust["unlike"] < 0.9 * transfer.trust["other"]


def test_only_relevant_sources_teach():
    far = source("types", 1, relevance=0.4)
    transfer = learnt({"far": far, "near": source("types", 0)})
    assert transfer.hidden == "places"
    assert list(transfer.scores) == ["far", "near"]
    assert transfer.trust["far"] < 0.2
    assert transfer.trusted
    assert list(teachers({"far": far})) == ["far"]


def test_sources_with_positions_teach_averaging():
    both = {"placed": source("regions"), "cells": source("regions", 1, placed=False)}
    assert list(teachers(both)) == ["placed"]
    assert learnt(both).placed


@pytest.mark.parametrize("kind", ["regions", "types"])
def test_without_positions_the_field_is_as_smooth_as_the_targets_labels(kind):
    transfer = learnt(source(kind, noise=1.5, placed=False))
    assert transfer.hidden == "rows"
    assert best(transfer) == (0, 0)
    truth = labels_of(kind, 1)
    Z, field = scores_of(truth, 5, noise=1.5), Field.from_graph(GRAPH)
    P = transfer.fit(Z, field)
    alone = transfer.settings[0].posteriors(Z, GRAPH)
    right, right_alone = (np.mean(p.argmax(axis=1) == truth) for p in (P, alone))
    if kind == "regions":
        assert transfer.smoothness > 1
        assert right > right_alone + 0.1
    else:
        assert transfer.smoothness < 0.5
        assert right > right_alone - 0.03
    np.testing.assert_allclose(transfer.predict(Z, field, Z), P)


def test_a_rare_class_of_fewer_rows_than_places():
    S = source("types")
    codes = np.concatenate([S.codes[:-2], [4, 4]])
    transfer = learnt(replace(S, codes=codes), np.append(CLASSES, "rare"))
    P = transfer.fit(scores_of(labels_of("types", 1), 5), Field.from_graph(GRAPH))
    assert np.isfinite(P).all()
    assert transfer.trusted


def test_too_few_rows_tell_nothing():
    S, few = source("types"), np.arange(0, len(PLACES), 40)
    tiny = LabelledScores(S.scores[few], S.codes[few], S.believed[few], 1.0)
    transfer = learnt(tiny)
    assert transfer.smoothing.empty
    assert not transfer.trusted
    assert best(transfer) == (0, 0)  # if it is followed all the same
    P = transfer.fit(scores_of(labels_of("types", 1), 5), Field.from_graph(GRAPH))
    assert P.shape == (len(PLACES), 4)
    # Beside others it does not teach.
    beside = learnt({"tiny": tiny, "s": S})
    assert beside.hidden == "places"
    assert beside.trusted


def test_classes_that_no_teaching_source_has_are_warned_of():
    S = source("types")
    known = S.codes < 3
    part = LabelledScores(
        S.scores[known], S.codes[known], S.believed[known], 1.0, GRAPH[known][:, known], PLACES[known]
    )
    cells = source("types", 1, placed=False)
    with pytest.warns(UserWarning, match=r"are not carried over: d \('cells'"):
        transfer = learnt({"part": part, "cells": cells})
    # The class that is not taught is free to be found.
    P = transfer.fit(scores_of(labels_of("types", 1), 5), Field.from_graph(GRAPH), n_domains=4)
    assert transfer.names() == [["a"], ["b"], ["c"], []]
    assert P.shape[1] == 4


def test_wrong_labels_neither_teach_nor_test():
    S = source("types", noise=0.5)
    wrong = np.random.default_rng(0).random(len(S.codes)) < 0.3
    codes = np.where(wrong, (S.codes + 1) % 4, S.codes)
    known = learnt(replace(S, codes=codes, believed=~wrong))
    unknown = learnt(replace(S, codes=codes))
    assert known.trust["s"] > unknown.trust["s"] + 0.2


def test_fewer_domains_join_classes_that_are_alike():
    S = source("types", noise=0.5)
    near = S.scores.copy()
    near[S.codes == 3] = (
        near[S.codes == 3] - 2.0 * np.eye(4, 6)[3] + 2.0 * np.eye(4, 6)[2] + 0.5 * np.eye(6)[5]
    )
    transfer = learnt(replace(S, scores=near))
    P = transfer.fit(near, Field.from_graph(GRAPH), n_domains=3)
    assert transfer.names() == [["a"], ["b"], ["c", "d"]]
    assert P.shape[1] == 4
    domains = transfer.domains(P).argmax(axis=1)
    named = transfer.classes_of(P, domains)
    assert set(named[domains == 2]) == {"c", "d"}
    one = learnt(S)
    one.fit(S.scores, Field.from_graph(GRAPH), n_domains=1)
    assert one.names() == [["a", "b", "c", "d"]]


def test_more_domains_than_classes_find_what_the_source_lacks():
    S = source("regions")
    known = S.codes != 3
    part = LabelledScores(
        S.scores[known], S.codes[known], S.believed[known], 1.0, GRAPH[known][:, known], PLACES[known]
    )
    transfer = LabelTransfer(CLASSES[:3], np.eye(6)).learn({"s": part}, 0)
    truth = labels_of("regions", 0)
    P = transfer.fit(scores_of(truth, 5), Field.from_graph(GRAPH), n_domains=4)
    domains = transfer.domains(P).argmax(axis=1)
    assert adjusted_rand_score(truth, domains) > 0.9
    assert transfer.names() == [["a"], ["b"], ["c"], []]
    assert set(transfer.classes_of(P, domains)[truth == 3]) >= {"unknown"}
    assert np.mean(transfer.classes_of(P, domains)[truth == 3] == "unknown") > 0.9


def test_coverage_shows_classes_that_the_source_lacks(monkeypatch):
    S, truth = source("regions"), labels_of("regions", 0)
    known = S.codes < 3
    part = LabelledScores(
        S.scores[known], S.codes[known], S.believed[known], 1.0, GRAPH[known][:, known], PLACES[known]
    )
    Z, field = scores_of(truth, 5), Field.from_graph(GRAPH)
    whole, lacking = learnt(S), LabelTransfer(CLASSES[:3], np.eye(6)).learn({"s": part}, 0)
    assert np.isnan(whole.coverage)
    whole.fit(Z, field)
    lacking.fit(Z, field)
    assert whole.covers
    assert whole.coverage == pytest.approx(1, abs=0.05)
    assert lacking.trusted
    assert lacking.coverage < whole.coverage - 0.1
    monkeypatch.setattr(label_transfer, "_COVERAGE_SPOTS", 200)
    again = learnt(S)
    again.fit(Z, field)
    assert again.coverage == pytest.approx(whole.coverage, abs=0.05)


def test_factors_of_all_genes_help_where_the_source_has_few():
    S, truth = source("types", noise=2.5), labels_of("types", 1)
    Z, field = scores_of(truth, 5, noise=2.5), Field.from_graph(GRAPH)
    factors = scores_of(truth, 6, noise=0.6)
    alone, helped = learnt(S), learnt(S)
    of_few = alone.fit(Z, field).argmax(axis=1)
    P = helped.fit(Z, field, factors=factors)
    assert np.mean(P.argmax(axis=1) == truth) > np.mean(of_few == truth) + 0.1
    np.testing.assert_allclose(helped.predict(Z, field, factors), P)


def test_large_sources_are_scored_on_connected_parts(monkeypatch):
    monkeypatch.setattr(hidden_labels, "_MAX_ROWS", 15)
    part, places = hidden_labels._sample(source("regions"), False, 0)
    assert len(part.codes) == 240
    assert [place.sum() for place in places] == [60] * 4
    assert np.diff(part.graph.indptr).mean() > 3
    cells, quarters = hidden_labels._sample(source("regions", placed=False), False, 0)
    assert len(cells.codes) == 240
    assert [quarter.sum() for quarter in quarters] == [60] * 4


def test_arrays_hold_everything():
    for options in ({}, {"n_domains": 3}, {"n_domains": 5}, {"factors": scores_of(labels_of("types", 1), 6)}):
        for placed in (True, False):
            transfer = learnt(source("types", placed=placed))
            Z, field = scores_of(labels_of("types", 1), 5), Field.from_graph(GRAPH)
            P = transfer.fit(Z, field, **options)
            again = LabelTransfer.from_arrays(transfer.arrays())
            V = options.get("factors", Z)
            np.testing.assert_allclose(again.domains(again.predict(Z, field, V)), transfer.domains(P))
            assert again.names() == transfer.names()
    assert LabelTransfer.from_arrays({}) is None


def test_a_domain_of_its_own_for_each_order():
    transfer = learnt(source("types"))
    P = transfer.fit(scores_of(labels_of("types", 1), 5), Field.from_graph(GRAPH))
    before = transfer.domains(P)
    transfer.reorder(np.array([2, 0, 3, 1]))
    np.testing.assert_array_equal(transfer.domains(P), before[:, [2, 0, 3, 1]])
    assert transfer.names() == [["c"], ["a"], ["d"], ["b"]]


def test_averaging_is_a_lazy_walk():
    graph = GRAPH.tolil()
    graph[0], graph[:, 0] = 0, 0
    graph = sp.csr_matrix(graph)
    Z = np.random.default_rng(0).normal(size=(len(PLACES), 2))
    naive = Z.copy()
    for _ in range(2):
        naive = np.array(
            [
                0.5 * (naive[i] + naive[graph[i].indices].mean(axis=0)) if graph[i].nnz else naive[i]
                for i in range(len(naive))
            ]
        )
    np.testing.assert_allclose(averaged(graph, Z, 2), naive)
    assert averaged(graph, Z, 0) is Z


@pytest.fixture
def problem(tissue):
    from transst_py.expression.normalize import log_normalize

    target, reference = tissue
    X, X_s = (log_normalize(a.X.astype(float), target_sum=100.0) for a in (target, reference))
    graph = spatial_neighbors(target.obsm["spatial"], n_neighbors=4)
    labels = reference.obs["label"].astype(str).to_numpy()
    return X, graph, (X_s, labels, reference.obsm["spatial"]), target.obs["label"].astype(str).to_numpy()


def test_the_model_follows_a_matched_source(problem, tmp_path):
    X, graph, given, truth = problem
    model = TransST(n_factors=5).fit(X, graph, [given])
    assert model.transferred_ == "classes"
    assert model.follows_labels_
    assert model.mixture_ is None
    assert np.mean(model.spot_classes_ == truth) > 0.85
    assert len(np.unique(model.labels_)) == 3
    sizes = np.bincount(model.labels_)
    assert (np.diff(sizes) <= 0).all()
    np.testing.assert_array_equal(model.labels_, model.responsibilities_.argmax(axis=1))
    model.save(tmp_path / "model")
    loaded = TransST.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X, graph), model.labels_)


def test_labels_do_not_depend_on_the_names_of_the_classes(problem):
    X, graph, (X_s, y, positions), _ = problem
    renamed = pd.Series(y).map({name: f"{9 - k} {name}" for k, name in enumerate(np.unique(y))}).to_numpy()
    fits = [TransST(n_factors=5).fit(X, graph, [(X_s, labels, positions)]) for labels in (y, renamed)]
    assert adjusted_rand_score(fits[0].labels_, fits[1].labels_) == 1


def test_follow_and_never(problem):
    X, graph, (X_s, y, positions), _ = problem
    shuffled = np.random.default_rng(0).permutation(y)
    options = {"n_factors": 5, "source_selection": "all", "label_noise": "ignore"}
    auto = TransST(3, **options).fit(X, graph, [(X_s, shuffled, positions)])
    assert auto.label_transfer_ is not None
    assert not auto.follows_labels_
    follow = TransST(3, class_transfer="follow", **options).fit(X, graph, [(X_s, shuffled, positions)])
    assert follow.follows_labels_
    never = TransST(3, class_transfer="never", n_factors=5).fit(X, graph, [(X_s, y, positions)])
    assert never.label_transfer_ is None
    assert never.transferred_ == "loadings"


def test_the_number_of_domains_is_needed_without_trust(problem):
    X, graph, (X_s, y, positions), _ = problem
    with pytest.raises(ValueError, match="only where a labelled source"):
        TransST(n_factors=5).fit(X, graph)
    with pytest.raises(ValueError, match="only where a labelled source"):
        TransST(n_factors=5, class_transfer="never").fit(X, graph, [(X_s, y, positions)])
    shuffled = np.random.default_rng(0).permutation(y)
    options = {"source_selection": "all", "label_noise": "ignore"}
    with pytest.raises(ValueError, match=r"labels are not trusted \(trust 0.0\d, needed 0.35\)"):
        TransST(n_factors=5, **options).fit(X, graph, [(X_s, shuffled, positions)])


def test_a_target_that_is_not_covered_does_not_follow(problem, monkeypatch):
    X, graph, given, _ = problem
    monkeypatch.setattr(label_transfer, "MIN_COVERAGE", 2.0)
    model = TransST(3, n_factors=5, n_init=2).fit(X, graph, [given])
    assert model.label_transfer_.trusted
    assert not model.follows_labels_
    assert model.mixture_ is not None
    assert TransST(3, n_factors=5, class_transfer="follow").fit(X, graph, [given]).follows_labels_
    with pytest.raises(ValueError, match=r"classes explain too little of the target \(coverage"):
        TransST(n_factors=5).fit(X, graph, [given])


def test_positions_that_tell_nothing_are_said_to(problem):
    X, graph, (X_s, y, positions), _ = problem
    lost = positions.copy()
    lost[3] = np.nan
    with pytest.warns(UserWarning, match=r"source\[0\]: its positions are not used: 1 rows have none"):
        model = TransST(3, n_factors=5).fit(X, graph, [(X_s, y, lost)])
    assert model.label_transfer_.hidden == "rows"
    with pytest.raises(ValueError, match="399 positions for 400 rows"):
        TransST(3, n_factors=5).fit(X, graph, [(X_s, y, positions[1:])])
    with pytest.raises(ValueError, match="positions must have 2 or 3 columns"):
        TransST(3, n_factors=5).fit(X, graph, [(X_s, y, positions[:, :1])])
    with pytest.raises(TypeError, match=r"must be \(X, labels\), \(X, labels, positions\) or a Source"):
        TransST(3, n_factors=5).fit(X, graph, [X_s])


def test_numbers_to_choose_from_are_classes_joined_or_free(problem):
    X, graph, given, _ = problem
    model = TransST(range(2, 6), n_factors=5, n_init=2, n_subsamples=0).fit(X, graph, [given])
    assert model.follows_labels_
    assert model.choice_ is not None
    assert len(np.unique(model.labels_)) <= model.choice_.n_domains


@pytest.fixture
def sections(tissue):
    """Target, its source, and another that has nothing to do with it."""
    target, reference = tissue
    other = reference.copy()
    other.X = other.X[:, np.random.default_rng(0).permutation(other.n_vars)]
    return target, reference, other


def test_the_number_may_be_left_out_beside_rejected_sources(sections):
    target, reference, other = sections
    options = {"source_labels": "label", "n_factors": 5}
    with pytest.warns(UserWarning, match="too little relevance"):
        tst.tl.transst(target, {"good": reference, "other": other}, **options)
    assert target.obs["transst"].nunique() == 3
    alone = target.copy()
    narrow = reference[:, :40].copy()
    with pytest.warns(UserWarning, match="too little relevance|only 40 of the target's"):
        tst.tl.transst(alone, {"wide": other, "narrow": narrow}, **options)
    assert alone.uns["transst"]["transfer"]["follows_labels"]
    for given in ({"class_transfer": "follow", "n_domains": 3}, {}):
        with pytest.raises(ValueError, match="every source was rejected: sources of too little relevance"):
            tst.tl.transst(target.copy(), other, **options, **given)


def test_joined_domains_keep_the_classes_of_their_spots(sections):
    target, reference, _ = sections
    counts = target.X.tolil()
    counts[:2] = 0
    target.X = counts.tocsr()
    with pytest.warns(UserWarning, match="2 of 400 spots have no count"):
        tst.tl.transst(target, reference, source_labels="label", n_domains=2, n_factors=5)
    classes = set(reference.obs["label"].astype(str))
    assert set(target.obs["transst_class"].astype(str)) == classes
    report = tst.tl.transfer_report(target)
    assert " + " in "".join(report.domains["name"])
    assert "No spot has the class" not in str(report)


def test_positions_that_are_none_are_said_to(sections):
    target, reference, _ = sections
    options = {"source_labels": "label", "n_domains": 3, "n_factors": 5}
    reference.obsm["spatial"] = reference.obsm["spatial"][:, :1]
    with pytest.warns(UserWarning, match=r"source 'source': obsm\['spatial'\] must hold positions"):
        tst.tl.transst(target, reference, **options)
    assert target.uns["transst"]["transfer"]["hidden"] == "rows"
    with pytest.raises(ValueError, match="`source_spatial_key`: source 'source'"):
        tst.tl.transst(target, reference, source_spatial_key="spatial", **options)
    with pytest.raises(KeyError, match="has no obsm\\['places'\\]"):
        tst.tl.transst(target, reference, source_spatial_key="places", **options)
    reference.obsm["places"] = np.zeros((reference.n_obs, 2))
    with pytest.warns(UserWarning, match="its positions are not used: 400 rows have only 1 different ones"):
        tst.tl.transst(target, reference, source_spatial_key="places", **options)
