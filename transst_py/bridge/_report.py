"""Reports on what R sends: flattened objects, and the records that AnnData keeps in `uns`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from anndata import AnnData

from .. import tl
from .._report.write import report

__all__ = ["transfer_report", "write_report"]


def transfer_report(*, name: str, fit: Mapping[str, Any], domains: Sequence[str | None]) -> dict[str, Any]:
    """`tl.transfer_report` of a record and the domain of every spot, as a dict of words and tables."""
    spots = pd.DataFrame({name: pd.Categorical(domains)}, index=pd.RangeIndex(len(domains)).astype(str))
    return vars(tl.transfer_report(AnnData(obs=spots, uns={name: fit}), key=name))


def write_report(
    adata: AnnData,
    imputed: AnnData | None = None,
    *,
    path: str,
    name: str,
    advice: Mapping[str, str],
    fit: Mapping[str, Any] | None = None,
    imputation: Mapping[str, Any] | None = None,
    markers: pd.DataFrame | None = None,
    marker_parameters: Mapping[str, Any] | None = None,
    sample_key: str | None = None,
    labels: str | None = None,
    genes: Sequence[str] | None = None,
    gene_names: Sequence[str] | None = None,
    title: str | None = None,
) -> None:
    """Put the records to where AnnData keeps them, and write the report.

    Parameters
    ----------
    adata, imputed
        The spots with domains; those with imputed values, in X.
    path
        The file.
    name
        Name of the results of `tl.transst`.
    fit, imputation
        Records of `tl.transst` and of `tl.impute`, where they were run.
    markers, marker_parameters
        Table of `tl.rank_domain_genes`, and how it was made.
    gene_names
        What the genes of `adata` are to be called.
    advice, sample_key, labels, genes, title
        As in `report`.
    """
    if fit is not None:
        adata.uns[name] = fit
    if markers is not None and marker_parameters is not None:
        # in R, X is an assay like the others
        adata.layers[str(marker_parameters["layer"])] = adata.X
        adata.uns[f"{name}_markers"] = markers
        adata.uns[f"{name}_markers_params"] = marker_parameters
    if imputed is not None:
        imputed.layers["imputed"] = imputed.X
        imputed.uns["imputation"] = imputation
    symbols = None if gene_names is None else "symbol"
    if symbols is not None:
        adata.var[symbols] = gene_names
        if imputed is not None:
            imputed.var[symbols] = adata.var[symbols].reindex(imputed.var_names)
    report(
        adata,
        path,
        key=name,
        sample_key=sample_key,
        labels=labels,
        genes=genes,
        gene_symbols=symbols,
        imputed=imputed,
        title=title,
        advice=advice,
    )
