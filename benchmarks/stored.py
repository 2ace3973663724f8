"""How do time and memory of `tl.transst` grow with the number of spots, when the counts stay on disk?

    python benchmarks/stored.py [--sizes 1000000 4000000 10000000] [--workers 1 2] [--folder /tmp/stored]

The tissue of `scale.py` and a source of a tenth of its spots, written as zarr a chunk at a time. Every size
is fitted in a process of its own, which reads the counts in chunks: reported are seconds (of the clock, and
of the processor, which other work on the machine leaves alone), the peak of resident memory, how often the
counts were read, and the adjusted Rand index. The smallest size is fitted on clusters of one and two worker
processes, too. From the seconds of the processor and the bytes that pass between machines follows what 100
million spots cost (`--cost`, from the table).
"""

from __future__ import annotations

import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from processes import peak_gib
from scale import CHUNK, N_DOMAINS, N_GENES, counts
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

import transst_py as tst

N_FACTORS, N_FOLDS = 15, 5


def places(n: int) -> np.ndarray:
    side = round(n**0.5)
    return np.indices((side, side), dtype=np.int32).reshape(2, -1).T


def write(path: Path, n: int, seed: int) -> None:
    """Write the counts and labels of about n spots."""
    rng = np.random.default_rng(0)
    profiles = rng.gamma(3.0, size=N_GENES) * rng.lognormal(0, 0.25, (N_DOMAINS, N_GENES))
    cumulative = np.cumsum(profiles / profiles.sum(axis=1, keepdims=True), axis=1)
    rng = np.random.default_rng(seed)
    xy = places(n)
    centres = rng.uniform(0, xy.max(), (6 * N_DOMAINS, 2))
    labels = (cKDTree(centres).query(xy)[1] % N_DOMAINS).astype(np.int8)
    group = zarr.open_group(path, mode="w")
    ad.io.write_elem(group, "X", counts(labels[:CHUNK], cumulative, rng))
    X = ad.io.sparse_dataset(group["X"])
    for start in range(CHUNK, len(xy), CHUNK):
        X.append(counts(labels[start : start + CHUNK], cumulative, rng))
    group.create_array("labels", data=labels)


def opened(path: Path) -> ad.AnnData:
    """Counts on disk; names, labels and places in memory."""
    group = zarr.open_group(path, mode="r")
    X = ad.io.sparse_dataset(group["X"])
    labels = pd.Categorical.from_codes(group["labels"][:], [str(k) for k in range(N_DOMAINS)])
    obs = pd.DataFrame({"label": labels}, index=pd.RangeIndex(X.shape[0]).astype(str))
    return ad.AnnData(X, obs=obs, obsm={"spatial": places(X.shape[0])})


def run(folder: Path, n: int, workers: int) -> dict[str, float]:
    """Fit, here or on workers, and measure."""
    target, source = opened(folder / "target"), opened(folder / "source")
    cluster = None
    if workers:
        from distributed import Client, LocalCluster

        cluster = LocalCluster(workers, threads_per_worker=1, processes=True, dashboard_address=None)
        client = Client(cluster)
    before, clock, processor = peak_gib(), time.perf_counter(), time.process_time()
    tst.tl.transst(target, source, source_labels="label", n_domains=N_DOMAINS, n_neighbors=4, verbose=True)
    record = target.uns["transst"]
    result = {
        "spots": target.n_obs,
        "workers": workers,
        "seconds": time.perf_counter() - clock,
        **{f"seconds {k}": v for k, v in record["seconds"].items()},
        "processor seconds": time.process_time() - processor,
        "peak GiB": peak_gib(),
        "before GiB": before,
        "passes target": record["passes"]["target"],
        "passes source": record["passes"]["source"],
        "ari": adjusted_rand_score(target.obs["label"], target.obs["transst"]),
    }
    if cluster is not None:
        result["peak GiB workers"] = max(client.run(peak_gib).values())
        client.close()
        cluster.close()
    return result
