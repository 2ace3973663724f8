"""`tl.transst`, the whole method on AnnData: checks, normalisation and slots; the model is in `model`."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

import transst_py
from transst_py import _validation as check
from transst_py._progress import Progress
from transst_py._record import fit_identity, is_fit_record
from transst_py._saved import SavedPasses
from transst_py._typing import SpatialDataLike
from transst_py._warn import Said, passed_on, warn
from transst_py.choice import check_candidates, choice_record
from transst_py.chunks import RowChunks
from transst_py.gene_names import names_of_target
from transst_py.genes import GENE_SELECTIONS, n_detected, select_genes, shared_genes
from transst_py.label_transfer import LabelTransfer
from transst_py.labels import class_labels
from transst_py.model import NumberOfDomainsNeededError, TransST, check_encoder_installed
from transst_py.naming import UNKNOWN
from transst_py.normalize import NORMALIZATIONS, log_normalize, median_total, row_totals
from transst_py.sources import Source
from transst_py.spatial_mixture import Field, infer_from_neighbors
from transst_py.standardize import chosen_columns
from transst_py.tl._doubts import (
    warn_of_equal_totals,
    warn_of_own_spots,
    warn_of_unmeasured_genes,
    warn_outside_tissue,
)
from transst_py.tl._graph import N_NEIGHBORS, neighborhood_graph
from transst_py.tl._views import own_data
from transst_py.transfer import DEFAULT_PENALTIES

__all__ = ["transst"]

# A gene seen in fewer spots of the target, or rows of all sources together, says nothing of factors.
MIN_DETECTED = 3
# Genes that the sources have, too, are the better ones (less noise), as long as they are this share of the
# target's.
MIN_SHARED = 0.25
# A source is not worth more than this part of the genes that the source with the most shares with the target.
MIN_SHARE_OF_GENES = 0.5

Sources: TypeAlias = (
    AnnData | SpatialDataLike | Sequence[AnnData | SpatialDataLike] | Mapping[str, AnnData | SpatialDataLike]
)


def transst(
    adata: AnnData | SpatialDataLike,
    source: Sources | None = None,
    *,
    source_labels: str | None = None,
    exclude_labels: Sequence[str] = (),
    n_domains: int | Sequence[int] | None = None,
    n_factors: int = 15,
    encoder: str = "linear",
    encoder_options: Mapping[str, Any] | None = None,
    n_top_genes: int | None = 2000,
    gene_selection: str = "spatial",
    layer: str | None = None,
    source_layer: str | None = None,
    normalization: str = "log",
    scaling: str = "per_dataset",
    spatial_key: str = "spatial",
    source_spatial_key: str | None = None,
    sample_key: str | None = None,
    graph: str | sp.spmatrix | sp.sparray = "auto",
    n_neighbors: int = N_NEIGHBORS,
    radius: float | None = None,
    smoothness: float | str = "auto",
    covariance_prior: float = 20.0,
    covariance_type: str = "full",
    class_transfer: str = "auto",
    min_autocorrelation: float | None = 0.15,
    penalties: Sequence[float] = DEFAULT_PENALTIES,
    n_folds: int = 5,
    penalty_rule: str = "best",
    solver: str = "eigen",
    source_start: str = "principal",
    source_selection: str = "auto",
    label_noise: str = "remove",
    n_init: int | str = "auto",
    criterion: str = "auto",
    n_subsamples: int = 5,
    random_state: int = 0,
    statistics: str | Path | None = None,
    key_added: str = "transst",
    verbose: bool = False,
    copy: bool = False,
) -> AnnData | None:
    """Find the spatial domains of a tissue, with help from labelled references.

    A supervised factor model is fitted to the labelled sources; its loadings are transferred to the target
    as far as held-out spots confirm them. If the sources' labels can be trusted (labels hidden on the sources
    are predicted, and the target is like the sources), every spot gets the class that the labels give it:
    regions or cell types, whichever the labels are. Otherwise the spots' factor scores are clustered by a
    Gaussian mixture with a Markov random field over the tissue, and domains are named after the classes whose
    profile they have. Sources that are too unlike the target, or whose labels have nothing to do with their
    expression, are not used.

    Parameters
    ----------
    adata
        Target: (spots x genes) raw counts; positions in `obsm[spatial_key]`, if the graph is made of them.
        Of a SpatialData: its only table. Of this and of the sources, the expression may lie in a file (h5ad
        opened with `backed`, zarr) or be a dask array: it is then read in chunks of rows, on the workers of a
        cluster where a `distributed.Client` is active.
    source
        Labelled references (spots or cells; raw counts): one AnnData, a list, or a dict by name. Positions
        are not needed, but where there are some (see `source_spatial_key`) they teach how far neighbours
        share labels. `None` fits the same model without transfer. The model has the genes that target and
        sources share; where these are less than a quarter of the target's, all of the target's, those that
        the sources lack with loadings of the target's own (not with `encoder="graph-vae"`).
    source_labels
        Column of every source's `obs` with the labels. Rows whose label is missing are left out; texts such
        as "NA" count as missing, with a warning.
    exclude_labels
        Labels that count as missing, such as "undetermined". `report` leaves them out of the agreement, too.
    n_domains
        Number of domains K, or a sequence to choose from, such as `range(2, 11)`; it should reach about
        twice the number expected. `None`: the classes of the sources that are found, if these are trusted;
        otherwise an error. With fewer domains than classes the most alike are joined; with more, the others
        are free, and "unknown".
    n_factors
        Number of factors q.
    encoder
        How spots become factors. "linear": loadings of the genes. "graph-vae": a network, for data that are
        not linear, which learns the sources' labels itself (see `GraphVariationalEncoder`); without loadings.
        It needs torch: pip install 'transst-py[s2s]'.
    encoder_options
        Options of the network by name.
    n_top_genes
        How many genes to keep, of those that the sources have, too, first; `None` keeps all.
    gene_selection
        "spatial": the genes with the largest Moran's I in the target. "variable": those with the largest
        dispersion for their mean, by mean rank over the target and the sources (of the target alone where the
        sources lack genes of the model).
    layer, source_layer
        Layers that hold the counts of the target and of the sources; `None` means `X`.
    normalization
        "log": scale every spot to the target's median library size, then log(1 + x). "none": the data are
        normalised already.
    scaling
        "per_dataset" or "joint" centring and scaling of the genes, or "auto", whichever predicts held-out
        spots better; see `TransST`.
    spatial_key, sample_key
        Key of the positions in `obsm`; column of `obs` that tells samples apart (neighbours lie within one).
        Sources that have that column are treated alike.
    source_spatial_key
        Key of the positions in the sources' `obsm`. `None`: `spatial_key`, in the sources that have it.
    graph
        Who is whose neighbour, always within a sample. "auto": the graph of `squidpy.gr.spatial_neighbors`
        where there is one (`uns["spatial_neighbors"]` names it), else "knn". "knn": each spot's `n_neighbors`
        nearest, with ties, in both directions. "radius": all spots within `radius`. "lattice": adjacent sites
        by `obs["array_row"]`, `obs["array_col"]`, hexagonal (Visium: row + column even) or square. A sparse
        (n, n) matrix, or the name of one in `obsp`: your own. Graphs that are not made here are made
        symmetric, their weights do not count, and edges between samples are left out.
    n_neighbors
        Neighbours of a spot, for "knn".
    radius
        For "radius", in units of the coordinates. `None`: found, so that the median number of neighbours
        lies in [4, 6].
    smoothness, covariance_prior, covariance_type, n_init
        Of the spatial mixture; see `SpatialGaussianMixture`.
    class_transfer
        What is taken from the labels of the sources beside the loadings. "auto": the classes, if the trust in
        them is at least 0.35 and they cover the target (see `tl.transfer_report`); otherwise they help to
        describe the spots if the domains found without them resemble them. "follow": the classes, whatever
        the trust. "always": the domains start from the classes and then adapt to the target. "never":
        nothing, as published.
    min_autocorrelation
        Factors whose Moran's I is below this share of the largest have no part in the domains; `None` takes
        all factors, as they are.
    penalties, n_folds, penalty_rule, solver
        Of the transfer; see `AdaptiveLoadings`.
    source_start
        Start of the source model, "principal" or "weighted"; see `SupervisedFactorAnalysis`.
    source_selection
        "auto" leaves out sources that tell little of the target, or, beside others that are used, would take
        half of their genes out of the model, with a warning; "all" uses every source.
    label_noise
        "remove": wrong labels of the sources are looked for, and where 10% or more of a source's seem wrong,
        those rows are left out. "report": they are listed only. "ignore": not looked for (which saves a pass
        over expression that is not in memory).
    criterion, n_subsamples
        Of the choice among several numbers of domains; see `choose_n_domains`.
    random_state
        Seed; recorded with the result.
    statistics
        Folder, made where there is none, in which the results of passes over expression that is not in memory
        are kept: a fit that was stopped, or one with other options, goes on from those that it shares with
        earlier ones on the same data. `None` keeps nothing.
    key_added
        Name of the results.
    verbose
        Print the stages as they run.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    `None`, or the copy; a view becomes an object of its own. Written only once everything has succeeded:

    - `obs[key]`: domain of every spot, categorical "1".."K" by decreasing size
    - `obs[key + "_confidence"]`: probability of that domain, float64
    - `obs[key + "_class"]`, with a source: the class of the spot, where the classes are followed; otherwise
      the class that the spot's domain resembles, "unknown" where that is not beyond doubt; categorical
    - `obsm["X_" + key]`: (n, q) scores of the transferred factors, float64 (above two million spots float32);
      NaN for spots without any count. The domains are found in their spatial factors
    - `obsm[key + "_prob"]`: (n, K) probabilities of the domains, of the same type
    - `varm[key + "_loadings"]`: (n_vars, q) loadings of the standardised genes; NaN for genes not used;
      not with `encoder="graph-vae"`, which has none
    - `obsp[key + "_connectivities"]`: (n, n) neighbourhood graph
    - `uns[key]["source"]`, with sources: their names and classes, how many of the model's genes they have
      (`n_shared_genes`), what speaks for each (`shared_genes`, `relevance`, `label_dependence`,
      `random_labels`, `used`; see `tl.transfer_report`), the estimated share of wrong labels
      (`label_noise`), and which rows bear them (`suspicious`: arrays `source`, `row`, `given`, `likely`,
      `probability` of the likely class)
    - `uns[key]["transfer"]`: what was `transferred` ("classes", "loadings", "encoder", "nothing"), whether
      the spots follow the labels (`follows_labels`), the `trust` by source and the `hidden_scores` it comes
      from, the `coverage` of the target by the classes, and the table `smoothing` of the score of every
      setting on hidden labels of the sources (`feature_rounds`, `label_rounds`, `score`, `weight`); penalty
      path
    - `uns[key]["id"]`: tells this fit from any other; what is made from it keeps this, and is refused beside
      another fit. Marker tables of an earlier fit of this key are removed
    - `uns[key]`: parameters, seed, versions, kind of graph and mean number of neighbours, names of the
      domains and how far they can be trusted, log-likelihoods, table of the choice of K, warnings, seconds;
      how often expression that is not in memory was read

    Raises
    ------
    TypeError, KeyError, ValueError
        Bad input; the message names the argument, what was found and what to do. `adata` is left unchanged.
    OSError
        A file cannot be read, or `statistics` not be written.
    ImportError
        `encoder="graph-vae"` without torch; the message says how to install it.

    Warns
    -----
    UserWarning
        Fractional values where counts are expected, few shared genes, genes that a sample seems not to have
        measured, empty spots, unlabelled source rows, sources that are not used, or of whose labels a tenth
        or more seem wrong, spots without neighbours, fewer domains than asked for.
    """
    options = {k: v for k, v in locals().items() if k not in ("adata", "source", "copy", "verbose")}
    progress, spent = Progress(verbose), Counter[str]()
    check_encoder_installed(encoder)
    adata = check.check_anndata(adata, in_memory=False)
    if copy and adata.isbacked:
        raise ValueError(
            "`copy`: adata is backed by a file, which is not copied; results go to its slots in memory"
        )
    _check_key(adata, key_added)
    if isinstance(penalties, str) or not isinstance(penalties, Iterable):
        raise TypeError(f"`penalties` must be a list of numbers, got {penalties!r}; write [{penalties!r}]")
    if n_domains is None:
        _check_no_number(source, class_transfer, encoder)
    with passed_on() as said:
        prepare = partial(
            _prepare,
            adata,
            layer=layer,
            source_layer=source_layer,
            normalization=normalization,
            n_domains=n_domains,
            n_factors=n_factors,
            n_top_genes=n_top_genes,
            gene_selection=gene_selection,
            spatial_key=spatial_key,
            source_spatial_key=source_spatial_key,
            sample_key=sample_key,
            graph=graph,
            n_neighbors=n_neighbors,
            radius=radius,
            random_state=random_state,
            statistics=statistics,
            own_genes=encoder == "linear",
        )
        sources = _named_sources(source)
        labels = _labels_of_sources(sources, source_labels, exclude_labels)
        warn_of_own_spots(adata, sources)
        genes = {name: _genes_of_source(adata, one, name) for name, one in sources.items()}
        has = {name: adata.var_names.isin(names) for name, names in genes.items()}
        n_shared = {name: int(mask.sum()) for name, mask in has.items()}
        tried = _wide_sources(has) if source_selection == "auto" else list(sources)
        narrow = [name for name in sources if name not in tried]
        with progress.stage("input"):
            problem = prepare({k: sources[k] for k in tried}, labels, genes)
        model = TransST(
            problem.n_domains,
            n_factors=n_factors,
            encoder=encoder,
            encoder_options=encoder_options,
            scaling=scaling,
            penalties=tuple(penalties),
            n_folds=n_folds,
            penalty_rule=penalty_rule,
            solver=solver,
            source_start=source_start,
            source_selection=source_selection,
            label_noise=label_noise,
            smoothness=smoothness,
            covariance_prior=covariance_prior,
            covariance_type=covariance_type,
            class_transfer=class_transfer,
            min_autocorrelation=min_autocorrelation,
            n_init=n_init,
            criterion=criterion,
            n_subsamples=n_subsamples,
            random_state=random_state,
            verbose=verbose,
        )
        needed = _fit(model, problem, spent)
        merits, used = model.source_merits_, model.sources_used_
        if narrow and not used:
            tried, problem = narrow, prepare({k: sources[k] for k in narrow}, labels, genes)
            needed = _fit(model, problem, spent)
            merits, used = pd.concat([merits, model.source_merits_]), model.sources_used_
        elif narrow:
            _warn_of_narrow({name: n_shared[name] for name in narrow})
        if tried and not used:
            _check_without_sources(class_transfer, needed, said)
        if len(used) < len(tried):
            # As if the others had not been given: they have had a part in the choice of the genes.
            problem = prepare({k: sources[k] for k in used}, labels, genes)
            needed = _fit(model.set_params(source_selection="all"), problem, spent)
        if needed is not None:
            raise needed
    messages = list(dict.fromkeys(one.text for one in said))

    result = adata.copy() if copy else own_data(adata)
    seconds = progress.seconds | dict(spent)
    record = _record(model, problem, options, messages, seconds)
    if sources:
        selection = _selection(n_shared, merits, used, model.label_noise_)
        selection["n_shared_genes"] = len(problem.shared) if used else 0
        record["source"] = selection | record.get("source", {})
    record["id"] = fit_identity(record["params"], model.labels_, model.embedding_)
    _write(result, model, problem, key_added, record)
    return result if copy else None


def _fit(model: TransST, problem: _Problem, spent: Counter[str]) -> NumberOfDomainsNeededError | None:
    """Fit; return what is to be raised if no fit with other sources follows. `spent` gets the seconds."""
    field = Field.from_graph(problem.measured_graph)
    try:
        model.fit(problem.X, field, problem.sources or None, problem.shared)
    except NumberOfDomainsNeededError as error:
        return error
    finally:
        spent.update(getattr(model, "seconds_", {}))
    return None


def _check_without_sources(
    class_transfer: str, needed: NumberOfDomainsNeededError | None, said: list[Said]
) -> None:
    """Refuse to go on without any source where one is needed, and say why all were rejected."""
    if needed is None and class_transfer not in ("follow", "always"):
        return
    what = "`n_domains` is missing" if needed else f"`class_transfer`={class_transfer!r} needs a source"
    why = "; ".join(one.text for one in said if "are not used" in one.text)
    raise ValueError(f"{what}, and every source was rejected: {why}")


def _check_no_number(source: Any, class_transfer: str, encoder: str) -> None:
    """Refuse a fit without a number of domains where no classes can take its place."""
    if source is None:
        raise ValueError("`n_domains` is missing: give the number of domains; only a `source` could tell it")
    if class_transfer not in ("auto", "follow") or encoder != "linear":
        raise ValueError(
            "`n_domains` is missing: give the number of domains, or leave `class_transfer`='auto' and "
            "`encoder`='linear', with which the classes of the source may tell it"
        )


def _check_key(adata: AnnData, key: str) -> None:
    """Refuse what cannot name results in a file, and to overwrite what no earlier run wrote."""
    if not isinstance(key, str):
        raise TypeError(f"`key_added` must be a text, got {key!r}")
    if not key.strip() or "/" in key:
        raise ValueError(
            f"`key_added` must be a name without a slash, got {key!r}: h5ad files could not hold it"
        )
    if is_fit_record(adata.uns.get(key)):
        return
    if key in adata.obs:
        raise ValueError(f"`key_added`: adata.obs has a column {key!r} of its own; choose another name")
    for slot, name in (("uns", key), ("obsp", _graph_name(key))):
        if name in getattr(adata, slot):
            raise ValueError(f"`key_added`: adata.{slot} has {name!r} of its own; choose another name")


def _graph_name(key: str) -> str:
    return f"{key}_connectivities"


@dataclass
class _Problem:
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


def _named_sources(source: Sources | None) -> dict[str, AnnData]:
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
        name: check.check_anndata(value, what=f"source {name!r}", in_memory=False)
        for name, value in named.items()
    }


def _prepare(
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
) -> _Problem:
    """Check everything that can be checked, then normalise and choose genes."""
    check.check_choice("normalization", normalization, NORMALIZATIONS)
    check.check_choice("gene_selection", gene_selection, GENE_SELECTIONS)
    places = {
        name: _places(source, spatial_key, source_spatial_key, sample_key, name)
        for name, source in sources.items()
    }
    counts = _expression(adata, layer, normalization, "adata")
    check.check_whole_number("n_factors", n_factors, at_least=1)
    if n_top_genes is not None:
        check.check_whole_number("n_top_genes", n_top_genes, at_least=1)
    check.check_seed(random_state)
    several = isinstance(n_domains, Iterable)
    candidates = [1]
    if n_domains is not None:
        wanted: Any = n_domains if several else [n_domains]
        candidates = check_candidates(wanted, adata.n_obs, argument="n_domains")
    warn_outside_tissue(adata)
    samples = None if sample_key is None else check.check_samples(adata, sample_key).cat.codes.to_numpy()
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
    # Of all rows: those without counts, which are left out, detect nothing.
    detected = n_detected(X) >= min(MIN_DETECTED, int(measured.sum()))
    if labelled:
        detected[is_shared] &= sum(n_detected(one.X) for one in labelled.values()) >= MIN_DETECTED
    if normalization == "log":
        warn_of_equal_totals(counts)
        target_sum = common = median_total(X)
        if not is_shared.all():
            common = median_total(X[:, np.flatnonzero(is_shared)])
        X = log_normalize(_rows(X, measured), target_sum=target_sum)
        labelled = {name: _normalized_source(one, name, common) for name, one in labelled.items()}
    measured_graph = _rows(neighbors, measured, both=True)
    expression = [one.X for one in labelled.values()] if is_shared.all() else []
    chosen = select_genes(
        X, measured_graph, detected, n_top_genes, by=gene_selection, sources=expression, first=is_shared
    )
    shared_chosen = np.flatnonzero(is_shared[chosen])
    of_sources = np.cumsum(is_shared)[chosen[shared_chosen]] - 1
    if few:
        _warn_of_few_genes(len(shared), adata.n_vars, len(chosen) - len(shared_chosen))
    _check_size(X.shape[0], len(shared_chosen), max(candidates), n_factors)
    return _Problem(
        n_domains=candidates if several else None if n_domains is None else candidates[0],
        X=chosen_columns(X, chosen),
        graph=neighbors,
        graph_record=graph_record,
        measured=measured,
        measured_graph=measured_graph,
        genes=genes[chosen],
        shared=shared_chosen,
        sources={name: replace(one, X=chosen_columns(one.X, of_sources)) for name, one in labelled.items()},
    )


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
    survey = check.check_survey(X, counts=counts, what=what, raw=raw)
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
            f"{check.list_some(list(source.obsm)) or 'no entries'}; leave it out if there are no positions"
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
    X = check.check_matrix(adata, layer, what=what, stored=True)
    check.check_unique_genes(adata, what=what)
    if isinstance(X, RowChunks):
        return X
    if normalization == "log":
        check.check_counts(X, what=what, raw=adata.raw is not None)
    else:
        check.check_normalized(X, what=what)
    return X


def _genes_of_source(adata: AnnData, source: AnnData, name: str) -> pd.Index:
    """Genes of a source in the target's names."""
    check.check_unique_genes(adata)
    check.check_unique_genes(source, what=f"source {name!r}")
    return names_of_target(adata, source, name)


