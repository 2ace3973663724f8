"""How much of the annotation do the factors tell at all, whatever the method?

    python benchmarks/ceiling.py [--data FOLDER] [--tissues HER2] [--seeds 5] [--out benchmarks/results]

For every tissue with sources, on the spatial factors that TransST finds, adjusted Rand indices of

TransST             its domains
mixture from truth  the same mixture of the factors, started from the true labels: where the likelihood leads
                    away from them
own labels          linear discriminant analysis of the factors, taught by labels of the same tissue: of all
                    places but the one it is asked about (25 places in five folds)

The last two see what no user has. One row per tissue and seed goes to ceiling.csv.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from methods import transst_fit
from records import add, read
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from tissues import Tissue, tissues

from transst_py.domains.mixture import SpatialGaussianMixture
from transst_py.tissue.potts import Field
from transst_py.tissue.spatial_factors import SpatialFactors

HERE = Path(__file__).parent


def run_once(tissue: Tissue, seed: int) -> dict[str, float]:
    done = transst_fit(tissue.target, tissue.sources, tissue.n_domains, seed)
    done = done[np.isfinite(done.obsm["X_transst"]).all(axis=1)].copy()  # spots with counts
    graph = done.obsp["transst_connectivities"].tocsr()
    scores, share = done.obsm["X_transst"], done.uns["transst"]["params"]["min_autocorrelation"]
    factors = SpatialFactors(share).fit(scores, graph).smooth(scores, graph)
    truth = done.obs["label"].to_numpy(dtype=object)
    known = done.obs["label"].notna().to_numpy()
    # Spots without annotation start as the nearest one that has any.
    nearest = KNeighborsClassifier(1).fit(done.obsm["spatial"][known], truth[known].astype(str))
    start = pd.factorize(nearest.predict(done.obsm["spatial"]), sort=True)[0].astype(np.int32)
    mixture = SpatialGaussianMixture(tissue.n_domains, random_state=seed)
    mixture.fit(factors.copy(), Field.from_graph(graph), start=start)
    # Factors of neighbours are alike: neighbours are held out together.
    xy = done.obsm["spatial"][known]
    places = KMeans(25, n_init=1, random_state=seed).fit_predict(xy)
    lda, labels = LinearDiscriminantAnalysis(), truth[known].astype(str)
    taught = cross_val_predict(lda, factors[known], labels, groups=places, cv=GroupKFold(5))
    return {
        "TransST": adjusted_rand_score(truth[known], done.obs["transst"].to_numpy()[known]),
        "mixture from truth": adjusted_rand_score(truth[known], mixture.labels_[known]),
        "own labels": adjusted_rand_score(truth[known], taught),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--tissues", nargs="+", metavar="PART", help="parts of the names of tissues; all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    path, key = args.out / "ceiling.csv", ["tissue", "seed"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unlabelled rows, few genes: known here
        for tissue in tissues(args.data, args.tissues):
            for seed in range(args.seeds) if tissue.sources else ():
                scores = run_once(tissue, seed)
                add(path, {"tissue": tissue.name, "seed": seed} | scores, key)
                print(tissue.name, seed, *(f"{v:.2f}" for v in scores.values()), sep="  ", flush=True)
    by_tissue = read(path, key).groupby("tissue").mean(numeric_only=True)
    print(by_tissue.groupby(by_tissue.index.str.split().str[0]).mean().round(3).to_string())


if __name__ == "__main__":
    main()
