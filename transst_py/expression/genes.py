"""Which genes enter the model: shared by all data sets, detected, and varying over the tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.utils import gen_batches

from transst_py._core.options import GeneSelection, choices
from transst_py._core.typing import Matrix
from transst_py._core.warn import warn
from transst_py.expression.chunks import RowChunks, detected_by_group
from transst_py.expression.standardize import column_moments

__all__ = ["morans_i", "n_detected", "n_detected_by", "select_genes", "shared_genes"]

GENE_SELECTIONS = choices(GeneSelection)
_CHUNK_NUMBERS = 1 << 22  # numbers held densely at a time


def shared_genes(target: pd.Index, sources: Mapping[str, pd.Index]) -> pd.Index:
    """Genes of the target, in its order, that every source measures too.

    Raises
    ------
    ValueError
        There is none.
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
    if isinstance(X, RowChunks):
        cross = _chunked_cross(X, graph, mean)
    else:
        cross = _sparse_cross(X, graph, mean) if sp.issparse(X) else _dense_cross(X, graph, mean)
    return np.asarray(np.divide(n * cross, weight * n * variance, out=np.zeros(p), where=variance > 0))


def _dense_cross(X: np.ndarray, graph: sp.csr_matrix, mean: np.ndarray) -> np.ndarray:
    """Σ_ab w_ab (x_a - x̄)(x_b - x̄) of every column."""
    n, p = X.shape
    cross = np.empty(p)
    for batch in gen_batches(p, max(_CHUNK_NUMBERS // n, 1)):
        block = X[:, batch] - mean[batch]
        cross[batch] = np.einsum("ij,ij->j", block, graph @ block)
    return cross


def _sparse_cross(X: sp.csr_matrix, graph: sp.csr_matrix, mean: np.ndarray) -> np.ndarray:
    """The same from the stored entries: Σ w_ab x_a x_b - 2 x̄ Σ d_a x_a + x̄² Σ d_a, d_a = Σ_b w_ab."""
    n, p = X.shape
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    sums = np.zeros((2, p))
    for batch in gen_batches(n, max(_CHUNK_NUMBERS // p, 1)):
        sums += _sparse_sums(X[batch], graph[batch] @ X, degrees[batch])
    return np.asarray(sums[0] - 2 * mean * sums[1] + mean**2 * degrees.sum())


def _sparse_sums(rows: sp.csr_matrix, around: sp.csr_matrix, degrees: np.ndarray) -> np.ndarray:
    """Σ x_a Σ_b w_ab x_b and Σ d_a x_a over some rows, (2, p)."""
    row, p = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.shape[1]
    cross = np.bincount(rows.indices, weights=rows.data * around.toarray()[row, rows.indices], minlength=p)
    return np.stack([cross, np.bincount(rows.indices, weights=rows.data * degrees[row], minlength=p)])


def _chunked_cross(X: RowChunks, graph: sp.csr_matrix, mean: np.ndarray) -> np.ndarray:
    """The same of rows that are not in memory: a chunk is read with the rows that its spots are next to."""
    tasks, bounds = [], X.bounds()
    for start, stop in pairwise(bounds):
        edges = graph[start:stop]
        needed = np.union1d(np.arange(start, stop), edges.indices)
        columns = np.searchsorted(needed, edges.indices)
        near = sp.csr_matrix((edges.data, columns, edges.indptr), shape=(stop - start, len(needed)))
        if start < stop:
            tasks.append(X.task(needed, near, int(np.searchsorted(needed, start)), mean))
    return np.asarray(X.reduce_tasks(_chunk_cross, tasks))


def _chunk_cross(X: Matrix, graph: sp.csr_matrix, first: int, mean: np.ndarray) -> np.ndarray:
    """Σ_ab w_ab (x_a - x̄)(x_b - x̄), a among the rows from `first` on, b among all rows of X."""
    n, p = graph.shape[0], X.shape[1]
    rows = X[first : first + n]
    cross = np.zeros(p)
    for batch in gen_batches(n, max(_CHUNK_NUMBERS // p, 1)):
        degrees = np.asarray(graph[batch].sum(axis=1)).ravel()
        if sp.issparse(X):
            sums = _sparse_sums(rows[batch], graph[batch] @ X, degrees)
            cross += sums[0] - 2 * mean * sums[1] + mean**2 * degrees.sum()
        else:
            around = graph[batch] @ X - degrees[:, None] * mean
            cross += np.einsum("ij,ij->j", rows[batch] - mean, around)
    return cross


def n_detected(X: Matrix) -> np.ndarray:
    """Rows in which each gene has a non-zero value, (p,)."""
    if isinstance(X, RowChunks):
        if "detected" not in X.known:
            X.survey()
        return X.known["detected"]
    if not sp.issparse(X):
        return np.asarray(np.count_nonzero(X, axis=0))
    found = np.zeros(X.shape[1], dtype=np.intp)
    for batch in gen_batches(X.nnz, _CHUNK_NUMBERS) if X.nnz else []:
        found += np.bincount(X.indices[batch][X.data[batch] != 0], minlength=len(found))
    return found


def n_detected_by(X: Matrix, groups: np.ndarray) -> np.ndarray:
    """The same within groups of rows, (groups, p); `groups` has the number of every row's group, (n,).

    Rows that are not in memory are looked at in one pass with everything else that is asked of them first.
    """
    if isinstance(X, RowChunks):
        by_group = X.survey(groups).detected_by
        assert by_group is not None
        return by_group
    n, n_groups = X.shape[0], int(groups.max()) + 1
    found = np.zeros((n_groups, X.shape[1]), dtype=np.intp)
    stored = X.nnz if sp.issparse(X) else X.size
    for batch in gen_batches(n, max(_CHUNK_NUMBERS * n // max(stored, 1), 1)):
        found += detected_by_group(X[batch], groups[batch], n_groups)
    return found


def excess_dispersion(X: Matrix, n_bins: int = 20) -> np.ndarray:
    """Log of variance over mean, against genes of similar mean (cf. Zheng et al. 2017), (p,).

    In units of the median absolute deviation from the median of a bin; -inf for genes without variation.
    """
    mean, variance = column_moments(X)
    varying = (variance > 0) & (mean > 0)
    dispersion = pd.Series(np.log(variance[varying] / mean[varying]))
    if dispersion.nunique() < 2:
        return np.where(varying, 0.0, -np.inf)
    bins = pd.qcut(mean[varying], n_bins, labels=False, duplicates="drop")
    excess = dispersion - dispersion.groupby(bins).transform("median")
    deviation = excess.abs().groupby(bins).transform("median")
    score = np.full(X.shape[1], -np.inf)
    score[varying] = excess / deviation.where(deviation > 0, 1.0)
    return score


def variability(data: Sequence[Matrix]) -> np.ndarray:
    """Mean rank of every gene's excess dispersion over data sets, (p,); the most variable gene is highest."""
    return np.asarray(np.mean([pd.Series(excess_dispersion(X)).rank() for X in data], axis=0))


def select_genes(
    X: Matrix,
    graph: sp.csr_matrix,
    candidates: np.ndarray,
    n_top_genes: int | None,
    *,
    by: str = "spatial",
    sources: Sequence[Matrix] = (),
    first: np.ndarray | None = None,
) -> np.ndarray:
    """Return the sorted positions of the genes that vary most.

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
    by
        "spatial": the largest Moran's I in the target. "variable": the largest dispersion for their mean, by
        mean rank over target and sources.
    sources
        (n_s, p) log-normalised expression of the sources.
    first
        (p,) bool: genes that are taken before all others.

    Warns
    -----
    UserWarning
        "spatial" was asked for, but no spot has a neighbour: "variable" is taken.
    """
    positions = np.flatnonzero(candidates)
    if n_top_genes is None or len(positions) <= n_top_genes:
        return positions
    if by == "spatial" and graph.nnz == 0:
        warn("no spot has a neighbour: genes are chosen by their dispersion, not by their pattern in space")
        by = "variable"
    score = (morans_i(X, graph) if by == "spatial" else variability([X, *sources]))[positions]
    later = np.zeros(len(positions), dtype=bool) if first is None else ~first[positions]
    return np.sort(positions[np.lexsort((-score, later))[:n_top_genes]])
