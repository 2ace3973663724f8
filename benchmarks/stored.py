"""How do time and memory of `tl.transst` grow with the number of spots, when the counts stay on disk?

    python benchmarks/stored.py [--sizes 1000000 4000000 10000000] [--workers 1 2] [--folder /tmp/stored]

The tissue of `scale.py` and a source of a tenth of its spots, written as zarr a chunk at a time. Every size
is fitted in a process of its own, which reads the counts in chunks: reported are seconds (of the clock, and
of the processor, which other work on the machine leaves alone), the peak of resident memory, how often the
counts were read, and the adjusted Rand index. The smallest size is fitted on clusters of one and two worker
processes, too. From the seconds of the processor and the bytes that pass between machines follows what 100
million spots cost (`--cost`, from the table). Other rows of the table stay.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from processes import apart, peak_gib
from records import measured
from scale import CHUNK, N_COUNTS, N_DOMAINS, N_GENES, counts
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

import transst_py as tst
from transst_py._core import progress as _progress
from transst_py.expression.cluster import _LONGEST_RUN
from transst_py.expression.stores import _CHUNK_VALUES
from transst_py.transfer.label_transfer import N_COMPONENTS

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
    if not workers:  # stages in seconds of the processor
        _progress.time = SimpleNamespace(perf_counter=time.process_time)
    tst.tl.transst(target, source, source_labels="label", n_domains=N_DOMAINS, n_neighbors=4)
    record = target.uns["transst"]
    result = {
        "spots": target.n_obs,
        "workers": workers,
        "seconds": time.perf_counter() - clock,
        "processor seconds": time.process_time() - processor,
        **{f"processor seconds {k}": v for k, v in record["seconds"].items() if not workers},
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


def cost(table: pd.DataFrame, spots: float = 1e8, workers: tuple[int, ...] = (1, 8, 32, 128)) -> pd.DataFrame:
    """Estimate hours, bytes on the network and memory for many spots, from lines through the table.

    Passes over rows are shared by the workers; what does not grow with the spots, and the domains, are not.
    """
    here = table[table["workers"] == 0]
    if here["spots"].nunique() < 2:
        raise SystemExit("a model of the cost needs at least two sizes in the table")
    millions = here["spots"] / 1e6
    last = [c for c in here if c.endswith(("spatial mixture", "label transfer"))]
    domains = here[last].sum(axis=1)
    per_row, fixed = np.polyfit(millions, here["processor seconds"] - domains, 1)
    per_spot = np.polyfit(millions, domains, 1)[0]
    grow, least = np.polyfit(millions, here["peak GiB"], 1)
    n = spots / 1e6
    gram = 8 * N_GENES**2
    rows = []
    for N in workers:
        chunks = [s * N_COUNTS * 0.96 / _CHUNK_VALUES for s in (spots, spots / 10)]
        runs = [max(N, c / _LONGEST_RUN) for c in chunks]
        scores = 4 * (N_FACTORS + N_COMPONENTS) + 8
        sent = spots * (scores + 0.8) + gram * (runs[0] * N_FOLDS + runs[1] * N_DOMAINS)
        hours = (max(fixed, 0) + per_row * n / N + per_spot * n) / 3600
        rows.append({"workers": N, "hours": hours, "network GB": sent / 1e9, "client GiB": least + grow * n})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000_000, 4_000_000, 10_000_000])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/transst-stored"))
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    if not args.cost:
        args.out.mkdir(parents=True, exist_ok=True)
        table = args.out / "stored.csv"
        rows = pd.read_csv(table).to_dict("records") if table.exists() else []
        runs = [(n, 0) for n in args.sizes] + [(min(args.sizes), w) for w in args.workers]
        for n, workers in sorted(runs):
            folder = args.folder / str(n)
            if not folder.exists():
                folder.mkdir(parents=True)
                apart(write, folder / "target", n, 1)
                apart(write, folder / "source", n // 10, 2)
            row: dict[str, Any] = apart(run, folder, n, workers) | measured()
            print(pd.Series(row).round(3).to_string(), "\n", flush=True)
            rows = [r for r in rows if (r["spots"], r["workers"]) != (row["spots"], workers)] + [row]
            found = pd.DataFrame(rows).sort_values(["spots", "workers"])
            found.to_csv(table, index=False, float_format="%.4f")
            if (n, workers) == max(r for r in runs if r[0] == n):
                shutil.rmtree(folder)
    print(cost(pd.read_csv(args.out / "stored.csv")).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
