"""What an imputation method is given: measured spots, and sites without any expression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from transst_py.expression.standardize import column_moments

__all__ = ["Imputer", "Prediction", "Section", "Sites", "smallest_values", "variance_within"]

# Below this share of its mean square, the variance of a gene is rounding noise.
VARIES = 1e-6


@dataclass(frozen=True)
class Sites:
    """Places of one section.

    Attributes
    ----------
    positions
        Coordinates in units of the typical distance of measured neighbours, float64 (m, d).
    index
        Whole-number pairs that name the sites of the section's lattice (`holdout.dense_index`), int64
        (m, 2); None off a lattice.
    """

    positions: np.ndarray
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def lattice(self) -> np.ndarray:
        """`index`, which has to be there.

        Raises
        ------
        ValueError
            The sites are on no lattice.
        """
        if self.index is None:
            raise ValueError(
                "these methods need a lattice: bilinear, bicubic, s2s. Store obs['array_row'] and "
                "obs['array_col'], or bin the cells with transst_py.tl.bin_cells"
            )
        return self.index

    def subset(self, rows: np.ndarray) -> Sites:
        """Some of the sites; `rows` is logical or holds numbers."""
        return Sites(self.positions[rows], None if self.index is None else self.index[rows])

    def join(self, other: Sites) -> Sites:
        """These sites, then the others."""
        both = None
        if self.index is not None and other.index is not None:
            both = np.concatenate([self.index, other.index])
        return Sites(np.concatenate([self.positions, other.positions]), both)


@dataclass(frozen=True)
class Section:
    """The measured spots of one section. Nothing else of the data reaches a method.

    Attributes
    ----------
    values
        Expression of all genes on the scale to impute, csc float32 (n, p).
    sites
        Where they lie.
    noise
        Variance of each spot's noise relative to a typical spot's, float64 (n,), positive.
    kind
        "square" or "hexagonal"; None off a lattice.
    """

    values: sp.csc_matrix
    sites: Sites
    noise: np.ndarray
    kind: str | None = None

    def __len__(self) -> int:
        return len(self.sites)

    def subset(self, keep: np.ndarray) -> Section:
        """The section with some of its spots only; `keep` is logical."""
        return Section(self.values[keep], self.sites.subset(keep), self.noise[keep], self.kind)

    def dense(self, genes: np.ndarray) -> np.ndarray:
        """Values of some genes, float32 (n, genes)."""
        return np.asarray(self.values[:, genes].toarray(), dtype=np.float32)


def smallest_values(sections: Sequence[Section], genes: np.ndarray) -> np.ndarray:
    """Smallest measured value of each gene, float32 (genes,): nothing lower is imputed."""
    smallest = [section.values[:, genes].min(axis=0).toarray().ravel() for section in sections]
    return np.asarray(np.min(smallest, axis=0), dtype=np.float32)


def variance_within(sections: Sequence[Section], genes: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Variance of genes within sections, float64 (genes,); exactly 0 for constant ones."""
    sizes = [len(section) for section in sections]
    moments = [column_moments(sp.csr_matrix(section.values[:, genes])) for section in sections]
    within = np.average([variance for _, variance in moments], axis=0, weights=sizes)
    squares = np.average([variance + mean**2 for mean, variance in moments], axis=0, weights=sizes)
    return np.where(within > VARIES * squares, within, 0.0)


@dataclass(frozen=True)
class Prediction:
    """Imputed values at m sites.

    Attributes
    ----------
    mean
        float32 (m, genes).
    sd
        Standard deviation of what would be measured there around `mean`, float32 (m, genes), up to one
        factor per gene; None if a method has no idea where it is less sure.
    """

    mean: np.ndarray
    sd: np.ndarray | None = None


class Imputer(ABC):
    """A method that predicts expression at sites from the measured spots of one or more sections."""

    @abstractmethod
    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Learn from the sections what is needed to predict `genes` (column numbers) at their `sites`."""

    def refit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Take in spots that were held out from `fit`, without learning anew what took long to learn."""
        return self.fit(sections, sites, genes)

    @abstractmethod
    def predict(self, section: int, sites: Sites) -> Prediction:
        """Predict the genes at sites of one of the sections."""

    def uncertainty(self, section: int, sites: Sites) -> np.ndarray | None:
        """Return the `sd` that `predict` gives, alone."""
        return self.predict(section, sites).sd

    def validate(
        self,
        sections: Sequence[Section],
        sites: Sequence[Sites],
        genes: np.ndarray,
        held_out: Sequence[np.ndarray],
    ) -> list[Prediction]:
        """Predict held-out measured spots (logical, one array a section) from the other ones."""
        kept = [section.subset(~hidden) for section, hidden in zip(sections, held_out, strict=True)]
        wanted = [section.sites.subset(hidden) for section, hidden in zip(sections, held_out, strict=True)]
        fitted = self.fit(kept, wanted, genes)
        return [fitted.predict(number, places) for number, places in enumerate(wanted)]

    def describe(self) -> dict[str, Any]:
        """What was chosen while fitting, as plain values for the record."""
        return {}
