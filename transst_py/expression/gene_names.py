"""Which genes of a source are those of the target, where the two name them differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from transst_py._core.validation import list_some
from transst_py._core.warn import warn

__all__ = ["names_of_target"]

# Columns of `var` that may hold another name of every gene.
OTHER_NAMES = (
    "gene_ids",
    "gene_id",
    "ensembl",
    "ensembl_id",
    "feature_id",
    "gene_symbol",
    "gene_symbols",
    "symbol",
    "gene_name",
    "gene_names",
    "feature_name",
)
_VERSION = r"^(ENS[A-Z]*G\d+)\.\d+$"
# From this share of the genes that either could share on, nothing is said.
ENOUGH = 0.5


@dataclass(frozen=True)
class _Match:
    """Names of the target for genes of the source (NaN: none), and by which columns they were found."""

    names: pd.Series
    of_target: str
    of_source: str

    @property
    def size(self) -> int:
        return int(self.names.notna().sum())

    @property
    def by_name(self) -> bool:
        return self.of_target == self.of_source == "var_names"


def names_of_target(target: AnnData, source: AnnData, name: str) -> pd.Index:
    """Return the source's genes in the names that the target has for them.

    Genes are the same if their names are, apart from the version of an Ensembl identifier; where few are, if
    the names in another column of `var` are (`OTHER_NAMES`). Letter case is ignored for single genes, where
    most names agree as they are; where they do not, the two may be of different species, so it is only said.

    Parameters
    ----------
    target, source
        With unique names of genes.
    name
        Name of the source for messages.

    Returns
    -------
    (p_source,) unique names; those of genes that the target lacks are the source's own.

    Warns
    -----
    UserWarning
        Genes were matched otherwise than by their exact names, or much fewer are shared than could be.
    """
    ours, theirs = target.var_names, source.var_names
    exact = theirs.isin(ours)
    possible = min(len(ours), len(theirs))
    # Other columns are looked at only where they could match more than twice as many genes.
    best = max(_matches(target, source), key=lambda m: m.size) if possible > 2 * exact.sum() else None
    if best is not None and best.size > 2 * exact.sum() and not best.by_name:
        names = best.names
        warn(
            f"source {name!r}: the names of only {exact.sum()} genes are the target's; {best.size} genes are "
            f"matched by its {best.of_source} and the target's {best.of_target}"
        )
    else:
        names = _join_spellings(pd.Series(np.where(exact, theirs, None), dtype=object), ours, theirs, name)
    shared = int(names.notna().sum())
    if 0 < shared < ENOUGH * possible:
        others = theirs[names.isna().to_numpy()]
        warn(
            f"source {name!r}: only {shared} of its {len(theirs)} genes are among the {len(ours)} of the "
            f"target (not, for instance, {list_some(others[:3])}); are they named in the same way?"
        )
    return _unique(names, ours, theirs)


def _namings(adata: AnnData) -> dict[str, pd.Series]:
    """Every way in which the genes are named, without versions, by where it is found."""
    found = {"var_names": pd.Series(adata.var_names.astype(str))}
    for column in OTHER_NAMES:
        if column in adata.var:
            found[f"var[{column!r}]"] = adata.var[column].astype(str).reset_index(drop=True)
    return {where: names.str.replace(_VERSION, r"\1", regex=True) for where, names in found.items()}


def _matches(target: AnnData, source: AnnData) -> list[_Match]:
    ours, theirs = _namings(target), _namings(source)
    return [_Match(_looked_up(theirs[s], ours[t], target.var_names), t, s) for t in ours for s in theirs]


def _looked_up(theirs: pd.Series, ours: pd.Series, names: pd.Index) -> pd.Series:
    """For each gene of the source the name of the target's gene with the same key; keys occur once."""
    table = pd.Series(names.to_numpy(dtype=object), index=ours)[~ours.duplicated(keep=False).to_numpy()]
    return theirs.mask(theirs.duplicated(keep=False)).map(table)


def _join_spellings(names: pd.Series, ours: pd.Index, theirs: pd.Index, name: str) -> pd.Series:
    """Match what differs in the version of the identifier, or in letter case where most names agree."""
    joined = names.copy()
    for kind, what in {"version": "the version of the identifier", "case": "letter case"}.items():
        rest, left = theirs[joined.isna().to_numpy()], ours[~ours.isin(joined)]
        found = _looked_up(_key(rest, kind), _key(left, kind), left)
        n_found = int(found.notna().sum())
        if n_found == 0:
            continue
        example = int(np.flatnonzero(found.notna())[0])
        alike = f"such as {str(rest[example])!r} and {str(found.iloc[example])!r}"
        if kind == "case" and n_found > names.notna().sum():
            done = (
                "are not matched, since this may mean another species; if it does not, rename them: "
                "source.var_names = source.var_names.str.upper(), and the target's alike"
            )
        else:
            done = "are taken for the same"
            joined[joined.isna()] = found.to_numpy()
        warn(f"source {name!r}: {n_found} genes differ from the target's in {what} only ({alike}) and {done}")
    return joined


def _key(genes: pd.Index, kind: str) -> pd.Series:
    names = pd.Series(genes.astype(str))
    return names.str.replace(_VERSION, r"\1", regex=True) if kind == "version" else names.str.upper()


def _unique(names: pd.Series, ours: pd.Index, theirs: pd.Index) -> pd.Index:
    """Names of all genes; what the target has under another name must not be taken for one of its genes."""
    own = pd.Series(theirs.astype(str).to_numpy(dtype=object))
    taken = names.isna() & own.isin(ours)
    return pd.Index(names.fillna(own.where(~taken, own + " (of the source)")).to_numpy(dtype=object))
