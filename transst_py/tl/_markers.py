"""Marker genes of the domains of an AnnData."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats

from transst_py._validation import check_choice, check_matrix, check_obs_column
from transst_py.markers import detection_fractions, log_fold_changes, rank_sum_test
from transst_py.normalize import NORMALIZATIONS, log_expression

__all__ = ["rank_domain_genes"]

METHODS = ("wilcoxon",)


def rank_domain_genes(
    adata: AnnData,
    *,
    key: str = "transst",
    layer: str | None = None,
    method: str = "wilcoxon",
    normalization: str = "log",
) -> pd.DataFrame:
    """Test every gene in every domain against all other spots.

    Two-sided Wilcoxon rank-sum test with tie and continuity correction (see
    `transst_py.markers.rank_sum_test`), Benjamini-Hochberg adjusted over the genes of a domain. Spots
    without a domain are left out.

    .. warning::
       Domains found on the same expression were chosen to differ, so the p-values come out too small
       ("double dipping"), and neighbouring spots are no independent repeats. Rank genes by them; do not
       report them as error rates.

    Parameters
    ----------
    adata
        Spots x genes.
    key
        Column of `adata.obs` with the domains.
    layer
        Layer to test; None is `adata.X`.
    method
        "wilcoxon".
    normalization
        "log": the values are counts; every spot is scaled to the median total of the tested spots, then
        log(1 + x) is taken. "none": the values are tested as they are, and taken to be on the
        log(1 + x) scale for the fold changes.

    Returns
    -------
    DataFrame, one row per domain and gene, domains in the order of their categories and genes by
    descending score:

    `domain`, `gene`
        Names; `domain` is categorical.
    `score`
        Signed z of the test, positive where the domain is higher.
    `log_fold_change`
        log2((a + 1/n) / (b + 1/n)) with a, b the mean normalised expression inside and outside and n the
        number of spots; NaN for genes with negative values.
    `p_value`, `p_adjusted`
        1 for genes without variation.
    `fraction_in`, `fraction_out`
        Share of spots with a positive value.

    The same table is written to `adata.uns[key + "_markers"]`.

    Raises
    ------
    KeyError
        There is no such column or layer.
    ValueError
        Unknown `method` or `normalization`, fewer than two domains, missing values, or negative values
        where counts are expected.

    Warns
    -----
    UserWarning
        The values look normalised already where counts are expected.
    """
    check_choice("method", method, METHODS)
    check_choice("normalization", normalization, NORMALIZATIONS)
    domains = _domain_factor(adata, key)
    X = check_matrix(adata, layer)
    tested = domains.notna().to_numpy()
    # Sparse before normalising: the two ways of scaling round differently, which can break ties.
    X = log_expression(sp.csr_matrix(X[tested]), normalization)
    codes = domains.cat.codes.to_numpy()[tested]
    table = _marker_table(sp.csc_matrix(X), codes, domains.cat.categories, adata.var_names)
    adata.uns[f"{key}_markers"] = table.copy()
    return table


def _domain_factor(adata: AnnData, key: str) -> pd.Series:
    """Return the domains as a categorical of text with only the categories that occur, at least two."""
    column = check_obs_column(adata, key, argument="key").astype("category").cat.remove_unused_categories()
    if column.cat.categories.size < 2:
        raise ValueError(
            f"`key`: adata.obs[{key!r}] has {column.cat.categories.size} domain(s) "
            "(missing values not counted); a domain's genes are found against another domain"
        )
    return column.cat.rename_categories(str)


def _marker_table(X: sp.csc_matrix, codes: np.ndarray, names: pd.Index, genes: pd.Index) -> pd.DataFrame:
    """Compute all statistics and lay them out by domain and descending score."""
    scores, p_values = rank_sum_test(X, codes, len(names))
    inside, outside = detection_fractions(X, codes, len(names))
    statistics = {
        "score": scores,
        "log_fold_change": log_fold_changes(X, codes, len(names)),
        "p_value": p_values,
        "p_adjusted": stats.false_discovery_control(p_values, axis=1),
        "fraction_in": inside,
        "fraction_out": outside,
    }
    order = np.argsort(-scores, axis=1, kind="stable")
    table = pd.DataFrame(
        {
            "domain": pd.Categorical.from_codes(np.repeat(np.arange(len(names)), len(genes)), names),
            "gene": genes.to_numpy()[order].ravel(),
        }
    )
    for name, values in statistics.items():
        table[name] = np.take_along_axis(values, order, axis=1).ravel()
    return table
