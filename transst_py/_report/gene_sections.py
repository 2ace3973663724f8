"""Sections on genes: markers of the domains, and imputed expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from transst_py import pl
from transst_py._report.page import Picture, Row, Section, Table, draw, number
from transst_py._report.subject import Subject
from transst_py.pl._genes import find_genes, shown_names
from transst_py.pl._markers import marker_table, top_markers

__all__ = ["imputation", "markers"]

N_MARKERS = 10
MAX_IMPUTED_GENES = 3
DOUBLE_DIPPING = (
    "The domains were found on the same counts that their genes were tested on, so the p-values are too "
    "small: rank genes by them, do not report them as error rates."
)
COLUMNS = (
    "The tables have the best genes of each domain: log fold change, score of the test, adjusted "
    "p-value, and the share of spots that have the gene inside the domain and outside."
)


def markers(subject: Subject) -> Section:
    """The genes of each domain."""
    title = "Marker genes"
    if not _ranked(subject):
        return Section("markers", title, advice=subject.advice["markers"])
    table = marker_table(subject.adata, subject.key)
    params = subject.adata.uns[f"{subject.key}_markers_params"]
    pictures = []
    if any(top_markers(table, 1).values()):
        picture = draw(
            lambda: pl.markers(subject.adata, key=subject.key, gene_symbols=subject.gene_symbols),
            "Dot plot of the best marker genes of every domain in all domains.",
            vector=True,
        )
        pictures.append(picture)
    names = pd.Series(shown_names(subject.adata, subject.gene_symbols), index=subject.adata.var_names)
    shown = table.assign(name=names.reindex(table["gene"].astype(str)).to_numpy())
    facts = {
        "Test": str(params["method"]),
        "Against": str(params["reference"]),
        "Layer": str(params["layer"]),
        "Normalisation": str(params["normalization"]),
    }
    return Section(
        "markers",
        title,
        text=[COLUMNS],
        warnings=[DOUBLE_DIPPING] if params["independent_counts"] == "no" else [],
        facts=facts,
        pictures=pictures,
        tables=[_table_of(shown, name, color) for name, color in subject.colors.items()],
    )


def _ranked(subject: Subject) -> bool:
    name = f"{subject.key}_markers"
    return subject.fit is not None and name in subject.adata.uns and f"{name}_params" in subject.adata.uns


def _table_of(table: pd.DataFrame, name: str, color: str) -> Table:
    """The best genes of a domain; against several others, each gene's worst comparison."""
    of_domain = table[(table["domain"].astype(str) == name) & (table["score"] > 0)]
    worst = of_domain.sort_values("score", kind="stable").drop_duplicates("gene")
    best = worst.sort_values("score", ascending=False, kind="stable").head(N_MARKERS)
    rows = [
        Row(
            str(gene["name"]),
            [
                f"{gene['log_fold_change']:.2f}",
                f"{gene['score']:.1f}",
                f"{gene['p_adjusted']:.1e}",
                f"{gene['fraction_in']:.0%}",
                f"{gene['fraction_out']:.0%}",
            ],
        )
        for _, gene in best.iterrows()
    ]
    return Table(
        f"Domain {name}", ["Gene", "Log2 FC", "Score", "Adj. p", "Inside", "Outside"], rows, color=color
    )


def imputation(subject: Subject) -> Section:
    """What was imputed, how, and how it looks."""
    title, adata = "Imputed expression", subject.imputed
    if adata is None:
        return Section("imputation", title, advice=subject.advice["imputation"])
    record = adata.uns["imputation"]
    measured = adata.obs["measured"].to_numpy(dtype=bool)
    facts = {
        "Method": str(record["method"]),
        "Measured spots": f"{measured.sum():,}",
        "Imputed": f"{(~measured).sum():,}",
        "Genes": f"{np.size(record['genes']):,}",
        "Scale": str(record["scale"]),
        "Seed": str(record["random_state"]),
    }
    pictures = [_panel(subject, adata, gene) for gene in _shown_genes(subject, adata)]
    text = ["Imputed values are estimates from other spots: to look at, not to test on."]
    return Section("imputation", title, text, facts=facts, pictures=pictures, tables=[_candidates(record)])


def _candidates(record: Mapping[str, Any]) -> Table:
    table = pd.DataFrame(record["candidates"])
    chosen = str(record["method"])
    rows = [
        Row(
            f"{row['method']}" + (" (chosen)" if row["method"] == chosen else ""),
            [number(float(row["relative_error"])), number(int(row["n_best"])), f"{row['seconds']:.1f}"],
        )
        for _, row in table.iterrows()
    ]
    columns = ["Method", "Relative error", "Genes it is best for", "Seconds"]
    return Table("Methods, compared at held-out spots (1 is the error of the mean)", columns, rows)


def _shown_genes(subject: Subject, adata: AnnData) -> list[str]:
    """Take the genes asked for, else the best markers, else the gene with the most expression."""
    if subject.genes is not None:
        return find_genes(adata, subject.genes, subject.symbols_of(adata))
    imputed = {str(gene) for gene in np.atleast_1d(adata.uns["imputation"]["genes"])}
    if _ranked(subject):
        best = top_markers(marker_table(subject.adata, subject.key), N_MARKERS).values()
        firsts = [next((gene for gene in genes if gene in imputed), None) for genes in best]
        found = [gene for gene in firsts if gene is not None][:MAX_IMPUTED_GENES]
        if found:
            return found
    means = pd.Series(np.asarray(adata.layers["imputed"].mean(axis=0)).ravel(), index=adata.var_names)
    return [str(means.idxmax())]


def _panel(subject: Subject, adata: AnnData, gene: str) -> Picture:
    sample_key, symbols = adata.uns["imputation"].get("sample_key"), subject.symbols_of(adata)
    name = shown_names(adata, symbols)[adata.var_names.get_loc(gene)]
    return draw(
        lambda: pl.imputation(
            adata, gene, gene_symbols=symbols, spatial_key=subject.spatial_key, sample_key=sample_key
        ),
        f"Two maps of {name}{'' if sample_key is None else ' for each sample'}: at the measured spots, and "
        "at all spots after imputation.",
    )
