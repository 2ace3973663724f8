"""The labels of a column: which are missing, and whether they name classes at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from transst_py._core.validation import list_some
from transst_py._core.warn import warn

__all__ = ["MISSING_TEXTS", "UNKNOWN", "class_labels", "given_labels", "warn_of_classes"]

# Texts that are written where a label is missing, in small letters.
MISSING_TEXTS = frozenset({"", "na", "n/a", "nan", "<na>", "none", "null"})
# Names for rows that the annotator could not or did not decide on; they may be classes, so this is only said.
UNDECIDED = frozenset({"ambiguous", "unassigned", "undetermined", "unknown", "unlabeled", "unlabelled"})
# More than these would be no classes but clusters of a few rows, and each has a matrix of genes x genes.
MAX_CLASSES = 300
# Classes up to this number are never taken for identifiers, unless every row has its own.
FEW_CLASSES = 20
# From this share of one class on, the labels tell next to nothing.
ONE_SIDED = 0.95


def given_labels(values: Any, exclude: Collection[str] = ()) -> pd.Series:
    """Return labels in which texts that mean "missing" are missing, and those that are left out.

    Parameters
    ----------
    values
        (n,) labels.
    exclude
        Labels that count as missing.

    Returns
    -------
    (n,) object, with NaN where there is no label.
    """
    labels = pd.Series(values).astype(object)
    texts = labels.astype(str).str.strip()
    lost = labels.isna() | texts.str.lower().isin(MISSING_TEXTS) | texts.isin([str(name) for name in exclude])
    return labels.mask(lost, np.nan)


def class_labels(values: Any, name: str, exclude: Collection[str] = ()) -> pd.Series:
    """Return the labels of a source, missing ones as NaN; refuse what names no classes.

    Parameters
    ----------
    values
        (n,) labels.
    name
        What a message calls them, such as "source 'A1'".
    exclude
        Labels that count as missing.

    Returns
    -------
    (n,) object, with NaN where there is no label.

    Raises
    ------
    ValueError
        The values are fractions, most of them are those of a single row, or they are too many.

    Warns
    -----
    UserWarning
        Texts that mean "missing" were taken as missing, or a class is named as if it were none.
    """
    given = pd.Series(values)
    if pd.api.types.is_float_dtype(given.dtype):
        present = given.dropna().to_numpy(dtype=np.float64)
        if (present != np.round(present)).any():
            raise ValueError(
                f"{name}: the labels are fractional numbers ({', '.join(f'{v:g}' for v in present[:3])}, "
                "...); choose a column whose values name classes"
            )
    labels = given_labels(given, exclude)
    texts = given[labels.isna() & given.notna()].astype(str)
    texts = texts[~texts.str.strip().isin([str(label) for label in exclude])]
    if len(texts):
        warn(f"{name}: {len(texts)} labels are the text {list_some(texts.unique())} and are taken as missing")
    sizes = labels.astype(str)[labels.notna()].value_counts()
    _refuse_identifiers(sizes, name)
    undecided = [label for label in sizes.index if label.strip().lower() in UNDECIDED]
    if undecided:
        warn(
            f"{name}: {list_some(undecided)} is taught like any other class; if it means that there is no "
            f"label, leave it out with `exclude_labels`={undecided}"
        )
    return labels


def _refuse_identifiers(sizes: pd.Series, name: str) -> None:
    """Refuse labels, by the number of rows of each, that are too many to be classes."""
    n_classes, n_rows = len(sizes), int(sizes.sum())
    single = (sizes == 1).sum()
    identifiers = n_classes == n_rows > 2 or (n_classes > FEW_CLASSES and single > n_classes / 2)
    if identifiers or n_classes > MAX_CLASSES:
        raise ValueError(
            f"{name}: {n_classes} different labels in {n_rows} labelled rows ({list_some(sizes.index[:3])}, "
            f"...) are no classes; choose a column of at most {MAX_CLASSES} classes, of several rows each"
        )


def warn_of_classes(labels: Collection[pd.Series]) -> None:
    """Warn where the labels of all sources together tell next to nothing.

    Warns
    -----
    UserWarning
        There is one class, or nearly all rows are of one.
    """
    sizes = pd.concat([one.dropna().astype(str) for one in labels]).value_counts(normalize=True)
    name = sizes.index[0]
    if len(sizes) == 1:
        what = f"all labels of the source are {name!r}: one class tells nothing of domains"
    elif sizes.iloc[0] >= ONE_SIDED:
        what = f"{sizes.iloc[0]:.0%} of the source's labels are {name!r}: they tell little of domains"
    else:
        return
    warn(what)


UNKNOWN = "unknown"
