"""Stage 3, the spatial mixture: Gaussian classes of the scores under a Potts Markov random field.

    v_i | y_i = k ~ N(m_k, Σ_k),    P(y_i = k | neighbours) ∝ exp( (β/2) #{neighbours in class k} )

ICM-EM of docs/method.md (stage 3) on a symmetric graph: labels move one colour class of
the graph at a time, so that the joint energy never rises, and the smoothness β is re-estimated at every
iteration by Newton's method on the concave pseudo-likelihood.

The mixture starts from k-means, repeatedly, or from given labels, such as those of the source's classes.
Large tissues (above 30,000 spots) take one start: the best of all restarts on patches of the tissue.

Spots are looked at in batches, which share one vector of labels, so that besides the scores only the energies
(n, K) and a byte for each spot and class are held at a time. What a batch gives does not depend on its size.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from transst_py._core.options import DEFAULTS, CovarianceType, choices
from transst_py._core.threads import one_blas_thread
from transst_py._core.validation import check_choice, check_seed
from transst_py._core.warn import warn
from transst_py.domains.components import (
    ClassEvidence,
    Components,
    NamedComponents,
    Spots,
    TwoDescriptions,
    scores_of,
)
from transst_py.domains.restarts import Run, n_distinct, n_restarts
from transst_py.expression.features import (
    NUMBER,
    WHOLE,
    check_iterations,
    graph_given,
    rows_of_fit,
    rows_to_predict,
)
from transst_py.tissue.potts import (
    Field,
    distinct_rows,
    log_prior,
    newton_smoothness,
    one_hot,
    posterior,
)
from transst_py.tissue.spatial_factors import whiten, whitened

__all__ = ["SpatialGaussianMixture"]

# Restarts run on at most this many spots: patches of about `_PATCH_SPOTS` neighbours each.
_START_SPOTS = 30_000
# Of labels: there are several for every spot.
_LABEL = np.int32


class SpatialGaussianMixture(ClusterMixin, BaseEstimator):
    """Gaussian mixture with a Potts Markov random field over the spots (stage 3 of TransST).

    Parameters
    ----------
    n_components
        Number of domains K.
    smoothness
        β of the random field, >= 0, or "auto" to estimate it. The log-odds of two classes change by β/2
        for every neighbour.
    covariance_prior
        Weight, in spots, of the pooled within-class covariance in every class covariance. It keeps small
        domains from collapsing; 0 gives the plain maximum-likelihood update.
    covariance_type
        "full": one covariance per class. "tied": one for all. "diag": one per class, diagonal along the
        principal axes of the scores.
    n_init
        Restarts from k-means on scores averaged over neighbours; the best likelihood is kept. "auto": 10, on
        small tissues, where they cost little and the likelihood has more optima, up to 50 (20,000 / n).
    max_iter, tol
        Stop when the pseudo log-likelihood changes by less than `tol` per spot.
    random_state
        Seed of the restarts.

    Attributes
    ----------
    labels_ : ndarray (n,)
        Class of every spot, 0..K-1, by decreasing size.
    responsibilities_ : ndarray (n, K)
    means_, covariances_ : ndarray (K, q), (K, q, q)
    domain_classes_, class_means_, class_spread_ : ndarray (K,), (L, d), (d, d), or None
        Class that every domain is named after, where the classes lie, and the spots' covariance about them.
    smoothness_ : float
    lower_bounds_ : list of float
        Pseudo log-likelihood after every iteration of the kept run.
    n_iter_, converged_
    n_features_in_ : int
    feature_names_in_ : ndarray (q,)
        Names of the scores, where they were a DataFrame; `predict` then wants the same in the same order.
    """

    def __init__(
        self,
        n_components: int,
        *,
        smoothness: float | Literal["auto"] = DEFAULTS.smoothness,
        covariance_prior: float = DEFAULTS.covariance_prior,
        covariance_type: CovarianceType = DEFAULTS.covariance_type,
        n_init: int | Literal["auto"] = DEFAULTS.n_init,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: int = DEFAULTS.random_state,
    ) -> None:
        self.n_components = n_components
        self.smoothness = smoothness
        self.covariance_prior = covariance_prior
        self.covariance_type = covariance_type
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        connectivities: sp.csr_matrix | Field | None = None,
        start: np.ndarray | None = None,
        classes: ClassEvidence | None = None,
        overwrite: bool = False,
    ) -> Self:
        """Find the domains.

        Parameters
        ----------
        X
            (n, q) scores.
        y
            Not used: pipelines put labels here. The graph may stand here, too.
        connectivities
            (n, n) sparse graph; made symmetric, weights ignored. `None` means no neighbours (plain mixture).
            A `Field` is taken as it is.
        start
            (n,) labels 0..L-1 to start from, once, instead of restarts from k-means. L may differ from
            `n_components`: the mixture is fitted with L classes first, and the smallest of them is then given
            up, or the widest split, one at a time.
        classes
            A second description of the spots, in which the domains lie where classes of a source lie (see
            `NamedComponents`). Needs `start`: every domain is named after the class nearest to it there.
        overwrite
            X, if it is floating, need not stay as it is, which saves a copy.

        Raises
        ------
        ValueError
            More components than spots, or an option out of range.

        Warns
        -----
        UserWarning
            Fewer than `n_components` domains hold a spot.
        ConvergenceWarning
            No restart converged in `max_iter` iterations.
        """
        V, graph = rows_of_fit(self, X, sparse=False), graph_given(y, connectivities)
        self.check(len(V))
        if start is not None and (np.shape(start) != (len(V),) or np.min(start) < 0):
            raise ValueError(f"`start` must hold {len(V)} labels 0, 1, ..., got shape {np.shape(start)}")
        if classes is not None and start is None:
            raise ValueError("`classes` needs `start`, the labels that are named")
        field = Field.of(graph, len(V))
        center, whitening = whiten(V)
        Z = whitened(V, center, whitening, out=V if overwrite else None)
        spots = Z if classes is None else classes.beside(Z)
        # The products are too narrow for threads to pay, and one thread makes them repeatable.
        with one_blas_thread, threadpool_limits(1, user_api="openmp"):
            if start is not None:
                class_means = None if classes is None else classes.means
                best = self._run_from_labels(spots, field, np.asarray(start, dtype=_LABEL), class_means)
            elif len(Z) <= _START_SPOTS:
                best = self._best_run(Z, field)
            else:
                best = self._run_from_patches(Z, field)
        self._store(best, center, whitening)
        self._warn(best)
        return self

    def fit_predict(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:
        """Find the domains, with the options of `fit`, and return `labels_`."""
        return np.asarray(self.fit(X, y, **options).labels_)

    def predict(
        self,
        X: Any,
        connectivities: sp.csr_matrix | Field | None = None,
        *,
        class_coordinates: np.ndarray | None = None,
    ) -> np.ndarray:
        """Label the spots of another slice with the fitted classes and smoothness, (n,).

        `class_coordinates` (n, d) are needed where the fit was given `classes`.

        The labels are a mode of the field, found from the classes alone: on the slice of the fit they may
        differ from `labels_` in the few spots where the field has several modes.
        """
        check_is_fitted(self)
        V = rows_to_predict(self, X, sparse=False)
        field = Field.of(connectivities, len(V))
        components = self._components()
        if isinstance(components, NamedComponents):
            if class_coordinates is None:
                raise ValueError("`class_coordinates` are missing: the mixture was fitted with `classes`")
            u = components.energies(TwoDescriptions(V, class_coordinates))
        else:
            u = components.energies(V)
        return field.icm(u.argmin(axis=1), u, self.smoothness_)

    def score(self, X: Any, y: Any = None, *, connectivities: sp.csr_matrix | Field | None = None) -> float:
        """Mean pseudo log-likelihood of spots, of the labels that `predict` gives their neighbours.

        Parameters
        ----------
        X
            (n, q) scores.
        y
            As in `fit`.
        connectivities
            (n, n) sparse graph of these spots; `None` means no neighbours.

        Returns
        -------
        The mean over spots of log Σ_k P(k | neighbours) N(v | m_k, Σ_k), in the units of the scores:
        `lower_bounds_` are sums of it, for whitened scores and without the constant.

        Raises
        ------
        ValueError
            The mixture was fitted with `classes`: two descriptions of a spot, averaged, have no density.
        """
        check_is_fitted(self)
        components = self._components()
        if isinstance(components, NamedComponents):
            raise ValueError("`score` needs a density, which a mixture that was fitted with `classes` lacks")
        V = rows_to_predict(self, X, sparse=False)
        field = Field.of(graph_given(y, connectivities), len(V))
        u = components.energies(V)
        labels = field.icm(u.argmin(axis=1), u, self.smoothness_)
        prior = log_prior(field.disagreement(labels, len(self.means_)), self.smoothness_)
        constant = 0.5 * V.shape[1] * np.log(2 * np.pi)
        return float(np.mean(logsumexp(prior - u, axis=1)) - constant)

    def forget(self) -> None:
        """Drop `responsibilities_`, which are a lot of memory, until `recall`."""
        del self.responsibilities_

    def recall(
        self, V: np.ndarray, connectivities: sp.csr_matrix | Field, classes: ClassEvidence | None = None
    ) -> None:
        """Compute the `responsibilities_` anew, from what `fit` was given; V stays as it is."""
        field = Field.of(connectivities, len(V))
        spots = V if classes is None else classes.beside(V)
        disagreement = field.disagreement(self.labels_, self.n_components)
        energies = self._components().energies(spots)
        self.responsibilities_, _ = posterior(energies, disagreement, self.smoothness_)

    def _components(self) -> Components:
        """Return the fitted classes, in the units of the scores."""
        if self.domain_classes_ is None or self.class_means_ is None or self.class_spread_ is None:
            return Components(self.means_, self.covariances_)
        return NamedComponents(
            self.means_, self.covariances_, self.domain_classes_, self.class_means_, self.class_spread_
        )

    def check(self, n: int) -> None:
        """Refuse options that do not fit n spots.

        Raises
        ------
        ValueError
            As `fit`.
        """
        K: Any = self.n_components
        if isinstance(K, bool) or not isinstance(K, WHOLE):
            raise TypeError(f"`n_components` must be one whole number, got {K!r}")
        if not 1 <= K <= n:
            raise ValueError(f"`n_components` must lie between 1 and the {n} spots, got {self.n_components}")
        fixed = isinstance(self.smoothness, Real) and 0 <= self.smoothness < np.inf
        if not (self.smoothness == "auto" or fixed):
            raise ValueError(f"`smoothness` must be 'auto' or a number >= 0, got {self.smoothness!r}")
        prior: Any = self.covariance_prior
        if not (isinstance(prior, NUMBER) and 0 <= prior < np.inf):
            raise ValueError(f"`covariance_prior` must be >= 0, got {self.covariance_prior!r}")
        check_choice("covariance_type", self.covariance_type, choices(CovarianceType))
        if self.n_init != "auto" and not (isinstance(self.n_init, Integral) and self.n_init >= 1):
            raise ValueError(f"`n_init` must be 'auto' or a whole number >= 1, got {self.n_init!r}")
        check_iterations(self.max_iter, self.tol, at_least=1)
        check_seed(self.random_state)

    def _best_run(self, Z: np.ndarray, field: Field) -> Run:
        """Restart from k-means, and keep the run with the best likelihood."""
        n_starts = n_restarts(len(Z)) if self.n_init == "auto" else int(self.n_init)
        seeds = np.random.default_rng(self.random_state).integers(2**31 - 1, size=n_starts)
        runs = (self._run(Z, field, *self._start(Z, field, int(seed))) for seed in seeds)
        return max(runs, key=lambda run: (run.n_occupied, run.bounds[-1]))

    def _run_from_patches(self, Z: np.ndarray, field: Field) -> Run:
        """Restart on patches of a large tissue, and go on from the best of these on all spots."""
        members = field.patches(_START_SPOTS, np.random.default_rng(self.random_state))
        part = Field.from_graph(field.graph[members][:, members])
        best = self._best_run(Z[members], part)
        labels = field.smooth(best.components.energies(Z)).argmin(axis=1)
        return self._run(Z, field, labels, best.components, best.smoothness)

    def _run(
        self, Z: Spots, field: Field, labels: np.ndarray, components: Components, smoothness: float
    ) -> Run:
        K, labels = len(components.means), labels.astype(_LABEL, copy=False)
        bounds: list[float] = []
        u = np.empty((len(Z), K), dtype=scores_of(Z).dtype)  # one for all iterations: it is a lot of memory
        for _ in range(self.max_iter):
            components.energies(Z, out=u)
            labels = field.icm(labels, u, smoothness)
            disagreement = field.disagreement(labels, K)
            rows, counts = distinct_rows(disagreement)
            normaliser = counts @ logsumexp(-0.5 * smoothness * rows, axis=1)
            responsibilities, evidence = posterior(u, disagreement, smoothness)
            bounds.append(float(evidence - normaliser))
            # The last but one counts too: a few spots may alternate between two labels for ever.
            converged = any(abs(bounds[-1] - earlier) < self.tol * len(Z) for earlier in bounds[-3:-1])
            if converged or len(bounds) == self.max_iter:
                break  # before the M-step: labels and responsibilities belong to the components kept
            components = self._m_step(components, Z, responsibilities)
            if self.smoothness == "auto" and field.graph.nnz:
                smoothness = newton_smoothness(responsibilities, disagreement, smoothness)
        return Run(labels, responsibilities, components, smoothness, bounds, converged)

    def _run_from_labels(
        self, Z: Spots, field: Field, labels: np.ndarray, class_means: np.ndarray | None
    ) -> Run:
        """Fit the classes that the labels hold, then give up or split classes until their number is right."""
        labels = (np.cumsum(np.bincount(labels) > 0) - 1).astype(_LABEL)[labels]  # 0, 1, ... without gaps
        run = self._run(Z, field, *self._from_labels(Z, labels, class_means))
        while len(run.components.means) > self.n_components:
            run = self._run(Z, field, *self._without_smallest(Z, run))
        while len(run.components.means) < self.n_components:
            run = self._run(Z, field, *self._with_widest_split(Z, run))
        return self._refilled(Z, field, run)

    def _refilled(self, Z: Spots, field: Field, run: Run) -> Run:
        """Split the widest class in place of an empty one, as long as that leaves fewer of them empty."""
        while run.n_occupied < self.n_components:
            labels, components, smoothness = self._without_smallest(Z, run)
            smaller = replace(run, labels=labels, components=components, smoothness=smoothness)
            other = self._run(Z, field, *self._with_widest_split(Z, smaller))
            if other.n_occupied <= run.n_occupied:
                break
            run = other
        return run

    def _without_smallest(self, Z: Spots, run: Run) -> tuple[np.ndarray, Components, float]:
        smallest = int(np.bincount(run.labels, minlength=len(run.components.means)).argmin())
        components = run.components.without(smallest)
        moved = run.labels == smallest
        labels = run.labels - (run.labels > smallest)
        labels[moved] = components.energies(Z[moved]).argmin(axis=1)
        return labels, components, run.smoothness

    def _with_widest_split(self, Z: Spots, run: Run) -> tuple[np.ndarray, Components, float]:
        """Cut the class with the largest scatter along one direction in two, at its mean."""
        sizes = np.bincount(run.labels, minlength=len(run.components.means))
        variances, axes = np.linalg.eigh(run.components.covariances)
        widest = int(np.argmax(sizes * variances[:, -1]))
        axis, scores = axes[widest, :, -1], scores_of(Z)
        beyond = scores @ axis.astype(scores.dtype) > run.components.means[widest] @ axis
        labels = np.where((run.labels == widest) & beyond, len(sizes), run.labels)
        components = run.components.with_twin(widest)
        R = one_hot(labels, len(sizes) + 1, scores.dtype)
        return labels, self._m_step(components, Z, R), run.smoothness

    def _start(self, Z: np.ndarray, field: Field, seed: int) -> tuple[np.ndarray, Components, float]:
        """k-means on scores averaged over neighbours, and one covariance for all classes.

        Started in space, restarts end in fewer and better optima than from the scores alone.
        """
        smooth = field.smooth(Z)
        self._check_distinct(n_distinct(smooth, self.n_components))
        labels = KMeans(self.n_components, n_init=1, random_state=seed).fit_predict(smooth)
        self._check_distinct(labels.max() + 1)
        return self._from_labels(Z, labels)

    def _check_distinct(self, n_found: int) -> None:
        if n_found < self.n_components:
            raise ValueError(
                f"`n_components` is {self.n_components}, but only {n_found} spots differ in their scores; "
                "ask for fewer"
            )

    def _from_labels(
        self, Z: Spots, labels: np.ndarray, class_means: np.ndarray | None = None
    ) -> tuple[np.ndarray, Components, float]:
        R = one_hot(labels, labels.max() + 1, scores_of(Z).dtype)
        if class_means is None:
            components = Components.estimate(Z, R, covariance_type="tied")
        else:
            components = NamedComponents.name(Z, R, class_means)
        return labels, components, 1.0 if self.smoothness == "auto" else float(self.smoothness)

    def _m_step(self, components: Components, Z: Spots, R: np.ndarray) -> Components:
        return components.update(Z, R, self.covariance_prior, self.covariance_type)

    def _store(self, run: Run, center: np.ndarray, whitening: np.ndarray) -> None:
        order = np.argsort(-np.bincount(run.labels, minlength=self.n_components), kind="stable")
        back = np.linalg.inv(whitening)
        self.labels_ = np.argsort(order).astype(_LABEL)[run.labels]
        self.responsibilities_ = run.responsibilities[:, order]
        self.means_ = run.components.means[order] @ back + center
        self.covariances_ = back.T @ run.components.covariances[order] @ back
        self.domain_classes_: np.ndarray | None = None
        self.class_means_: np.ndarray | None = None
        self.class_spread_: np.ndarray | None = None
        if isinstance(run.components, NamedComponents):
            self.domain_classes_ = run.components.classes[order]
            self.class_means_ = run.components.class_means
            self.class_spread_ = run.components.spread
        self.smoothness_: float = run.smoothness
        self.lower_bounds_ = run.bounds
        self.n_iter_ = len(run.bounds)
        self.converged_ = run.converged

    def _warn(self, run: Run) -> None:
        if run.n_occupied < self.n_components:
            warn(
                f"only {run.n_occupied} of the {self.n_components} domains asked for hold a spot; "
                "ask for fewer, or lower `smoothness`"
            )
        if not run.converged:
            warn(
                f"the spatial mixture did not converge in {self.max_iter} iterations; "
                "increase `max_iter`, or relax `tol`",
                ConvergenceWarning,
            )
