"""`tl.transfer_report`: what a fit took from its sources and why, in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from transst_py._core.typing import SpatialDataLike
from transst_py.source.labels import UNKNOWN
from transst_py.tl._gate import check_anndata, check_obs_column
from transst_py.tl._record import fit_record, numbers
from transst_py.transfer.hidden_labels import MIN_TRUST
from transst_py.transfer.label_transfer import MIN_COVERAGE, REGION_ROUNDS

__all__ = ["TransferReport", "transfer_report"]

SUSPICIOUS = ("source", "row", "given", "likely", "probability")
SMOOTHING = ("feature_rounds", "label_rounds", "score", "weight")
# Scores that differ by less are the same.
SCORE_TIE = 0.01
HIDDEN = {
    "places": "in a quarter of the places of the source at a time",
    "sources": "in one source at a time",
    "rows": "of a quarter of its rows at a time",
}


@dataclass
class TransferReport:
    """What was transferred; printed, it is the words.

    Attributes
    ----------
    words
        One finding each.
    sources
        `source`, `shared_genes` (how many of the target's it has), `relevance` (0 chance, 1 a neighbouring
        slice), `label_dependence` (0 labels in random order, 1 classes that do not overlap; NaN where too few
        rows can tell), `random_labels`, `used`, `label_noise` (estimated share of wrong labels; NaN where
        labels were not checked), `hidden_score` (adjusted Rand index of labels that were hidden and
        predicted) and `trust` in the labels (score x relevance²); NaN where the labels were not tested.
    suspicious
        Rows whose label is more likely wrong than right: `source`, `row`, `given`, `likely`, `probability`.
    domains
        `domain`, `n_spots`, `name` (a class of the source, or "unknown"), `likely` (the class most alike),
        `correlation` of their profiles and the `lower` end of its 95 % interval; no row where no source was
        used.
    smoothing
        Score of every way from genes to labels where labels of the sources were hidden: `feature_rounds` and
        `label_rounds` of averaging over neighbours, of the components and of the probabilities, mean `score`
        (adjusted Rand index) and `weight` of its say; no row where the labels were not tested.
    """

    words: list[str]
    sources: pd.DataFrame
    suspicious: pd.DataFrame
    domains: pd.DataFrame
    smoothing: pd.DataFrame

    def __str__(self) -> str:
        return "\n".join(f"- {sentence}" for sentence in self.words)


def transfer_report(adata: AnnData | SpatialDataLike, *, key: str = "transst") -> TransferReport:
    """Say what a fit took from its sources, and what spoke for it.

    Parameters
    ----------
    adata
        Result of `tl.transst` with a source. Of a SpatialData: its only table.
    key
        Name of the result.

    Returns
    -------
    Words and tables; nothing is written.

    Raises
    ------
    KeyError
        There is no such result, or it was fitted without a source.
    """
    adata = check_anndata(adata, in_memory=None)
    record = fit_record(adata, key)
    if "source" not in record:
        raise KeyError(f"`key`: the fit {key!r} had no source; there is nothing to report")
    labels = check_obs_column(adata, key, argument="key")
    given = record["source"]
    transfer = record["transfer"]
    names = np.atleast_1d(given["names"]).astype(str)
    sources = pd.DataFrame(
        {
            "source": names,
            "shared_genes": np.atleast_1d(np.asarray(given["shared_genes"], dtype=np.int64)),
            "relevance": numbers(given["relevance"]),
            "label_dependence": numbers(given["label_dependence"]),
            "random_labels": np.atleast_1d(np.asarray(given["random_labels"], dtype=bool)),
            "used": np.atleast_1d(np.asarray(given["used"], dtype=bool)),
            "label_noise": numbers(given["label_noise"]),
            "hidden_score": by_source(transfer.get("hidden_scores", {}), names),
            "trust": by_source(transfer.get("trust", {}), names),
        }
    )
    listed = given.get("suspicious", dict.fromkeys(SUSPICIOUS, ()))
    suspicious = pd.DataFrame({column: np.atleast_1d(listed[column]) for column in SUSPICIOUS})
    domains = _domains(record, labels)
    table = transfer.get("smoothing", dict.fromkeys(SMOOTHING, ()))
    smoothing = pd.DataFrame({column: numbers(table[column]) for column in SMOOTHING})
    smoothing = smoothing.astype({"feature_rounds": np.int64, "label_rounds": np.int64})
    words = [
        *_of_sources(sources, record),
        *_of_labels(sources, suspicious),
        *_of_loadings(transfer),
        *_of_trust(transfer, sources, smoothing),
        *_of_classes(record, domains),
    ]
    return TransferReport(words, sources, suspicious, domains, smoothing)


def by_source(values: Mapping[str, Any], names: np.ndarray) -> np.ndarray:
    """Numbers of a record, by source, (n,); NaN for a source without."""
    return np.array([float(values.get(name.replace("/", "|"), np.nan)) for name in names])


def _domains(record: Mapping[str, Any], labels: pd.Series) -> pd.DataFrame:
    if "names" not in record:
        return pd.DataFrame(columns=["domain", "n_spots", "name", "likely", "correlation", "lower", "second"])
    table = pd.DataFrame({column: np.atleast_1d(values) for column, values in record["names"].items()})
    sizes = labels.value_counts().reindex([str(k + 1) for k in range(len(table))], fill_value=0)
    table.insert(0, "domain", sizes.index.astype(str))
    table.insert(1, "n_spots", sizes.to_numpy())
    return table


def _of_sources(sources: pd.DataFrame, record: Mapping[str, Any]) -> list[str]:
    words = [_of_genes(np.size(record["genes"]), int(record["source"]["n_shared_genes"]))]
    for _, row in sources.iterrows():
        if np.isfinite(row["relevance"]):
            found = (
                f"has relevance {row['relevance']:.2f} (0 chance, 1 a neighbouring slice); {_verdict(row)}."
            )
        elif row["used"]:
            found = "was used; its relevance was not measured."
        else:
            found = (
                f"was rejected: it has only {row['shared_genes']:,} of the target's genes, and the others "
                f"(up to {sources['shared_genes'].max():,}) would lose what it lacks."
            )
        words.append(f"Source {row['source']!r} {found}")
    return words


def _of_genes(n: int, n_shared: int) -> str:
    if n_shared == n:
        return f"{n:,} genes that target and sources share are in the model."
    if not n_shared:
        return f"{n:,} genes of the target are in the model."
    return (
        f"{n:,} genes are in the model; the sources have only {n_shared:,} of them, the loadings of the "
        "others are the target's own."
    )


def _verdict(source: pd.Series) -> str:
    if source["used"]:
        return "used"
    if source["random_labels"]:
        return (
            "rejected: its labels go with its expression no better than in random order (dependence "
            f"{source['label_dependence']:.2f}; 0 is chance)"
        )
    return "rejected: too little of the target lies along its main axes"


def _of_labels(sources: pd.DataFrame, suspicious: pd.DataFrame) -> list[str]:
    rows = suspicious["source"].astype(str).value_counts()
    return [
        f"Labels of {row['source']!r}: about {100 * row['label_noise']:.0f} % seem wrong; "
        f"{rows.get(row['source'], 0)} rows are suspicious."
        for _, row in sources.iterrows()
        if np.isfinite(row["label_noise"])
    ]


def _of_loadings(transfer: Mapping[str, Any]) -> list[str]:
    penalties = numbers(transfer["cv_penalties"])
    if not len(penalties) or not (penalties == 0).any():
        return []
    errors = np.asarray(transfer["cv_errors"], dtype=np.float64).reshape(-1, len(penalties))
    chosen = float(transfer["penalty"])
    gain = 100 * (errors[:, penalties == 0] - errors[:, penalties == chosen]).ravel()
    half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
    if chosen == 0:
        return ["Loadings: the target's own predict held-out spots best; none were transferred."]
    return [
        f"Loadings: drawn to the source's with penalty {chosen:g}, which explains {gain.mean():.3f} "
        f"(+- {half:.3f}) percentage points more of held-out spots' variance than no transfer."
    ]


def _of_trust(transfer: Mapping[str, Any], sources: pd.DataFrame, smoothing: pd.DataFrame) -> list[str]:
    """How well hidden labels were predicted, whether that is enough, and what kind of labels they seem."""
    if "trust" not in transfer:
        return []
    if smoothing.empty:
        return ["Classes: too few labelled rows to test the labels; they are not followed."]
    tested = sources[np.isfinite(sources["trust"])]
    each = "; ".join(
        f"{row['source']!r} score {row['hidden_score']:.2f}, trust {row['trust']:.2f}"
        for _, row in tested.iterrows()
    )
    total, followed = float(transfer["total_trust"]), bool(transfer["follows_labels"])
    words = [
        f"Trust: labels hidden {HIDDEN[str(transfer['hidden'])]} were predicted from the others ({each}; "
        f"score: adjusted Rand index, trust: score x relevance², needed: {MIN_TRUST:.2f})."
    ]
    coverage = float(transfer.get("coverage", np.nan))
    if np.isfinite(coverage):
        words.append(
            f"Coverage: the classes explain {100 * coverage:.0f} % of what equally many groups of the "
            f"target's own spots explain of these (needed: {100 * MIN_COVERAGE:.0f} %)."
        )
    if followed:
        why = "as asked for" if total < MIN_TRUST or not np.isfinite(total) else f"with trust {total:.2f}"
        words.append(f"Classes: every spot has the class that the sources' labels give it, {why}.")
    elif total >= MIN_TRUST:
        words.append("Classes: not followed, since the target seems to have some that the sources lack.")
    else:
        words.append(f"Classes: not followed, since a trust of {total:.2f} is too little.")
    if len(smoothing) > 1:
        words.append(_kind_of_labels(smoothing))
    return words


def _kind_of_labels(smoothing: pd.DataFrame) -> str:
    best = smoothing.loc[smoothing["score"].idxmax()]
    alone = smoothing.loc[(smoothing["feature_rounds"] == 0) & (smoothing["label_rounds"] == 0), "score"]
    rounds = (smoothing[["feature_rounds", "label_rounds"]].sum(axis=1) * smoothing["weight"]).sum()
    features, labels, plain = int(best["feature_rounds"]), int(best["label_rounds"]), float(alone.iloc[0])
    score = f"score {best['score']:.2f}"
    if rounds >= REGION_ROUNDS and best["score"] - plain < SCORE_TIE:
        return f"Labels are predicted equally well with and without averaging over neighbours ({score})."
    if rounds < REGION_ROUNDS:
        return (
            "Labels look like single cells' types: averaging over neighbours does not help to predict them "
            f"({score}, without averaging {plain:.2f})."
        )
    return (
        "Labels look like tissue regions, which neighbours share: best predicted after averaging over "
        f"neighbours (the expression {features} times, the probabilities {labels} times; {score}, without "
        f"averaging {plain:.2f})."
    )


def _of_classes(record: Mapping[str, Any], domains: pd.DataFrame) -> list[str]:
    transfer = record["transfer"]
    words = []
    support = float(transfer.get("class_support", np.nan))
    likelihoods = transfer["class_likelihoods"]
    if likelihoods:
        kept = "start from the classes" if transfer["transferred"] == "classes" else "were found from scratch"
        words.append(
            f"Classes: {100 * support:.0f} % of the spots lay in domains that resemble one, so they had a "
            f"say. The domains kept {kept} (log-likelihood per spot {float(likelihoods['classes']):.3f} with "
            f"that start, {float(likelihoods['loadings']):.3f} from scratch)."
        )
    elif np.isfinite(support):
        words.append(
            f"Classes: only {100 * support:.0f} % of the spots lay in domains that resemble one beyond "
            "doubt; the classes had no say."
        )
    if len(domains):
        named = domains["name"] != UNKNOWN
        share = 100 * domains.loc[named, "n_spots"].sum() / max(domains["n_spots"].sum(), 1)
        words.append(
            f"Names: {named.sum()} of {len(domains)} domains, {share:.0f} % of the spots, bear a class's."
        )
        followed = bool(transfer.get("follows_labels", False))
        found = transfer["classes_found"] if followed else domains["name"]
        missing = sorted(
            set(np.atleast_1d(record["source"]["classes"]).astype(str))
            - set(np.atleast_1d(found).astype(str))
        )
        if missing:
            what = "No spot has the class" if followed else "No domain bears the name of"
            words.append(f"{what}: {', '.join(missing)}.")
    return words
