"""Input that is probably not what the user meant is said."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py.expression.chunks import open_rows
from transst_py.expression.values import check_normalized
from transst_py.tl._doubts import (
    warn_of_equal_totals,
    warn_of_own_spots,
    warn_of_unmeasured_genes,
    warn_outside_tissue,
)


@pytest.mark.parametrize(
    "values", [["0", "1", "1"], ["False", "True", "True"], [0.0, 1.0, 1.0], [False, True, True]]
)
@pytest.mark.parametrize("categorical", [False, True])
def test_spots_outside_the_tissue_are_said_whatever_the_type(values, categorical):
    column = pd.Categorical(values) if categorical else values
    adata = ad.AnnData(np.ones((3, 2), dtype=np.float32), obs={"in_tissue": column})
    with pytest.warns(UserWarning, match="1 of 3 spots lie outside the tissue"):
        warn_outside_tissue(adata)


def test_spots_of_which_it_is_not_known_are_said():
    adata = ad.AnnData(np.ones((3, 2), dtype=np.float32), obs={"in_tissue": [1.0, np.nan, 1.0]})
    with pytest.warns(UserWarning, match=r"of 1 of 3 spots is neither yes nor no \('nan'\)"):
        warn_outside_tissue(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_outside_tissue(adata[[0, 2]].copy())


def test_the_target_as_its_own_source_is_said(tissue):
    target, source = tissue
    for own in (target, target[:10, ::-1].copy()):
        with pytest.warns(UserWarning, match="source 'own' has spots of the target itself"):
            warn_of_own_spots(target, {"own": own})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert target.obs_names.isin(source.obs_names).any()  # names alone are no evidence
        warn_of_own_spots(target, {"other": source})


def test_counts_that_were_normalised_and_rounded_are_said():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(2, 30, size=(50, 200)))
    scaled = np.round(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    with pytest.warns(UserWarning, match="add up to about 10000: they seem to be normalised and rounded"):
        warn_of_equal_totals(sp.csr_matrix(scaled))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_equal_totals(sp.csr_matrix(counts.astype(float) * rng.uniform(0.5, 1.5, (50, 1))))


def test_counts_where_normalised_expression_is_expected_are_said(tissue):
    target, _ = tissue
    counts = target.copy()
    counts.X = counts.X * 40
    with pytest.warns(
        UserWarning, match="holds whole numbers up to .* where normalised expression is expected"
    ):
        tst.tl.transst(counts, n_domains=3, n_factors=4, n_init=2, normalization="none")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_normalized(np.log1p(np.arange(100.0)))


def merged(one, other, **columns):
    """Two samples of the spots, the genes that one lacks as zeros: what `concat(join="outer")` makes."""
    parts = {"one": one, "other": other}
    both = ad.concat(parts, join="outer", fill_value=0, label="slice", index_unique="-")
    both.X = sp.csr_matrix(both.X)
    return both


UNMEASURED = (
    r"`sample_key`: some genes seem not to have been measured in every sample, and count as zeros there: "
    r"sample 'one' lacks 20 of 1\d\d genes that are common in the others \('gene101', .*\), "
    r"sample 'other' lacks 10 of 1\d\d \('gene1', .*\)\. .*keep the genes that all samples measured"
)


@pytest.mark.parametrize("kind", ["sparse", "dense", "log", "dask"])
def test_genes_that_a_sample_did_not_measure_are_said(tissue, kind):
    target, _ = tissue
    both = merged(target[:, :100], target[:, 10:])
    X = both.X.toarray() if kind == "dense" else np.log1p(both.X) if kind == "log" else both.X
    if kind == "dask":
        da = pytest.importorskip("dask.array", reason="dask is not installed")
        X = open_rows(da.from_array(both.X, chunks=(90, -1), asarray=False), "adata")
    with pytest.warns(UserWarning, match=UNMEASURED):
        warn_of_unmeasured_genes(X, both.var_names, both, "slice", "adata")
    if kind == "dask":
        X.survey()
        assert X.store.reads == 1  # the pass that is needed anyhow
        np.testing.assert_array_equal(X.survey().detected, (both.X.toarray() > 0).sum(axis=0))


def test_genes_that_are_rare_or_absent_in_few_spots_are_not_taken_for_unmeasured(tissue):
    target, _ = tissue
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = merged(target, target)
        warn_of_unmeasured_genes(both.X, both.var_names, both, "slice", "adata")
        warn_of_unmeasured_genes(both.X, both.var_names, both, None, "adata")
        warn_of_unmeasured_genes(both.X, both.var_names, both, "nope", "adata")
        # one gene of a hundred, as the sexes differ by
        one = merged(target, target[:, 1:])
        warn_of_unmeasured_genes(one.X, one.var_names, one, "slice", "adata")
        # 1 of 100 spots has the gene; and samples of 5 spots
        rare = ad.AnnData(rng.poisson(0.01, size=(400, 120)).astype(float), var=target.var)
        small = target[:5].copy()
        for parts in ((target, rare), (target[:, :100], small[:, 10:])):
            few = merged(*parts)[:405]
            warn_of_unmeasured_genes(few.X, few.var_names, few, "slice", "adata")


def test_a_fit_of_samples_with_other_genes_says_so(tissue):
    target, source = tissue
    both = merged(target[:, :100], target[:, 10:])
    both.obsm["spatial"] = np.vstack([target.obsm["spatial"]] * 2)
    options = {"n_domains": 3, "n_factors": 4, "n_init": 2, "sample_key": "slice", "n_folds": 2}
    with pytest.warns(UserWarning, match="sample 'one' lacks 20"):
        tst.tl.transst(both, **options)
    assert "'other' lacks 10 of" in " ".join(both.uns["transst"]["warnings"])
    # genes that no source has are not in the model; a source's samples are looked at alike
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tst.tl.transst(both, source[:, 10:100], source_labels="label", **options)
    sources = merged(source[:, :100], source[:, 10:])
    sources.obs["slice"] = sources.obs["slice"].astype(str)
    with pytest.warns(UserWarning, match="in every sample of source 'source', and count"):
        tst.tl.transst(both[both.obs["slice"] == "one"].copy(), sources, source_labels="label", **options)