def _labels_of_sources(
    sources: dict[str, AnnData], key: str | None, exclude: Sequence[str]
) -> dict[str, pd.Series]:
    """Labels of every source, (n_s,), NaN where there is none."""
    check.check_names("exclude_labels", exclude)
    for argument, value in (("source_labels", key), ("exclude_labels", exclude or None)):
        if value is not None and not sources:
            raise ValueError(f"`{argument}` was given without `source`")
    given = {
        name: check.check_obs_column(source, key, argument="source_labels", what=f"source {name!r}")
        for name, source in sources.items()
    }
    known = {str(label) for column in given.values() for label in column.dropna().unique()}
    if sources and (unknown := [name for name in exclude if str(name) not in known]):
        raise ValueError(
            f"`exclude_labels`: no source has the label {check.list_some(unknown)} in column {key!r}; it has "
            f"{check.list_some(sorted(known))}"
        )
    labels = {}
    for name, column in given.items():
        labels[name] = class_labels(column, f"`source_labels`: column {key!r} of source {name!r}", exclude)
        if labels[name].isna().all():
            raise ValueError(f"`source_labels`: every value of column {key!r} of source {name!r} is missing")
    return labels


def _write(adata: AnnData, model: TransST, problem: _Problem, key: str, record: dict[str, Any]) -> None:
    embedding = np.ascontiguousarray(model.embedding_)
    if not problem.measured.all():
        embedding = np.full((adata.n_obs, model.n_factors), np.nan, dtype=embedding.dtype)
        embedding[problem.measured] = model.embedding_
    probabilities = infer_from_neighbors(
        problem.graph, model.responsibilities_, problem.measured, model.smoothness_
    )
    labels = probabilities.argmax(axis=1)
    labels[problem.measured] = model.labels_
    names = [str(k + 1) for k in range(probabilities.shape[1])]

    adata.obs[key] = pd.Categorical.from_codes(labels, categories=names)
    adata.obs[f"{key}_confidence"] = probabilities[np.arange(adata.n_obs), labels]
    if model.spot_classes_ is not None and model.domain_names_ is not None:
        # A spot without counts has the class that most of its domain's spots have.
        frequent = pd.Series(model.spot_classes_).groupby(model.labels_).agg(lambda names: names.mode()[0])
        classes = frequent.reindex(range(len(names))).to_numpy(dtype=object)[labels]
        classes[problem.measured] = model.spot_classes_
        adata.obs[f"{key}_class"] = pd.Categorical(classes)
    elif f"{key}_class" in adata.obs:  # of an earlier run with a source
        del adata.obs[f"{key}_class"]
    adata.obsm[f"X_{key}"] = embedding
    adata.obsm[f"{key}_prob"] = probabilities
    adata.varm.pop(f"{key}_loadings", None)  # of an earlier run with another encoder
    if model.encoder == "linear":
        loadings = np.full((adata.n_vars, model.n_factors), np.nan)
        loadings[adata.var_names.get_indexer(problem.genes)] = model.transfer_.loadings_
        adata.varm[f"{key}_loadings"] = loadings
    adata.obsp[_graph_name(key)] = problem.graph
    for stale in (f"{key}_markers", f"{key}_markers_params"):  # of the domains of an earlier run
        adata.uns.pop(stale, None)
    adata.uns[key] = record


