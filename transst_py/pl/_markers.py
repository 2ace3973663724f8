"""Marker genes in the domains: dot plot and heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from transst_py._core.typing import SpatialDataLike
from transst_py._core.validation import check_choice, check_names, check_whole_number, list_some
from transst_py.expression.normalize import log_expression
from transst_py.pl._colors import domain_colors
from transst_py.pl._genes import find_genes, shown_names
from transst_py.pl._legend import dot, in_picture, legend_beside, text_width
from transst_py.tl._gate import check_anndata, check_matrix, check_obs_column
from transst_py.tl._record import check_same_fit

__all__ = ["marker_table", "markers", "top_markers"]

KINDS = ("dot", "heatmap")
# Diameter in points of the disc of a gene that all spots of a domain have.
LARGEST_DOT = 14.0


def markers(
    adata: AnnData | SpatialDataLike,
    *,
    key: str = "transst",
    n_genes: int = 5,
    genes: Sequence[str] | None = None,
    gene_symbols: str | None = None,
    kind: str = "dot",
    cmap: str = "viridis",
    ax: Axes | None = None,
) -> Axes:
    """Draw the best marker genes of every domain in all domains.

    The colour is the mean log-normalised expression in the domain, scaled from 0 in the gene's lowest domain
    to 1 in its highest. In the dot plot the disc's area is the share of the domain's spots that have the
    gene at all. The bars above the genes have the colours of `pl.domains`.

    Parameters
    ----------
    adata
        Result of `tl.rank_domain_genes`. Of a SpatialData: its only table.
    key
        Name of the domains, as it was given there.
    n_genes
        How many genes of every domain. A gene that is a marker of several is shown for the domain where its
        score is highest; where a test was against several domains, the smallest of its scores counts.
    genes
        Draw these, in this order; None takes the best. Names or symbols.
    gene_symbols
        Column of `adata.var` with the names to show; None shows `var_names`.
    kind
        "dot" or "heatmap".
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
        The genes were not ranked, or there is no such column, layer or gene.
    TypeError, ValueError
        Unknown `kind`, no gene, `genes` is a single text or has a symbol of several genes, or `n_genes` is no
        whole number from 1 on.
    """
    adata = check_anndata(adata)
    check_choice("kind", kind, KINDS)
    check_names("genes", genes)
    groups = {"": list(genes)} if genes is not None else top_markers(marker_table(adata, key), n_genes)
    chosen = find_genes(adata, [gene for names in groups.values() for gene in names], gene_symbols)
    if not chosen:
        raise ValueError("`genes`: there is no gene to draw; no gene is higher in a domain than outside")
    profile = _profile(adata, key, chosen)
    shown = list(shown_names(adata, gene_symbols)[adata.var_names.get_indexer(chosen)])
    own_figure = ax is None
    if ax is None:
        # Room for the names at the left, below and, where they are long, above.
        names = text_width(profile.domains)
        width = 2.8 + 0.28 * len(shown) + names
        height = 0.8 + 0.32 * len(profile.domains) + text_width(shown) + 0.5 * names
        ax = Figure(figsize=(width, height), layout="constrained").subplots()
    norm = Normalize(0, 1)
    if kind == "dot":
        _draw_dots(ax, profile, cmap, norm)
        shares = (0.25, 0.5, 0.75, 1.0)
        handles = [dot("#777777", f"{share:.0%}", LARGEST_DOT * share**0.5) for share in shares]
        legend_beside(ax, handles, own_figure=own_figure, title="spots with\nthe gene", labelspacing=0.8)
    else:
        ax.imshow(profile.scaled, cmap=cmap, norm=norm, aspect="auto")
    colors = ScalarMappable(norm, cmap)
    ax.figure.colorbar(colors, ax=ax, label="mean expression\n(scaled for each gene)", shrink=0.8)
    _label(ax, profile.domains, shown, groups, domain_colors(_names(adata.obs[key])))
    return ax


def marker_table(adata: AnnData, key: str) -> pd.DataFrame:
    """Return the table that `tl.rank_domain_genes` wrote, `domain` as text in the order of its categories.

    Raises
    ------
    KeyError
        There is none.
    ValueError
        It is of other domains than those that are there now.
    """
    name = f"{key}_markers"
    if name not in adata.uns or f"{name}_params" not in adata.uns:
        raise KeyError(f"`key`: adata.uns has no table {name!r}; run `tl.rank_domain_genes` first")
    again = f"run `tl.rank_domain_genes` (key={key!r}) again"
    check_same_fit(adata, key, adata.uns[f"{name}_params"], f"the markers in uns[{name!r}]", again)
    table = pd.DataFrame(adata.uns[name])
    domains = adata.obs[key].astype("category").cat.categories.astype(str)
    unknown = sorted(set(table["domain"].astype(str)) - set(domains))
    if unknown:
        raise ValueError(
            f"the markers in uns[{name!r}] are of domains that obs[{key!r}] does not have "
            f"({list_some(unknown)}); {again}"
        )
    return table


def top_markers(table: pd.DataFrame, n_genes: int) -> dict[str, list[str]]:
    """Return the best genes of every domain, each gene only where it scores highest; scores are positive.

    Parameters
    ----------
    table
        Of `tl.rank_domain_genes`.
    n_genes
        How many at most of each domain.
    """
    check_whole_number("n_genes", n_genes, at_least=1)
    scores = table.groupby(["gene", "domain"], observed=True, sort=False)["score"].min().reset_index()
    scores = scores[scores["score"] > 0].sort_values("score", ascending=False, kind="stable")
    best = scores.drop_duplicates("gene")
    names = best["domain"].astype("category").cat.categories
    return {
        str(name): best.loc[best["domain"] == name, "gene"].head(n_genes).astype(str).tolist()
        for name in names
    }


@dataclass(frozen=True)
class _Profile:
    """Genes in domains; arrays are float64 (domains, genes).

    Attributes
    ----------
    domains
        Their names.
    scaled
        Mean log-normalised expression, from 0 to 1 in each gene.
    fraction
        Share of spots with a positive value.
    """

    domains: list[str]
    scaled: np.ndarray
    fraction: np.ndarray


def _profile(adata: AnnData, key: str, genes: list[str]) -> _Profile:
    """Look the genes up in the values that were tested, on the log scale."""
    params = adata.uns[f"{key}_markers_params"]
    labels = check_obs_column(adata, key, argument="key").astype("category")
    labels = labels.cat.remove_unused_categories()
    X = check_matrix(adata, None if params["layer"] == "X" else params["layer"])
    with_domain = labels.notna().to_numpy()
    X = log_expression(X[with_domain], "none" if params["normalization"] == "none" else "log")
    X = sp.csr_matrix(X[:, adata.var_names.get_indexer(genes)], dtype=np.float64)
    members = _members(labels.cat.codes.to_numpy()[with_domain])
    mean = np.asarray((members @ X).todense())
    low, high = mean.min(axis=0), mean.max(axis=0)
    return _Profile(
        domains=_names(labels),
        scaled=np.divide(mean - low, high - low, out=np.zeros_like(mean), where=high > low),
        fraction=np.asarray((members @ (X > 0).astype(np.float64)).todense()),
    )


def _members(codes: np.ndarray) -> sp.csr_matrix:
    """Return the matrix (domains, spots) whose product with values of spots is the domains' means."""
    weights = 1.0 / np.bincount(codes)[codes]
    return sp.csr_matrix((weights, (codes, np.arange(len(codes)))))


