"""Map of the domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array

from transst_py._core.typing import SpatialDataLike
from transst_py.pl._colors import MISSING_COLOR, domain_colors
from transst_py.pl._legend import dot, in_title, legend_beside, legend_width
from transst_py.pl._panels import draw_panels
from transst_py.tl._gate import check_anndata, check_obs_column

__all__ = ["domains"]


def domains(
    adata: AnnData | SpatialDataLike,
    *,
    key: str = "transst",
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    palette: Mapping[str, str] | Sequence[str] | None = None,
    spot_size: float | None = None,
    image: bool | str | None = None,
    alpha: float = 1.0,
    title: str | None = None,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw each spot in the colour of its domain.

    Colours follow the order of the categories, not of appearance: a domain keeps its colour in every
    subset and sample. Spots without a domain are light grey.

    Parameters
    ----------
    adata
        Spots with domains. Of a SpatialData: its only table.
    key
        Column of `adata.obs` with the domains (or any other labels).
    spatial_key
        Key of the coordinates in `adata.obsm`; the first two are drawn.
    sample_key
        Column of `adata.obs` with the samples, each drawn in a panel of its own.
    palette
        Own colours: name -> colour, or one a domain, such as scanpy's `adata.uns[key + "_colors"]`.
    spot_size
        Diameter in units of the coordinates; None is the distance between neighbouring spots, over an image
        0.7 of it.
    image
        Image of the tissue to draw behind the spots, "hires" or "lowres" of
        `adata.uns["spatial"][library]["images"]`; True is the better one that there is, None is no image. The
        libraries are named as the samples. The coordinates must be in pixels of the full resolution.
    alpha
        Opacity of the spots, from 0 to 1.
    title
        Title; None is `key`, or the sample's name.
    legend
        List the domains: beside the figure's panels, or beside `ax`.
    ax
        Where to draw; None makes a figure. Not together with `sample_key`.

    Returns
    -------
    The Axes; with `sample_key` an object array of them, one a sample. `axes.figure` is the figure.

    Raises
    ------
    KeyError
        No such column, coordinates or image.
    ValueError
        A spot has no sample, the palette lacks a domain, both `ax` and `sample_key` are given, it cannot be
        told which library a sample is, or its spots lie outside of the image.
    """
    adata = check_anndata(adata, in_memory=None)
    labels = check_obs_column(adata, key, argument="key").astype("category")
    names = [str(name) for name in labels.cat.categories]
    colors = domain_colors(names, palette)
    # Code -1 (no domain) picks the last row.
    spot_colors = to_rgba_array([*colors.values(), MISSING_COLOR])[labels.cat.codes.to_numpy()]
    entries = {**colors, "no domain": MISSING_COLOR} if labels.isna().any() else colors
    axes, _ = draw_panels(
        adata,
        lambda rows: {"facecolors": spot_colors[rows]},
        title=title if title is not None else in_title(key),
        spatial_key=spatial_key,
        sample_key=sample_key,
        spot_size=spot_size,
        image=image,
        alpha=alpha,
        ax=ax,
        extra_width=legend_width(list(entries)) if legend else 0.0,
    )
    if legend:
        legend_beside(axes[-1], [dot(color, name) for name, color in entries.items()], own_figure=ax is None)
    return axes if sample_key is not None else axes[0]
