"""Sums of cells, small bins or transcripts on a square lattice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.typing import Matrix, SpatialDataLike
from transst_py._core.validation import check_whole_number
from transst_py._core.warn import warn
from transst_py.expression.values import check_counts
from transst_py.imputation.smoothers import find_neighbours
from transst_py.tl._gate import check_anndata, check_coordinates, check_matrix, check_samples
from transst_py.tl._images import with_images

__all__ = ["bin_cells"]

# Whole numbers up to here are exact in float32.
MAX_EXACT_FLOAT32 = 2**24
# Bins are numbered in int64, through all samples, empty ones included.
MAX_BINS = 2**62


def bin_cells(
    adata: AnnData | SpatialDataLike,
    *,
    bin_size: float,
    layer: str | None = None,
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    min_cells: int = 1,
) -> AnnData:
    """Sum the counts of the cells in each square of a lattice.

    For data without a lattice of their own, such as cells of imaging platforms or transcripts (each a row
    with one count), and for bins that are too small. The lattice starts at the smallest coordinates of the
    sample, its first axis (x) runs along the columns and its second (y) along the rows. A cell on the line
    between two squares belongs to the one with the larger coordinate.

    Parameters
    ----------
    adata
        Cells x genes, with 2 coordinates each; not changed. Of a SpatialData: its only table.
    bin_size
        Side of the squares, in units of the coordinates.
    layer
        Layer with the counts; None is `adata.X`.
    spatial_key
        Key of the coordinates in `adata.obsm`, and in the result.
    sample_key
        Column of `adata.obs` that says which sample (section) a cell is of; None: all are of one. Every
        sample has a lattice of its own.
    min_cells
        Squares with fewer cells are left out, with the cells in them. Those without cells always are.

    Returns
    -------
    A new AnnData of the squares, by sample, row and column; names "rowxcol", with several samples
    "sample_rowxcol":

    `X`
        Summed counts, csr: int64 if the counts are integers, else of their type (float64 where float32 would
        not hold the sums exactly).
    `obs["array_row"]`, `obs["array_col"]`
        Position on the sample's lattice, int64. They count from 0 at the smallest coordinates, whether or
        not the squares there are left out.
    `obs["n_cells"]`
        Number of cells, int64.
    `obs[sample_key]`
        Sample, if `sample_key` is given.
    `obsm[spatial_key]`
        Centres of the squares, float64 (bins, 2).
    `var`
        As in `adata`.
    `uns["spatial"]`
        Images of the tissue, copied from `adata` if it has any.
    `uns["binning"]`
        dict: `bin_size`, `units` (of `bin_size` and `origin`), `min_cells`, `n_cells` (cells given),
        `n_dropped` (cells in squares that were left out), `origin` (corner of the lattice, float64 (2,)).
        With `sample_key` also that and `samples` (their names, sorted), and `origin` has a row for each.

    Raises
    ------
    KeyError
        No such layer, coordinates or sample column.
    TypeError
        `bin_size` is no number, or `min_cells` no whole number.
    ValueError
        `bin_size` is not positive, so large that a sample has fewer than 2 x 2 squares, or absurdly small; no
        square has `min_cells` cells; negative or missing values; cells without a position or with 3
        coordinates, or of no sample.

    Warns
    -----
    UserWarning
        Most squares that hold cells hold just one; or the values are no counts.
    """
    adata = check_anndata(adata)
    _check_bin_size(bin_size)
    check_whole_number("min_cells", min_cells, at_least=1)
    X = check_matrix(adata, layer)
    check_counts(X, or_normalized=False)
    xy = _plane_coordinates(adata, spatial_key)
    samples = None if sample_key is None else check_samples(adata, sample_key).astype(str).to_numpy(dtype=str)
    names, codes = (
        (None, np.zeros(len(xy), int)) if samples is None else np.unique(samples, return_inverse=True)
    )
    bins = _lay_squares(xy, float(bin_size), codes, names)
    if np.median(bins.n_cells) <= 1:
        _warn_of_single_cells(xy, float(bin_size), codes)
    kept = bins.n_cells >= min_cells
    if not kept.any():
        raise ValueError(
            f"`min_cells`: no bin has {min_cells} cells (the fullest has {bins.n_cells.max()}); "
            "lower it, or use larger bins"
        )
    given = adata.X if layer is None else adata.layers[layer]
    record = {
        "bin_size": float(bin_size),
        "units": "those of the coordinates",
        "min_cells": int(min_cells),
        "n_cells": adata.n_obs,
        "n_dropped": int(bins.n_cells[~kept].sum()),
        "origin": bins.origin[0] if names is None else bins.origin,
    }
    if names is not None:
        record |= {"sample_key": sample_key, "samples": names}
    binned = AnnData(
        X=_sum_rows(X, bins.members, given.dtype)[kept],
        obs=_bin_obs(bins, names, sample_key, adata.obs)[kept],
        var=adata.var.copy(),
        obsm={spatial_key: bins.centres()[kept]},
        uns={"binning": record},
    )
    return with_images(binned, adata)


@dataclass(frozen=True)
class _Squares:
    """The squares that hold cells, by sample, row and column.

    Attributes
    ----------
    sample
        Number of the square's sample, int64 (m,).
    index
        (row, col), int64 (m, 2).
    members
        Indicator of the cells in each square, csr float32 (m, n).
    origin
        Corner of the lattice of each sample, float64 (samples, 2).
    bin_size
        Side of the squares.
    """

    sample: np.ndarray
    index: np.ndarray
    members: sp.csr_matrix
    origin: np.ndarray
    bin_size: float

    @property
    def n_cells(self) -> np.ndarray:
        return np.asarray(np.diff(self.members.indptr).astype(np.int64))

    def centres(self) -> np.ndarray:
        return np.asarray(self.origin[self.sample] + (self.index[:, ::-1] + 0.5) * self.bin_size)


def _check_bin_size(bin_size: Any) -> None:
    """Refuse anything but one positive number.

    Raises
    ------
    TypeError, ValueError
        It is no number; it is not positive and finite.
    """
    if isinstance(bin_size, bool) or not isinstance(bin_size, (int, float, np.integer, np.floating)):
        raise TypeError(f"`bin_size` must be one number, in units of the coordinates, got {bin_size!r}")
    if not 0 < bin_size < np.inf:
        raise ValueError(f"`bin_size` must be positive and finite, got {bin_size}")


def _plane_coordinates(adata: AnnData, spatial_key: str) -> np.ndarray:
    xy = check_coordinates(adata, spatial_key)
    if xy.shape[1] != 2:
        raise ValueError(
            f"`spatial_key`: bins are squares, but the coordinates have {xy.shape[1]} columns; store the two "
            "in the plane of the section, and name the sections in a column for `sample_key`"
        )
    return xy


def _lay_squares(xy: np.ndarray, bin_size: float, codes: np.ndarray, names: np.ndarray | None) -> _Squares:
    """Find the square of each cell; `codes` are the numbers of the samples, `names` their names."""
    by_sample = pd.DataFrame(xy).groupby(codes)
    origin = by_sample.min().to_numpy()
    extent = by_sample.max().to_numpy() - origin
    _check_extent(extent, bin_size, names)
    index = np.floor((xy - origin[codes]) / bin_size).astype(np.int64)[:, ::-1]
    shape = (len(origin), *(index.max(axis=0) + 1))
    key = np.ravel_multi_index((codes, *index.T), shape)
    filled, square, n_cells = np.unique(key, return_inverse=True, return_counts=True)
    members = sp.csr_matrix(
        (
            np.ones(len(xy), dtype=np.float32),
            np.argsort(square, kind="stable"),
            np.concatenate([[0], np.cumsum(n_cells)]),
        ),
        shape=(len(filled), len(xy)),
    )
    sample, row, col = np.unravel_index(filled, shape)
    return _Squares(sample, np.column_stack([row, col]), members, origin, bin_size)


def _check_extent(extent: np.ndarray, bin_size: float, names: np.ndarray | None) -> None:
    """Refuse lattices of less than 2 x 2 squares, and of more than can be numbered."""
    with np.errstate(over="ignore"):  # infinitely many are too many
        n_along = np.floor(extent / bin_size) + 1
        total = len(extent) * n_along.max(axis=0).prod()
    small = (n_along < 2).any(axis=1)
    if small.any():
        first = int(small.argmax())
        where = "the cells extend" if names is None else f"the cells of sample {str(names[first])!r} extend"
        x, y = extent[first]
        raise ValueError(
            f"`bin_size` {bin_size:g} makes fewer than 2 x 2 bins: {where} over {x:.4g} x {y:.4g} in units "
            "of the coordinates; use smaller bins, or check the units"
        )
    if not total < MAX_BINS:
        raise ValueError(
            f"`bin_size` {bin_size:g} makes {total:.1e} bins, more than can be numbered; use larger bins, or "
            "check the units of the coordinates"
        )


def _warn_of_single_cells(xy: np.ndarray, bin_size: float, codes: np.ndarray) -> None:
    nearest = [
        find_neighbours(xy[codes == code], n_neighbors=1).distance[:, 0] for code in range(codes.max() + 1)
    ]
    warn(
        f"most bins hold a single cell: `bin_size` is {bin_size:g}, and the median distance from a cell to "
        f"its nearest is {np.median(np.concatenate(nearest)):.3g}; use larger bins, or check the units of "
        "the coordinates"
    )


def _sum_rows(X: Matrix, members: sp.csr_matrix, dtype: np.dtype) -> sp.csr_matrix:
    """Sum the rows of each square; `dtype` is that of the user's counts, which X holds as floats."""
    X = sp.csr_matrix(X)
    bound = float(X.max()) * np.diff(members.indptr).max()
    summed = sp.csr_matrix((members if bound <= MAX_EXACT_FLOAT32 else members.astype(np.float64)) @ X)
    summed.eliminate_zeros()
    summed.sort_indices()
    if dtype.kind != "f":
        return summed.astype(np.int64)
    return summed if summed.max() > MAX_EXACT_FLOAT32 else summed.astype(X.dtype)


def _bin_obs(
    bins: _Squares, names: np.ndarray | None, sample_key: str | None, cells: pd.DataFrame
) -> pd.DataFrame:
    labels = [f"{row}x{col}" for row, col in bins.index]
    if names is not None and len(names) > 1:
        labels = [f"{names[code]}_{label}" for code, label in zip(bins.sample, labels, strict=True)]
    table = pd.DataFrame(
        {"array_row": bins.index[:, 0], "array_col": bins.index[:, 1], "n_cells": bins.n_cells}, index=labels
    )
    if sample_key is not None:
        # The first cell of each square is of its sample.
        table[sample_key] = cells[sample_key].array.take(bins.members.indices[bins.members.indptr[:-1]])
    return table
