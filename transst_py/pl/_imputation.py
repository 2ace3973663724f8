"""Map of imputed expression beside the measured one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from transst_py._core.typing import SpatialDataLike
from transst_py.pl._genes import find_genes, shown_names
from transst_py.pl._images import draw_image, find_images
from transst_py.pl._legend import in_title
from transst_py.pl._panels import find_samples, shown_diameter
from transst_py.pl._spots import draw_spots, new_axes
from transst_py.tl._gate import check_anndata, check_coordinates, check_obs_column

__all__ = ["imputation"]


def imputation(
    adata: AnnData | SpatialDataLike,
    gene: str,
    *,
    gene_symbols: str | None = None,
    layer: str = "imputed",
    truth: str | np.ndarray | None = None,
    spatial_key: str = "spatial",
    sample_key: str | None = None,
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
        Result of `transst_py.tl.impute`, with `obs["measured"]`. Of a SpatialData: its only table.
    gene
        Name or symbol of the gene.
    gene_symbols
        Column of `adata.var` with the names to show; None shows `var_names`.
    layer
        Layer with the imputed values.
    truth
        Values of the gene where `obs["measured"]` is False, on the scale of the imputed ones: the name of a
        layer, or an array (n_obs,). What it holds at the measured spots is not looked at.
    spatial_key
        Key of the coordinates in `adata.obsm`; the first two are drawn.
    sample_key
        Column of `adata.obs` with the samples, each drawn in a row of panels of its own.
    cmap
        Name of a matplotlib colour map; that of the error is red for too high, blue for too low.
    spot_size
        Diameter in units of the coordinates; None is the distance between neighbouring spots of the
        panel, over an image 0.7 of it.
    image, alpha
        As in `pl.domains`.
    ax
        Draw only the imputed panel, here. Not together with `sample_key` or `truth`.

    Returns
    -------
    Object array of the two Axes, measured and imputed, with `truth` of the four, then truth and error; with
    `sample_key` an array of such rows, one a sample; or `ax`.

    Raises
    ------
    KeyError
        No such gene, layer, coordinates, sample column or image, or no `obs["measured"]`.
    ValueError
        The gene was not imputed; `truth` has another length or misses a hidden spot, no spot is hidden, or
        arguments do not go together; a spot has no sample; `image` cannot be drawn (see `pl.domains`).
    """
    adata = check_anndata(adata)
    if truth is not None and ax is not None:
        raise ValueError("`ax` takes one panel, `truth` makes four: give one of them")
    (gene,) = find_genes(adata, [gene], gene_symbols, argument="gene")
    name = shown_names(adata, gene_symbols)[adata.var_names.get_loc(gene)]
    columns = _columns(adata, _gene_values(adata, gene, layer), gene, truth, cmap)[ax is not None :]
    samples = find_samples(adata, sample_key, ax)
    images = find_images(adata, image, [name for name, _ in samples])
    xy = check_coordinates(adata, spatial_key)[:, :2]
    if ax is None:
        width, n_panels = len(columns), len(columns) * len(samples)
        axes = new_axes(n_panels, extra_width=float(width // 2), max_columns=width).reshape(-1, width)
    else:
        axes = np.array([[ax]])
    for panels, (sample, rows), background in zip(axes, samples, images, strict=True):
        heading = in_title(name) if sample is None else in_title(name, sample)
        for panel, column in zip(panels, columns, strict=True):
            over_image = background is not None
            column.draw(panel, heading, xy, rows, spot_size=spot_size, over_image=over_image, alpha=alpha)
        _share_limits(panels)
        if background is not None:
            for panel in panels:
                draw_image(panel, background)
    _draw_colorbar(axes[:, :3], columns[0], _scale(adata))
    if truth is not None:
        _draw_colorbar(axes[:, 3:], columns[3], "imputed - truth")
    return ax if ax is not None else axes if sample_key is not None else axes[0]


@dataclass(frozen=True)
class _Column:
    """What one panel of each sample shows; arrays have a value for each spot of all samples.

    Attributes
    ----------
    title
        With a place for the number of spots.
    values, shown
        The values, and at which spots to draw them.
    like
        The spots whose distances say how large they are drawn.
    """

    title: str
    values: np.ndarray
    shown: np.ndarray
    like: np.ndarray
    cmap: str
    norm: Normalize

    def draw(
        self,
        ax: Axes,
        heading: str,
        xy: np.ndarray,
        rows: np.ndarray,
        *,
        spot_size: float | None,
        over_image: bool,
        alpha: float,
    ) -> None:
        """Draw a sample, of which the row numbers are given; `xy` are the places of all spots, (n, 2)."""
        shown, like = rows[self.shown[rows]], rows[self.like[rows]]
        draw_spots(
            ax,
            xy[shown],
            within=xy[rows],
            diameter=shown_diameter(xy[like], spot_size, over_image=over_image),
            title=f"{heading}\n{self.title.format(len(shown))}",
            array=self.values[shown],
            cmap=self.cmap,
            norm=self.norm,
            alpha=alpha,
        )


def _columns(
    adata: AnnData, values: np.ndarray, gene: str, truth: str | np.ndarray | None, cmap: str
) -> list[_Column]:
    """Return the panels of each sample: measured and imputed, with `truth` also truth and error."""
    measured = check_obs_column(adata, "measured", argument="adata").to_numpy(dtype=bool)
    everywhere = np.ones_like(measured)
    known = values
    if truth is not None:
        known = np.where(measured, values, _true_values(adata, gene, truth, measured))
    norm = Normalize(min(values.min(), known.min()), max(values.max(), known.max()))
    columns = [
        _Column("measured, {} spots", values, measured, measured, cmap, norm),
        _Column("imputed, {} spots", values, everywhere, everywhere, cmap, norm),
    ]
    if truth is not None:
        error = values - known  # white for none
        around_0 = Normalize(-np.abs(error).max(), np.abs(error).max())
        columns += [
            _Column("truth, {} spots", known, everywhere, everywhere, cmap, norm),
            _Column("error, {} hidden spots", error, ~measured, everywhere, "RdBu_r", around_0),
        ]
    return columns


def _share_limits(axes: np.ndarray) -> None:
    """Show the same part of the tissue in all panels, so that a place is at the same spot of each."""
    x, y = np.array([panel.get_xlim() for panel in axes]), np.array([panel.get_ylim() for panel in axes])
    for panel in axes:
        panel.set(xlim=(x[:, 0].min(), x[:, 1].max()), ylim=(y[:, 0].max(), y[:, 1].min()))


def _draw_colorbar(axes: np.ndarray, column: _Column, label: str) -> None:
    colors = ScalarMappable(column.norm, column.cmap)
    axes.flat[0].figure.colorbar(colors, ax=list(axes.flat), label=label, shrink=0.7)


def _true_values(adata: AnnData, gene: str, truth: str | np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return the truth of all spots, of which the hidden ones must be known."""
    if isinstance(truth, str):
        if truth not in adata.layers:
            raise KeyError(f"`truth`: adata has no layer {truth!r}")
        truth = _layer_column(adata, gene, truth)
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
    if layer not in adata.layers:
        raise KeyError(f"`layer`: adata has no layer {layer!r}; run transst_py.tl.impute first")
    values = _layer_column(adata, gene, layer)
    if np.isnan(values).any():
        raise ValueError(f"`gene`: {gene!r} was not imputed (see `genes` of transst_py.tl.impute)")
    return values


def _layer_column(adata: AnnData, gene: str, layer: str) -> np.ndarray:
    """Return the values of a gene, float64 (n,); `obs_vector` goes with anndata 0.13."""
    values = adata.layers[layer][:, [adata.var_names.get_loc(gene)]]
    return np.asarray(values.toarray() if sp.issparse(values) else values, dtype=np.float64)[:, 0]


def _scale(adata: AnnData) -> str:
    """Return the label of the colour bar: what the values are."""
    logged = str(adata.uns.get("imputation", {}).get("scale", "")).startswith("log")
    return "log-normalised expression" if logged else "expression"
