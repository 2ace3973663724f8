"""Rows of the samples (sections) that an AnnData holds."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["rows_of_samples"]


def rows_of_samples(samples: np.ndarray | pd.Series | None, n: int) -> list[tuple[str | None, np.ndarray]]:
    """Return name and row numbers of each sample; without samples one, without a name.

    Parameters
    ----------
    samples
        (n,) sample of each spot. The order is that of the categories if it is categorical, else by name.
    n
        Number of spots.
    """
    if samples is None:
        return [(None, np.arange(n))]
    found = pd.Categorical(samples)
    return [(str(name), np.flatnonzero(found.codes == i)) for i, name in enumerate(found.categories)]
