"""How often is a domain named after a class that it is not, above all where the source lacks its class?

    python benchmarks/naming.py [--data FOLDER] [--tissues HER2 STARmap] [--seeds 2] [--out FOLDER]

Every annotated tissue with labelled sources of the same kinds of classes, once with all classes and once
without each of them in turn (its rows have no label then). A domain is of the class that most of its
annotated spots have; at least half of them, and twenty, or it is not counted. Its name is right, wrong, or
"unknown". One row per domain goes to naming.csv, rates by tissue and by whether the class was taken out to
naming_rates.csv.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from records import measured
from tissues import Tissue, tissues

import transst_py as tst

HERE = Path(__file__).parent
MIN_SPOTS, MIN_SHARE = 20, 0.5


def without(sources: dict[str, ad.AnnData], left_out: str | None) -> dict[str, ad.AnnData]:
    """Sources whose rows of a class have no label."""
    if left_out is None:
        return sources
    copies = {name: source.copy() for name, source in sources.items()}
    for source in copies.values():
        labels = source.obs["label"].astype(object)
        source.obs["label"] = labels.where(labels != left_out)
    return {name: source for name, source in copies.items() if source.obs["label"].nunique() > 1}


def named_domains(tissue: Tissue, left_out: str | None, seed: int) -> pd.DataFrame:
    """A row for every domain of a fit: its class, its name, what it resembles."""
    target = tissue.target.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tst.tl.transst(
            target,
            without(tissue.sources, left_out),
            source_labels="label",
            n_domains=tissue.n_domains,
            random_state=seed,
        )
    table = tst.tl.transfer_report(target).domains
    truth = target.obs["label"].astype(object)
    rows = []
    for row in table.to_dict("records"):
        of_domain = truth[(target.obs["transst"] == row["domain"]).to_numpy()].dropna()
        counts = of_domain.value_counts()
        share = counts.iloc[0] / len(of_domain) if len(counts) else 0.0
        counted = len(of_domain) >= MIN_SPOTS and share >= MIN_SHARE
        rows.append({**row, "class": counts.index[0] if counted else None, "share": share})
    transferred = target.uns["transst"]["transfer"]["transferred"]
    return pd.DataFrame(rows).assign(
        tissue=tissue.name, left_out=left_out or "none", seed=seed, transferred=transferred
    )


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Shares of right, wrong and no names, by tissue, for domains whose class the source has and has not."""
    counted = table[table["class"].notna()].copy()
    counted["case"] = np.where(counted["class"] == counted["left_out"], "class taken out", "class there")
    counted.loc[counted["left_out"] == "none", "case"] = "all classes"
    parts = counted.apply(lambda row: row["class"] in row["name"].split(" + "), axis=1)
    counted["unknown"] = counted["name"] == "unknown"
    counted["right"] = parts
    counted["wrong"] = ~counted["right"] & ~counted["unknown"]
    kind = counted["tissue"].str.split().str[0]
    grouped = counted.groupby([kind, "case"])
    return grouped[["right", "wrong", "unknown"]].mean().assign(domains=grouped.size()).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    found = []
    for tissue in tissues(args.data, args.tissues):
        shared = {c for s in tissue.sources.values() for c in s.obs["label"].dropna().unique()}
        classes = [c for c in tissue.target.obs["label"].dropna().unique() if c in shared]
        if len(classes) < 2:
            print(f"left out, {tissue.name}: its sources have other classes", flush=True)
            continue
        for left_out in (None, *sorted(classes)):
            found += [named_domains(tissue, left_out, seed) for seed in range(args.seeds)]
            print(tissue.name, left_out or "all classes", flush=True)
    table = pd.concat(found, ignore_index=True)
    table.assign(**measured()).to_csv(args.out / "naming.csv", index=False, float_format="%.4g")
    summary = rates(table)
    summary.assign(**measured()).to_csv(args.out / "naming_rates.csv", index=False, float_format="%.3f")
    print(summary.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
