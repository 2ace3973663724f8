"""Labels of a column: what is missing, and what is no label of a class."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import transst_py as tst
from transst_py.pl._agreement import agreement_table
from transst_py.source.labels import class_labels, given_labels, warn_of_classes


def test_texts_that_mean_missing_are_missing():
    values = pd.Series(["a", "NA", "nan", "", " None ", None, np.nan, "a", "Nancy"])
    assert given_labels(values).dropna().tolist() == ["a", "a", "Nancy"]
    with pytest.warns(UserWarning, match=r"x: 4 labels are the text 'NA', 'nan', '', ' None ' and are taken"):
        labels = class_labels(values, "x")
    assert labels.isna().tolist() == given_labels(values).isna().tolist()


def test_excluded_labels_are_missing_without_a_word():
    values = pd.Categorical(["a", "undetermined", "b", "a", "undetermined"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert class_labels(values, "x", ["undetermined"]).isna().tolist() == [
            False,
            True,
            False,
            False,
            True,
        ]
    with pytest.warns(UserWarning, match="'undetermined' is taught like any other class"):
        assert class_labels(values, "x").notna().all()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.linspace(0, 1, 40), "fractional numbers"),
        ([f"spot{i}" for i in range(40)], "40 different labels in 40 labelled rows"),
        (["a", "b", "c"], "3 different labels in 3 labelled rows"),
        (np.repeat(np.arange(400), 3), "400 different labels in 1200"),
    ],
)
def test_what_names_no_classes_is_refused(values, found):
    with pytest.raises(ValueError, match=found):
        class_labels(values, "x")


@pytest.mark.parametrize(
    "values",
    [[1.0, 2.0, np.nan, 1.0], [True, False, True], ["a"] * 5, list("abcdefg") * 2, np.arange(50) % 30],
)
def test_classes_are_taken_as_they_are(values):
    assert class_labels(values, "x").notna().tolist() == pd.Series(values).notna().tolist()


def test_labels_of_one_class_or_nearly_so_are_warned_of():
    with pytest.warns(UserWarning, match="all labels of the source are 'a'"):
        warn_of_classes([pd.Series(["a", "a", None])])
    with pytest.warns(UserWarning, match="98% of the source's labels are 'a'"):
        warn_of_classes([pd.Series(["a"] * 98), pd.Series(["b", "b"])])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_classes([pd.Series(["a", "a"]), pd.Series(["b", "b"])])  # the sources differ


def test_excluded_labels_have_no_part_in_the_fit_or_the_report(tissue, tmp_path):
    target, source = (part.copy() for part in tissue)
    rng = np.random.default_rng(0)
    for part in (target, source):
        label = part.obs["label"].astype(str).to_numpy()
        part.obs["label"] = np.where(rng.random(part.n_obs) < 0.1, "unsure", label)
    options = {"source_labels": "label", "n_domains": 3, "n_factors": 4, "n_init": 2, "n_folds": 2}
    with pytest.warns(UserWarning, match="have no label and are left out"):
        found = tst.tl.transst(target, source, exclude_labels=["unsure"], copy=True, **options)
    without = source[source.obs["label"] != "unsure"].copy()
    expected = tst.tl.transst(target, without, copy=True, **options)
    assert found.obs["transst"].equals(expected.obs["transst"])
    assert "unsure" not in found.uns["transst"]["source"]["classes"]

    counts, index = agreement_table(found, "transst", "label", ["unsure"])
    sure = found[found.obs["label"] != "unsure"]
    assert "unsure" not in counts.index
    assert index == agreement_table(sure, "transst", "label")[1]
    found.write_h5ad(tmp_path / "found.h5ad")
    text = tst.report(
        ad.read_h5ad(tmp_path / "found.h5ad"), tmp_path / "page.html", labels="label"
    ).read_text()
    assert f"{index:.3f}" in text
    assert "Labels left out" in text


def test_excluded_labels_must_occur(tissue):
    target, source = tissue
    with pytest.raises(ValueError, match="`exclude_labels`: no source has the label 'undetermind'"):
        tst.tl.transst(target, source, source_labels="label", exclude_labels=["undetermind"], n_domains=3)
    with pytest.raises(TypeError, match=r"`exclude_labels` must be a list of names.*write \['unsure'\]"):
        tst.tl.transst(target, source, source_labels="label", exclude_labels="unsure", n_domains=3)
    with pytest.raises(ValueError, match="`exclude_labels` was given without `source`"):
        tst.tl.transst(target, exclude_labels=["unsure"], n_domains=3)
