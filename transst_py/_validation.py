"""The input gate: every check of a user's object that more than one public function makes.

Each function returns the checked thing or raises before any heavy work, naming the argument, what was
found and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._typing import Matrix
from transst_py._warn import warn
from transst_py.chunks import RowChunks, Survey, is_stored, open_rows

__all__ = [
    "LATTICE_COLUMNS",
    "as_float_matrix",
    "check_anndata",
    "check_choice",
    "check_coordinates",
    "check_counts",
    "check_lattice_columns",
    "check_matrix",
    "check_names",
    "check_normalized",
    "check_obs_column",
    "check_samples",
    "check_seed",
    "check_survey",
    "check_unique_genes",
    "check_whole_number",
    "layer_names",
    "list_some",
]

LATTICE_COLUMNS = ("array_row", "array_col")
# Values of expression and positions beyond this are damaged, and their squares overflow.
LARGEST = 1e15
# Log-normalised values stay below this.
LARGE_COUNT = 20


def list_some(names: Sequence[Any], limit: int = 5) -> str:
    """Render the first few names for a message."""
    shown = ", ".join(repr(str(n)) for n in list(names)[:limit])
    return shown + (f", ... ({len(names)} in all)" if len(names) > limit else "")


def layer_names(adata: AnnData) -> list[str]:
    """Name the layers; from 0.13 on, anndata counts X among them, as None."""
    return [name for name in adata.layers if name is not None]


def as_float_matrix(X: Any) -> Matrix:
    """Return a floating csr matrix or ndarray, without a copy where X already is one.

    Integer and logical values become float32 when they are sparse counts below 2**24 (exactly
    representable), float64 otherwise; half precision becomes single, foreign byte order one's own.
    """
    sparse = sp.issparse(X)
    X = sp.csr_matrix(X) if sparse else np.asarray(X)
    if X.dtype.kind not in "fiub":
        raise TypeError(f"expression values must be numbers, got dtype {X.dtype}")
    if X.dtype in (np.float32, np.float64):
        return X
    if X.dtype.kind == "f":
        return X.astype(np.float32 if X.dtype.itemsize <= 4 else np.float64)
    exact = sparse and (X.nnz == 0 or np.abs(X.data).max() < 2**24)
    return X.astype(np.float32 if exact else np.float64)


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


def _not_finite(what: str) -> ValueError:
    return ValueError(f"`{what}` has missing or infinite expression values; remove or impute them first")


def check_survey(
    X: RowChunks, *, counts: bool, what: str = "adata", or_normalized: bool = True, raw: bool = False
) -> Survey:
    """Look at all values of rows that are not in memory, as `check_matrix` and `check_counts`, in one pass.

    Raises
    ------
    ValueError
        A value is missing or infinite, or negative where `counts` are expected.

    Warns
    -----
    UserWarning
        As `check_counts`.
    """
    survey = X.survey()
    if survey.n_lost:
        raise _not_finite(what)
    if counts:
        share = survey.n_fractional / max(survey.n_positive, 1)
        _judge_counts(survey.lowest, share, survey.highest, what, or_normalized, raw)
    return survey


def check_counts(X: Matrix, *, what: str = "adata", or_normalized: bool = True, raw: bool = False) -> None:
    """Refuse negative values and warn when X does not look like counts.

    `or_normalized` says whether the caller takes normalised data too, with `normalization='none'`; `raw`
    whether there is an `adata.raw`, where scanpy's users keep what was there before.

    Raises
    ------
    ValueError
        A value is negative.

    Warns
    -----
    UserWarning
        More than 1 % of the non-zero values are no whole numbers: probably log-normalised already.
    """
    values = X.data if sp.issparse(X) else X.ravel()
    if values.size == 0:
        return
    sample = values[:: max(1, values.size // 1_000_000)]
    sample = sample[sample > 0]
    share = float(np.mean(sample != np.round(sample))) if sample.size else 0.0
    highest = float(sample.max()) if sample.size else 0.0
    _judge_counts(float(values.min()), share, highest, what, or_normalized, raw)


def check_normalized(X: Matrix, *, what: str = "adata") -> None:
    """Warn when X looks like counts, where normalised expression is expected.

    Warns
    -----
    UserWarning
        All non-zero values are whole numbers, some of them large.
    """
    values = X.data if sp.issparse(X) else X.ravel()
    sample = values[:: max(1, values.size // 1_000_000)]
    if sample.size and sample.max() >= LARGE_COUNT and (sample == np.round(sample)).all():
        warn(
            f"`{what}` holds whole numbers up to {sample.max():.0f} where normalised expression is "
            "expected; for counts leave normalization='log'"
        )


def _judge_counts(
    lowest: float, share: float, highest: float, what: str, or_normalized: bool, raw: bool
) -> None:
    """Refuse a negative lowest value, and warn of a share of fractional values."""
    where = "(see `layer`" + (", or adata.raw.to_adata() if it holds them)" if raw else ")")
    if lowest < 0:
        raise ValueError(
            f"`{what}` has negative expression values, so it holds no counts; pass raw counts {where}"
            + (", or normalised data with `normalization='none'`" if or_normalized else "")
        )
    if share > 0.01:
        warn(
            f"`{what}` holds fractional values (largest {highest:.3g}) where raw counts are expected; "
            f"pass raw counts {where}"
            + (", or set normalization='none' if the data are normalised already" if or_normalized else "")
        )


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


def check_choice(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises
    ------
    ValueError
        It is not; the message lists them.
    """
    if value not in allowed:
        raise ValueError(f"`{argument}`: unknown value {value!r}; choose one of {', '.join(allowed)}")


def check_names(argument: str, names: Any) -> None:
    """Refuse anything but a list of names, or None; a single text would be taken for a list of letters.

    Raises
    ------
    TypeError
        It is none.
    """
    if isinstance(names, str):
        raise TypeError(f"`{argument}` must be a list of names, got the text {names!r}; write [{names!r}]")
    if names is not None and not pd.api.types.is_list_like(names):
        raise TypeError(f"`{argument}` must be a list of names, got {names!r}")


def check_whole_number(argument: str, value: Any, *, at_least: int) -> None:
    """Refuse anything but a whole number of a certain size.

    Raises
    ------
    TypeError, ValueError
        It is no whole number; it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{argument}` must be one whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"`{argument}` must be at least {at_least}, got {value}")


def check_seed(value: Any) -> None:
    """Refuse anything but a whole number from 0 to 2**32 - 1 as seed: results must be repeatable.

    Raises
    ------
    TypeError, ValueError
        It is no such number.
    """
    check_whole_number("random_state", value, at_least=0)
    if value >= 2**32:
        raise ValueError(f"`random_state` must be below 2**32, got {value}")


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
