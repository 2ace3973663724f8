"""Linear and cubic interpolation between measured spots, registered on their lattice."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Self

import numpy as np
from scipy.interpolate import LinearNDInterpolator, NdBSpline, NearestNDInterpolator, make_interp_spline
from sklearn.utils import gen_batches

from transst_py._core.validation import check_choice
from transst_py.imputation.gene_images import Frame, common_step
from transst_py.imputation.spots import Imputer, Prediction, Section, Sites

__all__ = ["ORDERS", "Interpolator", "can_interpolate", "interpolate"]

ORDERS = {"linear": 1, "cubic": 3}
# Below this share of measured sites in their bounding box, the indices are hardly those of a lattice, and the
# box would not fit into memory.
MIN_MEASURED = 0.02
# Of spots to be held out from: their number; their rows or columns, and how many of these have to stay.
FEWEST_SPOTS = 6
FEWEST_LINES = {"linear": (3, 2), "cubic": (6, 4)}
# More than methods hold out to be compared.
HELD_OUT = 1 / 3
# Genes at once: the splines are float64.
BLOCK_GENES = 512


class Interpolator(Imputer):
    """Bilinear or bicubic interpolation between the measured spots of a lattice, see `interpolate`.

    Parameters
    ----------
    order
        "linear" or "cubic".
    """

    def __init__(self, order: str) -> None:
        self.order = order

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Keep the measured spots: there is nothing to choose."""
        self._sections, self._genes = list(sections), genes
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Interpolate; values below the smallest measured one are raised to it."""
        measured = self._sections[section]
        parts = []
        for block in gen_batches(len(self._genes), BLOCK_GENES):
            values = measured.dense(self._genes[block])
            found = interpolate(values, measured.sites.lattice, sites.lattice, order=self.order)
            parts.append(np.maximum(found, values.min(axis=0)))
        return Prediction(np.concatenate(parts, axis=1))


def interpolate(values: np.ndarray, index: np.ndarray, sites: np.ndarray, *, order: str) -> np.ndarray:
    """Interpolate expression on the lattice of the measured spots.

    The measured lattice is the bounding box of `index` with the common step of either axis, so that a
    measured spot keeps its place among the finer sites. Holes in it are filled linearly from the spots
    around them (on a Delaunay triangulation), and outside the convex hull with the nearest measured value,
    both by distance in steps of the lattice. Then a tensor product of splines through all values is evaluated
    at the sites: bilinear, or bicubic with not-a-knot ends. Sites outside the box get the value at the
    nearest point of it.

    Parameters
    ----------
    values
        Expression of the measured spots, finite, (n, p).
    index
        Their indices, integers (n, 2): (row, col) of a square lattice, or axial coordinates of a hexagonal
        one (for Visium row and (col - row) / 2), in which every index pair is a site.
    sites
        Indices of the sites in the same units, integers (m, 2).
    order
        "linear" or "cubic".

    Returns
    -------
    float32 (m, p). Cubic values may overshoot: a gene that is nowhere negative may be interpolated below 0.

    Raises
    ------
    TypeError
        Indices that are no integers.
    ValueError
        Unknown `order`; wrong shapes; missing values; two spots on one site; spots that lie on one line, or
        are scattered over a box they hardly fill; "cubic" with fewer than 4 sites along an axis.
    """
    check_choice("order", order, tuple(ORDERS))
    _check_arrays(values, index, sites)
    # One order for the triangulation, whose choice between equal diagonals depends on it.
    by_position = np.lexsort(index.T[::-1])
    index, values = index[by_position].astype(np.int64), values[by_position].astype(np.float64)
    _check_layout(index)
    frame = Frame.around(index, common_step(index))
    grid = _complete(values, index, frame)
    if order == "cubic" and min(grid.shape[:2]) < 4:
        raise ValueError(
            f"`order`: cubic interpolation needs 4 or more sites along both axes of the lattice, found "
            f"{grid.shape[0]} x {grid.shape[1]}; use order='linear'"
        )
    inside = np.clip((sites - frame.origin) / frame.step, 0, np.array(grid.shape[:2]) - 1)
    return np.asarray(_spline(grid, ORDERS[order])(np.ascontiguousarray(inside)).astype(np.float32))


def can_interpolate(index: np.ndarray, order: str) -> bool:
    """Tell whether `interpolate` takes these spots, also when up to a third of them is held out.

    There have to be 6 spots, in 3 (for "cubic" 6) rows and columns, which fill 3 % of their bounding box.
    Whichever third is missing, the others must keep 2 (4) rows and columns, and may not all lie on one line.

    Parameters
    ----------
    index
        As of `interpolate`, no two spots on one site.
    order
        "linear" or "cubic".

    Raises
    ------
    ValueError
        Unknown `order`.
    """
    check_choice("order", order, tuple(ORDERS))
    if len(index) < FEWEST_SPOTS or _on_one_line(index):
        return False
    fewest, to_stay = FEWEST_LINES[order]
    row, col = index.T
    if min(len(np.unique(row)), len(np.unique(col))) < fewest:
        return False
    if min(_lines_left(row), _lines_left(col)) < to_stay:
        return False
    # Other lines have so few spots that no tissue lies on one.
    if min(_lines_left(row + col), _lines_left(row - col)) < 2:
        return False
    return len(index) * (1 - HELD_OUT) >= MIN_MEASURED * prod(Frame.around(index, common_step(index)).shape)


def _lines_left(number: np.ndarray) -> int:
    """Lines that keep a spot, whichever third of the spots is missing; `number` is that of a spot's line."""
    n_spots = np.sort(np.unique(number, return_counts=True)[1])
    n_missing = int(HELD_OUT * len(number))
    return len(n_spots) - int(np.searchsorted(np.cumsum(n_spots), n_missing, side="right"))


