"""Write the numbers of README and docs from the tables.  (make numbers; `--check` only tells what differs)

In a text, `<!--= TABLE column=value ... COLUMN [mean|min|max|sd] FORMAT-->0.52<!--/-->` is a number. It is
the COLUMN of the rows of benchmarks/results/TABLE.csv in which every column has the value (or one of several,
"a|b"), or what is asked of it if there are several rows, in Python's FORMAT. `<!--table NAME-->` and
`<!--/table-->` enclose a table that a function here makes.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("README.md", "docs/transfer.md", "docs/method.md", "docs/large.md")
NUMBER = re.compile(r"<!--= (.*?)-->(.*?)<!--/-->", re.DOTALL)
TABLE = re.compile(r"<!--table (\S+)-->.*?<!--/table-->", re.DOTALL)
MANY: dict[str, Callable[[pd.Series], float]] = {
    "mean": pd.Series.mean,
    "min": pd.Series.min,
    "max": pd.Series.max,
    "sd": pd.Series.std,
}


@cache
def results(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "benchmarks" / "results" / f"{name}.csv", dtype={"commit": str})


def rows(name: str, **wanted: str) -> pd.DataFrame:
    table = results(name)
    for column, value in wanted.items():
        table = table[table[column].astype(str).isin(value.split("|"))]
    return table


def number(query: str) -> str:
    """The number that a query asks for, as text."""
    name, *words, shown = shlex.split(query)
    wanted = dict(word.split("=", 1) for word in words if "=" in word)
    column, *how = (word for word in words if "=" not in word)
    values = rows(name, **wanted)[column]
    if values.empty or (not how and len(values) != 1):
        raise ValueError(
            f"{query!r} means {len(values)} rows; say which, or ask for one of {', '.join(MANY)}"
        )
    value = MANY[how[0]](values) if how else values.iloc[0]
    return written(value, shown)


def written(value: float, shown: str = ".2f") -> str:
    text = format(value, shown)
    if not text.strip("+-0.%"):
        text = text.lstrip("+-")
    return text.replace("%", " %")


def markdown(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# The tables

GROUPS = {
    "HER2+ sections, other patients as reference (6)": "HER2",
    "cortex, next slice as reference (2)": "DLPFC",
    "STARmap cortex, other animal (2)": "STARmap",
    "osmFISH, single cells as reference (1)": "osmFISH",
}
METHODS = {
    "TransST": "TransST",
    "no transfer": "without reference",
    "LDA transfer": "label transfer (LDA + neighbours' vote)",
    "BANKSY": "BANKSY",
    "SpatialLeiden": "SpatialLeiden",
    "GraphST": "GraphST",
    "PCA + GMM": "PCA + mixture",
}


def domains() -> str:
    by_tissue = (
        results("domains").groupby(["tissue", "method"])["ari"].mean().unstack("method")[list(METHODS)]
    )
    by_tissue = by_tissue.drop("olfactory bulb")  # it has no reference

    def line(name: str, part: pd.DataFrame) -> list[str]:
        cells = []
        for method in METHODS:
            seen = part[method].dropna()
            fewer = f" ({len(seen)})" if 0 < len(seen) < len(part) else ""
            cells.append("–" if seen.empty else written(seen.mean()) + fewer)
        return [name, *cells]

    body = [line(name, by_tissue[by_tissue.index.str.startswith(start)]) for name, start in GROUPS.items()]
    body.append(line(f"mean of the {len(by_tissue)}", by_tissue))
    return markdown(["", *METHODS.values()], body)


TASKS = {
    "DLPFC 151674": "cortex 151674 from its neighbour",
    "DLPFC 151676": "cortex 151676 from its neighbour",
    "STARmap BZ5": "STARmap BZ5, layers",
    "STARmap BZ9": "STARmap BZ9, layers",
    "STARmap BZ5 types": "STARmap BZ5, 15 cell types",
    "STARmap BZ9 types": "STARmap BZ9, 15 cell types",
    "osmFISH right half regions": "osmFISH right half, 11 regions",
    "osmFISH left half regions": "osmFISH left half, 9 regions",
    "osmFISH right half types": "osmFISH right half, 31 cell types",
    "osmFISH left half types": "osmFISH left half, 31 cell types",
}
LABEL_METHODS = {
    "TransST": "TransST",
    "no transfer": "without reference",
    "LDA": "LDA",
    "LDA transfer": "LDA + neighbours' vote",
    "kNN transfer": "kNN + vote",
    "logistic regression": "logistic regression",
    "scANVI": "scANVI",
    "Seurat": "Seurat",
}


def labels() -> str:
    table = results("labels_means").set_index("tissue")[list(LABEL_METHODS)].loc[list(TASKS)].round(2)
    best = table.max(axis=1)
    body = [
        [TASKS[name], *(f"**{value:.2f}**" if value == best[name] else f"{value:.2f}" for value in values)]
        for name, values in table.iterrows()
    ]
    return markdown(["", *LABEL_METHODS.values()], body)


LATTICES = {
    "Xenium breast, 50 µm bins": "Xenium 50 um",
    "Xenium breast, 25 µm bins": "Xenium 25 um",
    "HER2+ sections (6)": "HER2",
    "olfactory bulb": "olfactory bulb",
    "cortex, Visium (151676)": "DLPFC",
}
IMPUTERS = {
    "nearest": "nearest",
    "bilinear": "bilinear",
    "kernel": "kernel",
    "gp": "Gaussian process (`gp`)",
    "svd_gp": "of factors (`svd_gp`)",
    "kriging": "`kriging`",
    "s2s": "`s2s`",
    "auto": "`auto`",
}


def imputation() -> str:
    combs = rows("imputation", pattern="comb").set_index(["tissue", "method"])["pcc_mean"].unstack("method")
    body = [
        [
            name,
            *(
                written(combs.loc[combs.index.str.startswith(start), method].mean(), ".3f")
                for method in IMPUTERS
            ),
        ]
        for name, start in LATTICES.items()
    ]
    return markdown(["", *IMPUTERS.values()], body)


TIMED = {
    "TransST": "TransST, Python",
    "TransST in R": "TransST, R",
    "no transfer": "without reference, Python",
    "PCA + GMM": "scikit-learn's PCA + mixture",
}


def speed() -> str:
    table = results("speed").set_index("method").loc[list(TIMED)]
    body = [
        [TIMED[name], f"{row['seconds']:.1f} s", written(row["times_pca_gmm"]), f"{row['peak_gib']:.1f} GiB"]
        for name, row in table.iterrows()
    ]
    return markdown(["", "time", "relative", "peak memory"], body)


RUNGS = (
    "neighbouring slice",
    "another animal",
    "same slice, other half",
    "another patient",
    "single cells",
    "five other patients",
    "another organ",
)


def rungs() -> str:
    table = results("trust_means").groupby("rung")[["trust", "gain", "gain_following", "followed"]].mean()
    pairs = results("trust_means").groupby("rung").size()
    body = [
        [
            name,
            str(pairs[name]),
            written(table.loc[name, "trust"]),
            written(table.loc[name, "gain_following"], "+.2f"),
            written(table.loc[name, "gain"], "+.2f"),
            written(table.loc[name, "followed"], ".0%"),
        ]
        for name in RUNGS
    ]
    head = [
        "reference",
        "pairs",
        "trust",
        "gain, labels followed anyway",
        "gain, as the software decides",
        "followed",
    ]
    return markdown(head, body)


REFERENCES = {
    "next slice of the same cortex": "DLPFC",
    "same region, another animal (STARmap)": "STARmap",
    "five other patients (HER2+ tumours)": "HER2",
    "single cells, other classes than the domains (osmFISH)": "osmFISH",
    "all": "all",
}


def references() -> str:
    given = rows("transfer_means", experiment="b", setting="given source", method="TransST").set_index(
        "group"
    )
    body = []
    for name, group in REFERENCES.items():
        row = given.loc[group]
        gain = written(row["gain_ari"], "+.2f")
        least = f" ({written(row['least_gain'], '+.2f')})" if row["tissues"] > 1 else ""
        without = row["ari"] - row["gain_ari"]
        body.append([name, str(row["tissues"]), written(without), written(row["ari"]), gain + least])
    return markdown(["reference", "tissues", "without", "with", "gain, mean (least)"], body)


WRONG = {
    "genes permuted": "its genes permuted",
    "labels permuted": "its labels permuted",
    "unrelated tissue": "an unrelated organ",
    "given + unrelated": "good and unrelated together",
}


def wrong_references() -> str:
    table = rows("transfer_means", experiment="b", group="all", method="TransST").set_index("setting")
    body = [
        [
            f"{name} ({table.loc[setting, 'tissues']} tissues)",
            written(table.loc[setting, "gain_ari"], "+.3f"),
            written(table.loc[setting, "least_gain"], "+.3f"),
            written(table.loc[setting, "rejected"], ".0%"),
        ]
        for setting, name in WRONG.items()
    ]
    return markdown(["reference", "mean gain", "least gain", "rejected"], body)


def wrong_labels() -> str:
    table = rows("transfer_means", experiment="e", group="all").set_index("setting")
    body = [
        [
            f"{percent} %",
            written(table.loc[f"{percent} % wrong labels", "gain_ari"], "+.3f"),
            written(table.loc[f"{percent} % wrong labels", "share_of_given"], ".0%"),
        ]
        for percent in (10, 20, 30, 40)
    ]
    return markdown(["wrong", "gain", "share of the clean gain"], body)


def ceiling() -> str:
    table = results("ceiling").groupby("tissue").mean(numeric_only=True)
    names = {
        "HER2+ tumours (6)": "HER2",
        "cortex (2)": "DLPFC",
        "STARmap (2)": "STARmap",
        "osmFISH (1)": "osmFISH",
    }
    columns = ["TransST", "mixture from truth", "own labels"]
    body = [
        [name, *(written(table.loc[table.index.str.startswith(start), column].mean()) for column in columns)]
        for name, start in names.items()
    ]
    return markdown(["tissues", "TransST", "mixture from the truth", "taught by own labels"], body)


def gain_of(experiment: str, group: str, setting: str) -> str:
    found = rows("transfer_means", experiment=experiment, group=group, setting=setting, method="TransST")
    return written(found["gain_ari"].item(), "+.2f")


KEPT = ("rows", "counts")


def thin_references() -> str:
    def line(part: str) -> list[str]:
        settings = [
            ("d", f"{part} of the {what}") if part != "all" else ("b", "given source") for what in KEPT
        ]
        return [part, *(gain_of(e, group, s) for e, s in settings for group in ("DLPFC", "STARmap"))]

    head = ["kept", *(f"{what}: {group}" for what in KEPT for group in ("cortex", "STARmap"))]
    return markdown(head, [line(part) for part in ("all", "1/4", "1/16", "1/64")])


def few_genes() -> str:
    def line(genes: str) -> list[str]:
        experiment, setting = ("b", "given source") if genes == "all" else ("i", f"{genes} genes")
        return [genes, *(gain_of(experiment, group, setting) for group in ("DLPFC", "HER2"))]

    return markdown(["genes", "cortex", "HER2"], [line(genes) for genes in ("all", "1000", "300", "100")])


def found_wrong_labels() -> str:
    table = results("label_noise").groupby(["kind", "percent"]).mean(numeric_only=True)
    body = [
        [
            f"{percent} % {kind}" if percent else "none",
            written(row["rate"], ".0%"),
            written(row["called"], ".0%"),
            *(written(row[what]) if percent else "" for what in ("precision", "recall")),
        ]
        for (kind, percent), row in table.iterrows()
    ]
    return markdown(["labels wrong", "rate found", "rows suspected", "precision", "recall"], body)


def naming() -> str:
    table = results("naming_rates")
    shares = ("right", "wrong", "unknown")
    return markdown(
        ("tissue", "case", *shares, "domains"),
        (
            (row.tissue, row.case, *(written(row[share]) for share in shares), str(row.domains))
            for _, row in table.iterrows()
        ),
    )


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        domains,
        labels,
        imputation,
        speed,
        rungs,
        references,
        wrong_references,
        wrong_labels,
        ceiling,
        thin_references,
        few_genes,
        found_wrong_labels,
        naming,
    )
}


def filled(text: str) -> str:
    """The text with its numbers and tables as the results have them."""
    text = NUMBER.sub(lambda m: f"<!--= {m[1]}-->{number(m[1])}<!--/-->", text)
    return TABLE.sub(lambda m: f"<!--table {m[1]}-->\n\n{TABLES[m[1]]()}\n\n<!--/table-->", text)


def main() -> None:
    differ = []
    for name in TEXTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            differ.append(name)
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    if differ:
        print("numbers are not those of the tables in: " + ", ".join(differ))
    sys.exit(int(bool(differ) and "--check" in sys.argv))


if __name__ == "__main__":
    main()
