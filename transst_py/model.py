"""TransST on arrays: source model -> adaptive transfer -> classes of the sources, or domains of a mixture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

import transst_py
from transst_py._core.atomic import written_whole
from transst_py._core.optional import require_torch
from transst_py._core.options import (
    DEFAULTS,
    ClassTransfer,
    CovarianceType,
    Criterion,
    EncoderName,
    LabelNoiseAction,
    PenaltyRule,
    Scaling,
    Solver,
    SourceSelection,
    SourceStart,
    choices,
)
from transst_py._core.progress import Progress
from transst_py._core.threads import blas_as_before
from transst_py._core.typing import Matrix
from transst_py._core.validation import check_choice, check_whole_number, list_some
from transst_py._core.warn import warn
from transst_py.domains.choice import Choice, check_candidates, check_choice_options, choose_n_domains
from transst_py.domains.components import ClassEvidence
from transst_py.domains.embedding import Coordinates
from transst_py.domains.mixture import SpatialGaussianMixture
from transst_py.domains.naming import name_domains
from transst_py.domains.search import DomainSearch, View
from transst_py.expression.features import graph_given, names_of_columns, rows_of_fit, rows_to_predict
from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.label_noise import among_all, chosen_rows
from transst_py.source.labels import warn_of_classes
from transst_py.source.rows import Source, as_source, check_source
from transst_py.source.selection import SourceMerits
from transst_py.tissue.potts import Field, smoothness_of
from transst_py.tissue.spatial_factors import SpatialFactors, check_min_autocorrelation
from transst_py.transfer.adaptive_loadings import AdaptiveLoadings
from transst_py.transfer.class_coordinates import ClassCoordinates
from transst_py.transfer.class_profiles import believed_profiles
from transst_py.transfer.hidden_labels import MIN_TRUST, LabelledScores
from transst_py.transfer.label_transfer import (
    MIN_COVERAGE,
    LabelTransfer,
    label_components,
    scatter_of_sample,
)
from transst_py.transfer.linear_factors import LinearFactors, spread, standardized

if TYPE_CHECKING:
    from transst_py.transfer.graph_vae import GraphVariationalEncoder

__all__ = ["TransST", "check_encoder_installed"]


class NumberOfDomainsNeededError(ValueError):
    """The number of domains was left to the classes of the sources, which are not followed."""


class TransST(ClusterMixin, BaseEstimator):
    """Spatial domains of a target, with loadings and classes transferred from labelled sources.

    Parameters
    ----------
    n_components
        Number of domains K, or a sequence to choose from (see `choose_n_domains`). `None`: the classes that
        are found, where the spots follow the sources' labels; else an error.
    n_factors
        Number of factors q.
    encoder
        How spots become factors. "linear": loadings of the genes, stages 1 and 2. "graph-vae": in their place
        a network (see `GraphVariationalEncoder`), for data that are not linear; on annotated tissue it has
        not been better on the mean (benchmarks/results/graph_vae.csv). It has no loadings, takes none of the
        options down to `class_transfer` but for `scaling`, leaves no source out, and needs torch.
    encoder_options
        Further options of the `GraphVariationalEncoder`, by name.
    scaling
        "per_dataset": every data set is centred and scaled to unit variance by its own genes' moments, which
        removes differences of level between patients and technologies. "joint": by the moments of all rows
        together, as published. "auto": the one of these whose loadings leave less of held-out spots
        unexplained, genes in units of their own spread in the target (twice the time, and more).
    penalties, n_folds, penalty_rule, solver
        See `AdaptiveLoadings`.
    source_start
        `start` of `SupervisedFactorAnalysis`.
    source_selection
        "auto": a source is not used if its labels go with its expression no better than labels in random
        order, or if its relevance is below half of that of the best source; none is if even the best is below
        a third (see `source.selection`). "all": every source is used.
    label_noise
        What is done about wrong labels of the sources (see `source.label_noise`). "remove": where 10% or
        more of a source's seem wrong, the rows whose label is more likely wrong than right are not used by
        the source model. "report": they are listed, but stay. "ignore": nobody looks.
    class_transfer
        What is taken from the sources' labels beside the loadings. "auto": every spot gets the class that
        the labels give it, if the sources can be trusted (see `transfer.label_transfer`). If not, domains
        are found from scratch; where most spots lie in domains that resemble a class (`class_support_`), the
        classes are a second description of the spots (see `transfer.class_coordinates`), and domains that
        start from the classes are kept if their likelihood is larger (`class_likelihoods_`). "follow": every
        spot gets its class, trusted or not. "always": the domains start from the classes, and adapt to the
        target. "never": nothing, as published.
    min_autocorrelation
        See `SpatialFactors`; `None` gives the mixture all scores as they are, as published.
    smoothness, covariance_prior, covariance_type, n_init
        See `SpatialGaussianMixture`.
    criterion, n_subsamples
        How a number of domains is chosen; see `choose_n_domains`.
    random_state
        Seed of everything that is random.
    verbose
        Print the stages as they run.

    Attributes
    ----------
    labels_ : ndarray (n,)
        Domain of every spot, 0..K-1 by decreasing size.
    responsibilities_ : ndarray (n, K)
    embedding_ : ndarray (n, q)
        Scores v of the spots.
    encoder_ : GraphVariationalEncoder
        With `encoder="graph-vae"`, where it takes the place of `transfer_`.
    label_transfer_ : LabelTransfer or None
        How the sources' labels are carried over and how far they are trusted, where that was asked.
    follows_labels_ : bool
        Whether the domains are the classes that the sources' labels give the spots.
    coordinates_ : Coordinates
        What the mixture is fitted to: the scores' spatial factors.
    class_coordinates_ : ClassCoordinates or None
        How a spot is placed between the classes of the source, where that was used.
    transferred_ : str
        "classes" (the domains follow them, or start from them), "loadings", "encoder" (labels, into the
        network) or (without source) "nothing".
    source_merits_ : DataFrame
        By source, its `relevance`, the `label_dependence`, and whether its labels are as good as in random
        order, `random_labels` (see `SourceMerits`).
    sources_used_ : list
        Sources that the model has used.
    label_noise_ : dict
        Estimated share of wrong labels, by source that is used.
    suspicious_ : dict of DataFrame
        By source, rows whose label is more likely wrong than right, the surest first: `row` (position in the
        source), `given` and `likely` class, and the `probability` of the latter.
    domain_names_ : DataFrame or None
        Which class of the source every domain is, if any (see `name_domains`).
    spot_classes_ : ndarray (n,) or None
        Class of every spot, where the labels are followed; otherwise the name of its domain.
    scaling_errors_ : dict
        Held-out error with every scaling, if the scaling was chosen.
    class_shrinkage_ : float
        Shrinkage of the classes' mean profiles (see `transfer.class_profiles`); NaN where they have none.
    class_support_ : float
        Share of the spots whose domain, found from scratch, resembles a class (see `name_domains`); NaN where
        that was not asked.
    class_likelihoods_ : dict
        Pseudo log-likelihood per spot of the domains found from scratch ("loadings") and of those that start
        from the "classes", where both were fitted.
    source_model_ : SupervisedFactorAnalysis or None
    transfer_ : AdaptiveLoadings
    mixture_ : SpatialGaussianMixture or None
        `None` where the spots follow the sources' labels.
    smoothness_ : float
        Smoothness of the domains over the graph: of the mixture, or of the labels as they are.
    choice_ : Choice or None
        What the number of domains was chosen from, if it was.
    seconds_ : dict
        Time spent in each stage.
    n_features_in_ : int
    feature_names_in_ : ndarray (p,)
        Names of the genes, where X was a DataFrame; `predict` then wants the same in the same order.
    """

    def __init__(
        self,
        n_components: int | Sequence[int] | None = None,
        *,
        n_factors: int = DEFAULTS.n_factors,
        encoder: EncoderName = DEFAULTS.encoder,
        encoder_options: Mapping[str, Any] | None = None,
        scaling: Scaling = DEFAULTS.scaling,
        penalties: tuple[float, ...] = DEFAULTS.penalties,
        n_folds: int = DEFAULTS.n_folds,
        penalty_rule: PenaltyRule = DEFAULTS.penalty_rule,
        solver: Solver = DEFAULTS.solver,
        source_start: SourceStart = DEFAULTS.source_start,
        source_selection: SourceSelection = DEFAULTS.source_selection,
        label_noise: LabelNoiseAction = DEFAULTS.label_noise,
        class_transfer: ClassTransfer = DEFAULTS.class_transfer,
        min_autocorrelation: float | None = DEFAULTS.min_autocorrelation,
        smoothness: float | Literal["auto"] = DEFAULTS.smoothness,
        covariance_prior: float = DEFAULTS.covariance_prior,
        covariance_type: CovarianceType = DEFAULTS.covariance_type,
        n_init: int | Literal["auto"] = DEFAULTS.n_init,
        criterion: Criterion = DEFAULTS.criterion,
        n_subsamples: int = DEFAULTS.n_subsamples,
        random_state: int = DEFAULTS.random_state,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.n_factors = n_factors
        self.encoder = encoder
        self.encoder_options = encoder_options
        self.scaling = scaling
        self.penalties = penalties
        self.n_folds = n_folds
        self.penalty_rule = penalty_rule
        self.solver = solver
        self.source_start = source_start
        self.source_selection = source_selection
        self.label_noise = label_noise
        self.class_transfer = class_transfer
        self.min_autocorrelation = min_autocorrelation
        self.smoothness = smoothness
        self.covariance_prior = covariance_prior
        self.covariance_type = covariance_type
        self.n_init = n_init
        self.criterion = criterion
        self.n_subsamples = n_subsamples
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        source: Sequence[Any] | Mapping[str, Any] | None = None,
        shared: np.ndarray | None = None,
        *,
        connectivities: sp.csr_matrix | Field | None = None,
    ) -> Self:
        """Run the three stages.

        Parameters
        ----------
        X
            (n, p) log-normalised target expression, dense, csr or a DataFrame.
        y
            Not used: pipelines put labels here. The graph may stand here, too.
        source
            Each (X_s, y_s), (X_s, y_s, positions) or a `Source`, of (n_s, p_s) expression, (n_s,) labels and
            (n_s, 2) or (n_s, 3) positions; or a dict of them by name. Rows whose label is missing are left
            out, with a warning. `None` fits the same model without transfer.
        shared
            (p_s,) ascending positions of the sources' genes among the target's; `None`: p_s = p, the same
            genes in the same order. The loadings of the other genes are the target's own.
        connectivities
            (n, n) sparse graph of the target's spots, or a `Field` of it; `None`: no neighbours.

        Raises
        ------
        ValueError
            Shapes do not fit, an option is out of range, or a source has no label at all.
        ImportError
            `encoder="graph-vae"` without torch.
        """
        with blas_as_before:
            return self._fit(X, graph_given(y, connectivities), source, shared)

    def fit_predict(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Run the three stages, with the options of `fit`, and return `labels_`."""
        return np.asarray(self.fit(X, y, **options).labels_)

    def _fit(
        self,
        X: Any,
        connectivities: sp.csr_matrix | Field | None,
        source: Sequence[Any] | Mapping[str, Any] | None,
        shared: np.ndarray | None,
    ) -> Self:
        names = names_of_columns(X)
        X = rows_of_fit(self, X)
        field = Field.of(connectivities, X.shape[0])
        named = source if isinstance(source, Mapping) else dict(enumerate(source or []))
        given = {k: as_source(one, f"source[{k!r}]") for k, one in named.items()}
        if self.encoder != "linear" or self.class_transfer not in ("auto", "follow"):
            given = {k: replace(one, positions=None) for k, one in given.items()}  # nothing looks at them
        shared = check_shared(shared, X.shape[1])
        of = "the target" if len(shared) == X.shape[1] else "`shared`"
        for k, one in given.items():
            _check_same_genes(names, names_of_columns(one.X), shared, f"source[{k!r}]")
        sources = {k: check_source(one, len(shared), f"source[{k!r}]", of) for k, one in given.items()}
        if sources:
            warn_of_classes([pd.Series(one.labels) for one in sources.values()])
        if sources and self.encoder == "graph-vae" and len(shared) < X.shape[1]:
            raise ValueError("`encoder`='graph-vae' needs the same genes in target and sources")
        n_domains = self._check(X.shape[0], [one.labels for one in sources.values()])
        progress = Progress(self.verbose)
        self.class_coordinates_: ClassCoordinates | None = None
        self.label_transfer_: LabelTransfer | None = None
        self.mixture_: SpatialGaussianMixture | None = None
        self.choice_: Choice | None = None
        self.class_shrinkage_ = self.class_support_ = float("nan")
        self.class_likelihoods_: dict[str, float] = {}
        self.follows_labels_ = False
        self.spot_classes_: np.ndarray | None = None
        view: View | None
        if self.encoder == "graph-vae":
            target, view = self._fit_encoder(X, sources, field, progress)
        else:
            factors = self._fit_linear(X, sources, shared, progress)
            target = factors.target_.columns(factors.shared_)
            view = None
            if self._learn_labels(factors, sources, progress):
                with progress.stage("label transfer", f"{X.shape[0]} spots"):
                    self.follows_labels_ = self._follow_labels(factors, target, field, n_domains)
            if not self.follows_labels_:
                if self.n_components is None:
                    raise NumberOfDomainsNeededError(self._why_a_number())
                view = self._describe(factors, field)
        self.suspicious_: dict[Any, pd.DataFrame] = {
            name: among_all(table, given[name].labels) for name, table in self.suspicious_.items()
        }
        if view is not None:
            with progress.stage("spatial mixture", f"{self.n_components} domains"):
                self._fit_domains(target, view, n_domains)
        self.seconds_ = progress.seconds
        return self

    def _fit_linear(
        self, X: Matrix, sources: dict[Any, Source], shared: np.ndarray, progress: Progress
    ) -> LinearFactors:
        """Take the factors of the loadings."""
        options = {name: getattr(self, name) for name in LinearFactors(1).get_params()}
        pairs = {name: (one.X, one.labels) for name, one in sources.items()}
        factors = LinearFactors(**options).fit(X, pairs, progress, shared)
        self.source_model_, self.transfer_ = factors.source_model_, factors.transfer_
        self.source_merits_, self.sources_used_ = factors.source_merits_, factors.sources_used_
        self.label_noise_, self.suspicious_ = factors.label_noise_, factors.suspicious_
        self.scaling_errors_ = factors.scaling_errors_
        return factors

    def _learn_labels(self, factors: LinearFactors, sources: dict[Any, Source], progress: Progress) -> bool:
        """Learn on the sources how their labels are carried over, and whether they are to be followed."""
        model, used = self.source_model_, factors.sources_
        asked = self.class_transfer in ("auto", "follow")
        if asked and model is not None and len(model.classes_) > 1:
            assert used.sample is not None
            with progress.stage("labels of the sources", f"{len(model.classes_)} classes"):
                of_target = used.of_target or scatter_of_sample(used.sample, factors.target_.shape[0])
                components = label_components(of_target, used.scatters, self.random_state)
                rows = {
                    name: LabelledScores(
                        X.dot(components),
                        np.searchsorted(model.classes_, y),
                        believed,
                        float(self.source_merits_.loc[name, "relevance"]),
                        sources[name].graph,
                        sources[name].positions,
                    )
                    for name, (X, y), believed in zip(
                        self.sources_used_, used.datasets, used.believed, strict=True
                    )
                }
                self.label_transfer_ = LabelTransfer(model.classes_, components)
                self.label_transfer_.learn(rows, self.random_state)
        if self.label_transfer_ is None:
            return False
        return self.class_transfer == "follow" or self.label_transfer_.trusted

    def _why_a_number(self) -> str:
        """Why the number of domains cannot be left to the sources' classes."""
        if self.source_model_ is None:
            why = "no source was given" if not len(self.source_merits_) else "every source was rejected"
        elif self.label_transfer_ is None:
            why = "the source has a single class"
        elif not self.label_transfer_.trusted:
            trust = self.label_transfer_.total_trust
            why = (
                f"the sources' labels are not trusted (trust {trust:.2f}, needed {MIN_TRUST:.2f})"
                if np.isfinite(trust)
                else "the sources have too few labelled rows to test their labels"
            )
        else:
            why = (
                "the sources' classes explain too little of the target (coverage "
                f"{self.label_transfer_.coverage:.2f}, needed {MIN_COVERAGE:.2f})"
            )
        return f"the number of domains is missing: give it, since {why}"

    def _describe(self, factors: LinearFactors, field: Field) -> View:
        """Scores of the spots, and where they lie between the classes of the sources."""
        self.embedding_, evidence, nearest = self._project(factors, field)
        self.coordinates_ = self._coordinates(self.transfer_.projection(), field)
        return View(field, self.coordinates_, self.embedding_, evidence, nearest)

    def _follow_labels(
        self, factors: LinearFactors, target: StandardizedMatrix, field: Field, n_domains: list[int]
    ) -> bool:
        """Give every spot the class that the sources' labels give it, if the classes cover the target."""
        transfer, projection = self.label_transfer_, self.transfer_.projection()
        assert transfer is not None
        assert self.source_model_ is not None
        transfer.components = spread(transfer.components, factors.shared_, len(projection))
        both, q = factors.target_.dot(np.hstack([projection, transfer.components])), projection.shape[1]
        self.embedding_, Z = (np.ascontiguousarray(part) for part in (both[:, :q], both[:, q:]))
        del both  # as large as the two
        self.coordinates_ = self._coordinates(projection, field)
        wanted = n_domains[0] if n_domains else None
        if len(n_domains) > 1:
            self.choice_ = self._choose(self.coordinates_.alone(self.embedding_), field, n_domains)
            wanted = self.choice_.n_domains
        lacking = len(factors.shared_) < len(projection)
        P = transfer.fit(Z, field, wanted, self.embedding_ if lacking else None)
        if self.class_transfer == "auto" and not transfer.covers:
            return False
        sizes = np.bincount(transfer.domains(P).argmax(axis=1), minlength=transfer.domain_of.max() + 1)
        transfer.reorder(np.argsort(-sizes, kind="stable"))
        self.responsibilities_ = transfer.domains(P)
        self.labels_ = self.responsibilities_.argmax(axis=1).astype(np.int32)
        self.spot_classes_ = transfer.classes_of(P, self.labels_)
        self.smoothness_ = smoothness_of(field, self.labels_)
        self.transferred_ = "classes"
        self.domain_names_ = name_domains(target, self.source_model_, self.labels_, transfer.names())
        n_found = len(np.unique(self.labels_))
        if wanted is not None and n_found < wanted:
            warn(
                f"only {n_found} of the {wanted} domains asked for hold a spot: the sources' labels give the "
                f"spots {n_found} classes"
            )
        return True

    def _fit_encoder(
        self, X: Matrix, sources: dict[Any, Source], field: Field, progress: Progress
    ) -> tuple[StandardizedMatrix, View]:
        """Take the factors of the network: one scaling, no source model, all sources are used."""
        target, scaled = standardized(X, [one.X for one in sources.values()], joint=self.scaling == "joint")
        labels = [one.labels for one in sources.values()]
        self.encoder_ = self._new_encoder()
        with progress.stage("encoder", f"{X.shape[0]} spots, {sum(map(len, labels))} labelled rows"):
            self.encoder_.fit(target, field.graph, list(zip(scaled, labels, strict=True)))
        self.embedding_, self.source_model_ = self.encoder_.embedding_, None
        self.source_merits_ = SourceMerits.unknown(len(sources)).table(list(sources))
        self.sources_used_, self.label_noise_, self.suspicious_ = list(sources), {}, {}
        self.scaling_errors_ = {}
        self.coordinates_ = self._coordinates(np.eye(self.n_factors), field)
        return target, View(field, self.coordinates_, self.embedding_)

    def _new_encoder(self) -> GraphVariationalEncoder:
        from transst_py.transfer.graph_vae import GraphVariationalEncoder

        own = {"n_factors": self.n_factors, "random_state": self.random_state}
        encoder = GraphVariationalEncoder(**own | dict(self.encoder_options or {}))
        encoder.check_options()
        return encoder

    def _check(self, n: int, labels: list[np.ndarray]) -> list[int]:
        """Refuse bad options before any work; the candidates for the number of domains."""
        check_choice("class_transfer", self.class_transfer, choices(ClassTransfer))
        check_choice("source_selection", self.source_selection, choices(SourceSelection))
        check_choice("label_noise", self.label_noise, choices(LabelNoiseAction))
        check_choice("scaling", self.scaling, choices(Scaling))
        check_whole_number("n_factors", self.n_factors, at_least=1)
        self._check_encoder()
        if self.class_transfer in ("always", "follow") and len(set().union(*labels)) < 2:
            raise ValueError(
                f"`class_transfer`={self.class_transfer!r} needs a source with at least two classes"
            )
        if self.min_autocorrelation is not None:
            check_min_autocorrelation(self.min_autocorrelation)
        single = isinstance(self.n_components, (int, np.integer))
        if self.n_components is None:
            if not labels or self.class_transfer not in ("auto", "follow") or self.encoder != "linear":
                raise ValueError(
                    "`n_components` is missing: give the number of domains; it can be left out only where a "
                    "labelled source may decide it (`class_transfer`='auto' or 'follow', `encoder`='linear')"
                )
            SpatialGaussianMixture(1, **self._mixture_options()).check(n)
            return []
        wanted: Any = [self.n_components] if single else self.n_components
        n_domains = check_candidates(wanted, n, argument="n_components")
        if not single:
            check_choice_options(self.criterion, len(n_domains), None, self.n_subsamples)
        SpatialGaussianMixture(max(n_domains), **self._mixture_options()).check(n)
        return n_domains

    def _check_encoder(self) -> None:
        """Refuse what the encoder cannot do."""
        check_choice("encoder", self.encoder, choices(EncoderName))
        if self.encoder == "linear":
            if self.encoder_options:
                raise ValueError("`encoder_options` are for `encoder`='graph-vae'; leave them out")
            return
        check_encoder_installed(self.encoder)
        if self.class_transfer in ("always", "follow"):
            raise ValueError(
                f"`class_transfer`={self.class_transfer!r} needs loadings, which `encoder`='graph-vae' has "
                "not; the network learns the labels itself: leave 'auto' or 'never'"
            )
        if self.scaling == "auto":
            raise ValueError(
                "`scaling`='auto' compares loadings, which `encoder`='graph-vae' has not; choose "
                "'per_dataset' or 'joint'"
            )
        if unknown := set(self.encoder_options or {}) - set(self._encoder_parameters()):
            raise ValueError(
                f"`encoder_options`: {list_some(sorted(unknown))} unknown; choose of "
                f"{', '.join(self._encoder_parameters())}"
            )
        self._new_encoder()

    @staticmethod
    def _encoder_parameters() -> list[str]:
        """Options of the encoder beside those of the model."""
        from transst_py.transfer.graph_vae import GraphVariationalEncoder

        return sorted(set(GraphVariationalEncoder().get_params()) - {"n_factors", "random_state"})

    def _project(
        self, factors: LinearFactors, field: Field
    ) -> tuple[np.ndarray, ClassEvidence | None, np.ndarray | None]:
        """Scores of the spots; and where they lie between the source's classes, if that is used."""
        target, model, projection = factors.target_, factors.source_model_, factors.transfer_.projection()
        if model is None or len(model.classes_) < 2 or self.class_transfer == "never":
            return target.dot(projection), None, None
        used = factors.sources_
        believed = [chosen_rows(pair, rows) for pair, rows in zip(used.datasets, used.believed, strict=True)]
        profiles, self.class_shrinkage_ = believed_profiles(model, believed, self.random_state)
        self.class_coordinates_ = classes = ClassCoordinates.from_model(model, profiles)
        classes.projection = spread(classes.projection, factors.shared_, len(projection))
        both, q = target.dot(np.hstack([projection, classes.projection])), projection.shape[1]
        V, U = both[:, :q], both[:, q:]  # views: a copy of either is a large part of all memory
        if self.min_autocorrelation is not None:
            classes.fit(U, field.graph)
        U[...] = classes.smooth(U, field.graph)
        return V, ClassEvidence(U, classes.means), classes.nearest(U)

    def _fit_domains(self, target: StandardizedMatrix, view: View, n_domains: list[int]) -> None:
        """Find the domains, how many there are, and their names."""
        model = self.source_model_
        names = None if model is None else partial(name_domains, target, model)
        search = DomainSearch(view, self._mixture_options(), self.class_transfer, names)
        search.compare(self._comparable_number(n_domains))
        self.class_support_, self.class_likelihoods_ = search.class_support, search.class_likelihoods
        if view.evidence is None:
            self.class_coordinates_ = None
        if not isinstance(self.n_components, (int, np.integer)) and self.choice_ is None:
            self.choice_ = self._choose(view.alone(), view.field, n_domains)
        self.mixture_ = search.fit(n_domains[0] if self.choice_ is None else self.choice_.n_domains)
        self.labels_, self.responsibilities_ = self.mixture_.labels_, self.mixture_.responsibilities_
        self.smoothness_ = self.mixture_.smoothness_
        self.domain_names_ = search.names(self.labels_)
        if self.domain_names_ is not None:
            self.spot_classes_ = self.domain_names_["name"].to_numpy()[self.labels_]
        self.transferred_ = "nothing" if model is None else search.kind
        if self.encoder == "graph-vae" and len(self.encoder_.classes_):
            self.transferred_ = "encoder"

    def _choose(self, alone: np.ndarray, field: Field, n_domains: list[int]) -> Choice:
        """Choose the number of domains from the spatial factors of every spot alone."""
        return choose_n_domains(
            alone,
            field,
            n_domains,
            criterion=self.criterion,
            n_subsamples=self.n_subsamples,
            verbose=self.verbose,
            **self._mixture_options(),
        )

    def _coordinates(self, projection: np.ndarray, field: Field) -> Coordinates:
        """Return the spatial factors of the embedding, which the projection gives."""
        coordinates = Coordinates(projection)
        if field.graph.nnz and self.min_autocorrelation is not None:
            coordinates.spatial = SpatialFactors(self.min_autocorrelation).fit(self.embedding_, field.graph)
        return coordinates

    def _comparable_number(self, n_domains: list[int]) -> int:
        """Number of domains with which the kinds of transfer are compared: nearest to that of the classes."""
        n_classes = 0 if self.source_model_ is None else len(self.source_model_.classes_)
        return min(n_domains, key=lambda K: abs(K - n_classes))

    def _mixture_options(self) -> dict[str, Any]:
        return {
            "smoothness": self.smoothness,
            "covariance_prior": self.covariance_prior,
            "covariance_type": self.covariance_type,
            "n_init": self.n_init,
            "random_state": self.random_state,
        }

    def predict(self, X: Any, connectivities: sp.csr_matrix | None = None) -> np.ndarray:
        """Label the spots of another slice, (n_new,), standardised as the target was.

        Raises
        ------
        ValueError
            X has other genes than the target, or the same in another order, or the graph does not fit.
        """
        check_is_fitted(self, "labels_")
        X = rows_to_predict(self, X)
        field = Field.of(connectivities, X.shape[0])
        if self.label_transfer_ is not None and self.follows_labels_:
            rows, transfer = self.transfer_.standardize(X), self.label_transfer_
            both = rows.dot(np.hstack([self.transfer_.projection(), transfer.components]))
            Z, V = both[:, self.n_factors :], both[:, : self.n_factors]
            return np.asarray(transfer.domains(transfer.predict(Z, field, V)).argmax(axis=1))
        assert self.mixture_ is not None
        if self.encoder == "graph-vae":
            V = self.encoder_.encoded(X, field.graph)
            return self.mixture_.predict(self.coordinates_.smooth(V, field.graph), field)
        rows, U = self.transfer_.standardize(X), None
        if self.class_coordinates_ is not None:
            U = self.class_coordinates_.smooth(rows.dot(self.class_coordinates_.projection), field.graph)
        E = self.coordinates_.transform(rows, field.graph)
        return self.mixture_.predict(E, field, class_coordinates=U)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def save(self, path: str | Path) -> None:
        """Write what `predict` needs to one file (numpy's npz format), without pickle.

        Raises
        ------
        OSError
            It cannot be written; the message names it.
        """
        check_is_fitted(self, "labels_")
        options = {k: np.asarray(v).tolist() for k, v in self.get_params().items()}
        with written_whole(path) as file:
            arrays: dict[str, Any] = {
                "format": np.array(FORMAT),
                "version": np.array(transst_py.__version__),
                "options": np.array(json.dumps(options)),
                "labels_": self.labels_,
                **(
                    {"genes": self.feature_names_in_.astype(str)}
                    if hasattr(self, "feature_names_in_")
                    else {}
                ),
                **self._factor_arrays(),
                **self.coordinates_.arrays(),
            }
            if self.class_coordinates_ is not None:
                arrays |= self.class_coordinates_.arrays()
            if self.mixture_ is not None:
                state = _MIXTURE_STATE + _NAMED_STATE * (self.class_coordinates_ is not None)
                arrays |= {f"mixture.{k}": getattr(self.mixture_, k) for k in state}
            elif self.label_transfer_ is not None:
                arrays |= self.label_transfer_.arrays()
            np.savez(file, **arrays)

    def _factor_arrays(self) -> dict[str, np.ndarray]:
        """What gives the factors of spots, in named arrays."""
        if self.encoder == "graph-vae":
            return {f"encoder.{k}": v for k, v in self.encoder_.arrays().items()}
        return {f"transfer.{k}": getattr(self.transfer_, k) for k in _TRANSFER_STATE}

    def _read_factors(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `_factor_arrays` gave."""
        if self.encoder == "graph-vae":
            check_encoder_installed(self.encoder)
            from transst_py.transfer.graph_vae import GraphVariationalEncoder

            self.encoder_ = GraphVariationalEncoder.from_arrays(
                {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
            )
            return
        self.transfer_ = AdaptiveLoadings(self.n_factors)
        for k in _TRANSFER_STATE:
            setattr(self.transfer_, k, state[f"transfer.{k}"])
        self.transfer_.n_features_in_ = p = int(self.transfer_.n_features_in_)
        shapes = {"loadings_": (p, self.n_factors), "mean_": (p,), "scale_": (p,)}
        for k, shape in shapes.items():
            if (found := np.shape(getattr(self.transfer_, k))) != shape:
                raise ValueError(f"its transfer.{k} is of shape {found}, not {shape}")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model written by `save`, of this version or an earlier one; it predicts as the one saved.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            It is no such file, is damaged, or was written by a later version; the message names it.
        """
        state = _read_state(path)
        try:
            return cls._of_state(state)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path} is damaged, or no model of TransST: {error}") from error

    @classmethod
    def _of_state(cls, state: Mapping[str, np.ndarray]) -> Self:
        """Make the model of what `save` wrote."""
        options = json.loads(str(state["options"]))
        options["penalties"] = tuple(options["penalties"])
        if missing := set(cls._get_param_names()) - set(options):
            raise ValueError(f"it lacks the options {list_some(sorted(missing))}")
        model = cls(**options)
        model._read_factors(state)
        model.n_features_in_ = (
            model.encoder_ if model.encoder == "graph-vae" else model.transfer_
        ).n_features_in_
        if "genes" in state:
            model.feature_names_in_ = state["genes"].astype(object)
        model.coordinates_ = Coordinates.from_arrays(state)
        model.class_coordinates_ = ClassCoordinates.from_arrays(state)
        model.label_transfer_ = LabelTransfer.from_arrays(state)
        model.follows_labels_ = model.label_transfer_ is not None
        model.mixture_ = None if model.follows_labels_ else _read_mixture(state, model.random_state)
        model.labels_ = state["labels_"] if "labels_" in state else state["mixture.labels_"]
        return model


