"""Neighbourhood graphs of the spots: symmetric, sparse, one block per sample.

Every graph is an (n, n) csr matrix of ones with a zero diagonal. `samples`, where a function takes it, is the
(n,) sample of each spot; `None` means one sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial import cKDTree
from sklearn.utils import gen_batches

from transst_py._core.precision import working_dtype
from transst_py._core.validation import check_whole_number
from transst_py._core.warn import warn
from transst_py.tissue.lattice import neighboring_sites

__all__ = [
    "averaged",
    "check_connectivities",
    "find_radius",
    "lattice_neighbors",
    "radius_neighbors",
    "spatial_neighbors",
]

# The graph has to stay sparse, and neighbours local.
MAX_NEIGHBORS = 100
# With more spots at the very distance of the last neighbour, positions are stacked.
MAX_TIES = 256
# Distances that agree to this relative precision count as equal: positions carry rounding noise.
TIE = 1 + 1e-6
# Spots whose neighbours are looked up together; bounds the memory.
BLOCK_SPOTS = 2**15
# Median number of neighbours within the radius that is found.
MEDIAN_NEIGHBORS = (4, 6)
# Spots averaged at a time.
_ROWS = 1 << 16


def averaged(graph: sp.csr_matrix, Z: np.ndarray, rounds: int = 1) -> np.ndarray:
    """Average every spot half with the mean of its neighbours, (n, r), a number of times.

    One round is a step of the lazy random walk, (I + A) / 2 with A the graph with rows of sum 1; a spot
    without neighbours keeps its value.
    """
    degrees = np.diff(graph.indptr)[:, None]
    for _ in range(rounds):
        result = np.empty_like(Z)
        for batch in gen_batches(len(Z), _ROWS):
            around = (graph[batch] @ Z) / np.maximum(degrees[batch], 1)
            result[batch] = np.where(degrees[batch] == 0, Z[batch], 0.5 * (Z[batch] + around))
        Z = result
    return Z


def spatial_neighbors(
    coordinates: np.ndarray, *, n_neighbors: int = 6, samples: np.ndarray | None = None
) -> sp.csr_matrix:
    """Join every spot to its nearest neighbours, within its sample, in both directions.

    Spots as far away as the last neighbour count too: on a lattice the graph then depends on the geometry
    alone, not on the order of the spots (4 neighbours on a square, 6 on a hexagonal lattice).

    Parameters
    ----------
    coordinates
        (n, 2) or (n, 3) positions.
    n_neighbors
        Neighbours of a spot, before the union with those that name it as theirs.
    samples
        See above.

    Raises
    ------
    ValueError
        `n_neighbors` is below 1 or above 100, or hundreds of spots share a position.

    Warns
    -----
    UserWarning
        Spots share a position.
    """
    check_whole_number("n_neighbors", n_neighbors, at_least=1)
    if n_neighbors > MAX_NEIGHBORS:
        raise ValueError(
            f"`n_neighbors` must be at most {MAX_NEIGHBORS}, got {n_neighbors}: 4 to 8 are usual"
        )
    _warn_stacked(coordinates, samples)
    return _joined(coordinates, samples, lambda xy: _nearest(xy, n_neighbors))


def radius_neighbors(
    coordinates: np.ndarray, *, radius: float, samples: np.ndarray | None = None
) -> sp.csr_matrix:
    """Join all spots of a sample that are no farther apart than a radius, in units of the coordinates.

    Raises
    ------
    ValueError
        `radius` is no positive number, or spots have more than 100 neighbours on average.

    Warns
    -----
    UserWarning
        Spots share a position.
    """
    if not (isinstance(radius, (int, float, np.number)) and 0 < radius < np.inf):
        raise ValueError(f"`radius` must be a positive number, got {radius!r}")
    _warn_stacked(coordinates, samples)
    return _joined(coordinates, samples, lambda xy: _within(xy, float(radius)))


def find_radius(coordinates: np.ndarray, *, samples: np.ndarray | None = None) -> float:
    """Find the radius within which the median number of neighbours lies in [4, 6].

    Half of the spots have at least 4 neighbours from the median distance to the fourth neighbour on, and
    half at most 6 up to that to the seventh: the radius is taken in the middle.

    Raises
    ------
    ValueError
        There is no such radius.
    """
    fewest, most = MEDIAN_NEIGHBORS
    distance = np.empty((len(coordinates), 2))
    for members in _members(len(coordinates), samples):
        xy = coordinates[members]
        tree = cKDTree(xy)
        # Spots in the order of the tree: several times faster. The first is the spot itself.
        distance[members[tree.indices]] = tree.query(xy[tree.indices], k=[fewest + 1, most + 2])[0]
    # Of the two in the middle, the ones that are safe for a median between them.
    ranks = len(coordinates) // 2, (len(coordinates) - 1) // 2
    low, high = (float(np.partition(column, r)[r]) for column, r in zip(distance.T, ranks, strict=True))
    if not low * TIE < high:
        why = f"{high:g} holds more already" if np.isfinite(low) else "most samples have too few spots"
        raise ValueError(
            f"`radius`: within none the median number of neighbours is {fewest} to {most} ({why}); give a "
            "radius, or use graph='knn'"
        )
    return (low + high) / 2 if np.isfinite(high) else low


def lattice_neighbors(indices: np.ndarray, *, samples: np.ndarray | None = None) -> sp.csr_matrix:
    """Join spots on neighbouring sites of a lattice, which is recognised for each sample by itself.

    Parameters
    ----------
    indices
        (row, col) of each spot, integers (n, 2). Hexagonal if row + col has one parity (Visium), with
        neighbours (r, c +- 2) and (r +- 1, c +- 1); else square, with (r +- 1, c) and (r, c +- 1). Steps that
        all indices have in common count as one.
    samples
        See above.

    Raises
    ------
    ValueError
        Spots of a sample share a site, or most spots have no neighbour in this pattern.
    """
    graph = _joined(indices, samples, neighboring_sites)
    alone = np.diff(graph.indptr) == 0
    if alone.mean() > 0.5:
        raise ValueError(
            "`graph`: obs['array_row'] and obs['array_col'] are neither a hexagonal lattice (Visium: row + "
            f"column even) nor a square one: {alone.sum()} of {len(alone)} spots would have no neighbour; "
            "use graph='knn'"
        )
    return graph


def check_connectivities(
    connectivities: Any,
    n: int,
    *,
    samples: np.ndarray | None = None,
    argument: str = "connectivities",
) -> sp.csr_matrix:
    """Return the user's graph, made symmetric and without weights.

    Raises
    ------
    ValueError
        It is no sparse (n, n) matrix of numbers >= 0.

    Warns
    -----
    UserWarning
        It has no edge at all, or edges between samples, which are left out.
    """
    if not sp.issparse(connectivities) or connectivities.shape != (n, n):
        shape = getattr(connectivities, "shape", None)
        found = type(connectivities).__name__ + ("" if shape is None else f" of shape {shape}")
        raise ValueError(f"`{argument}` must be a sparse matrix of shape ({n}, {n}), got {found}")
    edges = connectivities.tocoo()
    if edges.dtype.kind not in "fiub" or not (edges.data >= 0).all():
        raise ValueError(
            f"`{argument}` must hold numbers >= 0, where 0 means no neighbours; it has others "
            "(negative, missing, or no numbers)"
        )
    keep = edges.data > 0
    graph = _symmetric(edges.row[keep], edges.col[keep], n)
    if samples is not None:
        graph = _within_samples(graph, samples, argument)
    if graph.nnz == 0:
        warn("no spot has a neighbour: domains are found without space")
    return graph


def _members(n: int, samples: np.ndarray | None) -> list[np.ndarray]:
    """Numbers of the spots of each sample."""
    if samples is None:
        return [np.arange(n)]
    codes = np.unique(samples, return_inverse=True)[1]
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def _joined(
    places: np.ndarray, samples: np.ndarray | None, find_pairs: Callable[[np.ndarray], np.ndarray]
) -> sp.csr_matrix:
    """Graph of the pairs that are found in each sample."""
    if samples is None:
        i, j = find_pairs(places).T
    else:
        pairs = [members[find_pairs(places[members])] for members in _members(len(places), samples)]
        i, j = np.concatenate(pairs).T
    return _symmetric(i, j, len(places))


def _symmetric(i: np.ndarray, j: np.ndarray, n: int) -> sp.csr_matrix:
    """Graph of the pairs in both directions, without loops."""
    apart = i != j
    if not apart.all():
        i, j = i[apart], j[apart]
    # A byte for each of the two directions: the arrays of all edges are what large tissues have no room for.
    one_way = sp.coo_matrix((np.ones(len(i), dtype=np.int8), (i, j)), shape=(n, n)).tocsr()
    one_way.data[:] = 1  # pairs that were named twice
    graph = one_way + one_way.T.tocsr()
    graph.sort_indices()
    ones = np.ones(graph.nnz, dtype=working_dtype(n))
    # The sum has room for the edges of both: a copy has none to spare.
    return sp.csr_matrix((ones, graph.indices.copy(), graph.indptr), shape=(n, n))


def _nearest(xy: np.ndarray, k: int) -> np.ndarray:
    """Pairs (i, j), j no farther from i than its k-th neighbour."""
    k = min(k, len(xy) - 1)
    tree = cKDTree(xy)
    # Spots in the order of the tree: several times faster.
    blocks = np.array_split(tree.indices, len(xy) // BLOCK_SPOTS + 1)
    # Columns, not rows, lie together: each is used by itself.
    found = [pairs for block in blocks for pairs in _nearest_of(block, xy, tree, k)]
    return np.stack([np.concatenate([pairs[end] for pairs in found]) for end in (0, 1)]).T


def _nearest_of(
    spots: np.ndarray, xy: np.ndarray, tree: cKDTree, k: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    # Twice as many hold the ties at the k-th distance on every lattice; the first is the spot itself.
    m = 2 * k + 2
    found = []
    while spots.size:
        m = min(m, len(xy))
        distance, neighbor = tree.query(xy[spots], k=range(1, m + 1))
        near = distance <= distance[:, [k]] * TIE
        more = near[:, -1] & (m < len(xy))  # ties may go on
        if more.any() and m - k > MAX_TIES:
            raise ValueError(
                f"{more.sum()} or more spots have over {MAX_TIES} others exactly as near as neighbour {k} of "
                "`n_neighbors`: positions are stacked or equal; check the coordinates"
            )
        which, place = np.nonzero(near & ~more[:, None])
        found.append((spots[which].astype(np.int32), neighbor[which, place].astype(np.int32)))
        spots = spots[more]
        m *= 2
    return found


def _within(xy: np.ndarray, radius: float) -> np.ndarray:
    """Pairs of spots no farther apart than the radius."""
    tree = cKDTree(xy)
    mean = tree.count_neighbors(tree, radius) / len(xy) - 1
    if mean > MAX_NEIGHBORS:
        nearest = np.median(tree.query(xy, k=[2])[0])
        raise ValueError(
            f"`radius`={radius:g} gives {mean:.0f} neighbours on average, more than {MAX_NEIGHBORS}; the "
            f"nearest spot is {nearest:.3g} away (median)"
        )
    return np.asarray(tree.query_pairs(radius * TIE, output_type="ndarray"))


def _within_samples(graph: sp.csr_matrix, samples: np.ndarray, argument: str) -> sp.csr_matrix:
    edges = graph.tocoo()
    across = samples[edges.row] != samples[edges.col]
    if not across.any():
        return graph
    warn(
        f"`{argument}`: {across.sum() // 2} of {graph.nnz // 2} edges join spots of different samples; they "
        "are left out"
    )
    return _symmetric(edges.row[~across], edges.col[~across], graph.shape[0])


def _warn_stacked(coordinates: np.ndarray, samples: np.ndarray | None) -> None:
    table = pd.DataFrame(coordinates)
    if samples is not None:
        table["sample"] = samples
    stacked = table.duplicated().sum()
    if stacked:
        warn(f"{stacked} spot(s) share their position with another spot")
