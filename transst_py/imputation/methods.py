"""The imputation methods by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transst_py._validation import check_choice
from transst_py.imputation.domain_means import DomainMeans
from transst_py.imputation.interpolation import Interpolator
from transst_py.imputation.kriging import FactorKriging, GeneKriging
from transst_py.imputation.s2s import S2SImputer
from transst_py.imputation.smoothing import SMOOTHERS, Smoother
from transst_py.imputation.spots import Imputer

__all__ = ["LATTICE_METHODS", "METHODS", "make_imputer"]

_MAKERS: dict[str, Callable[..., Imputer]] = {
    **{name: lambda name=name: Smoother(name) for name in SMOOTHERS},
    "bilinear": lambda: Interpolator("linear"),
    "bicubic": lambda: Interpolator("cubic"),
    "gp": GeneKriging,
    "svd_gp": FactorKriging,
    "domain_means": DomainMeans,
    "s2s": S2SImputer,
}
METHODS = tuple(_MAKERS)
# These need the sites of a lattice, not only coordinates.
LATTICE_METHODS = ("bilinear", "bicubic", "s2s")


def make_imputer(method: str, **options: Any) -> Imputer:
    """Make an imputer by its method's name.

    Raises
    ------
    ValueError
        Unknown method.
    TypeError
        An option that the method does not take.
    """
    check_choice("method", method, METHODS)
    return _MAKERS[method](**options)
