"""The neighbourhood graph of the spots: symmetric, sparse, one block per sample."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from transst_py._validation import check_whole_number

__all__ = ["check_connectivities", "spatial_neighbors"]

# The graph has to stay sparse, and neighbours local.
MAX_NEIGHBORS = 100


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
        (n,) sample of each spot; `None` means one sample.

    Returns
    -------
    (n, n) symmetric csr matrix of ones, zero diagonal.

    Raises
    ------
    ValueError
        `n_neighbors` is below 1 or above 100.

    Warns
    -----
    UserWarning
        Spots share a position, or a sample has a single spot, which has no neighbours.
    """
    check_whole_number("n_neighbors", n_neighbors, at_least=1)
    if n_neighbors > MAX_NEIGHBORS:
        raise ValueError(
            f"`n_neighbors` must be at most {MAX_NEIGHBORS}, got {n_neighbors}: 4 to 8 are usual"
        )
    n = len(coordinates)
    samples = np.zeros(n, dtype=int) if samples is None else np.asarray(samples)
    edges = sp.csr_matrix((n, n))
    lonely, stacked = 0, 0
    for sample in np.unique(samples):
        members = np.flatnonzero(samples == sample)
        xy = coordinates[members]
        stacked += len(xy) - len(np.unique(xy, axis=0))
        if len(members) == 1:
            lonely += 1
            continue
        i, j = _nearest(xy, min(n_neighbors, len(members) - 1))
        edges += sp.csr_matrix((np.ones(len(i)), (members[i], members[j])), shape=(n, n))
    if lonely:
        warnings.warn(
            f"{lonely} spot(s) have no neighbours: each is alone in its sample", UserWarning, stacklevel=2
        )
    if stacked:
        warnings.warn(f"{stacked} spot(s) share their position with another spot", UserWarning, stacklevel=2)
    return symmetric(edges)


def _nearest(xy: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (i, j), j no farther from i than its k-th neighbour."""
    finder = NearestNeighbors().fit(xy)
    reach = finder.kneighbors(n_neighbors=k)[0][:, -1]
    # Ties at the k-th distance: twice as many neighbours hold them on every lattice.
    m = min(2 * k + 2, len(xy) - 1)
    distance, neighbor = finder.kneighbors(n_neighbors=m)
    near = distance <= reach[:, None] * (1 + 1e-6)
    return np.repeat(np.arange(len(xy)), m)[near.ravel()], neighbor[near]


def symmetric(edges: sp.csr_matrix) -> sp.csr_matrix:
    """Union of both directions, all weights one, no loops."""
    graph = sp.csr_matrix(edges + edges.T)
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.data[:] = 1.0
    graph.sort_indices()
    return graph


def check_connectivities(connectivities: Any, n: int) -> sp.csr_matrix:
    """Return the user's graph as a symmetric csr matrix of ones.

    Raises
    ------
    ValueError
        It is no sparse (n, n) matrix.

    Warns
    -----
    UserWarning
        It has no edge at all.
    """
    if not sp.issparse(connectivities) or connectivities.shape != (n, n):
        found = getattr(connectivities, "shape", type(connectivities).__name__)
        raise ValueError(f"`connectivities` must be a sparse matrix of shape ({n}, {n}), got {found}")
    graph = symmetric(sp.csr_matrix(connectivities, dtype=np.float64, copy=True))
    if graph.nnz == 0:
        warnings.warn("no spot has a neighbour: domains are found without space", UserWarning, stacklevel=2)
    return graph
