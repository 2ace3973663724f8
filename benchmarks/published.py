"""The published implementation's numerical choices, for comparison only.

This module exists so that benchmarks can put the estimators of this package next to what the published
implementation computes. It was written from the equations of the paper and checked against
recorded outputs; for analyses use `TransST`. The choices it reproduces:

* B1: stage 1 makes exactly two EM updates, whatever the data, from the right singular vectors of the source
  *not centred* and from noise variances drawn from U(0.5, 2); the gauge of W0 is left as it falls out.
* B3: the penalties are absolute, 0, 0.01, ..., 0.20.
* B4: every penalty is judged on a random half split of its own, by the "swapped" criterion: scores of one
  half, loadings of the other.
* B5: the sweeps of stage 2 stop on the first term of the objective, 1e9 standing for the value before the
  first; the scores are one update behind the loadings. Stage 3 stops on the relative change `zeta` of the
  pseudo log-likelihood, -1e4 standing for the value before the first.
* B2: the smoothness stays at 2 (the published grid search is run and its result dropped: not run here).
* The graph is directed: every spot lists its five nearest, which need not list it.
* ICM moves all spots at once (Jacobi), keeps the labels of a sweep that made things worse, and takes the
  responsibilities from the labels before the last sweep.
* Class covariances have no floor and no prior; the start is a mixture with one covariance for all classes.

Five things differ. mclust, whose hierarchical start is used there, is not available here: the mixture is
`sklearn.mixture.GaussianMixture` from k-means. Spots at equal distance are ordered as scipy's tree meets
them. Genes without variation become 0 when scaled, not missing. A class that vanishes ends the run with a
warning and the labels found so far. Singular covariances of small source classes get a ridge of 1e-8, not a
pseudo-inverse.
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_array

from transst_py._core.warn import warn
from transst_py.domains.components import Components
from transst_py.source.em import Parameters, cholesky_with_ridge
from transst_py.source.statistics import check_labels
from transst_py.tissue.potts import log_prior, one_hot
from transst_py.tissue.spatial_factors import whiten

__all__ = ["PublishedTransST"]

PENALTIES = np.arange(21) / 100
N_EM_UPDATES = 2
N_NEIGHBORS = 5
SMOOTHNESS = 2.0


def joint_scaling(X: np.ndarray, X_source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale the genes by the moments of all rows together (divisor N - 1)."""
    rows = np.vstack([X, X_source])
    mean, spread = rows.mean(axis=0), rows.std(axis=0, ddof=1)
    constant = np.ptp(rows, axis=0) == 0
    mean[constant], spread[constant] = rows[0, constant], 1.0  # exactly 0, whatever rounding made of them
    return (X - mean) / spread, (X_source - mean) / spread


