"""TransST: spatial domains, their marker genes and imputed expression, with help from a labelled reference.

AnnData functions live in `tl`, figures in `pl`, data sets in `datasets`, conversions from R in `bridge`;
the estimators below work on arrays.
"""

__version__ = "0.99.0"

from transst_py import bridge, datasets, pl, tl
from transst_py.choice import choose_n_domains
from transst_py.model import TransST
from transst_py.source_model import SupervisedFactorAnalysis
from transst_py.spatial_mixture import SpatialGaussianMixture
from transst_py.transfer import AdaptiveLoadings

__all__ = [
    "AdaptiveLoadings",
    "SpatialGaussianMixture",
    "SupervisedFactorAnalysis",
    "TransST",
    "bridge",
    "choose_n_domains",
    "datasets",
    "pl",
    "tl",
]
