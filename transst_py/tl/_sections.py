"""From AnnData to what imputation methods are given: measured spots on one scale, section by section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.validation import check_names, list_some
from transst_py._core.warn import warn
from transst_py.expression.normalize import log_expression, median_total
from transst_py.imputation.holdout import dense_index
from transst_py.imputation.smoothers import typical_spacing
from transst_py.imputation.spots import Section, Sites
from transst_py.tissue.lattice import Lattice, infer_square_indices
from transst_py.tl._gate import LATTICE_COLUMNS, check_lattice_columns, check_matrix, check_samples
from transst_py.tl._samples import rows_of_samples

__all__ = [
    "Expression",
    "Places",
    "check_in_tissue",
    "cut_sections",
    "find_places",
    "gene_columns",
    "lattice_places",
    "lay_lattice",
    "measured_expression",
    "measured_mask",
    "one_kind",
    "sample_names",
]


@dataclass(frozen=True)
class Expression:
    """Measured spots on the scale that is imputed.

    Attributes
    ----------
    values
        csc float32 (n, p).
    noise
        Variance of each spot's noise relative to a spot of median total, float64 (n,). That of counts is
        inverse to the total, that of what makes spots differ at random is the same for all: in between, the
        square root.
    target_sum
        Total that spots are scaled to; NaN if they are not.
    """

    values: sp.csc_matrix
    noise: np.ndarray
    target_sum: float

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return "as given" if np.isnan(self.target_sum) else "log(1 + counts * target_sum / total)"


def measured_expression(adata: AnnData, layer: str | None, normalization: str) -> Expression:
    """Bring measured spots to the scale that is imputed.

    Only measured spots may be in `adata`: what is to be predicted has no part in the library size either.
    """
    if adata.n_obs < 2:
        raise ValueError(f"{adata.n_obs} measured spot(s); imputation needs at least two")
    X = check_matrix(adata, layer)
    values = sp.csc_matrix(log_expression(X, normalization), dtype=np.float32)
    if normalization == "none":
        return Expression(values, np.ones(adata.n_obs), np.nan)
    target_sum = median_total(X)
    totals = np.asarray(X.sum(axis=1), dtype=np.float64).ravel()
    return Expression(values, np.sqrt(target_sum / np.maximum(totals, 1.0)), target_sum)


@dataclass(frozen=True)
class Places:
    """Where spots lie: coordinates, float64 (n, d); site numbers, int64 (n, 2), if on a lattice; its kind."""

    xy: np.ndarray
    index: np.ndarray | None = None
    kind: str | None = None

    def sites(self, rows: np.ndarray, spacing: float) -> Sites:
        """Some of the places in units of the spacing."""
        return Sites(self.xy[rows] / spacing, None if self.index is None else self.index[rows])


def cut_sections(
    expression: Expression, places: Places, known: np.ndarray, groups: Sequence[np.ndarray]
) -> tuple[list[Section], list[Sites], np.ndarray]:
    """Cut spots into sections: what is known of each, and the sites where it is not.

    Parameters
    ----------
    expression
        Of the known spots, in their order in `places`: there is none of the others.
    places
        Where all spots lie, known or not.
    known
        Logical, one value for each place.
    groups
        Row numbers of each section's places.

    Returns
    -------
    Known spots, and sites, of each section; and its spacing, float64 (sections,).
    """
    rank = np.cumsum(known) - 1  # row of a known spot among the known ones
    sections, sites, spacings = [], [], []
    for rows in groups:
        shown, hidden = rows[known[rows]], rows[~known[rows]]
        spacing = typical_spacing(places.xy[shown])
        own = rank[shown]
        sections.append(
            Section(expression.values[own], places.sites(shown, spacing), expression.noise[own], places.kind)
        )
        sites.append(places.sites(hidden, spacing))
        spacings.append(spacing)
    return sections, sites, np.array(spacings)


def lay_lattice(adata: AnnData, xy: np.ndarray, sample: str | None = None) -> Lattice:
    """Read the lattice of one section from its columns, or a square one from the coordinates.

    Raises
    ------
    ValueError
        There is none.
    """
    try:
        if any(name in adata.obs for name in LATTICE_COLUMNS):
            indices = check_lattice_columns(adata)
        else:
            indices = infer_square_indices(xy)
        return Lattice.from_indices(indices, xy)
    except ValueError as error:
        if sample is None:
            raise
        raise ValueError(f"sample {str(sample)!r}: {error}") from error


def lattice_places(adata: AnnData, xy: np.ndarray, samples: np.ndarray | None) -> Places:
    """Number the sites of all spots, section by section.

    Raises
    ------
    ValueError
        A section is on no lattice, or they are on different kinds of lattice.
    """
    index = np.empty((adata.n_obs, 2), dtype=np.int64)
    kinds = set()
    for name, rows in rows_of_samples(samples, adata.n_obs):
        lattice = lay_lattice(adata[rows], xy[rows], name)
        index[rows] = dense_index(lattice.index, lattice.kind)
        kinds.add(lattice.kind)
    return Places(xy, index, one_kind(kinds))


def find_places(
    adata: AnnData, xy: np.ndarray, samples: np.ndarray | None, *, needed_by: str | None, otherwise: str
) -> Places:
    """Number the sites of all spots if that is needed, or if there are the columns for it.

    To be called by what users call through one function more, which the warning steps over.

    Parameters
    ----------
    adata, xy, samples
        All spots, where they lie, and their samples.
    needed_by
        What cannot do without a lattice, for the error; None if nothing needs one.
    otherwise
        What follows if there is none, for the warning.

    Raises
    ------
    ValueError
        There is no lattice although one is needed.

    Warns
    -----
    UserWarning
        None is needed, but there are columns for one that cannot be used.
    """
    if needed_by is None and not all(name in adata.obs for name in LATTICE_COLUMNS):
        return Places(xy)
    try:
        return lattice_places(adata, xy, samples)
    except ValueError as error:
        if needed_by is not None:
            raise ValueError(
                f"{needed_by} needs a lattice: {error}. Do without, or bin the cells with "
                "transst_py.tl.bin_cells"
            ) from error
        warn(f"the lattice columns cannot be used, so {otherwise}: {error}")
        return Places(xy)


def one_kind(kinds: set[str]) -> str:
    """Return the kind of lattice that all sections have.

    Raises
    ------
    ValueError
        They differ.
    """
    if len(kinds) > 1:
        raise ValueError("the samples lie on both square and hexagonal lattices; impute them one by one")
    return kinds.pop()


def measured_mask(adata: AnnData, layer: str | None) -> np.ndarray:
    """Tell which spots are measured: by `obs["measured"]`, or else by having counts."""
    if "measured" in adata.obs:
        return _as_flags(adata, "measured")
    X = check_matrix(adata, layer)
    empty = np.asarray(X.astype(bool).sum(axis=1)).ravel() == 0
    if empty.any():
        warn(
            f"{empty.sum()} of {empty.size} spots have no counts and are taken as not measured "
            f"({list_some(adata.obs_names[empty])}); say which are in adata.obs['measured']"
        )
    return np.asarray(~empty)


def sample_names(adata: AnnData, sample_key: str | None, measured: np.ndarray) -> np.ndarray | None:
    """Return the name of each spot's sample, or None if all spots are of one."""
    if sample_key is None:
        return None
    samples: np.ndarray = check_samples(adata, sample_key).astype(str).to_numpy(dtype=str)
    names, codes = np.unique(samples, return_inverse=True)
    few = np.bincount(codes, weights=measured, minlength=len(names)) < 2
    if few.any():
        raise ValueError(
            f"`sample_key`: fewer than two measured spots in {few.sum()} of {len(names)} samples "
            f"({list_some(names[few].tolist())}); spots are imputed from their own sample only: remove these"
        )
    return samples


