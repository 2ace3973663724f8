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

from ._memory import r_array, r_matrix
from ._session import r_session

__all__ = ["from_parts", "from_r", "to_parts", "to_r"]

# R's reducedDim "TransST" (or "TransST.name") is `obsm["X_transst"]` ("X_name") of `tl.transst`.
_EMBEDDING = "TransST"


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
        Columns that have a Python counterpart; dates as text.
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
    return from_parts(session.package[".flattenAll"](obj, **given))


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
    spatialCoords and the rest of `obsm` as reducedDims.
    """
    return r_session().package[".assembleSpatialExperiment"](to_parts(adata))


def from_parts(parts: Any) -> AnnData:
    """Build AnnData from what R's `flatten()` made: a plain SingleCellExperiment and its companions."""
    session = r_session()
    fields = dict(zip(parts.names, parts, strict=True))
    with session.conversion() as rules:
        adata = rules.rpy2py(fields["sce"])
    if not isinstance(adata, AnnData):  # anndata2ri returns classes it does not know as they are
        raise TypeError(f"anndata2ri left an object of class {list(fields['sce'].rclass)} unconverted")
    for frame in (adata.obs, adata.var):
        _plain_dtypes(frame)
    for column in fields["logical"]:
        adata.obs[column] = _as_bool(adata.obs[column])
    for name in [name for name in adata.obsm if name.startswith(_EMBEDDING)]:
        adata.obsm["X_" + (name.removeprefix(_EMBEDDING).lstrip(".") or "transst")] = adata.obsm.pop(name)
    adata.uns["X_name"] = fields["assay"][0]
    if "coords" in fields:
        adata.obsm["spatial"] = np.array(r_array(fields["coords"]))  # own copy: R's vector may change
    return adata


def _plain_dtypes(frame: pd.DataFrame) -> None:
    """Use numpy's dtypes where nothing is missing: AnnData files hold no nullable text."""
    frame.index = frame.index.astype(object)
    for name, values in frame.items():
        if isinstance(values.dtype, pd.api.extensions.ExtensionDtype) and values.dtype.kind == "i":
            frame[name] = values.astype(np.int64)


def _as_bool(values: pd.Series) -> pd.Series:
    """Logical columns travel as doubles, because anndata2ri turns a logical NA into a number."""
    return values.astype("boolean") if values.isna().any() else values.astype(bool)


def to_parts(adata: AnnData) -> Any:
    """Make the R list from which R's `assemble()` builds an object."""
    ri = r_session().interface
    assays = {} if adata.X is None else {str(adata.uns.get("X_name", "counts")): adata.X}
    assays |= dict(adata.layers)
    obsm = {name: np.asarray(value, dtype=np.float64) for name, value in adata.obsm.items()}
    coords = obsm.pop("spatial", None)
    return _r_list(
        {
            "assays": _r_list({name: r_matrix(_plain_matrix(X)) for name, X in assays.items()}),
            "colData": _r_columns(adata.obs),
            "rowData": _r_columns(adata.var),
            "spots": _r_strings(adata.obs_names),
            "genes": _r_strings(adata.var_names),
            "coords": ri.NULL if coords is None else r_matrix(coords.T),
            "reducedDims": _r_list({name: r_matrix(value.T) for name, value in obsm.items()}),
        }
    )


def _plain_matrix(X: Any) -> np.ndarray | sp.csr_matrix:
    """Bring backed and newer sparse classes down to a csr matrix, everything else to an array."""
    return sp.csr_matrix(X) if sp.issparse(X) else np.asarray(X)


def _r_list(items: dict[str, Any]) -> Any:
    """Make a named R list."""
    ri = r_session().interface
    return ri.baseenv["list"](**items)


def _r_strings(values: Any) -> Any:
    """Make an R character vector; missing values become NA."""
    ri = r_session().interface
    return ri.StrSexpVector([ri.NA_Character if pd.isna(v) else str(v) for v in values])


def _r_columns(frame: pd.DataFrame) -> Any:
    """Make an R list of the columns of a data frame."""
    return _r_list({str(name): _r_column(frame[name]) for name in frame.columns})


def _r_column(values: pd.Series) -> Any:
    """Make an R factor, logical, integer, double or character vector; missing values become NA."""
    ri = r_session().interface
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy()
        text = [ri.NA_Character if c < 0 else str(values.cat.categories[c]) for c in codes]
        return ri.baseenv["factor"](ri.StrSexpVector(text), levels=_r_strings(values.cat.categories))
    if pd.api.types.is_bool_dtype(values.dtype):
        return ri.BoolSexpVector([ri.NA_Logical if pd.isna(v) else bool(v) for v in values])
    if pd.api.types.is_integer_dtype(values.dtype) and not values.isna().any():
        numbers = values.to_numpy(np.int64)
        fits = numbers.size == 0 or np.abs(numbers).max() < np.iinfo(np.int32).max
        return (ri.IntSexpVector if fits else ri.FloatSexpVector)(numbers.tolist())
    if pd.api.types.is_numeric_dtype(values.dtype):
        return ri.FloatSexpVector(values.to_numpy(np.float64, na_value=np.nan).tolist())
    return _r_strings(values)
