"""Input that is probably not what the user meant: said before the fit, which goes on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.validation import list_some
from transst_py._core.warn import warn
from transst_py.expression.chunks import is_stored
from transst_py.expression.normalize import row_totals
from transst_py.expression.values import as_float_matrix

__all__ = ["warn_of_equal_totals", "warn_of_own_spots", "warn_outside_tissue"]

# What obs["in_tissue"] says of a spot, in small letters.
INSIDE = {"1", "1.0", "true", "yes", "t", "y"}
OUTSIDE = {"0", "0.0", "false", "no", "f", "n"}
# Rows of a source that are compared with spots of the same name.
OWN_SPOTS = 100


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
