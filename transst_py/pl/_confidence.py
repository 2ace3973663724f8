"""Map of how sure the domains are."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from transst_py._core.typing import SpatialDataLike
from transst_py.pl._colors import MISSING_COLOR
from transst_py.pl._legend import in_title
from transst_py.pl._panels import draw_panels
from transst_py.tl._gate import check_anndata, check_obs_column

__all__ = ["confidence"]


def confidence(
    adata: AnnData | SpatialDataLike,
    *,
    key: str = "transst",
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    cmap: str = "viridis",
    spot_size: float | None = None,
    image: bool | str | None = None,
    alpha: float = 1.0,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw how probable each spot's domain is, given the spot and its neighbours' domains.

    The colours reach from 0 to 1 in every plot, so that plots can be compared. Spots without a value are
    light grey.

    Parameters
    ----------
    adata
        Result of `tl.transst`. Of a SpatialData: its only table.
    key
        Name of the result; the values are those of `adata.obs[key + "_confidence"]`.
    spatial_key, sample_key, spot_size, image, alpha, ax
        As in `pl.domains`.
    cmap
        Name of a matplotlib colour map.
    title
        Title; None is the name of the column, or the sample's name.

    Returns
    -------
    The Axes; with `sample_key` an object array of them, one a sample. `axes.figure` is the figure.

    Raises
    ------
    KeyError
        No such column, coordinates or image.
    ValueError
        The column holds something else than probabilities; and as in `pl.domains`.
    """
    adata = check_anndata(adata, in_memory=None)
    name = f"{key}_confidence"
    values = _probabilities(adata, name)
    colors = mpl.colormaps[cmap].with_extremes(bad=MISSING_COLOR)
    axes, discs = draw_panels(
        adata,
        lambda rows: {"array": np.ma.masked_invalid(values[rows]), "cmap": colors, "norm": Normalize(0, 1)},
        title=title if title is not None else in_title(name),
        spatial_key=spatial_key,
        sample_key=sample_key,
        spot_size=spot_size,
        image=image,
        alpha=alpha,
        ax=ax,
        extra_width=1.0,
    )
    axes[0].figure.colorbar(
        ScalarMappable(discs.norm, colors), ax=list(axes), label="probability of the domain", shrink=0.7
    )
    return axes if sample_key is not None else axes[0]


def _probabilities(adata: AnnData, name: str) -> np.ndarray:
    column = check_obs_column(adata, name, argument="key")
    values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    wrong = (values < 0) | (values > 1 + 1e-9)
    if wrong.any():
        raise ValueError(
            f"`key`: adata.obs[{name!r}] holds {values[wrong][0]:g}, which is no probability; "
            "give the name of a result of `tl.transst`"
        )
    return values
