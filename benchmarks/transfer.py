"""When does a reference help, when not, and does it ever harm?

    python benchmarks/transfer.py [--data FOLDER] [--only b e] [--tissues HER2 osmFISH] [--seeds 1]
                                  [--methods TransST] [--rerun] [--out benchmarks/results]

The experiments, in the order in which they run (the number of domains is given; seeds in brackets):

b  every annotated tissue with a source: that source (5), the same with permuted labels (3 draws), with
   permuted genes, which makes its loadings random (3 draws), an unrelated tissue (3), both together (3); and
   no source on the genes shared with the unrelated one, which tells what that choice of genes costs (3)
e  wrong labels, 10 to 40 %, any other class alike, on the matched tissues, cortex and STARmap (3 draws)
h  HER2, every section with the other patients as sources, next to the methods of domains.csv (nothing is run)
d  rows of the source, or their counts, thinned to 1/4, 1/16, 1/64 on the matched tissues (2 draws)
f  HER2 with 1, 2, 3 or all 5 other patients as sources, as they are (3 draws of them)
g  single cells as the source: CID4465 for HER2 (3), Zeisel for osmFISH (that of b)
i  sources of 100, 300 or 1000 genes, drawn at random, on the tissues of many genes, HER2 and cortex (3 draws)
c  penalty x smoothness on DLPFC 151676, loadings only (1)
a  simulated tissue: smoothness of the domains x noise of the genes (5)

Unrelated: a brain slice for HER2, the HER2 sections for brain, genes matched by symbol; left out where fewer
than `MIN_SHARED` genes are shared. A gain is the adjusted Rand index (or normalised mutual information) minus
that of the fit without source on the same tissue with the same seed. One row per run goes to transfer.csv at
once; runs that are there are not repeated unless `--rerun` asks for it. `transferred` is "nothing" where
every source was left out, `penalty` that of the loadings, `relevance` that of every source, `used` how many
had a part; a fit that is refused has no score, and says why when it runs.

transfer_means.csv   for all tissues and every group of them: scores, gains, share of the given source's gain,
                     the tissue that gains least, how often classes were taken over, or every source left out
transfer.png         a panel for every experiment
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib
import numpy as np
import pandas as pd
import scipy.sparse as sp
from methods import Sources, transst_record
from records import WHEN, add, oldest, read
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from tissues import HER2, Tissue, annotated_file, her2_section, tissues

import transst_py as tst
from transst_py.expression.genes import shared_genes

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
KEY = ["experiment", "tissue", "setting", "method", "seed"]
OURS, LOADINGS, NOTHING = "TransST", "loadings only", "no transfer"
OPTIONS = {OURS: {}, LOADINGS: {"class_transfer": "never"}, NOTHING: {}}
GIVEN, NO_SOURCE = "given source", "no source"
MATCHED = ("DLPFC", "STARmap")
GROUPS = ("HER2", "DLPFC", "STARmap", "osmFISH")
MIN_SHARED = 30
WRONG_LABELS = (10, 20, 30, 40)
THINNED = (4, 16, 64)
N_SOURCES = (1, 2, 3)
PANELS = (100, 300, 1000)
GRID_TISSUE = "DLPFC 151676"
PENALTIES = (0.0, 0.1, 1.0, 10.0, 100.0, float("inf"))
SMOOTHNESS = (0.0, 0.5, 1.0, 2.0, 3.0)
SIMULATED_SMOOTHNESS = (0.4, 0.8, 1.0)
SIMULATED_NOISE = (1.0, 4.0, 16.0, 64.0)


@dataclass(frozen=True)
class Run:
    """One fit, with what identifies it in the table; `load` gives the target and its sources."""

    experiment: str
    tissue: str
    setting: str
    method: str
    seed: int
    load: Callable[[], Tissue]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str | int, ...]:
        return tuple(getattr(self, name) for name in KEY)


# What is done to sources


def permuted_labels(sources: Sources, seed: int) -> Sources:
    """Copies of the sources whose labels belong to other rows."""
    rng = np.random.default_rng(seed)
    copies = {name: source.copy() for name, source in sources.items()}
    for copy in copies.values():
        copy.obs["label"] = rng.permutation(copy.obs["label"].to_numpy(dtype=object))
    return copies


def permuted_genes(target: ad.AnnData, sources: Sources, seed: int) -> Sources:
    """Copies of the sources whose counts, of the genes shared with the target, belong to other genes."""
    rng = np.random.default_rng(seed)
    copies = {}
    for name, source in sources.items():
        copies[name] = source[:, shared_genes(target.var_names, {name: source.var_names})].copy()
        copies[name].var_names = rng.permutation(copies[name].var_names)
    return copies


def wrong_labels(sources: Sources, percent: int, seed: int) -> Sources:
    """Copies of the sources in which every label is, with this probability, any other of the classes."""
    rng = np.random.default_rng(seed)
    copies = {name: source.copy() for name, source in sources.items()}
    for copy in copies.values():
        labels = copy.obs["label"].astype("category")
        codes = labels.cat.codes.to_numpy()
        n_classes = len(labels.cat.categories)
        wrong = (codes >= 0) & (rng.random(len(codes)) < percent / 100)
        others = (codes + rng.integers(1, n_classes, len(codes))) % n_classes
        labels[wrong] = labels.cat.categories[others[wrong]]
        copy.obs["label"] = labels.astype(object)
    return copies


def fewer_cells(sources: Sources, factor: int, seed: int) -> Sources:
    rng = np.random.default_rng(seed)
    return {
        name: source[np.sort(rng.choice(source.n_obs, source.n_obs // factor, replace=False))].copy()
        for name, source in sources.items()
    }


def shallower(sources: Sources, factor: int, seed: int) -> Sources:
    """Copies of the sources that keep every count with probability 1 / factor."""
    rng = np.random.default_rng(seed)
    copies = {name: source.copy() for name, source in sources.items()}
    for copy in copies.values():
        counts = sp.csr_matrix(copy.X)
        counts.data = rng.binomial(counts.data.astype(np.int64), 1 / factor).astype(np.float32)
        counts.eliminate_zeros()
        copy.X = counts
    return copies


def panels(target: ad.AnnData, sources: Sources, n_genes: int, seed: int) -> Sources:
    """The sources with the same few genes, drawn from those that all share with the target."""
    shared = shared_genes(target.var_names, {name: source.var_names for name, source in sources.items()})
    chosen = np.random.default_rng(seed).choice(shared, n_genes, replace=False)
    return {name: source[:, chosen].copy() for name, source in sources.items()}


def in_names_of(target: ad.AnnData, source: ad.AnnData) -> ad.AnnData:
    """The source's genes that the target has by symbol, upper or lower case, in the target's names."""
    names = pd.Series(target.var_names, index=symbols(target))
    names = names[~names.index.duplicated()]
    theirs = symbols(source)
    kept = theirs.isin(names.index) & ~theirs.duplicated()
    copy = source[:, kept].copy()
    copy.var_names = names[theirs[kept]].to_numpy()
    return copy


def symbols(adata: ad.AnnData) -> pd.Index:
    names = adata.var.get("gene_symbol", adata.var_names)
    return pd.Index(np.asarray(names, dtype=str)).str.upper()


def unrelated(tissue: Tissue, data: Path) -> Sources:
    """Labelled sections of another organ, in the target's gene names; none if they share too few."""
    if tissue.name.startswith("HER2"):
        theirs = {"brain": annotated_file(data / "dlpfc" / "151676.h5ad", "Visium")}
    else:
        theirs = {f"HER2 {section}": her2_section(section) for section in HER2}
    theirs = {name: in_names_of(tissue.target, source) for name, source in theirs.items()}
    genes = shared_genes(tissue.target.var_names, {name: source.var_names for name, source in theirs.items()})
    return theirs if len(genes) >= MIN_SHARED else {}


