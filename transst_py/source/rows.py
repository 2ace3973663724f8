"""A labelled source as arrays: its rows, their labels, and where they lie, if that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from transst_py._core.typing import Matrix
from transst_py._core.warn import collected, warn
from transst_py.expression.standardize import check_rows
from transst_py.source.labels import class_labels
from transst_py.tissue.graph import spatial_neighbors

__all__ = ["Source", "as_source", "check_source"]

# Fewer different positions are no map.
MIN_POSITIONS = 20


@dataclass
class Source:
    """Labelled rows of one source.

    Attributes
    ----------
    X
        (n, p) log expression.
    labels
        (n,) labels; missing ones are left out.
    positions
        (n, 2) or (n, 3) positions; `None` for cells without.
    samples
        (n,) sample of each row, where there are several: neighbours lie within one.
    graph
        (n, n) neighbourhood graph of rows with positions, made by `check_source`.
    """

    X: Any
    labels: Any
    positions: np.ndarray | None = None
    samples: np.ndarray | None = None
    graph: sp.csr_matrix | None = None


def as_source(source: Any, name: str) -> Source:
    """Return a `Source` of a tuple of its first parts: (X, labels) or (X, labels, positions).

    Raises
    ------
    TypeError
        It is neither.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, (tuple, list)) and len(source) in (2, 3):
        return Source(*source)
    raise TypeError(
        f"`{name}` must be (X, labels), (X, labels, positions) or a Source, got {type(source).__name__}"
    )


def check_source(source: Source, n_genes: int, name: str, of: str = "the target") -> Source:
    """Return the labelled rows of one source; it must have the genes of what `of` names.

    Raises
    ------
    ValueError
        Genes, labels or positions do not fit, no row has a label, or the labels name no classes.

    Warns
    -----
    UserWarning
        Rows without a label are left out; positions that say nothing are not used; what `class_labels`
        warns of.
    """
    X: Matrix = check_rows(source.X, name)
    labels = class_labels(np.asarray(source.labels), f"`{name}`").reset_index(drop=True)
    if X.shape[1] != n_genes:
        raise ValueError(f"`{name}` has {X.shape[1]} genes, {of} {n_genes}")
    if len(labels) != X.shape[0]:
        raise ValueError(f"`{name}` has {len(labels)} labels for {X.shape[0]} rows")
    labelled = labels.notna().to_numpy()
    if not labelled.any():
        raise ValueError(f"`{name}`: every label is missing; give at least two labelled rows")
    positions = None if source.positions is None else np.asarray(source.positions, dtype=np.float64)
    if positions is not None and (positions.ndim != 2 or positions.shape[1:] not in ((2,), (3,))):
        raise ValueError(f"`{name}`: positions must have 2 or 3 columns, got shape {positions.shape}")
    if positions is not None and len(positions) != X.shape[0]:
        raise ValueError(f"`{name}` has {len(positions)} positions for {X.shape[0]} rows")
    if not labelled.all():
        warn(f"{name}: {(~labelled).sum()} of {len(labels)} rows have no label and are left out")
        X = X[np.flatnonzero(labelled)]
    checked = Source(X, labels[labelled].astype(str).to_numpy())
    if positions is not None:
        samples = None if source.samples is None else np.asarray(source.samples)[labelled]
        checked.graph = _neighbors(positions[labelled], samples, name)
        checked.positions = None if checked.graph is None else positions[labelled]
    return checked


def _neighbors(positions: np.ndarray, samples: np.ndarray | None, name: str) -> sp.csr_matrix | None:
    """Nearest neighbours of the labelled rows; `None`, with a warning, where the positions tell none."""
    with collected() as said:
        try:
            if not np.isfinite(positions).all():
                raise ValueError(f"{(~np.isfinite(positions).all(axis=1)).sum()} rows have none")
            n_different = len(np.unique(positions, axis=0))
            if n_different < min(MIN_POSITIONS, len(positions)):
                raise ValueError(f"{len(positions)} rows have only {n_different} different ones")
            graph = spatial_neighbors(positions, samples=samples)
        except ValueError as error:
            graph = None
            warn(f"its positions are not used: {error}")
    for one in said:
        warn(f"{name}: {one.text}", one.category)
    return graph
