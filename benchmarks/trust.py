"""Does the trust in the sources' labels predict what they are worth?

    python benchmarks/trust.py [--data FOLDER] [--only "same slice"] [--seeds 5] [--rerun]
                               [--out benchmarks/results]

A ladder of sources, from the other half of the same slice to another organ. Every pair of target and source
is fitted without the source, with it ("auto"), and following its labels whatever the trust ("follow"). A gain
is the adjusted Rand index minus that without source, same seed. One row per fit goes to trust.csv at once.
Then the rank correlation of trust with either gain, over the pairs (means over seeds) and over the rungs
(means over pairs), the gap in trust between labels that are followed and all others, the largest spread over
seeds, and a picture (trust.png); trust_means.csv has the pairs.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from methods import transst_record
from records import add, oldest, read
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score
from tissues import HER2, Tissue, annotated_file, halves, her2_section, tissues
from transfer import in_names_of

from transst_py.transfer.hidden_labels import MIN_TRUST

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
KEY = ["rung", "pair", "way", "seed"]
SAME, NEIGHBOUR, ANIMAL, PATIENT, PATIENTS, CELLS, ORGAN = RUNGS = (
    "same slice, other half",
    "neighbouring slice",
    "another animal",
    "another patient",
    "five other patients",
    "single cells",
    "another organ",
)
N_PATIENTS = 2


def pairs(data: Path) -> Iterator[tuple[str, Tissue]]:
    """All pairs, with their rung of the ladder."""
    domains = {tissue.name: tissue for tissue in tissues(data)}
    labels = {tissue.name: tissue for tissue in tissues(data, kind="labels")}
    for name, tissue in labels.items():
        yield (SAME if "half" in name else ANIMAL), tissue
    for name in ("DLPFC 151676", "DLPFC 151674", "STARmap BZ5", "STARmap BZ9"):
        half = halves(domains[name])
        yield SAME, Tissue(f"{name} halves", half.target, half.sources)
        yield (NEIGHBOUR if "DLPFC" in name else ANIMAL), domains[name]
    cells = {"CID4465": annotated_file(data / "her2st" / "scrnaseq_CID4465.h5ad", "cells")}
    brain = annotated_file(data / "dlpfc" / "151676.h5ad", "Visium")
    for section in HER2:
        tissue = domains[f"HER2 {section}"]
        others = np.random.default_rng(HER2.index(section)).permutation(list(tissue.sources))[:N_PATIENTS]
        for other in others:
            yield PATIENT, Tissue(f"{section} from {other}", tissue.target, {other: tissue.sources[other]})
        yield PATIENTS, tissue
        yield CELLS, Tissue(f"{section} from CID4465", tissue.target, cells)
        organ = {"brain": in_names_of(tissue.target, brain)}
        yield ORGAN, Tissue(f"{section} from brain", tissue.target, organ)
    yield CELLS, domains["osmFISH"]
    for name in ("DLPFC 151676", "STARmap BZ5", "STARmap BZ9"):
        target = domains[name].target
        yield ORGAN, Tissue(f"{name} from A1", target, {"A1": in_names_of(target, her2_section("A1"))})


WAYS = {
    "none": {},
    "auto": {},
    "follow": {"class_transfer": "follow", "source_selection": "all"},
}


def run_once(tissue: Tissue, way: str, seed: int) -> dict[str, float]:
    sources = {} if way == "none" else tissue.sources
    found, record = transst_record(tissue.target, sources, tissue.n_domains, seed, **WAYS[way])
    truth = tissue.target.obs["label"]
    scored = truth.notna().to_numpy()
    transfer = record["transfer"]
    return {
        "ari": adjusted_rand_score(truth[scored], found[scored]),
        "trust": transfer.get("total_trust", np.nan),
        "followed": float(transfer["follows_labels"]),
    }


def gains(done: pd.DataFrame) -> pd.DataFrame:
    """Every pair with its trust and its gains; means over seeds.

    The trust is 0 where the source was rejected, and where its classes do not cover the target: then labels
    of enough trust were not followed.
    """
    ari = done["ari"].unstack("way")
    followed = done["followed"].xs("auto", level="way")
    trust = done["trust"].xs("follow", level="way").fillna(0.0)
    trust = trust.mask((trust >= MIN_TRUST) & (followed.reindex(trust.index) == 0), 0.0)
    table = pd.DataFrame(
        {
            "trust": trust,
            "gain": ari["auto"] - ari["none"],
            "gain_following": ari["follow"] - ari["none"],
            "ari": ari["auto"],
            "followed": followed,
        }
    )
    by_pair = table.groupby(level=["rung", "pair"]).mean()
    by_pair["sd"] = table.groupby(level=["rung", "pair"])["ari"].std()
    return by_pair.reset_index()


def verdict(table: pd.DataFrame) -> None:
    print(table.round(3).to_string(index=False))
    rungs = table.groupby("rung")[["trust", "gain", "gain_following"]].mean().reindex(RUNGS)
    print(rungs.round(3).to_string())
    for what in ("gain", "gain_following"):
        of_pairs, of_rungs = (spearmanr(part["trust"], part[what]).statistic for part in (table, rungs))
        print(f"rank correlation of trust and {what}: pairs {of_pairs:.2f}, rungs {of_rungs:.2f}")
    followed = table["followed"] > 0.5
    lowest, highest = table.loc[followed, "trust"].min(), table.loc[~followed, "trust"].max()
    print(f"trust: labels that are followed {lowest:.2f} and more, all others {highest:.2f} and less")
    print(f"largest sd over seeds where the labels are followed: {table.loc[followed, 'sd'].max():.3f}")


def draw(table: pd.DataFrame, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", sharey=True)
    titles = {"gain_following": "following the labels, whatever the trust", "gain": "as the software decides"}
    for ax, (what, title) in zip(axes, titles.items(), strict=True):
        for k, rung in enumerate(RUNGS):
            part = table[table["rung"] == rung]
            ax.scatter(part["trust"], part[what], s=34, color=f"C{k}", label=rung, marker="osD^vPX"[k])
        ax.axvline(MIN_TRUST, color="black", linestyle="--", linewidth=0.8)
        ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        rungs = table.groupby("rung")[["trust", what]].mean()
        rho = spearmanr(rungs["trust"], rungs[what]).statistic
        ax.set_title(f"{title}\nrank correlation over the rungs {rho:.2f}", loc="left", size=10)
        ax.set_xlabel("trust in the labels of the source")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("gain in adjusted Rand index")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside right center")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="+", choices=RUNGS, metavar="RUNG", default=RUNGS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rerun", action="store_true", help="also what the table has already")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    path = args.out / "trust.csv"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, few genes, sources that are rejected: known here
        chosen = [(rung, tissue) for rung, tissue in pairs(args.data) if rung in args.only]
        for seed in range(args.seeds):
            for rung, tissue in chosen:
                for way in WAYS:
                    key = (rung, tissue.name, way, seed)
                    if key in read(path, KEY).index and not args.rerun:
                        continue
                    scores = run_once(tissue, way, seed)
                    add(path, dict(zip(KEY, key, strict=True)) | scores, KEY)
                    print(*key, *(f"{value:.2f}" for value in scores.values()), sep="  ", flush=True)
    done = read(path, KEY)
    table = gains(done)
    pair = ["rung", "pair"]
    table.join(oldest(done, pair), on=pair).to_csv(
        args.out / "trust_means.csv", index=False, float_format="%.4f"
    )
    verdict(table)
    draw(table, args.out / "trust.png")


if __name__ == "__main__":
    main()
