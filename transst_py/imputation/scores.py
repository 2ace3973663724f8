"""Compare imputed with measured expression, gene by gene, at spots that were hidden from the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.ndimage import uniform_filter
from scipy.special import rel_entr
from scipy.stats import rankdata, wilcoxon
from sklearn.utils import gen_batches

from transst_py._core.validation import check_choice, list_some
from transst_py.expression.genes import morans_i
from transst_py.imputation.holdout import dense_index
from transst_py.tissue.graph import lattice_neighbors

__all__ = ["METRICS", "compare_methods", "score_genes"]

METRICS = ("pcc", "spearman", "rmse", "mae", "js", "ssim", "moran_difference")
# Those of which more is better; of the others less, of `moran_difference` less in absolute value.
HIGHER_IS_BETTER = ("pcc", "spearman", "ssim")
# Values that differ by less, relative to the largest, are rounding noise of float32: a constant.
CONSTANT = 1e-6
# Structural similarity (Wang et al. 2004): sites on a side of the window, and the two constants.
WINDOW = 7
K1, K2 = 0.01, 0.03
_CHUNK_NUMBERS = 1 << 21  # numbers of one map of all genes at a time


def score_genes(
    truth: np.ndarray,
    predicted: np.ndarray,
    hidden: np.ndarray,
    *,
    genes: Sequence[str] | pd.Index | None = None,
    index: np.ndarray | None = None,
    kind: str | None = None,
) -> pd.DataFrame:
    """Score each gene's prediction at the hidden spots.

    With x the truth and y the prediction at the m hidden spots:

    pcc, spearman
        Correlation of Pearson and Spearman (mean ranks of ties). NaN where x is constant: nothing to be
        right about. 0 where only y is constant: a prediction that tells no spot from another knows nothing,
        and must not be spared by leaving the gene out.
    rmse, mae
        Root of the mean squared, and mean absolute, difference.
    js
        Jensen-Shannon distance of the two maps, negative values set to 0, each divided by its sum over the
        hidden spots: with M their mean, sqrt((KL(x || M) + KL(y || M)) / 2), logarithms to base 2; 0 to 1.
        NaN where a map sums to 0. (Li et al. 2022, Nature Methods 19, compare the divergence; theirs in
        nats is js² ln 2.)

    And of the maps of all spots, the measured values kept at the shown ones, where `index` is given:

    ssim
        Structural similarity (Wang et al. 2004), mean over the hidden spots of its value in the window of
        7 x 7 sites around each. Means, variances and covariance are those of the window's spots: sites
        without a spot do not count. K1 = 0.01, K2 = 0.03, the range is that of the gene's truth over all
        spots; NaN where that is constant. On a hexagonal lattice the window is 7 x 7 in the coordinates of
        `dense_index`, a rhombus.
    moran_difference
        Moran's I of the completed map minus that of the truth: positive is too smooth. NaN where the truth
        is constant over all spots; I counts as 0 where the completed map is.

    A range of at most 1e-6 of the largest absolute value counts as constant.

    Parameters
    ----------
    truth
        Values of all spots, (n, p), shown ones included.
    predicted
        Values of the hidden spots, in their order in `truth`, (m, p).
    hidden
        Logical (n,), True for the m spots that were hidden.
    genes
        Names, (p,); numbers if not given.
    index
        (row, col) of all spots, integers (n, 2), as in `transst_py.tissue.lattice.Lattice.index`.
    kind
        "square" or "hexagonal"; to be given with `index`.

    Returns
    -------
    DataFrame with one row per gene, its index named `gene`, and the columns `n` (hidden spots) and those
    above, float64; `ssim` and `moran_difference` are NaN without `index`.

    Raises
    ------
    TypeError, ValueError
        Shapes do not match, a value is missing, no spot is hidden, or `index` is no lattice of this kind.
    """
    truth, predicted, hidden = np.asarray(truth), np.asarray(predicted), np.asarray(hidden)
    _check_maps(truth, predicted, hidden)
    p = truth.shape[1]
    if genes is not None and len(genes) != p:
        raise ValueError(f"`genes` has {len(genes)} names for the {p} columns of `truth`")
    sites = _Sites.of(index, kind, hidden)
    parts = [
        _score(truth[:, batch].astype(np.float64), predicted[:, batch].astype(np.float64), hidden, sites)
        for batch in gen_batches(p, max(_CHUNK_NUMBERS // len(truth), 1))
    ]
    names = pd.RangeIndex(p) if genes is None else pd.Index(genes)
    table = pd.DataFrame(np.concatenate(parts, axis=1).T, index=names.rename("gene"), columns=METRICS)
    table.insert(0, "n", int(hidden.sum()))
    return table


def compare_methods(scores: pd.DataFrame, *, metric: str, reference: str) -> pd.DataFrame:
    """Compare one method with every other, paired by gene.

    The difference of a gene is its mean over those patterns of hidden spots in which both methods have a
    score. Differences are positive where the reference is better: of `rmse`, `mae` and `js` less is better,
    of `moran_difference` less in absolute value, of all others more.

    The p-value is that of the hypothesis that differences are symmetric about 0, and takes genes for
    independent. Genes of one tissue are not: it says how regular the difference is on this tissue, not that
    it holds on the next one.

    Parameters
    ----------
    scores
        One row per method, pattern of hidden spots and gene, with the columns `method`, `phase` (the
        pattern), `gene` and the metric: the table from `transst_py.tl.evaluate_imputation`, or that from
        `score_genes` with its index as a column. One tissue; what else was repeated (seeds) goes into
        `phase`.
    metric
        One of `METRICS`.
    reference
        The method that the others are compared with.

    Returns
    -------
    DataFrame with one row per other method, its index named `method`, and the columns `median_difference`,
    `mean_difference`, `share_reference_better` (of genes; equal ones count as not better), `p_value`
    (Wilcoxon signed-rank test, two-sided, without the genes whose difference is 0; 1 if that is all of them)
    and `n_genes`. NaN where no gene has a score of both methods.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        Unknown metric or reference; there is no other method; several rows are of the same method, phase
        and gene.
    """
    check_choice("metric", metric, METRICS)
    goodness = _goodness(scores, metric)
    if reference not in goodness.columns or goodness.shape[1] < 2:
        raise ValueError(
            f"`reference` must be one of two or more methods, got {reference!r}; scores['method'] has "
            f"{list_some(list(goodness.columns))}"
        )
    others = goodness.drop(columns=reference)
    rows = [_compare(goodness[reference] - others[other]) for other in others]
    return pd.DataFrame(rows, index=others.columns)


@dataclass(frozen=True)
class _Sites:
    """Where the spots of a lattice lie.

    Attributes
    ----------
    cell
        Place of each spot in a dense image, int64 (n, 2), from 0.
    hidden
        Logical (n,).
    share
        Share of the sites in the window around each hidden spot that hold a spot, float64 (m,).
    graph
        Neighbouring spots, (n, n).
    """

    cell: np.ndarray
    hidden: np.ndarray
    share: np.ndarray
    graph: sp.csr_matrix

    @classmethod
    def of(cls, index: np.ndarray | None, kind: str | None, hidden: np.ndarray) -> _Sites | None:
        if (index is None) != (kind is None):
            raise ValueError("`index` and `kind` belong together: give both, or none")
        if index is None or kind is None:
            return None
        cell = dense_index(index, kind)
        if len(cell) != len(hidden):
            raise ValueError(f"`index` has {len(cell)} rows for the {len(hidden)} spots of `truth`")
        cell -= cell.min(axis=0)
        share = _window_means(np.ones((len(cell), 1)), cell)[hidden, 0]
        return cls(cell, hidden, share, lattice_neighbors(np.asarray(index, dtype=np.int64)))

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean over the spots in the window around each hidden spot; (n, p) to (m, p)."""
        return np.asarray(_window_means(values, self.cell)[self.hidden] / self.share[:, None])


