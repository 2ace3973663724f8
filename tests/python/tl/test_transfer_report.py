"""The check-up of a transfer, in words, tables and a picture."""

import anndata as ad
import numpy as np
import pytest

import transst_py as tst


def fitted(tissue, **options):
    target, source = (part.copy() for part in tissue)
    options = {"n_domains": 3, "n_factors": 5, "n_init": 3, "source_labels": "label"} | options
    tst.tl.transst(target, options.pop("source", source), **options)
    return target


def test_a_good_source_in_words_and_tables(tissue):
    target = fitted(tissue)
    report = tst.tl.transfer_report(target)
    assert report.sources["used"].tolist() == [True]
    assert report.sources["relevance"][0] > 0.7
    assert report.domains["n_spots"].sum() == 400
    assert set(report.domains["name"]) <= set(tissue[1].obs["label"].astype(str)) | {"unknown"}
    named = target.obs["transst_class"].astype(str).to_numpy()
    expected = report.domains.set_index("domain")["name"][target.obs["transst"].astype(str)]
    np.testing.assert_array_equal(named, expected)
    assert (report.suspicious["source"] == "source").all()
    text = str(report)
    for part in (
        "120 genes",
        "'source' has relevance",
        "Labels of 'source': about",
        "Loadings:",
        "Trust: labels hidden in a quarter of the places of the source at a time",
        "Classes: every spot has the class that the sources' labels give it, with trust",
        "Labels look like",
        "Names:",
    ):
        assert part in text
    assert report.sources["trust"][0] == pytest.approx(
        report.sources["hidden_score"][0] * report.sources["relevance"][0] ** 2
    )
    assert len(report.smoothing) == 24
    assert report.smoothing["weight"].sum() == pytest.approx(1)


def test_a_source_that_is_not_trusted(tissue, monkeypatch):
    monkeypatch.setattr("transst_py.transfer.label_transfer.MIN_TRUST", 2.0)
    monkeypatch.setattr("transst_py.tl._transfer_report.MIN_TRUST", 2.0)
    target = fitted(tissue)
    text = str(tst.tl.transfer_report(target))
    assert "Classes: not followed, since a trust of" in text
    assert "Coverage:" not in text
    assert "lay in domains that resemble one" in text
    assert not target.uns["transst"]["transfer"]["follows_labels"]


def test_a_source_that_lacks_classes_of_the_target(tissue, monkeypatch):
    monkeypatch.setattr("transst_py.transfer.label_transfer.MIN_COVERAGE", 2.0)
    text = str(tst.tl.transfer_report(fitted(tissue)))
    assert "Coverage: the classes explain" in text
    assert "Classes: not followed, since the target seems to have some that the sources lack." in text


def test_a_source_without_positions(tissue):
    del tissue[1].obsm["spatial"]
    target = fitted(tissue)
    report = tst.tl.transfer_report(target)
    assert "labels hidden of a quarter of its rows at a time" in str(report)
    assert len(report.smoothing) == 1
    assert len(tst.pl.transfer_report(target)) == 2


def test_survives_a_file(tissue, tmp_path):
    target = fitted(tissue)
    target.write_h5ad(tmp_path / "x.h5ad")
    again = tst.tl.transfer_report(ad.read_h5ad(tmp_path / "x.h5ad"))
    assert again.words == tst.tl.transfer_report(target).words


def test_a_rejected_source(tissue):
    shuffled = tissue[1].copy()
    shuffled.X = shuffled.X[:, np.random.default_rng(0).permutation(shuffled.n_vars)]
    with pytest.warns(UserWarning, match="too little relevance"):
        target = fitted(tissue, source=shuffled)
    report = tst.tl.transfer_report(target)
    assert report.sources["used"].tolist() == [False]
    assert report.domains.empty
    assert "rejected" in str(report)
    assert "transst_class" not in target.obs
    alone = tissue[0].copy()
    tst.tl.transst(alone, n_domains=3, n_factors=5, n_init=3)
    assert (alone.obs["transst"] == target.obs["transst"]).all()
    left, right = tst.pl.transfer_report(target)
    assert right.get_title(loc="left") == "domains: no source was used"
    assert len(left.patches) == 1


def test_labels_in_random_order(tissue):
    mixed = tissue[1].copy()
    mixed.obs["label"] = np.random.default_rng(0).permutation(mixed.obs["label"])
    with pytest.warns(UserWarning, match="are labels and rows in the same order"):
        report = tst.tl.transfer_report(fitted(tissue, source=mixed))
    assert report.sources["random_labels"].tolist() == [True]
    assert report.sources["used"].tolist() == [False]
    assert "its labels go with its expression no better than in random order" in str(report)


def test_picture_has_a_bar_for_each(tissue):
    target = fitted(tissue)
    left, middle, right = tst.pl.transfer_report(target)
    assert len(left.patches) == 2  # relevance and trust
    table = tst.tl.transfer_report(target).smoothing
    assert len(middle.patches) == (table["weight"] > 0).sum()
    assert sorted(text.get_text() for text in middle.texts) == sorted(f"{x:.2f}" for x in table["score"])
    assert len(right.patches) == 3
    assert left.figure is right.figure


def test_names_of_an_earlier_run_are_gone(tissue):
    target = fitted(tissue)
    assert "transst_class" in target.obs
    tst.tl.transst(target, n_domains=3, n_factors=5, n_init=2)
    assert "transst_class" not in target.obs
    with pytest.raises(KeyError, match="had no source"):
        tst.tl.transfer_report(target)


def test_without_a_fit(tissue):
    with pytest.raises(KeyError, match="no record 'transst' of a fit"):
        tst.tl.transfer_report(tissue[0].copy())


def test_an_irrelevant_source_changes_nothing(tissue):
    """Not even by the genes that it lacks."""
    other = tissue[1][:, 30:].copy()
    other.X = other.X[:, np.random.default_rng(0).permutation(other.n_vars)]
    alone = fitted(tissue, source={"good": tissue[1]})
    with pytest.warns(UserWarning, match="too little relevance"):
        both = fitted(tissue, source={"good": tissue[1], "other": other})
    assert (alone.obs["transst"] == both.obs["transst"]).all()
    np.testing.assert_array_equal(alone.varm["transst_loadings"], both.varm["transst_loadings"])
    assert tst.tl.transfer_report(both).sources["used"].tolist() == [True, False]
