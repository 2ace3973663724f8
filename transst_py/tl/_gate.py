"""The input gate of functions on AnnData: refuse what does not fit, before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.typing import Matrix
from transst_py._core.validation import list_some
from transst_py.expression.chunks import is_stored, open_rows
from transst_py.expression.values import LARGEST, _not_finite, as_float_matrix

__all__ = [
    "LATTICE_COLUMNS",
    "check_anndata",
    "check_coordinates",
    "check_lattice_columns",
    "check_matrix",
    "check_obs_column",
    "check_samples",
    "check_unique_genes",
    "layer_names",
]

LATTICE_COLUMNS = ("array_row", "array_col")


def layer_names(adata: AnnData) -> list[str]:
    """Name the layers; from 0.13 on, anndata counts X among them, as None."""
    return [name for name in adata.layers if name is not None]


def check_anndata(data: Any, *, what: str = "adata", in_memory: bool | None = True) -> AnnData:
    """Return an AnnData: `data` itself, or the only table of a SpatialData.

    `in_memory` says whether its expression has to be in memory; None: it is not looked at.

    Raises
    ------
    TypeError
        It is neither.
    ValueError
        The SpatialData has no table or several, or the AnnData is backed by a file and may not be, or is a
        view of one that is.
    """
    tables = getattr(data, "tables", None)
    if isinstance(tables, Mapping):
        data = _only_table(tables, what)
    if not isinstance(data, AnnData):
        raise TypeError(f"`{what}` must be an AnnData, got {type(data).__name__}")
    if in_memory and data.isbacked:
        raise ValueError(f"`{what}` is backed by a file; load it first: {what.split()[0]}.to_memory()")
    if in_memory is False and data.isbacked and data.is_view:
        raise ValueError(
            f"`{what}` is a view of an AnnData that is backed by a file, and would be loaded whole; write "
            "the chosen rows to a file of their own (copy(filename)), and open that"
        )
    return data


def _only_table(tables: Mapping[str, Any], what: str) -> Any:
    if len(tables) != 1:
        raise ValueError(
            f"`{what}` is a SpatialData with {len(tables)} tables"
            + (f" ({list_some(list(tables))}); pass one of them, sdata.tables[name]" if tables else "")
        )
    return next(iter(tables.values()))


def check_matrix(adata: AnnData, layer: str | None, *, what: str = "adata", stored: bool = False) -> Matrix:
    """Return `adata.X` or a layer as a finite floating (spots x genes) matrix.

    With `stored`, it may be on disk or a dask array: `RowChunks` then, whose values `check_survey` looks at.

    Raises
    ------
    TypeError
        Values are no numbers.
    KeyError
        The layer does not exist.
    ValueError
        There is no matrix, no spot, no gene, or a value is missing or infinite; or it is not in memory.
    """
    if layer is not None and layer not in adata.layers:
        raise KeyError(
            f"`layer`: {what} has no layer {layer!r}; it has {list_some(layer_names(adata)) or 'none'}"
        )
    X = adata.X if layer is None else adata.layers[layer]
    if X is None:
        raise ValueError(f"`{what}` has no X; choose one of its layers with `layer=`")
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(f"`{what}` is empty: {adata.n_obs} spots x {adata.n_vars} genes")
    if is_stored(X):
        if stored:
            return open_rows(X, what)
        raise ValueError(
            f"`{what}`: the expression is not in memory ({type(X).__name__}), and here it has to be; load it "
            f"first: {what.split()[0]}.to_memory()"
        )
    X = as_float_matrix(X)
    values = X.data if sp.issparse(X) else X
    if not np.isfinite(values).all():
        raise _not_finite(what)
    if values.size and (largest := max(values.max(), -values.min())) > LARGEST:
        raise ValueError(f"`{what}` has expression values up to {largest:.3g}, which cannot be; see `layer`")
    return X


def check_coordinates(adata: AnnData, spatial_key: str) -> np.ndarray:
    """Return `adata.obsm[spatial_key]` as a finite (n_obs, 2 or 3) float64 array.

    Raises
    ------
    KeyError
        The key does not exist.
    ValueError
        Wrong shape, or a spot without a position.
    """
    if spatial_key not in adata.obsm:
        raise KeyError(
            f"`spatial_key`: no coordinates in adata.obsm[{spatial_key!r}]; "
            f"it has {list_some(list(adata.obsm)) or 'no entries'}. Store an (n_spots, 2) array there"
        )
    xy = np.asarray(adata.obsm[spatial_key], dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] not in (2, 3):
        raise ValueError(f"`spatial_key`: coordinates must have 2 or 3 columns, got shape {xy.shape}")
    lost = ~np.isfinite(xy).all(axis=1)
    if lost.any():
        raise ValueError(
            f"`spatial_key`: {lost.sum()} of {len(xy)} spots have no position "
            f"({list_some(adata.obs_names[lost])}); remove them or add their coordinates"
        )
    if np.abs(xy).max(initial=0.0) > LARGEST:
        raise ValueError(
            f"`spatial_key`: coordinates up to {np.abs(xy).max():.3g} cannot be; check their unit"
        )
    return xy


def check_lattice_columns(adata: AnnData) -> np.ndarray:
    """Return `adata.obs[["array_row", "array_col"]]` as an int64 (n_obs, 2) array; text of numbers will do.

    Raises
    ------
    ValueError
        A column does not exist, or holds something else than whole numbers.
    """
    row, col = LATTICE_COLUMNS
    missing = [name for name in LATTICE_COLUMNS if name not in adata.obs]
    if missing:
        raise ValueError(
            f"a lattice needs both obs[{row!r}] and obs[{col!r}], whole numbers; adata.obs has no "
            f"{list_some(missing)}"
        )
    values = adata.obs[[row, col]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values).all(axis=1) | (values != np.round(values)).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"obs[{row!r}] and obs[{col!r}] must be whole numbers; {wrong.sum()} spots have others "
            f"({list_some(adata.obs_names[wrong])})"
        )
    return np.asarray(values.astype(np.int64))


def check_obs_column(adata: AnnData, key: str | None, *, argument: str, what: str = "adata") -> pd.Series:
    """Return a column of `adata.obs`.

    Raises
    ------
    KeyError
        No key was given, or the column does not exist.
    """
    columns = list_some(list(adata.obs.columns)) or "none"
    if key is None:
        raise KeyError(f"`{argument}` is missing: name a column of the obs of {what}; it has {columns}")
    if key not in adata.obs:
        raise KeyError(f"`{argument}`: {what}.obs has no column {key!r}; it has {columns}")
    return adata.obs[key]


def check_samples(adata: AnnData, key: str) -> pd.Series:
    """Return the column of `adata.obs` with the spots' samples, as a categorical.

    Raises
    ------
    KeyError
        The column does not exist.
    ValueError
        A spot has no sample.
    """
    column = check_obs_column(adata, key, argument="sample_key").astype("category")
    lost = column.isna().to_numpy()
    if lost.any():
        raise ValueError(
            f"`sample_key`: {lost.sum()} of {lost.size} spots have no sample in obs[{key!r}] "
            f"({list_some(adata.obs_names[lost])})"
        )
    return column.cat.remove_unused_categories()


def check_unique_genes(adata: AnnData, *, what: str = "adata") -> None:
    """Refuse duplicated gene names, which cannot be matched between data sets.

    Raises
    ------
    ValueError
        A name occurs twice.
    """
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()].unique()
        raise ValueError(
            f"`{what}` has duplicated gene names ({list_some(twice)}); "
            "make them unique (adata.var_names_make_unique()) or sum the duplicates"
        )
