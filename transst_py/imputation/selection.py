"""How far off a method is, and which is least, by measured spots that are held out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transst_py.imputation.holdout import random_spots
from transst_py.imputation.spots import Imputer, Prediction, Section, Sites, variance_within

__all__ = ["Calibrated", "Selection", "held_out_spots", "select"]

HELD_OUT = 0.15
# In small sections spots are held out several times, until there are so many, or so often.
ENOUGH_SPOTS, MAX_ROUNDS = 60, 4
# Weight of a typical gene's calibration in that of each gene, in held-out spots.
PRIOR_SPOTS = 10


@dataclass(frozen=True)
class Calibrated:
    """A fitted method whose standard deviations have the size of its held-out errors.

    Attributes
    ----------
    imputer
        Fitted to all measured spots.
    factor
        What its standard deviations are multiplied with, float32 (genes,); NaN if no spot could be held out.
    """

    imputer: Imputer
    factor: np.ndarray

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Predict; `sd` is never None."""
        found = self.imputer.predict(section, sites)
        sd = np.ones_like(found.mean) if found.sd is None else found.sd
        return Prediction(found.mean, sd * self.factor)


@dataclass(frozen=True)
class Selection:
    """What was chosen, and from what.

    Attributes
    ----------
    method
        Name of the method; the first one if no gene varies or no spot could be held out.
    fitted
        The method itself.
    table
        A row per method that competed: `method`, `relative_error` (mean squared error at held-out spots over
        the gene's variance within sections, mean over genes: 1 is no better than the gene's mean; NaN if
        there is nothing to compare), `n_best` (genes for which it is the best), `n_spots` (held out,
        in all rounds), `seconds`.
    """

    method: str
    fitted: Calibrated
    table: pd.DataFrame


def held_out_spots(sections: Sequence[Section], rng: np.random.Generator) -> list[np.ndarray]:
    """Choose the measured spots to hold out, scattered: logical arrays, one a section; of two spots none."""
    hidden = []
    for section in sections:
        # At least one, and at least half stay.
        n = len(section)
        fraction = min(max(HELD_OUT, 1.0 / n), 0.5)
        hidden.append(random_spots(n, fraction=fraction, rng=rng) if n > 2 else np.zeros(n, dtype=bool))
    return hidden


def select(
    imputers: Mapping[str, Imputer],
    sections: Sequence[Section],
    sites: Sequence[Sites],
    genes: np.ndarray,
    *,
    rng: np.random.Generator,
) -> Selection:
    """Fit every method without some measured spots, and the one that predicts these best to all of them.

    Parameters
    ----------
    imputers
        The methods that compete. If there is one only, its errors are measured all the same.
    sections, sites
        Measured spots, and where to predict.
    genes
        Column numbers of the genes that are predicted and compared.
    rng
        Chooses the spots.
    """
    rounds = _rounds(sections, rng)
    truth = [
        section.subset(hidden).dense(genes)
        for held_out in rounds
        for section, hidden in zip(sections, held_out, strict=True)
    ]
    n_spots = sum(len(values) for values in truth)
    # Of all measured spots: that of few held-out ones may be near 0 by chance, and such a gene would decide.
    variance = variance_within(sections, genes)
    compared = (variance > 0) & (n_spots > 0)
    rows, errors, factors = [], [], []
    for name, imputer in imputers.items():
        start = time.perf_counter()
        predicted = [
            found for held_out in rounds for found in imputer.validate(sections, sites, genes, held_out)
        ]
        squares, factor = _errors(truth, predicted, variance)
        errors.append(squares)
        factors.append(factor)
        rows.append({"method": name, "seconds": time.perf_counter() - start})
    relative = np.array(errors)[:, compared] / variance[compared]
    best = int(relative.mean(axis=1).argmin()) if relative.size else 0
    table = pd.DataFrame(rows)
    table.insert(1, "relative_error", relative.mean(axis=1) if relative.size else np.nan)
    table.insert(
        2, "n_best", np.bincount(relative.argmin(axis=0), minlength=len(rows)) if relative.size else 0
    )
    table.insert(3, "n_spots", n_spots)
    method = list(imputers)[best]
    fitted = imputers[method].refit(sections, sites, genes)
    return Selection(method, Calibrated(fitted, factors[best].astype(np.float32)), table)


def _rounds(sections: Sequence[Section], rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Hold spots out once, or a few times where that is too few spots to tell methods apart."""
    first = held_out_spots(sections, rng)
    n_spots = sum(int(hidden.sum()) for hidden in first)
    n_rounds = min(MAX_ROUNDS, -(-ENOUGH_SPOTS // max(n_spots, 1))) if n_spots else 1
    return [first, *(held_out_spots(sections, rng) for _ in range(n_rounds - 1))]


def _errors(
    truth: Sequence[np.ndarray], predicted: Sequence[Prediction], variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared error of every gene, and what its standard deviations are to be multiplied with.

    Few held-out spots say little about one gene, so the ratio of its squared errors to what was expected (the
    predicted variance, or that of the gene) counts as much as `PRIOR_SPOTS` spots of a typical gene.
    float64 (genes,) each; NaN if there are no spots.
    """
    squares = (
        np.concatenate([t - p.mean for t, p in zip(truth, predicted, strict=True)]).astype(np.float64) ** 2
    )
    if not len(squares):
        nothing = np.full(squares.shape[1], np.nan)
        return nothing, nothing
    if predicted[0].sd is None:
        expected = np.broadcast_to(variance, squares.shape)
    else:
        expected = np.concatenate([p.sd for p in predicted]).astype(np.float64) ** 2
    varies = variance > 0
    ratio = np.divide(squares, expected, out=np.zeros_like(squares), where=varies & (expected > 0)).mean(
        axis=0
    )
    typical = ratio[varies].mean() if varies.any() else 0.0
    steadied = (len(squares) * ratio + PRIOR_SPOTS * typical) / (len(squares) + PRIOR_SPOTS)
    unit = np.sqrt(variance) if predicted[0].sd is None else 1.0
    return squares.mean(axis=0), np.sqrt(steadied) * unit
