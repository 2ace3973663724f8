"""Map of imputed expression beside the measured one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize

from transst_py._validation import check_coordinates, check_obs_column
from transst_py.pl._images import draw_image, find_images
from transst_py.pl._panels import shown_diameter
from transst_py.pl._spots import draw_spots, new_axes

__all__ = ["imputation"]


def imputation(
    adata: AnnData,
    gene: str,
    *,
    layer: str = "imputed",
    truth: str | np.ndarray | None = None,
    spatial_key: str = "spatial",
    cmap: str = "viridis",
    spot_size: float | None = None,
    image: bool | str | None = None,
    alpha: float = 1.0,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw a gene at the measured spots and, beside it, at all spots after imputation.

    Given the truth of spots that were hidden, two more panels show what was measured at all spots, and the
    error at the hidden ones. All panels but the error share one colour scale.

    Parameters
    ----------
    adata
        Result of `transst_py.tl.impute`, with `obs["measured"]`.
    gene
        Name of the gene.
    layer
        Layer with the imputed values.
    truth
        Values of the gene where `obs["measured"]` is False, on the scale of the imputed ones: the name of a
        layer, or an array (n_obs,). What it holds at the measured spots is not looked at.
    spatial_key
        Key of the coordinates in `adata.obsm`; the first two are drawn.
    cmap
        Name of a matplotlib colour map; that of the error is red for too high, blue for too low.
    spot_size
        Diameter in units of the coordinates; None is the distance between neighbouring spots of the
        panel, over an image 0.7 of it.
    image, alpha
        As in `pl.domains`. What `tl.impute(task="densify")` returns has no images: copy `uns["spatial"]`.
    ax
        Draw only the imputed panel, here.

    Returns
    -------
    Object array of the two Axes, measured and imputed, with `truth` of the four, then truth and error; or
    `ax`.

    Raises
    ------
    KeyError
        No such gene, layer, coordinates or image, or no `obs["measured"]`.
    ValueError
        The gene was not imputed; `truth` has another length or misses a hidden spot, no spot is hidden, or
        it is given together with `ax`; `image` cannot be drawn (see `pl.domains`).
    """
    values = _gene_values(adata, gene, layer)
    xy = check_coordinates(adata, spatial_key)[:, :2]
    background = find_images(adata, image, None)[0]
    spots = _Spots(xy, spot_size, alpha, over_image=background is not None)
    measured = check_obs_column(adata, "measured", argument="adata").to_numpy(dtype=bool)
    everywhere = np.ones(adata.n_obs, dtype=bool)
    panels = [("measured", values, measured), ("imputed", values, everywhere)][ax is not None :]
    if truth is not None:
        if ax is not None:
            raise ValueError("`ax` takes one panel, `truth` makes four: give one of them")
        known = np.where(measured, values, _true_values(adata, gene, truth, measured))
        panels.append(("truth", known, everywhere))
    n_panels = len(panels) + (truth is not None)
    axes = np.array([ax]) if ax is not None else new_axes(n_panels, extra_width=float(n_panels // 2))
    norm = Normalize(*_range([shown_values[shown] for _, shown_values, shown in panels]))
    for panel, (name, array, shown) in zip(axes, panels, strict=False):
        title = f"{gene}\n{name}, {shown.sum()} spots"
        spots.draw(panel, title, array, shown, like=shown, cmap=cmap, norm=norm)
    figure = axes[0].figure
    shown_panels = list(axes[: len(panels)])
    figure.colorbar(ScalarMappable(norm, cmap), ax=shown_panels, label=_scale(adata), shrink=0.7)
    if truth is not None:
        _draw_error(axes[-1], gene, spots, values - known, ~measured)
    _share_limits(axes)
    if background is not None:
        for panel in axes:
            draw_image(panel, background)
    return axes[0] if ax is not None else axes


@dataclass(frozen=True)
class _Spots:
    """All spots at (n, 2), and how to draw some of them."""

    xy: np.ndarray
    spot_size: float | None
    alpha: float
    over_image: bool

    def draw(
        self, ax: Axes, title: str, values: np.ndarray, shown: np.ndarray, *, like: np.ndarray, **style: Any
    ) -> EllipseCollection:
        """Draw the `shown` ones, as large as suits the distances of those that are `like` them."""
        return draw_spots(
            ax,
            self.xy[shown],
            diameter=shown_diameter(self.xy[like], self.spot_size, over_image=self.over_image),
            title=title,
            array=values[shown],
            alpha=self.alpha,
            **style,
        )


def _draw_error(ax: Axes, gene: str, spots: _Spots, error: np.ndarray, hidden: np.ndarray) -> None:
    """Draw the error at the hidden spots, white for none."""
    largest = np.abs(error[hidden]).max()
    discs = spots.draw(
        ax,
        f"{gene}\nerror, {hidden.sum()} hidden spots",
        error,
        hidden,
        like=np.ones_like(hidden),
        cmap="RdBu_r",
        norm=Normalize(-largest, largest),
    )
    ax.figure.colorbar(ScalarMappable(discs.norm, discs.cmap), ax=ax, label="imputed - truth", shrink=0.7)


def _share_limits(axes: np.ndarray) -> None:
    """Show the same part of the tissue in all panels, so that a place is at the same spot of each."""
    x, y = np.array([panel.get_xlim() for panel in axes]), np.array([panel.get_ylim() for panel in axes])
    for panel in axes:
        panel.set(xlim=(x[:, 0].min(), x[:, 1].max()), ylim=(y[:, 0].max(), y[:, 1].min()))


def _range(parts: list[np.ndarray]) -> tuple[float, float]:
    return min(part.min() for part in parts), max(part.max() for part in parts)


def _true_values(adata: AnnData, gene: str, truth: str | np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return the truth of all spots, of which the hidden ones must be known."""
    if isinstance(truth, str):
        if truth not in adata.layers:
            raise KeyError(f"`truth`: adata has no layer {truth!r}")
        truth = adata.obs_vector(gene, layer=truth)
    values = np.asarray(truth, dtype=np.float64)
    if values.shape != (adata.n_obs,):
        raise ValueError(f"`truth` must be of shape ({adata.n_obs},), a value per spot, got {values.shape}")
    if measured.all():
        raise ValueError("`truth`: no spot is hidden, adata.obs['measured'] is True for all")
    missing = ~np.isfinite(values[~measured])
    if missing.any():
        raise ValueError(f"`truth` is missing at {missing.sum()} of {missing.size} hidden spots")
    return values


def _gene_values(adata: AnnData, gene: str, layer: str) -> np.ndarray:
    if gene not in adata.var_names:
        raise KeyError(f"`gene`: adata has no gene {gene!r}")
    if layer not in adata.layers:
        raise KeyError(f"`layer`: adata has no layer {layer!r}; run transst_py.tl.impute first")
    values = np.asarray(adata.obs_vector(gene, layer=layer), dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError(f"`gene`: {gene!r} was not imputed (see `genes` of transst_py.tl.impute)")
    return values


def _scale(adata: AnnData) -> str:
    """Return the label of the colour bar: what the values are."""
    logged = str(adata.uns.get("imputation", {}).get("scale", "")).startswith("log")
    return "log-normalised expression" if logged else "expression"
