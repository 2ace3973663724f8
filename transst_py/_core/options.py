"""The options of the model, each once: its type with what may be chosen, and its default.

The estimators, `tl.transst`, the command line and R take them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

__all__ = [
    "DEFAULTS",
    "ClassTransfer",
    "CovarianceType",
    "Criterion",
    "EncoderName",
    "GeneSelection",
    "LabelNoiseAction",
    "Normalization",
    "PenaltyRule",
    "Scaling",
    "Solver",
    "SourceSelection",
    "SourceStart",
    "choices",
]

EncoderName: TypeAlias = Literal["linear", "graph-vae"]
Normalization: TypeAlias = Literal["log", "none"]
GeneSelection: TypeAlias = Literal["spatial", "variable"]
Scaling: TypeAlias = Literal["per_dataset", "joint", "auto"]
SourceStart: TypeAlias = Literal["principal", "weighted"]
SourceSelection: TypeAlias = Literal["auto", "all"]
LabelNoiseAction: TypeAlias = Literal["remove", "report", "ignore"]
PenaltyRule: TypeAlias = Literal["best", "1se"]
Solver: TypeAlias = Literal["eigen", "alternating"]
ClassTransfer: TypeAlias = Literal["auto", "follow", "always", "never"]
CovarianceType: TypeAlias = Literal["full", "tied", "diag"]
Criterion: TypeAlias = Literal["auto", "bic", "mbic", "hbic", "slope"]


def choices(kind: Any) -> tuple[str, ...]:
    """What may be chosen of one of the types above."""
    return get_args(kind)


@dataclass(frozen=True)
class _Defaults:
    """Default of every option."""

    # what enters the model
    n_top_genes: int | None = 2000
    gene_selection: GeneSelection = "spatial"
    normalization: Normalization = "log"
    spatial_key: str = "spatial"
    n_neighbors: int = 6
    # factors of the source, and their transfer
    n_factors: int = 15
    encoder: EncoderName = "linear"
    scaling: Scaling = "per_dataset"
    source_start: SourceStart = "principal"
    source_selection: SourceSelection = "auto"
    label_noise: LabelNoiseAction = "remove"
    # fmt: off
    penalties: tuple[float, ...] = (
        0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
        2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, np.inf,
    )
    # fmt: on
    n_folds: int = 5
    penalty_rule: PenaltyRule = "best"
    solver: Solver = "eigen"
    class_transfer: ClassTransfer = "auto"
    # domains
    min_autocorrelation: float = 0.15
    smoothness: float | Literal["auto"] = "auto"
    covariance_prior: float = 20.0
    covariance_type: CovarianceType = "full"
    n_init: int | Literal["auto"] = "auto"
    criterion: Criterion = "auto"
    n_subsamples: int = 5
    random_state: int = 0


DEFAULTS = _Defaults()
