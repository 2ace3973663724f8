"""Published methods of label transfer, each as its authors' tutorial runs it on counts of the shared genes.

Imported only when they run; `requirements.txt` lists the Python packages, and Seurat runs in R. Neither looks
at positions. CellTypist 1.7.1 does not run with scikit-learn 1.9.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from shutil import which

import anndata as ad
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
from methods import Method, Sources
from peers import N_TOP_GENES, quiet

from transst_py.expression.genes import shared_genes

HERE = Path(__file__).parent


def shared_counts(target: ad.AnnData, sources: Sources) -> tuple[ad.AnnData, ad.AnnData]:
    """Counts of the shared genes, of the target and of the labelled rows of all sources (`obs["batch"]`)."""
    genes = shared_genes(target.var_names, {name: s.var_names for name, s in sources.items()})
    parts = {name: s[s.obs["label"].notna(), genes] for name, s in sources.items()}
    labels = np.concatenate([part.obs["label"].to_numpy(dtype=str) for part in parts.values()])
    batch = np.repeat(list(parts), [part.n_obs for part in parts.values()])
    obs = pd.DataFrame({"label": labels, "batch": batch}, index=[f"source{i}" for i in range(len(labels))])
    X = sp.vstack([sp.csr_matrix(part.X, dtype=np.float32) for part in parts.values()]).tocsr()
    query = ad.AnnData(
        sp.csr_matrix(target[:, genes].X, dtype=np.float32),
        obs=pd.DataFrame(index=[f"target{i}" for i in range(target.n_obs)]),
        var=pd.DataFrame(index=genes),
    )
    return query, ad.AnnData(X, obs=obs, var=pd.DataFrame(index=genes))


@quiet
def scanvi(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """Train scVI, then scANVI, on the sources and the unlabelled target together."""
    import scvi

    scvi.settings.seed = seed
    query, reference = shared_counts(target, sources)
    query.obs["label"], query.obs["batch"] = "unknown", "target"
    both = ad.concat([query, reference])
    both = both[np.asarray(both.X.sum(axis=1)).ravel() > 0].copy()
    if both.n_vars > N_TOP_GENES:
        expression = sp.csr_matrix(both.X).log1p()
        mean, square = (np.asarray(M.mean(axis=0)).ravel() for M in (expression, expression.power(2)))
        both = both[:, np.argsort(mean**2 - square, kind="stable")[:N_TOP_GENES]].copy()
    scvi.model.SCVI.setup_anndata(both, batch_key="batch")
    model = scvi.model.SCVI(both, n_layers=2, n_latent=30, gene_likelihood="nb")
    model.train(max_epochs=100, enable_progress_bar=False)
    labelled = scvi.model.SCANVI.from_scvi_model(
        model, unlabeled_category="unknown", labels_key="label", adata=both
    )
    labelled.train(max_epochs=20, n_samples_per_label=100, enable_progress_bar=False)
    found = pd.Series(labelled.predict(both), index=both.obs_names)
    return found.reindex(query.obs_names).fillna("none").to_numpy(dtype=str)


def seurat(target: ad.AnnData, sources: Sources, n_domains: int, seed: int) -> np.ndarray:
    """FindTransferAnchors() and TransferData() of Seurat."""
    query, reference = shared_counts(target, sources)
    with tempfile.TemporaryDirectory() as folder:
        for name, part in (("query", query), ("reference", reference)):
            scipy.io.mmwrite(f"{folder}/{name}.mtx", part.X.T.tocsc())
        reference.obs["label"].to_csv(f"{folder}/labels.csv", index=False)
        subprocess.run(
            ["Rscript", "--vanilla", str(HERE / "seurat_transfer.R"), folder, str(seed)],
            check=True,
            capture_output=True,
        )
        return pd.read_csv(f"{folder}/found.csv", dtype=str)["found"].to_numpy(dtype=str)


LABEL_PEERS = {
    "scANVI": Method(scanvi, True, max_seeds=1, packages=("scvi",)),
}
if which("Rscript"):
    LABEL_PEERS["Seurat"] = Method(seurat, True, max_seeds=1)
