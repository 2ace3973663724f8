"""When are the source's classes taken over, and is that right?

    python benchmarks/class_transfer.py [--data FOLDER] [--tissues HER2 DLPFC] [--out benchmarks/results]

For every annotated tissue with a source, and again with that source's labels permuted (three times): the
spatial information of domains found with the classes, as a share of that without (the classes are kept from
`MIN_INFORMATION_RATIO` on), and the adjusted Rand index of both. To class_transfer.csv, one row per fit.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from methods import transst_record
from sklearn.metrics import adjusted_rand_score
from tissues import tissues

HERE = Path(__file__).parent
N_PERMUTED = 3


def permuted(sources: dict[str, ad.AnnData], seed: int) -> dict[str, ad.AnnData]:
    """Copies of the sources whose labels belong to other rows."""
    rng = np.random.default_rng(seed)
    copies = {name: source.copy() for name, source in sources.items()}
    for copy in copies.values():
        copy.obs["label"] = rng.permutation(copy.obs["label"].to_numpy(dtype=object))
    return copies


def measure(data: Path, only: list[str] | None) -> pd.DataFrame:
    rows = []
    for tissue in tissues(data, only):
        if not tissue.sources:
            continue
        truth = tissue.target.obs["label"]
        scored = truth.notna().to_numpy()
        for labels in ("given", *(f"permuted {seed}" for seed in range(N_PERMUTED))):
            seed = 0 if labels == "given" else int(labels.split()[1])
            sources = tissue.sources if labels == "given" else permuted(tissue.sources, seed)
            row: dict[str, object] = {"tissue": tissue.name, "labels": labels}
            for transfer in ("auto", "never", "always"):
                found, record = transst_record(tissue.target, sources, tissue.n_domains, seed, transfer)
                row[f"ari_{transfer}"] = adjusted_rand_score(truth[scored], found[scored])
                if transfer == "auto":
                    information = record["transfer"]["spatial_information"]
                    row["share"] = information["classes"] / information["loadings"]
                    row["transferred"] = record["transfer"]["transferred"]
            rows.append(row)
            print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, domains without spots: known here
        results = measure(args.data, args.tissues)
    results.to_csv(args.out / "class_transfer.csv", index=False, float_format="%.3f")
    print(
        results.groupby(results["labels"] == "given")[["ari_auto", "ari_never", "ari_always"]].mean().round(3)
    )


if __name__ == "__main__":
    main()
