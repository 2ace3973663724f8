"""Names for domains: which class of the source has a domain's profile, if any has.

A domain bears the name of the class whose mean expression, gene by gene and relative to the other classes,
its own (relative to the other domains) resembles most, if the resemblance is beyond doubt; otherwise it is
"unknown". Names never change the domains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from transst_py.expression.standardize import StandardizedMatrix
from transst_py.source.factor_analysis import SupervisedFactorAnalysis
from transst_py.source.labels import UNKNOWN

__all__ = ["name_domains", "resembling"]

# Lower end of the interval of the correlation from which on a domain resembles a class: where the source's
# labels are permuted or its genes few it stays below (benchmarks/transfer.py).
MIN_RESEMBLANCE = 0.4
# And from which on it is named, since the class that fits best need not fit: with a class taken out of the
# sources of a tumour, one domain in seven of that class bore the name of another at 0.4, none at 0.6
# (benchmarks/naming.py).
MIN_CORRELATION = 0.6
_QUANTILE = norm.ppf(0.975)


def name_domains(
    target: StandardizedMatrix,
    model: SupervisedFactorAnalysis,
    labels: np.ndarray,
    given: Sequence[Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Compare the domains' profiles with those of the source's classes.

    Parameters
    ----------
    target
        (n, p) spots.
    model
        Source model of the same p genes.
    labels
        (n,) domains 0..K-1.
    given
        (K,) classes that every domain consists of, where that is known: its name, whatever it resembles; none
        for a domain that is no class.

    Returns
    -------
    One row per domain: `name` (a class, or "unknown"), `likely` (the class most alike, or "unknown" for a
    domain without spots), `correlation` of the profiles over the genes, `lower`, the lower end of its 95 %
    interval (Fisher's z), and `second`, the correlation with the class that is next most
    alike. With a single class, or a single domain, nothing is relative: all unknown.
    """
    K = int(labels.max()) + 1
    profiles = target.group_means(labels, K)
    empty = np.bincount(labels, minlength=K) == 0
    domains = relative(profiles, ~empty)
    classes = relative(model.class_profiles_, np.ones(len(model.classes_), dtype=bool))
    correlations = domains @ classes.T
    best = correlations.argmax(axis=1)
    r = correlations[np.arange(K), best]
    lower = np.tanh(
        np.arctanh(np.clip(r, -0.999999, 0.999999)) - _QUANTILE / np.sqrt(max(target.shape[1] - 3, 1))
    )
    comparable = ~empty & (np.abs(correlations).max(axis=1) > 0)
    likely = np.where(comparable, model.classes_[best].astype(str), UNKNOWN)
    names = np.where(comparable & (lower >= MIN_CORRELATION), likely, UNKNOWN)
    if given is not None:
        names = np.array([" + ".join(names_of_k) or UNKNOWN for names_of_k in given])
    return pd.DataFrame(
        {
            "name": names,
            "likely": likely,
            "correlation": r,
            "lower": lower,
            "second": np.sort(correlations, axis=1)[:, -2] if len(classes) > 1 else np.full(K, np.nan),
        }
    )


def resembling(table: pd.DataFrame) -> np.ndarray:
    """Domains of a table of names that resemble a class, (K,) bool: fewer of them are named."""
    return np.asarray((table["likely"] != UNKNOWN) & (table["lower"] >= MIN_RESEMBLANCE))


def relative(profiles: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Profiles (K, p) minus their mean over those counted, each centred over the genes and of unit length."""
    contrasts = profiles - profiles[counted].mean(axis=0)
    contrasts = contrasts - contrasts.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(contrasts, axis=1, keepdims=True)
    contrasts[~counted] = 0.0
    return np.asarray(np.divide(contrasts, lengths, out=np.zeros_like(contrasts), where=lengths > 1e-12))
