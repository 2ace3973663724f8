"""One conversion for both directions of travel and both host languages.

R's half is `flatten()` and `assemble()` of the R package TransST: they know the classes, take from an object
what is safe to convert, and build a new one from plain parts. This half only sees those parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from ..tl._gate import layer_names
from ._columns import python_column, python_text, r_column, r_items, r_list, r_text
from ._memory import matrix_view, r_array, r_matrix, stored_matrix
from ._session import r_session

__all__ = ["from_parts", "from_r", "to_parts", "to_r"]

# R's reducedDim "TransST" (or "TransST.name") is `obsm["X_transst"]` ("X_name") of `tl.transst`.
_EMBEDDING = "TransST"
# What is called otherwise in R; anndata2ri knows the way there, but for ours.
_R_NAMES = {
    "X_transst": _EMBEDDING,
    "X_pca": "PCA",
    "X_umap": "UMAP",
    "X_tsne": "TSNE",
    "X_diffmap": "DM",
}


def from_r(obj: Any, *, assay: str | None = None, layer: str | None = None) -> AnnData:
    """Convert an R object to AnnData.

    Parameters
    ----------
    obj
        A SpatialExperiment, SingleCellExperiment, SummarizedExperiment or Seurat object held by rpy2, or the
        name of a variable of R's global environment.
    assay
        The assay that becomes `X`. `None`: "counts" if there is one, else the first; Seurat: the default
        assay.
    layer
        Seurat only: the layer that becomes `X`; `None` means "counts".

    Returns
    -------
    AnnData with the spots in R's order:

    `X`
        The chosen assay, sparse if it is sparse in R. Its name is in `uns["X_name"]`.
    `layers`
        The other assays (not for Seurat).
    `obs`, `var`
        Columns that have a Python counterpart: numbers, text, logical values and factors, also ordered ones;
        dates as text, integers with missing values as float. Lists and nested tables stay in R.
    `obsm`
        `spatial` where the object has coordinates, and the reduced dimensions.

    Alternative experiments, images and metadata stay in R.

    Raises
    ------
    ImportError
        rpy2, anndata2ri or the R package TransST is missing.
    KeyError
        R has no variable of that name.
    TypeError
        The object is of another class.
    """
    session = r_session()
    ri = session.interface
    if isinstance(obj, str):
        if obj not in ri.globalenv:
            raise KeyError(f"`obj`: R's global environment has no variable {obj!r}")
        obj = ri.globalenv[obj]
    options = {"assay": assay, "layer": layer}
    given = {name: ri.StrSexpVector([value]) for name, value in options.items() if value is not None}
    try:
        session.package[".checkClass"](obj)
    except ri.embedded.RRuntimeError as error:
        raise TypeError(str(error).strip().removeprefix("Error: ").replace("`x`", "`obj`")) from error
    adata = from_parts(session.package[".flattenAll"](obj, **given))
    return adata.copy()  # the user's own, to be changed at will


def to_r(adata: AnnData) -> Any:
    """Convert AnnData to an R SpatialExperiment held by rpy2.

    Parameters
    ----------
    adata
        Expression in `X` (which becomes the assay named by `uns["X_name"]`, or "counts") and `layers`,
        positions in `obsm["spatial"]`.

    Returns
    -------
    The R object (`rpy2.rinterface.SexpS4`) with `obs` as colData, `var` as rowData, `obsm["spatial"]` as
    spatialCoords and the rest of `obsm` as reducedDims: "X_pca", "X_umap", "X_tsne", "X_diffmap" and
    "X_transst" by their names in R (PCA, UMAP, TSNE, DM, TransST), the others by their own.
    """
    return r_session().package[".assembleSpatialExperiment"](to_parts(adata))


def from_parts(parts: Any) -> AnnData:
    """Build AnnData from what R's `flatten()` made: a plain SingleCellExperiment and its companions.

    `X` and `layers` are read-only views on R's memory, without a copy, or on the file where R has them.
    """
    session = r_session()
    fields = r_items(parts)
    with session.conversion() as rules:
        adata = rules.rpy2py(fields["sce"])
    if not isinstance(adata, AnnData):  # anndata2ri returns classes it does not know as they are
        raise TypeError(f"anndata2ri left an object of class {list(fields['sce'].rclass)} unconverted")
    for frame, names, columns in ((adata.obs, "spots", "cells"), (adata.var, "genes", "features")):
        frame.index = pd.Index(python_text(fields[names]), dtype=object)
        for name, column in r_items(fields[columns]).items():
            frame[name] = python_column(frame[name].to_numpy(), column)
    for name in [name for name in adata.obsm if name.startswith(_EMBEDDING)]:
        adata.obsm["X_" + (name.removeprefix(_EMBEDDING).lstrip(".") or "transst")] = adata.obsm.pop(name)
    files = {name: r_items(file) for name, file in r_items(fields["files"]).items()}
    assays = {
        name: stored_matrix(files[name]) if name in files else matrix_view(m)
        for name, m in r_items(fields["assays"]).items()
    }
    first = next(iter(assays))
    adata.uns["X_name"], adata.X = first, assays.pop(first)
    for name, layer in assays.items():
        adata.layers[name] = layer
    if "coords" in fields:
        adata.obsm["spatial"] = np.array(r_array(fields["coords"]))  # own copy: R's vector may change
    return adata


def to_parts(adata: AnnData) -> Any:
    """Make the R list from which R's `assemble()` builds an object."""
    ri = r_session().interface
    assays = {} if adata.X is None else {str(adata.uns.get("X_name", "counts")): adata.X}
    assays |= {name: adata.layers[name] for name in layer_names(adata)}
    obsm = {name: np.asarray(value, dtype=np.float64) for name, value in adata.obsm.items()}
    coords = obsm.pop("spatial", None)
    spots, genes = r_text(adata.obs_names), r_text(adata.var_names)
    names = ri.ListSexpVector([genes, spots])
    return r_list(
        {
            "assays": r_list({name: r_matrix(_plain_matrix(X), names) for name, X in assays.items()}),
            "colData": r_list({str(name): r_column(adata.obs[name]) for name in adata.obs}),
            "rowData": r_list({str(name): r_column(adata.var[name]) for name in adata.var}),
            "spots": spots,
            "genes": genes,
            "coords": ri.NULL if coords is None else r_matrix(coords.T),
            "reducedDims": r_list({_R_NAMES.get(n, n): r_matrix(value.T) for n, value in obsm.items()}),
        }
    )


def _plain_matrix(X: Any) -> np.ndarray | sp.csr_matrix:
    """Bring backed and newer sparse classes down to a csr matrix, everything else to an array."""
    return sp.csr_matrix(X) if sp.issparse(X) else np.asarray(X)
