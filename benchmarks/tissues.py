"""The tissues of the accuracy benchmarks: a target with the truth, and the labelled sources it may use.

Tasks are of two kinds: "domains", regions of a whole section, and "labels", in which the labels of the source
are those that are asked of the target: cell types, and regions of the other half of the same section.

Labels are NaN where the annotator gave none or could not decide: such spots are part of the tissue, but are
not scored, and such source rows teach nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anndata as ad
import numpy as np

import transst_py as tst

HER2 = ("A1", "B1", "C1", "D1", "E1", "H1")
NOT_ANNOTATED = ("undetermined", "unlabelled", "unknown")


@dataclass(frozen=True)
class Tissue:
    """A task. `target.uns["platform"]` is "Visium", "ST" (square lattice) or "cells"."""

    name: str
    target: ad.AnnData
    sources: dict[str, ad.AnnData]

    @property
    def n_domains(self) -> int:
        return self.target.obs["label"].nunique()


def tissues(data: Path, only: list[str] | None = None, kind: str = "domains") -> Iterator[Tissue]:
    """Yield the tissues whose name contains one of `only`, one at a time; say what is left out."""
    if (data / "her2st").is_dir():
        os.environ.setdefault("TRANSST_DATA_DIR", str(data / "her2st"))
    for name, load in {"domains": _loaders, "labels": _label_loaders}[kind](data).items():
        if only and not any(part.lower() in name.lower() for part in only):
            continue
        try:
            target, sources = load()
        except (FileNotFoundError, tst.datasets.DataUnavailableError) as error:
            print(f"left out, {name}: {error}", flush=True)
            continue
        yield Tissue(name, target, sources)


def _loaders(data: Path) -> dict[str, Callable[[], tuple[ad.AnnData, dict[str, ad.AnnData]]]]:
    """How to load every tissue; the key is its name."""
    pairs = {  # name: target, source, platform
        "DLPFC 151676": ("dlpfc/151676", "dlpfc/151674", "Visium"),
        "DLPFC 151674": ("dlpfc/151674", "dlpfc/151676", "Visium"),
        "STARmap BZ5": ("starmap_mpfc/BZ5", "starmap_mpfc/BZ9", "cells"),
        "STARmap BZ9": ("starmap_mpfc/BZ9", "starmap_mpfc/BZ5", "cells"),
        "osmFISH": ("osmfish/osmfish_sscortex", "osmfish/zeisel_s1_scrnaseq", "cells"),
        "olfactory bulb": ("mob/mob", None, "ST"),
    }
    return {
        **{f"HER2 {section}": lambda section=section: _her2(section) for section in HER2},
        **{name: lambda pair=pair: _pair(data, *pair) for name, pair in pairs.items()},
    }


def _label_loaders(data: Path) -> dict[str, Callable[[], tuple[ad.AnnData, dict[str, ad.AnnData]]]]:
    """How to load every task of the other kind."""
    animals, osmfish = ("BZ5", "BZ9"), data / "osmfish" / "osmfish_sscortex.h5ad"
    columns = {"types": "cell_type", "regions": "label"}
    return {
        **{
            f"STARmap {target} types": lambda target=target, source=source: (
                _of_column(data / "starmap_mpfc" / f"{target}.h5ad", "cell_type"),
                {source: _of_column(data / "starmap_mpfc" / f"{source}.h5ad", "cell_type")},
            )
            for target, source in (animals, animals[::-1])
        },
        **{
            f"osmFISH {side} half {kind}": lambda side=side, column=column: _halves(
                _of_column(osmfish, column), side
            )
            for kind, column in columns.items()
            for side in ("right", "left")
        },
    }


def _of_column(path: Path, column: str) -> ad.AnnData:
    """Cells with this column as their label."""
    adata = _read(path)
    adata.obs["label"] = adata.obs[column].astype(str)
    return _annotated(adata, "cells")


def _halves(adata: ad.AnnData, side: str) -> tuple[ad.AnnData, dict[str, ad.AnnData]]:
    """One half of a section, and the other as its source."""
    x = adata.obsm["spatial"][:, 0]
    left = adata[x < np.median(x)].copy(), adata[x >= np.median(x)].copy()
    target, source = left if side == "left" else left[::-1]
    return target, {"other half": source}


def halves(tissue: Tissue) -> Tissue:
    """The right half of the target, with the left as its source."""
    target, sources = _halves(tissue.target, "right")
    return Tissue(tissue.name, target, sources)


def _her2(section: str) -> tuple[ad.AnnData, dict[str, ad.AnnData]]:
    """One section, and those of the other patients as sources."""
    sections = {name: her2_section(name) for name in HER2}
    return sections.pop(section), sections


@cache
def her2_section(name: str) -> ad.AnnData:
    """One of the sections, read from text once; `tissues` says where they are."""
    return _annotated(tst.datasets.her2st(name), "ST")


def annotated_file(path: Path, platform: str) -> ad.AnnData:
    """An h5ad file with its labels as in every tissue here."""
    return _annotated(_read(path), platform)


def _pair(
    data: Path, target: str, source: str | None, platform: str
) -> tuple[ad.AnnData, dict[str, ad.AnnData]]:
    def load(name: str) -> ad.AnnData:
        return annotated_file(data / f"{name}.h5ad", platform)

    return load(target), {} if source is None else {source: load(source)}


def _read(path: Path) -> ad.AnnData:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; name the folder of the data with --data")
    return ad.read_h5ad(path)


def _annotated(adata: ad.AnnData, platform: str) -> ad.AnnData:
    """Labels as a column with NaN where there is none; of cells without regions, their type."""
    label = adata.obs["label" if "label" in adata.obs else "cell_type"].astype(object)
    adata.obs["label"] = label.where(~label.isin(NOT_ANNOTATED))
    adata.uns["platform"] = platform
    adata.var_names_make_unique()
    return adata
