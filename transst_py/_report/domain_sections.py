"""Sections on the domains and on the fit that found them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from transst_py import pl, tl
from transst_py._report.page import Picture, Row, Section, Table, draw, number
from transst_py._report.subject import Subject
from transst_py.pl._agreement import agreement_table
from transst_py.tl._record import numbers

__all__ = [
    "agreement",
    "choice_of_number",
    "confidence",
    "convergence",
    "domain_map",
    "run",
    "summary",
    "transfer",
]

UNSURE = 0.5
TRANSFERRED = {
    "nothing": "nothing: there was no source",
    "loadings": "the loadings of its factors",
    "encoder": "the labels, to which the network was trained",
    "classes": "the loadings of its factors, and its classes",
}


def summary(subject: Subject) -> Section:
    """How many of what, and what to beware of."""
    adata, fit = subject.adata, subject.fit
    facts = {"Spots": f"{adata.n_obs:,}", "Genes": f"{adata.n_vars:,}"}
    if subject.sample_key is not None:
        facts["Samples"] = f"{adata.obs[subject.sample_key].nunique():,}"
    if fit is None:
        return Section("summary", "Summary", facts=facts)
    facts |= {
        "Genes in the model": f"{np.size(fit['genes']):,}",
        "Domains": f"{len(subject.names)}",
        **_source_facts(fit),
    }
    warnings = [str(text) for text in np.atleast_1d(fit["warnings"])]
    facts["Warnings"] = f"{len(warnings) or 'none'}"
    return Section("summary", "Summary", warnings=warnings, facts=facts, tables=[_table_of_sizes(subject)])


def _source_facts(fit: Mapping[str, Any]) -> dict[str, str]:
    facts = {}
    if "source" in fit:
        facts["Source"] = _listed(fit["source"]["names"])
    if "classes" in fit.get("source", {}):
        facts["Classes of the source"] = _listed(fit["source"]["classes"])
    return facts | {"Transferred": TRANSFERRED[str(fit["transfer"]["transferred"])]}


def _listed(values: Any) -> str:
    return ", ".join(map(_text, np.atleast_1d(values).ravel()))


def _text(value: Any) -> str:
    """Render one value of a record."""
    is_number = isinstance(value, (float, np.floating))
    return number(value, 6) if is_number else str(value)


def _table_of_sizes(subject: Subject) -> Table:
    domains = subject.domains
    counts = domains.value_counts()
    sure = subject.adata.obs.get(f"{subject.key}_confidence", pd.Series(np.nan, index=domains.index))
    rows = [
        Row(
            str(name),
            [
                number(int(counts[name])),
                f"{counts[name] / len(domains):.1%}",
                _fixed(sure[domains == name].mean(), 3),
            ],
            color,
        )
        for name, color in zip(domains.cat.categories, subject.colors.values(), strict=True)
    ]
    return Table("Domains", ["Domain", "Spots", "Share", "Mean confidence"], rows)


def _fixed(value: float, places: int) -> str:
    return "" if np.isnan(value) else f"{value:.{places}f}"


def domain_map(subject: Subject) -> Section:
    """Where the domains lie."""
    if subject.fit is None:
        return _to_do(subject, "domains", "Domains")
    if not subject.has_positions:
        return _without_positions(subject, "domains", "Domains")
    picture = draw(
        lambda: pl.domains(subject.adata, title="", **subject.map_options),
        f"Map of the tissue: {subject.adata.n_obs} spots in the colours of {len(subject.names)} domains.",
    )
    return Section("domains", "Domains", pictures=[picture])


def _to_do(subject: Subject, name: str, title: str) -> Section:
    return Section(name, title, advice=subject.advice[name])


def _without_positions(subject: Subject, name: str, title: str) -> Section:
    text = f"There is no map, as the spots have no positions ({subject.spatial_key})."
    return Section(name, title, text=[text])


def confidence(subject: Subject) -> Section:
    """How sure the domains are."""
    title, column = "Confidence", f"{subject.key}_confidence"
    if subject.fit is None or column not in subject.adata.obs:
        return _to_do(subject, "confidence", title)
    values = subject.adata.obs[column].to_numpy(dtype=np.float64)
    unsure = int((values < UNSURE).sum())
    text = (
        "The probability of each spot's domain, given the spot itself and its neighbours' domains: "
        f"{np.nanmean(values):.2f} on average, below {UNSURE:g} in {unsure:,} of {len(values):,} spots."
    )
    if not subject.has_positions:
        return Section("confidence", title, text=[text])
    picture = draw(
        lambda: pl.confidence(subject.adata, title="", **subject.map_options),
        f"Map of the tissue: {len(values)} spots coloured by confidence, from 0 to 1.",
    )
    return Section("confidence", title, text=[text], pictures=[picture])


def choice_of_number(subject: Subject) -> Section:
    """Why that many domains."""
    name, title = "n_domains", "Number of domains"
    if subject.fit is None or "n_domains" not in subject.fit:
        return _to_do(subject, name, title)
    record = subject.fit["n_domains"]
    table = pd.DataFrame({column: numbers(values) for column, values in record["table"].items()})
    criterion = str(record["criterion"])
    chosen = int(record["chosen"])
    picture = draw(
        lambda: pl.n_domains(subject.adata, key=subject.key),
        f"Curves over {len(table)} numbers of domains: the criterion is smallest at {chosen}.",
        vector=True,
    )
    rows = [
        Row(
            f"{int(row['n_domains'])}" + (" (chosen)" if row["n_domains"] == chosen else ""),
            [
                f"{row['log_likelihood']:,.1f}",
                f"{row[criterion]:,.1f}",
                _fixed(row["stability"], 2),
                _fixed(row["stability_sd"], 2),
            ],
        )
        for _, row in table.iterrows()
    ]
    columns = ["Domains", "Log-likelihood", f"Criterion ({criterion})", "Stability", "Its SD"]
    text = (
        "The criterion is smallest at the chosen number. Stability is the agreement of fits to random parts."
    )
    return Section(name, title, [text], pictures=[picture], tables=[Table("Candidates", columns, rows)])


def transfer(subject: Subject) -> Section:
    """How much was taken from the source."""
    title = "Transfer from the source"
    if subject.fit is None or "source" not in subject.fit:
        return _to_do(subject, "transfer", title)
    pictures = [
        draw(
            lambda: pl.transfer_report(subject.adata, key=subject.key)[0],
            "Bars of the relevance of every source and the trust in its labels; a table of the scores of "
            "hidden labels; bars of the correlation of every domain with the class that is most alike.",
            vector=True,
        )
    ]
    tables = []
    if np.size(subject.fit["transfer"]["cv_penalties"]):
        picture, table = _penalties(subject, subject.fit["transfer"])
        pictures.append(picture)
        tables.append(table)
    words = tl.transfer_report(subject.adata, key=subject.key).words
    return Section("transfer", title, words, pictures=pictures, tables=tables)


def _penalties(subject: Subject, record: Mapping[str, Any]) -> tuple[Picture, Table]:
    """Curve and table of the held-out error over the penalty that draws the loadings to the source's."""
    penalties, chosen = numbers(record["cv_penalties"]), float(record["penalty"])
    errors = np.asarray(record["cv_errors"], dtype=np.float64).reshape(-1, len(penalties)).mean(axis=0)
    picture = draw(
        lambda: pl.transfer_path(subject.adata, key=subject.key),
        f"Curve of the held-out error over {len(penalties)} penalties, from no to full transfer; "
        f"penalty {number(chosen)} was chosen.",
        vector=True,
    )
    rows = [
        Row(number(penalty), [meaning, f"{error:.5f}"])
        for penalty, error in zip(penalties, errors, strict=True)
        if (meaning := _meaning(penalty, chosen))
    ]
    table = Table("Held-out error (share of variance unexplained)", ["Penalty", "Meaning", "Error"], rows)
    return picture, table


