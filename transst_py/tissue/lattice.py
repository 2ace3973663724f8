"""Lattices of spots: recognise one, name its neighbours, and lay a finer one between its spots.

A spot has integer indices (row, col). On a square lattice (legacy Spatial Transcriptomics, binned data)
every index pair is a site. On a hexagonal lattice (Visium) neighbours in a row are two columns apart and
every second row is shifted by one, so that row + col has one parity: "doubled" coordinates.

In either case the sites halfway between the spots of a lattice form a lattice of the same kind with half
the pitch: the point halfway between spots a and b has, in units of half a step, the indices a + b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["Lattice", "halve_pitch", "infer_square_indices", "neighboring_sites"]

# How far a spot may lie from its lattice site, as a share of the pitch (root mean square).
MAX_MISFIT = 0.25
# Differences of the indices of neighbouring sites. One of d and -d.
NEIGHBORS = {"square": [(0, 1), (1, 0)], "hexagonal": [(0, 2), (1, 1), (1, -1)]}
# The same of spots on either side of a site within which the site counts as tissue: neighbours, neighbours
# of neighbours with one spot between them, and what lies between.
BRIDGES = {
    "square": [*NEIGHBORS["square"], (1, 1), (1, -1), (0, 2), (2, 0), (1, 2), (2, 1), (1, -2), (2, -1)],
    "hexagonal": [*NEIGHBORS["hexagonal"], (1, 3), (1, -3), (2, 0), (0, 4), (2, 2), (2, -2)],
}

NOT_SQUARE = (
    "there are no lattice columns, and the coordinates are no square lattice: store integer "
    "obs['array_row'] and obs['array_col'] (Visium: row + column even), or bin the data; "
    "task='fill' needs coordinates only"
)


@dataclass(frozen=True)
class Lattice:
    """Spots on a lattice, with the affine map from indices to coordinates.

    Attributes
    ----------
    kind
        "square" or "hexagonal".
    index
        (row, col) of each spot, int64 (n, 2), from 0 and without common steps.
    origin, step
        Where `index` comes from: given indices = origin + step * index, int64 (2,) each.
    affine
        float64 (3, d): coordinates = [1, row, col] @ affine, by least squares.
    pitch
        Distance between neighbouring sites, in units of the coordinates.
    """

    kind: str
    index: np.ndarray
    origin: np.ndarray
    step: np.ndarray
    affine: np.ndarray
    pitch: float

    @classmethod
    def from_indices(cls, indices: np.ndarray, coordinates: np.ndarray) -> Lattice:
        """Describe the lattice of spots with known indices.

        Parameters
        ----------
        indices
            (row, col) of each spot, integers (n, 2).
        coordinates
            Positions, float64 (n, d).

        Raises
        ------
        ValueError
            Two spots share a site, the spots lie on one line, or the coordinates do not follow the
            indices.
        """
        kind, origin, step, index = _recognize(indices)
        if np.linalg.matrix_rank(_design(index)) < 3:
            raise ValueError("all spots lie on one line of the lattice; a finer lattice needs two dimensions")
        affine = _fit_affine(index, coordinates)
        lattice = cls(kind, index, origin, step, affine, _pitch(kind, affine))
        _check_misfit(lattice, coordinates)
        return lattice

    def positions(self, index: np.ndarray) -> np.ndarray:
        """Map (row, col) indices, possibly fractional, to coordinates."""
        return np.asarray(_design(index) @ self.affine)


def neighboring_sites(indices: np.ndarray) -> np.ndarray:
    """Find the pairs of spots on neighbouring sites: up to 4 of a spot on a square lattice, 6 on a hexagonal.

    Parameters
    ----------
    indices
        (row, col) of each spot, integers (n, 2).

    Returns
    -------
    int64 (m, 2), numbers of the spots, each pair once.

    Raises
    ------
    ValueError
        Two spots share a site.
    """
    kind, _, _, index = _recognize(indices)
    sites = _SiteSet(index)
    pairs = []
    for step in np.array(NEIGHBORS[kind]):
        neighbor = sites.find(index + step)
        spot = np.flatnonzero(neighbor >= 0)
        pairs.append(np.column_stack([spot, neighbor[spot]]))
    return np.concatenate(pairs)


def halve_pitch(lattice: Lattice) -> np.ndarray:
    """Lay the lattice with half the pitch between the spots of a lattice.

    A new site belongs to the tissue if it lies exactly halfway between two measured spots that are
    neighbours, share a neighbour, or (square lattice) are a knight's move apart. So sites are put between
    neighbouring spots, in the middle of cells, and on and around a single missing spot; never beyond the
    measured spots, and never into a gap wider than one spot.

    Returns
    -------
    (row, col) in half steps, int64 (m, 2): first the measured spots in their order, at twice their
    indices, then the new sites by row and column.
    """
    index = lattice.index
    lookup = _SiteSet(index)
    halfway = [2 * index]
    for bridge in np.array(BRIDGES[lattice.kind]):
        paired = index[lookup.contains(index + bridge)]
        halfway.append(2 * paired + bridge)
    sites = np.unique(np.concatenate(halfway), axis=0)
    new = ~_SiteSet(2 * index).contains(sites)
    return np.concatenate([2 * index, sites[new]])


def infer_square_indices(coordinates: np.ndarray) -> np.ndarray:
    """Find (row, col) of spots on a square lattice, possibly rotated, from their coordinates.

    The lattice's directions and pitch come from the differences between nearest spots; the indices are
    then rounded, and refined with the affine map fitted to them.

    Parameters
    ----------
    coordinates
        (n, 2) float64; x is counted as column, y as row.

    Returns
    -------
    int64 (n, 2).

    Raises
    ------
    ValueError
        The coordinates are no square lattice.
    """
    if coordinates.shape[1] != 2 or len(coordinates) < 4:
        raise ValueError("a square lattice is recognised from 4 or more spots with 2 coordinates each")
    axis, pitch = _square_axis(_nearest_differences(coordinates))
    frame = np.array([[axis.real, -axis.imag], [axis.imag, axis.real]])
    index = _round(((coordinates - coordinates[0]) @ frame / pitch)[:, ::-1])
    if np.linalg.matrix_rank(_design(index)) < 3:
        raise ValueError(NOT_SQUARE)
    for _ in range(10):
        affine = _fit_affine(index, coordinates)
        refined = _round((coordinates - affine[0]) @ np.linalg.inv(affine[1:]))
        if np.array_equal(refined, index):
            break
        index = refined
    if len(np.unique(index, axis=0)) < len(index):
        raise ValueError(NOT_SQUARE)
    return index


class _SiteSet:
    """Set of (row, col) pairs with a vectorised look-up."""

    def __init__(self, index: np.ndarray) -> None:
        # The margin of 4 keeps a step beyond one end of a row from landing in the next row.
        self._low = index.min(axis=0) - 4
        self._width = int(np.ptp(index[:, 1])) + 9
        keys = self._key(index)
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def _key(self, index: np.ndarray) -> np.ndarray:
        row, col = (index - self._low).T
        return np.asarray(row * self._width + col)

    def find(self, index: np.ndarray) -> np.ndarray:
        """Number of each pair, at most 4 steps outside the set's bounding box, in the set; -1: not in it."""
        keys = self._key(index)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[place] == keys, self._order[place], -1)

    def contains(self, index: np.ndarray) -> np.ndarray:
        """Tell for each pair, at most 4 steps outside the set's bounding box, whether it is in the set."""
        return self.find(index) >= 0