def _window_means(values: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Mean over all sites in the window around each spot, those without a spot counted as 0."""
    row, col = cell.T
    images = np.zeros((values.shape[1], *(cell.max(axis=0) + 1)))
    images[:, row, col] = values.T
    return np.asarray(uniform_filter(images, size=(1, WINDOW, WINDOW), mode="constant")[:, row, col].T)


def _score(truth: np.ndarray, predicted: np.ndarray, hidden: np.ndarray, sites: _Sites | None) -> np.ndarray:
    """All metrics of some genes, (number of metrics, p)."""
    x, y = truth[hidden], predicted
    scores = dict.fromkeys(METRICS, np.full(truth.shape[1], np.nan))
    flat, ignorant = _is_constant(x), _is_constant(y)
    ranks = rankdata(x, axis=0), rankdata(y, axis=0)
    for name, maps in (("pcc", (x, y)), ("spearman", ranks)):
        scores[name] = np.where(flat, np.nan, np.where(ignorant, 0.0, _correlation(*maps)))
    scores["rmse"] = np.sqrt(((x - y) ** 2).mean(axis=0))
    scores["mae"] = np.abs(x - y).mean(axis=0)
    scores["js"] = _js_distance(x.clip(min=0), y.clip(min=0))
    if sites is not None:
        completed = truth.copy()
        completed[hidden] = predicted
        flat = _is_constant(truth)
        difference = morans_i(completed, sites.graph) - morans_i(truth, sites.graph)
        scores["ssim"] = np.where(flat, np.nan, _ssim(truth, completed, sites))
        scores["moran_difference"] = np.where(flat, np.nan, difference)
    return np.stack(list(scores.values()))


def _is_constant(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.ptp(values, axis=0) <= CONSTANT * np.abs(values).max(axis=0))


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the columns, 0 where one is constant."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norm = np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0)
    return np.asarray(
        np.divide((x * y).sum(axis=0), norm, out=np.zeros(len(norm)), where=norm > 0).clip(-1, 1)
    )


def _js_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance of the columns.

    Not scipy's: it gives NaN for nearly equal columns, where rounding makes the divergence negative.
    """
    sums = x.sum(axis=0), y.sum(axis=0)
    defined = (sums[0] > 0) & (sums[1] > 0)
    x, y = x[:, defined] / sums[0][defined], y[:, defined] / sums[1][defined]
    middle = (x + y) / 2
    divergence = (rel_entr(x, middle) + rel_entr(y, middle)).sum(axis=0) / (2 * np.log(2))
    distance = np.full(len(defined), np.nan)
    distance[defined] = np.sqrt(divergence.clip(0, 1))
    return distance


def _ssim(x: np.ndarray, y: np.ndarray, sites: _Sites) -> np.ndarray:
    """Structural similarity of two maps (n, p), mean over the hidden spots; anything where x is constant."""
    spread = np.ptp(x, axis=0)
    spread[spread == 0] = 1
    c1, c2 = (K1 * spread) ** 2, (K2 * spread) ** 2
    mean_x, mean_y = sites.means(x), sites.means(y)
    var_x, var_y = sites.means(x**2) - mean_x**2, sites.means(y**2) - mean_y**2
    covariance = sites.means(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return np.asarray((luminance * structure).mean(axis=0))


def _goodness(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The metric with its sign such that more is better: a row per gene and phase, a column per method."""
    missing = [name for name in ("method", "phase", "gene", metric) if name not in scores]
    if missing:
        raise KeyError(f"`scores` has no column {list_some(missing)}; it has {list_some(list(scores))}")
    keys = scores[["method", "phase", "gene"]]
    if keys.duplicated().any():
        raise ValueError(
            f"`scores` has {keys.duplicated().sum()} rows with the method, phase and gene of another row; "
            "compare one tissue at a time, and tell repetitions apart in `phase`"
        )
    values = scores.pivot(index=["gene", "phase"], columns="method", values=metric)
    if metric in HIGHER_IS_BETTER:
        return values
    return -values.abs() if metric == "moran_difference" else -values


def _compare(difference: pd.Series) -> dict[str, float]:
    """Summarise differences, one for each gene and phase."""
    by_gene = difference.dropna().groupby(level="gene", observed=True).mean()
    changed = by_gene[by_gene != 0]
    p_value = wilcoxon(changed).pvalue if len(changed) else 1.0
    return {
        "median_difference": by_gene.median(),
        "mean_difference": by_gene.mean(),
        "share_reference_better": (by_gene > 0).mean(),
        "p_value": p_value if len(by_gene) else np.nan,
        "n_genes": len(by_gene),
    }


def _check_maps(truth: np.ndarray, predicted: np.ndarray, hidden: np.ndarray) -> None:
    if hidden.dtype != bool or hidden.ndim != 1:
        raise TypeError(f"`hidden` must be a logical (n,) array, got {hidden.dtype} of shape {hidden.shape}")
    if not hidden.any():
        raise ValueError("`hidden` hides no spot: there is nothing to score")
    for name, values, rows in (("truth", truth, len(hidden)), ("predicted", predicted, int(hidden.sum()))):
        if values.dtype.kind not in "fiub":
            raise TypeError(f"`{name}` must be a dense array of numbers, got dtype {values.dtype}")
        if values.ndim != 2 or len(values) != rows or values.shape[1] == 0:
            raise ValueError(
                f"`{name}` must be of shape ({rows}, number of genes), got {values.shape}: `truth` holds all "
                "spots, `predicted` the hidden ones"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"`{name}` has missing or infinite values")
    if truth.shape[1] != predicted.shape[1]:
        raise ValueError(f"`truth` has {truth.shape[1]} genes, `predicted` {predicted.shape[1]}")
