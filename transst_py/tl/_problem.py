"""From AnnData to what the model gets: log expression of the chosen genes, the graph, the sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.typing import SpatialDataLike
from transst_py._core.validation import check_choice, check_names, check_seed, check_whole_number, list_some
from transst_py._core.warn import warn
from transst_py.domains.choice import check_candidates
from transst_py.expression.chunks import RowChunks
from transst_py.expression.gene_names import names_of_target
from transst_py.expression.genes import GENE_SELECTIONS, n_detected, select_genes, shared_genes
from transst_py.expression.normalize import NORMALIZATIONS, log_normalize, median_total, row_totals
from transst_py.expression.saved import SavedPasses
from transst_py.expression.standardize import chosen_columns
from transst_py.expression.values import check_counts, check_normalized, check_survey
from transst_py.source.labels import class_labels
from transst_py.source.rows import Source
from transst_py.tl._doubts import warn_of_equal_totals, warn_of_unmeasured_genes, warn_outside_tissue
from transst_py.tl._gate import (
    check_anndata,
    check_matrix,
    check_obs_column,
    check_samples,
    check_unique_genes,
)
from transst_py.tl._graph import neighborhood_graph

__all__ = [
    "MIN_DETECTED",
    "MIN_SHARED",
    "MIN_SHARE_OF_GENES",
    "Problem",
    "Sources",
    "genes_of_source",
    "labels_of_sources",
    "named_sources",
    "prepare_problem",
    "warn_of_narrow",
    "wide_sources",
]

Sources: TypeAlias = (
    AnnData | SpatialDataLike | Sequence[AnnData | SpatialDataLike] | Mapping[str, AnnData | SpatialDataLike]
)
# A gene seen in fewer spots of the target, or rows of all sources together, says nothing of factors.
MIN_DETECTED = 3
# Genes that the sources have, too, are the better ones (less noise), as long as they are this share of the
# target's.
MIN_SHARED = 0.25
# A source is not worth more than this part of the genes that the source with the most shares with the target.
MIN_SHARE_OF_GENES = 0.5


@dataclass
class Problem:
    """What the model gets: log expression of the chosen genes, the graph, and the sources.

    Spots without any count say nothing, but would be extremes of every factor: `measured` is false for
    them, and neither X nor `measured_graph` has rows of theirs. The sources have the genes at the positions
    `shared`.
    """

    n_domains: int | list[int] | None
    X: Any
    graph: sp.csr_matrix
    graph_record: dict[str, Any]
    measured: np.ndarray
    measured_graph: sp.csr_matrix
    genes: pd.Index
    shared: np.ndarray
    sources: dict[str, Source]


def named_sources(source: Sources | None) -> dict[str, AnnData]:
    if source is None:
        return {}
    if isinstance(source, AnnData) or hasattr(source, "tables"):
        named: dict[str, Any] = {"source": source}
    elif isinstance(source, Mapping):
        named = {str(name): value for name, value in source.items()}
    elif isinstance(source, Sequence) and not isinstance(source, str):
        named = {f"source{i + 1}": value for i, value in enumerate(source)}
    else:
        raise TypeError(f"`source` must be an AnnData, a list or a dict of them, got {type(source).__name__}")
    if not named:
        raise ValueError("`source` is empty; pass None for a fit without transfer")
    return {
        name: check_anndata(value, what=f"source {name!r}", in_memory=False) for name, value in named.items()
    }


def prepare_problem(
    adata: AnnData,
    sources: dict[str, AnnData],
    labels: dict[str, pd.Series],
    genes_of: dict[str, pd.Index],
    *,
    layer: str | None,
    source_layer: str | None,
    normalization: str,
    n_domains: int | Sequence[int] | None,
    n_factors: int,
    n_top_genes: int | None,
    gene_selection: str,
    spatial_key: str,
    source_spatial_key: str | None,
    sample_key: str | None,
    graph: Any,
    n_neighbors: int,
    radius: float | None,
    random_state: int,
    statistics: str | Path | None,
    own_genes: bool,
) -> Problem:
    """Check everything that can be checked, then normalise and choose genes."""
    check_choice("normalization", normalization, NORMALIZATIONS)
    check_choice("gene_selection", gene_selection, GENE_SELECTIONS)
    places = {
        name: _places(source, spatial_key, source_spatial_key, sample_key, name)
        for name, source in sources.items()
    }
    counts = _expression(adata, layer, normalization, "adata")
    check_whole_number("n_factors", n_factors, at_least=1)
    if n_top_genes is not None:
        check_whole_number("n_top_genes", n_top_genes, at_least=1)
    check_seed(random_state)
    wanted, largest = _wanted_domains(n_domains, adata.n_obs)
    warn_outside_tissue(adata)
    samples = None if sample_key is None else check_samples(adata, sample_key).cat.codes.to_numpy()
    source_counts = {
        name: _expression(source, source_layer, normalization, f"source {name!r}")
        for name, source in sources.items()
    }
    shared = shared_genes(adata.var_names, {name: genes_of[name] for name in sources})
    few = len(shared) < MIN_SHARED * adata.n_vars
    genes = adata.var_names if few and own_genes else shared
    is_shared = genes.isin(shared)
    neighbors, graph_record = neighborhood_graph(
        adata, graph, spatial_key=spatial_key, samples=samples, n_neighbors=n_neighbors, radius=radius
    )
    folder = _statistics_folder(statistics, [counts, *source_counts.values()])
    counts_expected = normalization == "log"
    X = chosen_columns(counts, adata.var_names.get_indexer(genes))
    warn_of_unmeasured_genes(X, genes, adata, sample_key, "adata")
    X = _looked_at(X, "adata", counts_expected, adata.raw is not None, folder)
    labelled = {}
    for name, C in source_counts.items():
        M = chosen_columns(C, genes_of[name].get_indexer(shared))
        warn_of_unmeasured_genes(M, shared, sources[name], sample_key, f"source {name!r}")
        raw = sources[name].raw is not None
        rows = _looked_at(M, f"source {name!r}", counts_expected, raw, folder)
        labelled[name] = Source(rows, labels[name], *places[name])
    measured = np.ones(adata.n_obs, dtype=bool)
    if normalization == "log":
        measured = _has_counts(X, "spots", "their domain comes from their neighbours alone")
    detected = _detected(X, labelled, measured, is_shared)
    if normalization == "log":
        warn_of_equal_totals(counts)
        X, labelled = _normalized(X, labelled, measured, is_shared)
    measured_graph = _rows(neighbors, measured, both=True)
    expression = [one.X for one in labelled.values()] if is_shared.all() else []
    chosen = select_genes(
        X, measured_graph, detected, n_top_genes, by=gene_selection, sources=expression, first=is_shared
    )
    shared_chosen = np.flatnonzero(is_shared[chosen])
    of_sources = np.cumsum(is_shared)[chosen[shared_chosen]] - 1
    if few:
        _warn_of_few_genes(len(shared), adata.n_vars, len(chosen) - len(shared_chosen))
    _check_size(X.shape[0], len(shared_chosen), largest, n_factors)
    return Problem(
        n_domains=wanted,
        X=chosen_columns(X, chosen),
        graph=neighbors,
        graph_record=graph_record,
        measured=measured,
        measured_graph=measured_graph,
        genes=genes[chosen],
        shared=shared_chosen,
        sources={name: replace(one, X=chosen_columns(one.X, of_sources)) for name, one in labelled.items()},
    )


def _wanted_domains(n_domains: int | Sequence[int] | None, n: int) -> tuple[int | list[int] | None, int]:
    """Number of domains, or the candidates, checked; and the largest of them."""
    if n_domains is None:
        return None, 1
    several = isinstance(n_domains, Iterable)
    given: Any = n_domains if several else [n_domains]
    candidates = check_candidates(given, n, argument="n_domains")
    return candidates if several else candidates[0], max(candidates)


def _detected(
    X: Any, labelled: Mapping[str, Source], measured: np.ndarray, is_shared: np.ndarray
) -> np.ndarray:
    """Genes that enough spots of the target have, and enough rows of the sources together, (p,) bool."""
    # Of all rows: those without counts, which are left out, detect nothing.
    detected = np.asarray(n_detected(X) >= min(MIN_DETECTED, int(measured.sum())))
    if labelled:
        detected[is_shared] &= sum(n_detected(one.X) for one in labelled.values()) >= MIN_DETECTED
    return detected


def _normalized(
    X: Any, labelled: Mapping[str, Source], measured: np.ndarray, is_shared: np.ndarray
) -> tuple[Any, dict[str, Source]]:
    """Log expression of measured spots and sources, scaled to the target's median total of their genes."""
    target_sum = common = median_total(X)
    if not is_shared.all():
        common = median_total(X[:, np.flatnonzero(is_shared)])
    X = log_normalize(_rows(X, measured), target_sum=target_sum)
    return X, {name: _normalized_source(one, name, common) for name, one in labelled.items()}


