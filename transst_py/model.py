"""TransST: source model -> adaptive transfer -> spatial factors -> spatial mixture, in order, on arrays."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from transst_py._atomic import written_whole
from transst_py._progress import Progress
from transst_py._typing import Matrix
from transst_py._validation import check_choice, list_some
from transst_py.choice import Choice, check_candidates, check_choice_options, choose_n_domains
from transst_py.class_transfer import ClassCoordinates
from transst_py.coordinates import Coordinates
from transst_py.eigen import orthonormal_basis
from transst_py.label_noise import LABEL_NOISE, LabelNoise, among_all, fit_source_model, warn_of_label_noise
from transst_py.naming import UNKNOWN, name_domains
from transst_py.source_model import SupervisedFactorAnalysis, class_statistics
from transst_py.source_selection import SourceMerits
from transst_py.spatial_factors import SpatialFactors, check_min_autocorrelation
from transst_py.spatial_mixture import ClassEvidence, Field, SpatialGaussianMixture
from transst_py.standardize import StandardizedMatrix, check_rows, column_moments, pooled_moments
from transst_py.transfer import DEFAULT_PENALTIES, AdaptiveLoadings

if TYPE_CHECKING:
    from transst_py.graph_vae import GraphVariationalEncoder

__all__ = ["TransST"]

ENCODERS = ("linear", "graph-vae")
CLASS_TRANSFER = ("auto", "always", "never")
# Share of the spots whose domain, found from scratch, must resemble a class of the source before the classes
# have a say. Sources of the same tissue: 1; of other patients: 0 to 0.7; permuted labels: at most 0.2.
MIN_CLASS_SUPPORT = 0.5


@dataclass
class FactorFit:
    """Stages 1 and 2 with the genes scaled in one way."""

    scaling: str
    target: StandardizedMatrix
    source_model: SupervisedFactorAnalysis | None
    transfer: AdaptiveLoadings
    merits: SourceMerits
    used: np.ndarray
    label_noise: list[LabelNoise] = field(default_factory=list)


@dataclass
class View:
    """Spots as the mixture sees them.

    Attributes
    ----------
    coordinates
        How the spatial factors come from the genes.
    scores
        (n, q) projection of every spot.
    evidence
        Where the spots lie between the source's classes, if these are used.
    nearest
        (n,) nearest class of every spot, if the classes are used.
    """

    coordinates: Coordinates
    scores: np.ndarray
    evidence: ClassEvidence | None = None
    nearest: np.ndarray | None = None

    def alone(self) -> np.ndarray:
        """Spatial factors of every spot alone, of unit variance, (n, r)."""
        return self.coordinates.alone(self.scores)

    def fit(
        self,
        mixture: SpatialGaussianMixture,
        field: Field,
        start: np.ndarray | None = None,
        evidence: ClassEvidence | None = None,
    ) -> SpatialGaussianMixture:
        """Fit the mixture to the spatial factors, predicted from every spot and those around it."""
        embedding = self.coordinates.smooth(self.scores, field.graph)
        owned = embedding is not self.scores
        return mixture.fit(embedding, field, start=start, classes=evidence, overwrite=owned)


MixtureFit: TypeAlias = tuple[SpatialGaussianMixture, list[warnings.WarningMessage]]


class TransST(BaseEstimator):
    """Spatial domains of a target, with loadings and classes transferred from labelled sources.

    Parameters
    ----------
    n_components
        Number of domains K, or a sequence to choose from (see `choose_n_domains`).
    n_factors
        Number of factors q.
    encoder
        How spots become factors. "linear": loadings of the genes, stages 1 and 2. "graph-vae": in their place
        a network (see `GraphVariationalEncoder`), for data that are not linear; on annotated tissue it has
        not been better on the mean (benchmarks/results/graph_vae.csv). It has no loadings, takes none of the
        options down to `class_transfer` but for `scaling`, and leaves no source out.
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
        a third (see the module `source_selection`). "all": every source is used.
    label_noise
        What is done about wrong labels of the sources (see the module `label_noise`). "remove": where 10% or
        more of a source's seem wrong, the rows whose label is more likely wrong than right are not used by
        the source model. "report": they are listed, but stay. "ignore": nobody looks.
    class_transfer
        "never": the source gives its loadings only, as published. "auto": where most spots lie in domains
        that resemble a class of the source (`class_support_`), the classes are a second description of the
        spots (see the module `class_transfer`), and of domains found from scratch and domains that start from
        the classes, those of the larger likelihood are kept (`class_likelihoods_`). "always": the domains
        start from the classes.
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
    coordinates_ : Coordinates
        What the mixture was fitted to: the scores' spatial factors.
    class_coordinates_ : ClassCoordinates or None
        How a spot is placed between the classes of the source, where that was used.
    transferred_ : str
        "classes" (the domains kept are those that start from them), "loadings",
        "encoder" (labels, into the network) or (without source) "nothing".
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
    scaling_errors_ : dict
        Held-out error with every scaling, if the scaling was chosen.
    class_support_ : float
        Share of the spots whose domain, found from scratch, resembles a class (see `name_domains`); NaN where
        that was not asked.
    class_likelihoods_ : dict
        Pseudo log-likelihood per spot of the domains found from scratch ("loadings") and of those that start
        from the "classes", where both were fitted.
    source_model_ : SupervisedFactorAnalysis or None
    transfer_ : AdaptiveLoadings
    mixture_ : SpatialGaussianMixture
    choice_ : Choice or None
        What the number of domains was chosen from, if it was.
    seconds_ : dict
        Time spent in each stage.
    """

    def __init__(
        self,
        n_components: int | Sequence[int],
        *,
        n_factors: int = 15,
        encoder: str = "linear",
        encoder_options: Mapping[str, Any] | None = None,
        scaling: str = "per_dataset",
        penalties: tuple[float, ...] = DEFAULT_PENALTIES,
        n_folds: int = 5,
        penalty_rule: str = "best",
        solver: str = "eigen",
        source_start: str = "principal",
        source_selection: str = "auto",
        label_noise: str = "remove",
        class_transfer: str = "auto",
        min_autocorrelation: float | None = 0.15,
        smoothness: float | str = "auto",
        covariance_prior: float = 20.0,
        covariance_type: str = "full",
        n_init: int | str = "auto",
        criterion: str = "auto",
        n_subsamples: int = 5,
        random_state: int = 0,
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
        connectivities: sp.csr_matrix | None = None,
        source: Sequence[tuple[Any, Any]] | Mapping[str, tuple[Any, Any]] | None = None,
    ) -> Self:
        """Run the three stages.

        Parameters
        ----------
        X
            (n, p) log-normalised target expression, dense or csr.
        connectivities
            (n, n) sparse neighbourhood graph of the target's spots.
        source
            Pairs (X_s, y_s) of (n_s, p) expression and (n_s,) labels, or a dict of them by name; rows whose
            label is missing are left out, with a warning. `None` fits the same model without transfer.

        Raises
        ------
        ValueError
            Shapes do not fit, an option is out of range, or a source has no label at all.
        """
        X = check_rows(X, "X")
        field = Field.of(connectivities, X.shape[0])
        named = source if isinstance(source, Mapping) else dict(enumerate(source or []))
        datasets = [check_source(X_s, y_s, X.shape[1], f"source[{k!r}]") for k, (X_s, y_s) in named.items()]
        scalings = self._scalings(with_source=bool(datasets))
        n_domains = self._check(X.shape[0], [y for _, y in datasets])
        progress = Progress(self.verbose)

        self.scaling_errors_: dict[str, float] = {}
        self.class_coordinates_: ClassCoordinates | None = None
        self.label_noise_: dict[Any, float] = {}
        self.suspicious_: dict[Any, pd.DataFrame] = {}
        fit_view = self._fit_encoder if self.encoder == "graph-vae" else self._fit_linear
        target, view = fit_view(X, dict(zip(named, datasets, strict=True)), field, scalings, progress)
        self.suspicious_ = {
            name: among_all(table, named[name][1]) for name, table in self.suspicious_.items()
        }
        self.choice_: Choice | None = None
        self.class_likelihoods_: dict[str, float] = {}
        self.class_support_ = float("nan")
        with progress.stage("spatial mixture", f"{self.n_components} domains"):
            self._fit_domains(target, view, field, n_domains)
        self.labels_ = self.mixture_.labels_
        self.responsibilities_ = self.mixture_.responsibilities_
        self.domain_names_ = None
        if self.source_model_ is not None:
            self.domain_names_ = name_domains(target, self.labels_, self.source_model_)
        self.seconds_ = progress.seconds
        return self

    def _fit_linear(
        self,
        X: Matrix,
        sources: dict[Any, tuple[Matrix, np.ndarray]],
        field: Field,
        scalings: tuple[str, ...],
        progress: Progress,
    ) -> tuple[StandardizedMatrix, View]:
        """Stages 1 and 2, with the better scaling."""
        fits = [self._fit_factors(X, list(sources.values()), scaling, progress) for scaling in scalings]
        if len(fits) > 1:
            with progress.stage("scaling", "held-out error of " + " and ".join(scalings)):
                self.scaling_errors_ = {
                    fit.scaling: self._held_out_error(fit, fits[0].target) for fit in fits
                }
        chosen = min(fits, key=lambda fit: self.scaling_errors_.get(fit.scaling, 0.0))
        self.source_model_, self.transfer_ = chosen.source_model, chosen.transfer
        self._note_sources(list(sources), chosen)
        found = dict(zip(self.sources_used_, chosen.label_noise, strict=bool(chosen.label_noise)))
        warn_of_label_noise(found, removed=self.label_noise == "remove")
        self.label_noise_ = {name: noise.rate for name, noise in found.items()}
        self.suspicious_ = {name: noise.table() for name, noise in found.items()}
        return chosen.target, self._view(chosen.target, field)

    def _fit_encoder(
        self,
        X: Matrix,
        sources: dict[Any, tuple[Matrix, np.ndarray]],
        field: Field,
        scalings: tuple[str, ...],
        progress: Progress,
    ) -> tuple[StandardizedMatrix, View]:
        """Take the factors of the network: one scaling, no source model, all sources are used."""
        target, scaled = standardized(X, [M for M, _ in sources.values()], joint=scalings[0] == "joint")
        labels = [y for _, y in sources.values()]
        self.encoder_ = self._new_encoder()
        with progress.stage("encoder", f"{X.shape[0]} spots, {sum(map(len, labels))} labelled rows"):
            self.encoder_.fit(target, field.graph, list(zip(scaled, labels, strict=True)))
        self.embedding_, self.source_model_ = self.encoder_.embedding_, None
        self.source_merits_ = pd.DataFrame(vars(SourceMerits.unknown(len(sources))), index=list(sources))
        self.sources_used_ = list(sources)
        self.coordinates_ = self._coordinates(np.eye(self.n_factors), field)
        return target, View(self.coordinates_, self.embedding_)

    def _new_encoder(self) -> GraphVariationalEncoder:
        from transst_py.graph_vae import GraphVariationalEncoder  # it needs torch

        own = {"n_factors": self.n_factors, "random_state": self.random_state}
        encoder = GraphVariationalEncoder(**own | dict(self.encoder_options or {}))
        encoder.check_options()
        return encoder

    def _check(self, n: int, labels: list[np.ndarray]) -> list[int]:
        """Refuse bad options before any work; the candidates for the number of domains."""
        check_choice("class_transfer", self.class_transfer, CLASS_TRANSFER)
        check_choice("source_selection", self.source_selection, ("auto", "all"))
        check_choice("label_noise", self.label_noise, LABEL_NOISE)
        self._check_encoder()
        if self.class_transfer == "always" and len(set().union(*labels)) < 2:
            raise ValueError("`class_transfer`='always' needs a source with at least two classes")
        if self.min_autocorrelation is not None:
            check_min_autocorrelation(self.min_autocorrelation)
        single = isinstance(self.n_components, (int, np.integer))
        wanted: Any = [self.n_components] if single else self.n_components
        n_domains = check_candidates(wanted, n, argument="n_components")
        if not single:
            check_choice_options(self.criterion, len(n_domains), None, self.n_subsamples)
        self._mixture(max(n_domains)).check(n)
        return n_domains

    def _check_encoder(self) -> None:
        """Refuse what the encoder cannot do."""
        check_choice("encoder", self.encoder, ENCODERS)
        if self.encoder == "linear":
            if self.encoder_options:
                raise ValueError("`encoder_options` are for `encoder`='graph-vae'; leave them out")
            return
        if self.class_transfer == "always":
            raise ValueError(
                "`class_transfer`='always' needs loadings, which `encoder`='graph-vae' has not; the network "
                "learns the labels itself: leave 'auto' or 'never'"
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
        from transst_py.graph_vae import GraphVariationalEncoder

        return sorted(set(GraphVariationalEncoder().get_params()) - {"n_factors", "random_state"})

    def _scalings(self, *, with_source: bool) -> tuple[str, ...]:
        check_choice("scaling", self.scaling, ("per_dataset", "joint", "auto"))
        if self.scaling != "auto":
            return (self.scaling,)
        return ("per_dataset", "joint") if with_source else ("per_dataset",)

    def _fit_factors(
        self, X: Matrix, datasets: list[tuple[Matrix, np.ndarray]], scaling: str, progress: Progress
    ) -> FactorFit:
        """Stages 1 and 2 on genes scaled in one way."""
        target, sources = standardized(X, [X_s for X_s, _ in datasets], joint=scaling == "joint")
        model, merits, used, noise = None, SourceMerits.unknown(0), np.zeros(0, dtype=bool), []
        if sources:
            rows = sum(s.shape[0] for s in sources)
            with progress.stage("source model", f"{rows} labelled rows, {X.shape[1]} genes"):
                labels = [y for _, y in datasets]
                classes, statistics = class_statistics(list(zip(sources, labels, strict=True)))
                merits = SourceMerits.of(target, statistics, self.n_factors, self.random_state)
                every = np.ones(len(sources), dtype=bool)
                used = merits.worth_using() if self.source_selection == "auto" else every
                if used.any():
                    model = SupervisedFactorAnalysis(
                        self.n_factors, start=self.source_start, random_state=self.random_state
                    )
                    parts = zip(sources, labels, statistics, used, strict=True)
                    chosen = [((M, y), S) for M, y, S, use in parts if use]
                    noise = fit_source_model(
                        model,
                        [rows for rows, _ in chosen],
                        classes,
                        [S for _, S in chosen],
                        label_noise=self.label_noise,
                        random_state=self.random_state,
                    )
        with progress.stage("transfer", f"{X.shape[0]} spots, {self.n_factors} factors"):
            transfer = self._transfer(self.penalties, self.n_folds)
            transfer.fit(target, None if model is None else model.loadings_)
        return FactorFit(scaling, target, model, transfer, merits, used, noise)

    def _note_sources(self, names: list[Any], fit: FactorFit) -> None:
        """Record what speaks for the sources, and warn of those that are not used."""
        self.source_merits_ = pd.DataFrame(vars(fit.merits), index=names)
        self.sources_used_ = [name for name, use in zip(names, fit.used, strict=True) if use]
        left_out = self.source_merits_.drop(index=self.sources_used_)
        random = left_out["random_labels"]
        self._warn_of_sources(
            left_out.loc[random, "label_dependence"],
            "sources whose labels go with their own expression no better than labels in random order",
            "0 is chance; are labels and rows in the same order?",
        )
        self._warn_of_sources(
            left_out.loc[~random, "relevance"],
            "sources of too little relevance for the target",
            "1 is a neighbouring slice, 0 chance.",
        )

    @staticmethod
    def _warn_of_sources(merits: pd.Series, what: str, meaning: str) -> None:
        if len(merits):
            listed = ", ".join(f"{name!r} ({value:.2f})" for name, value in merits.items())
            warnings.warn(
                f"{what} are not used: {listed}; {meaning} `source_selection`='all' uses every source",
                UserWarning,
                stacklevel=4,
            )

    def _transfer(self, penalties: tuple[float, ...], n_folds: int) -> AdaptiveLoadings:
        return AdaptiveLoadings(
            self.n_factors,
            penalties=penalties,
            n_folds=n_folds,
            penalty_rule=self.penalty_rule,
            solver=self.solver,
            random_state=self.random_state,
        )

    def _held_out_error(self, fit: FactorFit, own: StandardizedMatrix) -> float:
        """Share of the target's variance that loadings found on other spots leave unexplained.

        Genes count in units of their own spread in the target (`own`), however the fit has scaled them.
        """
        assert fit.source_model is not None
        units = (fit.target.scale / own.scale)[:, None]
        n = own.shape[0]
        unexplained = 0.0
        folds = KFold(self.n_folds, shuffle=True, random_state=self.random_state)
        for others, held_out in folds.split(np.zeros(n)):
            transfer = self._transfer((fit.transfer.penalty_,), 2)
            transfer.fit(fit.target.rows(others), fit.source_model.loadings_)
            rows = own.rows(held_out)
            explained = np.sum(rows.dot(orthonormal_basis(units * transfer.loadings_)) ** 2)
            unexplained += float(rows.row_squares().sum() - explained)
        return unexplained / float(own.row_squares().sum())

    def _project(
        self, target: StandardizedMatrix, field: Field
    ) -> tuple[np.ndarray, ClassEvidence | None, np.ndarray | None]:
        """Scores of the spots; and where they lie between the source's classes, if that is used."""
        model, projection = self.source_model_, self.transfer_.projection()
        if model is None or len(model.classes_) < 2 or self.class_transfer == "never":
            return target.dot(projection), None, None
        self.class_coordinates_ = classes = ClassCoordinates.from_model(model)
        both, q = target.dot(np.hstack([projection, classes.projection])), projection.shape[1]
        V, U = both[:, :q], both[:, q:]  # views: a copy of either is a large part of all memory
        if self.min_autocorrelation is not None:
            classes.fit(U, field.graph)
        U = classes.smooth(U, field.graph)
        return V, ClassEvidence(U, classes.means), classes.nearest(U)

    def _fit_domains(
        self, target: StandardizedMatrix, view: View, field: Field, n_domains: list[int]
    ) -> None:
        """Domains found from scratch, or started from the source's classes: those of larger likelihood."""
        K = self._comparable_number(n_domains)
        fits = self._candidates(target, view, field, K)
        chosen = self._better(fits) if len(fits) > 1 else next(iter(fits))
        self.transferred_ = "nothing" if self.source_model_ is None else chosen
        if self.encoder == "graph-vae" and len(self.encoder_.classes_):
            self.transferred_ = "encoder"
        if len(fits) > 1:
            self.class_likelihoods_ = {kind: likelihood(mixture)[1] for kind, (mixture, _) in fits.items()}
        wanted = self._number_of_domains(view, field, n_domains)
        self.mixture_, caught = fits[chosen] if wanted == K else self._refit(chosen, view, field, wanted)
        for message in caught:
            warnings.warn(message.message, message.category, stacklevel=3)

    def _candidates(
        self, target: StandardizedMatrix, view: View, field: Field, n_domains: int
    ) -> dict[str, MixtureFit]:
        """Fit the domains from scratch; from the classes too, where those from scratch resemble them.

        Without that resemblance the classes are dropped from the view.
        """
        if self.class_transfer == "always":
            return {"classes": self._refit("classes", view, field, n_domains)}
        scratch = fit_silently(lambda: view.fit(self._mixture(n_domains), field))
        if view.evidence is None:
            return {"loadings": scratch}
        assert self.source_model_ is not None
        labels = scratch[0].labels_
        names = name_domains(target, labels, self.source_model_)["name"].to_numpy()
        self.class_support_ = float(np.mean(names[labels] != UNKNOWN))
        if self.class_support_ < MIN_CLASS_SUPPORT:
            self.class_coordinates_ = view.evidence = None
            return {"loadings": scratch}
        evidence = view.evidence
        named = fit_silently(lambda: view.fit(self._mixture(n_domains), field, labels, evidence))
        return {"loadings": named, "classes": self._refit("classes", view, field, n_domains)}

    def _refit(self, kind: str, view: View, field: Field, n_domains: int) -> MixtureFit:
        """Fit a mixture of the chosen kind."""
        start = view.nearest
        if kind == "loadings":
            scratch = fit_silently(lambda: view.fit(self._mixture(n_domains), field))
            if view.evidence is None:
                return scratch
            start = scratch[0].labels_
        return fit_silently(lambda: view.fit(self._mixture(n_domains), field, start, view.evidence))

    def _better(self, fits: dict[str, MixtureFit]) -> str:
        """Kind of larger likelihood; the classes only where every domain bears one of its own.

        A start from the classes that ends with fewer of them than domains has split what it could not tell
        apart: another start from scratch, no evidence for the classes.
        """
        mixture = fits["classes"][0]
        assert self.class_coordinates_ is not None
        assert mixture.domain_classes_ is not None
        expected = min(mixture.n_components, len(self.class_coordinates_.classes))
        if len(np.unique(mixture.domain_classes_)) < expected:
            return "loadings"
        return max(fits, key=lambda kind: likelihood(fits[kind][0]))

    def _number_of_domains(self, view: View, field: Field, n_domains: list[int]) -> int:
        if isinstance(self.n_components, (int, np.integer)):
            return int(self.n_components)
        self.choice_ = choose_n_domains(
            view.alone(),
            field,
            n_domains,
            criterion=self.criterion,
            n_subsamples=self.n_subsamples,
            **self._mixture_options(),
        )
        return self.choice_.n_domains

    def _view(self, target: StandardizedMatrix, field: Field) -> View:
        """Describe the spots by their factors' spatial part, and by where they lie between the classes."""
        self.embedding_, evidence, nearest = self._project(target, field)
        self.coordinates_ = self._coordinates(self.transfer_.projection(), field)
        return View(self.coordinates_, self.embedding_, evidence, nearest)

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

    def _mixture(self, n_components: int) -> SpatialGaussianMixture:
        return SpatialGaussianMixture(n_components, **self._mixture_options())

    def _mixture_options(self) -> dict[str, Any]:
        return {
            "smoothness": self.smoothness,
            "covariance_prior": self.covariance_prior,
            "covariance_type": self.covariance_type,
            "n_init": self.n_init,
            "random_state": self.random_state,
        }

    def predict(self, X: Any, connectivities: sp.csr_matrix | None = None) -> np.ndarray:
        """Label the spots of another slice, (n_new,), standardised as the target was."""
        check_is_fitted(self, "mixture_")
        X = check_rows(X, "X")
        field = Field.of(connectivities, X.shape[0])
        if self.encoder == "graph-vae":
            V = self.encoder_.transform(X, field.graph)
            return self.mixture_.predict(self.coordinates_.smooth(V, field.graph), field)
        rows, U = self.transfer_.standardize(X), None
        if self.class_coordinates_ is not None:
            U = self.class_coordinates_.smooth(rows.dot(self.class_coordinates_.projection), field.graph)
        E = self.coordinates_.transform(rows, field.graph)
        return self.mixture_.predict(E, field, class_coordinates=U)

    def save(self, path: str | Path) -> None:
        """Write what `predict` needs to one file (numpy's npz format), without pickle."""
        check_is_fitted(self, "mixture_")
        options = {k: np.asarray(v).tolist() for k, v in self.get_params().items()}
        with written_whole(path) as file:
            arrays: dict[str, Any] = {
                "options": np.array(json.dumps(options)),
                **self._factor_arrays(),
                **self.coordinates_.arrays(),
                **{f"mixture.{k}": getattr(self.mixture_, k) for k in _MIXTURE_STATE},
            }
            if self.class_coordinates_ is not None:
                arrays |= self.class_coordinates_.arrays()
                arrays |= {f"mixture.{k}": getattr(self.mixture_, k) for k in _NAMED_STATE}
            np.savez(file, **arrays)

    def _factor_arrays(self) -> dict[str, np.ndarray]:
        """What gives the factors of spots, in named arrays."""
        if self.encoder == "graph-vae":
            return {f"encoder.{k}": v for k, v in self.encoder_.arrays().items()}
        return {f"transfer.{k}": getattr(self.transfer_, k) for k in _TRANSFER_STATE}

    def _read_factors(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `_factor_arrays` gave."""
        if self.encoder == "graph-vae":
            from transst_py.graph_vae import GraphVariationalEncoder

            self.encoder_ = GraphVariationalEncoder.from_arrays(
                {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
            )
            return
        self.transfer_ = AdaptiveLoadings(self.n_factors)
        for k in _TRANSFER_STATE:
            setattr(self.transfer_, k, state[f"transfer.{k}"])
        self.transfer_.n_features_in_ = int(self.transfer_.n_features_in_)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model written by `save`; it predicts as the one that was saved."""
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        options = json.loads(str(state["options"]))
        options["penalties"] = tuple(options["penalties"])
        n_components = len(state["mixture.means_"])
        model = cls(**options)
        model._read_factors(state)
        model.mixture_ = SpatialGaussianMixture(n_components, random_state=model.random_state)
        model.coordinates_ = Coordinates.from_arrays(state)
        model.class_coordinates_ = ClassCoordinates.from_arrays(state)
        for k in _MIXTURE_STATE:
            setattr(model.mixture_, k, state[f"mixture.{k}"])
        for k in _NAMED_STATE:
            setattr(model.mixture_, k, state.get(f"mixture.{k}"))
        model.mixture_.smoothness_ = float(model.mixture_.smoothness_)
        model.labels_ = model.mixture_.labels_
        return model


_TRANSFER_STATE = ("loadings_", "mean_", "scale_", "n_features_in_")
_MIXTURE_STATE = ("labels_", "means_", "covariances_", "smoothness_")
_NAMED_STATE = ("domain_classes_", "class_means_", "class_spread_")


def fit_silently(fit: Callable[[], SpatialGaussianMixture]) -> MixtureFit:
    """Fit, and return the warnings too: only those of the fit that is kept are for the user."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return fit(), caught


def likelihood(mixture: SpatialGaussianMixture) -> tuple[int, float]:
    """Domains that hold a spot, and the log-likelihood per spot: what mixtures are compared by."""
    n = len(mixture.labels_)
    return int(np.count_nonzero(np.bincount(mixture.labels_))), mixture.lower_bounds_[-1] / n


def standardized(
    X: Matrix, sources: list[Matrix], *, joint: bool
) -> tuple[StandardizedMatrix, list[StandardizedMatrix]]:
    """Centre and scale every data set by its own moments, or by those of all rows together."""
    moments = [column_moments(M) for M in (X, *sources)]
    if joint:
        moments = [pooled_moments(moments, [M.shape[0] for M in (X, *sources)])] * len(moments)
    target, *others = [
        StandardizedMatrix(M, mean, np.where(variance > 0, np.sqrt(variance), 1.0))
        for M, (mean, variance) in zip((X, *sources), moments, strict=True)
    ]
    return target, others


def check_source(X: Any, y: Any, n_genes: int, name: str) -> tuple[Matrix, np.ndarray]:
    """Return the labelled rows of one source, and their labels.

    Raises
    ------
    ValueError
        The genes or the number of labels do not fit, or no row has a label.

    Warns
    -----
    UserWarning
        Rows without a label are left out.
    """
    X = check_rows(X, name)
    labels = pd.Series(np.asarray(y, dtype=object))
    if X.shape[1] != n_genes:
        raise ValueError(f"`{name}` has {X.shape[1]} genes, the target {n_genes}")
    if len(labels) != X.shape[0]:
        raise ValueError(f"`{name}` has {len(labels)} labels for {X.shape[0]} rows")
    labelled = labels.notna().to_numpy()
    if not labelled.any():
        raise ValueError(f"`{name}`: every label is missing; give at least two labelled rows")
    if not labelled.all():
        warnings.warn(
            f"{name}: {(~labelled).sum()} of {len(labels)} rows have no label and are left out",
            UserWarning,
            stacklevel=3,
        )
        X = X[np.flatnonzero(labelled)]
    return X, labels[labelled].astype(str).to_numpy()
