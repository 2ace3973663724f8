"""Smoothing by neighbours: every method is a sparse matrix of weights that sum to 1 in each row.

The value of a gene at a new site is the weighted mean of its values at measured spots, so that one product
of a sparse matrix with a block of genes imputes them all, and leaving one spot out means forbidding it
its own weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from transst_py._core.validation import check_whole_number

__all__ = [
    "Neighbourhood",
    "find_neighbours",
    "kernel_weights",
    "knn_weights",
    "nearest_weights",
    "typical_spacing",
]

# Distances that agree to this relative precision count as equal: lattice positions carry rounding noise.
TIE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Neighbourhood:
    """The measured spots around each site.

    Attributes
    ----------
    distance
        float64 (m, k), ascending; infinite where a site has fewer neighbours, or must not see itself.
    index
        Measured spot, int64 (m, k); arbitrary but valid where the distance is infinite.
    priority
        Rank of each measured spot by position, int64 (n,): decides between equally near spots in a way
        that does not depend on the order of the spots.
    """

    distance: np.ndarray
    index: np.ndarray
    priority: np.ndarray

    def as_matrix(self, weights: np.ndarray) -> sp.csr_matrix:
        """Lay out weights (m, k) as a csr float32 matrix (m, n) whose rows sum to 1."""
        m, k = self.index.shape
        weights = weights / weights.sum(axis=1, keepdims=True)
        indptr = np.arange(0, m * k + 1, k)
        shape = (m, self.priority.size)
        matrix = sp.csr_matrix((weights.astype(np.float32).ravel(), self.index.ravel(), indptr), shape=shape)
        matrix.eliminate_zeros()
        return matrix


def find_neighbours(
    measured: np.ndarray, sites: np.ndarray | None = None, *, n_neighbors: int
) -> Neighbourhood:
    """Find the nearest measured spots of each site.

    Parameters
    ----------
    measured
        Positions of the measured spots, (n, d), n >= 2.
    sites
        Positions to impute, (m, d). None: the measured spots themselves, each blind to itself.
    n_neighbors
        Neighbours a site, cut to what there is.
    """
    leave_one_out = sites is None
    at = measured if sites is None else sites
    k = min(n_neighbors + leave_one_out, len(measured))
    # `query` drops the last axis for k = 1.
    distance, index = (np.reshape(found, (len(at), k)) for found in cKDTree(measured).query(at, k=k))
    if leave_one_out:
        distance[index == np.arange(len(at))[:, None]] = np.inf
        order = np.argsort(distance, axis=1, kind="stable")
        distance, index = (np.take_along_axis(a, order, axis=1) for a in (distance, index))
    priority = np.empty(len(measured), dtype=np.int64)
    priority[np.lexsort(measured.T)] = np.arange(len(measured))
    return Neighbourhood(distance=distance, index=index, priority=priority)


def nearest_weights(neighbours: Neighbourhood) -> sp.csr_matrix:
    """Give all weight to the nearest spot; of equally near ones to the first by position."""
    distance, index = neighbours.distance, neighbours.index
    tied = distance <= distance[:, :1] * (1.0 + TIE_TOLERANCE)
    priority = np.where(tied, neighbours.priority[index], neighbours.priority.size)
    first = priority.argmin(axis=1)[:, None]
    return neighbours.as_matrix((np.arange(index.shape[1]) == first).astype(np.float64))


def kernel_weights(neighbours: Neighbourhood, bandwidth: float) -> sp.csr_matrix:
    """Weigh the neighbours by a Gaussian kernel of their distance (Nadaraya-Watson).

    w_ij = exp(-(d_ij^2 - d_i^2) / (2 bandwidth^2)), with d_i the distance to the nearest spot: it cancels
    in the weighted mean and keeps sites far from every spot from a division of 0 by 0.
    """
    distance = neighbours.distance
    exponent = (distance**2 - distance[:, :1] ** 2) / (2.0 * bandwidth**2)
    return neighbours.as_matrix(np.exp(-exponent))


def knn_weights(neighbours: Neighbourhood, k: int) -> sp.csr_matrix:
    """Weigh the k nearest spots equally.

    Spots that are equally far at the k-th place share the weight that is left: with 2 places for 4 of them,
    each counts half. So the result depends neither on the order of the spots nor on rounding noise.

    Parameters
    ----------
    neighbours
        Must reach beyond the k-th nearest spot and those as far as it, or hold all spots.
    k
        Spots that count, cut to what there is.

    Raises
    ------
    TypeError, ValueError
        `k` is no whole number from 1 on; the neighbourhood may end among spots that are equally far.
    """
    check_whole_number("k", k, at_least=1)
    distance = neighbours.distance
    n_found = np.isfinite(distance).sum(axis=1)
    last = np.take_along_axis(distance, n_found[:, None] - 1, axis=1)
    kth = np.take_along_axis(distance, np.minimum(k, n_found)[:, None] - 1, axis=1)
    cut = distance.shape[1] < neighbours.priority.size
    if cut and (last <= kth * (1.0 + TIE_TOLERANCE)).any():
        raise ValueError(
            f"`k`: neighbourhoods of {distance.shape[1]} spots end among those as far as the {k}-th nearest; "
            "find more neighbours"
        )
    nearer = distance < kth * (1.0 - TIE_TOLERANCE)
    tied = ~nearer & (distance <= kth * (1.0 + TIE_TOLERANCE))
    left = np.minimum(k, n_found)[:, None] - nearer.sum(axis=1, keepdims=True)
    return neighbours.as_matrix(nearer + tied * (left / tied.sum(axis=1, keepdims=True)))


def typical_spacing(measured: np.ndarray) -> float:
    """Return the median distance from a spot to its nearest other spot; positions (n, d), n >= 2.

    Raises
    ------
    ValueError
        Most spots share their position with another one.
    """
    spacing = float(np.median(find_neighbours(measured, n_neighbors=1).distance[:, 0]))
    if spacing == 0:
        raise ValueError("most spots share their position with another spot; is this one section?")
    return spacing
