"""How well methods impute a section: measured spots are hidden, imputed, and compared with what they held."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from tqdm import tqdm

from transst_py._core.typing import SpatialDataLike
from transst_py._core.validation import check_choice, check_seed, check_whole_number, list_some
from transst_py._core.warn import warn
from transst_py.expression.normalize import NORMALIZATIONS, log_normalize
from transst_py.expression.values import check_counts
from transst_py.imputation.holdout import comb, comb_phases, holes, random_spots, site_indices
from transst_py.imputation.methods import (
    AUTO_METHODS,
    LATTICE_METHODS,
    METHODS,
    check_installed,
    check_used,
    leaves_out,
    make_imputers,
    not_installed,
    possible,
)
from transst_py.imputation.scores import METRICS, score_genes
from transst_py.imputation.selection import select
from transst_py.imputation.smoothers import typical_spacing
from transst_py.imputation.spots import Imputer, Section
from transst_py.tl._gate import check_anndata, check_coordinates, check_matrix, check_unique_genes
from transst_py.tl._memory import check_memory
from transst_py.tl._samples import rows_of_samples
from transst_py.tl._sections import (
    Expression,
    Places,
    check_in_tissue,
    cut_sections,
    find_places,
    gene_columns,
    measured_expression,
    measured_mask,
    sample_names,
)

__all__ = ["evaluate_imputation"]

# Methods that take arguments, and arguments that are of no use here.
WITH_OPTIONS = ("domain_means", "s2s")
NOT_OPTIONS = {
    "random_state": "give it to evaluate_imputation",
    "checkpoint": "one file holds one training, and every pattern of hidden spots needs its own",
}
BYTES_PER_VALUE = 12
DEFAULT_METHODS = ("nearest", "bilinear", "kernel", "gp", "svd_gp", "kriging", "s2s")


def evaluate_imputation(
    adata: AnnData | SpatialDataLike,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    stride: int = 2,
    phases: str | Sequence[tuple[int, int]] = "all",
    fractions: Sequence[float] = (),
    hole_fractions: Sequence[float] = (),
    hole_radius: float = 2.0,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    normalization: str = "log",
    spatial_key: str = "spatial",
    sample_key: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    random_state: int = 0,
    verbose: bool = False,
) -> pd.DataFrame:
    """Hide measured spots, impute them by several methods, and score every gene at the hidden spots.

    A method is given the shown spots and the places of the hidden ones, nothing else: library size, what it
    chooses or learns, and what "auto" decides by, are of the shown spots only. The truth of a hidden spot is
    scaled by its own total to the median total of the shown spots. Values are imputed as `impute` does it.

    Parameters
    ----------
    adata
        One section, or several with `sample_key`; spots x genes, all in tissue. Of a SpatialData: its only
        table. Spots that are not measured (see `impute`) have no part. It is not changed.
    methods
        Methods of `impute`, "auto" included. Each must be possible on the shown spots. Without torch, "s2s"
        is left out of the default.
    stride
        Spacing of the spots that a comb shows, in sites.
    phases
        Combs: "all", the stride² sub-lattices one after the other; or some of them, pairs of whole numbers
        below `stride`; or () for none. A comb is the task of `impute(task="densify")`.
    fractions
        Shares of the spots to hide at random.
    hole_fractions
        Shares of the spots to hide in holes.
    hole_radius
        Of the holes, in units of the typical distance between neighbouring spots.
    genes
        Genes to impute and score; None is all. Those left out still inform some methods.
    layer, normalization, spatial_key
        As of `impute`.
    sample_key
        Column of `adata.obs` with the sample (section) of each spot. Spots are hidden in every sample,
        methods learn from all samples together, and each sample is scored by itself.
    options
        Arguments of "domain_means" (`n_domains`) and "s2s" (see `transst_py.imputation.s2s.S2SImputer`): a
        dict by method. "auto" uses them too. Refused for methods that are not asked for.
    random_state
        Seed of the hidden spots (combs are not random) and of the methods.
    verbose
        Show a progress bar.

    Returns
    -------
    DataFrame with a row per method, pattern of hidden spots and gene:

    `method`
        Name.
    `phase`
        The pattern: "comb 0,1", "random 10%" or "holes 30%".
    `sample`
        Only with `sample_key`: the sample.
    `gene`
        Name.
    `n`
        Number of hidden spots.
    `pcc`, `spearman`, `rmse`, `mae`, `js`, `ssim`, `moran_difference`
        See `transst_py.imputation.scores.score_genes`. The last two are NaN where no lattice is known.
    `seconds`
        Time to fit and to predict all genes, in all samples.

    `attrs["parameters"]` is a dict of the arguments, `chosen`, the method that "auto" took in each phase,
    and, only if there are any, `left_out`, the methods for which a package is missing, with the reason.
    `transst_py.imputation.scores.compare_methods` tests the differences between methods.

    Raises
    ------
    KeyError
        No such layer, coordinates, sample column or gene.
    TypeError
        `genes` is a single text; an option that the method does not have; shares or a radius that are no
        numbers.
    ValueError
        Unknown option; an option of a method that is not asked for; spots outside the tissue or of no sample;
        nothing to hide; a pattern that hides no or all spots; no lattice for a comb or a method that needs
        one; too few shown spots for a method; negative or missing values; tables too large for memory.
    ImportError
        "s2s" is asked for by name, and torch is not installed; the message says how to install it.

    Warns
    -----
    UserWarning
        Spots without counts were taken as not measured; the counts look normalised; the lattice columns
        cannot be used, where nothing that was asked for needs them; or "s2s" is left out.
    """
    adata = check_anndata(adata)
    check_choice("normalization", normalization, NORMALIZATIONS)
    check_seed(random_state)
    names, left_out = _check_methods(methods)
    checked_options = _check_options(options, names)
    combs = _check_combs(phases, stride)
    shares = _check_shares("fractions", fractions)
    hole_shares = _check_shares("hole_fractions", hole_fractions)
    _check_radius(hole_radius)
    check_unique_genes(adata)
    check_in_tissue(adata)
    request = _Request(names, checked_options, gene_columns(adata, genes), random_state)
    reason = "`phases`: a comb" if combs else request.reason_for_lattice()
    spots = _measured_spots(adata, layer, normalization, spatial_key, sample_key, reason)
    check_memory(
        "comparing",
        spots.adata.n_obs,
        len(request.columns),
        bytes_per_value=BYTES_PER_VALUE,
        remedy="with `genes`",
    )
    # Its own numbers: those of `random_state` alone choose the spots that methods hold out.
    rng = np.random.default_rng((random_state, 1))
    patterns = _name_patterns(
        [(f"comb {a},{b}", spots.hide_comb(stride, (a, b))) for a, b in combs]
        + [(f"random {100 * share:g}%", spots.hide_random(share, rng)) for share in shares]
        + [(f"holes {100 * share:g}%", spots.hide_holes(share, hole_radius, rng)) for share in hole_shares]
    )
    for phase, hidden in patterns.items():
        _check_possible(spots, hidden, request, phase)
    if left_out:
        warn(leaves_out("evaluate_imputation", left_out))
    tables, chosen = [], {}
    with tqdm(total=len(patterns) * len(request.methods), disable=not verbose, unit="fit") as progress:
        for phase, hidden in patterns.items():
            for found in _predict_hidden(spots, hidden, request):
                tables.append(_score(spots, hidden, found, request).assign(phase=phase))
                if found.method == "auto":
                    chosen[phase] = found.chosen
                progress.update()
    keys = ["method", "phase", "gene"] if sample_key is None else ["method", "phase", "sample", "gene"]
    table = pd.concat(tables, ignore_index=True)[[*keys, "n", *METRICS, "seconds"]]
    table.attrs["parameters"] = {
        "stride": stride,
        "hole_radius": hole_radius,
        "layer": "X" if layer is None else layer,
        "normalization": normalization,
        "options": {
            name: {key: repr(v) for key, v in given.items()} for name, given in request.options.items()
        },
        "random_state": random_state,
        "chosen": chosen,
        **({"left_out": left_out} if left_out else {}),
    }
    return table


@dataclass(frozen=True)
class _Request:
    """What to compare, and on which genes (column numbers)."""

    methods: tuple[str, ...]
    options: dict[str, dict[str, Any]]
    columns: np.ndarray
    random_state: int

    def reason_for_lattice(self) -> str | None:
        """Which method cannot do without a lattice, if there is one."""
        needing = [name for name in self.methods if name in LATTICE_METHODS]
        return f"`methods`: {needing[0]!r}" if needing else None

    def make(self, method: str, sections: Sequence[Section]) -> dict[str, Imputer]:
        """Make a method if it is possible, or all possible ones for "auto"."""
        return make_imputers(
            AUTO_METHODS if method == "auto" else [method],
            sections,
            options=self.options,
            random_state=self.random_state,
            insist=False,
        )


@dataclass(frozen=True)
class _Spots:
    """The measured spots, of which some will be hidden; `samples` has the name and the rows of each."""

    adata: AnnData
    layer: str | None
    normalization: str
    places: Places
    samples: list[tuple[str | None, np.ndarray]]

    def lattice_index(self, rows: np.ndarray) -> np.ndarray | None:
        """(row, col) of spots as in `Lattice.index`, up to a shift; None off a lattice."""
        if self.places.index is None or self.places.kind is None:
            return None
        return site_indices(self.places.index[rows], self.places.kind)

    def hide_comb(self, stride: int, phase: tuple[int, int]) -> np.ndarray:
        """Show every `stride`-th site only; the spots are on a lattice."""
        index, kind = self.lattice_index(np.arange(self.adata.n_obs)), self.places.kind
        assert index is not None
        assert kind is not None
        return self._hide("phases", lambda rows: comb(index[rows], kind, stride=stride, phase=phase))

    def hide_random(self, fraction: float, rng: np.random.Generator) -> np.ndarray:
        """Hide a share of the spots."""
        return self._hide("fractions", lambda rows: random_spots(len(rows), fraction=fraction, rng=rng))

    def hide_holes(self, fraction: float, radius: float, rng: np.random.Generator) -> np.ndarray:
        """Hide a share of the spots in holes; the radius is in units of the spacing."""
        xy = self.places.xy
        return self._hide(
            "hole_fractions",
            lambda rows: holes(
                xy[rows] / typical_spacing(xy[rows]), fraction=fraction, radius=radius, rng=rng
            ),
        )

    def _hide(self, argument: str, pattern: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Hide spots sample by sample: logical (n,); errors name the argument that asked for the pattern."""
        hidden = np.zeros(self.adata.n_obs, dtype=bool)
        for name, rows in self.samples:
            try:
                hidden[rows] = pattern(rows)
            except ValueError as error:
                where = "" if name is None else f" in sample {name!r}"
                raise ValueError(f"`{argument}`{where}: {error}") from error
        return hidden

    @property
    def groups(self) -> list[np.ndarray]:
        """Row numbers of each sample's spots."""
        return [rows for _, rows in self.samples]


