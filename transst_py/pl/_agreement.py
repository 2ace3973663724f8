"""Table of the domains against other labels of the same spots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

from transst_py._core.typing import SpatialDataLike
from transst_py._core.validation import check_names
from transst_py.pl._legend import in_picture, text_width
from transst_py.source.labels import given_labels
from transst_py.tl._gate import check_anndata, check_obs_column

__all__ = ["agreement", "agreement_table"]

MAX_LABELS = 60


def agreement(
    adata: AnnData | SpatialDataLike,
    *,
    key: str = "transst",
    labels: str,
    exclude_labels: Sequence[str] = (),
    cmap: str = "Blues",
    ax: Axes | None = None,
) -> Axes:
    """Draw in which domains the spots of each label lie.

    A row for each label with its number of spots, a column for each domain; the numbers are the row's
    shares in percent. The title has the adjusted Rand index: 1 if labels and domains divide the spots
    alike, 0 if no more than by chance. Spots without a label or domain are left out.

    Parameters
    ----------
    adata
        Spots with domains. Of a SpatialData: its only table.
    key
        Column of `adata.obs` with the domains.
    labels
        Column of `adata.obs` with what to compare them with, such as an annotation.
    exclude_labels
        Labels that count as missing, such as "undetermined".
    cmap
        Name of a matplotlib colour map.
    ax
        Where to draw; None makes a figure.

    Returns
    -------
    The Axes; `axes.figure` is the figure.

    Raises
    ------
    KeyError
        No such column.
    ValueError
        No spot has both, or there are more than 60 different labels.
    """
    adata = check_anndata(adata, in_memory=None)
    counts, index = agreement_table(adata, key, labels, exclude_labels)
    rows = [f"{in_picture(name)} ({n})" for name, n in counts.sum(axis=1).items()]
    columns = [in_picture(name) for name in counts.columns]
    slanted = max(map(len, columns)) > 4
    if ax is None:
        width = max(4.0, 1.0 + text_width(rows) + 0.5 * len(columns))
        height = 1.6 + 0.38 * len(rows) + slanted * 0.7 * text_width(columns)
        ax = Figure(figsize=(width, height), layout="constrained").subplots()
    shares = 100 * counts.to_numpy() / counts.to_numpy().sum(axis=1, keepdims=True)
    ax.imshow(shares, cmap=cmap, vmin=0, vmax=100, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if counts.to_numpy()[row, column]:
            color = "white" if share > 55 else "black"
            text = f"{share:.0f}" if share >= 0.5 else "<1"
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize="small")
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    ax.set_xticks(range(len(columns)), columns, **slant)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    labels = in_picture(labels)
    ax.set(xlabel=f"domain ({in_picture(key)})", ylabel=f"{labels} (spots)")
    ax.set_title(f"{labels} in the domains, % of each row\nadjusted Rand index {index:.2f}")
    return ax


def agreement_table(
    adata: AnnData, key: str, labels: str, exclude_labels: Sequence[str] = ()
) -> tuple[pd.DataFrame, float]:
    """Count the spots of every label (rows) in every domain (columns), and return the adjusted Rand index.

    Raises
    ------
    KeyError, ValueError
        As in `agreement`.
    """
    found = check_obs_column(adata, key, argument="key")
    check_names("exclude_labels", exclude_labels)
    given = given_labels(check_obs_column(adata, labels, argument="labels"), exclude_labels)
    both = (found.notna() & given.notna()).to_numpy()
    if not both.any():
        raise ValueError(
            f"`labels`: no spot has both a label in obs[{labels!r}] and a domain in obs[{key!r}]"
        )
    found, given = (
        column[both].astype("category").cat.remove_unused_categories().cat.rename_categories(str)
        for column in (found, given)
    )
    if given.cat.categories.size > MAX_LABELS:
        raise ValueError(
            f"`labels`: obs[{labels!r}] has {given.cat.categories.size} different values, more than a table "
            f"of {MAX_LABELS} rows can show; give a column of classes"
        )
    return pd.crosstab(given, found), float(adjusted_rand_score(given, found))
