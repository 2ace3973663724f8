"""Imputation of spots of an AnnData: a finer lattice, or spots without a measurement."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.typing import SpatialDataLike
from transst_py._core.validation import check_choice, check_seed
from transst_py.expression.normalize import NORMALIZATIONS
from transst_py.imputation.holdout import number_sites
from transst_py.imputation.methods import (
    AUTO_METHODS,
    LATTICE_METHODS,
    METHODS,
    check_installed,
    check_used,
    make_imputers,
)
from transst_py.imputation.selection import Selection, select
from transst_py.imputation.spots import Prediction, Section, Sites
from transst_py.tissue.lattice import Lattice, halve_pitch
from transst_py.tl._gate import check_anndata, check_coordinates, check_unique_genes
from transst_py.tl._images import with_images
from transst_py.tl._memory import check_memory
from transst_py.tl._samples import rows_of_samples
from transst_py.tl._sections import (
    Expression,
    Places,
    check_in_tissue,
    cut_sections,
    find_places,
    gene_columns,
    lay_lattice,
    measured_expression,
    measured_mask,
    one_kind,
    sample_names,
)
from transst_py.tl._views import own_data

__all__ = ["impute"]

TASKS = ("densify", "fill")
# What the result's layers are called.
LAYER, SD_LAYER = "imputed", "imputed_sd"


def impute(
    adata: AnnData | SpatialDataLike,
    *,
    task: str = "densify",
    method: str = "auto",
    candidates: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    normalization: str = "log",
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    preset: str = "lite",
    natural_images: Any = None,
    channels: str = "auto",
    fine_tune: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    n_domains: int = 8,
    random_state: int = 0,
    verbose: bool = False,
) -> AnnData | None:
    """Predict expression between the measured spots, or at spots without a measurement.

    Values are imputed on the log-normalised scale, and measured values are kept as they are. Imputed
    values are estimates from other spots: fine to look at, but not independent observations, so
    `rank_domain_genes` refuses to test on them.

    Parameters
    ----------
    adata
        One section, or several with `sample_key`; spots x genes, all in tissue. Of a SpatialData: its only
        table. Spots with `obs["measured"]` False (without that column: spots without counts) are not
        measured; what they hold is not looked at.
    task
        "densify": put sites between the spots of a lattice, with half its pitch (see
        `transst_py.tissue.lattice.halve_pitch` for which sites count as tissue). The lattice is read
        from `obs["array_row"]` and `obs["array_col"]`, square or hexagonal (Visium: row + column even);
        without these columns, a square lattice is recognised from the coordinates. Cells, or small bins, are
        first put on a lattice with `bin_cells`.
        "fill": impute the spots that are not measured. Needs coordinates only (the methods "bilinear",
        "bicubic" and "s2s" need the lattice columns, or when asked for by name, coordinates of a square
        lattice).
    method
        "nearest", "knn" (mean of the k nearest), "kernel" (Gaussian kernel), "bilinear", "bicubic", "gp" (a
        Gaussian process for each gene), "svd_gp" (one for each principal factor), "kriging" (a blend of these
        two), "domain_means", "s2s" (the sparser-to-sparse network, see
        `transst_py.imputation.s2s.S2SImputer`; it needs torch: pip install 'transst-py[s2s]'), or "auto":
        the one that best predicts measured spots which are held out.
    candidates
        What "auto" chooses from, all of which the data must allow; None is every method that they allow but
        "s2s", which takes minutes and has not been better than "kriging": name it to have it compete.
    genes
        Genes to impute; None is all. Those left out still inform "svd_gp", "kriging", "domain_means" and
        "s2s".
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
        what it learns (widths, factors, the network) are of all samples together.
    preset, natural_images, channels, fine_tune, device, checkpoint
        Of "s2s": see `S2SImputer`. Refused if "s2s" is not asked for.
    n_domains
        Of "domain_means". Refused if "domain_means" is not asked for.
    random_state
        Seed of everything that is random: held-out spots, network, domains.
    verbose
        Show the progress of training.

    Returns
    -------
    task="densify": a new AnnData of the finer lattice, first the measured spots in their order, then the
    new sites; `adata` is not changed.

    `X`
        None: there are no counts between spots. The counts of measured spots stay in `adata`.
    `layers["imputed"]`
        float32 (sites, genes); the measured values at measured spots.
    `layers["imputed_sd"]`
        float32 (sites, genes): standard deviation of what would be measured there around the imputed value,
        scaled to the errors at held-out measured spots; 0 at measured spots. NaN if no spot could be held
        out, as every sample has two measured spots only.
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
    `uns["spatial"]`
        Images of the tissue, copied from `adata` if it has any.
    `uns["imputation"]`
        See below, plus `lattice` (with `sample_key` its entries are arrays along the samples).

    task="fill": None; `adata` gets

    `layers["imputed"]`, `layers["imputed_sd"]`
        csr float32 (spots, all genes); imputed at the spots to fill, elsewhere measured values on the same
        scale, with standard deviation 0. Genes that were not asked for are NaN at the spots to fill.
    `obs["measured"]`
        bool; False at the filled spots.
    `uns["imputation"]`
        dict: `task`, `method`, `scale` (which scale the values are on), `target_sum` (NaN if not
        normalised), `spacing` (median distance of neighbouring measured spots), `candidates` (table of the
        errors at held-out spots, see `transst_py.imputation.selection.Selection`), `genes`, `details` (what
        the method chose, such as the width or length-scale of each gene), `layers` (their names),
        `random_state`. With `sample_key` also that and `samples` (their names, sorted), and `spacing` is an
        array along them.

    Raises
    ------
    KeyError
        No such layer, coordinates, sample column or gene.
    TypeError
        `genes` is a single text; `n_domains` or `random_state` is no whole number.
    ValueError
        Unknown option; an option of a method that is not asked for; spots outside the tissue or of no sample;
        fewer than two measured spots (in a sample); no lattice; too few spots for the method; nothing to
        fill, or no site between the spots; negative or missing values at measured spots; a result too large
        for memory.
    ImportError
        "s2s" is asked for by name, and torch is not installed; the message says how to install it.

    Warns
    -----
    UserWarning
        Spots without counts were taken as not measured; the counts look normalised; or "auto" leaves out
        methods because the lattice columns cannot be used.
    """
    adata = check_anndata(adata)
    check_choice("task", task, TASKS)
    check_choice("normalization", normalization, NORMALIZATIONS)
    check_seed(random_state)
    names = _competitors(method, candidates)
    network = {
        "preset": preset,
        "natural_images": natural_images,
        "channels": channels,
        "fine_tune": fine_tune,
        "device": device,
        "checkpoint": checkpoint,
    }
    options = {"s2s": network, "domain_means": {"n_domains": n_domains}}
    changed = {name: _without_defaults(given) for name, given in options.items()}
    check_used(changed, names, asked_by="method" if candidates is None else "candidates")
    network["verbose"] = verbose
    check_unique_genes(adata)
    check_in_tissue(adata)
    columns = gene_columns(adata, genes)
    xy = check_coordinates(adata, spatial_key)
    measured = measured_mask(adata, layer)
    samples = sample_names(adata, sample_key, measured)
    expression = measured_expression(adata[measured], layer, normalization)
    request = _Request(names, method != "auto" or candidates is not None, options, columns, random_state)
    record = {"task": task, "scale": expression.scale, "target_sum": expression.target_sum}
    if samples is not None:
        record["sample_key"] = sample_key
    if task == "densify":
        samples = None if samples is None else samples[measured]
        finer = _densify(adata[measured], expression, xy[measured], samples, spatial_key, request, record)
        return with_images(finer, adata)
    _fill(adata, expression, xy, samples, measured, request, record)
    return None


@dataclass(frozen=True)
class _Request:
    """What to impute with: method names, whether each must be possible, their options, and the genes."""

    names: tuple[str, ...]
    insist: bool
    options: dict[str, dict[str, Any]]
    columns: np.ndarray
    random_state: int

    @property
    def lattice_methods(self) -> list[str]:
        return [name for name in self.names if name in LATTICE_METHODS]

    def select(self, sections: list[Section], sites: list[Sites]) -> Selection:
        imputers = make_imputers(
            self.names,
            sections,
            options=self.options,
            random_state=self.random_state,
            insist=self.insist,
        )
        rng = np.random.default_rng(self.random_state)
        return select(imputers, sections, sites, self.columns, rng=rng)


def _competitors(method: str, candidates: Sequence[str] | None) -> tuple[str, ...]:
    check_choice("method", method, ("auto", *METHODS))
    if method != "auto":
        if candidates is not None:
            raise ValueError(f"`candidates` are for method='auto', got method={method!r}")
        check_installed("method", [method])
        return (method,)
    if candidates is None:
        return AUTO_METHODS
    if isinstance(candidates, str) or not len(candidates):
        raise ValueError(f"`candidates` must be a list of methods, got {candidates!r}")
    for name in candidates:
        check_choice("candidates", name, METHODS)
    check_installed("candidates", candidates)
    return tuple(candidates)


def _without_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options whose value is not the default of `impute`."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(impute).parameters.items()}
    return {
        name: value
        for name, value in options.items()
        if value is not defaults[name] and not (np.isscalar(value) and value == defaults[name])
    }


def _densify(
    adata: AnnData,
    expression: Expression,
    xy: np.ndarray,
    samples: np.ndarray | None,
    spatial_key: str,
    request: _Request,
    record: dict[str, Any],
) -> AnnData:
    """Return the AnnData of the finer lattice; all arguments are of the measured spots."""
    lattices, fine = _lay_lattices(adata, xy, samples)
    n_measured, n_sites, columns = len(xy), len(fine.sites), request.columns
    if n_sites == n_measured:
        raise ValueError(
            "nothing to impute: the measured spots are too far apart for sites halfway between them; bin the "
            "data more coarsely, as transst_py.tl.bin_cells does"
        )
    check_memory("imputing", n_sites, len(columns), bytes_per_value=8, remedy="with `genes`")
    known = np.arange(n_sites) < n_measured
    alike = None if samples is None else samples[fine.like]
    groups = [rows for _, rows in rows_of_samples(alike, n_sites)]
    sections, sites, spacing = cut_sections(expression, fine.places, known, groups)
    chosen = request.select(sections, sites)
    imputed = np.empty((n_sites, len(columns)), dtype=np.float32)
    imputed[:n_measured] = expression.values[:, columns].toarray()
    sd = np.zeros_like(imputed)
    for number, rows in enumerate(groups):
        found = chosen.fitted.predict(number, sites[number])
        new = rows[~known[rows]]
        imputed[new], sd[new] = found.mean, found.sd
    return AnnData(
        X=None,
        obs=_fine_obs(adata.obs, fine, samples, record.get("sample_key")),
        var=adata.var.iloc[columns].copy(),
        layers={LAYER: imputed, SD_LAYER: sd},
        obsm={spatial_key: fine.places.xy},
        uns={
            "imputation": {
                **_describe(chosen, adata.var_names[columns], spacing, samples, request, record),
                "lattice": _describe_lattices(lattices, samples),
            }
        },
    )


@dataclass(frozen=True)
class _FineSites:
    """Sites of the finer lattices, the measured spots first: (row, col), and where they lie.

    `like` is the number of a measured spot of the same sample.
    """

    sites: np.ndarray
    places: Places
    like: np.ndarray


def _lay_lattices(
    adata: AnnData, xy: np.ndarray, samples: np.ndarray | None
) -> tuple[list[Lattice], _FineSites]:
    """Lay the finer lattice of each sample; all arguments are of the measured spots."""
    lattices = []
    own, own_index = np.empty((2, len(xy), 2), dtype=np.int64)
    sites, index, positions, like = [own], [own_index], [xy], [np.arange(len(xy))]
    for name, rows in rows_of_samples(samples, len(xy)):
        lattice = lay_lattice(adata[rows], xy[rows], name)
        fine = halve_pitch(lattice)
        number = number_sites(fine, lattice.kind)
        own[rows], new = fine[: len(rows)], fine[len(rows) :]
        own_index[rows] = number[: len(rows)]
        lattices.append(lattice)
        sites.append(new)
        index.append(number[len(rows) :])
        positions.append(lattice.positions(new / 2.0))
        like.append(np.full(len(new), rows[0]))
    places = Places(
        np.concatenate(positions), np.concatenate(index), one_kind({lattice.kind for lattice in lattices})
    )
    return lattices, _FineSites(np.concatenate(sites), places, np.concatenate(like))


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
    expression: Expression,
    xy: np.ndarray,
    samples: np.ndarray | None,
    measured: np.ndarray,
    request: _Request,
    record: dict[str, Any],
) -> None:
    """Write the layers with imputed values at the spots that are not measured."""
    if measured.all():
        raise ValueError("nothing to fill: every spot is measured (obs['measured'], or else has counts)")
    check_memory(
        "imputing",
        int((~measured).sum()),
        adata.n_vars,
        bytes_per_value=24,
        remedy="and fill a copy of adata with these: adata[:, genes].copy()",
    )
    places = Places(xy)
    if request.lattice_methods:
        places = find_places(
            adata,
            xy,
            samples,
            needed_by=request.lattice_methods[0] if request.insist else None,
            otherwise="methods that need a lattice are left out",
        )
    groups = [rows for _, rows in rows_of_samples(samples, adata.n_obs)]
    sections, sites, spacing = cut_sections(expression, places, measured, groups)
    chosen = request.select(sections, sites)
    found = [chosen.fitted.predict(number, wanted) for number, wanted in enumerate(sites)]
    hidden = np.concatenate([rows[~measured[rows]] for rows in groups])
    layers = _filled_layers(adata.shape, expression.values, measured, hidden, found, request)
    genes = adata.var_names[request.columns]
    described = _describe(chosen, genes, spacing, samples, request, record)
    # Nothing is written before all of it is there.
    adata = own_data(adata)
    adata.layers.update(layers)
    adata.obs["measured"] = measured
    adata.uns["imputation"] = described


def _filled_layers(
    shape: tuple[int, int],
    values: sp.csc_matrix,
    measured: np.ndarray,
    hidden: np.ndarray,
    found: list[Prediction],
    request: _Request,
) -> dict[str, sp.csr_matrix]:
    """Join measured and imputed rows; `hidden` are the rows that `found` is of."""
    place = np.argsort(np.concatenate([np.flatnonzero(measured), hidden]))
    zeros = sp.csr_matrix((int(measured.sum()), shape[1]), dtype=np.float32)
    layers = {}
    for name, known, parts in (
        (LAYER, sp.csr_matrix(values), [part.mean for part in found]),
        (SD_LAYER, zeros, [np.asarray(part.sd) for part in found]),
    ):
        rows = np.full((len(hidden), shape[1]), np.nan, dtype=np.float32)
        rows[:, request.columns] = np.concatenate(parts)
        layers[name] = sp.vstack([known, sp.csr_matrix(rows)], format="csr")[place]
    return layers


def _describe(
    chosen: Selection,
    genes: pd.Index,
    spacing: np.ndarray,
    samples: np.ndarray | None,
    request: _Request,
    record: dict[str, Any],
) -> dict[str, Any]:
    described = {
        **record,
        "method": chosen.method,
        "spacing": float(spacing[0]) if samples is None else spacing,
        "candidates": chosen.table,
        "genes": genes.to_numpy(dtype=str),
        "details": chosen.fitted.imputer.describe(),
        "layers": np.array([LAYER, SD_LAYER]),
        "random_state": request.random_state,
    }
    if samples is not None:
        described["samples"] = np.unique(samples)
    return described


def _describe_lattices(lattices: list[Lattice], samples: np.ndarray | None) -> dict[str, Any]:
    """Return what defines the lattices, along the samples if there are any."""
    names = ("kind", "origin", "step", "affine", "pitch")
    if samples is None:
        return {name: getattr(lattices[0], name) for name in names}
    # Not a dict by sample: a name with "/" cannot be a key in an AnnData file.
    return {name: np.array([getattr(lattice, name) for lattice in lattices]) for name in names}
