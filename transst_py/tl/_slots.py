"""From a fitted model to the slots of an AnnData: columns, matrices and the record."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

import transst_py
from transst_py.domains.choice import choice_record
from transst_py.expression.chunks import RowChunks
from transst_py.model import TransST
from transst_py.source.labels import UNKNOWN
from transst_py.source.rows import Source
from transst_py.tissue.potts import infer_from_neighbors
from transst_py.tl._fit import Fit
from transst_py.tl._record import fit_identity, is_fit_record
from transst_py.transfer.label_transfer import LabelTransfer

__all__ = ["check_key", "fit_slots_record", "write_slots"]


def check_key(adata: AnnData, key: str) -> None:
    """Refuse what cannot name results in a file, and to overwrite what no earlier run wrote."""
    if not isinstance(key, str):
        raise TypeError(f"`key_added` must be a text, got {key!r}")
    if not key.strip() or "/" in key:
        raise ValueError(
            f"`key_added` must be a name without a slash, got {key!r}: h5ad files could not hold it"
        )
    if is_fit_record(adata.uns.get(key)):
        return
    if key in adata.obs:
        raise ValueError(f"`key_added`: adata.obs has a column {key!r} of its own; choose another name")
    for slot, name in (("uns", key), ("obsp", _graph_name(key))):
        if name in getattr(adata, slot):
            raise ValueError(f"`key_added`: adata.{slot} has {name!r} of its own; choose another name")


def _graph_name(key: str) -> str:
    return f"{key}_connectivities"


def write_slots(adata: AnnData, fit: Fit, key: str, record: dict[str, Any]) -> None:
    """Write the domains, their probabilities, factors and loadings, the graph and the record."""
    model, problem = fit.model, fit.problem
    embedding = np.ascontiguousarray(model.embedding_)
    if not problem.measured.all():
        embedding = np.full((adata.n_obs, model.n_factors), np.nan, dtype=embedding.dtype)
        embedding[problem.measured] = model.embedding_
    probabilities = infer_from_neighbors(
        problem.graph, model.responsibilities_, problem.measured, model.smoothness_
    )
    labels = probabilities.argmax(axis=1)
    labels[problem.measured] = model.labels_
    names = [str(k + 1) for k in range(probabilities.shape[1])]

    adata.obs[key] = pd.Categorical.from_codes(labels, categories=names)
    adata.obs[f"{key}_confidence"] = probabilities[np.arange(adata.n_obs), labels]
    if model.spot_classes_ is not None and model.domain_names_ is not None:
        # A spot without counts has the class that most of its domain's spots have.
        frequent = pd.Series(model.spot_classes_).groupby(model.labels_).agg(lambda names: names.mode()[0])
        classes = frequent.reindex(range(len(names))).to_numpy(dtype=object)[labels]
        classes[problem.measured] = model.spot_classes_
        adata.obs[f"{key}_class"] = pd.Categorical(classes)
    elif f"{key}_class" in adata.obs:  # of an earlier run with a source
        del adata.obs[f"{key}_class"]
    adata.obsm[f"X_{key}"] = embedding
    adata.obsm[f"{key}_prob"] = probabilities
    adata.varm.pop(f"{key}_loadings", None)  # of an earlier run with another encoder
    if model.encoder == "linear":
        loadings = np.full((adata.n_vars, model.n_factors), np.nan)
        loadings[adata.var_names.get_indexer(problem.genes)] = model.transfer_.loadings_
        adata.varm[f"{key}_loadings"] = loadings
    adata.obsp[_graph_name(key)] = problem.graph
    for stale in (f"{key}_markers", f"{key}_markers_params"):  # of the domains of an earlier run
        adata.uns.pop(stale, None)
    adata.uns[key] = record


def fit_slots_record(
    fit: Fit, options: dict[str, Any], messages: list[str], seconds: dict[str, float]
) -> dict[str, Any]:
    """The run as a plain dict of numbers, strings and arrays, which survives `write_h5ad`.

    `seconds` are those of the stages before the fit.
    """
    model, problem = fit.model, fit.problem
    record: dict[str, Any] = {
        "params": {k: _storable(v) for k, v in options.items() if v is not None},
        "versions": _versions(),
        "genes": problem.genes.to_numpy(dtype=str).astype(object),
        "graph": problem.graph_record,
        "transfer": _transfer_record(model),
        "mixture": _mixture_record(model),
        "warnings": np.asarray(messages, dtype=object),
        "seconds": seconds | dict(fit.seconds),
    }
    expression = {"target": problem.X} | {name: one.X for name, one in problem.sources.items()}
    passes = {name: M.store.reads for name, M in expression.items() if isinstance(M, RowChunks)}
    if passes:
        record["passes"] = passes
    if model.choice_ is not None:
        record["n_domains"] = choice_record(model.choice_)
    if model.source_model_ is not None:
        record["source"] = {
            "classes": model.source_model_.classes_.astype(object),
            "log_likelihoods": np.asarray(model.source_model_.lower_bounds_),
            "converged": model.source_model_.converged_,
        }
    if model.label_noise_:
        record["source"]["suspicious"] = _suspicious(model.suspicious_, problem.sources)
    if model.domain_names_ is not None:
        record["names"] = {column: values.to_numpy() for column, values in model.domain_names_.items()}
    if fit.n_shared:
        selection = _selection(fit.n_shared, fit.merits, fit.used, model.label_noise_)
        selection["n_shared_genes"] = len(problem.shared) if fit.used else 0
        record["source"] = selection | record.get("source", {})
    record["id"] = fit_identity(record["params"], model.labels_, model.embedding_)
    return record


def _mixture_record(model: TransST) -> dict[str, Any]:
    """The spatial mixture; of spots that follow the sources' labels only how smooth these are."""
    mixture = model.mixture_
    return {
        "smoothness": model.smoothness_,
        "log_likelihoods": np.asarray([] if mixture is None else mixture.lower_bounds_, dtype=np.float64),
        "converged": mixture is None or mixture.converged_,
    }


