"""Random columns between pandas and R; a few lines of Python act for R, all that columns need."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from outcomes import call, fuzz, require, state

from transst_py.bridge import _columns

NULL = object()


class Strings(list):
    """An R character vector."""


class Items(list):
    """An R list, with the names of its elements."""

    names = NULL


def new_text(encoded, length, missing):
    values = encoded.tobytes().decode("utf-8").split("\0")[:-1]
    require(len(values) == length[0], "the number of texts")
    return [None if i in set(missing - 1) else value for i, value in enumerate(values)]


R = SimpleNamespace(
    interface=SimpleNamespace(NULL=NULL, ListSexpVector=Items, StrSexpVector=Strings, BoolSexpVector=list),
    package={
        ".newText": new_text,
        ".newFactor": lambda codes, levels, ordered: ("factor", codes.tolist(), levels, ordered[0]),
    },
)
KINDS = {"integer": np.int32, "logical": np.int32, "double": np.float64, "raw": np.uint8}


def r_vector(values, kind):
    made = np.asarray(values).astype(KINDS[kind])
    require(np.array_equal(made, values, equal_nan=kind == "double"), f"{values} as {kind}")
    return made


def acted(function, *arguments, **more):
    """Call a function of the bridge, with R played by the above."""
    kept = {name: getattr(_columns, name) for name in ("r_session", "r_vector", "r_array")}
    _columns.r_session, _columns.r_vector, _columns.r_array = lambda: R, r_vector, np.asarray
    try:
        return call(function, *arguments, **more)
    finally:
        vars(_columns).update(kept)


TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
VALUES = {
    "text": TEXT,
    "text or missing": st.one_of(TEXT, st.none(), st.just(np.nan), st.just(pd.NA)),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint8": st.integers(0, 255),
    "uint64": st.integers(0, 2**64 - 1),
    "float64": st.floats(),
    "float32": st.floats(width=32),
    "bool": st.booleans(),
    "Int64": st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()),
    "boolean": st.one_of(st.booleans(), st.none()),
    "Float64": st.one_of(st.floats(allow_nan=False), st.none()),
    "string": st.one_of(TEXT, st.none()),
    "category": st.one_of(TEXT, st.none()),
    "mixed": st.one_of(TEXT, st.integers(), st.floats(), st.booleans(), st.none(), st.tuples(TEXT)),
    "times": st.datetimes(min_value=pd.Timestamp("1700-01-01"), max_value=pd.Timestamp("2200-01-01")),
}


def make_column(kind, values):
    dtype = {"text": object, "text or missing": object, "mixed": object, "times": "datetime64[ns]"}.get(
        kind, kind
    )
    if kind == "category":
        return pd.Series(pd.Categorical(values, ordered=len(values) % 2 == 0))
    return pd.Series(values, dtype=dtype)


@fuzz(
    "bridge: columns to R",
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.lists(VALUES[kind], max_size=8))
    ),
    few=150,
    share=0.06,
)
def test_r_column(case):
    column = make_column(*case)
    before = state(column)
    made = acted(_columns.r_column, column, watched=(column,))
    require(state(column) == before, "the column was changed")
    missing = column.isna().to_numpy()
    if isinstance(made, tuple):
        _, codes, levels, _ = made
        values = [None if code == np.iinfo(np.int32).min else levels[code - 1] for code in codes]
        require(
            values == [None if lost else str(v) for v, lost in zip(column, missing, strict=True)], "levels"
        )
    elif isinstance(made, list):
        require(made == [None if lost else f"{v}" for v, lost in zip(column, missing, strict=True)], "texts")
    else:
        lost = np.isnan(made) if made.dtype.kind == "f" else made == np.iinfo(np.int32).min
        require((lost == missing).all(), "missing values")
        kept = column[~missing].to_numpy().astype(float)
        require(np.array_equal(made[~lost].astype(float), kept), "numbers")


@fuzz(
    "bridge: columns from R",
    st.tuples(
        st.sampled_from(["integer", "logical", "double", "text", "factor", "ordered"]),
        st.lists(TEXT.filter(lambda text: "\0" not in text), max_size=5, unique=True),
        st.lists(st.one_of(st.integers(0, 4), st.none()), max_size=8),
    ),
    few=60,
    share=0.04,
)
def test_python_column(case):
    kind, levels, values = case
    if kind in ("text", "factor", "ordered"):
        values = [None if v is None or v >= len(levels) else v + 1 for v in values]
    elif kind == "logical":
        values = [None if v is None else v % 2 for v in values]
    elif kind == "integer":
        values = [v for v in values if v is not None]
    doubles = np.array([np.nan if v is None else v for v in values], dtype=float)
    texts = Items(
        [np.frombuffer("".join(f"{t}\0" for t in levels).encode(), np.uint8), np.zeros(0, dtype=int)]
    )
    texts.names = ["bytes", "missing"]
    packed = Items([[kind], texts])
    packed.names = ["kind", "levels"]
    made = pd.Series(acted(_columns.python_column, doubles, packed, watched=(doubles,)))
    require(len(made) == len(values), "length")
    require(made.isna().tolist() == [v is None for v in values], "missing values")
    expected = [v if v is None or kind in ("integer", "double", "logical") else levels[v - 1] for v in values]
    require([None if pd.isna(v) else v for v in made] == expected, "values")
