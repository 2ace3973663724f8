"""Input that is probably not what the user meant is said."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py.expression.values import check_normalized
from transst_py.tl._doubts import warn_of_equal_totals, warn_of_own_spots, warn_outside_tissue


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
