"""How do time and memory of `tl.transst` grow with the number of spots?

    python benchmarks/scale.py [--sizes 62500 250000 1000000] [--out benchmarks/results]

Simulated tissue: seven domains on a square lattice, 2000 genes, sparse integer counts of which about 5 % are
not zero, and a labelled source of a tenth of the spots. Every size runs in a process of its own, so that its
peak memory (which includes the data) is its own. Reported: seconds of every stage, peak memory, slopes of
time and memory on log-log scale, and the adjusted Rand index.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import anndata as ad
import matplotlib
import numpy as np
import pandas as pd
import scipy.sparse as sp
from processes import apart, peak_gib
from records import measured
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

import transst_py as tst

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_GENES, N_DOMAINS, N_COUNTS = 2000, 7, 115
CHUNK = 50_000


def tissue(n: int, profiles: np.ndarray, rng: np.random.Generator) -> ad.AnnData:
    """About n spots on a square lattice; domains are unions of Voronoi cells."""
    side = round(n**0.5)
    xy = np.indices((side, side)).reshape(2, -1).T.astype(np.float64)
    centres = rng.uniform(0, side, (6 * N_DOMAINS, 2))
    labels = cKDTree(centres).query(xy)[1] % N_DOMAINS
    cumulative = np.cumsum(profiles, axis=1)
    X = sp.vstack([counts(labels[i : i + CHUNK], cumulative, rng) for i in range(0, len(xy), CHUNK)])
    obs = pd.DataFrame({"label": pd.Categorical(labels.astype(str))})
    obs.index = obs.index.astype(str)
    return ad.AnnData(X, obs=obs, obsm={"spatial": xy})


def counts(labels: np.ndarray, cumulative: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Draw the transcripts of every spot from the profile of its domain."""
    genes = np.empty((len(labels), N_COUNTS), dtype=np.int32)
    for k in range(N_DOMAINS):
        members = labels == k
        drawn = np.searchsorted(cumulative[k], rng.uniform(size=(members.sum(), N_COUNTS)))
        genes[members] = np.minimum(drawn, N_GENES - 1)
    indptr = np.arange(0, genes.size + 1, N_COUNTS, dtype=np.int32)
    ones = np.ones(genes.size, dtype=np.float32)
    X = sp.csr_matrix((ones, genes.ravel(), indptr), shape=(len(labels), N_GENES))
    X.sum_duplicates()
    return X.copy()


def run(n: int) -> dict[str, float]:
    """Simulate, fit, and measure, in this process."""
    rng = np.random.default_rng(0)
    profiles = rng.gamma(3.0, size=N_GENES) * rng.lognormal(0, 0.25, (N_DOMAINS, N_GENES))
    profiles /= profiles.sum(axis=1, keepdims=True)
    target, source = tissue(n, profiles, rng), tissue(n // 10, profiles, rng)
    before = peak_gib()
    start = time.perf_counter()
    tst.tl.transst(target, source, source_labels="label", n_domains=N_DOMAINS, n_neighbors=4)
    return {
        "spots": target.n_obs,
        "density": target.X.nnz / np.prod(target.shape),
        "seconds": time.perf_counter() - start,
        **{f"seconds {k}": v for k, v in target.uns["transst"]["seconds"].items()},
        "peak GiB": peak_gib(),
        "data GiB": before,
        "ari": adjusted_rand_score(target.obs["label"], target.obs["transst"]),
    }


def slopes(results: pd.DataFrame) -> dict[str, float]:
    """Exponent of n in time and in peak memory, between the smallest and the largest size."""
    ends = np.log(results.iloc[[0, -1]][["spots", "seconds", "peak GiB"]].to_numpy())
    rise = ends[1] - ends[0]
    return {"time": rise[1] / rise[0], "memory": rise[2] / rise[0]}


def draw(results: pd.DataFrame, path: Path) -> None:
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for column in [c for c in results if c.startswith("seconds")]:
        whole = column == "seconds"
        left.loglog(results["spots"], results[column], "o-", lw=2 if whole else 1, label=column[8:] or "all")
    left.set(xlabel="spots", ylabel="seconds")
    left.legend(frameon=False, fontsize=8)
    right.loglog(results["spots"], results["peak GiB"], "o-", label="peak")
    right.loglog(results["spots"], results["data GiB"], "o-", label="before the fit")
    right.set(xlabel="spots", ylabel="memory of the process, GiB")
    right.legend(frameon=False, fontsize=8)
    fig.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[62_500, 250_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    rows = []
    for n in args.sizes:
        rows.append(apart(run, n))
        print(pd.Series(rows[-1]).round(3).to_string(), "\n", flush=True)
    results = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    results.assign(**measured()).to_csv(args.out / "scale.csv", index=False, float_format="%.4f")
    draw(results, args.out / "scale.png")
    if len(results) > 1:
        print("log-log slopes: " + ", ".join(f"{k} {v:.2f}" for k, v in slopes(results).items()))


if __name__ == "__main__":
    main()
