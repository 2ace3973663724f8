"""Images of the tissue, where scanpy and squidpy keep them."""

from __future__ import annotations

from copy import deepcopy

from anndata import AnnData

__all__ = ["with_images"]

SLOT = "spatial"


def with_images(new: AnnData, adata: AnnData) -> AnnData:
    """Copy the images to what was made of `adata` and has coordinates in the same units; return it."""
    if SLOT in adata.uns:
        new.uns[SLOT] = deepcopy(adata.uns[SLOT])
    return new
