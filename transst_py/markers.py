"""Marker statistics on sparse expression: a one-vs-rest Wilcoxon rank-sum test of every gene."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy import stats

__all__ = ["detection_fractions", "log_fold_changes", "rank_sum_test"]

# Non-zero values sorted at once; bounds the scratch memory of a block to about half a gigabyte.
MAX_BLOCK_VALUES = 4_000_000


def rank_sum_test(X: sp.csc_matrix, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Test every gene in every group against all other spots.

    Wilcoxon rank-sum (Mann-Whitney) test, two-sided, by the normal approximation with tie correction and
    continuity correction: what `scipy.stats.mannwhitneyu(x, y, method="asymptotic")` computes with its
    defaults. With n spots, n_k of them in group k, R_k their rank sum and t the sizes of the ties,

        z = (|U - mu| - 1/2)_+ sign(U - mu) / sd,   U = R_k - n_k (n_k + 1) / 2,   mu = n_k (n - n_k) / 2,
        sd^2 = n_k (n - n_k) / 12 * ((n + 1) - sum(t^3 - t) / (n (n - 1))).

    The zeros of a gene are one tie, ranked without being written out: the cost is that of sorting the
    stored values. Negative values rank below the zeros.

    Parameters
    ----------
    X
        Expression, (n, p), finite.
    groups
        Group 0..n_groups-1 of each spot, integers (n,). Every group has a spot, and none has all.
    n_groups
        Number of groups K, at least 2.

    Returns
    -------
    scores
        z, float64 (K, p); positive where the group is higher, 0 for a gene without variation.
    p_values
        float64 (K, p); 1 for a gene without variation.
    """
    n_spots, n_genes = X.shape
    sizes = np.bincount(groups, minlength=n_groups).astype(np.float64)
    rank_sums = np.empty((n_groups, n_genes))
    ties = np.empty(n_genes)
    for block in _gene_blocks(X.indptr):
        rank_sums[:, block], ties[block] = _rank_block(X[:, block], groups, sizes)
    scores = _scores(rank_sums, ties, sizes, n_spots)
    return scores, 2.0 * stats.norm.sf(np.abs(scores))


def _gene_blocks(indptr: np.ndarray) -> Iterator[slice]:
    """Cut the genes into runs of at most `MAX_BLOCK_VALUES` stored values, and at least one gene."""
    start, n_genes = 0, indptr.size - 1
    while start < n_genes:
        stop = int(np.searchsorted(indptr, indptr[start] + MAX_BLOCK_VALUES, side="right")) - 1
        stop = min(max(stop, start + 1), n_genes)
        yield slice(start, stop)
        start = stop


def _rank_block(X: sp.csc_matrix, groups: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank sums (K, genes) and the tie terms sum(t^3 - t) (genes,) of a block of genes."""
    X.eliminate_zeros()
    n_spots, n_genes = X.shape
    stored = np.diff(X.indptr).astype(np.float64)
    gene = np.repeat(np.arange(n_genes), np.diff(X.indptr))
    order = np.lexsort((X.data, gene))
    value, group = X.data[order], groups[X.indices[order]]
    negative = np.bincount(gene[value < 0], minlength=n_genes)
    n_zeros = n_spots - stored

    rank, tie_sizes, tie_genes = _stored_ranks(value, gene, X.indptr)
    rank += np.where(value > 0, n_zeros[gene], 0.0)
    zero_rank = negative + (n_zeros + 1.0) / 2.0

    cell, n_cells = gene * sizes.size + group, n_genes * sizes.size
    shape = (n_genes, sizes.size)
    stored_sums = np.bincount(cell, weights=rank, minlength=n_cells).reshape(shape)
    stored_in = np.bincount(cell, minlength=n_cells).reshape(shape)
    rank_sums = stored_sums + (sizes - stored_in) * zero_rank[:, None]
    ties = np.bincount(tie_genes, weights=tie_sizes**3 - tie_sizes, minlength=n_genes)
    return rank_sums.T, ties + n_zeros**3 - n_zeros


def _stored_ranks(
    value: np.ndarray, gene: np.ndarray, indptr: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank the stored values within their gene, ties sharing their mean rank.

    Parameters
    ----------
    value, gene
        Stored values sorted by gene, then value, and their genes.
    indptr
        Where each gene begins.

    Returns
    -------
    The rank of each value (1-based, zeros not counted), and the size and the gene of each tie.
    """
    starts_tie = np.ones(value.size, dtype=bool)
    starts_tie[1:] = (value[1:] != value[:-1]) | (gene[1:] != gene[:-1])
    first = np.flatnonzero(starts_tie)
    sizes = np.diff(np.append(first, value.size)).astype(np.float64)
    rank = first - indptr[gene[first]] + (sizes + 1.0) / 2.0
    return np.repeat(rank, sizes.astype(np.int64)), sizes, gene[first]


def _scores(rank_sums: np.ndarray, ties: np.ndarray, sizes: np.ndarray, n_spots: int) -> np.ndarray:
    """Standardise rank sums (K, p); see `rank_sum_test` for the formula."""
    inside, outside = sizes[:, None], n_spots - sizes[:, None]
    excess = rank_sums - inside * (inside + 1.0) / 2.0 - inside * outside / 2.0
    variance = inside * outside / 12.0 * ((n_spots + 1.0) - ties / (n_spots * (n_spots - 1.0)))
    corrected = np.sign(excess) * np.maximum(np.abs(excess) - 0.5, 0.0)
    # A gene with one value everywhere has variance 0 and excess 0: no evidence, not 0 / 0.
    sd = np.sqrt(np.maximum(variance, 0.0))
    return np.divide(corrected, sd, out=np.zeros_like(corrected), where=sd > 0)


def detection_fractions(X: sp.csc_matrix, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of spots with a positive value, inside and outside each group, both (K, p)."""
    return _group_means(_map_stored(X, X.data > 0), groups, n_groups)


def log_fold_changes(X: sp.csc_matrix, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return log2 of the ratio of mean expression inside to outside each group, float64 (K, p).

    With a the mean of exp(x) - 1 inside and b outside, log2((a + 1/n) / (b + 1/n)). The pseudocount 1/n
    is one normalised count in all n spots together: a gene seen in one group only gets a fold change that
    grows with the evidence, not an arbitrary huge number, and a gene never seen gets 0. Genes with
    negative values get NaN: they are on no log(1 + x) scale, and a ratio of their means says nothing.
    """
    inside, outside = _group_means(_map_stored(X, np.expm1(X.data)), groups, n_groups)
    pseudocount = 1.0 / X.shape[0]
    on_scale = X.min(axis=0).toarray().ravel() >= 0
    ratio = np.divide(
        inside + pseudocount, outside + pseudocount, where=on_scale, out=np.full_like(inside, np.nan)
    )
    return np.log2(ratio)


def _map_stored(X: sp.csc_matrix, values: np.ndarray) -> sp.csc_matrix:
    """Return a float64 matrix with the zeros of `X` and other stored values."""
    return sp.csc_matrix((values.astype(np.float64), X.indices, X.indptr), shape=X.shape)


def _group_means(X: sp.csc_matrix, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each column inside and outside each group, both (K, p)."""
    n_spots = groups.size
    member = sp.csr_matrix((np.ones(n_spots), (groups, np.arange(n_spots))), shape=(n_groups, n_spots))
    sums = (member @ X).toarray()
    sizes = np.bincount(groups, minlength=n_groups)[:, None]
    return sums / sizes, (sums.sum(axis=0) - sums) / (n_spots - sizes)
