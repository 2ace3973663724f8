"""Maps of all spots: a panel for each sample, over its image if wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection

from transst_py._validation import check_coordinates, check_samples
from transst_py.pl._images import draw_image, find_images
from transst_py.pl._spots import draw_spots, new_axes, spot_diameter

__all__ = ["draw_panels", "shown_diameter"]

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
    if ax is not None and sample_key is not None:
        raise ValueError("give either `ax` or `sample_key`: several samples need several Axes")
    xy = check_coordinates(adata, spatial_key)[:, :2]
    samples = {title: np.arange(adata.n_obs)} if sample_key is None else _rows_of_samples(adata, sample_key)
    images = find_images(adata, image, None if sample_key is None else list(samples))
    axes = np.array([ax]) if ax is not None else new_axes(len(samples), extra_width=extra_width)
    for panel, (name, rows), background in zip(axes, samples.items(), images, strict=True):
        diameter = shown_diameter(xy[rows], spot_size, over_image=background is not None)
        discs = draw_spots(panel, xy[rows], diameter=diameter, title=name, alpha=alpha, **style(rows))
        if background is not None:
            draw_image(panel, background)
    return axes, discs


def shown_diameter(xy: np.ndarray, spot_size: float | None, *, over_image: bool) -> float:
    """Return the diameter of spots at positions (n, 2): the one given, or what suits their distance."""
    if spot_size is not None:
        return spot_size
    return spot_diameter(xy) * (SHARE_OVER_IMAGE if over_image else 1.0)


def _rows_of_samples(adata: AnnData, sample_key: str) -> dict[str, np.ndarray]:
    """Return the row numbers of each sample, in the order of the categories."""
    codes = check_samples(adata, sample_key).cat
    return {str(name): np.flatnonzero(codes.codes == i) for i, name in enumerate(codes.categories)}
