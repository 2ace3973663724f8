"""Published methods for spatial domains, each as its authors' tutorial runs it, given the number of domains.

Imported only when they run; `requirements.txt` lists what they need, and TransST does not. They take no
sources. Where a tutorial sets a resolution by hand, a search finds one that gives the number of domains.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import wraps

import anndata as ad
import numpy as np
from methods import Method, Sources, gaussian_mixture
from sklearn.decomposition import PCA

N_TOP_GENES = 2000

Run = Callable[[ad.AnnData, Sources, int, int], np.ndarray]


def quiet(run: Run) -> Run:
    """Keep the progress reports of `run` to itself."""

    @wraps(run)
    def silent(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return run(target, sources, n_domains, seed)

    return silent


def with_n_clusters(
    cluster: Callable[[float], np.ndarray], n_clusters: int, *, high: float = 4.0, steps: int = 20
) -> np.ndarray:
    """Bisect the resolution until `cluster` gives the number asked for, or return the nearest seen."""
    low, best, distance = 0.0, None, np.inf
    for _ in range(steps):
        resolution = (low + high) / 2
        labels = cluster(resolution)
        found = len(np.unique(labels))
        if abs(found - n_clusters) < distance:
            best, distance = labels, abs(found - n_clusters)
        if distance == 0:
            break
        low, high = (resolution, high) if found < n_clusters else (low, resolution)
    return best


def counts_and_positions(target: ad.AnnData) -> ad.AnnData:
    """Copy what a method may see."""
    return ad.AnnData(
        target.X.copy(),
        obs=target.obs[[]],
        var=target.var[[]],
        obsm={"spatial": target.obsm["spatial"].copy()},
    )


def keep_variable_genes(adata: ad.AnnData, logged: ad.AnnData) -> ad.AnnData:
    """Keep scanpy's highly variable genes of `logged`, where there are more than enough."""
    import scanpy as sc

    if adata.n_vars <= N_TOP_GENES:
        return adata
    table = sc.pp.highly_variable_genes(logged, n_top_genes=N_TOP_GENES, inplace=False)
    return adata[:, table["highly_variable"].to_numpy()].copy()


def scanpy_graph(target: ad.AnnData, seed: int) -> ad.AnnData:
    """Scanpy's standard clustering tutorial up to the graph of expression neighbours."""
    import scanpy as sc

    adata = counts_and_positions(target)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    adata = keep_variable_genes(adata, adata)
    sc.pp.pca(adata, random_state=seed)
    sc.pp.neighbors(adata, random_state=seed)
    return adata


@quiet
def leiden(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """Scanpy: expression alone."""
    import scanpy as sc

    adata = scanpy_graph(target, seed)

    def cluster(resolution: float) -> np.ndarray:
        sc.tl.leiden(
            adata, resolution=resolution, flavor="igraph", n_iterations=2, directed=False, random_state=seed
        )
        return adata.obs["leiden"].to_numpy()

    return with_n_clusters(cluster, n_domains)


@quiet
def spatial_leiden(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """SpatialLeiden: squidpy's spatial graph as a second layer; settings of its guide.

    As its `search_resolution` does, first the resolution of the expression layer is found without the spatial
    layer, then that of the spatial layer with it.
    """
    import spatialleiden as sl
    import squidpy as sq

    adata = scanpy_graph(target, seed)
    if target.uns["platform"] == "cells":
        sq.gr.spatial_neighbors(adata, coord_type="generic", n_neighs=10)
        adata.obsp["spatial_connectivities"] = sl.distance2connectivity(adata.obsp["spatial_distances"])
    else:
        n_neighbors = {"Visium": 6, "ST": 4}[target.uns["platform"]]
        sq.gr.spatial_neighbors(adata, coord_type="grid", n_neighs=n_neighbors)
    options = {"layer_ratio": 1.8, "directed": (False, True), "random_state": seed}
    resolution = sl.search_resolution(
        adata, n_domains, latent_kwargs={"random_state": seed}, spatial_kwargs=dict(options)
    )
    sl.spatialleiden(adata, resolution=resolution, **options)
    return adata.obs["spatialleiden"].to_numpy()


@quiet
def banksy(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """BANKSY with the settings of its DLPFC (spots) and STARmap (cells) notebooks."""
    import scanpy as sc
    from banksy.embed_banksy import generate_banksy_matrix
    from banksy.initialize_banksy import initialize_banksy
    from banksy.main import LeidenPartition

    cells = target.uns["platform"] == "cells"
    weight, n_neighbors, order = (0.8, 15, 1) if cells else (0.2, 6, 0)
    adata = counts_and_positions(target)
    sc.pp.filter_genes(adata, min_cells=1)  # it divides by the spread of every gene
    sc.pp.normalize_total(adata)
    adata = keep_variable_genes(adata, sc.pp.log1p(adata, copy=True))
    plots = dict.fromkeys(("plt_edge_hist", "plt_nbr_weights", "plt_agf_angles", "plt_theta"), False)
    graphs = initialize_banksy(adata, ("x", "y", "spatial"), n_neighbors, max_m=order, **plots)
    matrix = generate_banksy_matrix(adata, graphs, [weight], order)[1]
    scores = PCA(20, random_state=seed).fit_transform(np.nan_to_num(np.asarray(matrix.X)))
    graph = LeidenPartition(scores, num_nn=50, verbose=False)
    return with_n_clusters(
        lambda resolution: graph.partition(resolution, n_iterations=-1, seed=seed)[0].dense, n_domains
    )


@quiet
def graphst(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """GraphST, on the CPU, with its default of 600 epochs and its sparse graph (as for Stereo-seq).

    The dense graph of its Visium tutorial takes over an hour there. Its tutorials cluster with mclust's model
    EEE, through an interface that current versions of rpy2 have not: here scikit-learn fits the same model
    (one covariance for all clusters), from k-means starts. Labels are smoothed over 50 spots on Visium, as in
    its cortex tutorial, and nowhere else.
    """
    import torch
    from GraphST.GraphST import GraphST
    from GraphST.utils import refine_label

    adata = counts_and_positions(target)
    model = GraphST(adata, device=torch.device("cpu"), random_seed=seed, datatype="Stereo")
    done = model.train()
    scores = PCA(20, random_state=42).fit_transform(done.obsm["emb"])
    done.obs["domain"] = gaussian_mixture(scores, n_domains, seed, covariance_type="tied").astype(str)
    if target.uns["platform"] == "Visium":
        return np.array(refine_label(done, radius=50, key="domain"))
    return done.obs["domain"].to_numpy()


PEERS = {
    "Leiden": Method(leiden, packages=("scanpy", "igraph")),
    "SpatialLeiden": Method(spatial_leiden, packages=("scanpy", "squidpy", "spatialleiden"), max_seeds=2),
    "BANKSY": Method(banksy, packages=("scanpy", "banksy", "leidenalg")),
    "GraphST": Method(graphst, packages=("GraphST", "skmisc", "ot"), max_seeds=1),
}
