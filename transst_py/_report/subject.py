"""What a report is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from anndata import AnnData

from transst_py.pl._colors import domain_colors

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """The checked arguments of `transst_py.report`.

    Attributes
    ----------
    fit
        Record of the fit in `adata.uns[key]`; None if there was none.
    gene_symbols
        Column of `var` with the names of genes to show; None shows `var_names`.
    imputed
        The AnnData with imputed values; None if there is none.
    advice
        The call to recommend in a section without data, by the section's name.
    """

    adata: AnnData
    key: str
    fit: Mapping[str, Any] | None
    spatial_key: str
    sample_key: str | None
    labels: str | None
    genes: Sequence[str] | None
    gene_symbols: str | None
    image: bool | str | None
    imputed: AnnData | None
    advice: Mapping[str, str]

    @property
    def domains(self) -> pd.Series:
        """Domain of every spot, categorical."""
        return self.adata.obs[self.key].astype("category")

    @property
    def names(self) -> list[str]:
        """Names of the domains."""
        return [str(name) for name in self.domains.cat.categories]

    @property
    def colors(self) -> dict[str, str]:
        """Colour of every domain, as in the maps."""
        return domain_colors(self.names)

    def symbols_of(self, adata: AnnData) -> str | None:
        """Column with the names of genes, where this AnnData has it: a finer lattice need not."""
        return self.gene_symbols if self.gene_symbols in adata.var else None

    @property
    def has_positions(self) -> bool:
        """Whether there is anywhere to draw the spots."""
        return self.spatial_key in self.adata.obsm

    @property
    def map_options(self) -> dict[str, Any]:
        """What all maps of all spots are drawn with."""
        return {
            "key": self.key,
            "spatial_key": self.spatial_key,
            "sample_key": self.sample_key,
            "image": self.image,
        }