def _meaning(penalty: float, chosen: float) -> str:
    words = {0.0: ["no transfer"], np.inf: ["full transfer"]}.get(penalty, [])
    return ", ".join([*words, "chosen"] if penalty == chosen else words)


def convergence(subject: Subject) -> Section:
    """Whether the fit came to rest."""
    if subject.fit is None:
        return _to_do(subject, "convergence", "Convergence")
    models = {}
    if np.size(subject.fit["mixture"]["log_likelihoods"]):  # none where the spots follow the source's labels
        models["spatial mixture"] = subject.fit["mixture"]
    if "log_likelihoods" in subject.fit.get("source", {}):
        models["source model"] = subject.fit["source"]
    facts = {
        f"The {name}": f"{'converged' if model['converged'] else 'NOT converged'} after "
        f"{np.size(model['log_likelihoods'])} iterations"
        for name, model in models.items()
    }
    picture = draw(
        lambda: pl.convergence(subject.adata, key=subject.key),
        f"Curves of the log-likelihood over the iterations: {' and '.join(models)}.",
        vector=True,
    )
    return Section("convergence", "Convergence", facts=facts, pictures=[picture])


def agreement(subject: Subject) -> Section:
    """How the domains agree with given labels, but for those that the fit was told to leave out."""
    title = "Agreement with labels"
    if subject.fit is None or subject.labels is None:
        return _to_do(subject, "agreement", title)
    labels = subject.labels
    excluded = [str(name) for name in subject.fit["params"].get("exclude_labels", ())]
    counts, index = agreement_table(subject.adata, subject.key, labels, excluded)
    picture = draw(
        lambda: pl.agreement(subject.adata, key=subject.key, labels=labels, exclude_labels=excluded),
        f"Heat map of {len(counts)} labels in {counts.shape[1]} domains; the numbers are in the table.",
        vector=True,
    )
    rows = [Row(name, [number(int(n)) for n in row]) for name, row in counts.iterrows()]
    table = Table("Spots with each label, by domain", [labels, *counts.columns], rows)
    facts = {"Adjusted Rand index": f"{index:.3f}", "Spots compared": f"{counts.to_numpy().sum():,}"}
    if excluded:
        facts["Labels left out"] = ", ".join(excluded)
    return Section("agreement", title, facts=facts, pictures=[picture], tables=[table])


def run(subject: Subject) -> Section:
    """Everything one needs to repeat the fit."""
    title = "Parameters, versions and timings"
    if subject.fit is None:
        return _to_do(subject, "run", title)
    fit = subject.fit
    facts = {"Seed": _text(fit["params"]["random_state"])}
    facts |= {f"Graph: {name.replace('_', ' ')}": _listed(value) for name, value in fit["graph"].items()}
    seconds = {name: f"{float(value):.1f}" for name, value in fit["seconds"].items()}
    tables = [
        _pairs("Parameters", "Parameter", "Value", fit["params"]),
        _pairs("Versions", "Software", "Version", fit["versions"]),
        _pairs("Timings", "Stage", "Seconds", seconds),
    ]
    return Section("run", title, facts=facts, tables=tables)


def _pairs(caption: str, key: str, value: str, values: Mapping[str, Any]) -> Table:
    rows = [Row(str(name), [_listed(item)]) for name, item in values.items()]
    return Table(caption, [key, value], rows, text=True)
