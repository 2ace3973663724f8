"""How many wrong labels of a source are noticed, and are the rows that are called suspicious the wrong ones?

    python benchmarks/label_noise.py [--data FOLDER] [--seeds 3] [--out benchmarks/results]

The matched tissues, cortex and STARmap, whose labels are layers. A share of the source's labels is changed,
at random to any other class, or to a layer beside the true one. One row per tissue, kind, share and seed goes
to label_noise.csv: the share of wrong labels that the fit estimates, precision and recall of the rows that
it calls suspicious.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
from methods import transst_record
from records import add, read
from tissues import Tissue, tissues
from transfer import MATCHED, WRONG_LABELS, wrong_labels

HERE = Path(__file__).parent
KEY = ["tissue", "kind", "percent", "seed"]
KINDS = {"at random": (0, *WRONG_LABELS), "next layer": (20, 40)}


def next_layer(sources: dict[str, ad.AnnData], percent: int, seed: int) -> dict[str, ad.AnnData]:
    """Copies of the sources in which every label is, with this probability, that of the layer beside."""
    rng = np.random.default_rng(seed)
    copies = {name: source.copy() for name, source in sources.items()}
    for copy in copies.values():
        labels = copy.obs["label"].astype("category")  # the names of the layers are in order
        codes, last = labels.cat.codes.to_numpy().copy(), len(labels.cat.categories) - 1
        wrong = (codes >= 0) & (rng.random(len(codes)) < percent / 100)
        beside = codes + rng.choice([-1, 1], len(codes))
        beside = np.where(beside < 0, 1, np.where(beside > last, last - 1, beside))
        labels[wrong] = labels.cat.categories[beside[wrong]]
        copy.obs["label"] = labels.astype(object)
    return copies


def run_once(tissue: Tissue, kind: str, percent: int, seed: int) -> dict[str, float]:
    change = next_layer if kind == "next layer" else wrong_labels
    sources = change(tissue.sources, percent, seed)
    record = transst_record(tissue.target, sources, tissue.n_domains, seed)[1]["source"]
    ((name, source),) = sources.items()
    wrong = (source.obs["label"] != tissue.sources[name].obs["label"]) & source.obs["label"].notna()
    called = source.obs_names.isin(record["suspicious"]["row"])
    right = (called & wrong).sum()
    return {
        "rate": float(record["label_noise"][0]),
        "called": called.sum() / source.obs["label"].notna().sum(),
        "precision": right / called.sum() if called.any() else np.nan,
        "recall": right / wrong.sum() if wrong.any() else np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "label_noise.csv"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, wrong labels: known here
        for tissue in tissues(args.data, list(MATCHED)):
            for kind, shares in KINDS.items():
                for percent in shares:
                    for seed in range(args.seeds if percent else 1):
                        scores = run_once(tissue, kind, percent, seed)
                        add(
                            path,
                            dict(zip(KEY, (tissue.name, kind, percent, seed), strict=True)) | scores,
                            KEY,
                        )
                        print(
                            tissue.name,
                            kind,
                            percent,
                            seed,
                            *(f"{v:.2f}" for v in scores.values()),
                            flush=True,
                        )
    print(read(path, KEY).groupby(["kind", "percent"]).mean(numeric_only=True).round(2).to_string())


if __name__ == "__main__":
    main()