def _selection(
    n_shared: dict[str, int], merits: pd.DataFrame, used: list[str], noise: dict[str, float]
) -> dict[str, Any]:
    """All sources that were given: what speaks for them, which were used, share of wrong labels of these."""
    merits = merits.reindex(list(n_shared))
    return {
        "names": merits.index.to_numpy(dtype=object),
        "shared_genes": np.array(list(n_shared.values())),
        "relevance": merits["relevance"].to_numpy(),
        "label_dependence": merits["label_dependence"].to_numpy(),
        "random_labels": merits["random_labels"].eq(True).to_numpy(),
        "used": merits.index.isin(used),
        "label_noise": np.array([noise.get(name, np.nan) for name in merits.index]),
    }


def _suspicious(found: dict[str, pd.DataFrame], sources: dict[str, Source]) -> dict[str, Any]:
    """Suspicious rows of all sources, rows by their names, as arrays of equal length."""
    table = pd.concat(
        table.assign(source=name, row=sources[name].labels.index[table["row"]].astype(str))
        for name, table in found.items()
    )
    texts = {k: table[k].to_numpy(dtype=str).astype(object) for k in ("source", "row", "given", "likely")}
    return {**texts, "probability": table["probability"].to_numpy(dtype=np.float64)}


def _transfer_record(model: TransST) -> dict[str, Any]:
    """What was transferred, and what that was decided from; the network has no penalties."""
    record: dict[str, Any] = {
        "encoder": model.encoder,
        "transferred": model.transferred_,
        "follows_labels": model.follows_labels_,
        "classes_found": _found(model),
        **_labels_record(model.label_transfer_),
        "scaling_errors": model.scaling_errors_,
        "class_shrinkage": model.class_shrinkage_,
        "class_support": model.class_support_,
        "class_likelihoods": model.class_likelihoods_,
    }
    if model.encoder == "graph-vae":
        losses = {f"losses_{name}": np.asarray(values) for name, values in model.encoder_.losses_.items()}
        penalties = dict.fromkeys(("cv_penalties", "cv_errors", "cv_standard_errors"), np.zeros(0))
        return record | penalties | losses
    return record | {
        "penalty": model.transfer_.penalty_,
        "cv_penalties": model.transfer_.cv_penalties_,
        "cv_errors": model.transfer_.cv_errors_,
        "cv_standard_errors": model.transfer_.cv_standard_errors_,
    }


def _found(model: TransST) -> np.ndarray:
    """Classes that some spot has, where the labels are followed."""
    classes = model.spot_classes_ if model.follows_labels_ else None
    found = [] if classes is None else sorted({str(name) for name in classes} - {UNKNOWN})
    return np.array(found, dtype=object)


def _labels_record(transfer: LabelTransfer | None) -> dict[str, Any]:
    """What the sources tell of their own labels: score of every setting, and the trust by source.

    A slash in a name would make a folder of an h5ad file.
    """
    if transfer is None:
        return {}
    return {
        "hidden": transfer.hidden,
        "hidden_scores": {str(name).replace("/", "|"): score for name, score in transfer.scores.items()},
        "trust": {str(name).replace("/", "|"): trust for name, trust in transfer.trust.items()},
        "total_trust": transfer.total_trust,
        "coverage": transfer.coverage,
        "smoothing": {column: values.to_numpy() for column, values in transfer.smoothing.items()},
    }


def _storable(value: Any) -> Any:
    if sp.issparse(value):
        return "matrix"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _storable(v) for k, v in value.items()}
    return np.asarray(value) if isinstance(value, (tuple, list, range)) else value


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("anndata", "numpy", "scipy", "scikit-learn")}
    return {"python": platform.python_version(), "transst_py": transst_py.__version__, **libraries}
