"""Draw spots at their true size: discs in data units, so that they touch at every figure size."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from transst_py.imputation.smoothers import typical_spacing

__all__ = ["draw_spots", "new_axes", "spot_diameter"]

# Above this, a vector file with every spot becomes slow to open.
MAX_VECTOR_SPOTS = 50_000


def new_axes(n_panels: int, *, extra_width: float, max_columns: int = 4) -> np.ndarray:
    """Return the Axes of a new figure outside of pyplot: object (n_panels,).

    `extra_width` is room for a legend or colour bar, in inches.
    """
    n_cols = min(n_panels, max_columns)
    n_rows = -(-n_panels // n_cols)
    figure = Figure(figsize=(4.0 * n_cols + extra_width, 4.0 * n_rows), layout="compressed")
    axes = figure.subplots(n_rows, n_cols, squeeze=False).ravel()
    for unused in axes[n_panels:]:
        unused.remove()
    return axes[:n_panels]


def spot_diameter(xy: np.ndarray) -> float:
    """Return the typical distance of neighbouring spots, (n, 2); 1 for a single spot."""
    return typical_spacing(xy) if len(xy) > 1 else 1.0


def draw_spots(
    ax: Axes, xy: np.ndarray, *, within: np.ndarray, diameter: float, title: str, **style: Any
) -> EllipseCollection:
    """Draw spots on equal axes, with y pointing down as in an image.

    Parameters
    ----------
    ax
        Where to draw.
    xy
        Positions, (n, 2).
    within
        Positions that the panel must have room for, (m, 2), m > 0.
    diameter
        In units of the coordinates.
    title
        Title of the panel.
    **style
        `facecolors`, or `array` with `cmap` and `norm`.
    """
    discs = EllipseCollection(
        widths=np.full(len(xy), diameter),
        heights=np.full(len(xy), diameter),
        angles=np.zeros(len(xy)),
        units="xy",
        offsets=xy,
        offset_transform=ax.transData,
        linewidths=0,
        rasterized=len(xy) > MAX_VECTOR_SPOTS,
        **style,
    )
    ax.add_collection(discs)
    low, high = within.min(axis=0) - diameter, within.max(axis=0) + diameter
    ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[], title=title)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return discs
