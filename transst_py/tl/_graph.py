"""The neighbourhood graph of an AnnData, by any of the ways to define it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.options import DEFAULTS
from transst_py._core.validation import list_some
from transst_py._core.warn import warn
from transst_py.tissue.graph import (
    check_connectivities,
    find_radius,
    lattice_neighbors,
    radius_neighbors,
    spatial_neighbors,
)
from transst_py.tl._gate import check_coordinates, check_lattice_columns

__all__ = ["neighborhood_graph"]

KINDS = ("auto", "knn", "radius", "lattice")
# Where squidpy.gr.spatial_neighbors says which entry of obsp it has written.
SQUIDPY = "spatial_neighbors"


def neighborhood_graph(
    adata: AnnData,
    graph: Any,
    *,
    spatial_key: str,
    samples: np.ndarray | None,
    n_neighbors: int,
    radius: float | None,
) -> tuple[sp.csr_matrix, dict[str, Any]]:
    """Build the graph that the options of `tl.transst` ask for.

    Parameters
    ----------
    adata
        The spots; positions in `obsm[spatial_key]`, which only "knn" and "radius" look at.
    graph, spatial_key, n_neighbors, radius
        See `tl.transst`.
    samples
        (n,) sample of each spot; `None` means one sample.

    Returns
    -------
    The (n, n) graph, and its record: `kind` ("matrix" if it is the user's, "squidpy" if "auto" found one),
    `mean_neighbors`, of "radius" the `radius`, and of "squidpy" its name in `obsp`.

    Raises
    ------
    ValueError, KeyError
        An unknown kind; what the kind needs is not there or does not fit.

    Warns
    -----
    UserWarning
        Spots have no neighbours or share a position; edges between samples are left out.
    """
    kind = graph if isinstance(graph, str) and graph in KINDS else "matrix"
    squidpys = _name_of_squidpys(adata) if kind == "auto" else None
    if kind == "auto":
        kind = "knn" if squidpys is None else "squidpy"
    record: dict[str, Any] = {"kind": kind}
    if radius is not None and kind != "radius":
        found = repr(graph) if isinstance(graph, str) else "a matrix"
        raise ValueError(f"`radius` was given, but `graph` is {found}; it belongs to graph='radius'")
    if squidpys is not None and n_neighbors != DEFAULTS.n_neighbors:
        raise ValueError(
            f"`n_neighbors`={n_neighbors} was given, but graph='auto' uses squidpy's graph, "
            f"adata.obsp[{squidpys!r}]; set graph='knn' for the nearest {n_neighbors}, or leave it out"
        )
    if squidpys is not None:
        record["obsp"] = squidpys
        built = check_connectivities(adata.obsp[squidpys], adata.n_obs, samples=samples, argument="graph")
    elif kind == "knn":
        xy = check_coordinates(adata, spatial_key)
        built = spatial_neighbors(xy, n_neighbors=n_neighbors, samples=samples)
    elif kind == "radius":
        xy = check_coordinates(adata, spatial_key)
        record["radius"] = find_radius(xy, samples=samples) if radius is None else radius
        built = radius_neighbors(xy, radius=record["radius"], samples=samples)
    elif kind == "lattice":
        built = lattice_neighbors(check_lattice_columns(adata), samples=samples)
    else:
        matrix = _stored(adata, graph) if isinstance(graph, str) else graph
        built = check_connectivities(matrix, adata.n_obs, samples=samples, argument="graph")
    _warn_alone(built)
    return built, record | {"mean_neighbors": built.nnz / adata.n_obs}


def _name_of_squidpys(adata: AnnData) -> str | None:
    """Return the name in `obsp` of the graph that squidpy has made, if it is still there."""
    described = adata.uns.get(SQUIDPY)
    name = described.get("connectivities_key") if isinstance(described, Mapping) else None
    return str(name) if name in adata.obsp else None


def _stored(adata: AnnData, name: str) -> Any:
    if name not in adata.obsp:
        raise ValueError(
            f"`graph`: unknown value {name!r}; choose one of {', '.join(KINDS)}, a sparse matrix, or the "
            f"name of one in adata.obsp, which has {list_some(list(adata.obsp)) or 'none'}"
        )
    return adata.obsp[name]


def _warn_alone(graph: sp.csr_matrix) -> None:
    alone = int((np.diff(graph.indptr) == 0).sum())
    if alone:
        warn(
            f"{alone} of {graph.shape[0]} spots have no neighbours; their domain comes from their expression "
            "alone"
        )
