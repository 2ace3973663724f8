"""Maps of all spots: a panel for each sample, over its image if wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection

from transst_py.pl._images import draw_image, find_images
from transst_py.pl._legend import in_title
from transst_py.pl._spots import draw_spots, new_axes, spot_diameter
from transst_py.tl._gate import check_coordinates, check_samples
from transst_py.tl._samples import rows_of_samples

__all__ = ["draw_panels", "find_samples", "shown_diameter"]

# Spots that touch would hide the image behind them.
SHARE_OVER_IMAGE = 0.7


def draw_panels(
    adata: AnnData,
    style: Callable[[np.ndarray], dict[str, Any]],
    *,
    title: str,
    spatial_key: str,
    sample_key: str | None,
    spot_size: float | None,
    image: bool | str | None,
    alpha: float,
    ax: Axes | None,
    extra_width: float,
) -> tuple[np.ndarray, EllipseCollection]:
    """Draw the spots of every sample.

    Parameters
    ----------
    adata
        The spots.
    style
        Row numbers (m,) -> `facecolors`, or `array` with `cmap` and `norm`, for `draw_spots`.
    title
        Of the panel, if there is no `sample_key`.
    spatial_key, sample_key, spot_size, image, alpha, ax
        As in `pl.domains`.
    extra_width
        Room for a legend or colour bar, in inches.

    Returns
    -------
    Object array of the Axes, and the last panel's discs.

    Raises
    ------
    KeyError, ValueError
        As in `pl.domains`.
    """
    samples = find_samples(adata, sample_key, ax)
    xy = check_coordinates(adata, spatial_key)[:, :2]
    images = find_images(adata, image, [name for name, _ in samples])
    axes = np.array([ax]) if ax is not None else new_axes(len(samples), extra_width=extra_width)
    for panel, (name, rows), background in zip(axes, samples, images, strict=True):
        places = xy[rows]
        discs = draw_spots(
            panel,
            places,
            within=places,
            diameter=shown_diameter(places, spot_size, over_image=background is not None),
            title=title if name is None else in_title(name),
            alpha=alpha,
            **style(rows),
        )
        if background is not None:
            draw_image(panel, background)
    return axes, discs


def find_samples(
    adata: AnnData, sample_key: str | None, ax: Axes | None
) -> list[tuple[str | None, np.ndarray]]:
    """Return name and row numbers of each sample, in the order of the categories.

    Raises
    ------
    KeyError, ValueError
        As in `pl.domains`.
    """
    if ax is not None and sample_key is not None:
        raise ValueError("give either `ax` or `sample_key`: several samples need several Axes")
    samples = None if sample_key is None else check_samples(adata, sample_key)
    return rows_of_samples(samples, adata.n_obs)


def shown_diameter(xy: np.ndarray, spot_size: float | None, *, over_image: bool) -> float:
    """Return the diameter of spots at positions (n, 2): the one given, or what suits their distance."""
    if spot_size is not None:
        return spot_size
    return spot_diameter(xy) * (SHARE_OVER_IMAGE if over_image else 1.0)
