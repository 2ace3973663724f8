"""Colours that colour-blind readers can tell apart, the same for a domain in every plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb

__all__ = ["MISSING_COLOR", "domain_colors"]

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/; black comes last because it hides overlays.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
# Shares of black (below 0) or white (above 0) mixed into the palette for further domains.
SHADES = (0.0, -0.45, 0.55)
MISSING_COLOR = "#DDDDDD"


def domain_colors(
    names: Sequence[str], palette: Mapping[str, str] | Sequence[str] | None = None
) -> dict[str, str]:
    """Assign a colour to each domain, by its place in the list.

    Parameters
    ----------
    names
        All domains, whether or not they occur in a plot.
    palette
        Own colours: name -> colour, or one colour a domain in the same order. None: the eight of Okabe
        and Ito, then darker and lighter shades of them (up to 24 domains), then a rainbow, in which
        nobody can tell neighbours apart any more.

    Raises
    ------
    ValueError
        The palette has no colour for a domain.
    """
    if palette is None:
        return dict(zip(names, _default_colors(len(names)), strict=True))
    colors = dict(palette) if isinstance(palette, Mapping) else dict(zip(names, palette, strict=False))
    lacking = [name for name in names if name not in colors]
    if lacking:
        raise ValueError(f"`palette` has no colour for {', '.join(map(repr, lacking))}")
    return {name: colors[name] for name in names}


def _default_colors(n: int) -> list[str]:
    if n > len(OKABE_ITO) * len(SHADES):
        return [to_hex(color) for color in mpl.colormaps["turbo"](np.linspace(0.05, 0.95, n))]
    # Black has no darker shade: grey stands in for it.
    shaded = [
        _mix("#777777" if color == "#000000" and shade else color, shade)
        for shade in SHADES
        for color in OKABE_ITO
    ]
    return shaded[:n]


def _mix(color: str, shade: float) -> str:
    """Mix a colour with black (shade < 0) or white (shade > 0)."""
    towards = 1.0 if shade > 0 else 0.0
    red, green, blue = ((1 - abs(shade)) * part + abs(shade) * towards for part in to_rgb(color))
    return to_hex((red, green, blue))
