"""Legends beside the panels, and names in all pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

__all__ = ["dot", "in_picture", "in_title", "legend_beside", "legend_width", "text_width"]

MAX_LEGEND_ROWS = 15
# Letters of a name: figures grow with the longest, but not with the titles of their panels.
MAX_LETTERS, MAX_TITLE = 60, 40
# Mean width of a letter of usual size, in inches.
LETTER = 0.085


def in_picture(name: Any, most: int = MAX_LETTERS) -> str:
    """Return a name from the data on one line, cut if it is too long."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(name))
    return text if len(text) <= most else text[: most - 3] + "..."


def in_title(*names: Any) -> str:
    """Return one or two names as the title of a panel, which is no wider than that."""
    return ", ".join(in_picture(name, MAX_TITLE // len(names)) for name in names)


def dot(color: str, label: str, size: float = 7.0) -> Line2D:
    """Return the legend's entry for discs of a colour; the size is a diameter in points."""
    return Line2D([], [], marker="o", linestyle="", markersize=size, color=color, label=in_picture(label))


def text_width(names: Sequence[str]) -> float:
    """Return about how wide the longest of some names is in a picture, in inches."""
    return LETTER * max((len(in_picture(name)) for name in names), default=0)


def legend_width(names: Sequence[str]) -> float:
    """Return about how wide a legend of discs is, in inches."""
    return _n_columns(names) * (0.6 + text_width(names))


def _n_columns(entries: Sequence[Any]) -> int:
    return -(-len(entries) // MAX_LEGEND_ROWS)


def legend_beside(ax: Axes, handles: Sequence[Line2D], *, own_figure: bool, **options: Any) -> None:
    """List the handles: beside all panels of our own figure, or beside the user's Axes."""
    options = {"frameon": False, "ncols": _n_columns(handles), **options}
    if own_figure:
        ax.figure.legend(handles=handles, loc="outside right center", **options)
    else:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), **options)
