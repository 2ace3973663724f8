"""Small objects of all kinds, from a description that can be read and repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import strategies as st

__all__ = ["LABELS", "arrays", "labels_of", "make_array", "make_tissue", "options", "tissues"]

STORED = ["dense", "csr", "csc", "csr_array", "fortran"]
DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool", "float16", ">f8", "uint64"]
X_FAULTS = [
    "empty rows", "empty genes", "constant gene", "duplicated rows", "all alike", "all zero", "NaN",
    "infinite", "negative", "fractions", "large", "huge", "explicit zeros", "object", "text", "complex",
]  # fmt: skip
PLACES = ["grid", "hexagonal", "scattered", "int", "float32", "3d", "line", "one place", "far", "frame"]
PLACE_FAULTS = ["none", "1d", "NaN", "1e300", "text", "4d"]
OTHER_FAULTS = ["same gene names", "same spot names", "view", "odd obs", "in_tissue", "no X", "array text"]
LABELS = [
    "text", "categorical", "unused", "int", "float", "bool", "some NaN", "some None", "missing", "one class",
    "all different", "words for missing", "mixed", "empty text", "nullable", "rare",
]  # fmt: skip


def mostly(usual: list[Any], odd: list[Any]) -> st.SearchStrategy[Any]:
    """One of the usual, and now and then one of the odd."""
    return st.integers(0, 5).flatmap(lambda i: st.sampled_from(odd if i == 5 else usual))


def tissues(
    *, min_spots: int = 1, max_spots: int = 36, max_genes: int = 14
) -> st.SearchStrategy[dict[str, Any]]:
    """Describe an AnnData."""
    return st.fixed_dictionaries(
        {
            "n": mostly(
                list(range(max(min_spots, 16), max_spots + 1)), [max(n, min_spots) for n in range(1, 6)]
            ),
            "p": mostly(list(range(5, max_genes + 1)), [1, 2, 3]),
            "seed": st.integers(0, 999),
            "stored": st.sampled_from(STORED),
            "dtype": mostly(DTYPES[:4], DTYPES),
            "faults": mostly([()], [(fault,) for fault in X_FAULTS]),
            "places": mostly(PLACES[:4], PLACES + PLACE_FAULTS),
            "other": mostly([()], [(fault,) for fault in OTHER_FAULTS]),
            "labels": mostly(LABELS[:3], LABELS),
            "samples": st.sampled_from([1, 1, 2]),
        }
    )


def options(good: dict[str, list[Any]], bad: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A few options, of which now and then one is wrong."""
    pairs = [(name, value) for name, values in good.items() for value in values]
    wrong = [(name, value) for name, values in bad.items() for value in values]
    some = st.lists(st.sampled_from(pairs), max_size=4)
    return st.builds(lambda a, b: dict([*a, *b]), some, mostly([[]], [[pair] for pair in wrong]))


def counts_of(rng: np.random.Generator, n: int, p: int) -> np.ndarray:
    """Counts of spots in two to three regions."""
    region = np.arange(n) * rng.integers(2, 4) // max(n, 1)
    means = rng.gamma(2.0, 1.5, (4, p))
    return rng.poisson(means[region]).astype(float)


