"""Lattices for the tests: indices (row, col) of all sites, and coordinates."""

import numpy as np


def square_grid(n_rows, n_cols):
    return np.indices((n_rows, n_cols)).reshape(2, -1).T


def visium_grid(n_rows, n_cols):
    index = square_grid(n_rows, 2 * n_cols)
    return index[index.sum(axis=1) % 2 == 0]


def visium_xy(index):
    """Micrometres: 100 between spots of a row, rows 86.6 apart."""
    return np.column_stack([50.0 * index[:, 1], 50.0 * np.sqrt(3) * index[:, 0]])
