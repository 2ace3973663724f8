"""HER2-positive breast cancer, legacy Spatial Transcriptomics (Andersson et al. 2021)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from transst_py.datasets._files import fetch, read_registry

__all__ = ["her2st"]

COMMIT = "85df7411b987a7dec3feff9718b869a7a82091ec"
BASE_URL = f"https://raw.githubusercontent.com/almaan/her2st/{COMMIT}/"
CITATION = (
    "Andersson A, et al. Spatial deconvolution of HER2-positive breast cancer delineates tumor-associated "
    "cell type interactions. Nature Communications 12, 6012 (2021)"
)


def her2st(section: str) -> AnnData:
    """Load one section of the public HER2-positive breast cancer study.

    The files are looked up in the folder of the environment variable `TRANSST_DATA_DIR` (same relative
    paths as in the repository almaan/her2st), then in the local cache, then downloaded; their sha256 is
    verified in every case.

    Parameters
    ----------
    section
        Patient letter and slice number. A1 B1 C1 D1 E1 F1 G2 H1 have a pathologist's labels.

    Returns
    -------
    AnnData of the n spots that are both in the count table and selected under the tissue, in the order of
    the count table:

    `X`
        Raw counts, csr float32 (n, genes).
    `obs_names`
        Lattice position as `"XxY"`.
    `obs["array_row"]`, `obs["array_col"]`
        Lattice row (y) and column (x), int64.
    `obs["label"]`
        The pathologist's label, categorical; NaN for a spot without one, and "undetermined" as in the
        source. Sections that were not annotated have no such column, so that asking for their labels
        fails at once.
    `obsm["spatial"]`
        Position (x, y) in pixels of the section's image, float64 (n, 2).
    `uns["source"]`
        Where the data come from: data set, section, commit, address, citation.

    Raises
    ------
    ValueError
        There is no such section, or a file is not the published one.
    DataUnavailableError
        A file is in neither place and cannot be downloaded.
    """
    registry = read_registry("her2st_registry.txt")
    counts_path, spots_path, labels_path = _section_paths(section)
    _check_section(section, registry)
    counts = _read_counts(_fetch(counts_path, registry))
    spots = _read_spots(_fetch(spots_path, registry))
    adata = _assemble(counts, spots, section)
    if labels_path in registry:
        labels = _read_labels(_fetch(labels_path, registry))
        adata.obs["label"] = pd.Categorical(labels.reindex(adata.obs_names))
    return adata


def _section_paths(section: str) -> tuple[str, str, str]:
    """Return the relative paths of a section's counts, spots and labels."""
    return (
        f"data/ST-cnts/{section}.tsv.gz",
        f"data/ST-spotfiles/{section}_selection.tsv",
        f"data/ST-pat/lbl/{section}_labeled_coordinates.tsv",
    )


def _check_section(section: str, registry: dict[str, str]) -> None:
    if _section_paths(section)[0] not in registry:
        known = sorted(Path(path).name.split(".")[0] for path in registry if path.startswith("data/ST-cnts/"))
        raise ValueError(f"`section`: there is no section {section!r}; choose one of {', '.join(known)}")


def _fetch(path: str, registry: dict[str, str]) -> Path:
    return fetch(path, registry=registry, base_url=BASE_URL)


def _read_counts(path: Path) -> pd.DataFrame:
    """Read the (spots x genes) count table, indexed by "XxY"."""
    return pd.read_csv(path, sep="\t", index_col=0)


def _read_spots(path: Path) -> pd.DataFrame:
    """Read the spots under the tissue, indexed by "XxY"."""
    spots = pd.read_csv(path, sep="\t")
    spots = spots[spots["selected"] == 1]
    return spots.set_index(_spot_names(spots["x"], spots["y"]))


def _read_labels(path: Path) -> pd.Series:
    """Read the pathologist's labels, indexed by "XxY".

    The file gives positions as measured in the image, a fraction of a spot off the lattice.
    """
    table = pd.read_csv(path, sep="\t").dropna(subset=["x", "y"])
    names = _spot_names(table["x"].round().astype(int), table["y"].round().astype(int))
    return table["label"].set_axis(names)


def _spot_names(x: pd.Series, y: pd.Series) -> pd.Index:
    return pd.Index(x.astype(str) + "x" + y.astype(str))


def _assemble(counts: pd.DataFrame, spots: pd.DataFrame, section: str) -> AnnData:
    counts = counts[counts.index.isin(spots.index)]
    spots = spots.loc[counts.index]
    adata = AnnData(
        X=sp.csr_matrix(counts.to_numpy(dtype=np.float32)),
        obs=spots[["y", "x"]].set_axis(["array_row", "array_col"], axis=1),
        var=pd.DataFrame(index=counts.columns),
    )
    adata.obs_names.name = None
    adata.obsm["spatial"] = spots[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64)
    adata.uns["source"] = {
        "dataset": "her2st",
        "section": section,
        "commit": COMMIT,
        "url": BASE_URL,
        "citation": CITATION,
    }
    return adata
