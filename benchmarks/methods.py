"""Every method as a function (target, sources, n_domains, seed) -> labels: TransST and simple baselines.

`peers` has the published competitors. All see raw counts, positions and the number of domains; only those
with `needs_sources` see the labels of the sources, and none those of the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
from published import PublishedTransST
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import transst_py as tst
from transst_py.expression.genes import n_detected, select_genes, shared_genes
from transst_py.expression.normalize import log_normalize, median_total
from transst_py.tissue.graph import spatial_neighbors

N_FACTORS = 15
N_TOP_GENES = 2000
N_COMPONENTS = 30

Sources = dict[str, ad.AnnData]


@dataclass(frozen=True)
class Method:
    """How to run a method, and what it needs.

    `max_seeds`: 1 for what has no randomness worth repeating, few for what is slow. `packages`: modules that
    must be installed.
    """

    run: Callable[[ad.AnnData, Sources, int, int], np.ndarray]
    needs_sources: bool = False
    max_seeds: int | None = None
    packages: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        return [name for name in self.packages if find_spec(name) is None]


def installed(names: list[str], methods: dict[str, Method]) -> list[str]:
    """Names of the methods that can run; say of the others what is missing."""
    for name in names:
        if methods[name].missing:
            packages = ", ".join(methods[name].missing)
            print(f"left out, {name}: not installed: {packages} (make bench installs them)")
    return [name for name in names if not methods[name].missing]


# TransST


def transst_fit(
    target: ad.AnnData, sources: Sources, n_domains: int, seed: int, **options: Any
) -> ad.AnnData:
    """A copy of the target with the results; `options` go to `tl.transst`."""
    n_shared = len(shared_genes(target.var_names, {name: s.var_names for name, s in sources.items()}))
    return tst.tl.transst(
        target,
        sources or None,
        source_labels="label" if sources else None,
        n_domains=n_domains,
        n_factors=min(N_FACTORS, n_shared - 1),  # osmFISH has 33 genes
        random_state=seed,
        copy=True,
        **options,
    )


def transst_record(
    target: ad.AnnData, sources: Sources, n_domains: int, seed: int, **options: Any
) -> tuple[np.ndarray, dict[str, Any]]:
    """Labels, and the record of the run."""
    done = transst_fit(target, sources, n_domains, seed, **options)
    return done.obs["transst"].to_numpy(), done.uns["transst"]


def transst(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    return transst_record(target, sources, n_domains, seed)[0]


def loadings_only(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """TransST without the source's classes."""
    return transst_record(target, sources, n_domains, seed, class_transfer="never")[0]


def no_transfer(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    return transst(target, {}, n_domains, seed)


def reference_mode(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """Run the published implementation's numerical choices on the genes that TransST uses."""
    X, sources_X, y = expression(target, sources)
    labels = np.concatenate(y)
    names, counts = np.unique(labels, return_counts=True)
    rows = np.isin(labels, names[counts > 1])  # a class of one row has no covariance
    model = PublishedTransST(n_domains, n_factors=min(N_FACTORS, X.shape[1] - 1), random_state=seed)
    model.fit(X, target.obsm["spatial"], (np.vstack(sources_X)[rows], labels[rows]))
    return model.labels_


# Baselines


def expression(target: ad.AnnData, sources: Sources) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Log expression of the genes that TransST uses, and the sources' labels; labelled rows only.

    Returns
    -------
    X, sources_X, y
        (n, p) target; (n_s, p) and (n_s,) of every source.
    """
    genes = shared_genes(target.var_names, {name: s.var_names for name, s in sources.items()})
    labelled = [s[s.obs["label"].notna()] for s in sources.values()]
    counts = [sp.csr_matrix(a[:, genes].X, dtype=np.float64) for a in (target, *labelled)]
    X, *sources_X = (log_normalize(C, target_sum=median_total(counts[0])) for C in counts)
    seen = n_detected(X) >= 3
    if sources:
        seen &= sum(n_detected(M) for M in sources_X) >= 3
    chosen = select_genes(X, spatial_neighbors(target.obsm["spatial"]), seen, N_TOP_GENES)
    y = [s.obs["label"].to_numpy(dtype=str) for s in labelled]
    return X[:, chosen].toarray(), [M[:, chosen].toarray() for M in sources_X], y


def standardized(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)


def components(X: np.ndarray, n_components: int, seed: int) -> np.ndarray:
    return PCA(min(n_components, X.shape[1] - 1), random_state=seed).fit_transform(X)


def gaussian_mixture(scores: np.ndarray, n_domains: int, seed: int, **options: str) -> np.ndarray:
    # The ridge only keeps a component of few spots from becoming singular.
    mixture = GaussianMixture(n_domains, n_init=10, reg_covar=1e-3, random_state=seed, **options)
    return mixture.fit_predict(scores)


def pca_gmm(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """Cluster the target alone by scikit-learn, on the genes of the model without transfer."""
    X = expression(target, {})[0]
    return gaussian_mixture(components(standardized(X), N_FACTORS, seed), n_domains, seed)


def pca_gmm_stacked(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """Cluster target and sources together, which is as much data as TransST sees; for the timings."""
    X, sources_X, _ = expression(target, sources)
    stack = np.vstack([standardized(M) for M in (X, *sources_X)])
    return gaussian_mixture(components(stack, N_FACTORS, seed), n_domains, seed)[: len(X)]


def label_transfer(
    classifier: Callable[[], Any], *, vote: bool = True
) -> Callable[[ad.AnnData, Sources, int, int], np.ndarray]:
    """Predict the sources' labels from joint principal components, then vote among the neighbours or not.

    It may find any number of domains.
    """

    def run(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
        X, sources_X, y = expression(target, sources)
        Z = components(np.vstack([standardized(M) for M in (X, *sources_X)]), N_COMPONENTS, seed)
        predicted = classifier().fit(Z[len(X) :], np.concatenate(y)).predict(Z[: len(X)])
        return majority(predicted, spatial_neighbors(target.obsm["spatial"])) if vote else predicted

    return run


def majority(labels: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Most frequent label among a spot and its neighbours; of several, its own."""
    names, codes = np.unique(labels, return_inverse=True)
    own = np.eye(len(names))[codes]
    return names[(graph @ own + 1.5 * own).argmax(axis=1)]


def logistic() -> Any:
    """Logistic regression on components of unit variance."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


METHODS = {
    "TransST": Method(transst, needs_sources=True),
    "loadings only": Method(loadings_only, needs_sources=True),
    "no transfer": Method(no_transfer),
    "reference mode": Method(reference_mode, needs_sources=True),
    "PCA + GMM": Method(pca_gmm),
    "kNN transfer": Method(label_transfer(lambda: KNeighborsClassifier(15)), True, max_seeds=1),
    "LDA transfer": Method(label_transfer(LinearDiscriminantAnalysis), True, max_seeds=1),
    "LDA": Method(label_transfer(LinearDiscriminantAnalysis, vote=False), True, max_seeds=1),
    "logistic regression": Method(label_transfer(logistic, vote=False), True, max_seeds=1),
}