def _check_arrays(values: np.ndarray, index: np.ndarray, sites: np.ndarray) -> None:
    for name, pairs in (("index", index), ("sites", sites)):
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"`{name}` must have two columns (row, col), got shape {pairs.shape}")
        if pairs.dtype.kind not in "iu":
            raise TypeError(f"`{name}` must hold integers, got {pairs.dtype}; round lattice indices first")
    if values.ndim != 2 or len(values) != len(index):
        raise ValueError(f"`values` must have a row for each of {len(index)} spots, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(
            "`values` has missing or infinite values; leave these spots out of the measured ones"
        )


def _check_layout(index: np.ndarray) -> None:
    """Refuse spots that share a site or lie on one line; `index` is sorted by row and column."""
    n_twice = (np.diff(index, axis=0) == 0).all(axis=1).sum()
    if n_twice:
        raise ValueError(
            f"`index`: {n_twice} spots share their site with another; are these several sections?"
        )
    if _on_one_line(index):
        raise ValueError(
            f"`index`: all {len(index)} spots lie on one line of the lattice; interpolation needs two "
            "dimensions"
        )


def _on_one_line(index: np.ndarray) -> bool:
    return len(index) < 3 or bool(np.linalg.matrix_rank(index - index[0]) < 2)


def _complete(values: np.ndarray, index: np.ndarray, frame: Frame) -> np.ndarray:
    """Lay the values on their bounding box and fill its holes: float64 (rows, cols, p)."""
    shape = frame.shape
    if len(index) < MIN_MEASURED * prod(shape):
        raise ValueError(
            f"`index`: only {len(index)} of {shape[0]} x {shape[1]} sites of the lattice are measured; these "
            "are no indices of neighbouring spots, or are of several sections"
        )
    pixels = frame.pixels(index)
    grid = np.empty((*shape, values.shape[1]))
    grid[pixels] = values
    hole = ~frame.mark(index)
    if not hole.any():
        return grid
    places = np.argwhere(hole)
    measured = np.column_stack(pixels)
    filled = LinearNDInterpolator(measured, values)(places)
    outside = np.isnan(filled).any(axis=1)
    if outside.any():
        filled[outside] = NearestNDInterpolator(measured, values)(places[outside])
    grid[hole] = filled
    return grid


def _spline(grid: np.ndarray, degree: int) -> NdBSpline:
    """Return the tensor product spline through the values on a full grid, one axis after the other."""
    # RegularGridInterpolator solves for cubic coefficients by iteration, to about 1e-4, and scipy.ndimage
    # bends ramps at the ends. On 80 x 100 spots and 300 genes both take 3 to 4 times as long.
    knots, coefficients = [], grid
    for n in grid.shape[:2]:
        spline = make_interp_spline(np.arange(n), coefficients, k=degree)
        knots.append(spline.t)
        coefficients = spline.c.swapaxes(0, 1)
    return NdBSpline(tuple(knots), np.ascontiguousarray(coefficients), degree)
