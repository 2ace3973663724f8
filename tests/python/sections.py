"""Small sections of simulated tissue for the tests of imputation."""

import numpy as np
import scipy.sparse as sp
from grids import square_grid

from transst_py.imputation.spots import Section, Sites


def lattice_index(rows, cols, step=1):
    return step * square_grid(rows, cols)


def smooth_values(index, n_genes, *, noise=0.0, seed=0):
    """Waves of random direction and length, from 0 to about 4, with noise on top."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(2, n_genes)) / 4
    values = 2 + 2 * np.sin(index @ direction + rng.uniform(0, 6, n_genes))
    return values + noise * rng.normal(size=values.shape)


def make_section(index, values, *, kind="square", spacing=None, noise=None):
    spacing = np.gcd.reduce((index - index.min(axis=0)).ravel()) if spacing is None else spacing
    positions = index.astype(float)
    if kind == "hexagonal":
        positions = np.column_stack([index[:, 0] * np.sqrt(3) / 2, index[:, 1] + index[:, 0] / 2])
    noise = np.ones(len(index)) if noise is None else noise
    return Section(sp.csc_matrix(values.astype(np.float32)), Sites(positions / spacing, index), noise, kind)


def comb_task(rows=24, cols=20, n_genes=5, *, noise=0.3, kind="square", seed=0):
    """A section of every second row and column, the sites between, and the noise-free truth there."""
    index = lattice_index(rows, cols)
    truth = smooth_values(index, n_genes, seed=seed)
    values = smooth_values(index, n_genes, noise=noise, seed=seed)
    shown = (index % 2 == 0).all(axis=1)
    section = make_section(index[shown], values[shown], kind=kind)
    sites = make_section(index[~shown], values[~shown], kind=kind, spacing=2).sites
    return section, sites, truth[~shown]
