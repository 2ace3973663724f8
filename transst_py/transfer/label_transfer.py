"""Label transfer: every spot gets the class that the labels of trusted sources give it.

A discriminant on principal components of target and sources is taught by the sources' labels. How much to
average over neighbours, before it (the components) and after it (the probabilities), is learnt on the
sources: the labels of places of a single source, or of whole sources of several, are hidden and predicted.
Cell types are predicted best without averaging, tissue regions with much. Settings of about the same score
have about the same say. Sources without positions tell nothing of neighbours: there a Potts field, as smooth
as the target's own labels, takes the place of averaging. The classes' means move as far as the target's spots
ask for.

The score on hidden labels says how well the labels can be predicted at all, the relevance how much the source
is like the target. Neither is enough alone: labels of a tumour are predicted well within one patient, and not
at all in the next. The product, score x relevance², is the trust. And the classes must cover the target: they
must explain nearly as much of it as equally many groups of its own spots do. Much less is a sign of classes
that the sources lack (a single one may go unnoticed).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from transst_py._core.eigen import approximate_eigenvectors
from transst_py._core.warn import warn
from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.labels import UNKNOWN
from transst_py.source.statistics import Scatter
from transst_py.tissue.graph import averaged
from transst_py.tissue.potts import Field, posterior, smoothness_of
from transst_py.transfer.adaptation import (
    ADAPTATIONS,
    FittedSetting,
    energies_of,
    explained_share,
    found_classes,
    normalized,
    unlike_any,
    with_free_classes,
)
from transst_py.transfer.discriminant import Discriminant, Moments
from transst_py.transfer.hidden_labels import (
    MIN_TRUST,
    SHRINKAGE,
    LabelledScores,
    averaged_scores,
    hidden_scores,
    teachers,
    weighted,
)

__all__ = ["MIN_COVERAGE", "REGION_ROUNDS", "LabelTransfer", "label_components", "scatter_of_sample"]

N_COMPONENTS = 40
# Coverage of matched tissue is .89 and more, of a half of a tissue from one without some of its layers .85
# and less.
MIN_COVERAGE = 0.87
# Spots that are enough to measure it.
_COVERAGE_SPOTS = 10_000
# Labels of regions are predicted best with so many rounds of averaging and more, cell types with less.
REGION_ROUNDS = 1
# Adaptation to the target: a mean of the source is worth so many times the spots of an average class.
_PRIOR_WORTH = 2.0
_FREE_ADAPTATIONS = 10
_OWN_ROUNDS = 3
_DISCRIMINANT = ("means", "covariance", "log_priors")
_FIELD_ROUNDS = 10


def label_components(of_target: Scatter, scatters: Sequence[Scatter], seed: int) -> np.ndarray:
    """Leading axes (p, c) of the rows of all data sets together.

    Parameters
    ----------
    of_target, scatters
        Sum of x x' of the target and of every source, (p, p).
    seed
        Of the eigen solver.
    """
    p = of_target.shape[0]
    return approximate_eigenvectors(Scatter.of_all([of_target, *scatters]), min(N_COMPONENTS, p - 1), seed)


def scatter_of_sample(sample: StandardizedMatrix, n_spots: int) -> Scatter:
    """Sum of x x' over the `n_spots` of a target, as some of them (m, p) tell."""
    return Scatter.from_rows(sample, np.zeros(sample.shape[1])).times(n_spots / sample.shape[0])