# Of the files of `save`. Format 1 (to 0.98) had no number; it has what format 2 has but for the version.
FORMAT = 2


def _read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of a file that `save` wrote, all of them finite.

    Raises
    ------
    FileNotFoundError, ValueError
        As `TransST.load`.
    """
    path = Path(path)
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile and numpy have many for a damaged file
        raise ValueError(f"{path} is damaged, or no model of TransST: {error}") from error
    found = int(state.get("format", 1))
    if found > FORMAT:
        raise ValueError(
            f"{path} has format {found}, of transst_py {state['version']}; this is transst_py "
            f"{transst_py.__version__}, which reads formats up to {FORMAT}: update it"
        )
    for name, array in state.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all() and name not in _MAY_BE_NAN:
            raise ValueError(f"{path} is damaged: its {name!r} is not finite")
    return state


# Where a source has no positions, nothing is known of its smoothness.
_MAY_BE_NAN = frozenset({"labels.smoothness"})
_TRANSFER_STATE = ("loadings_", "mean_", "scale_", "n_features_in_")
_MIXTURE_STATE = ("labels_", "means_", "covariances_", "smoothness_")
_NAMED_STATE = ("domain_classes_", "class_means_", "class_spread_")


def _read_mixture(state: Mapping[str, np.ndarray], random_state: int) -> SpatialGaussianMixture:
    """Return the mixture that `save` wrote, ready to predict."""
    mixture = SpatialGaussianMixture(len(state["mixture.means_"]), random_state=random_state)
    for k in _MIXTURE_STATE:
        setattr(mixture, k, state[f"mixture.{k}"])
    for k in _NAMED_STATE:
        setattr(mixture, k, state.get(f"mixture.{k}"))
    mixture.smoothness_ = float(mixture.smoothness_)
    K, q = mixture.means_.shape
    mixture.n_features_in_ = q
    if mixture.covariances_.shape != (K, q, q) or mixture.labels_.max(initial=0) >= K:
        raise ValueError(f"its mixture has {K} means of {q} values, but other covariances or labels")
    return mixture


def check_encoder_installed(encoder: str) -> None:
    """Refuse the network where torch is not installed.

    Raises
    ------
    ImportError
        The message says how to install it.
    """
    if encoder == "graph-vae":
        require_torch("`encoder`='graph-vae'")


def _check_same_genes(
    names: np.ndarray | None, theirs: np.ndarray | None, shared: np.ndarray, what: str
) -> None:
    """Refuse a source whose genes have names, and other ones than those of the target in their place.

    Raises
    ------
    ValueError
        A name is another, or they are in another order.
    """
    if names is None or theirs is None or len(theirs) != len(shared):
        return  # nothing to compare; `check_source` refuses another number
    wanted = names[shared]
    if not np.array_equal(wanted, theirs):
        unknown = sorted(set(theirs) - set(wanted))
        why = (
            f"has genes that the target lacks ({list_some(unknown)})"
            if unknown
            else "has its genes in another order"
        )
        raise ValueError(f"`{what}` {why}; give it the target's columns: X_source[X.columns]")


def check_shared(shared: Any, n_genes: int) -> np.ndarray:
    """Return the positions of the sources' genes among the target's.

    Raises
    ------
    ValueError
        They are no ascending positions.
    """
    if shared is None:
        return np.arange(n_genes)
    index: np.ndarray = np.asarray(shared)
    whole = index.ndim == 1 and index.dtype.kind in "iu" and len(index) > 0
    if not whole or index[0] < 0 or index[-1] >= n_genes or np.any(index[1:] <= index[:-1]):
        raise ValueError(f"`shared` must hold ascending positions of the {n_genes} genes of the target")
    return index
