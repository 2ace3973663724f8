"""Choose a baseline by leaving measured spots out, and impute with it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.sparse as sp

from transst_py.imputation.smoothers import (
    Neighbourhood,
    find_neighbours,
    kernel_weights,
    nearest_weights,
    typical_spacing,
)

__all__ = ["METHODS", "BaselineImputer"]

METHODS = ("nearest", "kernel")
# Bandwidths in units of the spacing. Below 0.5 the kernel is the nearest spot, at 4 the neighbours are
# nearly equal, and between two of these values the error is flat (five tissues, hold-out).
CANDIDATES = pd.DataFrame(
    [("nearest", np.nan)] + [("kernel", h) for h in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)],
    columns=["method", "bandwidth"],
)
N_NEIGHBORS = 64
# Bounds of what is dense at once: 100 000 spots x 256 genes are 100 MB.
BLOCK_GENES = 256
BLOCK_SITES = 50_000


class BaselineImputer:
    """Impute by the nearest spot, or by a Gaussian kernel with a bandwidth for each gene.

    The bandwidth of a gene is the candidate with the smallest squared error when each measured spot is
    predicted from the others. One bandwidth for all genes would be ruled by the many genes that are mostly
    noise and smooth the few patterned ones away, and would make a gene's result depend on which other
    genes are imputed with it. In hold-out tests on the 300 highest genes, the choice for each gene changed
    the error by -0.9 % to -0.2 % on 490 to 2900 measured spots, by less than 0.3 % either way on 130 and
    150, and by +1 % on 74.

    Parameters
    ----------
    method
        "nearest", "kernel", or "auto": the one with the lower leave-one-out error.

    Attributes
    ----------
    method_
        The method used.
    errors_
        DataFrame with a row per candidate: `method`, `bandwidth` (units of the spacing; NaN for nearest),
        `relative_error` (leave-one-out mean squared error over the gene's variance, mean over the genes
        that vary: 1 is no better than the gene's mean; NaN if none varies) and `n_genes` (how many genes
        use the candidate).
    bandwidth_
        Bandwidth of each gene in units of the spacing, float64 (p,); NaN for nearest.
    spacing_
        Median distance of a measured spot to its nearest other one.
    """

    def __init__(self, method: str = "auto") -> None:
        self.method = method

    def fit(self, X: sp.csc_matrix, positions: np.ndarray) -> BaselineImputer:
        """Choose the method and the bandwidths.

        Parameters
        ----------
        X
            Expression of the measured spots on the scale to impute, (n, p).
        positions
            Their coordinates, (n, d), n >= 2.

        Raises
        ------
        ValueError
            Unknown method, or most spots share their position with another spot.
        """
        check_method(self.method)
        self._X, self._positions = X, positions
        self.spacing_ = typical_spacing(positions)
        errors = self._leave_one_out_errors()
        relative = _relative(errors, X)
        self.method_ = _better_method(errors, relative) if self.method == "auto" else self.method
        allowed = (CANDIDATES["method"] == self.method_).to_numpy()
        self._chosen = np.flatnonzero(allowed)[errors[allowed].argmin(axis=0)]
        self.bandwidth_ = CANDIDATES["bandwidth"].to_numpy()[self._chosen]
        self.errors_ = CANDIDATES.assign(
            relative_error=_mean_or_nan(relative),
            n_genes=np.bincount(self._chosen, minlength=len(CANDIDATES)),
        )
        return self

    def predict(self, sites: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """Impute all genes at the given coordinates (m, d): float32 (m, p), in `out` if that is given."""
        shape = (len(sites), self._X.shape[1])
        imputed = np.empty(shape, dtype=np.float32) if out is None else out
        for start in range(0, len(sites), BLOCK_SITES):
            rows = slice(start, start + BLOCK_SITES)
            neighbours = find_neighbours(self._positions, sites[rows], n_neighbors=N_NEIGHBORS)
            for candidate in np.unique(self._chosen):
                weights = self._weights(neighbours, candidate)
                for genes in _blocks(np.flatnonzero(self._chosen == candidate)):
                    imputed[rows, genes] = weights @ self._X[:, genes].toarray()
        return imputed

    def _weights(self, neighbours: Neighbourhood, candidate: int) -> sp.csr_matrix:
        method, bandwidth = CANDIDATES.iloc[candidate]
        if method == "nearest":
            return nearest_weights(neighbours)
        return kernel_weights(neighbours, bandwidth * self.spacing_)

    def _leave_one_out_errors(self) -> np.ndarray:
        """Return the mean squared error of every candidate and gene: float64 (candidates, p)."""
        neighbours = find_neighbours(self._positions, n_neighbors=N_NEIGHBORS)
        errors = np.empty((len(CANDIDATES), self._X.shape[1]))
        for candidate in range(len(CANDIDATES)):
            weights = self._weights(neighbours, candidate)
            for genes in _blocks(np.arange(self._X.shape[1])):
                truth = self._X[:, genes].toarray()
                errors[candidate, genes] = ((weights @ truth - truth) ** 2).mean(axis=0, dtype=np.float64)
        return errors


def check_method(method: str) -> None:
    """Refuse a method that does not exist.

    Raises
    ------
    ValueError
        Unknown method.
    """
    if method not in ("auto", *METHODS):
        raise ValueError(f"`method`: unknown method {method!r}; choose one of auto, {', '.join(METHODS)}")


def _blocks(genes: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, genes.size, BLOCK_GENES):
        yield genes[start : start + BLOCK_GENES]


def _relative(errors: np.ndarray, X: sp.csc_matrix) -> np.ndarray:
    """Divide errors (candidates, p) by the variance of each gene; constant genes are dropped."""
    mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
    squares = np.asarray(X.multiply(X).mean(axis=0), dtype=np.float64).ravel()
    variance = squares - mean**2
    # The difference of two nearly equal numbers is noise, not variance.
    varies = variance > 1e-6 * squares
    return errors[:, varies] / variance[varies]


def _better_method(errors: np.ndarray, relative: np.ndarray) -> str:
    """Return the method whose best candidate for each gene has the lower mean relative error."""
    if relative.shape[1] == 0:
        return "kernel"
    kernel = (CANDIDATES["method"] == "kernel").to_numpy()
    better = relative[kernel].min(axis=0).mean() < relative[~kernel].min(axis=0).mean()
    return "kernel" if better else "nearest"


def _mean_or_nan(relative: np.ndarray) -> np.ndarray:
    return relative.mean(axis=1) if relative.shape[1] else np.full(len(relative), np.nan)