class LabelTransfer:
    """Classes of the sources for every spot of a target, and how far to trust them.

    Attributes
    ----------
    classes : ndarray (L,)
        Names of the classes.
    components : ndarray (p, c)
        From standardised genes to the components.
    smoothing : DataFrame
        For every setting `feature_rounds` and `label_rounds` of averaging, the `score` (mean adjusted Rand
        index on hidden parts of the sources) and the `weight` of its say.
    scores, trust : dict
        By source, the best setting's score where its labels were hidden, and score x relevance².
    coverage : float
        How much of the variance of the spots, within classes of unit variance, the classes explain, relative
        to equally many groups found by k-means; NaN before `fit`.
    hidden : str
        What was hidden: "places", "sources", or "rows" of a source without positions.
    settings : list of FittedSetting
        Those with a say, the best first; adapted to the target once `fit` was called.
    placed : bool
        Whether the sources that teach have positions.
    smoothness : float or None
        Of a Potts field over the target's labels, if they have none.
    own : FittedSetting or None
        How the target's own factors give the classes, where the sources lack genes of the target.
    kept : ndarray (k,)
        Classes, as positions in `classes` (beyond them: free ones), that some spot has.
    domain_of : ndarray (k,)
        Domain of each of these.
    """

    own: FittedSetting | None = None
    smoothness: float | None = None
    coverage: float = np.nan

    def __init__(self, classes: np.ndarray, components: np.ndarray) -> None:
        self.classes = classes
        self.components = components
        self.scores: dict[Any, float] = {}
        self.trust: dict[Any, float] = {}
        self._teaching: list[Any] = []

    def learn(self, sources: Mapping[Any, LabelledScores], seed: int) -> Self:
        """Choose the settings on hidden parts of the sources, and teach them by all rows."""
        teaching = teachers(sources)
        self._teaching = list(teaching)
        self.placed = all(S.graph is not None for S in teaching.values())
        self.hidden, table = hidden_scores(teaching, len(self.classes), seed)
        self.smoothing = weighted(table)
        self.settings = self._taught(list(teaching.values()))
        best = self.settings[0].feature_rounds, self.settings[0].label_rounds
        self.scores = {
            name: float(table.loc[best, name]) if name in teaching and len(table) else self._score(S)
            for name, S in sources.items()
        }
        if not len(table):
            self.scores = dict.fromkeys(sources, np.nan)
        self.trust = {name: max(self.scores[name], 0.0) * S.relevance**2 for name, S in sources.items()}
        self._warn_of_untaught(sources)
        return self

    def _warn_of_untaught(self, sources: Mapping[Any, LabelledScores]) -> None:
        """Warn of classes that only sources have which do not teach."""
        there = np.unique(np.concatenate([S.codes for S in sources.values()]))
        taught = np.isfinite(self.settings[0].discriminant.log_priors)
        lost = [str(self.classes[k]) for k in there if not taught[k]]
        others = [str(name) for name in sources if name not in self._teaching]
        if lost and others:
            warn(
                f"classes that only these sources have are not carried over: {', '.join(lost)} "
                f"({', '.join(map(repr, others))}: less relevant, without positions, or of few rows, beside "
                f"others that are not); give these sources alone to use them"
            )

    @property
    def covers(self) -> bool:
        """Whether the classes explain the target well enough, once `fit` was called."""
        return self.coverage >= MIN_COVERAGE

    @property
    def trusted(self) -> bool:
        """Whether the sources' labels are trusted enough for the target to follow them, if it is covered."""
        return self.total_trust >= MIN_TRUST

    @property
    def total_trust(self) -> float:
        """Mean trust of the sources that teach; NaN where their labels could not be tested."""
        return float(np.mean([self.trust[name] for name in self._teaching])) if self._teaching else np.nan

    def fit(
        self,
        Z: np.ndarray,
        field: Field,
        n_domains: int | None = None,
        factors: np.ndarray | None = None,
    ) -> np.ndarray:
        """Adapt the classes to the spots, and find which of them make up the domains.

        Parameters
        ----------
        Z
            (n, c) components of the spots.
        field
            Neighbourhood graph of the spots.
        n_domains
            Number of domains K. With fewer than the classes that are found, the most alike are joined; with
            more than the sources have, the others are free, and start from spots that fit no class. `None`:
            the classes that are found.
        factors
            (n, q) scores of the spots on all genes, where the sources lack some: what the sources' genes tell
            of the classes then teaches a discriminant on these, and both together decide.

        Returns
        -------
        Probabilities of the classes that are found, (n, k), rows of sum 1; `kept` says which each column is.
        """
        graph = field.graph
        n_taught = int(np.isfinite(self.settings[0].discriminant.log_priors).sum())
        n_free = max(0, (n_domains or 0) - n_taught)
        prior_rows = np.full(len(self.classes), _PRIOR_WORTH * len(Z) / len(self.classes))
        best = self.settings[0]
        free = np.zeros((len(Z), 0))
        if n_free:
            F = averaged(graph, Z, best.feature_rounds)
            free = unlike_any(best, F, graph, prior_rows, n_free)
        P = np.zeros((len(Z), len(self.classes) + n_free), dtype=Z.dtype)
        chosen = np.random.default_rng(0).permutation(len(Z))[:_COVERAGE_SPOTS]
        some: dict[int, np.ndarray] = {}  # of some spots the averaged components, by rounds: for the coverage
        for setting, F in self._features(Z, graph):
            if setting.feature_rounds not in some:
                some[setting.feature_rounds] = F[chosen]
            if n_free:
                setting.discriminant = with_free_classes(setting.discriminant, F, free)
            prior = np.concatenate([prior_rows, np.zeros(n_free)])
            setting.adapt(F, graph, prior, _FREE_ADAPTATIONS if n_free else ADAPTATIONS)
            P += setting.weight * setting.posteriors(F, graph)
        if factors is not None:
            P = self._learn_own(P, factors, graph)
        P, self.kept = found_classes(P)
        if not self.placed:
            P = self._smoothed(P, field)
        self.domain_of = self._joined(np.bincount(P.argmax(axis=1)), n_domains)
        self.coverage = self._coverage(some, P.argmax(axis=1)[chosen])
        return P

    def predict(self, Z: np.ndarray, field: Field, factors: np.ndarray) -> np.ndarray:
        """Probabilities of the found classes for spots of another slice, (n, k)."""
        graph = field.graph
        P = np.zeros((len(Z), len(self.settings[0].discriminant.means)))
        for setting, F in self._features(Z, graph):
            P += setting.weight * setting.posteriors(F, graph)
        if self.own is not None:
            P *= self.own.posteriors(averaged(graph, factors, self.own.feature_rounds), graph)
        P = normalized(P[:, self.kept])
        return P if self.smoothness is None else self._in_field(P, field)

    def domains(self, P: np.ndarray) -> np.ndarray:
        """Probabilities of the domains, (n, K), for those of the classes (n, k)."""
        totals = np.zeros((len(P), self.domain_of.max() + 1), dtype=P.dtype)
        for column, domain in enumerate(self.domain_of):
            totals[:, domain] += P[:, column]
        return totals

    def names(self) -> list[list[str]]:
        """Classes of every domain; none of a free one."""
        names: list[list[str]] = [[] for _ in range(self.domain_of.max() + 1)]
        for k, domain in zip(self.kept, self.domain_of, strict=True):
            names[domain] += [str(self.classes[k])] if k < len(self.classes) else []
        return names

    def classes_of(self, P: np.ndarray, domains: np.ndarray) -> np.ndarray:
        """Name of the likeliest class of every spot within its domain (n,); `UNKNOWN` in a free one."""
        names = np.array([str(name) for name in self.classes] + [UNKNOWN], dtype=object)
        within = np.where(self.domain_of == domains[:, None], P, -1.0).argmax(axis=1)
        return np.asarray(names[np.minimum(self.kept[within], len(self.classes))])

    def reorder(self, order: np.ndarray) -> None:
        """Number the domains anew: the k-th becomes what was `order[k]`."""
        self.domain_of = np.argsort(order)[self.domain_of]

    def _joined(self, sizes: np.ndarray, n_domains: int | None) -> np.ndarray:
        """Domain of every found class, of so many spots (k,), joining the most alike (Ward 1963)."""
        discriminant = self.settings[0].discriminant
        factor = np.linalg.inv(np.linalg.cholesky(discriminant.covariance))
        means, sizes = discriminant.means[self.kept] @ factor.T, sizes.astype(np.float64)
        domain_of = np.arange(len(self.kept))
        while n_domains is not None and len(sizes) > n_domains:
            squares = np.sum((means[:, None] - means[None]) ** 2, axis=2)
            cost = squares * np.outer(sizes, sizes) / np.add.outer(sizes, sizes)
            cost[np.tril_indices(len(sizes))] = np.inf
            a, b = np.unravel_index(cost.argmin(), cost.shape)
            total = sizes[a] + sizes[b]
            means[a] = (sizes[a] * means[a] + sizes[b] * means[b]) / total
            sizes[a] = total
            means, sizes = np.delete(means, b, axis=0), np.delete(sizes, b)
            domain_of = np.where(domain_of == b, a, domain_of - (domain_of > b))
        return domain_of

    def _coverage(self, features: dict[int, np.ndarray], labels: np.ndarray) -> float:
        """Coverage of spots by their classes (n,), mean over the settings' say.

        `features` are their components (n, c), by how often they were averaged.
        """
        n_classes = len(np.unique(labels))
        if n_classes < 2:
            return np.nan
        ratios: dict[int, float] = {}
        for setting in self.settings:
            if setting.feature_rounds not in ratios:
                factor = np.linalg.inv(np.linalg.cholesky(setting.discriminant.covariance))
                X = features[setting.feature_rounds] @ factor.T
                groups = KMeans(n_classes, n_init=2, random_state=0).fit_predict(X)
                ratio = explained_share(X, labels) / explained_share(X, groups)
                ratios[setting.feature_rounds] = ratio
        return float(sum(setting.weight * ratios[setting.feature_rounds] for setting in self.settings))

    def _learn_own(self, P: np.ndarray, factors: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
        """Learn the classes on the target's own factors, from what the sources' genes tell of them."""
        best = self.settings[0]
        F, R = averaged(graph, factors, best.feature_rounds), P
        for _ in range(_OWN_ROUNDS):
            discriminant = Discriminant.fit(Moments.soft(F, R), SHRINKAGE)
            self.own = FittedSetting(best.feature_rounds, best.label_rounds, 1.0, discriminant)
            R = normalized(P * self.own.posteriors(F, graph))
        return R

    def _features(self, Z: np.ndarray, graph: sp.csr_matrix) -> Iterator[tuple[FittedSetting, np.ndarray]]:
        """Settings with the components averaged for them; rounds are added up."""
        done, F = 0, Z
        for setting in sorted(self.settings, key=lambda one: one.feature_rounds):
            F = averaged(graph, F, setting.feature_rounds - done)
            done = setting.feature_rounds
            yield setting, F

    def _taught(self, sources: Sequence[LabelledScores]) -> list[FittedSetting]:
        """Settings that have a say, with discriminants of all believed rows."""
        chosen = self.smoothing[self.smoothing["weight"] > 0].sort_values("weight", ascending=False)
        if chosen.empty:  # nothing could be tested
            chosen = pd.DataFrame({"feature_rounds": [0], "label_rounds": [0], "weight": [1.0]})
        taught = {}
        features = [S.scores for S in sources]
        done = 0
        for r in sorted(set(chosen["feature_rounds"])):
            features = [averaged_scores(S, F, r - done) for S, F in zip(sources, features, strict=True)]
            done = r
            moments = [
                Moments.of(F[S.believed], S.codes[S.believed], len(self.classes))
                for S, F in zip(sources, features, strict=True)
            ]
            taught[r] = Discriminant.fit(sum(moments[1:], start=moments[0]), SHRINKAGE)
        return [
            FittedSetting(int(r), int(v), float(w), taught[r])
            for r, v, w in chosen[["feature_rounds", "label_rounds", "weight"]].itertuples(index=False)
        ]

    def _score(self, S: LabelledScores) -> float:
        """Score of the best setting on a source that has not taught."""
        best = self.settings[0]
        P = best.discriminant.posteriors(averaged_scores(S, S.scores, best.feature_rounds))
        found = averaged_scores(S, P, best.label_rounds).argmax(axis=1)
        return float(adjusted_rand_score(S.codes[S.believed], found[S.believed]))

    def _smoothed(self, P: np.ndarray, field: Field) -> np.ndarray:
        """Smooth the probabilities by a Potts field, and keep the classes that are left.

        No source could tell how smooth the labels are. The smoothness is that of the target's own labels (see
        `SpatialGaussianMixture`): little for cell types, much for regions.
        """
        energies, labels = energies_of(P), P.argmax(axis=1)
        for _ in range(_FIELD_ROUNDS):
            self.smoothness = smoothness_of(field, labels)
            moved = field.icm(labels, energies, self.smoothness)
            if np.array_equal(moved, labels):
                break
            labels = moved
        while True:
            smooth = self._in_field(P, field)
            left = np.unique(smooth.argmax(axis=1))
            if len(left) == P.shape[1]:
                return smooth
            P, self.kept = normalized(P[:, left]), self.kept[left]

    def _in_field(self, P: np.ndarray, field: Field) -> np.ndarray:
        """Probabilities given those of the spots alone, and the labels of their neighbours."""
        assert self.smoothness is not None
        energies = energies_of(P)
        labels = field.icm(P.argmax(axis=1), energies, self.smoothness)
        return posterior(energies, field.disagreement(labels, P.shape[1]), self.smoothness)[0]

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that `predict` needs, in named arrays, for a file."""
        fitted = self.settings if self.own is None else [*self.settings, self.own]
        return {
            "labels.classes": self.classes.astype(str),
            "labels.components": self.components,
            "labels.kept": self.kept,
            "labels.domain_of": self.domain_of,
            "labels.own": np.array(self.own is not None),
            "labels.smoothness": np.array(np.nan if self.smoothness is None else self.smoothness),
            "labels.rounds": np.array([(s.feature_rounds, s.label_rounds) for s in fitted]),
            "labels.weights": np.array([s.weight for s in fitted]),
            **{
                f"labels.{k}.{part}": getattr(one.discriminant, part)
                for k, one in enumerate(fitted)
                for part in _DISCRIMINANT
            },
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self | None:
        """Read what `arrays` gave; `None` where there are none."""
        if "labels.kept" not in arrays:
            return None
        read = cls(arrays["labels.classes"], arrays["labels.components"])
        read.kept, read.domain_of = arrays["labels.kept"], arrays["labels.domain_of"]
        rounds = zip(arrays["labels.rounds"], arrays["labels.weights"], strict=True)
        read.settings = [
            FittedSetting(
                int(r),
                int(v),
                float(weight),
                Discriminant(*(arrays[f"labels.{k}.{part}"] for part in _DISCRIMINANT)),
            )
            for k, ((r, v), weight) in enumerate(rounds)
        ]
        if np.isfinite(arrays["labels.smoothness"]):
            read.smoothness = float(arrays["labels.smoothness"])
        if arrays["labels.own"]:
            read.own = read.settings.pop()
        return read