def make_array(X: np.ndarray, spec: dict[str, Any], rng: np.random.Generator) -> Any:
    """X of the type that is described, with its faults."""
    n, p = X.shape
    i, j = int(rng.integers(n)), int(rng.integers(p))
    dtype = spec["dtype"]
    for fault in spec["faults"]:
        if fault == "empty rows":
            X[rng.random(n) < 0.3] = 0
        elif fault == "empty genes":
            X[:, rng.random(p) < 0.5] = 0
        elif fault == "constant gene":
            X[:, j] = 3
        elif fault == "duplicated rows":
            X = X[rng.integers(0, max(n // 3, 1), n)]
        elif fault == "all alike":
            X = np.tile(X[:1], (n, 1))
        elif fault == "all zero":
            X = np.zeros_like(X)
        elif fault in ("object", "text", "complex"):
            X = X.astype({"object": object, "text": str, "complex": complex}[fault])
            return X if spec["stored"] != "csr" or fault != "complex" else sp.csr_matrix(X)
        elif fault in ("NaN", "infinite", "negative", "fractions", "large", "huge"):
            X = X / 3 if fault == "fractions" else X
            values = {"NaN": np.nan, "infinite": np.inf, "negative": -2.0, "large": 3e7, "huge": 1e300}
            X[i, j] = values.get(fault, X[i, j])
            dtype = "float64" if np.dtype(dtype).kind != "f" or fault == "huge" else dtype
            dtype = "float32" if dtype == "float16" else dtype
    X = X.astype(dtype)
    stored = spec["stored"]
    if stored in ("dense", "fortran") or np.dtype(dtype).byteorder == ">" or dtype == "float16":
        return np.asfortranarray(X) if stored == "fortran" else X
    made = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "csr_array": sp.csr_array}[stored](X)
    if "explicit zeros" in spec["faults"] and made.nnz:
        made.data[0] = 0
    return made


def labels_of(kind: str, n: int, rng: np.random.Generator) -> pd.Series:
    """Labels of regions."""
    codes = np.arange(n) * 3 // max(n, 1)
    text = np.array(["cortex", "medulla", "ünïcode β"], dtype=object)[codes]
    index = [f"s{i}" for i in range(n)]
    if kind in ("categorical", "unused"):
        levels = ["medulla", "cortex", "ünïcode β", *(["never"] if kind == "unused" else [])]
        return pd.Series(pd.Categorical(text, levels), index=index)
    if kind in ("some NaN", "some None"):
        text[rng.random(n) < 0.4] = np.nan if kind == "some NaN" else None
    made: dict[str, Any] = {
        "int": codes,
        "float": codes / 2,
        "bool": codes > 1,
        "missing": np.full(n, np.nan),
        "one class": np.full(n, "all", dtype=object),
        "all different": np.array(index, dtype=object),
        "words for missing": np.where(codes == 1, "NA", np.where(codes == 2, "nan", "cortex")).astype(object),
        "mixed": np.array([1, "a", 2.5], dtype=object)[codes],
        "empty text": np.where(codes == 1, "", "cortex").astype(object),
        "nullable": pd.array([None if c == 1 else int(c) for c in codes], dtype="Int64"),
        "rare": np.array(["rare", *["cortex"] * (n - 1)], dtype=object),
    }
    return pd.Series(made.get(kind, text), index=index)


def places_of(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Any]:
    """(row, col) on a lattice, and coordinates."""
    width = max(int(np.sqrt(n)), 1)
    index = np.column_stack([np.arange(n) // width, np.arange(n) % width])
    if kind == "hexagonal":
        index[:, 1] = 2 * index[:, 1] + index[:, 0] % 2
    xy: Any = index[:, ::-1] * (1.0 if kind != "hexagonal" else np.array([0.5, np.sqrt(3) / 2]))
    if kind == "scattered":
        xy = rng.normal(size=(n, 2)) * 10
    elif kind == "int":
        xy = xy.astype(int)
    elif kind == "float32":
        xy = xy.astype(np.float32)
    elif kind in ("3d", "4d"):
        xy = np.column_stack([xy, *[np.zeros(n)] * (int(kind[0]) - 2)])
    elif kind == "line":
        xy = np.column_stack([np.arange(n), np.zeros(n)]).astype(float)
    elif kind == "one place":
        xy = np.zeros((n, 2))
    elif kind == "far":
        xy = xy + 1e9
    elif kind == "1d":
        xy = np.arange(n)[:, None].astype(float)
    elif kind == "NaN":
        xy[0, 0] = np.nan
    elif kind == "1e300":
        xy = xy * 1e300
    elif kind == "text":
        xy = xy.astype(str)
    return index, xy


def make_tissue(spec: dict[str, Any]) -> AnnData:
    """The AnnData that is described."""
    n, p, rng = spec["n"], spec["p"], np.random.default_rng(spec["seed"])
    X = make_array(counts_of(rng, n, p), spec, rng)
    index, xy = places_of(spec["places"], n, rng)
    obs = pd.DataFrame(
        {
            "array_row": index[:, 0],
            "array_col": index[:, 1],
            "label": labels_of(spec["labels"], n, rng),
            "sample": [f"s{i * spec['samples'] // n}" for i in range(n)],
        },
        index=[f"s{i}" for i in range(n)],
    )
    other = spec["other"]
    if "odd obs" in other:
        obs["tuples"] = [(i, None) for i in range(n)]
        obs["5"] = [object if i % 2 else "a" for i in range(n)]
    if "in_tissue" in other:
        obs["in_tissue"] = [str(int(rng.random() < 0.8)) for _ in range(n)]
    if "array text" in other:
        obs["array_row"] = ["a", *obs["array_row"].astype(str)[1:]]
    var = pd.DataFrame(index=["g0" if "same gene names" in other else f"g{j}" for j in range(p)])
    if "same spot names" in other:
        obs.index = ["s0"] * n
    adata = AnnData(None if "no X" in other else X, obs=obs, var=var)
    if spec["places"] == "frame":
        adata.obsm["spatial"] = pd.DataFrame(xy, index=obs.index, columns=["x", "y"])
    elif spec["places"] != "none":
        adata.obsm["spatial"] = xy
    if "no X" in other:
        adata.layers["counts"] = X
    return adata[:, np.arange(p)[::-1]] if "view" in other else adata


def arrays(*, sparse: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Describe the rows that an estimator is given."""
    return st.fixed_dictionaries(
        {
            "n": mostly(list(range(12, 40)), list(range(1, 6))),
            "p": mostly(list(range(3, 12)), [1, 2, 60]),
            "seed": st.integers(0, 999),
            "stored": st.sampled_from(STORED) if sparse else mostly(["dense", "fortran"], STORED),
            "dtype": mostly(DTYPES[:4], DTYPES),
            "faults": mostly([()], [(fault,) for fault in X_FAULTS]),
            "labels": mostly(LABELS[:3], LABELS),
            "frame": st.booleans(),
        }
    )
