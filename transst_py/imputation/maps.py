"""What the channels of the network's images are: genes, or factors of them; and how they are filled first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from transst_py.expression.standardize import column_moments
from transst_py.imputation.kriging import BlendedKriging, FactorKriging, GeneKriging
from transst_py.imputation.smoothing import Smoother
from transst_py.imputation.spots import Imputer, Section, Sites

__all__ = ["STARTS", "FactorMaps", "GeneMaps", "Maps"]

STARTS: dict[str, Callable[[], Imputer]] = {
    "kriging": BlendedKriging,
    "svd_gp": FactorKriging,
    "gp": GeneKriging,
    "nearest": lambda: Smoother("nearest"),
}
# Units of a map that is nowhere but 0.
MIN_UNIT = 1e-3


class Maps(ABC):
    """Maps of sections in network units, fitted to the measured spots that may be known."""

    start_: Any

    @abstractmethod
    def fit(self, sections: Sequence[Section]) -> Self:
        """Fit the start, and find the units."""

    @abstractmethod
    def values(self, number: int, spots: Section) -> np.ndarray:
        """Measured values of spots of a section, float32 (n, channels)."""

    @abstractmethod
    def filled(self, number: int, sites: Sites) -> np.ndarray:
        """Start values at sites of a section, float32 (m, channels)."""

    @abstractmethod
    def restore(self, number: int, sites: Sites, filled: np.ndarray) -> np.ndarray:
        """Turn values of all channels at sites, (m, channels), into expression of the genes, (m, genes)."""

    def uncertainty(self, number: int, sites: Sites) -> np.ndarray | None:
        """Standard deviation of the genes' expression at sites, that of the start: float32 (m, genes)."""
        found: np.ndarray | None = self.start_.uncertainty(number, sites)
        return found

    @property
    @abstractmethod
    def importance(self) -> np.ndarray:
        """Variance of the wanted genes that a unit of each channel stands for, float64 (channels,)."""

    @property
    def processes(self) -> list[tuple[str, float, float]]:
        """Correlation, length-scale and noise ratio of the start's processes; empty if it has none."""
        found: dict[str, Any] = self.start_.describe()
        if "correlation" not in found:
            return []
        return list(
            zip(
                found["correlation"].tolist(),
                found["length_scale"].tolist(),
                found["noise_ratio"].tolist(),
                strict=True,
            )
        )


class GeneMaps(Maps):
    """One map per gene.

    Parameters
    ----------
    genes
        Column numbers of the genes.
    start
        A key of `STARTS`.
    scale
        Unit of all maps, from 0; None is each gene's standard deviation, around its mean.
    """

    def __init__(self, genes: np.ndarray, start: str, scale: float | None) -> None:
        self.genes, self.start, self.scale = genes, start, scale

    def fit(self, sections: Sequence[Section]) -> Self:
        """Fit the start, and find the units."""
        self.start_ = STARTS[self.start]().fit(sections, [section.sites for section in sections], self.genes)
        if self.scale is not None:
            n_genes = len(self.genes)
            self._mean, self._unit = np.zeros(n_genes), np.full(n_genes, self.scale)
            return self
        values = sp.vstack([section.values[:, self.genes] for section in sections], format="csr")
        self._mean, variance = column_moments(values)
        self._unit = np.maximum(np.sqrt(variance), MIN_UNIT)
        return self

    def values(self, number: int, spots: Section) -> np.ndarray:
        """Measured values of spots of a section, float32 (n, genes)."""
        return self._scaled(spots.dense(self.genes))

    def filled(self, number: int, sites: Sites) -> np.ndarray:
        """Start values at sites of a section, float32 (m, genes)."""
        return self._scaled(self.start_.predict(number, sites).mean)

    def restore(self, number: int, sites: Sites, filled: np.ndarray) -> np.ndarray:
        """Return to the scale of expression, float32 (m, genes)."""
        return np.asarray((filled * self._unit + self._mean).astype(np.float32))

    @property
    def importance(self) -> np.ndarray:
        """The same for all genes."""
        return np.ones(len(self.genes))

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(((values - self._mean) / self._unit).astype(np.float32))


class FactorMaps(Maps):
    """One map per principal factor: few maps for any number of genes, with less noise than a gene's.

    Parameters
    ----------
    genes
        Column numbers of the genes to restore; the factors are of all genes.
    start
        "svd_gp", or "kriging": then the restored genes get the share of their own kriging.
    """

    def __init__(self, genes: np.ndarray, start: str) -> None:
        self.genes, self.start = genes, start

    def fit(self, sections: Sequence[Section]) -> Self:
        """Find the factors, fit their processes, and take the factors' standard deviations for units."""
        self.start_ = STARTS[self.start]().fit(sections, [section.sites for section in sections], self.genes)
        self._kriged = self.start_.factors_ if isinstance(self.start_, BlendedKriging) else self.start_
        scores = np.concatenate(self._kriged.factors_.scores_)
        self._unit = np.maximum(scores.std(axis=0), MIN_UNIT)
        return self

    def values(self, number: int, spots: Section) -> np.ndarray:
        """Scores of spots of a section, float32 (n, factors)."""
        return np.asarray((self._kriged.factors_.score(number, spots) / self._unit).astype(np.float32))

    def filled(self, number: int, sites: Sites) -> np.ndarray:
        """Kriged scores at sites of a section, float32 (m, factors)."""
        scores, _ = self._kriged.process_.predict(number, sites.positions)
        return np.asarray((scores / self._unit).astype(np.float32))

    def restore(self, number: int, sites: Sites, filled: np.ndarray) -> np.ndarray:
        """Multiply with the loadings, and add the genes' own kriging if the start has it."""
        shared = self._kriged.expression(number, filled * self._unit)
        return shared if self._kriged is self.start_ else self.start_.blend(number, sites, shared)

    @property
    def importance(self) -> np.ndarray:
        """Variance of the factors."""
        return np.asarray(self._unit**2)
