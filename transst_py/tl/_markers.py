"""Marker genes of the domains of an AnnData, and the count split that keeps their p-values honest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats

from transst_py._core.typing import Matrix, SpatialDataLike
from transst_py._core.validation import check_choice, list_some
from transst_py._core.warn import warn
from transst_py.expression.chunks import RowChunks
from transst_py.expression.normalize import log_expression, log_normalize, typical_total
from transst_py.expression.values import check_survey
from transst_py.markers.splitting import thin_counts
from transst_py.markers.statistics import (
    Comparisons,
    contrast_test,
    detection_fractions,
    log_fold_changes,
    rank_sum_test,
    welch_test,
)
from transst_py.tl._gate import check_anndata, check_matrix, check_obs_column
from transst_py.tl._views import own_data

__all__ = ["rank_domain_genes", "split_counts"]

METHODS = ("wilcoxon", "t", "contrast")
NORMALIZATIONS = ("log", "linear", "none")
_SPLITS = "count_splits"
# Values of genes that are not in memory to be held at a time.
_BLOCK_VALUES = 1 << 25


def split_counts(
    adata: AnnData | SpatialDataLike,
    *,
    fraction: float = 0.5,
    layer: str | None = None,
    random_state: int = 0,
    key_added: str = "counts",
    copy: bool = False,
) -> AnnData | None:
    """Deal the counts to two independent layers: one to find domains on, one to test their genes on.

    Domains found and tested on the same counts give p-values that are far too small ("double dipping"): the
    domains were chosen to differ. Here every count goes to the first layer with probability `fraction`, else
    to the second (binomial thinning); parts of a Poisson count are independent. Then ::

        tst.tl.split_counts(adata)
        tst.tl.transst(adata, layer="counts_train", n_domains=7)
        tst.tl.rank_domain_genes(adata, layer="counts_test", method="t", normalization="linear")

    gives p-values that keep their level: without any domains in the tissue, 5 % of them are below 0.05,
    against 15 % to 30 % after fitting and testing on the same counts (`benchmarks/markers.py`). This holds
    for spots of unequal depth, too, thanks to the t-test on "linear" values; on log values, domains that
    merely differ in depth differ in their genes. What a split cannot mend: counts that vary more than
    Poisson counts between spots that are alike share this variation between the two layers, and
    neighbouring spots are no independent repeats. Domains from half of the counts are less sharp: for a
    map, use all counts.

    Parameters
    ----------
    adata
        Spots x genes. Of a SpatialData: its only table.
    fraction
        Share of the counts in the first layer.
    layer
        Layer with the raw counts; None is `adata.X`.
    random_state
        Seed; recorded.
    key_added
        Name of the layers, before "_train" and "_test".
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the copy, with

    - `layers[key_added + "_train"]`, `layers[key_added + "_test"]`: counts that add up to the original, of
      the same type of number; csr where the original is sparse
    - `uns["count_splits"][key_added]`: how they were made, which `rank_domain_genes` goes by

    Raises
    ------
    KeyError
        There is no such layer.
    ValueError
        The values are no whole numbers >= 0, `fraction` is not between 0 and 1, or layers of these names hold
        something else: domains found on the old "_train" would be tested on counts that they know.
    """
    adata = check_anndata(adata)
    check_matrix(adata, layer)
    counts = adata.X if layer is None else adata.layers[layer]
    parts = thin_counts(counts, fraction, random_state=random_state)
    record = {
        "train": f"{key_added}_train",
        "test": f"{key_added}_test",
        "fraction": float(fraction),
        "random_state": random_state,
    }
    for name, part in zip((record["train"], record["test"]), parts, strict=True):
        if name in adata.layers and _differ(adata.layers[name], part):
            raise ValueError(
                f"`key_added`: layer {name!r} exists and holds other values; "
                "choose another name, or delete it and find the domains anew"
            )
    result = adata.copy() if copy else own_data(adata)
    result.layers[record["train"]], result.layers[record["test"]] = parts
    result.uns[_SPLITS] = {**result.uns.get(_SPLITS, {}), key_added: record}
    return result if copy else None


def _differ(old: Any, new: Any) -> bool:
    difference = sp.csr_matrix(old).astype(np.float64) - sp.csr_matrix(new).astype(np.float64)
    return bool(difference.count_nonzero())


def rank_domain_genes(
    adata: AnnData | SpatialDataLike,
    *,
    key: str = "transst",
    layer: str | None = None,
    method: str = "wilcoxon",
    reference: str = "rest",
    normalization: str = "log",
    allow_imputed: bool = False,
) -> pd.DataFrame:
    """Test every gene in every domain against other domains.

    Two-sided tests, Benjamini-Hochberg adjusted over the genes of a comparison. Spots without a domain are
    left out.

    .. warning::
       Domains found on the same expression were chosen to differ, so the p-values come out too small
       ("double dipping"), and neighbouring spots are no independent repeats. Rank genes by them; do not
       report them as error rates. `split_counts` removes the first of these faults.

    Parameters
    ----------
    adata
        Spots x genes. Of a SpatialData: its only table. The expression may lie in a file or be a dask array:
        it is then read for some genes at a time, as many times as it takes to hold at most 270 MB of values.
    key
        Column of `adata.obs` with the domains.
    layer
        Layer to test; None is `adata.X`. Not one that `transst_py.tl.impute` has written.
    method
        "wilcoxon": rank-sum test with tie and continuity correction. "t": Welch's t-test. "contrast": the
        part of the difference that goes through the factors in `adata.obsm["X_" + key]`, on which the gene is
        regressed anew (the model's loadings are drawn to the source, and would let a gene be a marker on the
        word of the source); more powerful for noisy genes if the model holds, and of all three the most in
        need of a count split (else it warns). Formulas: `rank_sum_test`, `welch_test` and `contrast_test` in
        `transst_py.markers.statistics`.
    reference
        "rest": every domain against all other spots. "pairwise": against every other domain in turn. The
        name of a domain: every other domain against this one.
    normalization
        "log": the values are counts; every spot is scaled to the median total of the tested spots, then
        log(1 + x) is taken. "linear": the same without the logarithm, whose means do not depend on the depth
        of the spots; for `method="t"`. "none": the values are tested as they are, and taken to be on the
        log(1 + x) scale for the fold changes.
    allow_imputed
        Test imputed values nevertheless. They repeat the measured ones, as if these were more spots than
        there are, and the p-values come out far too small.

    Returns
    -------
    DataFrame, one row per domain and gene (and reference), domains in the order of their categories and genes
    by descending score:

    `domain`, `gene`
        Names; `domain` is categorical.
    `reference`
        The other domain, categorical; no such column if `reference` is "rest".
    `score`
        Signed z (or t) of the test, positive where the domain is higher.
    `log_fold_change`
        log2((a + 1/n) / (b + 1/n)) with a, b the mean normalised expression inside and outside and n the
        number of tested spots; NaN for genes with negative values.
    `p_value`, `p_adjusted`
        1 for genes without variation.
    `fraction_in`, `fraction_out`
        Share of spots with a positive value.

    The same table is written to `adata.uns[key + "_markers"]`, and to `adata.uns[key + "_markers_params"]`
    (also the table's `attrs`) the arguments and `independent_counts`: "yes" if the domains were found on the
    other half of a count split, "no" if `tl.transst` found them on any other counts, "unknown" if it was not
    `tl.transst` that found them; `fit`, the identity of the fit that found them.

    Raises
    ------
    KeyError
        There is no such column, layer or embedding.
    ValueError
        Unknown `method`, `reference` or `normalization`, an imputed layer without `allow_imputed`, fewer than
        two domains, too few spots for a contrast, missing values, or negative values where counts are
        expected.

    Warns
    -----
    UserWarning
        The values look normalised already where counts are expected; the counts were split, but the domains
        were not found on one half and tested on the other; a contrast on the counts that gave the domains;
        imputed values are tested.
    """
    adata = check_anndata(adata, in_memory=False)
    check_choice("method", method, METHODS)
    check_choice("normalization", normalization, NORMALIZATIONS)
    _check_not_imputed(adata, layer, allow_imputed)
    domains = _domain_factor(adata, key)
    names = domains.cat.categories
    comparisons = _comparisons(reference, names)
    X = check_matrix(adata, layer, stored=True)
    tested = np.flatnonzero(domains.notna())
    factors = _factors(adata, key, tested) if method == "contrast" else None
    independent = _independent_counts(adata, key, layer)
    if method == "contrast" and independent == "no":
        warn(
            "`method`: a contrast on the counts that the domains were found on gives p-values that are far "
            "too small: every gene left its noise in the factors. Rank by it only, or see tl.split_counts"
        )
    codes = domains.cat.codes.to_numpy()[tested].astype(np.int64)
    blocks = _stored_blocks if isinstance(X, RowChunks) else _all_genes
    parts = []
    for values in blocks(X, tested, normalization != "none"):
        scaled = _linear(values) if normalization == "linear" else values
        if factors is not None:
            tests = contrast_test(scaled, codes, comparisons, factors)
        else:
            tests = (rank_sum_test if method == "wilcoxon" else welch_test)(scaled, codes, comparisons)
        parts.append(_statistics(values, codes, comparisons, tests))
    statistics = {name: np.hstack([part[name] for part in parts]) for name in parts[0]}
    table = _marker_table(statistics, comparisons, names, adata.var_names)
    if reference == "rest":
        del table["reference"]
    record = {
        "key": key,
        "layer": "X" if layer is None else layer,
        "method": method,
        "reference": reference,
        "normalization": normalization,
        "independent_counts": independent,
    }
    fitted = adata.uns.get(key)
    if isinstance(fitted, Mapping) and "id" in fitted:
        record["fit"] = str(fitted["id"])
    table.attrs = record
    own_data(adata).uns[f"{key}_markers"] = table.copy()
    adata.uns[f"{key}_markers_params"] = dict(record)
    return table


def _check_not_imputed(adata: AnnData, layer: str | None, allowed: bool) -> None:
    """Refuse a layer of `transst_py.tl.impute`, or warn of it if that is what is wanted."""
    if layer is None or layer not in adata.uns.get("imputation", {}).get("layers", ()):
        return
    fault = (
        f"`layer`: {layer!r} holds imputed values, which repeat the measured ones, so the p-values are far "
        "too small"
    )
    if not allowed:
        raise ValueError(f"{fault}; test on the counts, or insist with `allow_imputed=True`")
    warn(f"{fault}; rank by them only")


def _all_genes(X: Matrix, tested: np.ndarray, counts: bool) -> Iterator[sp.csc_matrix]:
    """Yield the expression of the tested spots, on the scale that is tested."""
    # Sparse before normalising: the two ways of scaling round differently, which can break ties.
    kept = sp.csr_matrix(X if len(tested) == X.shape[0] else X[tested])
    yield sp.csc_matrix(log_expression(kept, "log" if counts else "none"))


def _stored_blocks(X: RowChunks, tested: np.ndarray, counts: bool) -> Iterator[sp.csc_matrix]:
    """Yield the same of one run of genes after the other, each in one pass over the rows."""
    survey = check_survey(X, counts=counts)
    totals = X.totals()[tested]
    X = X if len(tested) == X.shape[0] else X[tested]
    X = X.then(sp.csr_matrix)
    if counts:
        X = log_normalize(X, target_sum=typical_total(totals))
    start, stored = 0, np.concatenate([[0], np.cumsum(survey.detected)])
    while start < X.shape[1]:
        stop = int(np.searchsorted(stored, stored[start] + _BLOCK_VALUES, side="right")) - 1
        stop = min(max(stop, start + 1), X.shape[1])
        yield sp.csc_matrix(X[:, start:stop].to_memory())
        start = stop


def _linear(X: sp.csc_matrix) -> sp.csc_matrix:
    """Undo log(1 + x)."""
    return sp.csc_matrix((np.expm1(X.data), X.indices, X.indptr), shape=X.shape)


def _domain_factor(adata: AnnData, key: str) -> pd.Series:
    """Return the domains as a categorical of text with only the categories that occur, at least two."""
    column = check_obs_column(adata, key, argument="key").astype("category").cat.remove_unused_categories()
    if column.cat.categories.size < 2:
        raise ValueError(
            f"`key`: adata.obs[{key!r}] has {column.cat.categories.size} domain(s) "
            "(missing values not counted); a domain's genes are found against another domain"
        )
    return column.cat.rename_categories(str)


def _comparisons(reference: str, names: pd.Index) -> Comparisons:
    """Turn the argument `reference` into comparisons of domains, numbered as in `names`."""
    if reference == "rest":
        return Comparisons.with_rest(len(names))
    if reference == "pairwise":
        return Comparisons.of_pairs(len(names))
    if str(reference) not in names:
        raise ValueError(
            f"`reference`: no domain is named {reference!r}; "
            f"choose 'rest', 'pairwise' or one of {list_some(names)}"
        )
    return Comparisons.with_one(len(names), names.get_loc(str(reference)))


def _factors(adata: AnnData, key: str, tested: np.ndarray) -> np.ndarray:
    """Return the factor scores of the tested spots, float64 (n, q), n as large as a regression needs."""
    name = f"X_{key}"
    if name not in adata.obsm:
        raise KeyError(
            f"`method`: a contrast needs factor scores in adata.obsm[{name!r}]; it has "
            f"{list_some(list(adata.obsm)) or 'none'}. "
            f"Run tl.transst(key_added={key!r}), or use another method"
        )
    factors: np.ndarray = np.asarray(adata.obsm[name], dtype=np.float64)[tested]
    if len(factors) <= factors.shape[1] + 1:
        raise ValueError(
            f"`method`: {len(factors)} spots are too few for a contrast on {factors.shape[1]} factors; "
            "use another method"
        )
    return factors


def _independent_counts(adata: AnnData, key: str, layer: str | None) -> str:
    """Say whether the domains come from other counts than those to test: "yes", "no" or "unknown".

    Warns
    -----
    UserWarning
        A count split plays a part, but the two layers are not its two halves.
    """
    record = adata.uns.get(key)
    if not isinstance(record, Mapping) or "params" not in record:
        return "unknown"
    fitted = record["params"].get("layer")
    halves = [(split["train"], split["test"]) for split in adata.uns.get(_SPLITS, {}).values()]
    if any({fitted, layer} == set(pair) for pair in halves):
        return "yes"
    for train, test in halves:
        if {fitted, layer} & {train, test}:
            warn(
                f"`layer`: domains found on {fitted or 'X'!r} are tested on {layer or 'X'!r}, so the "
                f"p-values are too small; find them on {train!r} and test on {test!r}"
            )
    return "no"


def _statistics(
    X: sp.csc_matrix, codes: np.ndarray, comparisons: Comparisons, tests: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """All statistics of some genes, (C, genes) each."""
    scores, p_values = tests
    inside, outside = detection_fractions(X, codes, comparisons)
    return {
        "score": scores,
        "log_fold_change": log_fold_changes(X, codes, comparisons),
        "p_value": p_values,
        "fraction_in": inside,
        "fraction_out": outside,
    }


def _marker_table(
    statistics: dict[str, np.ndarray], comparisons: Comparisons, names: pd.Index, genes: pd.Index
) -> pd.DataFrame:
    """Lay all statistics out by comparison and descending score."""
    order = np.argsort(-statistics["score"], axis=1, kind="stable")
    against = comparisons.outside.argmax(axis=1)
    table = pd.DataFrame(
        {
            "domain": pd.Categorical.from_codes(np.repeat(comparisons.inside, len(genes)), names),
            "reference": pd.Categorical.from_codes(np.repeat(against, len(genes)), names),
            "gene": genes.to_numpy()[order].ravel(),
        }
    )
    for name, values in statistics.items():
        table[name] = np.take_along_axis(values, order, axis=1).ravel()
        if name == "p_value":
            adjusted = stats.false_discovery_control(values, axis=1)
            table["p_adjusted"] = np.take_along_axis(adjusted, order, axis=1).ravel()
    return table