def _recognize(indices: np.ndarray) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Return the kind of lattice, the smallest indices, their common steps, and the indices without both."""
    _check_sites(indices)
    origin = indices.min(axis=0)
    step = np.maximum(np.gcd.reduce(indices - origin, axis=0), 1)
    index = (indices - origin) // step
    one_parity = np.ptp(index.sum(axis=1) % 2) == 0
    return "hexagonal" if one_parity else "square", origin, step, index


def _check_sites(indices: np.ndarray) -> None:
    sites, counts = np.unique(indices, axis=0, return_counts=True)
    if (counts > 1).any():
        row, col = sites[counts.argmax()]
        raise ValueError(
            f"{(counts > 1).sum()} lattice sites hold several spots (row {row}, column {col} holds "
            f"{counts.max()}); if these are several sections, say with `sample_key` which spot is of which"
        )


def _design(index: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(index)), index])


def _fit_affine(index: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.lstsq(_design(index), coordinates, rcond=None)[0])


def _pitch(kind: str, affine: np.ndarray) -> float:
    """Return the shortest distance between sites of a lattice."""
    bridges = np.array(BRIDGES[kind])
    return float(np.linalg.norm(bridges @ affine[1:], axis=1).min())


def _check_misfit(lattice: Lattice, coordinates: np.ndarray) -> None:
    residual = coordinates - lattice.positions(lattice.index)
    misfit = float(np.sqrt((residual**2).sum(axis=1).mean()))
    # Written so that a pitch of 0 (all coordinates equal) fails too.
    if not misfit < MAX_MISFIT * lattice.pitch:
        raise ValueError(
            f"the coordinates do not follow the lattice: spots lie {misfit:.3g} from their site where the "
            f"pitch is {lattice.pitch:.3g} (root mean square; at most {MAX_MISFIT:g} of the pitch is taken). "
            "Check that the lattice columns obs['array_row'], obs['array_col'] belong to these coordinates"
        )


def _nearest_differences(coordinates: np.ndarray) -> np.ndarray:
    """Return the vectors to spots at about the typical nearest distance, as complex numbers."""
    k = min(5, len(coordinates))
    distance, neighbour = map(np.asarray, cKDTree(coordinates).query(coordinates, k=k))
    typical = np.median(distance[:, 1])
    spot, which = np.nonzero((distance[:, 1:] > 0.8 * typical) & (distance[:, 1:] < 1.2 * typical))
    difference = coordinates[neighbour[spot, which + 1]] - coordinates[spot]
    return np.asarray(difference[:, 0] + 1j * difference[:, 1])


def _square_axis(difference: np.ndarray) -> tuple[complex, float]:
    """Return the unit vector of the lattice's columns and the pitch.

    The fourth power turns the four directions of a square lattice into one; the six of a hexagonal
    lattice, and random directions, cancel.
    """
    if difference.size == 0:
        raise ValueError(NOT_SQUARE)
    direction = np.mean((difference / np.abs(difference)) ** 4)
    if abs(direction) < 0.8:
        raise ValueError(NOT_SQUARE)
    return complex(np.exp(0.25j * np.angle(direction))), float(np.abs(difference).mean())


def _round(index: np.ndarray) -> np.ndarray:
    return np.round(index).astype(np.int64)
