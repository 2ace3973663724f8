"""Map of imputed expression beside the measured one."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from transst_py._validation import check_coordinates, check_obs_column
from transst_py.pl._spots import draw_spots, new_axes, spot_diameter

__all__ = ["imputation"]


def imputation(
    adata: AnnData,
    gene: str,
    *,
    layer: str = "imputed",
    spatial_key: str = "spatial",
    cmap: str = "viridis",
    spot_size: float | None = None,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw a gene at the measured spots and, beside it, at all spots after imputation.

    Both panels share one colour scale.

    Parameters
    ----------
    adata
        Result of `transst_py.tl.impute`, with `obs["measured"]`.
    gene
        Name of the gene.
    layer
        Layer with the imputed values.
    spatial_key
        Key of the coordinates in `adata.obsm`; the first two are drawn.
    cmap
        Name of a matplotlib colour map.
    spot_size
        Diameter in units of the coordinates; None is the distance between neighbouring spots of the
        panel.
    ax
        Draw only the imputed panel, here.

    Returns
    -------
    Object array of the two Axes, measured and imputed; or `ax`.

    Raises
    ------
    KeyError
        No such gene, layer or coordinates, or no `obs["measured"]`.
    ValueError
        The gene was not imputed.
    """
    values = _gene_values(adata, gene, layer)
    xy = check_coordinates(adata, spatial_key)[:, :2]
    measured = check_obs_column(adata, "measured", argument="adata").to_numpy(dtype=bool)
    axes = np.array([ax]) if ax is not None else new_axes(2, extra_width=1.0)
    panels = [("imputed", np.ones(adata.n_obs, dtype=bool)), ("measured", measured)][: axes.size][::-1]
    norm = Normalize(values.min(), values.max())
    for panel, (name, shown) in zip(axes, panels, strict=True):
        diameter = spot_size if spot_size is not None else spot_diameter(xy[shown])
        title = f"{gene}\n{name}, {shown.sum()} spots"
        discs = draw_spots(
            panel, xy[shown], diameter=diameter, title=title, array=values[shown], cmap=cmap, norm=norm
        )
    figure = axes[-1].figure
    figure.colorbar(discs, ax=list(axes), label=_scale(adata), shrink=0.7)
    return axes[0] if ax is not None else axes


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