def _draw_dots(ax: Axes, profile: _Profile, cmap: str, norm: Normalize) -> None:
    y, x = np.indices(profile.scaled.shape).reshape(2, -1)
    ax.scatter(
        x,
        y,
        s=LARGEST_DOT**2 * profile.fraction.ravel(),
        c=profile.scaled.ravel(),
        cmap=cmap,
        norm=norm,
        edgecolors="#777777",
        linewidths=0.4,
    )
    n_domains, n_genes = profile.scaled.shape
    ax.set(xlim=(-0.7, n_genes - 0.3), ylim=(n_domains - 0.3, -0.7))


def _names(labels: pd.Series) -> list[str]:
    """Return the names of all domains, also of those that no spot is in: they count for the colours."""
    return [str(name) for name in labels.astype("category").cat.categories]


def _label(
    ax: Axes, domains: list[str], genes: list[str], groups: dict[str, list[str]], colors: dict[str, str]
) -> None:
    """Name genes and domains, and mark whose markers the genes are."""
    ax.set_xticks(range(len(genes)), map(in_picture, genes), rotation=90, fontstyle="italic")
    ax.set_yticks(range(len(domains)), map(in_picture, domains))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_ylabel("domain")
    owners = [(name, len(names)) for name, names in groups.items() if name in colors and names]
    # Long names lean over those to their right.
    tilt = 30 if any(len(name) > 3 * width for name, width in owners) else 0
    start = 0
    for name, width in owners:
        _draw_owner(ax, name, start, width, colors[name], tilt)
        start += width


def _draw_owner(ax: Axes, name: str, start: int, width: int, color: str, tilt: int) -> None:
    """Draw a bar with the name of a domain above its genes."""
    above = ax.get_xaxis_transform()
    bar = Rectangle((start - 0.45, 1.01), width - 0.1, 0.03, transform=above, color=color, clip_on=False)
    ax.add_patch(bar)
    ax.text(
        start + (width - 1) / 2,
        1.05,
        in_picture(name),
        transform=above,
        ha="left" if tilt else "center",
        va="bottom",
        rotation=tilt,
        rotation_mode="anchor",
        fontsize="small",
    )
