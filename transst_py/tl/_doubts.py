"""Input that is probably not what the user meant: said before the fit, which goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.typing import Matrix
from transst_py._core.validation import list_some
from transst_py._core.warn import warn
from transst_py.expression.chunks import is_stored
from transst_py.expression.genes import n_detected_by
from transst_py.expression.normalize import row_totals
from transst_py.expression.values import as_float_matrix

__all__ = ["warn_of_equal_totals", "warn_of_own_spots", "warn_of_unmeasured_genes", "warn_outside_tissue"]

# What obs["in_tissue"] says of a spot, in small letters.
INSIDE = {"1", "1.0", "true", "yes", "t", "y"}
OUTSIDE = {"0", "0.0", "false", "no", "f", "n"}
# Rows of a source that are compared with spots of the same name.
OWN_SPOTS = 100
# A gene is common in the other samples if that many of their spots have it, and at their rate as many of this
# sample's would.
MIN_EXPECTED = 10
# If no spot of the sample has this share of these genes, it did not measure them. Between the tumours of six
# patients (HER2), whose genes were all measured, the share is 0.014 at most.
MIN_UNMEASURED = 0.05
# Samples that a message names.
MAX_NAMED = 3


def warn_outside_tissue(adata: AnnData) -> None:
    if "in_tissue" not in adata.obs:
        return
    values = adata.obs["in_tissue"].astype(object)
    texts = values.astype(str).str.strip().str.lower()
    outside, unclear = texts.isin(OUTSIDE), ~texts.isin(OUTSIDE | INSIDE)
    if outside.any():
        warn(
            f"{outside.sum()} of {adata.n_obs} spots lie outside the tissue (obs['in_tissue']) and will "
            "form domains of their own; remove them first"
        )
    if unclear.any():
        warn(
            f"obs['in_tissue'] of {unclear.sum()} of {adata.n_obs} spots is neither yes nor no "
            f"({list_some(values[unclear].unique())}); if these lie outside the tissue, remove them"
        )


def warn_of_own_spots(adata: AnnData, sources: dict[str, AnnData]) -> None:
    """Warn of sources with rows that are spots of the target: these are predicted too well."""
    for name, source in sources.items():
        twice = adata.obs_names.intersection(source.obs_names)[:OWN_SPOTS]
        n_own = source.n_obs if source is adata else _n_equal(adata, source, twice)
        if n_own:
            warn(
                f"source {name!r} has spots of the target itself (same name, same counts); the relevance of "
                "such a source, and the trust in its labels, are too good"
            )


def _n_equal(adata: AnnData, source: AnnData, names: pd.Index) -> int:
    """How many rows of these names have the same, not empty, expression in both; 0 if it is not in memory."""
    shared = adata.var_names.intersection(source.var_names)
    if names.empty or shared.empty:
        return 0
    rows = []
    for one in (adata, source):
        if one.isbacked or one.X is None or is_stored(one.X) or one.X.dtype.kind not in "fiub":
            return 0
        if not (one.obs_names.is_unique and one.var_names.is_unique):
            return 0
        found = as_float_matrix(one.X[one.obs_names.get_indexer(names)])
        found = found.toarray() if sp.issparse(found) else found
        rows.append(found[:, one.var_names.get_indexer(shared)])
    return int(((rows[0] == rows[1]).all(axis=1) & (rows[0] > 0).any(axis=1)).sum())


def warn_of_equal_totals(counts: Any) -> None:
    totals = row_totals(counts)
    totals = totals[totals > 0]
    mean = totals.mean()
    if len(totals) >= 20 and mean >= 1000 and totals.std() < 0.02 * mean:
        warn(
            f"the counts of all spots add up to about {mean:.0f}: they seem to be normalised and "
            "rounded; pass raw counts"
        )


def warn_of_unmeasured_genes(
    X: Matrix, genes: pd.Index, adata: AnnData, sample_key: str | None, what: str
) -> None:
    """Warn of genes that are zero in a whole sample, as where samples with other genes were put together.

    Parameters
    ----------
    X, genes
        Expression (n, p) before any scaling of the genes, and their names.
    adata, sample_key
        Where the samples of its rows are, if there are several.
    what
        Name of the data.
    """
    if sample_key is None or sample_key not in adata.obs:
        return
    samples = adata.obs[sample_key].astype("category").cat.remove_unused_categories()
    names, codes = samples.cat.categories, samples.cat.codes.to_numpy()
    if len(names) < 2 or (codes < 0).any():
        return
    detected, n_spots = n_detected_by(X, codes), np.bincount(codes)
    found: list[str] = []
    for i, name in enumerate(names):
        lost, common = _unmeasured(detected, n_spots, i)
        if lost.any() and lost.sum() >= MIN_UNMEASURED * common.sum():
            genes_there = "" if found else "genes that are common in the others "
            found.append(
                f"sample {str(name)!r} lacks {lost.sum()} of {common.sum()} {genes_there}"
                f"({list_some(genes[lost])})"
            )
    if not found:
        return
    others = f", and {len(found) - MAX_NAMED} other samples" if len(found) > MAX_NAMED else ""
    where = "" if what == "adata" else f" of {what}"
    warn(
        f"`sample_key`: some genes seem not to have been measured in every sample{where}, and count as zeros "
        f"there: {', '.join(found[:MAX_NAMED])}{others}. Domains tend to be samples then; keep the genes "
        "that all samples measured"
    )


def _unmeasured(detected: np.ndarray, n_spots: np.ndarray, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Genes that a sample lacks, of those common in the others, and these.

    Common are genes that enough spots of the sample would have at the rate of the others; if its spots have
    fewer genes at all, that rate is lower.
    """
    others = np.arange(len(n_spots)) != sample
    seen = detected[others].sum(axis=0)
    share = seen / n_spots[others].sum()
    depth = detected[sample].sum() / n_spots[sample] / max(share.sum(), np.finfo(float).tiny)
    common = (seen >= MIN_EXPECTED) & (n_spots[sample] * share * min(depth, 1.0) >= MIN_EXPECTED)
    return common & (detected[sample] == 0), common
