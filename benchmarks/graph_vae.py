"""Does the non-linear encoder earn its place?

    python benchmarks/graph_vae.py [--data FOLDER] [--tissues HER2 DLPFC] [--seeds 3] [--out FOLDER]

On every annotated tissue with a source: TransST with the linear model, loadings only, and with
`encoder="graph-vae"`, both taught by all sources. Adjusted Rand index, normalised mutual information and
seconds of whole fits; set OMP_NUM_THREADS=1 for times on one core. To graph_vae.csv, one row per tissue and
seed; runs what the table lacks, and prints the means. What the linear model reaches by default, with the
source's classes and without irrelevant sources, is in domains.csv.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from methods import transst_record
from records import add, read
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from tissues import Tissue, tissues

HERE = Path(__file__).parent
KEY = ["tissue", "seed"]
MODELS: dict[str, dict[str, Any]] = {
    "linear": {"class_transfer": "never", "source_selection": "all"},
    "graph_vae": {"encoder": "graph-vae"},
}


def measure(tissue: Tissue, seed: int) -> dict[str, Any]:
    """Scores and seconds of every model on one tissue."""
    target = tissue.target
    truth = target.obs["label"]
    scored = truth.notna().to_numpy()
    row: dict[str, Any] = {"tissue": tissue.name, "seed": seed}
    for name, options in MODELS.items():
        start = time.perf_counter()
        found, _ = transst_record(target, tissue.sources, tissue.n_domains, seed, **options)
        row[f"seconds_{name}"] = time.perf_counter() - start
        row[f"ari_{name}"] = adjusted_rand_score(truth[scored], found[scored])
        row[f"nmi_{name}"] = normalized_mutual_info_score(truth[scored], found[scored])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rerun", action="store_true", help="also what the table has already")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "graph_vae.csv"
    for tissue in tissues(args.data, args.tissues):
        for seed in range(args.seeds) if tissue.sources else ():
            if (tissue.name, seed) in read(path, KEY).index and not args.rerun:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # unlabelled rows, domains without spots: known here
                row = measure(tissue, seed)
            print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
            add(path, row, KEY, "%.3f")
    means = read(path, KEY).groupby("tissue", sort=False).mean(numeric_only=True)
    print(means.assign(gain=means["ari_graph_vae"] - means["ari_linear"]).round(3).to_string())
    print("mean over tissues\n" + means.mean().round(3).to_string())
    print(
        "tissues with more than the linear model:", int(np.sum(means["ari_graph_vae"] > means["ari_linear"]))
    )


if __name__ == "__main__":
    main()
