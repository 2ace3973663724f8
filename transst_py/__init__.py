"""TransST: spatial domains, their marker genes and imputed expression, with help from a labelled reference.

AnnData functions live in `tl`, figures in `pl` (`report` puts all on one page), data sets in `datasets`,
conversions from R in `bridge`; the estimators below work on arrays. Each is imported when it is first asked
for.
"""

__version__ = "0.99.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

from transst_py._core.docstrings import keep_docstrings_of_anndata
from transst_py._core.optional import has_torch, require_torch

if TYPE_CHECKING:
    from transst_py import bridge, datasets, pl, tl
    from transst_py._report.write import report
    from transst_py.domains.choice import choose_n_domains
    from transst_py.domains.mixture import SpatialGaussianMixture
    from transst_py.imputation.s2s import S2SImputer
    from transst_py.model import TransST
    from transst_py.source.factor_analysis import SupervisedFactorAnalysis
    from transst_py.transfer.adaptive_loadings import AdaptiveLoadings
    from transst_py.transfer.graph_vae import GraphVariationalEncoder

__all__ = [
    "AdaptiveLoadings",
    "GraphVariationalEncoder",
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

_NEED_TORCH = ("GraphVariationalEncoder", "S2SImputer")
if not has_torch():  # they can be asked for, which says what to install; `import *` does not ask
    __all__ = [name for name in __all__ if name not in _NEED_TORCH]

keep_docstrings_of_anndata()

_SUBPACKAGES = ("bridge", "datasets", "pl", "tl")
_HOME = {
    "AdaptiveLoadings": "transfer.adaptive_loadings",
    "GraphVariationalEncoder": "transfer.graph_vae",
    "S2SImputer": "imputation.s2s",
    "SpatialGaussianMixture": "domains.mixture",
    "SupervisedFactorAnalysis": "source.factor_analysis",
    "TransST": "model",
    "choose_n_domains": "domains.choice",
    "report": "_report.write",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: anndata, scikit-learn and torch take seconds, `transst --help` none."""
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        if name in _NEED_TORCH:
            require_torch(name)
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
