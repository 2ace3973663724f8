"""Smoothing by neighbours: the nearest spot, the mean of the k nearest, a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from transst_py.imputation.smoothers import (
    Neighbourhood,
    find_neighbours,
    kernel_weights,
    knn_weights,
    nearest_weights,
)
from transst_py.imputation.spots import Imputer, Prediction, Section, Sites

__all__ = ["SMOOTHERS", "Smoother"]

# What each method chooses from, for every gene: k, or the bandwidth in units of the spacing. Below one of
# 0.5 the kernel is the nearest spot, at 4 the neighbours are nearly equal, and between two of these values
# the error is flat.
SMOOTHERS: dict[str, tuple[float, ...]] = {
    "nearest": (1,),
    "knn": (2, 3, 4, 6, 8, 12, 18, 27, 40),
    "kernel": (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
}
N_NEIGHBORS = 64
# Bounds of what is dense at once: 100 000 spots x 256 genes are 100 MB.
BLOCK_GENES = 256
BLOCK_SITES = 50_000


class Smoother(Imputer):
    """Weighted means of the measured spots around a site, as wide as suits each gene.

    A gene's width is the candidate with the smallest squared error when each measured spot is predicted from
    the others, over all sections together. One width for all genes would be ruled by the many genes that are
    mostly noise and smooth the few patterned ones away.

    Parameters
    ----------
    method
        "nearest", "knn" or "kernel".

    Attributes
    ----------
    width_
        k, or the bandwidth in units of the spacing, of each gene, float64.
    """

    def __init__(self, method: str) -> None:
        self.method = method

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Choose each gene's width by leaving spots out one at a time."""
        self._sections, self._genes = list(sections), genes
        candidates = SMOOTHERS[self.method]
        self._chosen = np.zeros(len(genes), dtype=np.int64)
        if len(candidates) > 1:
            self._chosen = self._leave_one_out_errors().argmin(axis=0)
        self.width_ = np.array(candidates, dtype=np.float64)[self._chosen]
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Return weighted means."""
        imputed = np.empty((len(sites), len(self._genes)), dtype=np.float32)
        measured = self._sections[section]
        for rows in _blocks(np.arange(len(sites)), BLOCK_SITES):
            neighbours = find_neighbours(
                measured.sites.positions, sites.positions[rows], n_neighbors=N_NEIGHBORS
            )
            for candidate in np.unique(self._chosen):
                weights = self._weights(neighbours, SMOOTHERS[self.method][candidate])
                for columns in _blocks(np.flatnonzero(self._chosen == candidate), BLOCK_GENES):
                    imputed[np.ix_(rows, columns)] = weights @ measured.dense(self._genes[columns])
        return Prediction(imputed)

    def describe(self) -> dict[str, Any]:
        """Return each gene's width."""
        return {} if self.method == "nearest" else {"width": self.width_}

    def _weights(self, neighbours: Neighbourhood, width: float) -> sp.csr_matrix:
        if self.method == "nearest":
            return nearest_weights(neighbours)
        if self.method == "knn":
            return knn_weights(neighbours, min(int(width), neighbours.index.shape[1]))
        return kernel_weights(neighbours, width)

    def _leave_one_out_errors(self) -> np.ndarray:
        """Return the sum of squared errors of every candidate and gene, float64 (candidates, genes)."""
        candidates = SMOOTHERS[self.method]
        errors = np.zeros((len(candidates), len(self._genes)))
        for section in self._sections:
            neighbours = find_neighbours(section.sites.positions, n_neighbors=N_NEIGHBORS)
            for number, width in enumerate(candidates):
                weights = self._weights(neighbours, width)
                for columns in _blocks(np.arange(len(self._genes)), BLOCK_GENES):
                    truth = section.dense(self._genes[columns])
                    errors[number, columns] += ((weights @ truth - truth) ** 2).sum(axis=0, dtype=np.float64)
        return errors


def _blocks(numbers: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, numbers.size, size):
        yield numbers[start : start + size]