@dataclass(frozen=True)
class _Found:
    """What a method predicts at the hidden spots: float32 (m, genes) for each sample."""

    method: str
    chosen: str
    predicted: list[np.ndarray]
    target_sum: float
    seconds: float


def _predict_hidden(spots: _Spots, hidden: np.ndarray, request: _Request) -> Iterator[_Found]:
    """Predict the hidden spots by every method.

    Whatever the methods see is made here of `adata[~hidden]`; of the hidden spots only the places go in.
    """
    expression = measured_expression(spots.adata[~hidden], spots.layer, spots.normalization)
    sections, sites, _ = cut_sections(expression, spots.places, ~hidden, spots.groups)
    for method in request.methods:
        start = time.perf_counter()
        imputers = request.make(method, sections)
        if method == "auto":
            rng = np.random.default_rng(request.random_state)
            selected = select(imputers, sections, sites, request.columns, rng=rng)
            chosen, fitted = selected.method, selected.fitted.imputer
        else:
            chosen, fitted = method, imputers[method].fit(sections, sites, request.columns)
        predicted = [fitted.predict(number, wanted).mean for number, wanted in enumerate(sites)]
        yield _Found(method, chosen, predicted, expression.target_sum, time.perf_counter() - start)


def _score(spots: _Spots, hidden: np.ndarray, found: _Found, request: _Request) -> pd.DataFrame:
    """Compare with what the hidden spots held, sample by sample."""
    tables = []
    for (sample, rows), predicted in zip(spots.samples, found.predicted, strict=True):
        X = check_matrix(spots.adata[rows], spots.layer)
        if spots.normalization == "log":
            X = log_normalize(X, target_sum=found.target_sum)
        truth = X[:, request.columns]
        table = score_genes(
            truth.toarray() if sp.issparse(truth) else truth,
            predicted,
            hidden[rows],
            genes=spots.adata.var_names[request.columns],
            index=spots.lattice_index(rows),
            kind=spots.places.kind,
        )
        tables.append(table.reset_index().assign(sample=sample))
    return pd.concat(tables).assign(method=found.method, seconds=found.seconds)


