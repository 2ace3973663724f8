"""Curves over the number of domains: the criterion that chose it, and the stability of the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from transst_py._core.typing import SpatialDataLike
from transst_py.tl._record import fit_record, numbers

__all__ = ["n_domains"]

CRITERION_COLOR = "#0072B2"
STABILITY_COLOR = "#D55E00"


def n_domains(adata: AnnData | SpatialDataLike, *, key: str = "transst", ax: Axes | None = None) -> Axes:
    """Draw the criterion and the stability of the labels against the number of domains.

    The criterion is drawn on the left axis, smaller is better, with the chosen number marked. The stability,
    on an axis of its own at the right, is the mean adjusted Rand index between fits to random parts of the
    spots, with bars of one standard deviation.

    Parameters
    ----------
    adata
        Result of `tl.transst` with several candidates in `n_domains`. Of a SpatialData: its only table.
    key
        Name of the result.
    ax
        Where to draw; None makes a figure.

    Returns
    -------
    The Axes of the criterion; `axes.figure` is the figure.

    Raises
    ------
    KeyError
        `adata.uns` has no such result, or its number of domains was given, not chosen.
    """
    record = _record(adata, key)
    table = {name: numbers(values) for name, values in record["table"].items()}
    if ax is None:
        ax = Figure(figsize=(5.0, 3.6), layout="constrained").subplots()
    criterion = str(record["criterion"])
    name = "slope criterion" if criterion == "slope" else criterion.upper()
    _draw_criterion(ax, table["n_domains"], table[criterion], int(record["chosen"]))
    ax.set_ylabel(f"{name} (smaller is better)", color=CRITERION_COLOR)
    if np.isfinite(table["stability"]).any():
        _draw_stability(ax.twinx(), table["n_domains"], table["stability"], table["stability_sd"])
    return ax


def _record(adata: AnnData | SpatialDataLike, key: str) -> dict[str, Any]:
    record = fit_record(adata, key).get("n_domains")
    if record is None:
        raise KeyError(
            f"`key`: uns[{key!r}] has no choice of the number of domains; "
            "pass several candidates to `tl.transst`, for example n_domains=range(2, 11)"
        )
    return dict(record)


def _draw_criterion(ax: Axes, candidates: np.ndarray, values: np.ndarray, chosen: int) -> None:
    ax.axvline(chosen, color="#999999", linestyle="--", linewidth=1, zorder=0)
    ax.plot(candidates, values, marker="o", markersize=4, color=CRITERION_COLOR)
    ax.plot(chosen, values[candidates == chosen][0], marker="o", markersize=9, color=CRITERION_COLOR)
    ax.set(xlabel="number of domains", title=f"{chosen} domains chosen")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.tick_params(axis="y", colors=CRITERION_COLOR)
    ax.spines["top"].set_visible(False)


def _draw_stability(ax: Axes, candidates: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> None:
    ax.errorbar(
        candidates,
        mean,
        yerr=sd,
        marker="s",
        markersize=4,
        linestyle=":",
        linewidth=1.2,
        elinewidth=1,
        color=STABILITY_COLOR,
    )
    ax.set_ylim(min(0.0, float(np.nanmin(mean - sd))), 1.05)
    ax.set_ylabel("stability (adjusted Rand index)", color=STABILITY_COLOR)
    ax.tick_params(axis="y", colors=STABILITY_COLOR)
    ax.spines["top"].set_visible(False)