def source_loadings(
    X: np.ndarray, y: np.ndarray, n_factors: int, noise_start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stage 1: two EM updates from the uncentred principal axes.

    Parameters
    ----------
    X, y
        (n, p) source and its (n,) labels, each label on two rows or more.
    noise_start
        (p,) start of Λ.

    Returns
    -------
    W0, noise_variance
        (p, q) and (p,).
    """
    codes = np.unique(y, return_inverse=True)[1]
    # X and the R of its QR decomposition have the same right singular vectors; R has at most p rows.
    W = np.linalg.svd(np.linalg.qr(X, mode="r"), full_matrices=False)[2][:n_factors].T
    scores = [X[codes == k] @ W for k in range(codes.max() + 1)]
    means = np.array([z.mean(axis=0) for z in scores])
    covariances = np.array([np.atleast_2d(np.cov(z, rowvar=False)) for z in scores])
    parameters = Parameters(W, noise_start, means, covariances)
    for _ in range(N_EM_UPDATES):
        parameters = em_update_by_rows(X, codes, parameters)
    return parameters.loadings, parameters.noise_variance


def em_update_by_rows(X: np.ndarray, codes: np.ndarray, parameters: Parameters) -> Parameters:
    """One EM update, row by row.

    `source_model.em_update` is the same from class statistics. Those lose all digits of Λ on a source left on
    the scale of counts, as the published simulation leaves it; and two updates do not repay them.
    """
    W, noise = parameters.loadings, parameters.noise_variance
    A = W / noise[:, None]  # Λ⁻¹W
    M, XA = W.T @ A, X @ A
    z, C_sum = np.empty_like(XA), np.zeros_like(M)
    means, covariances = [], []
    for k, (mu, sigma) in enumerate(zip(parameters.class_means, parameters.class_covariances, strict=True)):
        members, L = codes == k, cholesky_with_ridge(sigma)
        # C = (M + Σ⁻¹)⁻¹ and ẑ without Σ⁻¹: a class of at most q rows has a singular Σ.
        C = L @ np.linalg.solve(np.eye(len(M)) + L.T @ M @ L, L.T)
        z[members] = mu + (XA[members] - M @ mu) @ C
        C_sum += members.sum() * C
        means.append(z[members].mean(axis=0))
        covariances.append(C + np.cov(z[members], rowvar=False, bias=True))
    W = np.linalg.solve(z.T @ z + C_sum, z.T @ X).T
    noise = (np.sum((X - z @ W.T) ** 2, axis=0) + np.sum((W @ C_sum) * W, axis=1)) / len(X)
    # As good as no floor; a gene of zeros has no noise, and must not be divided by it.
    noise = np.maximum(noise, np.finfo(float).tiny ** 0.5)
    return Parameters(W, noise, np.array(means), np.array(covariances))


def target_loadings(
    X: np.ndarray, W0: np.ndarray, penalty: float, *, tol: float = 1e-3, max_sweeps: int = 49
) -> tuple[np.ndarray, np.ndarray]:
    """Stage 2 at one penalty: alternate v ← X W (W'W)⁻¹ and W ← (λW0 + X'v)(λI + v'v)⁻¹.

    Returns
    -------
    W, v
        (p, q), and the (n, q) scores from which it was computed: those of the W before.
    """
    W, previous, total = W0, 1e9, np.sum(X**2)
    for _ in range(max_sweeps):
        v = X @ np.linalg.solve(W.T @ W, W.T).T
        P, V = X.T @ v, v.T @ v
        W = np.linalg.solve(penalty * np.eye(len(V)) + V, (penalty * W0 + P).T).T
        loss = residual_sum(total, W, P, V)
        if abs(loss - previous) < tol * previous:
            break
        previous = loss
    return W, v


def residual_sum(total: float, W: np.ndarray, P: np.ndarray, V: np.ndarray) -> float:
    """‖X - vW'‖² from ‖X‖², P = X'v and V = v'v, without the (n, p) residuals."""
    return float(total - 2 * np.sum(W * P) + np.sum((W @ V) * W))


def swapped_error(
    A: np.ndarray, B: np.ndarray, W0: np.ndarray, penalty: float, *, tol: float = 1e-3, max_sweeps: int = 49
) -> float:
    """‖A - v_A W_B'‖² + ‖B - v_B W_A'‖²: the scores of each half with the loadings of the other."""
    W_A, v_A = target_loadings(A, W0, penalty, tol=tol, max_sweeps=max_sweeps)
    W_B, v_B = target_loadings(B, W0, penalty, tol=tol, max_sweeps=max_sweeps)
    return sum(residual_sum(np.sum(X**2), W, X.T @ v, v.T @ v) for X, W, v in ((A, W_B, v_A), (B, W_A, v_B)))


def choose_penalty(X: np.ndarray, W0: np.ndarray, permutations: np.ndarray) -> tuple[float, np.ndarray]:
    """Penalty with the smallest swapped error.

    Parameters
    ----------
    permutations
        (21, n), one for each penalty: its first n // 2 spots are one half, the others the other.

    Returns
    -------
    penalty, errors
        The winner, and the (21,) errors.
    """
    half = len(X) // 2
    errors = np.array(
        [
            swapped_error(X[order[:half]], X[order[half:]], W0, penalty)
            for penalty, order in zip(PENALTIES, permutations, strict=True)
        ]
    )
    return float(PENALTIES[errors.argmin()]), errors


def directed_graph(neighbors: np.ndarray) -> sp.csr_matrix:
    """Graph whose row i lists the (n, k) neighbours of spot i; not made symmetric."""
    n, k = neighbors.shape
    return sp.csr_matrix((np.ones(n * k), (np.repeat(np.arange(n), k), neighbors.ravel())), shape=(n, n))


def nearest_neighbors(coordinates: np.ndarray) -> np.ndarray:
    """Return the (n, 5) nearest spots of every spot; ties fall as the search meets them."""
    near = cKDTree(coordinates).query(coordinates, N_NEIGHBORS + 1)[1]
    others = near != np.arange(len(near))[:, None]
    others[others.all(axis=1), -1] = False  # six spots stacked here hide the spot itself
    return np.asarray(near[others].reshape(-1, N_NEIGHBORS))


def tied_start(v: np.ndarray, n_components: int, seed: int) -> tuple[np.ndarray, Components]:
    """Mixture with one covariance for all classes ("EEE"), best of ten k-means starts, on whitened v.

    Not `init_params="k-means++"`: it gives one point to each class and the rest to none, from where one
    covariance for all grows to that of all spots and EM stays there, with classes that coincide.
    """
    center, whitening = whiten(v)
    mixture = GaussianMixture(
        n_components,
        covariance_type="tied",
        init_params="kmeans",
        n_init=10,
        max_iter=500,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be converged
        labels = mixture.fit_predict((v - center) @ whitening)
    back = np.linalg.inv(whitening)
    covariance = back.T @ mixture.covariances_ @ back
    return labels, Components(
        mixture.means_ @ back + center, np.repeat(covariance[None], n_components, axis=0)
    )


def label_energies(labels: np.ndarray, u: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """T_ik = u_ik - log P(y_i = k | neighbours' labels), (n, K)."""
    degrees = np.asarray(graph.sum(axis=1))
    return np.asarray(u - log_prior(degrees - graph @ one_hot(labels, u.shape[1]), SMOOTHNESS))


def jacobi_icm(labels: np.ndarray, u: np.ndarray, graph: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Move all spots at once until the energy stops falling by more than 1e-5, at most 49 times.

    Returns
    -------
    labels, T
        The labels after the last sweep, even where it raised the energy, and the T that gave them.
    """
    previous = np.inf
    for _ in range(49):
        T = label_energies(labels, u, graph)
        labels, energy = T.argmin(axis=1), T.min(axis=1).sum()
        if energy > previous - 1e-5:
            break
        previous = energy
    return labels, T


def class_moments(v: np.ndarray, R: np.ndarray) -> Components:
    """Means and covariances of the scores weighted by the responsibilities, without floor or prior.

    Raises
    ------
    LinAlgError
        A class has no spots.
    """
    N = R.sum(axis=0)
    if N.min() == 0:
        raise np.linalg.LinAlgError("a class has no spots")
    means = (R.T @ v) / N[:, None]
    deviations = [(v - mean) * np.sqrt(r)[:, None] for mean, r in zip(means, R.T, strict=True)]
    return Components(means, np.array([D.T @ D / n for D, n in zip(deviations, N, strict=True)]))


def spatial_mixture(
    v: np.ndarray,
    graph: sp.csr_matrix,
    labels: np.ndarray,
    components: Components,
    *,
    zeta: float,
) -> tuple[np.ndarray, list[float]]:
    """Stage 3: ICM-EM at smoothness 2.

    Parameters
    ----------
    v, graph
        (n, q) scores and directed graph.
    labels, components
        Start.
    zeta
        Stop when the pseudo log-likelihood changes by less than this times its magnitude.

    Returns
    -------
    labels, bounds
        Labels of the last ICM, and the pseudo log-likelihood after each.

    Warns
    -----
    ConvergenceWarning
        A class vanished, or 99 iterations were not enough.
    """
    bounds: list[float] = []
    previous = -1e4
    u = components.energies(v)
    for _ in range(99):
        labels, T = jacobi_icm(labels, u, graph)
        bounds.append(float(logsumexp(-T, axis=1).sum()))
        if abs(bounds[-1] - previous) < zeta * abs(previous):
            return labels, bounds
        previous = bounds[-1]
        try:
            u = class_moments(v, softmax(-T, axis=1)).energies(v)
        except np.linalg.LinAlgError:
            _warn("a class lost its spots, or its covariance became singular")
            return labels, bounds
    _warn("99 iterations were not enough")
    return labels, bounds


def _warn(what: str) -> None:
    warn(f"the reference's spatial mixture stopped early: {what}", ConvergenceWarning)


class PublishedTransST(BaseEstimator):
    """Spatial domains by the published implementation's numerical choices; to compare with, not to use.

    Parameters
    ----------
    n_components
        Number of domains K.
    n_factors
        Number of factors q.
    zeta
        Stop rule of the spatial mixture. The published scripts use 0.01, 0.001 and 1e-5.
    scale
        Centre and scale the genes by the moments of target and source together, as the published scripts do
        before the call; False takes the rows as they are.
    random_state
        Seed of everything that is random.

    Attributes
    ----------
    labels_ : ndarray (n,)
        Domain of every spot, 0..K-1, in no particular order.
    embedding_ : ndarray (n, q)
        Scores v of the spots.
    source_loadings_, loadings_ : ndarray (p, q)
        W0 and W.
    noise_variance_ : ndarray (p,)
        Diagonal of Λ in the source.
    penalty_ : float
    cv_penalties_, cv_errors_ : ndarray (21,)
    lower_bounds_ : list of float
        Pseudo log-likelihood after every iteration of the spatial mixture.
    """

    def __init__(
        self,
        n_components: int,
        *,
        n_factors: int = 15,
        zeta: float = 0.01,
        scale: bool = True,
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_factors = n_factors
        self.zeta = zeta
        self.scale = scale
        self.random_state = random_state

    def fit(self, X: Any, coordinates: Any, source: tuple[Any, Any]) -> Self:
        """Run the three stages.

        Parameters
        ----------
        X
            (n, p) dense log-normalised target expression.
        coordinates
            (n, 2) positions of the spots.
        source
            (n_s, p) dense expression and (n_s,) labels of all sources together; none missing, and no class
            of fewer than two rows.

        Raises
        ------
        ValueError
            Shapes do not fit, or a class has a single row.

        Warns
        -----
        ConvergenceWarning
            The spatial mixture stopped early.
        """
        X, coordinates, X_source, y = self._check(X, coordinates, *source)
        if self.scale:
            X, X_source = joint_scaling(X, X_source)
        rng = np.random.default_rng(self.random_state)
        n, p = X.shape

        noise_start = rng.uniform(0.5, 2.0, p)
        self.source_loadings_, self.noise_variance_ = source_loadings(
            X_source, y, self.n_factors, noise_start
        )

        permutations = np.array([rng.permutation(n) for _ in PENALTIES])
        self.cv_penalties_ = PENALTIES.copy()
        self.penalty_, self.cv_errors_ = choose_penalty(X, self.source_loadings_, permutations)
        self.loadings_, self.embedding_ = target_loadings(X, self.source_loadings_, self.penalty_)

        labels, components = tied_start(self.embedding_, self.n_components, self.random_state)
        graph = directed_graph(nearest_neighbors(coordinates))
        self.labels_, self.lower_bounds_ = spatial_mixture(
            self.embedding_, graph, labels, components, zeta=self.zeta
        )
        return self

    def _check(
        self, X: Any, coordinates: Any, X_source: Any, y: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        X = check_array(X, dtype=np.float64, ensure_min_samples=N_NEIGHBORS + 1, input_name="X")
        coordinates = check_array(coordinates, dtype=np.float64, input_name="coordinates")
        X_source = check_array(X_source, dtype=np.float64, input_name="source")
        y = check_labels(y, len(X_source))
        if X_source.shape[1] != X.shape[1]:
            raise ValueError(f"`source` has {X_source.shape[1]} genes, the target {X.shape[1]}")
        if len(coordinates) != len(X):
            raise ValueError(f"`coordinates` has {len(coordinates)} rows, the target {len(X)} spots")
        classes, counts = np.unique(y, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                f"every source class needs two rows or more; {classes[counts.argmin()]!r} has one"
            )
        largest = min(len(X) // 2, *X_source.shape) - 1
        if not 1 <= self.n_factors <= largest:
            raise ValueError(f"`n_factors` must lie between 1 and {largest}, got {self.n_factors}")
        return X, coordinates, X_source, y