def _measured_spots(
    adata: AnnData,
    layer: str | None,
    normalization: str,
    spatial_key: str,
    sample_key: str | None,
    reason: str | None,
) -> _Spots:
    """Check and take the measured spots; `reason` says what needs a lattice."""
    xy = check_coordinates(adata, spatial_key)
    measured = measured_mask(adata, layer)
    samples = sample_names(adata, sample_key, measured)
    adata, xy = adata[measured], xy[measured]
    samples = None if samples is None else samples[measured]
    X = check_matrix(adata, layer)
    if normalization == "log":
        check_counts(X)
    rows = rows_of_samples(samples, adata.n_obs)
    places = find_places(
        adata,
        xy,
        samples,
        needed_by=reason,
        otherwise="there are no `ssim` and `moran_difference`, and 'auto' does without methods that need one",
    )
    return _Spots(adata, layer, normalization, places, rows)


def _check_methods(methods: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the methods to compare, and those of the default that are left out, with the reason."""
    if not pd.api.types.is_list_like(methods) or len(methods) == 0 or len(set(methods)) < len(methods):
        raise ValueError(f"`methods` must be a list of methods, none of them twice, got {methods!r}")
    for name in methods:
        check_choice("methods", name, ("auto", *METHODS))
    left_out = not_installed(methods, ()) if tuple(methods) == DEFAULT_METHODS else {}
    names = tuple(name for name in methods if name not in left_out)
    check_installed("methods", names)
    return names, left_out


def _check_options(
    options: Mapping[str, Mapping[str, Any]] | None, methods: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Refuse options that no method has, or that none of `methods` uses, before any work."""
    given_by_method = {} if options is None else options
    if not isinstance(given_by_method, Mapping) or not all(
        isinstance(given, Mapping) for given in given_by_method.values()
    ):
        raise TypeError(
            f"`options` must be a dict of the methods' options, themselves dicts, got {options!r}"
        )
    checked = {name: dict(given) for name, given in given_by_method.items()}
    for name, given in checked.items():
        if name not in WITH_OPTIONS:
            raise ValueError(f"`options` are for {list_some(WITH_OPTIONS)}, got some for {name!r}")
        for key, reason in NOT_OPTIONS.items():
            if key in given:
                raise ValueError(f"`options`: {name!r} cannot have {key!r} here: {reason}")
    check_installed("options", list(checked))
    if "auto" not in methods:
        check_used(checked, methods, asked_by="methods", within="options")
    make_imputers(list(checked), (), options=checked)
    return checked


def _check_combs(phases: str | Sequence[tuple[int, int]], stride: int) -> list[tuple[int, int]]:
    check_whole_number("stride", stride, at_least=2)
    known = comb_phases(stride)
    if isinstance(phases, str):
        check_choice("phases", phases, ("all",))
        return known
    if not pd.api.types.is_list_like(phases):
        raise TypeError(f"`phases` must be 'all' or a list of pairs, got {phases!r}")
    wrong = [phase for phase in phases if np.shape(phase) != (2,) or tuple(phase) not in known]
    if wrong:
        raise ValueError(
            f"`phases` must be 'all' or pairs of whole numbers from 0 to {stride - 1}, got {wrong[0]!r}"
        )
    return [(int(a), int(b)) for a, b in phases]


def _check_shares(name: str, shares: Sequence[float]) -> list[float]:
    values = np.asarray(shares)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "fiu"):
        raise TypeError(f"`{name}` must be a list of numbers between 0 and 1, got {shares!r}")
    wrong = values[~((values > 0) & (values < 1))] if values.size else values
    if wrong.size:
        raise ValueError(f"`{name}` must lie between 0 and 1, both excluded, got {wrong[0]:g}")
    return [float(value) for value in values]


