"""Legends beside the panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

__all__ = ["dot", "legend_beside"]

MAX_LEGEND_ROWS = 15


def dot(color: str, label: str, size: float = 7.0) -> Line2D:
    """Return the legend's entry for discs of a colour; the size is a diameter in points."""
    return Line2D([], [], marker="o", linestyle="", markersize=size, color=color, label=label)


def legend_beside(ax: Axes, handles: Sequence[Line2D], *, own_figure: bool, **options: Any) -> None:
    """List the handles: beside all panels of our own figure, or beside the user's Axes."""
    options = {"frameon": False, "ncols": -(-len(handles) // MAX_LEGEND_ROWS), **options}
    if own_figure:
        ax.figure.legend(handles=handles, loc="outside right center", **options)
    else:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), **options)
