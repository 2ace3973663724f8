"""The imputation methods by name, and which of them the data allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transst_py._core.optional import INSTALL_TORCH, has_torch, require_torch
from transst_py._core.validation import list_some
from transst_py.imputation.domain_means import MIN_GENES as MIN_GENES_DOMAINS
from transst_py.imputation.domain_means import MIN_SPOTS as MIN_SPOTS_DOMAINS
from transst_py.imputation.domain_means import DomainMeans, count_varying
from transst_py.imputation.interpolation import Interpolator, can_interpolate
from transst_py.imputation.kriging import BlendedKriging, FactorKriging, GeneKriging
from transst_py.imputation.smoothing import Smoother
from transst_py.imputation.spots import Imputer, Section

__all__ = [
    "AUTO_METHODS",
    "LATTICE_METHODS",
    "METHODS",
    "check_installed",
    "check_used",
    "leaves_out",
    "make_imputers",
    "not_installed",
    "possible",
]


def _s2s(**options: Any) -> Imputer:
    # Only here, since torch takes as long to import as all else together, and may not be there.
    require_torch("method 's2s'")
    from transst_py.imputation.s2s import S2SImputer

    return S2SImputer(**options)


ORDERS = {"bilinear": "linear", "bicubic": "cubic"}
_MAKERS: dict[str, Callable[..., Imputer]] = {
    "nearest": lambda **_: Smoother("nearest"),
    "knn": lambda **_: Smoother("knn"),
    "kernel": lambda **_: Smoother("kernel"),
    "bilinear": lambda **_: Interpolator(ORDERS["bilinear"]),
    "bicubic": lambda **_: Interpolator(ORDERS["bicubic"]),
    "gp": lambda **_: GeneKriging(),
    "svd_gp": lambda **_: FactorKriging(),
    "kriging": lambda **_: BlendedKriging(),
    "domain_means": DomainMeans,
    "s2s": _s2s,
}
METHODS = tuple(_MAKERS)
# These need the sites of a lattice, not only coordinates.
LATTICE_METHODS = ("bilinear", "bicubic", "s2s")
TORCH_METHODS = ("s2s",)
# What "auto" chooses from: the network takes minutes, and was never ahead of "kriging" by more than noise.
AUTO_METHODS = tuple(name for name in METHODS if name not in TORCH_METHODS)
# Measured spots in the smallest section; of "s2s" more than it needs, since some will be held out.
MIN_SPOTS = {"gp": 3, "svd_gp": 3, "kriging": 3, "s2s": 24, "domain_means": MIN_SPOTS_DOMAINS}


def make_imputers(
    names: Sequence[str],
    sections: Sequence[Section],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    random_state: int = 0,
    insist: bool = True,
) -> dict[str, Imputer]:
    """Make the imputers of the given methods.

    Parameters
    ----------
    names
        Methods.
    sections
        What they are to be fitted to.
    options
        Further arguments, by method.
    random_state
        Seed of those that are random.
    insist
        Make all; else leave those out that are not `possible`.
    """
    allowed = [name for name in names if insist or possible(name, sections)]
    options = options or {}
    return {name: _MAKERS[name](**options.get(name, {}), random_state=random_state) for name in allowed}


def possible(name: str, sections: Sequence[Section]) -> bool:
    """Tell whether a method can do its work on all sections, also when some of their spots are held out.

    It cannot on sections that are too small or too scattered, or on no lattice if it needs one, or whose
    genes vary too little, or if it needs a package that is not installed.
    """
    return _fits(name, sections) and (name not in TORCH_METHODS or has_torch())


def check_installed(argument: str, names: Sequence[str]) -> None:
    """Refuse methods, asked for by name, that need a package which is not installed.

    Raises
    ------
    ImportError
        The message says how to install it.
    """
    for name in TORCH_METHODS:
        if name in names:
            require_torch(f"`{argument}`: {name!r}")


def check_used(
    options: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    *,
    asked_by: str,
    within: str | None = None,
) -> None:
    """Refuse options of methods that are not asked for: without a word they would change nothing.

    Parameters
    ----------
    options
        The options that were given, by method.
    names
        The methods asked for.
    asked_by
        Argument with which they are asked for.
    within
        Argument with the options; None: each is an argument of its own.

    Raises
    ------
    ValueError
        The message names the option, its method and the methods asked for.
    """
    for owner, given in options.items():
        if given and owner not in names:
            option = next(iter(given))
            shown = f"`{option}`" if within is None else f"`{within}`: {option!r}"
            verb = "is" if asked_by == "method" else "are"
            raise ValueError(
                f"{shown} is an option of {owner!r} and would change nothing here, as `{asked_by}` {verb} "
                f"{list_some(names)}; leave it out, or ask for {owner!r}"
            )


def not_installed(names: Sequence[str], sections: Sequence[Section]) -> dict[str, str]:
    """Return which methods fit the data but need a package that is not installed, and the reason."""
    missing = () if has_torch() else TORCH_METHODS
    return {name: "torch is not installed" for name in missing if name in names and _fits(name, sections)}


def leaves_out(who: str, left_out: Mapping[str, str]) -> str:
    """Word the warning that methods are left out for want of a package."""
    named = " and ".join(repr(name) for name in left_out)
    return f"{who} leaves out {named}: torch is not installed; to include it: {INSTALL_TORCH}"


def _fits(name: str, sections: Sequence[Section]) -> bool:
    if name in LATTICE_METHODS and any(section.sites.index is None for section in sections):
        return False
    if name in ORDERS:
        return all(can_interpolate(section.sites.lattice, ORDERS[name]) for section in sections)
    if name == "domain_means" and count_varying(sections) < MIN_GENES_DOMAINS:
        return False
    return all(len(section) >= MIN_SPOTS.get(name, 2) for section in sections)