def _rows(X: Any, mask: np.ndarray, *, both: bool = False) -> Any:
    """X[mask], or X[mask][:, mask], without a copy where that is X."""
    if mask.all():
        return X
    return X[mask][:, mask] if both else X[mask]


def _statistics_folder(statistics: str | Path | None, expression: list[Any]) -> Path | None:
    """Make the folder, and refuse it where there is nothing to keep."""
    if statistics is None:
        return None
    if not any(isinstance(X, RowChunks) for X in expression):
        raise ValueError(
            "`statistics` was given, but all expression is in memory, where nothing is kept; leave it out"
        )
    folder = Path(statistics)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _looked_at(X: Any, what: str, counts: bool, raw: bool, folder: Path | None) -> Any:
    """Check rows that are not in memory, in their first pass; from then on their passes may be kept."""
    if not isinstance(X, RowChunks):
        return X
    survey = check_survey(X, counts=counts, what=what, raw=raw)
    if folder is None:
        return X
    return X.keeping(SavedPasses.of(folder, np.concatenate(survey.sketch), survey.detected))


def _check_size(n_spots: int, n_genes: int, n_domains: int, n_factors: int) -> None:
    """Refuse more domains or factors than what is left after empty spots and undetected genes allow."""
    if n_domains > n_spots:
        raise ValueError(
            f"`n_domains`={n_domains}, but only {n_spots} spots have counts in the genes of the model"
        )
    if n_factors >= min(n_genes, n_spots):
        raise ValueError(
            f"`n_factors`={n_factors} must be below the number of detected shared genes ({n_genes}) "
            f"and of spots ({n_spots})"
        )


