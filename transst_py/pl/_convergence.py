"""Curves over the iterations: whether the fit has come to rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transst_py._core.typing import SpatialDataLike
from transst_py.tl._record import fit_record, numbers

__all__ = ["convergence"]

MIXTURE_COLOR = "#0072B2"
SOURCE_COLOR = "#D55E00"
MAX_MARKERS = 40


def convergence(adata: AnnData | SpatialDataLike, *, key: str = "transst", ax: Axes | None = None) -> Axes:
    """Draw the log-likelihoods of the spatial mixture and of the source model against the iteration.

    That of the mixture, of the best of its starts, is drawn on the left axis; that of the source model, if
    there was a source, on an axis of its own at the right. Where the spots follow the labels of the source
    there is no mixture, and the source model is on the left. The title says which has converged.

    Parameters
    ----------
    adata
        Result of `tl.transst`. Of a SpatialData: its only table.
    key
        Name of the result.
    ax
        Where to draw; None makes a figure.

    Returns
    -------
    The left Axes; `axes.figure` is the figure.

    Raises
    ------
    KeyError
        `adata.uns` has no such result.
    """
    record = fit_record(adata, key)
    if ax is None:
        ax = Figure(figsize=(6.0, 3.6), layout="constrained").subplots()
    titles = []
    if np.size(record["mixture"]["log_likelihoods"]):  # none where the spots follow the source's labels
        titles.append(_draw(ax, "mixture", record["mixture"], MIXTURE_COLOR, marker="o", linestyle="-"))
    if "log_likelihoods" in record.get("source", {}):  # not of sources that no source model was fitted to
        right = ax.twinx() if titles else ax
        titles.append(_draw(right, "source model", record["source"], SOURCE_COLOR, marker="s", linestyle=":"))
    ax.set(xlabel="iteration", title="\n".join(titles))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return ax


def _draw(ax: Axes, name: str, record: Mapping[str, Any], color: str, **style: Any) -> str:
    """Draw the curve of one model, and return in words how it ended."""
    bounds = numbers(record["log_likelihoods"])
    iterations = np.arange(1, len(bounds) + 1)
    if len(bounds) > MAX_MARKERS:
        style["marker"] = ""
    ax.plot(iterations, bounds, markersize=4, linewidth=1.5, color=color, **style)
    ax.set_ylabel(f"log-likelihood of the {name}", color=color)
    ax.tick_params(axis="y", colors=color)
    ax.ticklabel_format(axis="y", style="plain", useOffset=False)
    ax.spines["top"].set_visible(False)
    return f"{name} {'converged' if record['converged'] else 'NOT converged'} after {len(bounds)} iterations"
