"""TransST: source model -> adaptive transfer -> spatial factors -> spatial mixture, in order, on arrays."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from transst_py.source_model import SupervisedFactorAnalysis
from transst_py.spatial_factors import SpatialFactors, check_min_autocorrelation
from transst_py.spatial_mixture import ClassEvidence, Field, SpatialGaussianMixture
from transst_py.standardize import StandardizedMatrix, check_rows, column_moments, pooled_moments
from transst_py.transfer import DEFAULT_PENALTIES, AdaptiveLoadings

if TYPE_CHECKING:
    from transst_py.graph_vae import GraphVariationalEncoder

__all__ = ["TransST"]

ENCODERS = ("linear", "graph-vae")
CLASS_TRANSFER = ("auto", "always", "never")


@dataclass
class FactorFit:
    """Stages 1 and 2 with the genes scaled in one way."""

    scaling: str
    target: StandardizedMatrix
    source_model: SupervisedFactorAnalysis | None
    transfer: AdaptiveLoadings


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
        How spots become factors. "linear": loadings of the genes, stages 1 and 2. "graph-vae": a network (see
        `GraphVariationalEncoder`) in their place, for data that are not linear; it has no loadings, and takes
        none of the options down to `class_transfer`, which it leaves out, but for `scaling`.
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
    class_transfer
        "never": the source gives its loadings only, as published. "auto": its classes are a second
        description of the spots (see the module `class_transfer`), and of domains found from scratch and
        domains that start from the classes, those of the larger likelihood are kept (`class_likelihoods_`).
        "always": the domains start from the classes.
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
        With `encoder`="graph-vae", where it takes the place of `transfer_`.
    coordinates_ : Coordinates
        What the mixture was fitted to: the scores' spatial factors.
    class_coordinates_ : ClassCoordinates or None
        How a spot is placed between the classes of the source, where that was used.
    transferred_ : str
        "classes" (the domains kept are those that start from them), "loadings", "encoder"
        (labels, into the network) or (without source) "nothing".
    scaling_errors_ : dict
        Held-out error with every scaling, if the scaling was chosen.
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
        fit_view = self._fit_encoder if self.encoder == "graph-vae" else self._fit_linear
        view = fit_view(X, datasets, field, scalings, progress)
        self.choice_: Choice | None = None
        self.class_likelihoods_: dict[str, float] = {}
        with progress.stage("spatial mixture", f"{self.n_components} domains"):
            self._fit_domains(view, field, n_domains)
        self.labels_ = self.mixture_.labels_
        self.responsibilities_ = self.mixture_.responsibilities_
        self.seconds_ = progress.seconds
        return self

    def _fit_linear(
        self,
        X: Matrix,
        datasets: list[tuple[Matrix, np.ndarray]],
        field: Field,
        scalings: tuple[str, ...],
        progress: Progress,
    ) -> View:
        """Stages 1 and 2, with the better scaling."""
        fits = [self._fit_factors(X, datasets, scaling, progress) for scaling in scalings]
        if len(fits) > 1:
            with progress.stage("scaling", "held-out error of " + " and ".join(scalings)):
                self.scaling_errors_ = {
                    fit.scaling: self._held_out_error(fit, fits[0].target) for fit in fits
                }
        chosen = min(fits, key=lambda fit: self.scaling_errors_.get(fit.scaling, 0.0))
        self.source_model_, self.transfer_ = chosen.source_model, chosen.transfer
        return self._view(chosen.target, field)

    def _fit_encoder(
        self,
        X: Matrix,
        datasets: list[tuple[Matrix, np.ndarray]],
        field: Field,
        scalings: tuple[str, ...],
        progress: Progress,
    ) -> View:
        """Take the factors of the network; there is one scaling, and no source model."""
        target, sources = standardized(X, [M for M, _ in datasets], joint=scalings[0] == "joint")
        labels = [y for _, y in datasets]
        self.encoder_ = self._new_encoder()
        with progress.stage("encoder", f"{X.shape[0]} spots, {sum(map(len, labels))} labelled rows"):
            self.encoder_.fit(target, field.graph, list(zip(sources, labels, strict=True)))
        self.embedding_, self.source_model_ = self.encoder_.embedding_, None
        self.coordinates_ = self._coordinates(np.eye(self.n_factors), field)
        return View(self.coordinates_, self.embedding_)

    def _new_encoder(self) -> GraphVariationalEncoder:
        from transst_py.graph_vae import GraphVariationalEncoder  # it needs torch

        own = {"n_factors": self.n_factors, "random_state": self.random_state}
        encoder = GraphVariationalEncoder(**own | dict(self.encoder_options or {}))
        encoder.check_options()
        return encoder

    def _check(self, n: int, labels: list[np.ndarray]) -> list[int]:
        """Refuse bad options before any work; the candidates for the number of domains."""
        check_choice("class_transfer", self.class_transfer, CLASS_TRANSFER)
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
        model = None
        if sources:
            rows = sum(s.shape[0] for s in sources)
            with progress.stage("source model", f"{rows} labelled rows, {X.shape[1]} genes"):
                model = SupervisedFactorAnalysis(
                    self.n_factors, start=self.source_start, random_state=self.random_state
                )
                labels = [y for _, y in datasets]
                model.fit_datasets(list(zip(sources, labels, strict=True)))
        with progress.stage("transfer", f"{X.shape[0]} spots, {self.n_factors} factors"):
            transfer = self._transfer(self.penalties, self.n_folds)
            transfer.fit(target, None if model is None else model.loadings_)
        return FactorFit(scaling, target, model, transfer)

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
        U = both[:, q:].copy()
        if self.min_autocorrelation is not None:
            classes.fit(U, field.graph)
        U = classes.smooth(U, field.graph)
        return both[:, :q].copy(), ClassEvidence(U, classes.means), classes.nearest(U)

    def _fit_domains(self, view: View, field: Field, n_domains: list[int]) -> None:
        """Domains found from scratch, or started from the source's classes: those of larger likelihood."""
        kinds = ("classes",) if self.class_transfer == "always" else ("loadings", "classes")
        if view.evidence is None:
            kinds = ("loadings",)
        K = self._comparable_number(n_domains)
        fits = {kind: self._fit_kind(kind, view, field, K) for kind in kinds} if len(kinds) > 1 else {}
        chosen = self._better(fits) if fits else kinds[0]
        self.class_likelihoods_ = {kind: likelihood(mixture)[1] for kind, (mixture, _) in fits.items()}
        self.transferred_ = "nothing" if self.source_model_ is None else chosen
        if self.encoder == "graph-vae" and len(self.encoder_.classes_):
            self.transferred_ = "encoder"
        start = view.nearest if chosen == "classes" else None
        K = self._number_of_domains(view, field, n_domains, start)
        kept = fits.get(chosen)
        if kept is None or kept[0].n_components != K:
            kept = self._fit_kind(chosen, view, field, K)
        self.mixture_, caught = kept
        for message in caught:
            warnings.warn(message.message, message.category, stacklevel=3)

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

    def _fit_kind(self, kind: str, view: View, field: Field, n_domains: int) -> MixtureFit:
        """Fit the mixture; return the warnings too: only those of the fit that is kept are for the user."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if kind == "classes":
                return view.fit(self._mixture(n_domains), field, view.nearest, view.evidence), caught
            mixture = view.fit(self._mixture(n_domains), field)
            if view.evidence is not None:
                caught.clear()
                mixture = view.fit(self._mixture(n_domains), field, mixture.labels_, view.evidence)
        return mixture, caught

    def _number_of_domains(
        self, view: View, field: Field, n_domains: list[int], start: np.ndarray | None
    ) -> int:
        if isinstance(self.n_components, (int, np.integer)):
            return int(self.n_components)
        self.choice_ = choose_n_domains(
            view.alone(),
            field,
            n_domains,
            start=start,
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