def _has_counts(X: Any, rows: str, consequence: str) -> np.ndarray:
    """Which rows have a count at all, (n,) bool; warns of those that have none."""
    found = row_totals(X) > 0
    if not found.any():
        raise ValueError(
            f"none of the {len(found)} {rows} has a count in the genes of the model; see `layer`"
        )
    if not found.all():
        warn(
            f"{(~found).sum()} of {len(found)} {rows} have no count in the genes of the model; {consequence}"
        )
    return found


def _normalized_source(source: Source, name: str, target_sum: float) -> Source:
    """Log-normalise the rows that have counts, and leave out the others."""
    found = _has_counts(source.X, f"rows of source {name!r}", "they are left out")
    return Source(
        log_normalize(_rows(source.X, found), target_sum=target_sum),
        source.labels[found],
        None if source.positions is None else source.positions[found],
        None if source.samples is None else source.samples[found],
    )


def _places(
    source: AnnData, spatial_key: str, source_spatial_key: str | None, sample_key: str | None, name: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Positions and samples of the rows of a source, where it has some."""
    key = spatial_key if source_spatial_key is None else source_spatial_key
    if key not in source.obsm:
        if source_spatial_key is None:
            return None, None
        raise KeyError(
            f"`source_spatial_key`: source {name!r} has no obsm[{key!r}]; it has "
            f"{list_some(list(source.obsm)) or 'no entries'}; leave it out if there are no positions"
        )
    samples = None
    if sample_key is not None and sample_key in source.obs:
        samples = source.obs[sample_key].astype("category").cat.codes.to_numpy()
    positions = np.asarray(source.obsm[key])
    if positions.dtype.kind not in "iufb" or positions.ndim != 2 or positions.shape[1] not in (2, 3):
        message = (
            f"source {name!r}: obsm[{key!r}] must hold positions, 2 or 3 columns of numbers, not "
            f"{positions.dtype} of shape {positions.shape}"
        )
        if source_spatial_key is not None:
            raise ValueError(f"`source_spatial_key`: {message}")
        warn(f"{message}; they are not used")
        return None, None
    return positions.astype(np.float64), samples


def _expression(adata: Any, layer: str | None, normalization: str, what: str) -> Any:
    X = check_matrix(adata, layer, what=what, stored=True)
    check_unique_genes(adata, what=what)
    if isinstance(X, RowChunks):
        return X
    if normalization == "log":
        check_counts(X, what=what, raw=adata.raw is not None)
    else:
        check_normalized(X, what=what)
    return X


def genes_of_source(adata: AnnData, source: AnnData, name: str) -> pd.Index:
    """Genes of a source in the target's names."""
    check_unique_genes(adata)
    check_unique_genes(source, what=f"source {name!r}")
    return names_of_target(adata, source, name)


def labels_of_sources(
    sources: dict[str, AnnData], key: str | None, exclude: Sequence[str]
) -> dict[str, pd.Series]:
    """Labels of every source, (n_s,), NaN where there is none."""
    check_names("exclude_labels", exclude)
    for argument, value in (("source_labels", key), ("exclude_labels", exclude or None)):
        if value is not None and not sources:
            raise ValueError(f"`{argument}` was given without `source`")
    given = {
        name: check_obs_column(source, key, argument="source_labels", what=f"source {name!r}")
        for name, source in sources.items()
    }
    known = {str(label) for column in given.values() for label in column.dropna().unique()}
    if sources and (unknown := [name for name in exclude if str(name) not in known]):
        raise ValueError(
            f"`exclude_labels`: no source has the label {list_some(unknown)} in column {key!r}; it has "
            f"{list_some(sorted(known))}"
        )
    labels = {}
    for name, column in given.items():
        labels[name] = class_labels(column, f"`source_labels`: column {key!r} of source {name!r}", exclude)
        if labels[name].isna().all():
            raise ValueError(f"`source_labels`: every value of column {key!r} of source {name!r} is missing")
    return labels


def wide_sources(has: dict[str, np.ndarray]) -> list[str]:
    """Sources that together do not take too many genes out of the model, those of most genes first.

    `has` says of every source which of the target's genes it has, (p,) bool. A source with none of them
    stays: `shared_genes` explains that error.
    """
    most = max((mask.sum() for mask in has.values()), default=0)
    wide, shared = set(), np.ones(1, dtype=bool)
    for name in sorted(has, key=lambda name: -has[name].sum()):
        both = shared & has[name]
        if both.sum() >= MIN_SHARE_OF_GENES * most or not has[name].any():
            wide.add(name)
            shared = both
    return [name for name in has if name in wide]


def warn_of_narrow(n_shared: dict[str, int]) -> None:
    listed = ", ".join(f"{name!r} ({n})" for name, n in n_shared.items())
    warn(
        f"sources that share few genes with the target and the others are not used: {listed}; the model "
        "would lose the genes that they lack. `source_selection`='all' uses every source"
    )


def _warn_of_few_genes(n_shared: int, n_genes: int, n_others: int) -> None:
    others = f"; {n_others} others are in the model, with loadings of the target's own" if n_others else ""
    warn(f"only {n_shared} of the target's {n_genes} genes are shared with the source{others}")
