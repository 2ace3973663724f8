"""Imputation by domains: a site gets the mean expression of the domains around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from transst_py._core.validation import check_whole_number
from transst_py._core.warn import collected, warn
from transst_py.imputation.kriging import most_variable
from transst_py.imputation.smoothers import find_neighbours, knn_weights
from transst_py.imputation.spots import Imputer, Prediction, Section, Sites
from transst_py.model import TransST
from transst_py.tissue.graph import spatial_neighbors

__all__ = ["MIN_GENES", "MIN_SPOTS", "DomainMeans", "count_varying"]

# Spots that vote on the domain of a site.
N_VOTES = 4
# Spots looked up, so that ties at the last vote are seen.
N_NEIGHBORS = 16
# Fewer measured spots hold no domains to speak of.
MIN_SPOTS = 24
# Genes that vary: fewer have no factors in common.
MIN_GENES = 2
MAX_FACTORS = 15
# Genes that the domains are found by: those of the largest variance.
MAX_GENES = 2000


class DomainMeans(Imputer):
    """Mean expression of spatial domains, found by TransST (without source) in the measured spots.

    A site between domains gets a mean of theirs, weighted by the nearest measured spots. Domains are found
    anew from the measured spots alone: labels that were computed with spots to predict would tell of them.

    Parameters
    ----------
    n_domains
        Number of domains, over all sections.
    random_state
        Seed of the mixture.

    Raises
    ------
    TypeError, ValueError
        `n_domains` is no whole number from 1 on; on fitting, more domains than spots, or fewer than two genes
        that vary.
    """

    def __init__(self, n_domains: int = 8, *, random_state: int = 0) -> None:
        check_whole_number("n_domains", n_domains, at_least=1)
        self.n_domains = n_domains
        self.random_state = random_state

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Find the domains, and their means."""
        n_factors = self._check(sections)
        self._positions = [section.sites.positions for section in sections]
        graph = sp.block_diag([spatial_neighbors(x) for x in self._positions], format="csr")
        columns = most_variable(sections, MAX_GENES)
        values = sp.vstack([section.values[:, columns] for section in sections], format="csr")
        model = TransST(self.n_domains, n_factors=n_factors, random_state=self.random_state)
        with collected() as said:
            labels = model.fit(values, graph).labels_
        for one in said:
            # Means of nearly final domains do as well, and held-out spots tell how well.
            if one.category is not ConvergenceWarning:
                warn(one.text, one.category)
        member = np.eye(labels.max() + 1)[labels]
        wanted = sp.vstack([section.values[:, genes] for section in sections], format="csc")
        self._means = (wanted.T @ member / np.maximum(member.sum(axis=0), 1.0)).T
        self._members = np.split(member, np.cumsum([len(section) for section in sections])[:-1])
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Mix the domains' means by the votes of the nearest spots."""
        neighbours = find_neighbours(self._positions[section], sites.positions, n_neighbors=N_NEIGHBORS)
        votes = knn_weights(neighbours, min(N_VOTES, neighbours.index.shape[1])) @ self._members[section]
        return Prediction((votes @ self._means).astype(np.float32))

    def describe(self) -> dict[str, Any]:
        """Return the number of domains."""
        return {"n_domains": len(self._means)}

    def _check(self, sections: Sequence[Section]) -> int:
        """Refuse what has no domains, and return how many factors to find them by."""
        n, n_varying = sum(len(section) for section in sections), count_varying(sections)
        if n_varying < MIN_GENES:
            raise ValueError(
                f"`method`='domain_means' needs {MIN_GENES} or more genes that vary, found {n_varying}; use "
                "another method"
            )
        if self.n_domains > n:
            raise ValueError(f"`n_domains`={self.n_domains} is more than the {n} measured spots")
        return min(MAX_FACTORS, n - 1, n_varying - 1)


def count_varying(sections: Sequence[Section]) -> int:
    """Count the genes that do not have one value at all spots."""
    low = np.min([section.values.min(axis=0).toarray().ravel() for section in sections], axis=0)
    high = np.max([section.values.max(axis=0).toarray().ravel() for section in sections], axis=0)
    return int((high > low).sum())
