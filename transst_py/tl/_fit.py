"""Fit the model with the sources that are worth using, and without the others."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from transst_py._core.progress import Progress
from transst_py._core.warn import Said
from transst_py.model import NumberOfDomainsNeededError, TransST
from transst_py.tissue.potts import Field
from transst_py.tl._doubts import warn_of_own_spots
from transst_py.tl._problem import (
    Problem,
    Sources,
    genes_of_source,
    labels_of_sources,
    named_sources,
    prepare_problem,
    warn_of_narrow,
    wide_sources,
)

__all__ = ["Fit", "fit_with_sources"]


@dataclass
class Fit:
    """A fitted model, and what it was fitted to.

    Attributes
    ----------
    model, problem
        The model, and what it was given in the end.
    n_shared
        By source, how many of its genes the target has.
    merits
        What speaks for each source that was tried (see `SourceMerits`).
    used
        Names of the sources that are used.
    seconds
        By stage, of all fits together.
    """

    model: TransST
    problem: Problem
    n_shared: dict[str, int]
    merits: pd.DataFrame = field(default_factory=pd.DataFrame)
    used: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    needed: NumberOfDomainsNeededError | None = None

    def run(self) -> None:
        """Fit the model to the problem; an error that another choice of sources may mend is kept."""
        self.needed = None
        graph = Field.from_graph(self.problem.measured_graph)
        try:
            self.model.fit(self.problem.X, graph, self.problem.sources or None, self.problem.shared)
        except NumberOfDomainsNeededError as error:
            self.needed = error
        finally:
            self.seconds.update(getattr(self.model, "seconds_", {}))
        merits = self.model.source_merits_
        self.merits = merits if self.merits.empty else pd.concat([self.merits, merits])
        self.used = self.model.sources_used_


class _Inputs:
    """The target and its sources, of which any may be prepared for the model."""

    def __init__(self, adata: AnnData, source: Sources | None, options: Mapping[str, Any]) -> None:
        self.adata = adata
        self.sources = named_sources(source)
        self.labels = labels_of_sources(self.sources, options["source_labels"], options["exclude_labels"])
        warn_of_own_spots(adata, self.sources)
        self.genes = {name: genes_of_source(adata, one, name) for name, one in self.sources.items()}
        self.has: dict[str, np.ndarray] = {
            name: adata.var_names.isin(genes) for name, genes in self.genes.items()
        }
        wanted = inspect.signature(prepare_problem).parameters
        self.options = {name: value for name, value in options.items() if name in wanted}
        self.options["own_genes"] = options["encoder"] == "linear"

    def problem(self, names: Sequence[str]) -> Problem:
        """Prepare the target with these sources."""
        sources = {name: self.sources[name] for name in names}
        return prepare_problem(self.adata, sources, self.labels, self.genes, **self.options)


def fit_with_sources(
    adata: AnnData, source: Sources | None, options: Mapping[str, Any], progress: Progress, said: list[Said]
) -> Fit:
    """Fit with all sources, and once more without those that are rejected.

    Parameters
    ----------
    adata, source
        As for `tl.transst`.
    options
        All options of `tl.transst`, by name.
    progress
        What tells of the stages.
    said
        Warnings up to now.
    """
    inputs = _Inputs(adata, source, options)
    everything = list(inputs.sources)
    tried = wide_sources(inputs.has) if options["source_selection"] == "auto" else everything
    narrow = [name for name in everything if name not in tried]
    with progress.stage("input"):
        problem = inputs.problem(tried)
    model = TransST(problem.n_domains, verbose=progress.verbose, **_model_options(options))
    fit = Fit(model, problem, {name: int(mask.sum()) for name, mask in inputs.has.items()})
    fit.run()
    if narrow and not fit.used:
        tried, fit.problem = narrow, inputs.problem(narrow)
        fit.run()
    elif narrow:
        warn_of_narrow({name: fit.n_shared[name] for name in narrow})
    if tried and not fit.used:
        _check_without_sources(options["class_transfer"], fit.needed, said)
    if len(fit.used) < len(tried):
        # The rejected ones have had a part in the choice of the genes.
        merits, used = fit.merits, fit.used
        fit.problem = inputs.problem(used)
        model.set_params(source_selection="all")
        fit.run()
        fit.merits, fit.used = merits, used
    if fit.needed is not None:
        raise fit.needed
    return fit


def _model_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that are the model's, by name."""
    names = set(TransST().get_params()) - {"n_components", "verbose"}
    return {name: options[name] for name in names} | {"penalties": tuple(options["penalties"])}


def _check_without_sources(
    class_transfer: str, needed: NumberOfDomainsNeededError | None, said: list[Said]
) -> None:
    """Refuse to go on without any source where one is needed, and say why all were rejected."""
    if needed is None and class_transfer not in ("follow", "always"):
        return
    what = "`n_domains` is missing" if needed else f"`class_transfer`={class_transfer!r} needs a source"
    why = "; ".join(one.text for one in said if "are not used" in one.text)
    raise ValueError(f"{what}, and every source was rejected: {why}")
