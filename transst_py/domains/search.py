"""Stage 3: domains found from scratch, or started from the source's classes: those of larger likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from transst_py._core.warn import Said, collected, warn
from transst_py.domains.components import ClassEvidence
from transst_py.domains.embedding import Coordinates
from transst_py.domains.mixture import SpatialGaussianMixture
from transst_py.domains.naming import resembling
from transst_py.tissue.potts import Field

__all__ = ["DomainSearch", "View"]

# Share of the spots whose domain, found from scratch, must resemble a class of the source before the classes
# have a say. Sources of the same tissue: 1; of other patients: 0 to 0.7; permuted labels: at most 0.2.
MIN_CLASS_SUPPORT = 0.5

MixtureFit: TypeAlias = tuple[SpatialGaussianMixture, list[Said]]


@dataclass
class View:
    """Spots as the mixture sees them.

    Attributes
    ----------
    field
        Who is whose neighbour.
    coordinates
        How the spatial factors come from the genes.
    scores
        (n, q) projection of every spot.
    evidence
        Where the spots lie between the source's classes, if these are used.
    nearest
        (n,) nearest class of every spot, if the classes are used.
    """

    field: Field
    coordinates: Coordinates
    scores: np.ndarray
    evidence: ClassEvidence | None = None
    nearest: np.ndarray | None = None

    def alone(self) -> np.ndarray:
        """Spatial factors of every spot alone, of unit variance, (n, r)."""
        return self.coordinates.alone(self.scores)

    def embedding(self) -> np.ndarray:
        """Spatial factors, predicted from every spot and those around it, (n, r)."""
        return self.coordinates.smooth(self.scores, self.field.graph)

    def fit(
        self,
        mixture: SpatialGaussianMixture,
        start: np.ndarray | None = None,
        evidence: ClassEvidence | None = None,
    ) -> MixtureFit:
        """Fit the mixture to the embedding.

        Its warnings are returned: only those of the fit that is kept are for the user.
        """
        embedding = self.embedding()
        owned = embedding is not self.scores
        with collected() as said:
            return mixture.fit(embedding, self.field, start=start, classes=evidence, overwrite=owned), said


class DomainSearch:
    """Domains found from scratch ("loadings") and started from the "classes", and which of them are kept.

    Parameters
    ----------
    view
        The spots; without `evidence` there are no classes to start from.
    mixture_options
        Of every `SpatialGaussianMixture`.
    class_transfer
        See `TransST`.
    name_domains
        From the spots' domains (n,) to their table of names; it may cost a pass over the expression.

    Attributes
    ----------
    kind
        What is kept.
    class_support, class_likelihoods
        See `TransST`.
    """

    def __init__(
        self,
        view: View,
        mixture_options: Mapping[str, Any],
        class_transfer: str,
        name_domains: Callable[[np.ndarray], pd.DataFrame] | None,
    ) -> None:
        self.view = view
        self.mixture_options = mixture_options
        self.class_transfer = class_transfer
        self.class_support = float("nan")
        self.class_likelihoods: dict[str, float] = {}
        self._name_domains = name_domains
        self._named: tuple[np.ndarray, pd.DataFrame] | None = None

    def compare(self, n_domains: int) -> None:
        """Decide for this number of domains which kind is kept."""
        self._n_domains, self._fits = n_domains, self._candidates(n_domains)
        self.kind = next(iter(self._fits))
        if len(self._fits) > 1:
            self.kind = self._better()
            self.class_likelihoods = {k: likelihood(mixture)[1] for k, (mixture, _) in self._fits.items()}

    def fit(self, n_domains: int) -> SpatialGaussianMixture:
        """Return the mixture of the kind that is kept, with its warnings."""
        again = n_domains != self._n_domains
        mixture, said = self._fit(self.kind, n_domains) if again else self._fits[self.kind]
        self._fits.clear()
        if not hasattr(mixture, "responsibilities_"):
            mixture.recall(self.view.embedding(), self.view.field, self.view.evidence)
        for one in said:
            warn(one.text, one.category)
        return mixture

    def names(self, labels: np.ndarray) -> pd.DataFrame | None:
        """Names of the spots' domains; those of the same domains are not looked for twice."""
        if self._name_domains is None:
            return None
        if self._named is None or not np.array_equal(self._named[0], labels):
            self._named = labels, self._name_domains(labels)
        return self._named[1]

    def _mixture(self, n_domains: int) -> SpatialGaussianMixture:
        return SpatialGaussianMixture(n_domains, **self.mixture_options)

    def _candidates(self, n_domains: int) -> dict[str, MixtureFit]:
        """Fit the domains from scratch; from the classes too, where those from scratch resemble them.

        Without that resemblance the classes are dropped from the view.
        """
        view = self.view
        if self.class_transfer == "always":
            return {"classes": self._fit("classes", n_domains)}
        scratch = view.fit(self._mixture(n_domains))
        if view.evidence is None:
            return {"loadings": scratch}
        labels = scratch[0].labels_
        table = self.names(labels)
        assert table is not None  # classes come with names
        self.class_support = float(np.mean(resembling(table)[labels]))
        if self.class_support < MIN_CLASS_SUPPORT:
            view.evidence = None
            return {"loadings": scratch}
        del scratch  # probabilities of all spots
        named = view.fit(self._mixture(n_domains), labels, view.evidence)
        named[0].forget()
        return {"loadings": named, "classes": self._fit("classes", n_domains)}

    def _fit(self, kind: str, n_domains: int) -> MixtureFit:
        """Fit a mixture of one kind."""
        start, evidence = self.view.nearest, self.view.evidence
        if kind == "loadings":
            scratch = self.view.fit(self._mixture(n_domains))
            if evidence is None:
                return scratch
            start = scratch[0].labels_
        return self.view.fit(self._mixture(n_domains), start, evidence)

    def _better(self) -> str:
        """Kind of larger likelihood; the classes only where every domain bears one of its own.

        A start from the classes that ends with fewer of them than domains has split what it could not tell
        apart: another start from scratch, no evidence for the classes.
        """
        mixture = self._fits["classes"][0]
        assert self.view.evidence is not None
        assert mixture.domain_classes_ is not None
        expected = min(mixture.n_components, len(self.view.evidence.means))
        if len(np.unique(mixture.domain_classes_)) < expected:
            return "loadings"
        return max(self._fits, key=lambda kind: likelihood(self._fits[kind][0]))


def likelihood(mixture: SpatialGaussianMixture) -> tuple[int, float]:
    """Domains that hold a spot, and the log-likelihood per spot: what mixtures are compared by."""
    n = len(mixture.labels_)
    return int(np.count_nonzero(np.bincount(mixture.labels_))), mixture.lower_bounds_[-1] / n
