"""TransST: spatial domains, their marker genes and imputed expression, with help from a labelled reference.

AnnData functions live in `tl`, figures in `pl` (`report` puts all on one page), data sets in `datasets`,
conversions from R in `bridge`; the estimators below work on arrays.
"""

__version__ = "0.99.0"

from typing import TYPE_CHECKING, Any

from transst_py import bridge, datasets, pl, tl
from transst_py.choice import choose_n_domains
from transst_py.model import TransST
from transst_py.report import report
from transst_py.source_model import SupervisedFactorAnalysis
from transst_py.spatial_mixture import SpatialGaussianMixture
from transst_py.transfer import AdaptiveLoadings

if TYPE_CHECKING:
    from transst_py.imputation.s2s import S2SImputer

__all__ = [
    "AdaptiveLoadings",
    "S2SImputer",
    "SpatialGaussianMixture",
    "SupervisedFactorAnalysis",
    "TransST",
    "bridge",
    "choose_n_domains",
    "datasets",
    "pl",
    "report",
    "tl",
]


def __getattr__(name: str) -> Any:
    """Import the imputer when it is asked for: it needs torch, which takes seconds to load."""
    if name == "S2SImputer":
        from transst_py.imputation.s2s import S2SImputer

        return S2SImputer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
