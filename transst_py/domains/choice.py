"""Choice of the number of domains K: information criteria of the spatial mixture, and its stability.

For every candidate K the mixture is fitted to scores of n spots along q factors, which must hold nothing of
a spot's neighbours, since the criteria count spots as independent of one another; with LL its last
pseudo log-likelihood and P = K (q + q (q+1)/2) + 1 parameters (docs/method.md, the number of domains)

    BIC  = -2 LL + w P log n
    MBIC = -2 LL + w P log n log log(q + n)
    HBIC = -2 LL + w P log(log n + P)

The published w jumps from 0.5 to 2 at n = 1000: on simulated tissue of 1000 to 3000 spots it then finds too
few domains, and no constant w is right for every n. The slope heuristic needs none. Beyond the true K, LL
grows linearly with P, by what each parameter picks up from noise and misfit; the penalty is twice that slope
κ, read from the upper half of the candidates (Birgé & Massart 2007; Baudry, Maugis & Michel 2012), which
should therefore reach about twice the number of domains:

    slope = -2 LL + 4 κ P

LL is that of the whitened scores, without the constant -(n q / 2) log 2π: it differs from the density of the
scores themselves by a number that is the same for all K, and does not change under affine maps of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_array

from transst_py._core.options import DEFAULTS, Criterion, choices
from transst_py._core.progress import Progress
from transst_py._core.validation import check_choice
from transst_py._core.warn import collected, warn
from transst_py.domains.mixture import SpatialGaussianMixture
from transst_py.tissue.potts import Field

__all__ = ["CRITERIA", "Choice", "check_candidates", "choice_record", "choose_n_domains", "criterion_values"]

CRITERIA = tuple(name for name in choices(Criterion) if name != "auto")
MIN_SLOPE_CANDIDATES = 4
SUBSAMPLE_SHARE = 0.8
# Repeated fits compare labellings, not likelihoods: few starts do, and show how much depends on them.
SUBSAMPLE_STARTS = 2


@dataclass(frozen=True)
class Choice:
    """Number of domains chosen, and what it was chosen from.

    Attributes
    ----------
    n_domains
        The chosen K.
    criterion, penalty_weight
        Criterion it minimises, and the weight w in it.
    table
        One row a candidate: n_domains, log_likelihood, n_parameters, bic, mbic, hbic, slope, stability,
        stability_sd. The slope is NaN with fewer than four candidates.
    mixtures
        The fitted mixture of every candidate.
    """

    n_domains: int
    criterion: str
    penalty_weight: float
    table: pd.DataFrame
    mixtures: dict[int, SpatialGaussianMixture]

    @property
    def mixture(self) -> SpatialGaussianMixture:
        """The mixture with the chosen K."""
        return self.mixtures[self.n_domains]


def choose_n_domains(
    V: np.ndarray,
    connectivities: sp.csr_matrix | Field | None,
    candidates: Iterable[int],
    *,
    start: np.ndarray | None = None,
    criterion: Criterion = DEFAULTS.criterion,
    penalty_weight: float | None = None,
    n_subsamples: int = DEFAULTS.n_subsamples,
    random_state: int = DEFAULTS.random_state,
    verbose: bool = False,
    **mixture_options: Any,
) -> Choice:
    """Fit the spatial mixture for every candidate K and choose one.

    Parameters
    ----------
    V
        (n, q) scores, each of one spot alone.
    connectivities
        (n, n) sparse neighbourhood graph, or a `Field` of it; `None` means no neighbours.
    candidates
        Numbers of domains to try.
    start
        (n,) labels that every fit starts from; see `SpatialGaussianMixture.fit`. The stability curve then
        shows only what other spots would change: such fits have no restarts.
    criterion
        "bic", "mbic", "hbic" or "slope", of which the smallest wins; "auto" is "slope" with at least four
        candidates, otherwise "hbic". A candidate that leaves a domain without spots can win only if all do.
    penalty_weight
        Weight w of the penalty of bic, mbic and hbic. `None` is the published rule, 0.5 below 1000 spots and
        2 from there on; 1 is the textbook weight.
    n_subsamples
        Fits to random 80 % of the spots, with seeds of their own, for the stability curve: at least 2, or 0
        for none.
    random_state
        Seed of the mixtures and of the subsamples.
    verbose
        Print a line for every candidate.
    **mixture_options
        Further options of `SpatialGaussianMixture`.

    Raises
    ------
    TypeError, ValueError
        A candidate is no whole number between 1 and n, there are none or too few for the criterion, or an
        option is out of range.

    Warns
    -----
    UserWarning, ConvergenceWarning
        The smallest or the largest candidate wins; and what the fit of the chosen mixture has to say (the
        others are silent).
    """
    V = check_array(V, dtype=np.float64, ensure_min_samples=2, input_name="V")
    n, q = V.shape
    numbers = check_candidates(candidates, n)
    if criterion == "auto":
        criterion = "slope" if len(numbers) >= MIN_SLOPE_CANDIDATES else "hbic"
    check_choice_options(criterion, len(numbers), penalty_weight, n_subsamples)
    weight = published_weight(n) if penalty_weight is None else float(penalty_weight)
    field = Field.of(connectivities, n)
    options = {"random_state": random_state, **mixture_options}

    progress = Progress(verbose)
    mixtures, complaints = {}, {}
    for K in numbers:
        progress.say(f"  {K} of {numbers[0]} to {numbers[-1]} domains")
        with collected() as complaints[K]:
            mixtures[K] = SpatialGaussianMixture(K, **options).fit(V, field, start=start)
    table = _criterion_table(mixtures, n, q, weight)
    curve = stability_curve(
        V, field.graph, numbers, start=start, n_subsamples=n_subsamples, progress=progress, **options
    )
    table["stability"], table["stability_sd"] = np.array([curve[K] for K in numbers]).T
    chosen = _smallest(table, criterion, mixtures)
    for said in complaints[chosen]:
        warn(said.text, said.category)
    _warn_at_the_ends(chosen, numbers, n, criterion)
    return Choice(chosen, criterion, weight, table, mixtures)


def _warn_at_the_ends(chosen: int, numbers: list[int], n: int, criterion: str) -> None:
    """Say that the best of the candidates has others on one side only, unless there are none beyond it."""
    first, last = numbers[0], numbers[-1]
    if first == last or chosen not in (first, last) or chosen == (1 if chosen == first else n):
        return
    which, other, further = "smallest", "smaller", "starts lower"
    wider = f"{chosen // 2} to {last}"
    if chosen == last:
        which, other, further = "largest", "larger", "goes further"
        wider = f"{first} to {min(2 * chosen, n)}"
    warn(
        f"the best of the numbers of domains that were tried, {chosen}, is the {which}, so a {other} one may "
        f"be better; try a range that {further}, such as {wider} (by `criterion` {criterion!r}, which sets "
        "how well the domains fit against how many parameters they have)"
    )


def check_candidates(candidates: Iterable[int], n: int, *, argument: str = "candidates") -> list[int]:
    """Return the distinct candidates in ascending order.

    Raises
    ------
    TypeError
        Not a sequence of whole numbers.
    ValueError
        There is none, or one lies outside 1..n.
    """
    if isinstance(candidates, str) or not isinstance(candidates, Iterable):
        raise TypeError(f"`{argument}` must be a sequence of whole numbers, got {candidates!r}")
    found = list(candidates)
    if not found:
        raise ValueError(f"`{argument}` is empty; give at least one number of domains")
    for K in found:
        if isinstance(K, bool) or not isinstance(K, (int, np.integer)):
            raise TypeError(f"`{argument}` must hold whole numbers, got {K!r}")
        if not 1 <= K <= n:
            raise ValueError(f"`{argument}` must lie between 1 and the {n} spots, got {K}")
    return sorted({int(K) for K in found})


def check_choice_options(
    criterion: str, n_candidates: int, penalty_weight: float | None, n_subsamples: int
) -> None:
    """Refuse options that do not fit the candidates.

    Raises
    ------
    ValueError
        An option is out of range, or there are too few candidates for the criterion.
    """
    check_choice("criterion", criterion, choices(Criterion))
    if criterion == "slope" and n_candidates < MIN_SLOPE_CANDIDATES:
        raise ValueError(
            f"`criterion`: 'slope' needs at least {MIN_SLOPE_CANDIDATES} candidates, got {n_candidates}"
        )
    if penalty_weight is not None and not penalty_weight > 0:
        raise ValueError(f"`penalty_weight` must be positive or None, got {penalty_weight!r}")
    if n_subsamples < 0 or n_subsamples == 1:
        raise ValueError(
            f"`n_subsamples` must be 0, or at least 2 to compare fits with one another, got {n_subsamples}"
        )


def published_weight(n: int) -> float:
    """Weight of the penalty in the published implementation: 0.5 below 1000 spots, 2 from there on."""
    return 0.5 if n < 1000 else 2.0


def n_parameters(n_domains: int, n_factors: int, covariance_type: str = DEFAULTS.covariance_type) -> int:
    """P: a mean for every class, the covariances, and the smoothness."""
    K, q = n_domains, n_factors
    covariances = {"full": K * q * (q + 1) // 2, "tied": q * (q + 1) // 2, "diag": K * q}
    return K * q + covariances[covariance_type] + 1


def criterion_values(
    log_likelihood: float,
    n_domains: int,
    n: int,
    n_factors: int,
    weight: float,
    covariance_type: str = DEFAULTS.covariance_type,
) -> dict[str, float]:
    """BIC, MBIC and HBIC of one fit; smaller is better.

    Parameters
    ----------
    log_likelihood
        Pseudo log-likelihood of the fit.
    n_domains, n, n_factors
        K, spots and factors.
    weight
        w, which multiplies the penalty.
    covariance_type
        Of the mixture.
    """
    P = n_parameters(n_domains, n_factors, covariance_type)
    penalties = {
        "bic": P * np.log(n),
        "mbic": P * np.log(n) * np.log(np.log(n_factors + n)),
        "hbic": P * np.log(np.log(n) + P),
    }
    return {name: float(-2 * log_likelihood + weight * penalty) for name, penalty in penalties.items()}


def slope_values(log_likelihoods: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Criterion of the slope heuristic, -2 LL + 4 κ P, of all candidates in ascending order.

    κ is the least-squares slope of LL in P over the upper half of the candidates, the middle one included,
    and never negative. NaN with fewer than four candidates.
    """
    if len(parameters) < MIN_SLOPE_CANDIDATES:
        return np.full(len(parameters), np.nan)
    upper = slice(len(parameters) // 2, None)
    kappa = np.polyfit(parameters[upper], log_likelihoods[upper], 1)[0]
    return -2 * log_likelihoods + 4 * max(float(kappa), 0.0) * parameters


def _criterion_table(
    mixtures: dict[int, SpatialGaussianMixture], n: int, n_factors: int, weight: float
) -> pd.DataFrame:
    likelihoods = {K: mixture.lower_bounds_[-1] for K, mixture in mixtures.items()}
    kind = next(iter(mixtures.values())).covariance_type
    table = pd.DataFrame(
        {
            "n_domains": K,
            "log_likelihood": likelihood,
            "n_parameters": n_parameters(K, n_factors, kind),
            **criterion_values(likelihood, K, n, n_factors, weight, kind),
        }
        for K, likelihood in likelihoods.items()
    )
    table["slope"] = slope_values(table["log_likelihood"].to_numpy(), table["n_parameters"].to_numpy())
    return table


def _smallest(table: pd.DataFrame, criterion: str, mixtures: dict[int, SpatialGaussianMixture]) -> int:
    full = [len(np.unique(mixtures[K].labels_)) == K for K in table["n_domains"]]
    eligible = table[full] if any(full) else table
    return int(eligible.loc[eligible[criterion].idxmin(), "n_domains"])


def stability_curve(
    V: np.ndarray,
    graph: sp.csr_matrix,
    numbers: list[int],
    *,
    start: np.ndarray | None = None,
    n_subsamples: int,
    random_state: int,
    progress: Progress,
    **mixture_options: Any,
) -> dict[int, tuple[float, float]]:
    """Agreement of repeated fits: mean and standard deviation of the adjusted Rand index, by K.

    The subsamples, the same for all K, are random spots with the graph among them; every pair of fits is
    compared on the spots that both hold. NaN for one domain, which always agrees, and where it was not asked
    for or a subsample has fewer spots than domains.
    """
    n = len(V)
    rng = np.random.default_rng(random_state)
    size = max(2, round(SUBSAMPLE_SHARE * n))
    subsamples = [np.sort(rng.choice(n, size, replace=False)) for _ in range(n_subsamples)]
    n_init = mixture_options.pop("n_init", "auto")
    starts = SUBSAMPLE_STARTS if n_init == "auto" else min(SUBSAMPLE_STARTS, n_init)
    seeds = [int(seed) for seed in rng.integers(2**31 - 1, size=n_subsamples)]
    fields = [Field.from_graph(graph[members][:, members]) for members in subsamples]
    curve = {}
    for K in numbers:
        labels = []
        if 1 < K <= size and n_subsamples:
            progress.say(f"  stability of {K} domains")
            for members, field, seed in zip(subsamples, fields, seeds, strict=True):
                mixture = SpatialGaussianMixture(K, n_init=starts, random_state=seed, **mixture_options)
                begin = None if start is None else start[members]
                labels.append(_silent_labels(mixture, V, members, field, begin))
        curve[K] = _agreement(labels)
    return curve


def _silent_labels(
    mixture: SpatialGaussianMixture,
    V: np.ndarray,
    members: np.ndarray,
    field: Field,
    start: np.ndarray | None,
) -> np.ndarray:
    """Labels of all spots, -1 outside the subsample."""
    labels = np.full(len(V), -1)
    with collected():  # of empty domains and slow convergence: the curve shows them
        labels[members] = mixture.fit(V[members], field, start=start).labels_
    return labels


def _agreement(labels: list[np.ndarray]) -> tuple[float, float]:
    indices = []
    for a, b in combinations(labels, 2):
        common = (a >= 0) & (b >= 0)
        if common.any():
            indices.append(adjusted_rand_score(a[common], b[common]))
    return (float(np.mean(indices)), float(np.std(indices))) if indices else (np.nan, np.nan)


def choice_record(choice: Choice) -> dict[str, Any]:
    """The choice as a dict of numbers, strings and arrays, which survives `write_h5ad`.

    Returns
    -------
    `chosen` (K), `criterion`, `penalty_weight`, and `table`: column name -> (candidates,) array.
    """
    return {
        "chosen": choice.n_domains,
        "criterion": choice.criterion,
        "penalty_weight": choice.penalty_weight,
        "table": {name: choice.table[name].to_numpy() for name in choice.table.columns},
    }
