"""Simulated tissue: domains from a Potts field, expression from a labelled factor model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

__all__ = ["sample_potts", "simulated_tissue"]

# Expression of a gene varies between spots by about this much on the natural-log scale, as in tissue.
LOG_RATE_SD = 0.8
N_SWEEPS = 200
MAX_FIELDS = 20
PITCH = 100.0


@dataclass(frozen=True)
class _FactorModel:
    """The part of the generator that both tissues share, for q factors and K domains."""

    means: np.ndarray  # (K, q)
    covariance_roots: np.ndarray  # (K, q, q); covariance = root @ root.T
    noise_variance: np.ndarray  # (p,)
    log_rate: np.ndarray  # (p,)


def simulated_tissue(
    *,
    n_rows: int = 30,
    n_cols: int = 30,
    n_genes: int = 300,
    n_domains: int = 4,
    n_factors: int = 10,
    noise: float = 2.0,
    smoothness: float = 1.0,
    mean_count: float = 5.0,
    shared_loadings: bool = True,
    random_state: int = 0,
) -> tuple[AnnData, AnnData]:
    """Simulate a target section and a labelled source section of the same tissue.

    The generator is the simulation of the TransST article with two changes. Target and source are two
    independent fields (the article cuts both from one), and counts are Poisson: the article's
    exp(x - min x) - 1 reaches 1e11, which no tissue does. In formulas, for spot i in domain k:

    - domains: a Potts field on the square lattice, P(y_i = k | neighbours) proportional to
      exp(smoothness * number of the 4 neighbours in k);
    - factors: z_i ~ N(mu_k, Sigma_k), with mu_k = 5 e_k for k < K and mu_K = 5 on coordinates K..q;
      Sigma_k is diagonal with entries from U(0.1, 10) in the first half of the domains and the identity
      in the others, plus e e' with e ~ N(0, 0.1^2);
    - expression: x_i = W z_i + noise, with W = [I | 0]' + U(-0.1, 0.1) and unit diagonal, and gene
      variances from U(0.1, `noise`);
    - counts: Poisson with log-rate m_j + 0.8 s_ij, where s is x standardised per gene over both sections
      and m_j is such that gene j has a mean near `mean_count` times a log-normal factor.

    Parameters
    ----------
    n_rows, n_cols
        Size of the lattice of each section; at least 3 each.
    n_genes
        Number of genes, at least `n_factors`.
    n_domains
        Number of domains, between 2 and `n_factors`. Every domain occurs in both sections.
    n_factors
        Number of latent factors.
    noise
        Upper bound of the gene-specific noise variances, above 0.1.
    smoothness
        Coupling of the Potts field: 0 gives independent labels, and from about log(1 + sqrt(K)) on (1.1
        for 4 domains) one domain takes over. The `smoothness` of a model whose prior is
        exp(smoothness / 2 * neighbours in k) is twice this number.
    mean_count
        Typical mean count of a gene.
    shared_loadings
        False draws other loadings W for the source: a reference that has nothing to teach.
    random_state
        Seed.

    Returns
    -------
    `(target, source)`, each an AnnData of n_rows * n_cols spots with

    `X`
        Counts, csr float32.
    `obs["label"]`
        The true domain, categorical "domain 1".."domain K".
    `obs["array_row"]`, `obs["array_col"]`
        Lattice position, int64.
    `obsm["spatial"]`
        Position (x, y) in micrometres, float64; the pitch is 100.
    `uns["source"]`
        The parameters.

    Raises
    ------
    ValueError
        A parameter is out of its range, or no field with all domains was found because `smoothness` is
        too large for the lattice.
    """
    parameters = dict(locals())
    _check_parameters(n_rows, n_cols, n_genes, n_domains, n_factors, noise, smoothness, mean_count)
    rng = np.random.default_rng(random_state)
    model = _draw_model(rng, n_genes, n_domains, n_factors, noise, mean_count)
    loadings = _draw_loadings(rng, n_genes, n_factors)
    source_loadings = loadings if shared_loadings else _draw_loadings(rng, n_genes, n_factors)
    fields = [_draw_field(rng, (n_rows, n_cols), n_domains, smoothness) for _ in range(2)]
    expression = [
        _draw_expression(rng, field.ravel(), W, model)
        for field, W in zip(fields, (loadings, source_loadings), strict=True)
    ]
    pooled = np.concatenate(expression)
    mean, sd = pooled.mean(axis=0), pooled.std(axis=0)
    counts = [rng.poisson(_rates((x - mean) / sd, model.log_rate)) for x in expression]
    target, source = (
        _as_anndata(X, y, {**parameters, "section": section, "dataset": "simulated_tissue"})
        for X, y, section in zip(counts, fields, ("target", "source"), strict=True)
    )
    return target, source


def sample_potts(
    rng: np.random.Generator,
    shape: tuple[int, int],
    n_states: int,
    *,
    coupling: float,
    n_sweeps: int,
) -> np.ndarray:
    """Sample a Potts field on a square lattice with four neighbours by Gibbs sampling.

    The lattice is a checkerboard: the neighbours of a black site are all white, so that all black sites
    are drawn at once given the white ones, and the other way round.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        Rows and columns of the lattice.
    n_states
        Number of states K.
    coupling
        b in P(y_i = k | neighbours) proportional to exp(b * number of neighbours in state k).
    n_sweeps
        Sweeps over the lattice, from independent uniform states.

    Returns
    -------
    int64 array of `shape` with values 0..K-1.
    """
    field = rng.integers(n_states, size=shape)
    black = np.indices(shape).sum(axis=0) % 2 == 0
    for _ in range(n_sweeps):
        for colour in (black, ~black):
            # The Gumbel trick draws from a softmax: argmax of energies plus Gumbel noise.
            energy = coupling * _count_neighbours(field, n_states)[:, colour]
            field[colour] = np.argmax(energy + rng.gumbel(size=energy.shape), axis=0)
    return field


def _count_neighbours(field: np.ndarray, n_states: int) -> np.ndarray:
    """Count, for every site, the neighbours in each state: (K, rows, cols)."""
    states = np.arange(n_states)[:, None, None]
    one_hot = np.pad((field == states).astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    return np.asarray(
        one_hot[:, :-2, 1:-1] + one_hot[:, 2:, 1:-1] + one_hot[:, 1:-1, :-2] + one_hot[:, 1:-1, 2:]
    )


def _check_parameters(
    n_rows: int,
    n_cols: int,
    n_genes: int,
    n_domains: int,
    n_factors: int,
    noise: float,
    smoothness: float,
    mean_count: float,
) -> None:
    requirements = {
        f"`n_rows` and `n_cols` must be at least 3, got {n_rows} and {n_cols}": min(n_rows, n_cols) >= 3,
        f"`n_domains` must be between 2 and `n_factors` = {n_factors}, got {n_domains}": (
            2 <= n_domains <= n_factors
        ),
        f"`n_genes` must be at least `n_factors` = {n_factors}, got {n_genes}": n_genes >= n_factors,
        f"`noise` must be above 0.1, got {noise}": noise > 0.1,
        f"`smoothness` must not be negative, got {smoothness}": smoothness >= 0,
        f"`mean_count` must be positive, got {mean_count}": mean_count > 0,
    }
    for message, met in requirements.items():
        if not met:
            raise ValueError(message)


def _draw_model(
    rng: np.random.Generator, n_genes: int, n_domains: int, n_factors: int, noise: float, mean_count: float
) -> _FactorModel:
    means = np.zeros((n_domains, n_factors))
    np.fill_diagonal(means, 5.0)
    means[-1, n_domains - 1 :] = 5.0
    covariances = np.tile(np.eye(n_factors), (n_domains, 1, 1))
    for covariance in covariances[: n_domains // 2]:
        np.fill_diagonal(covariance, rng.uniform(0.1, 10.0, n_factors))
    tilt = rng.normal(scale=0.1, size=(n_domains, n_factors))
    covariances += tilt[:, :, None] * tilt[:, None, :]
    return _FactorModel(
        means=means,
        covariance_roots=np.linalg.cholesky(covariances),
        noise_variance=rng.uniform(0.1, noise, n_genes),
        log_rate=np.log(mean_count) + rng.normal(scale=0.5, size=n_genes),
    )


def _draw_loadings(rng: np.random.Generator, n_genes: int, n_factors: int) -> np.ndarray:
    """Draw W (p, q): every factor has one gene of its own and acts weakly on all others."""
    loadings = rng.uniform(-0.1, 0.1, (n_genes, n_factors))
    loadings[:n_factors] += np.eye(n_factors)
    np.fill_diagonal(loadings, 1.0)
    return loadings


def _draw_field(
    rng: np.random.Generator, shape: tuple[int, int], n_domains: int, smoothness: float
) -> np.ndarray:
    """Draw a Potts field in which every domain occurs."""
    for _ in range(MAX_FIELDS):
        field = sample_potts(rng, shape, n_domains, coupling=smoothness, n_sweeps=N_SWEEPS)
        if np.unique(field).size == n_domains:
            return field
    raise ValueError(
        f"no field of {shape[0]} x {shape[1]} spots with all {n_domains} domains in {MAX_FIELDS} attempts; "
        f"lower `smoothness` (now {smoothness}) or `n_domains`, or enlarge the lattice"
    )


def _draw_expression(
    rng: np.random.Generator, domains: np.ndarray, loadings: np.ndarray, model: _FactorModel
) -> np.ndarray:
    """Draw the Gaussian expression (n, p) of spots in the given domains."""
    standard = rng.normal(size=(domains.size, loadings.shape[1]))
    factors = model.means[domains] + np.einsum("nij,nj->ni", model.covariance_roots[domains], standard)
    noise = rng.normal(size=(domains.size, loadings.shape[0])) * np.sqrt(model.noise_variance)
    return np.asarray(factors @ loadings.T + noise)


def _rates(standardised: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
    """Turn standardised expression into Poisson rates; half the log variance keeps the gene's mean."""
    return np.exp(log_rate + LOG_RATE_SD * standardised - LOG_RATE_SD**2 / 2)


def _as_anndata(counts: np.ndarray, field: np.ndarray, parameters: dict[str, Any]) -> AnnData:
    row, col = (index.ravel() for index in np.indices(field.shape))
    names = pd.Index([f"domain {k + 1}" for k in range(parameters["n_domains"])])
    label = pd.Categorical(names[field.ravel()], categories=names)
    obs = pd.DataFrame(
        {"array_row": row, "array_col": col, "label": label},
        index=[f"{c}x{r}" for r, c in zip(row, col, strict=True)],
    )
    return AnnData(
        X=sp.csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(index=[f"gene{j + 1}" for j in range(counts.shape[1])]),
        obsm={"spatial": np.column_stack([col, row]) * PITCH},
        uns={"source": parameters},
    )