def _record(
    model: TransST,
    problem: _Problem,
    options: dict[str, Any],
    messages: list[str],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The run as a plain dict of numbers, strings and arrays, which survives `write_h5ad`."""
    record: dict[str, Any] = {
        "params": {k: _storable(v) for k, v in options.items() if v is not None},
        "versions": _versions(),
        "genes": problem.genes.to_numpy(dtype=str).astype(object),
        "graph": problem.graph_record,
        "transfer": _transfer_record(model),
        "mixture": _mixture_record(model),
        "warnings": np.asarray(messages, dtype=object),
        "seconds": seconds,
    }
    expression = {"target": problem.X} | {name: one.X for name, one in problem.sources.items()}
    passes = {name: M.store.reads for name, M in expression.items() if isinstance(M, RowChunks)}
    if passes:
        record["passes"] = passes
    if model.choice_ is not None:
        record["n_domains"] = choice_record(model.choice_)
    if model.source_model_ is not None:
        record["source"] = {
            "classes": model.source_model_.classes_.astype(object),
            "log_likelihoods": np.asarray(model.source_model_.lower_bounds_),
            "converged": model.source_model_.converged_,
        }
    if model.label_noise_:
        record["source"]["suspicious"] = _suspicious(model.suspicious_, problem.sources)
    if model.domain_names_ is not None:
        record["names"] = {column: values.to_numpy() for column, values in model.domain_names_.items()}
    return record


def _mixture_record(model: TransST) -> dict[str, Any]:
    """The spatial mixture; of spots that follow the sources' labels only how smooth these are."""
    mixture = model.mixture_
    return {
        "smoothness": model.smoothness_,
        "log_likelihoods": np.asarray([] if mixture is None else mixture.lower_bounds_, dtype=np.float64),
        "converged": mixture is None or mixture.converged_,
    }


def _wide_sources(has: dict[str, np.ndarray]) -> list[str]:
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


def _warn_of_narrow(n_shared: dict[str, int]) -> None:
    listed = ", ".join(f"{name!r} ({n})" for name, n in n_shared.items())
    warn(
        f"sources that share few genes with the target and the others are not used: {listed}; the model "
        "would lose the genes that they lack. `source_selection`='all' uses every source"
    )


def _warn_of_few_genes(n_shared: int, n_genes: int, n_others: int) -> None:
    others = f"; {n_others} others are in the model, with loadings of the target's own" if n_others else ""
    warn(f"only {n_shared} of the target's {n_genes} genes are shared with the source{others}")


def _selection(
    n_shared: dict[str, int], merits: pd.DataFrame, used: list[str], noise: dict[str, float]
) -> dict[str, Any]:
    """All sources that were given: what speaks for them, which were used, share of wrong labels of these."""
    merits = merits.reindex(list(n_shared))
    return {
        "names": merits.index.to_numpy(dtype=object),
        "shared_genes": np.array(list(n_shared.values())),
        "relevance": merits["relevance"].to_numpy(),
        "label_dependence": merits["label_dependence"].to_numpy(),
        "random_labels": merits["random_labels"].eq(True).to_numpy(),
        "used": merits.index.isin(used),
        "label_noise": np.array([noise.get(name, np.nan) for name in merits.index]),
    }


def _suspicious(found: dict[str, pd.DataFrame], sources: dict[str, Source]) -> dict[str, Any]:
    """Suspicious rows of all sources, rows by their names, as arrays of equal length."""
    table = pd.concat(
        table.assign(source=name, row=sources[name].labels.index[table["row"]].astype(str))
        for name, table in found.items()
    )
    texts = {k: table[k].to_numpy(dtype=str).astype(object) for k in ("source", "row", "given", "likely")}
    return {**texts, "probability": table["probability"].to_numpy(dtype=np.float64)}


def _transfer_record(model: TransST) -> dict[str, Any]:
    """What was transferred, and what that was decided from; the network has no penalties."""
    record: dict[str, Any] = {
        "encoder": model.encoder,
        "transferred": model.transferred_,
        "follows_labels": model.follows_labels_,
        "classes_found": _found(model),
        **_labels_record(model.label_transfer_),
        "scaling_errors": model.scaling_errors_,
        "class_shrinkage": model.class_shrinkage_,
        "class_support": model.class_support_,
        "class_likelihoods": model.class_likelihoods_,
    }
    if model.encoder == "graph-vae":
        losses = {f"losses_{name}": np.asarray(values) for name, values in model.encoder_.losses_.items()}
        penalties = dict.fromkeys(("cv_penalties", "cv_errors", "cv_standard_errors"), np.zeros(0))
        return record | penalties | losses
    return record | {
        "penalty": model.transfer_.penalty_,
        "cv_penalties": model.transfer_.cv_penalties_,
        "cv_errors": model.transfer_.cv_errors_,
        "cv_standard_errors": model.transfer_.cv_standard_errors_,
    }


def _found(model: TransST) -> np.ndarray:
    """Classes that some spot has, where the labels are followed."""
    classes = model.spot_classes_ if model.follows_labels_ else None
    found = [] if classes is None else sorted({str(name) for name in classes} - {UNKNOWN})
    return np.array(found, dtype=object)


def _labels_record(transfer: LabelTransfer | None) -> dict[str, Any]:
    """What the sources tell of their own labels: score of every setting, and the trust by source.

    A slash in a name would make a folder of an h5ad file.
    """
    if transfer is None:
        return {}
    return {
        "hidden": transfer.hidden,
        "hidden_scores": {str(name).replace("/", "|"): score for name, score in transfer.scores.items()},
        "trust": {str(name).replace("/", "|"): trust for name, trust in transfer.trust.items()},
        "total_trust": transfer.total_trust,
        "coverage": transfer.coverage,
        "smoothing": {column: values.to_numpy() for column, values in transfer.smoothing.items()},
    }


def _storable(value: Any) -> Any:
    if sp.issparse(value):
        return "matrix"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _storable(v) for k, v in value.items()}
    return np.asarray(value) if isinstance(value, (tuple, list, range)) else value


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("anndata", "numpy", "scipy", "scikit-learn")}
    return {"python": platform.python_version(), "transst_py": transst_py.__version__, **libraries}
