"""Curve over the penalty of the transfer: how well the target is predicted, from no to full transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transst_py._core.typing import SpatialDataLike
from transst_py.tl._record import fit_record, numbers

__all__ = ["transfer_path"]

COLOR = "#0072B2"
ENDS = {0.0: "0\nno transfer", np.inf: "∞\nfull transfer"}


def transfer_path(adata: AnnData | SpatialDataLike, *, key: str = "transst", ax: Axes | None = None) -> Axes:
    """Draw the cross-validated error against the penalty that draws the loadings to the source's.

    At penalty 0 the target is on its own (no transfer), at infinity it takes the source's loadings as they
    are (full transfer). The bars are standard errors, over the folds, of the difference from the smallest
    error, which has none. The chosen penalty is marked.

    Parameters
    ----------
    adata
        Result of `tl.transst` with a source. Of a SpatialData: its only table.
    key
        Name of the result.
    ax
        Where to draw; None makes a figure.

    Returns
    -------
    The Axes; `axes.figure` is the figure.

    Raises
    ------
    KeyError
        `adata.uns` has no such result, or it was fitted without a source.
    """
    record = _record(adata, key)
    penalties = numbers(record["cv_penalties"])
    errors = np.asarray(record["cv_errors"], dtype=np.float64).reshape(-1, len(penalties))
    chosen = float(record["penalty"])
    if ax is None:
        ax = Figure(figsize=(6.0, 3.8), layout="constrained").subplots()
    x = _positions(penalties)
    mean = errors.mean(axis=0)
    inner = _inner(penalties)
    ax.axvline(x[penalties == chosen][0], color="#999999", linestyle="--", linewidth=1, zorder=0)
    # Dotted up to the ends, which lie at no finite distance.
    ax.plot(x, mean, color=COLOR, linestyle=":", linewidth=1.2)
    ax.plot(x[inner], mean[inner], color=COLOR, linewidth=1.5)
    ax.errorbar(
        x,
        mean,
        yerr=numbers(record["cv_standard_errors"]),
        fmt="o",
        markersize=4,
        elinewidth=1,
        capsize=2,
        color=COLOR,
    )
    ax.plot(x[penalties == chosen], mean[penalties == chosen], marker="o", markersize=9, color=COLOR)
    ax.set_xticks(*_ticks(penalties, x))
    ax.set(
        xlabel="penalty\n(bars: standard errors of the difference from the smallest)",
        ylabel="share of held-out variance\nleft unexplained",
        title=_title(record, chosen),
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _record(adata: AnnData | SpatialDataLike, key: str) -> Mapping[str, Any]:
    transfer = fit_record(adata, key)["transfer"]
    if transfer.get("encoder") == "graph-vae":
        raise KeyError(f"`key`: uns[{key!r}] has no penalties to draw: encoder='graph-vae' has none")
    if not np.size(transfer["cv_penalties"]):
        raise KeyError(
            f"`key`: uns[{key!r}] has no penalties to draw, since nothing was transferred; "
            "give `tl.transst` a `source`"
        )
    return dict(transfer)


def _inner(penalties: np.ndarray) -> np.ndarray:
    """Tell which penalties are neither of the two ends, logical (n,)."""
    return np.asarray(np.isfinite(penalties) & (penalties > 0))


def _positions(penalties: np.ndarray) -> np.ndarray:
    """Return the decades of the penalties, (n,), with 0 and infinity one beyond the others."""
    inner = _inner(penalties)
    decades = np.log10(penalties, out=np.zeros_like(penalties), where=inner)
    low, high = (decades[inner].min(), decades[inner].max()) if inner.any() else (0.0, 0.0)
    return np.select([penalties == 0, np.isinf(penalties)], [low - 1, high + 1], decades)


def _ticks(penalties: np.ndarray, x: np.ndarray) -> tuple[list[float], list[str]]:
    """Return where to put ticks, and their texts: at powers of ten, and at the two ends if they are there."""
    inner = _inner(penalties)
    places: list[float] = []
    if inner.any():
        powers = np.arange(np.ceil(x[inner].min()), np.floor(x[inner].max()) + 1)
        places = list(powers[:: 2 if len(powers) > 5 else 1] if len(powers) > 1 else x[inner])
    ticks = {place: f"{10**place:g}" for place in places}
    ticks |= {place: ENDS[penalty] for place, penalty in zip(x, penalties, strict=True) if penalty in ENDS}
    return list(ticks), list(ticks.values())


def _title(record: Mapping[str, Any], chosen: float) -> str:
    number = "∞" if np.isinf(chosen) else f"{chosen:g}"
    meaning = {0.0: " (no transfer)", np.inf: " (full transfer)"}.get(chosen, "")
    classes = "\nthe domains follow the source's classes" if record["transferred"] == "classes" else ""
    return f"penalty {number} chosen{meaning}{classes}"
