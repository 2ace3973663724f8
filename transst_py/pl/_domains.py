"""Map of the domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.lines import Line2D

from transst_py._validation import check_coordinates, check_obs_column, check_samples
from transst_py.pl._colors import MISSING_COLOR, domain_colors
from transst_py.pl._spots import draw_spots, new_axes, spot_diameter

__all__ = ["domains"]

MAX_LEGEND_ROWS = 15


def domains(
    adata: AnnData,
    *,
    key: str = "transst",
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    palette: Mapping[str, str] | Sequence[str] | None = None,
    spot_size: float | None = None,
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
        Spots with domains.
    key
        Column of `adata.obs` with the domains (or any other labels).
    spatial_key
        Key of the coordinates in `adata.obsm`; the first two are drawn.
    sample_key
        Column of `adata.obs` with the samples, each drawn in a panel of its own.
    palette
        Own colours: name -> colour, or one a domain.
    spot_size
        Diameter in units of the coordinates; None is the distance between neighbouring spots.
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
        No such column or coordinates.
    ValueError
        A spot has no sample, the palette lacks a domain, or both `ax` and `sample_key` are given.
    """
    labels = check_obs_column(adata, key, argument="key").astype("category")
    xy = check_coordinates(adata, spatial_key)[:, :2]
    names = [str(name) for name in labels.cat.categories]
    colors = domain_colors(names, palette)
    # Code -1 (no domain) picks the last row.
    spot_colors = to_rgba_array([*colors.values(), MISSING_COLOR])[labels.cat.codes.to_numpy()]
    samples = _samples(adata, sample_key, title if title is not None else key)
    if ax is not None and sample_key is not None:
        raise ValueError("give either `ax` or `sample_key`: several samples need several Axes")
    axes = np.array([ax]) if ax is not None else new_axes(len(samples), extra_width=2.0 * legend)
    for panel, (name, rows) in zip(axes, samples.items(), strict=True):
        diameter = spot_size if spot_size is not None else spot_diameter(xy[rows])
        draw_spots(panel, xy[rows], diameter=diameter, title=name, facecolors=spot_colors[rows])
    if legend:
        _add_legend(axes[-1], colors, has_missing=bool(labels.isna().any()), own_figure=ax is None)
    return axes if sample_key is not None else axes[0]


def _samples(adata: AnnData, sample_key: str | None, title: str) -> dict[str, np.ndarray]:
    """Return the row numbers of each sample, in the order of the categories."""
    if sample_key is None:
        return {title: np.arange(adata.n_obs)}
    codes = check_samples(adata, sample_key).cat
    return {str(name): np.flatnonzero(codes.codes == i) for i, name in enumerate(codes.categories)}


def _add_legend(ax: Axes, colors: dict[str, str], *, has_missing: bool, own_figure: bool) -> None:
    """List the domains: beside all panels of our own figure, or beside the user's Axes."""
    entries = {**colors, "no domain": MISSING_COLOR} if has_missing else colors
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=7, color=color, label=name)
        for name, color in entries.items()
    ]
    n_columns = -(-len(handles) // MAX_LEGEND_ROWS)
    if own_figure:
        ax.figure.legend(handles=handles, loc="outside right center", frameon=False, ncols=n_columns)
    else:
        ax.legend(
            handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, ncols=n_columns
        )
