"""Text and columns between R and pandas, a whole vector at a time: rpy2 takes them value by value.

Text travels as the bytes of its UTF-8, each value ended by a zero byte, which no value can contain; the
columns of R's data frames as doubles, with the kind that they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._memory import r_array, r_vector
from ._session import r_session

__all__ = ["python_column", "python_text", "r_column", "r_items", "r_list", "r_text"]

_NA_INTEGER = np.iinfo(np.int32).min


def r_items(values: Any) -> dict[str, Any]:
    """Name the elements of an R list."""
    ri = r_session().interface
    return {} if values.names is ri.NULL else dict(zip(map(str, values.names), values, strict=True))


def r_list(items: dict[str, Any]) -> Any:
    """Make a named R list."""
    ri = r_session().interface
    made = ri.ListSexpVector(list(items.values()))
    made.names = ri.StrSexpVector(list(items))
    return made


def python_text(packed: Any) -> np.ndarray:
    """Unpack what R's `.packText()` made: an object array of str, None where it is NA."""
    fields = r_items(packed)
    values = r_array(fields["bytes"]).tobytes().decode("utf-8", errors="replace").split("\0")[:-1]
    text = np.array(values, dtype=object)
    text[r_array(fields["missing"]) - 1] = None
    return text


def r_text(values: Any) -> Any:
    """Make an R character vector; missing values become NA.

    Raises
    ------
    ValueError
        A value contains a zero character, which R's text cannot.
    """
    missing = pd.isna(np.asarray(values, dtype=object))
    text = "".join(f"{'' if gone else value}\0" for value, gone in zip(values, missing, strict=True))
    if text.count("\0") != len(missing):
        raise ValueError("text that contains the character '\\0' cannot be passed to R; remove it")
    encoded = np.frombuffer(text.encode("utf-8", errors="replace"), np.uint8)
    where = r_vector(np.flatnonzero(missing) + 1, "integer")
    return r_session().package[".newText"](
        r_vector(encoded, "raw"), r_vector(np.array([len(missing)]), "integer"), where
    )


def python_column(values: np.ndarray, packed: Any) -> Any:
    """Restore a column from the doubles it travelled as and its kind and levels, R's `.packColumn()`."""
    fields = r_items(packed)
    kind = fields["kind"][0]
    missing = np.isnan(values)
    if kind == "integer":
        return values.astype(np.int64)
    if kind == "logical":
        flags = values == 1
        return pd.arrays.BooleanArray(flags, missing) if missing.any() else flags
    if kind in ("text", "factor", "ordered"):
        levels = python_text(fields["levels"])
        codes = np.where(missing, 0, values).astype(np.int64) - 1
        if kind == "text":
            return np.array([*levels, None], dtype=object)[codes]  # -1, NA, is the last
        return pd.Categorical.from_codes(codes, levels, ordered=kind == "ordered")
    return values


def r_column(values: pd.Series) -> Any:
    """Make an R factor, logical, integer, double or character vector; missing values become NA."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy(np.int32) + 1
        codes[codes == 0] = _NA_INTEGER
        ordered = r_session().interface.BoolSexpVector([bool(dtype.ordered)])
        levels = r_text([str(level) for level in dtype.categories])
        return r_session().package[".newFactor"](r_vector(codes, "integer"), levels, ordered)
    missing = values.isna().to_numpy()
    if pd.api.types.is_bool_dtype(dtype):
        flags = values.fillna(False).to_numpy(np.int32)
        return r_vector(np.where(missing, _NA_INTEGER, flags), "logical")
    if pd.api.types.is_integer_dtype(dtype) and not missing.any():
        # In Python's numbers: those of 64 bits may have no absolute value, or no place in int64.
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        if -np.iinfo(np.int32).max < low and high < np.iinfo(np.int32).max:
            return r_vector(values.to_numpy(np.int64), "integer")
        return r_vector(values.to_numpy(np.float64), "double")
    if pd.api.types.is_numeric_dtype(dtype):
        return r_vector(values.to_numpy(np.float64, na_value=np.nan), "double")
    return r_text(values)
