"""Imputation of spots of an AnnData: a finer lattice, or spots without a measurement."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._validation import (
    LATTICE_COLUMNS,
    check_choice,
    check_coordinates,
    check_lattice_columns,
    check_matrix,
    check_samples,
    check_unique_genes,
    list_some,
)
from transst_py.imputation.baselines import BaselineImputer, check_method
from transst_py.lattice import Lattice, halve_pitch, infer_square_indices
from transst_py.normalize import NORMALIZATIONS, log_expression, median_total

__all__ = ["impute"]

TASKS = ("densify", "fill")
MAX_OUTPUT_BYTES = 4 * 2**30


def impute(
    adata: AnnData,
    *,
    task: str = "densify",
    method: str = "auto",
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    normalization: str = "log",
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    random_state: int = 0,
) -> AnnData | None:
    """Predict expression between the measured spots, or at spots without a measurement.

    Values are imputed on the log-normalised scale, and measured values are kept as they are. Imputed
    values are weighted means of neighbours: fine to look at, but not independent observations, so do not
    test on them.

    Parameters
    ----------
    adata
        One section, or several with `sample_key`; spots x genes, all in tissue. Spots with `obs["measured"]`
        False (without that column: spots without counts) are not measured; what they hold is not looked at.
    task
        "densify": put sites between the spots of a lattice, with half its pitch (see
        `transst_py.lattice.halve_pitch` for which sites count as tissue). The lattice is read
        from `obs["array_row"]` and `obs["array_col"]`, square or hexagonal (Visium: row + column even);
        without these columns, a square lattice is recognised from the coordinates.
        "fill": impute the spots that are not measured. Needs coordinates only.
    method
        "nearest" (value of the nearest measured spot), "kernel" (Gaussian kernel with a bandwidth for
        each gene) or "auto" (the one with the lower leave-one-out error on the measured spots).
    genes
        Genes to impute; None is all.
    layer
        Layer with the expression; None is `adata.X`.
    normalization
        "log": the values are counts; every spot is scaled to the median total of the measured spots, then
        log(1 + x) is taken. "none": the values are imputed as they are.
    spatial_key
        Key of the coordinates in `adata.obsm`.
    sample_key
        Column of `adata.obs` that says which sample (section) a spot is of; None: all spots are of one. Spots
        are imputed from their own sample only, "densify" lays a lattice for each. The scale, the method and
        each gene's bandwidth (in units of the sample's spacing) are chosen over all samples together.
    random_state
        Seed, recorded; the present methods draw nothing.

    Returns
    -------
    task="densify": a new AnnData of the finer lattice, first the measured spots in their order, then the
    new sites; `adata` is not changed.

    `X`
        None: there are no counts between spots. The counts of measured spots stay in `adata`.
    `layers["imputed"]`
        float32 (sites, genes); the measured values at measured spots.
    `obs["measured"]`, `obs["in_tissue"]`
        bool; every site of the result is in the tissue.
    `obs["array_row"]`, `obs["array_col"]`
        Position on the finer lattice, int64; measured spots have even numbers. The original indices are
        `origin + step * fine / 2`, see `uns["imputation"]["lattice"]`.
    `obs[sample_key]`
        Sample, if `sample_key` is given.
    `obsm[spatial_key]`
        Coordinates, float64: own ones for measured spots, the least-squares affine map of the lattice for
        new sites.
    `uns["imputation"]`
        See below, plus `lattice` (with `sample_key` its entries are arrays along the samples).

    task="fill": None; `adata` gets

    `layers["imputed"]`
        csr float32 (spots, all genes); imputed at the spots to fill, log-normalised values elsewhere. Genes
        that were not asked for are NaN at the spots to fill.
    `obs["measured"]`
        bool; False at the filled spots.
    `uns["imputation"]`
        dict: `task`, `method`, `scale` (which scale the values are on), `target_sum` (NaN if not
        normalised), `spacing` (median distance of neighbouring measured spots), `candidates` (table of
        leave-one-out errors, see `transst_py.imputation.baselines.BaselineImputer`), `genes`, `bandwidth`
        (of each of them, in units of `spacing`), `random_state`. With `sample_key` also that and `samples`
        (their names, sorted), and `spacing` is an array along them.

    Raises
    ------
    KeyError
        No such layer, coordinates, sample column or gene.
    TypeError
        `genes` is a single text.
    ValueError
        Unknown option; spots outside the tissue or of no sample; fewer than two measured spots (in a
        sample); no lattice; nothing to fill; negative or missing values at measured spots; a result too
        large for memory.

    Warns
    -----
    UserWarning
        Spots without counts were taken as not measured; or the counts look normalised.
    """
    check_choice("task", task, TASKS)
    check_choice("normalization", normalization, NORMALIZATIONS)
    check_method(method)
    check_unique_genes(adata)
    _check_in_tissue(adata)
    columns = _gene_columns(adata, genes)
    xy = check_coordinates(adata, spatial_key)
    measured = _measured_mask(adata, layer)
    samples = _sample_names(adata, sample_key, measured)
    expression, scale = _expression(adata[measured], layer, normalization)
    record = {"task": task, **scale, "random_state": random_state}
    if samples is not None:
        record["sample_key"] = sample_key
    if task == "densify":
        samples = None if samples is None else samples[measured]
        return _densify(
            adata[measured, columns],
            expression[:, columns],
            xy[measured],
            samples,
            spatial_key,
            method,
            record,
        )
    _fill(adata, expression, xy, samples, measured, columns, method, record)
    return None


def _densify(
    adata: AnnData,
    expression: sp.csc_matrix,
    xy: np.ndarray,
    samples: np.ndarray | None,
    spatial_key: str,
    method: str,
    record: dict[str, Any],
) -> AnnData:
    """Return the AnnData of the finer lattice; all arguments are of the measured spots and wanted genes."""
    lattices, fine = _lay_lattices(adata, xy, samples)
    n_measured, n_sites = len(xy), len(fine.sites)
    _check_memory(n_sites, expression.shape[1], bytes_per_value=4)
    imputer = BaselineImputer(method).fit(expression, xy, samples)
    imputed = np.empty((n_sites, expression.shape[1]), dtype=np.float32)
    imputed[:n_measured] = expression.toarray()
    new_samples = None if samples is None else samples[fine.like[n_measured:]]
    imputer.predict(fine.positions[n_measured:], new_samples, out=imputed[n_measured:])
    return AnnData(
        X=None,
        obs=_fine_obs(adata.obs, fine, samples, record.get("sample_key")),
        var=adata.var.copy(),
        layers={"imputed": imputed},
        obsm={spatial_key: fine.positions},
        uns={
            "imputation": {
                **_describe(imputer, adata.var_names, record),
                "lattice": _describe_lattices(lattices, samples),
            }
        },
    )


@dataclass(frozen=True)
class _FineSites:
    """Sites of the finer lattices, the measured spots first: (row, col), and coordinates.

    `like` is the number of a measured spot of the same sample.
    """

    sites: np.ndarray
    positions: np.ndarray
    like: np.ndarray


def _lay_lattices(
    adata: AnnData, xy: np.ndarray, samples: np.ndarray | None
) -> tuple[list[Lattice], _FineSites]:
    """Lay the finer lattice of each sample; all arguments are of the measured spots."""
    lattices = []
    own = np.empty((len(xy), 2), dtype=np.int64)
    sites, positions, like = [own], [xy], [np.arange(len(xy))]
    for name in [None] if samples is None else np.unique(samples):
        rows = np.arange(len(xy)) if samples is None else np.flatnonzero(samples == name)
        lattice = _read_lattice(adata[rows], xy[rows], name)
        fine = halve_pitch(lattice)
        own[rows], new = fine[: len(rows)], fine[len(rows) :]
        lattices.append(lattice)
        sites.append(new)
        positions.append(lattice.positions(new / 2.0))
        like.append(np.full(len(new), rows[0]))
    return lattices, _FineSites(np.concatenate(sites), np.concatenate(positions), np.concatenate(like))


def _read_lattice(adata: AnnData, xy: np.ndarray, sample: str | None) -> Lattice:
    try:
        return Lattice.from_indices(_lattice_indices(adata, xy), xy)
    except ValueError as error:
        if sample is None:
            raise
        raise ValueError(f"sample {str(sample)!r}: {error}") from error


def _fine_obs(
    obs: pd.DataFrame, fine: _FineSites, samples: np.ndarray | None, sample_key: str | None
) -> pd.DataFrame:
    """Return the obs table of the finer lattice from that of the measured spots."""
    n_measured = len(obs)
    prefix = "new_"
    while obs.index.str.startswith(prefix).any():  # the result of another call
        prefix += "new_"
    names = [f"{row}x{col}" for row, col in fine.sites[n_measured:]]
    if samples is not None:
        new_samples = samples[fine.like[n_measured:]]
        names = [f"{sample}_{name}" for sample, name in zip(new_samples, names, strict=True)]
    table = pd.DataFrame(
        {
            "measured": np.arange(len(fine.sites)) < n_measured,
            "in_tissue": True,
            "array_row": fine.sites[:, 0],
            "array_col": fine.sites[:, 1],
        },
        index=[*obs.index, *(prefix + name for name in names)],
    )
    if sample_key is not None:
        table[sample_key] = obs[sample_key].array.take(fine.like)
    return table


def _fill(
    adata: AnnData,
    expression: sp.csc_matrix,
    xy: np.ndarray,
    samples: np.ndarray | None,
    measured: np.ndarray,
    columns: np.ndarray,
    method: str,
    record: dict[str, Any],
) -> None:
    """Write the layer with imputed values at the spots that are not measured."""
    if measured.all():
        raise ValueError("nothing to fill: every spot is measured (obs['measured'], or else has counts)")
    n_missing = int((~measured).sum())
    _check_memory(n_missing, adata.n_vars, bytes_per_value=12)
    known, missing = (None, None) if samples is None else (samples[measured], samples[~measured])
    imputer = BaselineImputer(method).fit(expression[:, columns], xy[measured], known)
    imputed = np.full((n_missing, adata.n_vars), np.nan, dtype=np.float32)
    imputed[:, columns] = imputer.predict(xy[~measured], missing)
    stacked = sp.vstack([sp.csr_matrix(expression, dtype=np.float32), sp.csr_matrix(imputed)], format="csr")
    place = np.argsort(np.concatenate([np.flatnonzero(measured), np.flatnonzero(~measured)]))
    adata.layers["imputed"] = stacked[place]
    adata.obs["measured"] = measured
    adata.uns["imputation"] = _describe(imputer, adata.var_names[columns], record)


def _describe(imputer: BaselineImputer, genes: pd.Index, record: dict[str, Any]) -> dict[str, Any]:
    described = {
        **record,
        "method": imputer.method_,
        "spacing": imputer.spacing_,
        "candidates": imputer.errors_,
        "genes": genes.to_numpy(dtype=str),
        "bandwidth": imputer.bandwidth_,
    }
    if imputer.samples_ is not None:
        described["samples"] = imputer.samples_
    return described


def _describe_lattices(lattices: list[Lattice], samples: np.ndarray | None) -> dict[str, Any]:
    """Return what defines the lattices, along the samples if there are any."""
    names = ("kind", "origin", "step", "affine", "pitch")
    if samples is None:
        return {name: getattr(lattices[0], name) for name in names}
    # Not a dict by sample: a name with "/" cannot be a key in an AnnData file.
    return {name: np.array([getattr(lattice, name) for lattice in lattices]) for name in names}


def _expression(
    adata: AnnData, layer: str | None, normalization: str
) -> tuple[sp.csc_matrix, dict[str, Any]]:
    """Return the measured spots' expression on the imputation scale, and what that scale is.

    Only measured spots enter: what is to be predicted has no part in the library size either.
    """
    if adata.n_obs < 2:
        raise ValueError(f"{adata.n_obs} measured spot(s); imputation needs at least two")
    X = check_matrix(adata, layer)
    scaled = sp.csc_matrix(log_expression(X, normalization))
    if normalization == "none":
        return scaled, {"scale": "as given", "target_sum": np.nan}
    return scaled, {"scale": "log(1 + counts * target_sum / total)", "target_sum": median_total(X)}


def _measured_mask(adata: AnnData, layer: str | None) -> np.ndarray:
    """Tell which spots are measured: by `obs["measured"]`, or else by having counts."""
    if "measured" in adata.obs:
        return _as_flags(adata, "measured")
    X = check_matrix(adata, layer)
    empty = np.asarray(X.astype(bool).sum(axis=1)).ravel() == 0
    if empty.any():
        warnings.warn(
            f"{empty.sum()} of {empty.size} spots have no counts and are taken as not measured "
            f"({list_some(adata.obs_names[empty])}); say which are in adata.obs['measured']",
            UserWarning,
            stacklevel=3,
        )
    return ~empty


def _sample_names(adata: AnnData, sample_key: str | None, measured: np.ndarray) -> np.ndarray | None:
    """Return the name of each spot's sample, or None if all spots are of one."""
    if sample_key is None:
        return None
    samples = check_samples(adata, sample_key).astype(str).to_numpy(dtype=str)
    names, codes = np.unique(samples, return_inverse=True)
    few = np.bincount(codes, weights=measured, minlength=len(names)) < 2
    if few.any():
        raise ValueError(
            f"`sample_key`: fewer than two measured spots in {few.sum()} of {len(names)} samples "
            f"({list_some(names[few].tolist())}); spots are imputed from their own sample only: remove these"
        )
    return samples