# The experiments: what is to be run


def irrelevant_sources(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for tissue in found.values():

        def run(setting: str, method: str, seed: int, change: Callable[[], Sources], tissue=tissue) -> Run:
            return Run("b", tissue.name, setting, method, seed, partial(with_sources, tissue, change))

        others = unrelated(tissue, data)
        if not others:
            print(f"left out, {tissue.name} with an unrelated source: under {MIN_SHARED} shared genes")
        for seed in range(5):
            yield run(NO_SOURCE, NOTHING, seed, dict)
            yield run(GIVEN, OURS, seed, lambda s=tissue.sources: s)
        for seed in range(3):
            yield run(GIVEN, LOADINGS, seed, lambda s=tissue.sources: s)
            yield run("labels permuted", OURS, seed, partial(permuted_labels, tissue.sources, seed))
            random = partial(permuted_genes, tissue.target, tissue.sources, seed)
            yield run("genes permuted", OURS, seed, random)
            if others:
                yield run("unrelated tissue", OURS, seed, lambda o=others: o)
                yield run("given + unrelated", OURS, seed, lambda s=tissue.sources, o=others: s | o)
                load = partial(on_shared_genes, tissue, others)
                yield Run("b", tissue.name, "genes of the unrelated", NOTHING, seed, load)


def label_noise(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for tissue in of_groups(found, *MATCHED):
        for seed in range(3):
            for percent in WRONG_LABELS:
                change = partial(wrong_labels, tissue.sources, percent, seed)
                load = partial(with_sources, tissue, change)
                yield Run("e", tissue.name, f"{percent} % wrong labels", OURS, seed, load)


def thinned_sources(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for tissue in of_groups(found, *MATCHED):
        for seed in range(2):
            for factor in THINNED:
                for what, change in (("rows", fewer_cells), ("counts", shallower)):
                    load = partial(with_sources, tissue, partial(change, tissue.sources, factor, seed))
                    yield Run("d", tissue.name, f"1/{factor} of the {what}", OURS, seed, load)


def several_sources(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for tissue in of_groups(found, "HER2"):
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(list(tissue.sources))
            for n in N_SOURCES:
                chosen = {name: tissue.sources[name] for name in order[:n]}
                load = partial(with_sources, tissue, lambda c=chosen: c)
                yield Run("f", tissue.name, f"sources: {n}", OURS, seed, load)


def single_cells(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    cells = {"CID4465": annotated_file(data / "her2st" / "scrnaseq_CID4465.h5ad", "cells")}
    for tissue in of_groups(found, "HER2"):
        for seed in range(3):
            load = partial(with_sources, tissue, lambda: cells)
            yield Run("g", tissue.name, "single cells", OURS, seed, load)


def few_genes(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for tissue in of_groups(found, "HER2", "DLPFC"):
        for seed in range(3):
            for n_genes in PANELS:
                change = partial(panels, tissue.target, tissue.sources, n_genes, seed)
                load = partial(with_sources, tissue, change)
                yield Run("i", tissue.name, f"{n_genes} genes", OURS, seed, load)


def grid(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for tissue in of_groups(found, GRID_TISSUE):
        load = partial(with_sources, tissue, lambda s=tissue.sources: s)
        for penalty in PENALTIES:
            for smoothness in SMOOTHNESS:
                fixed = {"penalties": (penalty,), "smoothness": smoothness}
                setting = f"penalty {penalty:g}, smoothness {smoothness:g}"
                yield Run("c", tissue.name, setting, LOADINGS, 0, load, fixed)


def simulated(found: dict[str, Tissue], data: Path) -> Iterator[Run]:
    for seed in range(5):
        for smoothness in SIMULATED_SMOOTHNESS:
            for noise in SIMULATED_NOISE:
                name = f"simulated, smoothness {smoothness:g}, noise {noise:g}"
                for setting, method in ((NO_SOURCE, NOTHING), (GIVEN, OURS)):
                    load = partial(simulated_tissue, name, smoothness, noise, seed, setting == GIVEN)
                    yield Run("a", name, setting, method, seed, load)


def simulated_tissue(name: str, smoothness: float, noise: float, seed: int, with_source: bool) -> Tissue:
    target, source = tst.datasets.simulated_tissue(
        smoothness=smoothness, noise=noise, mean_count=0.5, random_state=seed
    )
    return Tissue(name, target, {"simulated": source} if with_source else {})


def with_sources(tissue: Tissue, change: Callable[[], Sources]) -> Tissue:
    return Tissue(tissue.name, tissue.target, change())


def on_shared_genes(tissue: Tissue, sources: Sources) -> Tissue:
    """The target without a source, on the genes that it shares with these."""
    names = {name: source.var_names for name, source in sources.items()}
    target = tissue.target[:, shared_genes(tissue.target.var_names, names)].copy()
    return Tissue(tissue.name, target, {})


def of_groups(found: dict[str, Tissue], *groups: str) -> list[Tissue]:
    return [tissue for name, tissue in found.items() if name.startswith(groups)]


EXPERIMENTS = {
    "b": irrelevant_sources,
    "e": label_noise,
    "d": thinned_sources,
    "f": several_sources,
    "g": single_cells,
    "i": few_genes,
    "c": grid,
    "a": simulated,
}


# Running them


def run_missing(runs: Sequence[Run], path: Path, rerun: bool) -> None:
    """Run what the table has not yet, first seeds first, so that it is useful early."""
    for run in sorted(runs, key=lambda r: r.seed):
        if run.key in read(path, KEY).index and not rerun:
            continue
        found = run_once(run)
        add(path, dict(zip(KEY, run.key, strict=True)) | found, KEY)
        print(*run.key, round(found["ari"], 2), found["transferred"], sep="  ", flush=True)


def run_once(run: Run) -> dict[str, Any]:
    tissue = run.load()
    options = OPTIONS[run.method] | run.options
    try:
        found, record = transst_record(tissue.target, tissue.sources, tissue.n_domains, run.seed, **options)
    except ValueError as error:  # too little is left of a thinned source
        print(f"refused, {run.tissue} with {run.setting}: {error}")
        return {"ari": np.nan, "nmi": np.nan, "transferred": "refused"}
    truth = tissue.target.obs["label"]
    scored = truth.notna().to_numpy()
    return {
        "ari": adjusted_rand_score(truth[scored], found[scored]),
        "nmi": normalized_mutual_info_score(truth[scored], found[scored]),
        "transferred": record["transfer"]["transferred"],
        "penalty": record["transfer"]["penalty"] if tissue.sources else np.nan,
        **told_of_sources(record.get("source")),
    }


def told_of_sources(source: dict[str, Any] | None) -> dict[str, str]:
    """Relevance of every source by name, and how many were used."""
    if source is None:
        return {}
    relevance = zip(source["names"], source["relevance"], strict=True)
    return {
        "relevance": ", ".join(f"{name} {value:.2f}" for name, value in relevance),
        "used": f"{source['used'].sum()} of {len(source['used'])}",
    }


# Tables


def gains(done: pd.DataFrame) -> pd.DataFrame:
    """Every run with its gain over the one without source, and the given source's, by tissue and seed."""
    pair = ["tissue", "seed"]
    runs = done.reset_index()
    baseline = runs["setting"] == NO_SOURCE
    without = runs[baseline].set_index(pair)[["ari", "nmi"]]
    runs = runs[~baseline & (runs["experiment"] != "c")]
    runs = runs.join(without, on=pair, rsuffix="_without")
    for score in ("ari", "nmi"):
        runs[f"gain_{score}"] = runs[score] - runs.pop(f"{score}_without")
    given = runs[(runs["setting"] == GIVEN) & (runs["method"] == OURS)].set_index(pair)["gain_ari"]
    runs = runs.join(given.rename("gain_given"), on=pair)
    groups = runs["tissue"].str.extract(f"^({'|'.join(GROUPS)})", expand=False)
    simulated = runs["experiment"] == "a"  # every setting of the simulation is a tissue
    settings = runs["setting"].mask(simulated, runs["tissue"])
    return runs.assign(group=groups.fillna("simulated"), setting=settings)


def means(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, then tissues, for every setting: of all tissues, and of every group of them."""
    parts = [part.assign(group="all") for name, part in runs.groupby("experiment") if name not in "ga"]
    rows = []
    for key, part in pd.concat([*parts, runs]).groupby(["experiment", "group", "setting", "method"]):
        scores = ["ari", "nmi", "gain_ari", "gain_nmi", "gain_given"]
        by_tissue = part.groupby("tissue")[scores].mean()
        mean = by_tissue.mean()
        rows.append(
            dict(zip(("experiment", "group", "setting", "method"), key, strict=True))
            | mean.drop("gain_given").to_dict()
            | {
                "share_of_given": mean["gain_ari"] / mean["gain_given"],
                "least_gain": by_tissue["gain_ari"].min(),
                "least_on": by_tissue["gain_ari"].idxmin(),
                "classes_taken": (part["transferred"] == "classes").mean(),
                "rejected": (part["transferred"] == "nothing").mean(),
                "tissues": len(by_tissue),
                "runs": len(part),
                **part.sort_values("date", kind="stable").iloc[0][WHEN],
            }
        )
    return pd.DataFrame(rows)


def patients(done: pd.DataFrame, domains: Path) -> pd.DataFrame:
    """(h) HER2: TransST from the runs of (b), others from domains.csv; means over seeds, then sections."""
    ours = done.reset_index().query("experiment == 'b' and setting in [@GIVEN, @NO_SOURCE]")
    others = pd.read_csv(domains) if domains.exists() else pd.DataFrame(columns=["tissue", "method"])
    others = others[~others["method"].isin(OPTIONS)]
    columns = ["tissue", "method", "seed", "ari", "nmi", *WHEN]
    runs = pd.concat([ours.reindex(columns=columns), others.reindex(columns=columns)])
    runs = runs[runs["tissue"].str.startswith("HER2")]
    by_tissue = runs.groupby(["method", "tissue"])[["ari", "nmi"]].mean()
    table = by_tissue.groupby(level="method").mean()
    table["tissues"] = by_tissue.groupby(level="method").size()
    table["runs"] = runs.groupby("method").size()
    table = table.join(oldest(runs, "method"))
    table = table.sort_values("ari", ascending=False).reset_index()
    return table.assign(experiment="h", group="HER2", setting="other patients")


def verdict(runs: pd.DataFrame, leave_out: pd.DataFrame, done: pd.DataFrame) -> None:
    """Print what the acceptance of the experiments is about."""
    b = runs[runs["experiment"] == "b"]
    for setting, part in b[b["method"] == OURS].groupby("setting"):
        by_tissue = part.groupby("tissue")["gain_ari"].mean()
        print(
            f"(b) {setting:18s} mean gain {by_tissue.mean():+.3f}, "
            f"least {by_tissue.min():+.3f} ({by_tissue.idxmin()})"
        )
    for setting, part in runs[runs["experiment"] == "e"].groupby("setting"):
        by_tissue = part.groupby("tissue")[["gain_ari", "gain_given"]].mean().mean()
        print(f"(e) {setting}: {by_tissue['gain_ari'] / by_tissue['gain_given']:.0%} of the clean gain")
    print("(h)\n" + leave_out[["method", "ari", "nmi"]].round(3).to_string(index=False))


# Figure


def draw(done: pd.DataFrame, runs: pd.DataFrame, leave_out: pd.DataFrame, path: Path) -> None:
    drawn = {
        "a": partial(draw_simulated, runs),
        "b": partial(draw_irrelevant, runs),
        "c": partial(draw_grid, done),
        "d": partial(draw_thinned, runs),
        "e": partial(draw_noise, runs),
        "f": partial(draw_several, runs),
        "g": partial(draw_cells, runs),
        "h": partial(draw_patients, leave_out),
        "i": partial(draw_panels, runs),
    }
    fig, axes = plt.subplots(3, 3, figsize=(15, 12.5), layout="constrained")
    for (name, panel), ax in zip(drawn.items(), axes.flat, strict=True):
        if name == "h" or name in done.index.get_level_values("experiment"):
            panel(ax)
        else:
            ax.set_axis_off()
        ax.set_title(f"{name}  {ax.get_title()}", loc="left", weight="bold", size=10)
        ax.set_title("")
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def number(settings: pd.Series, before: str = "") -> pd.Series:
    """First number in a setting, after `before`."""
    return settings.str.extract(rf"{re.escape(before)}([\d.]+|inf)", expand=False).astype(float)


def ours(runs: pd.DataFrame, experiment: str, **also: str) -> pd.DataFrame:
    """Runs of an experiment, and those of (b) with the given source on the same tissues and seeds."""
    own = runs[runs["experiment"] == experiment]
    given = runs[(runs["experiment"] == "b") & (runs["setting"] == GIVEN) & (runs["method"] == OURS)]
    same = given.set_index(["tissue", "seed"]).index.isin(own.set_index(["tissue", "seed"]).index)
    return pd.concat([own, given[same].assign(**also)])


def draw_simulated(runs: pd.DataFrame, ax: plt.Axes) -> None:
    part = runs[runs["experiment"] == "a"]
    part = part.assign(smooth=number(part["tissue"], "smoothness "), noise=number(part["tissue"], "noise "))
    for i, (smooth, rows) in enumerate(part.groupby("smooth")):
        line = rows.groupby("noise")["gain_ari"].agg(["mean", "min", "max"])
        ax.plot(line.index, line["mean"], "o-", color=f"C{i}", label=f"{smooth:g}")
        ax.fill_between(line.index, line["min"], line["max"], color=f"C{i}", alpha=0.12, lw=0)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(SIMULATED_NOISE, [f"{x:g}" for x in SIMULATED_NOISE])
    ax.set(title="simulated tissue", xlabel="largest noise variance", ylabel="gain in ARI (range of seeds)")
    ax.legend(title="smoothness", frameon=False)


def draw_irrelevant(runs: pd.DataFrame, ax: plt.Axes) -> None:
    part = runs[(runs["experiment"] == "b") & (runs["method"] == OURS)]
    settings = [GIVEN, "given + unrelated", "unrelated tissue", "labels permuted", "genes permuted"]
    by_tissue = part.groupby(["setting", "group", "tissue"])["gain_ari"].mean().reset_index()
    for i, group in enumerate(GROUPS):
        rows = by_tissue[by_tissue["group"] == group]
        y = rows["setting"].map(settings.index) + (i - 1.5) * 0.13
        ax.plot(rows["gain_ari"], y, "o", ms=4.5, color=f"C{i}", alpha=0.8, label=group)
    for i, setting in enumerate(settings):
        mean = by_tissue.loc[by_tissue["setting"] == setting, "gain_ari"].mean()
        ax.vlines(mean, i - 0.36, i + 0.36, color="black", lw=1.5)
    ax.axvline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_yticks(range(len(settings)), settings)
    ax.invert_yaxis()
    ax.set(title="matched and irrelevant sources", xlabel="gain in ARI; bar: mean over tissues")
    ax.legend(frameon=False, fontsize=8, handletextpad=0.1)


def draw_grid(done: pd.DataFrame, ax: plt.Axes) -> None:
    rows = done.reset_index().query("experiment == 'c'")
    rows = rows.assign(
        penalty=number(rows["setting"], "penalty "), smooth=number(rows["setting"], "smoothness ")
    )
    table = rows.pivot(index="penalty", columns="smooth", values="ari")
    ax.imshow(table, cmap="viridis", aspect="auto", origin="lower")
    middle = np.nanmean([np.nanmin(table), np.nanmax(table)])
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="black" if value > middle else "white")
    ax.set_xticks(range(table.shape[1]), [f"{x:g}" for x in table.columns])
    ax.set_yticks(range(table.shape[0]), ["∞" if np.isinf(x) else f"{x:g}" for x in table.index])
    ax.set(title=f"{GRID_TISSUE}, loadings only: ARI", xlabel="smoothness", ylabel="penalty of the loadings")


def draw_thinned(runs: pd.DataFrame, ax: plt.Axes) -> None:
    part = pd.concat([ours(runs, "d", setting=f"1/1 of the {what}") for what in ("rows", "counts")])
    part = part.drop_duplicates(["tissue", "setting", "seed"])
    part = part.assign(factor=number(part["setting"], "1/"), what=part["setting"].str.split().str[-1])
    for (group, what), rows in part.groupby(["group", "what"]):
        line = rows.groupby("factor")["gain_ari"].mean()
        style = "o-" if what == "rows" else "s--"
        ax.plot(line.index, line, style, ms=4, color=f"C{GROUPS.index(group)}", label=f"{group}, {what}")
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks([1, *THINNED], ["1", *(f"1/{f}" for f in THINNED)])
    ax.set(title="thinned source", xlabel="share of the rows or counts left", ylabel="gain in ARI")
    ax.legend(frameon=False)


def draw_tissues(lines: pd.DataFrame, ax: plt.Axes) -> pd.Series:
    """A line for each column, a tissue, and their mean, which is returned."""
    for i, tissue in enumerate(lines):
        ax.plot(lines.index, lines[tissue], "o-", ms=3, lw=0.8, color=f"C{i}", label=tissue)
    mean = lines.mean(axis=1)
    ax.plot(mean.index, mean, "o-", color="black", lw=2, label="mean")
    return mean


def draw_noise(runs: pd.DataFrame, ax: plt.Axes) -> None:
    part = ours(runs, "e", setting="0 % wrong labels")
    part = part.assign(percent=number(part["setting"]))
    lines = part.groupby(["percent", "tissue"])["gain_ari"].mean().unstack()
    mean = draw_tissues(lines, ax)
    ax.axhline(0.8 * mean[0], color="black", ls=":", lw=1)
    ax.text(40, 0.8 * mean[0], "80 % of the clean gain", ha="right", va="bottom", size=8)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set(title="wrong labels", xlabel="% of the source's labels", ylabel="gain in ARI")
    ax.legend(frameon=False, fontsize=8)


def draw_several(runs: pd.DataFrame, ax: plt.Axes) -> None:
    part = ours(runs, "f", setting="sources: 5")
    part = part.assign(n=number(part["setting"]))
    lines = part.groupby(["n", "tissue"])["gain_ari"].mean().unstack()
    draw_tissues(lines, ax)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xticks([*N_SOURCES, 5])
    ax.set(title="other patients as sources (HER2)", xlabel="number of them", ylabel="gain in ARI")
    ax.legend(frameon=False, fontsize=8)


def draw_cells(runs: pd.DataFrame, ax: plt.Axes) -> None:
    cells = runs[(runs["experiment"] == "g") | ((runs["tissue"] == "osmFISH") & (runs["setting"] == GIVEN))]
    slides = runs[(runs["setting"] == GIVEN) & (runs["group"] == "HER2")]
    columns = {"single cells": cells, "other patients": slides}
    names = sorted(cells["tissue"].unique())
    for i, (what, part) in enumerate(columns.items()):
        gain = part[part["method"] == OURS].groupby("tissue")["gain_ari"].mean().reindex(names)
        ax.bar(np.arange(len(names)) + (i - 0.5) * 0.38, gain, 0.36, color=f"C{i}", label=what)
    ax.axhline(0, color="0.7", lw=0.8)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set(title="single cells as the source", ylabel="gain in ARI")
    ax.legend(frameon=False)


def draw_panels(runs: pd.DataFrame, ax: plt.Axes) -> None:
    part = runs[runs["experiment"] == "i"]
    part = part.assign(n=number(part["setting"]))
    draw_tissues(part.groupby(["n", "tissue"])["gain_ari"].mean().unstack(), ax)
    ax.axhline(0, color="0.7", lw=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_xticks(PANELS, [str(n) for n in PANELS])
    ax.minorticks_off()
    ax.set(title="sources of few genes", xlabel="genes of the source, at random", ylabel="gain in ARI")
    ax.set_ylim(top=0.55)  # room for the legend
    ax.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")


def draw_patients(leave_out: pd.DataFrame, ax: plt.Axes) -> None:
    y = np.arange(len(leave_out))
    ax.barh(y - 0.2, leave_out["ari"], 0.38, color="C0", label="ARI")
    ax.barh(y + 0.2, leave_out["nmi"], 0.38, color="C1", label="NMI")
    ax.set_yticks(y, leave_out["method"])
    ax.invert_yaxis()
    ax.set(title="HER2, other patients as sources", xlabel="mean over six sections")
    ax.legend(frameon=False, loc="lower right")


def report(out: Path) -> None:
    done = read(out / "transfer.csv", KEY)
    runs, leave_out = gains(done), patients(done, out / "domains.csv")
    table = pd.concat([means(runs), leave_out]).sort_values("experiment", kind="stable")
    table.to_csv(out / "transfer_means.csv", index=False, float_format="%.4f")
    verdict(runs, leave_out, done)
    draw(done, runs, leave_out, out / "transfer.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), default=list(EXPERIMENTS))
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--methods", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--seeds", type=int, default=5, help="at most so many; 5")
    parser.add_argument("--rerun", action="store_true", help="also what the table has already")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, few genes, domains without spots: known here
        found = {tissue.name: tissue for tissue in tissues(args.data, args.tissues) if tissue.sources}
        for name in args.only:
            runs = EXPERIMENTS[name](found, args.data)
            chosen = [run for run in runs if run.seed < args.seeds and run.method in args.methods]
            run_missing(chosen, args.out / "transfer.csv", args.rerun)
    report(args.out)


if __name__ == "__main__":
    main()
