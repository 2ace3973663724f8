"""Lattices for the tests: indices (row, col) of all sites, and coordinates; sections and AnnData on them."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from transst_py.imputation.gaussian_process import CORRELATIONS
from transst_py.imputation.spots import Section, Sites


def square_grid(n_rows, n_cols):
    return np.indices((n_rows, n_cols)).reshape(2, -1).T


def visium_grid(n_rows, n_cols):
    index = square_grid(n_rows, 2 * n_cols)
    return index[index.sum(axis=1) % 2 == 0]


def visium_xy(index):
    """Micrometres: 100 between spots of a row, rows 86.6 apart."""
    return np.column_stack([50.0 * index[:, 1], 50.0 * np.sqrt(3) * index[:, 0]])


def make_section(values, positions, *, index=None, noise=None, kind=None):
    """Measured spots as the imputation methods are given them; all equally noisy by default."""
    noise = np.ones(len(positions)) if noise is None else noise
    values = sp.csc_matrix(np.asarray(values, dtype=np.float32))
    return Section(values, Sites(np.asarray(positions, dtype=float), index), noise, kind)


def draw_process(rng, positions, correlation, length, n_columns):
    """Draw columns of a Gaussian process of unit variance."""
    K = CORRELATIONS[correlation](cdist(positions, positions), length)
    return np.linalg.cholesky(K + 1e-9 * np.eye(len(K))) @ rng.normal(size=(len(K), n_columns))


def make_tissue(index, *, xy=None, n_genes=6, seed=0):
    """AnnData of independent counts on a lattice."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(3.0, (len(index), n_genes)).astype(np.float32) + np.eye(1, n_genes, dtype=np.float32)
    obs = pd.DataFrame(
        {"array_row": index[:, 0], "array_col": index[:, 1]}, index=[f"s{i}" for i in range(len(index))]
    )
    var = pd.DataFrame({"id": range(n_genes)}, index=[f"g{j}" for j in range(n_genes)])
    xy = index[:, ::-1].astype(float) if xy is None else xy
    return ad.AnnData(sp.csr_matrix(X), obs=obs, var=var, obsm={"spatial": xy})
