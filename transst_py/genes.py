"""Which genes enter the model: shared by all data sets, detected, and varying over the tissue."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse as sp

from transst_py._typing import Matrix
from transst_py.standardize import column_moments

__all__ = ["morans_i", "n_detected", "select_genes", "shared_genes"]

_BLOCK = 1024  # genes densified at a time


def shared_genes(target: pd.Index, sources: Mapping[str, pd.Index]) -> pd.Index:
    """Genes of the target, in its order, that every source measures too.

    Raises
    ------
    ValueError
        There is none.

    Warns
    -----
    UserWarning
        Fewer than a tenth of the target's genes are shared.
    """
    shared = target
    for name, genes in sources.items():
        common = shared[shared.isin(genes)]
        if common.empty:
            raise ValueError(
                f"`source`: no gene is shared with source {name!r} (target: {', '.join(target[:3])}, ...; "
                f"source: {', '.join(genes[:3])}, ...); use the same kind of gene names in both"
            )
        shared = common
    if len(shared) < 0.1 * len(target):
        warnings.warn(
            f"only {len(shared)} of the target's {len(target)} genes are shared with the source",
            UserWarning,
            stacklevel=3,
        )
    return shared


def morans_i(X: Matrix, graph: sp.csr_matrix) -> np.ndarray:
    """Moran's I of every gene over a graph.

        I_j = (n / Σ_ab w_ab) Σ_ab w_ab (x_aj - x̄_j)(x_bj - x̄_j) / Σ_a (x_aj - x̄_j)²       (Moran 1950)

    Parameters
    ----------
    X
        (n, p) expression.
    graph
        (n, n) symmetric weights.

    Returns
    -------
    (p,) values, about -1 to 1; 0 for genes without variation or a graph without edges.
    """
    n, p = X.shape
    weight = graph.sum()
    if weight == 0:
        return np.zeros(p)
    mean, variance = column_moments(X)
    columns = sp.csc_matrix(X) if sp.issparse(X) else X
    cross = np.empty(p)
    for start in range(0, p, _BLOCK):
        block = columns[:, start : start + _BLOCK]
        block = np.asarray(block.todense() if sp.issparse(block) else block, dtype=np.float64)
        block = block - mean[start : start + _BLOCK]
        cross[start : start + _BLOCK] = np.einsum("ij,ij->j", block, graph @ block)
    return np.divide(n * cross, weight * n * variance, out=np.zeros(p), where=variance > 0)


def n_detected(X: Matrix) -> np.ndarray:
    """Rows in which each gene has a non-zero value, (p,)."""
    return np.asarray((X != 0).sum(axis=0)).ravel()


def select_genes(
    X: Matrix, graph: sp.csr_matrix, candidates: np.ndarray, n_top_genes: int | None
) -> np.ndarray:
    """Return the sorted positions of the genes with the largest Moran's I in the target.

    Parameters
    ----------
    X
        (n, p) log-normalised target expression.
    graph
        (n, n) neighbourhood graph.
    candidates
        (p,) bool: genes to choose from.
    n_top_genes
        How many to keep; `None` keeps all candidates.
    """
    positions = np.flatnonzero(candidates)
    if n_top_genes is None or len(positions) <= n_top_genes:
        return positions
    score = morans_i(X[:, positions], graph)
    return np.sort(positions[np.argsort(-score, kind="stable")[:n_top_genes]])
