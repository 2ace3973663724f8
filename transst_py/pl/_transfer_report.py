"""Picture of the check-up of a transfer: trust in the sources, smoothing of labels, domains and classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from transst_py._core.typing import SpatialDataLike
from transst_py.domains.naming import MIN_CORRELATION
from transst_py.pl._legend import in_picture, text_width
from transst_py.source.labels import UNKNOWN
from transst_py.source.selection import MIN_RELEVANCE
from transst_py.tl._transfer_report import transfer_report as report
from transst_py.transfer.hidden_labels import MIN_TRUST

__all__ = ["transfer_report"]

GIVEN, WITHHELD, RELEVANCE, SAY = "#0072B2", "#999999", "#9FC9E5", "#D55E00"
# Room for the names of sources and classes that every figure has, in inches.
USUAL_NAMES = 3.0


def transfer_report(adata: AnnData | SpatialDataLike, *, key: str = "transst") -> list[Axes]:
    """Draw how far the sources are trusted, what averaging suits their labels, and what the domains resemble.

    Left: relevance of every source, and trust in its labels where they were tested. Middle, where that was
    so: the score (adjusted Rand index) of hidden labels for every number of rounds of averaging over
    neighbours; settings with a say are outlined. Right: correlation of every domain with the class most
    alike. Sources that were not used, and domains without the name of a class, are grey; dashed lines are
    what is asked for at least, lines at the bars 95 % intervals, of which only the lower end decides.

    Parameters
    ----------
    adata
        Result of `tl.transst` with a source. Of a SpatialData: its only table.
    key
        Name of the result.

    Returns
    -------
    The Axes, two or three; `axes[0].figure` is the figure.

    Raises
    ------
    KeyError
        As `tl.transfer_report`.
    """
    found = report(adata, key=key)
    tested = not found.smoothing.empty
    grid = tested and len(found.smoothing) > 1
    rows = max((1 + tested) * len(found.sources), len(found.domains), 4 if grid else 2)
    likely = [_like(*one) for one in zip(found.domains["domain"], found.domains["likely"], strict=True)]
    names = text_width(list(found.sources["source"])) + text_width(likely)
    size = ((13.5 if grid else 9.0) + max(names - USUAL_NAMES, 0.0), 1.2 + 0.36 * rows)
    axes = list(Figure(figsize=size, layout="constrained").subplots(1, 3 if grid else 2))
    _sources(axes[0], found.sources, tested)
    if grid:
        _smoothing(axes[1], found.smoothing)
    _domains(axes[-1], found.domains, likely)
    return axes


def _like(domain: str, likely: str) -> str:
    """A domain and the class that it is most like."""
    return f"{in_picture(domain)}: {'none' if likely == UNKNOWN else in_picture(likely)}"


def _sources(ax: Axes, sources: pd.DataFrame, tested: bool) -> None:
    at = np.arange(len(sources))
    used = sources["used"].to_numpy(dtype=bool)
    height, shift = (0.36, 0.19) if tested else (0.7, 0.0)
    _bars(ax, at - shift, sources["relevance"].to_numpy(), used, RELEVANCE if tested else GIVEN, height)
    ax.set_xlabel("relevance (0 chance, 1 a neighbouring slice)")
    limit, label = MIN_RELEVANCE, None
    if tested:
        _bars(ax, at + shift, sources["trust"].to_numpy(), used, GIVEN, height)
        limit, label = MIN_TRUST, f"needed: {MIN_TRUST:.2f}"
        ax.set_xlabel("relevance (light), trust in the labels (dark)")
    ax.axvline(limit, color="black", linestyle="--", linewidth=0.8, label=label)
    ax.set_yticks(at, map(in_picture, sources["source"]))
    ax.invert_yaxis()
    ax.set_title("sources", loc="left")


def _smoothing(ax: Axes, smoothing: pd.DataFrame) -> None:
    table = smoothing.pivot(index="label_rounds", columns="feature_rounds", values="score")
    weight = smoothing.pivot(index="label_rounds", columns="feature_rounds", values="weight")
    image = ax.imshow(table, cmap="viridis", aspect="auto")
    middle = (np.nanmin(table) + np.nanmax(table)) / 2
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        color = "black" if value > middle else "white"
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", size=9, color=color)
        if weight.iloc[i, j] > 0:
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=SAY, linewidth=2))
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(table.shape[0]), table.index)
    ax.set_xlabel("rounds of averaging the expression")
    ax.set_ylabel("rounds of averaging\nthe probabilities")
    ax.set_title("score on hidden labels", loc="left")
    ax.figure.colorbar(image, ax=ax, shrink=0.9)


def _domains(ax: Axes, domains: pd.DataFrame, names: list[str]) -> None:
    at = np.arange(len(domains))
    values = domains["correlation"].to_numpy(dtype=np.float64)
    _bars(ax, at, values, (domains["name"] != UNKNOWN).to_numpy(dtype=bool), GIVEN, 0.7)
    ax.set_yticks(at, names)
    ax.invert_yaxis()
    ax.hlines(at, domains["lower"].to_numpy(dtype=np.float64), values, color="black", linewidth=1)
    ax.axvline(MIN_CORRELATION, color="black", linestyle="--", linewidth=0.8)
    ax.set_xlabel("correlation with the class most alike")
    ax.set_title("domains" if len(values) else "domains: no source was used", loc="left")


def _bars(ax: Axes, at: np.ndarray, values: np.ndarray, given: np.ndarray, color: str, height: float) -> None:
    ax.barh(at, np.nan_to_num(values), color=np.where(given, color, WITHHELD), height=height)
    ax.axvline(0, color="#999999", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0), max(high, 1))
