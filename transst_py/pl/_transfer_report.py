"""Picture of the check-up of a transfer: relevance of the sources, likeness of domains and classes."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transst_py._typing import SpatialDataLike
from transst_py.naming import MIN_CORRELATION, UNKNOWN
from transst_py.source_selection import MIN_RELEVANCE
from transst_py.tl._transfer_report import transfer_report as report

__all__ = ["transfer_report"]

GIVEN, WITHHELD = "#0072B2", "#999999"


def transfer_report(adata: AnnData | SpatialDataLike, *, key: str = "transst") -> list[Axes]:
    """Draw how relevant the sources are, and how much the domains resemble their classes.

    Sources that were not used, and classes whose name a domain does not bear, are grey; dashed lines are what
    is asked for at least, lines at the bars 95 % intervals, of which only the lower end decides.

    Parameters
    ----------
    adata
        Result of `tl.transst` with a source. Of a SpatialData: its only table.
    key
        Name of the result.

    Returns
    -------
    The two Axes; `axes[0].figure` is the figure.

    Raises
    ------
    KeyError
        As `tl.transfer_report`.
    """
    found = report(adata, key=key)
    rows = max(len(found.sources), len(found.domains), 2)
    figure = Figure(figsize=(9.0, 1.2 + 0.36 * rows), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, list(found.sources["source"]), found.sources["relevance"].to_numpy(), found.sources["used"])
    left.axvline(MIN_RELEVANCE, color="black", linestyle="--", linewidth=0.8)
    left.set_xlabel("relevance (0 chance, 1 a neighbouring slice)")
    left.set_title("sources", loc="left")
    likely = found.domains["likely"].where(found.domains["likely"] != UNKNOWN, "none")
    names = [f"{d}: {c}" for d, c in zip(found.domains["domain"], likely, strict=True)]
    values = found.domains["correlation"].to_numpy(dtype=np.float64)
    _bars(right, names, values, found.domains["name"] != UNKNOWN)
    lower = found.domains["lower"].to_numpy(dtype=np.float64)
    right.hlines(np.arange(len(values)), lower, values, color="black", linewidth=1)
    right.axvline(MIN_CORRELATION, color="black", linestyle="--", linewidth=0.8)
    right.set_xlabel("correlation with the class most alike")
    right.set_title("domains" if len(values) else "domains: no source was used", loc="left")
    return [left, right]


def _bars(ax: Axes, names: list[str], values: np.ndarray, given: np.ndarray) -> None:
    colors = np.where(np.asarray(given, dtype=bool), GIVEN, WITHHELD)
    ax.barh(np.arange(len(names)), np.nan_to_num(values), color=colors, height=0.7)
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    ax.axvline(0, color="#999999", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0), max(high, 1))