def check_in_tissue(adata: AnnData) -> None:
    """Refuse spots outside the tissue."""
    if "in_tissue" not in adata.obs:
        return
    outside = ~_as_flags(adata, "in_tissue")
    if outside.any():
        raise ValueError(
            f"{outside.sum()} of {outside.size} spots lie outside the tissue (obs['in_tissue']) and would "
            "blur its border; remove them first: adata[adata.obs['in_tissue'].astype(bool)].copy()"
        )


def gene_columns(adata: AnnData, genes: Sequence[str] | None) -> np.ndarray:
    """Return the column numbers of the wanted genes."""
    if genes is None:
        return np.arange(adata.n_vars)
    check_names("genes", genes)
    wanted = pd.Index(genes)
    if wanted.empty or not wanted.is_unique:
        raise ValueError("`genes` must name at least one gene, and none twice")
    columns: np.ndarray = adata.var_names.get_indexer(wanted)
    if (columns < 0).any():
        raise KeyError(f"`genes`: adata has no {list_some(wanted[columns < 0])}")
    return columns


def _as_flags(adata: AnnData, column: str) -> np.ndarray:
    """Return a column of `adata.obs` that holds True/False or 1/0 as a bool array."""
    values = adata.obs[column]
    if not values.isin([0, 1]).all():
        raise ValueError(f"adata.obs[{column!r}] must hold True or False (or 1 or 0) for every spot")
    return np.asarray(values.to_numpy(dtype=bool))
