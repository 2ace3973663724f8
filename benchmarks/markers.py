"""How fast are the marker tests, and do their p-values keep their level?

    python benchmarks/markers.py [--spots 50000] [--genes 2000] [--replicates 10] [--out benchmarks/results]

Speed: `tl.rank_domain_genes` on simulated counts (5-10 % non-zero, 7 domains), whole call with
normalisation and table; and scipy, gene by gene and domain by domain on the same normalised values, on
some of the genes. Written to markers_speed.csv.

Level: tissues without any domains, of 900 spots x 300 genes. `tl.transst` is made to find four anyway; how
many p-values are below 0.05 and 0.001 after testing the counts that it saw ("naive"), and after a count
split ("split")? Counts are Poisson ("equal depth"), Poisson with log-normal depth of the spots ("unequal
depth"), or gamma-Poisson with dispersion 0.2 ("overdispersed"). Written to markers_level.csv.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from records import measured
from scipy import stats

import transst_py as tst
from transst_py.expression.normalize import log_expression

N_DOMAINS = 7
TISSUES = {  # standard deviation of log depth, dispersion
    "equal depth": (0.0, 0.0),
    "unequal depth": (0.4, 0.0),
    "overdispersed": (0.0, 0.2),
}
TESTS = {
    "wilcoxon, log": {"method": "wilcoxon", "normalization": "log"},
    "t, log": {"method": "t", "normalization": "log"},
    "t, linear": {"method": "t", "normalization": "linear"},
    "contrast, log": {"method": "contrast", "normalization": "log"},
    "contrast, linear": {"method": "contrast", "normalization": "linear"},
}


def large_tissue(n_spots: int, n_genes: int) -> ad.AnnData:
    """Counts of the sparsity of tissue, with domains and factor scores at random."""
    rng = np.random.default_rng(0)
    means, depth = rng.lognormal(-2.8, 0.7, n_genes), rng.lognormal(0, 0.4, n_spots)
    genes = [sp.csc_matrix(rng.poisson(mean * depth)[:, None].astype(np.float32)) for mean in means]
    adata = ad.AnnData(sp.hstack(genes, format="csr"))
    adata.obs["domain"] = pd.Categorical(rng.integers(1, N_DOMAINS + 1, n_spots).astype(str))
    adata.obsm["X_domain"] = rng.normal(size=(n_spots, 15))
    return adata


def best_of(repeats: int, run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def scipy_loop(X: sp.csc_matrix, domains: np.ndarray, test: Callable[..., object]) -> None:
    """One-vs-rest tests as one would write them with scipy."""
    for j in range(X.shape[1]):
        x = X[:, j].toarray().ravel()
        for domain in np.unique(domains):
            inside = domains == domain
            test(x[inside], x[~inside])


def speed(n_spots: int, n_genes: int, n_scipy: int = 20) -> pd.DataFrame:
    adata = large_tissue(n_spots, n_genes)
    density = adata.X.nnz / n_spots / n_genes
    rows = []
    for method in ("wilcoxon", "t", "contrast"):
        for reference in ("rest", "pairwise"):
            seconds = best_of(3, lambda m=method, r=reference: _rank(adata, method=m, reference=r))
            rows.append({"test": f"{method}, {reference}", "genes": n_genes, "seconds": seconds})
    X = sp.csc_matrix(log_expression(adata.X, "log"))[:, :n_scipy]
    domains = adata.obs["domain"].cat.codes.to_numpy()
    for name, test in {
        "scipy.stats.mannwhitneyu": lambda x, y: stats.mannwhitneyu(x, y, method="asymptotic"),
        "scipy.stats.ttest_ind": lambda x, y: stats.ttest_ind(x, y, equal_var=False),
    }.items():
        seconds = best_of(1, lambda test=test: scipy_loop(X, domains, test))
        rows.append({"test": f"{name}, rest", "genes": n_scipy, "seconds": seconds})
    table = pd.DataFrame(rows).assign(spots=n_spots, density=density)
    table["ms_per_gene"] = 1000 * table["seconds"] / table["genes"]
    return table


def _rank(adata: ad.AnnData, **options: str) -> pd.DataFrame:
    return tst.tl.rank_domain_genes(adata, key="domain", **options)


def no_domains(
    seed: int, depth: float, dispersion: float, n_rows: int = 30, n_genes: int = 300
) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    n = n_rows**2
    rates = rng.lognormal(np.log(3), 0.5, n_genes) * rng.lognormal(-(depth**2) / 2, depth, (n, 1))
    if dispersion:
        rates = rates * rng.gamma(1 / dispersion, dispersion, rates.shape)
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(rates).astype(np.float32)))
    adata.obsm["spatial"] = np.indices((n_rows, n_rows)).reshape(2, -1).T.astype(float)
    return adata


def level(replicates: int) -> pd.DataFrame:
    rows = []
    for tissue, (depth, dispersion) in TISSUES.items():
        for seed in range(replicates):
            adata = no_domains(seed, depth, dispersion)
            tst.tl.split_counts(adata, random_state=seed)
            tst.tl.transst(adata, n_domains=4, random_state=seed)
            tst.tl.transst(adata, n_domains=4, random_state=seed, layer="counts_train", key_added="half")
            for test, options in TESTS.items():
                for counts, key, layer in (("naive", "transst", None), ("split", "half", "counts_test")):
                    p_values = tst.tl.rank_domain_genes(adata, key=key, layer=layer, **options)["p_value"]
                    rows.append(
                        {
                            "tissue": tissue,
                            "test": test,
                            "counts": counts,
                            "seed": seed,
                            "below_0.05": (p_values < 0.05).mean(),
                            "below_0.001": (p_values < 0.001).mean(),
                        }
                    )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spots", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    times = speed(args.spots, args.genes)
    times.assign(**measured()).to_csv(args.out / "markers_speed.csv", index=False, float_format="%.4g")
    print(f"{args.spots} spots, {times['density'][0]:.1%} non-zero, {N_DOMAINS} domains")
    print(times[["test", "genes", "seconds", "ms_per_gene"]].round(3).to_string(index=False))
    cost = times.set_index("test")["ms_per_gene"]
    for ours, theirs in (("wilcoxon", "scipy.stats.mannwhitneyu"), ("t", "scipy.stats.ttest_ind")):
        print(f"{ours}: {cost[f'{theirs}, rest'] / cost[f'{ours}, rest']:.0f} times the speed of {theirs}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # contrasts on the same counts, mixtures that lose a domain
        shares = level(args.replicates)
    shares.assign(**measured()).to_csv(args.out / "markers_level.csv", index=False, float_format="%.4f")
    print("\nshare of p-values below 0.05 (and 0.001) without domains, mean over replicates")
    means = shares.groupby(["tissue", "test", "counts"], sort=False)[["below_0.05", "below_0.001"]].mean()
    print(means.unstack("counts").round(4).to_string())


if __name__ == "__main__":
    main()
