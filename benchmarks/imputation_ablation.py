"""What does each part of S2S add, on the Xenium lattice of 50 um?

    python benchmarks/imputation_ablation.py [--data ../shared/data] [--variants start] [--rerun]
        [--out benchmarks/results]

Two phases of a comb, each with one training; the default network without one of its parts, the same from the
nearest spot as the published start, other sizes, and eight marker genes as the network of all genes imputes
them and one at a time.
Scores by gene go to build/imputation_ablation/, means over genes to imputation_ablation.csv.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from imputation import lattices, means, report, score
from processes import apart
from records import measured

from transst_py.imputation.training import TRAINING_PRESETS, TrainingConfig

TISSUE = "Xenium 50 um"
PHASES = [(0, 0), (1, 1)]
MARKERS = ("MDM2", "PGR", "CD68", "ESR1", "MLPH", "FOXA1", "EGFR", "ERBB2")


def without(config: TrainingConfig) -> dict[str, TrainingConfig]:
    """The configuration, and what is left of it without each of the paper's ideas."""
    blind = replace(config.network, data_consistency=False)
    return {
        "": config,
        ", no natural images": replace(config, image_weight=0.0),
        ", no sparse-to-dense loss": replace(config, dense_weight=0.0),
        ", no data consistency": replace(config, network=blind),
    }


LITE = TRAINING_PRESETS["lite"]
NEAREST = replace(LITE, start="nearest")
# Everything that the network learns is used, whatever held-out spots say.
TRUSTED = replace(LITE, shrink=False, patience=None, keep_best=False)
VARIANTS: dict[str, dict[str, Any]] = {
    **{f"lite from nearest{name}": {"config": config} for name, config in without(NEAREST).items()},
    **{f"lite{name}": {"config": config} for name, config in without(LITE).items()},
    "lite, trusted": {"config": TRUSTED},
    "lite from svd_gp": {"config": replace(LITE, start="svd_gp")},
    "lite, maps of factors": {"channels": "factors"},
    "medium, 400 steps": {"config": replace(TRAINING_PRESETS["medium"], steps=400)},
}
START = "start alone (kriging)"
# The eight markers, as one network imputes them with all other genes of the panel, and each by a network of
# its own.
TOGETHER, ALONE = "8 markers together, from nearest", "8 markers one at a time, from nearest"
TOGETHER_IS_OF = "lite from nearest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--variants", nargs="*", help="part of the names; default all")
    parser.add_argument("--rerun", action="store_true", help="of the variants named")
    parser.add_argument("--scores", type=Path, default=Path("build/imputation_ablation"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    arguments.scores.mkdir(parents=True, exist_ok=True)
    adata = lattices(arguments.data)[TISSUE]()
    paths = {
        name: arguments.scores / (re.sub(r"\W+", "_", name) + ".csv.gz") for name in (START, *VARIANTS, ALONE)
    }
    for name, path in paths.items():
        wanted = not arguments.variants or any(part in name for part in arguments.variants)
        if not wanted or (path.exists() and not arguments.rerun):
            continue
        scores = apart(run, adata, name)
        scores.assign(tissue=TISSUE, method=name, **measured()).to_csv(path, index=False, float_format="%.5g")
        report(TISSUE, name, scores)
    scores = with_markers(
        pd.concat([pd.read_csv(path, dtype={"commit": str}) for path in paths.values() if path.exists()])
    )
    table = means(scores.assign(pattern="comb"))
    table.to_csv(arguments.out / "imputation_ablation.csv", index=False, float_format="%.4g")


def with_markers(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the markers' share of the scores of the whole panel; time and memory are those of all genes."""
    together = scores[(scores["method"] == TOGETHER_IS_OF) & scores["gene"].isin(MARKERS)]
    return pd.concat([scores, together.assign(method=TOGETHER)])


def run(adata: ad.AnnData, name: str) -> pd.DataFrame:
    if name == START:
        return score(adata, "kriging", [0], False, phases=PHASES)
    if name == ALONE:
        options = {"config": NEAREST}
        parts = [score(one_gene(adata, gene), "s2s", [0], False, options, PHASES) for gene in MARKERS]
        scores = pd.concat(parts)
        return scores[scores["gene"].isin(MARKERS)]
    return score(adata, "s2s", [0], False, VARIANTS[name], PHASES)


def one_gene(adata: ad.AnnData, gene: str) -> ad.AnnData:
    """A gene beside the sum of all others, which keeps the library size.

    The sum takes part in the training; after normalisation it is much like the gene turned upside down.
    """
    counts = sp.csr_matrix(adata[:, gene].X)
    rest = np.asarray(adata.X.sum(axis=1)) - counts.toarray()
    alone = ad.AnnData(sp.csr_matrix(sp.hstack([counts, rest])), obs=adata.obs, obsm=dict(adata.obsm))
    alone.var_names = [gene, "all others"]
    return alone


if __name__ == "__main__":
    main()
