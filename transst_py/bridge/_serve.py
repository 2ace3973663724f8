"""What the R package asks of Python.

R puts flattened objects into its exchange environment ("target", "sources") and calls `answer()` with the
name of a task. Only results go back, in the order of the input: R grafts them onto its own object.
"""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from .. import datasets, tl
from .._core.atomic import replaced
from .._core.machine import machine
from .._core.messages import DEVELOPERS_ONLY, error_message
from .._core.progress import Progress
from ._convert import from_parts, to_parts
from ._memory import r_matrix
from ._report import transfer_report, write_report
from ._session import r_session

__all__ = ["answer", "attach", "machine", "option_names"]

Options = dict[str, Any]

_KEY = "transst"
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "transst": tl.transst,
    "markers": tl.rank_domain_genes,
    "impute": tl.impute,
    "evaluate": tl.evaluate_imputation,
    "bin": tl.bin_cells,
    "simulate": datasets.simulated_tissue,
    "her2st": datasets.her2st,
    "write": AnnData.write_h5ad,
    "report": write_report,
    "transfer_report": transfer_report,
}
# Set by the bridge itself, so not offered to R's users.
_DATA = {
    "adata",
    "source",
    "source_labels",
    "layer",
    "source_layer",
    "spatial_key",
    "source_spatial_key",
    "sample_key",
}
_OWN = _DATA | {"key", "key_added", "copy", "task"}


def attach() -> None:
    """Load what every task needs, so that no task can be interrupted half-way through it."""
    r_session()


def option_names(task: str) -> list[str]:
    """Name the arguments of the task's Python function that R's users may set."""
    return [name for name in inspect.signature(_FUNCTIONS[task]).parameters if name not in _OWN]


def answer(task: str, options: Options) -> dict[str, Any]:
    """Run a task.

    Returns
    -------
    `value` (the result) or `error` (its classes, most special first, message and traceback), and `warnings`.
    KeyboardInterrupt is not caught: it reaches R as an interrupt.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result: dict[str, Any] = {"value": _TASKS[task](options)}
        except Exception as error:
            result = {"error": _describe(error)}
    shown = [str(w.message) for w in caught if not issubclass(w.category, DEVELOPERS_ONLY)]
    return result | {"warnings": list(dict.fromkeys(shown))}


def _describe(error: Exception) -> dict[str, Any]:
    """Render an exception for R."""
    classes = [c.__name__ for c in type(error).__mro__ if issubclass(c, Exception)]
    return {"classes": classes, "message": error_message(error), "traceback": traceback.format_exc()}


def target() -> AnnData:
    return from_parts(r_session().exchange["target"])


def _sources() -> dict[str, AnnData] | None:
    sources = r_session().exchange["sources"]
    if sources is r_session().interface.NULL:
        return None
    return {name: from_parts(parts) for name, parts in zip(sources.names, sources, strict=True)}


def _transst(options: Options) -> dict[str, Any]:
    adata = target()
    tl.transst(adata, _sources(), key_added=_KEY, **options)
    domains = adata.obs[_KEY].cat
    return {
        "codes": domains.codes.to_numpy().astype(np.int32),
        "domains": [str(name) for name in domains.categories],
        "confidence": adata.obs[f"{_KEY}_confidence"].to_numpy(np.float64),
        **_classes(adata),
        "embedding": np.asarray(adata.obsm[f"X_{_KEY}"], dtype=np.float64),
        "loadings": _loadings(adata),
        "record": _plain(adata.uns[_KEY]),
    }


def _classes(adata: AnnData) -> dict[str, Any]:
    """Class of every spot as code, and the names of the classes; none without a source."""
    if f"{_KEY}_class" not in adata.obs:
        return {"class_codes": [], "class_names": []}
    classes = adata.obs[f"{_KEY}_class"].cat
    return {
        "class_codes": classes.codes.to_numpy().astype(np.int32),
        "class_names": [str(name) for name in classes.categories],
    }


def _loadings(adata: AnnData) -> np.ndarray:
    """Loadings of all genes, (p, q); NaN for those without, which are all where the encoder has none."""
    missing = np.full((adata.n_vars, adata.obsm[f"X_{_KEY}"].shape[1]), np.nan)
    return np.asarray(adata.varm.get(f"{_KEY}_loadings", missing), dtype=np.float64)


def _markers(options: Options) -> dict[str, Any]:
    adata = target()
    if options.pop("recorded", False):  # the domains were found on these counts: R's object has the record
        adata.uns[options["key"]] = {"params": {}}
    table = tl.rank_domain_genes(adata, **options)
    parameters = table.attrs.copy()  # R has no place for them on a data frame
    return {"table": table.reset_index(drop=True), "parameters": _plain(parameters)}


def _impute(options: Options) -> dict[str, Any]:
    adata = target()
    with Progress(options["verbose"]).stage("imputation", str(options["method"])):
        finer = tl.impute(adata, **options)
    if finer is not None:
        hand_over(finer)
        return {"record": _plain(finer.uns["imputation"])}
    record = adata.uns["imputation"]
    for name in record["layers"]:
        r_session().hand_over(str(name), r_matrix(adata.layers[name]))
    return {"record": _plain(record)}


def _evaluate(options: Options) -> dict[str, Any]:
    table = tl.evaluate_imputation(target(), **options)
    parameters = table.attrs.pop("parameters")  # R has no place for them on a data frame
    return {"table": table, "parameters": _plain(parameters)}


def _report(options: Options) -> None:
    imputed = (_sources() or {}).get("imputed")
    write_report(target(), imputed, **options)


def _bin(options: Options) -> dict[str, Any]:
    binned = tl.bin_cells(target(), **options)
    hand_over(binned)
    return {"record": _plain(binned.uns["binning"])}


def _simulate(options: Options) -> None:
    target, source = datasets.simulated_tissue(**options)
    hand_over(target)
    r_session().hand_over("source", to_parts(source))


def _her2st(options: Options) -> dict[str, Any]:
    adata = datasets.her2st(**options)
    hand_over(adata)
    return {"record": _plain(adata.uns.get("source", ""))}


def _write(options: Options) -> None:
    with replaced(options.pop("filename")) as beside:
        target().write_h5ad(beside, **options)


def hand_over(adata: AnnData) -> None:
    r_session().hand_over("result", to_parts(adata))


def _plain(value: Any) -> Any:
    """Reduce a value of `uns` to what reticulate turns into plain R vectors, matrices and lists."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim < 2):
        return value.tolist()
    if isinstance(value, pd.DataFrame):
        return value.reset_index(drop=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if sp.issparse(value):
        return sp.csc_matrix(value, dtype=np.float64)
    return value


_TASKS: dict[str, Callable[[Options], Any]] = {
    "transst": _transst,
    "markers": _markers,
    "impute": _impute,
    "evaluate": _evaluate,
    "bin": _bin,
    "simulate": _simulate,
    "her2st": _her2st,
    "write": _write,
    "report": _report,
    "transfer_report": lambda options: _plain(transfer_report(**options)),
}
