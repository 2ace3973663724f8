"""Results in views of an AnnData."""

from __future__ import annotations

from anndata import AnnData

__all__ = ["own_data"]


def own_data(adata: AnnData) -> AnnData:
    """Make a view (`adata[rows]`) an object of its own, and return it.

    anndata does so itself as soon as a slot of a view is written to, with a warning for each; the user who
    asks for results in a view has nothing to be warned of.
    """
    if adata.is_view:
        adata.obs = adata.obs.copy()
    return adata
