"""`tl.transst`, the whole method on AnnData: checks, normalisation and slots; the model is in `model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import scipy.sparse as sp
from anndata import AnnData

from transst_py._core.options import (
    DEFAULTS,
    ClassTransfer,
    CovarianceType,
    Criterion,
    EncoderName,
    GeneSelection,
    LabelNoiseAction,
    Normalization,
    PenaltyRule,
    Scaling,
    Solver,
    SourceSelection,
    SourceStart,
)
from transst_py._core.progress import Progress
from transst_py._core.typing import SpatialDataLike
from transst_py._core.warn import passed_on
from transst_py.model import check_encoder_installed
from transst_py.tl._fit import fit_with_sources
from transst_py.tl._gate import (
    check_anndata,
)
from transst_py.tl._problem import (
    Sources,
)
from transst_py.tl._slots import check_key, fit_slots_record, write_slots
from transst_py.tl._views import own_data

__all__ = ["transst"]


def transst(
    adata: AnnData | SpatialDataLike,
    source: Sources | None = None,
    *,
    source_labels: str | None = None,
    exclude_labels: Sequence[str] = (),
    n_domains: int | Sequence[int] | None = None,
    n_factors: int = DEFAULTS.n_factors,
    encoder: EncoderName = DEFAULTS.encoder,
    encoder_options: Mapping[str, Any] | None = None,
    n_top_genes: int | None = DEFAULTS.n_top_genes,
    gene_selection: GeneSelection = DEFAULTS.gene_selection,
    layer: str | None = None,
    source_layer: str | None = None,
    normalization: Normalization = DEFAULTS.normalization,
    scaling: Scaling = DEFAULTS.scaling,
    spatial_key: str = DEFAULTS.spatial_key,
    source_spatial_key: str | None = None,
    sample_key: str | None = None,
    graph: str | sp.spmatrix | sp.sparray = "auto",
    n_neighbors: int = DEFAULTS.n_neighbors,
    radius: float | None = None,
    smoothness: float | Literal["auto"] = DEFAULTS.smoothness,
    covariance_prior: float = DEFAULTS.covariance_prior,
    covariance_type: CovarianceType = DEFAULTS.covariance_type,
    class_transfer: ClassTransfer = DEFAULTS.class_transfer,
    min_autocorrelation: float | None = DEFAULTS.min_autocorrelation,
    penalties: Sequence[float] = DEFAULTS.penalties,
    n_folds: int = DEFAULTS.n_folds,
    penalty_rule: PenaltyRule = DEFAULTS.penalty_rule,
    solver: Solver = DEFAULTS.solver,
    source_start: SourceStart = DEFAULTS.source_start,
    source_selection: SourceSelection = DEFAULTS.source_selection,
    label_noise: LabelNoiseAction = DEFAULTS.label_noise,
    n_init: int | Literal["auto"] = DEFAULTS.n_init,
    criterion: Criterion = DEFAULTS.criterion,
    n_subsamples: int = DEFAULTS.n_subsamples,
    random_state: int = DEFAULTS.random_state,
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
    progress = Progress(verbose)
    check_encoder_installed(encoder)
    adata = check_anndata(adata, in_memory=False)
    if copy and adata.isbacked:
        raise ValueError(
            "`copy`: adata is backed by a file, which is not copied; results go to its slots in memory"
        )
    check_key(adata, key_added)
    _check_combinations(source, penalties, n_domains, class_transfer, encoder)
    with passed_on() as said:
        fit = fit_with_sources(adata, source, options, progress, said)
    messages = list(dict.fromkeys(one.text for one in said))
    result = adata.copy() if copy else own_data(adata)
    write_slots(result, fit, key_added, fit_slots_record(fit, options, messages, progress.seconds))
    return result if copy else None


def _check_combinations(
    source: Sources | None, penalties: Any, n_domains: Any, class_transfer: str, encoder: str
) -> None:
    """Refuse options that do not go together, before any work."""
    if isinstance(penalties, str) or not isinstance(penalties, Iterable):
        raise TypeError(f"`penalties` must be a list of numbers, got {penalties!r}; write [{penalties!r}]")
    if n_domains is not None:
        return
    if source is None:
        raise ValueError("`n_domains` is missing: give the number of domains; only a `source` could tell it")
    if class_transfer not in ("auto", "follow") or encoder != "linear":
        raise ValueError(
            "`n_domains` is missing: give the number of domains, or leave `class_transfer`='auto' and "
            "`encoder`='linear', with which the classes of the source may tell it"
        )
