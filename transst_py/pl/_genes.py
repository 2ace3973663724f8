"""Genes by the name or the symbol that the user knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from transst_py._core.validation import list_some

__all__ = ["find_genes", "shown_names"]


def shown_names(adata: AnnData, gene_symbols: str | None) -> np.ndarray:
    """Return what every gene is called in a picture, (n_vars,) str: its symbol, or its name where that lacks.

    Raises
    ------
    KeyError
        There is no such column.
    """
    names = np.asarray(adata.var_names, dtype=str)
    if gene_symbols is None:
        return names
    if gene_symbols not in adata.var:
        columns = list_some(list(adata.var.columns)) or "none"
        raise KeyError(f"`gene_symbols`: adata.var has no column {gene_symbols!r}; it has {columns}")
    symbols = adata.var[gene_symbols].astype(object)
    known = symbols.notna().to_numpy() & (symbols.astype(str) != "").to_numpy()
    return np.asarray(np.where(known, symbols.astype(str), names), dtype=str)


def find_genes(
    adata: AnnData, genes: Sequence[str], gene_symbols: str | None, *, argument: str = "genes"
) -> list[str]:
    """Return the names of genes that are given by name or by symbol.

    Raises
    ------
    KeyError
        There is no such gene, or no such column.
    ValueError
        Several genes have the symbol.
    """
    shown = shown_names(adata, gene_symbols)
    matches = {g: [g] if g in adata.var_names else list(adata.var_names[shown == g]) for g in genes}
    if unknown := [gene for gene, names in matches.items() if not names]:
        raise KeyError(f"`{argument}`: adata has no gene {list_some(unknown)}")
    for gene, names in matches.items():
        if len(names) > 1:
            raise ValueError(f"`{argument}`: {gene!r} is the symbol of {list_some(names)}; name one of them")
    return [str(matches[gene][0]) for gene in genes]
