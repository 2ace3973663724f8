"""The Potts field: neighbours in a graph tend to have the same label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from transst_py.tissue.graph import averaged, check_connectivities

__all__ = [
    "MAX_SMOOTHNESS",
    "Field",
    "colour_classes",
    "distinct_rows",
    "infer_from_neighbors",
    "log_prior",
    "newton_smoothness",
    "one_hot",
    "posterior",
    "smoothness_of",
]

MAX_SMOOTHNESS = 5.0
_PATCH_SPOTS = 500
# Spots whose neighbours are looked at together.
_ROWS = 1 << 16


@dataclass
class Field:
    """The labels' graph, cut into sets of spots (`colours`) with no edge inside."""

    graph: sp.csr_matrix
    colours: list[np.ndarray]
    degrees: np.ndarray

    @classmethod
    def from_graph(cls, graph: sp.csr_matrix, random_state: int = 0) -> Self:
        """Colour a symmetric graph; the same graph always alike, so that only restarts depend on a seed."""
        colour = colour_classes(graph, np.random.default_rng(random_state))
        members = [np.flatnonzero(colour == c).astype(np.int32) for c in range(colour.max() + 1)]
        # Spots of a colour are no neighbours: in any batches, they move as they would all at once.
        batches = [of[batch] for of in members for batch in gen_batches(len(of), _ROWS)]
        return cls(graph, batches, np.diff(graph.indptr))

    @classmethod
    def of(cls, connectivities: sp.csr_matrix | Self | None, n: int) -> Self:
        """Field of a graph of n spots, checked; without edges for `None`; a field as it is."""
        if isinstance(connectivities, cls):
            return connectivities
        if connectivities is None:
            return cls.from_graph(sp.csr_matrix((n, n)))
        return cls.from_graph(check_connectivities(connectivities, n))

    @property
    def count_dtype(self) -> np.dtype[Any]:
        """Smallest signed type for numbers of neighbours."""
        return np.dtype(np.min_scalar_type(-int(self.degrees.max(initial=0)) - 1))

    def smooth(self, Z: np.ndarray) -> np.ndarray:
        """Average each spot half with its neighbours; a spot without any keeps its value."""
        return averaged(self.graph, Z)

    def agreement(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """s_ik: neighbours of spot i in class k, (n, K), small whole numbers."""
        counts = np.empty((len(labels), n_classes), dtype=self.count_dtype)
        for batch in gen_batches(len(labels), _ROWS):
            stored = slice(self.graph.indptr[batch.start], self.graph.indptr[batch.stop])
            spot = np.repeat(np.arange(batch.stop - batch.start), self.degrees[batch])
            cells = spot * n_classes + labels[self.graph.indices[stored]]
            found = np.bincount(cells, minlength=(batch.stop - batch.start) * n_classes)
            counts[batch] = found.reshape(-1, n_classes)
        return counts

    def disagreement(self, labels: np.ndarray, n_classes: int) -> np.ndarray:
        """d_i - s_ik: neighbours of spot i outside class k, (n, K), small whole numbers."""
        counts = self.agreement(labels, n_classes)
        np.subtract(self.degrees.astype(counts.dtype)[:, None], counts, out=counts)
        return counts

    def icm(self, labels: np.ndarray, u: np.ndarray, smoothness: float, max_sweeps: int = 100) -> np.ndarray:
        """Iterated conditional modes: E(y) never rises. Ends when no label moves."""
        labels, n_classes = labels.copy(), u.shape[1]
        agreement = self.agreement(labels, n_classes)
        # A spot is looked at again only when a neighbour has moved since.
        stale = np.ones(len(labels), dtype=bool)
        for _ in range(max_sweeps):
            if not stale.any():
                break
            for members in self.colours:
                spots = members[stale[members]]
                if spots.size:
                    stale[spots] = False
                    self._move(spots, labels, agreement, stale, u, smoothness)
        return labels

    def _move(
        self,
        spots: np.ndarray,
        labels: np.ndarray,
        agreement: np.ndarray,
        stale: np.ndarray,
        u: np.ndarray,
        smoothness: float,
    ) -> None:
        """Give spots, none next to another, their best labels; `labels`, `agreement`, `stale` are updated."""
        n_classes = u.shape[1]
        local = u[spots] - 0.5 * smoothness * agreement[spots]
        best = local.argmin(axis=1)
        at = np.arange(len(spots))
        # Ties keep the label: otherwise two states of equal energy could alternate for ever.
        better = local[at, best] < local[at, labels[spots]] - 1e-12
        if not better.any():
            return
        moved, rows = spots[better], self.graph[spots[better]]
        cells = rows.indices.astype(np.intp) * n_classes
        degrees, one = np.diff(rows.indptr), agreement.dtype.type(1)
        np.add.at(agreement.ravel(), cells + np.repeat(best[better], degrees), one)
        np.subtract.at(agreement.ravel(), cells + np.repeat(labels[moved], degrees), one)
        labels[moved] = best[better]
        stale[rows.indices] = True

    def patches(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """About `size` spots: patches grown around random spots; single spots where nothing grows."""
        chosen = np.zeros(len(self.degrees), dtype=bool)
        rim = rng.choice(len(chosen), max(size // _PATCH_SPOTS, 1), replace=False)
        while rim.size and chosen.sum() < size:
            chosen[rim] = True
            around = np.unique(self.graph[rim].indices)
            rim = around[~chosen[around]]
        others = rng.permutation(np.flatnonzero(~chosen))
        chosen[others[: max(size - chosen.sum(), 0)]] = True
        return np.flatnonzero(chosen)


def one_hot(labels: np.ndarray, n_classes: int, dtype: Any = np.float64) -> np.ndarray:
    """(n, K) indicator of integer labels."""
    indicator = np.zeros((len(labels), n_classes), dtype=dtype)
    indicator[np.arange(len(labels)), labels] = 1.0
    return indicator


def colour_classes(graph: sp.csr_matrix, rng: np.random.Generator) -> np.ndarray:
    """Colour the spots so that neighbours differ (Jones & Plassmann 1993, vectorised).

    In every round the spots whose random priority beats all uncoloured neighbours take a new colour. Each
    edge is looked at once: a spot's turn comes when all neighbours of higher priority have had theirs.
    """
    n = graph.shape[0]
    priority = rng.permutation(n)
    ahead = np.empty(n, dtype=np.int32)
    for batch in gen_batches(n, _ROWS):
        ends = graph.indptr[batch.start : batch.stop + 1]
        spot = np.repeat(np.arange(batch.start, batch.stop), np.diff(ends))
        neighbour = graph.indices[ends[0] : ends[-1]]
        later = spot[priority[neighbour] > priority[spot]] - batch.start
        ahead[batch] = np.bincount(later, minlength=batch.stop - batch.start)
    colour = np.full(n, -1, dtype=np.int32)
    winners, round_ = np.flatnonzero(ahead == 0), 0
    while winners.size:
        colour[winners] = round_
        around = graph[winners].indices
        around = around[colour[around] < 0]
        np.subtract.at(ahead, around, 1)
        around = np.unique(around)
        winners, round_ = around[ahead[around] == 0], round_ + 1
    return colour


def log_prior(disagreement: np.ndarray, smoothness: float) -> np.ndarray:
    """Log of the normalised conditional P(y_i = k | neighbours), (n, K)."""
    e = -0.5 * smoothness * disagreement
    return np.asarray(e - logsumexp(e, axis=1, keepdims=True))


def newton_smoothness(responsibilities: np.ndarray, disagreement: np.ndarray, start: float) -> float:
    """Maximise the concave Σ_ik R_ik log P_β(k | neighbours) over 0 <= β <= 5, by Newton's method."""
    observed = sum(
        float(np.vdot(responsibilities[batch].astype(np.float64, copy=False), disagreement[batch]))
        for batch in gen_batches(len(disagreement), _ROWS)
    )
    return _newton_smoothness(observed, disagreement, start)


def _newton_smoothness(observed: float, disagreement: np.ndarray, start: float) -> float:
    """The same, given Σ_ik R_ik (d_i - s_ik)."""
    rows, counts = distinct_rows(disagreement)
    low, high, beta = 0.0, MAX_SMOOTHNESS, start
    for _ in range(50):
        p = np.exp(log_prior(rows, beta))
        expected = np.sum(p * rows, axis=1)
        slope = -0.5 * (observed - counts @ expected)
        curvature = -0.25 * counts @ np.sum(p * (rows - expected[:, None]) ** 2, axis=1)
        # The slope decreases in β: keep the bracket of its zero, and bisect when Newton leaves it.
        low, high = (beta, high) if slope > 0 else (low, beta)
        step = beta - slope / curvature if curvature < 0 else np.inf
        new = step if low <= step <= high else 0.5 * (low + high)
        if abs(new - beta) < 1e-6:
            return float(new)
        beta = new
    return float(beta)


def smoothness_of(field: Field, labels: np.ndarray) -> float:
    """Smoothness β under which labels 0..K-1 (n,) are most likely, given those of their neighbours."""
    n_classes = int(labels.max()) + 1
    if n_classes < 2 or not field.graph.nnz:
        return 0.0
    disagreement = field.disagreement(labels, n_classes)
    observed = float(np.sum(disagreement[np.arange(len(labels)), labels], dtype=np.float64))
    return _newton_smoothness(observed, disagreement, 1.0)


def posterior(u: np.ndarray, disagreement: np.ndarray, smoothness: float) -> tuple[np.ndarray, float]:
    """Responsibilities, in place of the energies u, and Σ_i log Σ_k exp(-u_ik - β/2 (d_i - s_ik))."""
    evidence = 0.0
    for batch in gen_batches(len(u), _ROWS):
        joint = -0.5 * smoothness * disagreement[batch] - u[batch]
        top = joint.max(axis=1, keepdims=True)
        R = np.exp(joint - top)
        total = R.sum(axis=1, keepdims=True)
        u[batch] = R / total
        evidence += float((top + np.log(total)).sum())
    return u, evidence


def infer_from_neighbors(
    graph: sp.csr_matrix, responsibilities: np.ndarray, known: np.ndarray, smoothness: float
) -> np.ndarray:
    """Responsibilities of spots without scores, from the field alone: as if all energies were equal.

    Parameters
    ----------
    graph
        (n, n) neighbourhood graph of all spots.
    responsibilities
        (m, K) of the spots with scores.
    known
        (n,) bool, which spots these are.
    smoothness
        β of the field.

    Returns
    -------
    (n, K); a spot is judged by the domains of those of its neighbours that have scores, and gets equal
    probabilities when it has none.
    """
    if known.all():
        return responsibilities
    n_classes = responsibilities.shape[1]
    labels = one_hot(responsibilities.argmax(axis=1), n_classes)
    agreement = graph[~known][:, known] @ labels
    everything = np.empty((len(known), n_classes), dtype=responsibilities.dtype)
    everything[known] = responsibilities
    everything[~known] = np.exp(log_prior(-agreement, smoothness))
    return everything


def distinct_rows(D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of D without most of their repetitions, and how often each stands for one of D.

    Spots differ in few ways in how many neighbours they have in which class: a few hundred rows stand for
    any number of spots. Equal rows may stay apart (rounding of the keys): sums over all rows do not change.
    """
    weights, distinct, counts = np.random.default_rng(0).random(D.shape[1]), [], []
    for batch in gen_batches(len(D), _ROWS):
        _, first, n_equal = np.unique(D[batch] @ weights, return_index=True, return_counts=True)
        distinct.append(D[batch][first].astype(np.float64))
        counts.append(n_equal)
    return np.concatenate(distinct), np.concatenate(counts)