def _check_in_tissue(adata: AnnData) -> None:
    if "in_tissue" not in adata.obs:
        return
    outside = ~_as_flags(adata, "in_tissue")
    if outside.any():
        raise ValueError(
            f"{outside.sum()} of {outside.size} spots lie outside the tissue (obs['in_tissue']) and would "
            "blur its border; remove them first: adata[adata.obs['in_tissue'].astype(bool)].copy()"
        )


def _as_flags(adata: AnnData, column: str) -> np.ndarray:
    """Return a column of `adata.obs` that holds True/False or 1/0 as a bool array."""
    values = adata.obs[column]
    if not values.isin([0, 1]).all():
        raise ValueError(f"adata.obs[{column!r}] must hold True or False (or 1 or 0) for every spot")
    return values.to_numpy(dtype=bool)


def _gene_columns(adata: AnnData, genes: Sequence[str] | None) -> np.ndarray:
    """Return the column numbers of the wanted genes."""
    if genes is None:
        return np.arange(adata.n_vars)
    if isinstance(genes, str):
        raise TypeError(f"`genes` must be a list of names, got the text {genes!r}; write [{genes!r}]")
    wanted = pd.Index(genes)
    if wanted.empty or not wanted.is_unique:
        raise ValueError("`genes` must name at least one gene, and none twice")
    columns = adata.var_names.get_indexer(wanted)
    if (columns < 0).any():
        raise KeyError(f"`genes`: adata has no {list_some(wanted[columns < 0])}")
    return columns


def _lattice_indices(adata: AnnData, xy: np.ndarray) -> np.ndarray:
    """Return (row, col) of each spot from `adata.obs`, or else from the coordinates."""
    if not any(name in adata.obs for name in LATTICE_COLUMNS):
        return infer_square_indices(xy)
    return check_lattice_columns(adata)


def _check_memory(n_spots: int, n_genes: int, *, bytes_per_value: int) -> None:
    needed = n_spots * n_genes * bytes_per_value
    if needed > MAX_OUTPUT_BYTES:
        fitting = MAX_OUTPUT_BYTES // (n_spots * bytes_per_value)
        raise ValueError(
            f"imputing {n_spots} spots x {n_genes} genes takes {needed / 2**30:.1f} GB, more than "
            f"{MAX_OUTPUT_BYTES / 2**30:.0f} GB; choose at most {fitting} genes "
            "(densify: `genes=`; fill: a copy of adata with these genes)"
        )
