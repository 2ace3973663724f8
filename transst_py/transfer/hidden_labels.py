"""How best to carry labels over, learnt on sources whose labels are hidden and predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from transst_py.tissue.graph import averaged
from transst_py.transfer.discriminant import Discriminant, Moments

__all__ = [
    "FEATURE_ROUNDS",
    "LABEL_ROUNDS",
    "MIN_TRUST",
    "N_FOLDS",
    "N_PLACES",
    "SHRINKAGE",
    "LabelledScores",
    "hidden_scores",
    "teachers",
    "weighted",
]

FEATURE_ROUNDS = (0, 1, 2, 4, 8, 16)
LABEL_ROUNDS = (0, 1, 2, 4)
# Of the covariance within classes. Between .1 and .4 nothing changes by more than .01 (ARI).
SHRINKAGE = 0.2
# A setting whose score is lower by this much has a say of 1/e.
_SCORE_SCALE = 0.02
_MIN_WEIGHT = 0.01
# Matched tissues have a trust of .48 and more, other patients' tumours and single cells of .27 and less
# (benchmarks/results/trust.csv); this is in the middle of the gap.
MIN_TRUST = 0.35
# A source of this relevance or less cannot be trusted, whatever its score: it teaches only if no other does.
_MIN_RELEVANCE = MIN_TRUST**0.5
# A source is cut into places, of which a quarter is hidden at a time.
N_PLACES = 16
N_FOLDS = 4
# Fewer rows, in a place or a hidden part, tell nothing; more in a place are not needed.
_MIN_ROWS = 10
_MAX_ROWS = 1250


@dataclass
class LabelledScores:
    """Labelled rows of one source.

    Attributes
    ----------
    scores
        (n, c) on the components that all sources and the target share.
    codes
        (n,) class of each row.
    believed
        (n,) bool, rows whose label is believed; the others are neighbours only.
    relevance
        Of the source for the target.
    graph
        (n, n) neighbourhood graph, and
    positions
        (n, 2) or (n, 3), of rows that have a place; else `None`.
    """

    scores: np.ndarray
    codes: np.ndarray
    believed: np.ndarray
    relevance: float
    graph: sp.csr_matrix | None = None
    positions: np.ndarray | None = None


def teachers(sources: Mapping[Any, LabelledScores]) -> dict[Any, LabelledScores]:
    """Sources that teach: those relevant enough to be trusted, of enough rows to be tested, with positions.

    What none of them has is not asked for.
    """
    chosen = dict(sources)
    for asked in (
        lambda S: S.relevance > _MIN_RELEVANCE,
        lambda S: S.believed.sum() >= N_FOLDS * _MIN_ROWS,
        lambda S: S.graph is not None,
    ):
        chosen = {name: S for name, S in chosen.items() if asked(S)} or chosen
    return chosen


def hidden_scores(
    sources: Mapping[Any, LabelledScores], n_classes: int, seed: int
) -> tuple[str, pd.DataFrame]:
    """Score every setting where labels were hidden.

    Returns
    -------
    What was hidden ("places", "sources" or "rows"); and adjusted Rand indices, a row for each pair of rounds,
    of the components and of the probabilities, a column for each source; no row where too few rows can tell.
    """
    several = len(sources) > 1
    sampled = [_sample(S, several, seed) for S in sources.values()]
    placed = sampled[0][0].graph is not None
    hidden = "sources" if several else "places" if placed else "rows"
    pairs = [(r, v) for r in FEATURE_ROUNDS for v in LABEL_ROUNDS] if placed else [(0, 0)]
    index = pd.MultiIndex.from_tuples(pairs, names=["feature_rounds", "label_rounds"])
    tests = [(s, rows) for s, (_, parts) in enumerate(sampled) for rows in parts if rows.sum() >= _MIN_ROWS]
    if len(tests) < 2:
        return hidden, pd.DataFrame(columns=list(sources), index=index[:0], dtype=np.float64)
    found = pd.DataFrame(0.0, index=index, columns=range(len(tests)))
    features, done = [S.scores for S, _ in sampled], 0
    for r in dict.fromkeys(r for r, _ in pairs):
        features = [averaged_scores(S, F, r - done) for (S, _), F in zip(sampled, features, strict=True)]
        done = r
        everything = [
            Moments.of(F[S.believed], S.codes[S.believed], n_classes)
            for (S, _), F in zip(sampled, features, strict=True)
        ]
        total = sum(everything[1:], start=everything[0])
        for t, (s, rows) in enumerate(tests):
            S, F = sampled[s][0], features[s]
            others = total - Moments.of(F[rows], S.codes[rows], n_classes)
            P, done_labels = Discriminant.fit(others, SHRINKAGE).posteriors(F), 0
            for v in [v for of_r, v in pairs if of_r == r]:
                P = averaged_scores(S, P, v - done_labels)
                done_labels = v
                found.loc[(r, v), t] = adjusted_rand_score(S.codes[rows], P[rows].argmax(axis=1))
    by_source = found.T.groupby(np.array([s for s, _ in tests])).mean().T
    by_source.columns = [list(sources)[s] for s in by_source.columns]
    return hidden, by_source.reindex(columns=list(sources))


def weighted(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean score of every setting, and the weight of its say."""
    table = scores.mean(axis=1).rename("score").reset_index()
    weight = np.exp((table["score"] - table["score"].max()) / _SCORE_SCALE)
    weight = (weight / weight.sum()).where(weight / weight.sum() >= _MIN_WEIGHT, 0.0)
    return table.assign(weight=weight / weight.sum()).set_index(scores.index, drop=False)


def averaged_scores(S: LabelledScores, F: np.ndarray, rounds: int) -> np.ndarray:
    return F if S.graph is None else averaged(S.graph, F, rounds)


def _sample(S: LabelledScores, whole: bool, seed: int) -> tuple[LabelledScores, list[np.ndarray]]:
    """Rows that are enough to score settings by, and their parts to hide, as (n,) bool masks.

    Every part is several places apart, so that hardly a region is hidden as a whole. All rows of a large
    source would take long; those nearest to the centres of the places are connected, too.
    """
    n, rng = len(S.codes), np.random.default_rng(seed)
    some = rng.permutation(n)[: N_PLACES * _MAX_ROWS]
    if S.positions is None:
        chosen = np.sort(some)
        fold = rng.permutation(len(chosen)) % N_FOLDS
    else:
        n_places = int(np.clip(n // _MIN_ROWS, 1, N_PLACES))
        centres = KMeans(n_places, n_init=3, random_state=seed).fit(S.positions[some])
        place, distance = centres.predict(S.positions), centres.transform(S.positions).min(axis=1)
        near = [
            np.flatnonzero(place == k)[np.argsort(distance[place == k], kind="stable")[:_MAX_ROWS]]
            for k in range(n_places)
        ]
        chosen = np.sort(np.concatenate(near))
        fold = (rng.permutation(n_places) % N_FOLDS)[place[chosen]]
    part = LabelledScores(
        S.scores[chosen],
        S.codes[chosen],
        S.believed[chosen],
        S.relevance,
        None if S.graph is None else S.graph[chosen][:, chosen],
        None if S.positions is None else S.positions[chosen],
    )
    if whole:
        return part, [part.believed]
    return part, [(fold == k) & part.believed for k in range(N_FOLDS)]
