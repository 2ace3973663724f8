"""Random objects and options for every function of `tl`."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import strategies as st
from objects import make_tissue, options, tissues
from outcomes import Refused, call, fuzz, require, state

import transst_py as tst
from transst_py._core.optional import has_torch

KEYS = {"key_added": ["transst", "weird key", "ß", "x.y"]}
BAD_KEYS = {"key_added": ["", "a/b", 3, None, "label", b"bytes"]}
SEEDS = {"random_state": [0, 7, np.int64(3)]}
BAD_SEEDS = {"random_state": [-1, 2**40, 0.5, None, "a", True]}
LAYERS = {"layer": [None]}
BAD_LAYERS = {"layer": ["nowhere", 3]}
WORDS = ["auto ", "", None, 3]

FIT = {
    "n_domains": [1, 2, 3, 4, [2, 3], range(2, 5)],
    "n_factors": [1, 2, 3],
    "n_top_genes": [None, 4, 100],
    "gene_selection": ["spatial", "variable"],
    "normalization": ["log", "none"],
    "scaling": ["per_dataset", "joint", "auto"],
    "sample_key": ["sample"],
    "graph": ["knn", "radius", "lattice", "auto"],
    "n_neighbors": [1, 4],
    "radius": [1.5, None],
    "smoothness": ["auto", 0.0, 2.0],
    "covariance_prior": [0.0, 20.0],
    "covariance_type": ["full", "tied", "diag"],
    "class_transfer": ["auto", "follow", "always", "never"],
    "min_autocorrelation": [0.15, None, 0.0, 1.0],
    "penalties": [(0.0, 1.0, np.inf), [0.1], [np.inf]],
    "n_folds": [2, 3],
    "penalty_rule": ["best", "1se"],
    "solver": ["eigen", "alternating"],
    "source_start": ["principal", "weighted"],
    "source_selection": ["auto", "all"],
    "label_noise": ["remove", "report", "ignore"],
    "criterion": ["auto", "hbic", "stability"],
    "exclude_labels": [(), ["cortex"]],
    "copy": [True],
    **KEYS,
    **SEEDS,
}
BAD_FIT = {
    "n_domains": [0, -1, 2.5, "3", [], [2, 2], [0, 3], None, 10**6, True, np.nan],
    "n_factors": [0, -2, 1.5, 100, None, "a"],
    "n_top_genes": [0, -3, 2.5, "all"],
    "gene_selection": WORDS,
    "normalization": WORDS,
    "scaling": WORDS,
    "spatial_key": ["nowhere", 3],
    "source_spatial_key": ["nowhere"],
    "sample_key": ["nowhere", 3],
    "graph": ["triangles", 3, np.eye(4), sp.eye(5)],
    "n_neighbors": [0, -1, 2.5, 10**6, "a"],
    "radius": [0, -1.0, np.nan, "a", np.inf],
    "smoothness": [-1.0, np.nan, "high", None, np.inf],
    "covariance_prior": [-1.0, np.nan, "a", None],
    "covariance_type": WORDS,
    "class_transfer": WORDS,
    "min_autocorrelation": [2.0, -0.1, np.nan, "a"],
    "penalties": [(), 1.0, (-1.0,), (np.nan,), "123", ("a",), None],
    "n_folds": [0, 1, 1000, 2.5, "a", None],
    "penalty_rule": WORDS,
    "solver": WORDS,
    "source_start": WORDS,
    "source_selection": WORDS,
    "label_noise": WORDS,
    "n_init": [0, -1, 1.5, "many", None],
    "criterion": WORDS,
    "n_subsamples": [-1, 1.5, "a"],
    "source_labels": [None, "nowhere", 3],
    "exclude_labels": ["cortex", 3, ["cortex", "medulla", "ünïcode β"]],
    "encoder": WORDS,
    "encoder_options": [{"hidden": 3}],
    **BAD_KEYS,
    **BAD_SEEDS,
    **BAD_LAYERS,
}


def check_domains(adata, key, n_spots):
    """What `transst` promises of its result."""
    labels, P = adata.obs[key], adata.obsm[f"{key}_prob"]
    K = len(labels.cat.categories)
    require(
        list(labels.cat.categories) == [str(k + 1) for k in range(K)], f"categories {labels.cat.categories}"
    )
    require(labels.notna().all(), "a spot has no domain")
    require(P.shape == (n_spots, K), f"probabilities of shape {P.shape} for {K} domains")
    require(np.isfinite(P).all() and (P >= 0).all(), "probabilities")
    require(np.allclose(P.sum(axis=1), 1, atol=1e-5), "probabilities do not sum to one")
    confidence = adata.obs[f"{key}_confidence"]
    require(((confidence >= 0) & (confidence <= 1 + 1e-6)).all(), "confidence")
    scores, loadings = adata.obsm[f"X_{key}"], adata.varm.get(f"{key}_loadings")
    lost = ~np.isfinite(scores).all(axis=1)
    require(np.isnan(scores[lost]).all(), "scores are infinite, or NaN in part")
    if loadings is not None:
        used = np.isfinite(loadings).all(axis=1)
        require(np.isnan(loadings[~used]).all() and used.any(), "loadings are infinite, or NaN in part")
    return lost


@fuzz(
    "tl.transst",
    st.fixed_dictionaries(
        {
            "target": tissues(),
            "source": st.one_of(st.none(), tissues(), tissues()),
            "options": options(FIT, BAD_FIT),
        }
    ),
    few=60,
    share=0.26,
)
def test_transst(case):
    adata = make_tissue(case["target"])
    source = None if case["source"] is None else make_tissue(case["source"])
    given = {"n_domains": 2, "n_factors": 2, "n_init": 1, "n_folds": 2, **case["options"]}
    if source is not None:
        given = {"source_labels": "label", **given}
    watched = (adata,) if source is None else (adata, source)
    kept = state(adata.X), state(adata.obs[["label", "sample"]])
    before = None if source is None else state(source)
    result = call(tst.tl.transst, adata, source, watched=watched, **given)
    found = adata if result is None else result
    require((result is not None) == bool(given.get("copy")), "copy")
    require((state(adata.X), state(adata.obs[["label", "sample"]])) == kept, "the input was changed")
    require(source is None or state(source) == before, "the source was changed")
    lost = check_domains(found, given.get("key_added", "transst"), adata.n_obs)
    X = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    require(not lost[np.asarray(X.sum(axis=1)).ravel() > 0].any(), "a spot with counts has no scores")


MARKERS = {
    "key": ["label", "sample"],
    "method": ["wilcoxon", "t", "contrast"],
    "reference": ["rest", "pairwise", "cortex"],
    "normalization": ["log", "linear", "none"],
    "allow_imputed": [True],
}
BAD_MARKERS = {
    "key": ["nowhere", None, 3],
    "method": WORDS,
    "reference": ["nobody", None, 3],
    "normalization": WORDS,
    **BAD_LAYERS,
}


@fuzz(
    "tl.rank_domain_genes",
    st.fixed_dictionaries({"tissue": tissues(), "options": options(MARKERS, BAD_MARKERS)}),
    few=60,
    share=0.12,
)
def test_rank_domain_genes(case):
    adata = make_tissue(case["tissue"])
    rng = np.random.default_rng(case["tissue"]["seed"])
    adata = adata.copy() if adata.is_view else adata
    adata.obsm["X_label"] = rng.normal(size=(adata.n_obs, 2))
    given = {"key": "label", **case["options"]}
    X = state(adata.X)
    table = call(tst.tl.rank_domain_genes, adata, watched=(adata,), **given)
    require(state(adata.X) == X, "the expression was changed")
    numbers = table.drop(columns=["domain", "gene", "reference"], errors="ignore")
    numbers = numbers.drop(columns="log_fold_change") if (adata.X.min() < 0) else numbers
    require(np.isfinite(numbers.to_numpy(dtype=float)).all(), f"not finite: {numbers.isna().sum().to_dict()}")
    for column in ("p_value", "p_adjusted", "fraction_in", "fraction_out"):
        require(table[column].between(0, 1).all(), column)
    require((table["p_adjusted"] >= table["p_value"] * (1 - 1e-12)).all(), "adjusted below the plain p-value")
    require(len(table) % adata.n_vars == 0 and len(table), "rows")


SPLIT = {"fraction": [0.5, 0.1, 0.99], "key_added": ["counts", "ß"], "copy": [True], **SEEDS, **LAYERS}
BAD_SPLIT = {
    "fraction": [0, 1, -0.5, np.nan, "half", None],
    "key_added": ["", "a/b", None, 3],
    **BAD_SEEDS,
    **BAD_LAYERS,
}


@fuzz(
    "tl.split_counts",
    st.fixed_dictionaries({"tissue": tissues(), "options": options(SPLIT, BAD_SPLIT)}),
    few=60,
    share=0.1,
)
def test_split_counts(case):
    adata = make_tissue(case["tissue"])
    X, obs = state(adata.X), state(adata.obs)
    result = call(tst.tl.split_counts, adata, watched=(adata,), **case["options"])
    found = adata if result is None else result
    require((state(adata.X), state(adata.obs)) == (X, obs), "the input was changed")
    key = case["options"].get("key_added", "counts")
    parts = [found.layers[f"{key}_{part}"] for part in ("train", "test")]
    wanted = np.dtype(np.float32 if found.X.dtype == np.float16 else found.X.dtype).newbyteorder("=")
    require(all(part.dtype == wanted for part in parts), f"{[part.dtype for part in parts]} of {wanted}")
    whole = [part.toarray() if sp.issparse(part) else np.asarray(part) for part in [found.X, *parts]]
    whole = [one.astype(float) for one in whole]
    require(all((one >= 0).all() and (one == np.round(one)).all() for one in whole[1:]), "no counts")
    require((whole[1] + whole[2] == whole[0]).all(), "the parts do not add up")


BIN = {"bin_size": [1.0, 2, 0.7, np.float32(1.5)], "sample_key": ["sample"], "min_cells": [1, 2], **LAYERS}
BAD_BIN = {
    "bin_size": [0, -1.0, np.nan, np.inf, "a", None, 1e-300, 1e300, 1e9, True],
    "sample_key": ["nowhere", 3],
    "min_cells": [0, 1000, 1.5, "a"],
    "spatial_key": ["nowhere", 3],
    **BAD_LAYERS,
}


@fuzz(
    "tl.bin_cells",
    st.fixed_dictionaries({"tissue": tissues(), "options": options(BIN, BAD_BIN)}),
    few=60,
    share=0.1,
)
def test_bin_cells(case):
    adata = make_tissue(case["tissue"])
    before = state(adata)
    given = {"bin_size": 2.0, **case["options"]}
    bins = call(tst.tl.bin_cells, adata, watched=(adata,), **given)
    require(state(adata) == before, "the input was changed")
    require(np.isfinite(bins.X.data).all() and np.isfinite(bins.obsm["spatial"]).all(), "not finite")
    require((bins.obs["n_cells"] >= given.get("min_cells", 1)).all(), "too few cells in a square")
    record = bins.uns["binning"]
    require(bins.obs["n_cells"].sum() + record["n_dropped"] == adata.n_obs, "cells are lost")
    if not record["n_dropped"]:
        X = adata.X.toarray() if sp.issparse(adata.X) else np.asarray(adata.X)
        require(np.allclose(bins.X.sum(), X.sum(dtype=float), rtol=1e-5), "counts are lost")
    require(bins.obs_names.is_unique, "names of the squares")


CHEAP = ["nearest", "knn", "kernel", "bilinear", "bicubic", "gp", "svd_gp", "kriging", "domain_means"]
IMPUTE = {
    "task": ["densify", "fill"],
    "method": CHEAP,
    "candidates": [["nearest", "kernel"], ["bilinear", "gp"]],
    "genes": [["g0"], ["g1", "g0"]],
    "normalization": ["log", "none"],
    "sample_key": ["sample"],
    "n_domains": [2, 3],
    **SEEDS,
    **LAYERS,
}
BAD_IMPUTE = {
    "task": WORDS,
    "method": WORDS,
    "candidates": [[], ["magic"], "nearest", 3],
    "genes": [[], ["nobody"], "g0", 3, ["g0", "g0"]],
    "normalization": WORDS,
    "spatial_key": ["nowhere", 3],
    "sample_key": ["nowhere", 3],
    "n_domains": [0, 1.5, 1000, "a"],
    "preset": WORDS,
    "channels": WORDS,
    "fine_tune": [-1, 1.5],
    **BAD_SEEDS,
    **BAD_LAYERS,
}


def check_imputed(found, values, n_genes_asked):
    layer = found.layers["imputed"]
    layer = layer.toarray() if sp.issparse(layer) else layer
    sd = found.layers["imputed_sd"]
    sd = sd.toarray() if sp.issparse(sd) else sd
    asked = np.isfinite(layer).all(axis=0)
    require(asked.sum() >= n_genes_asked, "imputed values are missing or infinite")
    require((sd[:, asked][np.isfinite(sd[:, asked])] >= 0).all(), "negative standard deviation")
    require(not np.isinf(sd).any(), "infinite standard deviation")
    require(
        (sd[found.obs["measured"].to_numpy(dtype=bool)][:, asked] == 0).all(), "measured spots have an error"
    )


def impute(case, **more):
    adata = make_tissue(case["tissue"])
    rng = np.random.default_rng(case["tissue"]["seed"])
    # A method that takes the options, where none is among them.
    method = {"candidates": "auto", "n_domains": "domain_means"}
    usual = next((method[name] for name in method if name in case["options"]), "kernel")
    given = {"method": usual, **case["options"], **more}
    if given.get("task") == "fill" and not adata.is_view:
        adata.obs["in_tissue"] = 1
        if sp.issparse(adata.X):
            adata.X = adata.X.toarray()
        if adata.X is not None and adata.X.dtype.kind in "fiub":
            adata.X[rng.integers(adata.n_obs, size=2)] = 0
    before = state(adata)
    result = call(tst.tl.impute, adata, watched=(adata,), **given)
    if given.get("task") != "fill":
        require(state(adata) == before, "the input was changed")
    check_imputed(adata if result is None else result, adata, len(given.get("genes") or adata.var_names))


@fuzz(
    "tl.impute",
    st.fixed_dictionaries({"tissue": tissues(), "options": options(IMPUTE, BAD_IMPUTE)}),
    few=40,
    share=0.12,
)
def test_impute(case):
    impute(case)


if has_torch():
    from quick import TRAINING

    from transst_py.imputation import training

    S2S = {
        "task": ["densify", "fill"],
        "channels": ["auto", "genes", "factors"],
        "sample_key": ["sample"],
        **SEEDS,
    }
    BAD_S2S = {"preset": WORDS, "channels": WORDS, "fine_tune": [-1, 1.5], "checkpoint": [3], "device": WORDS}

    @fuzz(
        "tl.impute (s2s)",
        st.fixed_dictionaries(
            {"tissue": tissues(min_spots=24, max_spots=49), "options": options(S2S, BAD_S2S)},
        ),
        few=3,
        share=0.004,
    )
    def test_impute_s2s(case):
        lite = training.TRAINING_PRESETS["lite"]
        training.TRAINING_PRESETS["lite"] = TRAINING
        try:
            impute(case, method="s2s")
        finally:
            training.TRAINING_PRESETS["lite"] = lite


EVALUATE = {
    "methods": [["nearest"], ["knn", "kernel"], ["bilinear"], ["gp"], ["domain_means"]],
    "stride": [2, 3],
    "phases": ["all", [(0, 0)], ()],
    "fractions": [(0.3,), [0.1, 0.5]],
    "hole_fractions": [(0.2,)],
    "hole_radius": [1.0, 2.0],
    "genes": [["g0"]],
    "normalization": ["log", "none"],
    "sample_key": ["sample"],
    **SEEDS,
}
BAD_EVALUATE = {
    "methods": [[], ["magic"], "nearest", None, 3],
    "stride": [1, 0, 1.5, 1000, "a"],
    "phases": ["some", [(5, 5)], [(0.5, 0)], [3], 3],
    "fractions": [(0.0,), (1.0,), (-1,), ("a",), 0.5, (np.nan,)],
    "hole_fractions": [(0.0,), (2.0,), 0.5],
    "hole_radius": [0, -1, np.nan, "a", None],
    "genes": [[], ["nobody"], "g0", 3],
    "options": [{"nobody": {}}, {"domain_means": {"x": 1}}, 3, {"domain_means": 3}],
    "spatial_key": ["nowhere", 3],
    **BAD_SEEDS,
    **BAD_LAYERS,
}


@fuzz(
    "tl.evaluate_imputation",
    st.fixed_dictionaries({"tissue": tissues(), "options": options(EVALUATE, BAD_EVALUATE)}),
    few=25,
    share=0.05,
)
def test_evaluate_imputation(case):
    adata = make_tissue(case["tissue"])
    before = state(adata)
    given = {"methods": ["nearest"], "phases": [(0, 0)], **case["options"]}
    table = call(tst.tl.evaluate_imputation, adata, watched=(adata,), **given)
    require(state(adata) == before, "the input was changed")
    require(len(table) > 0, "no row")
    require(np.isfinite(table[["n", "rmse", "mae", "seconds"]].to_numpy(dtype=float)).all(), "not finite")
    require((table["rmse"] >= table["mae"] - 1e-6).all(), "errors")


@cache
def fitted() -> AnnData:
    """A tissue with two fits, with a source and without."""
    target, source = tst.datasets.simulated_tissue(
        n_rows=8, n_cols=8, n_genes=20, n_domains=3, random_state=3
    )
    quick = {"n_domains": 3, "n_factors": 2, "n_init": 1}
    tst.tl.transst(target, {"a": source}, source_labels="label", **quick)
    tst.tl.transst(target, key_added="alone", **quick)
    return target


@fuzz(
    "tl.transfer_report",
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["transst", "transst", "transst", "alone", "nowhere", "", None, 3]),
            "change": st.sampled_from(
                [
                    "none",
                    "half",
                    "one spot",
                    "renamed",
                    "no column",
                    "text column",
                    "no record",
                    "view",
                    "genes",
                ]
            ),
        }
    ),
    few=40,
    share=0.05,
)
def test_transfer_report(case):
    adata, change = fitted().copy(), case["change"]
    if change in ("half", "one spot"):
        adata = adata[: adata.n_obs // 2 if change == "half" else 1].copy()
    elif change == "view":
        adata = adata[::2]
    elif change == "genes":
        adata = adata[:, :3].copy()
    elif change == "renamed":
        adata.obs["transst"] = adata.obs["transst"].cat.rename_categories(lambda name: f"domain {name}")
    elif change == "no column":
        del adata.obs["transst"]
    elif change == "text column":
        adata.obs["transst"] = adata.obs["transst"].astype(str).astype(object)
    elif change == "no record":
        adata.uns["transst"] = {"something": "else"}
    before = state(adata)
    report = call(tst.tl.transfer_report, adata, key=case["key"], watched=(adata,))
    require(state(adata) == before, "the input was changed")
    require(len(report.words) > 0 and all(isinstance(word, str) for word in report.words), "words")
    require(report.sources["relevance"].notna().all(), "relevance")
    require(isinstance(report.domains, pd.DataFrame), "domains")


def test_an_invalid_result_is_noticed():
    """The checks of this folder can fail."""
    target = fitted().copy()
    target.obsm["transst_prob"] = target.obsm["transst_prob"] / 2
    for attempt in (
        lambda: check_domains(target, "transst", target.n_obs),
        lambda: call(lambda: np.linalg.cholesky(-np.eye(2))),
        lambda: call(lambda: [][1]),
        lambda: call(change_and_fail, target, watched=(target,)),
    ):
        try:
            attempt()
        except Refused as refused:
            raise AssertionError("taken for a documented refusal") from refused
        except AssertionError:
            continue
        raise AssertionError("not noticed")


def change_and_fail(adata):
    adata.obs["new"] = 1
    raise ValueError("`adata` is bad")