def _check_radius(radius: float) -> None:
    if not isinstance(radius, Real):
        raise TypeError(f"`hole_radius` must be a number, got {radius!r}")
    if not 0 < radius < np.inf:
        raise ValueError(f"`hole_radius` must be positive and finite, got {radius!r}")


def _name_patterns(patterns: Sequence[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if not patterns:
        raise ValueError("nothing to hide: give `phases`, `fractions` or `hole_fractions`")
    names = [name for name, _ in patterns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"`phases`, `fractions` and `hole_fractions`: {list_some(twice)} is asked for twice")
    return dict(patterns)


def _check_possible(spots: _Spots, hidden: np.ndarray, request: _Request, phase: str) -> None:
    """Refuse methods that the shown spots are too few or too scattered for."""
    X = check_matrix(spots.adata[~hidden], spots.layer)
    counts = Expression(sp.csc_matrix(X), np.ones(X.shape[0]), np.nan)
    sections, _, _ = cut_sections(counts, spots.places, ~hidden, spots.groups)
    for method in request.methods:
        if not any(possible(name, sections) for name in (AUTO_METHODS if method == "auto" else (method,))):
            fewest = min(len(section) for section in sections)
            raise ValueError(
                f"`methods`: {method!r} cannot impute {phase!r}: too few spots or genes are left, {fewest} "
                "spots of a section, or they are too scattered; leave the method out, or hide fewer"
            )
