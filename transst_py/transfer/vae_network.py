"""The network of the graph variational encoder, and the data that it is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transst_py._core.eigen import leading_eigenvectors
from transst_py.expression.standardize import StandardizedMatrix

__all__ = [
    "AROUND",
    "DROPOUT",
    "HELD_OUT",
    "LOG_SD_RANGE",
    "LOG_VARIANCE_RANGE",
    "MAX_NORM",
    "MIN_LOG_NOISE",
    "WIDTHS",
    "Dataset",
    "Network",
    "batches",
    "datasets",
    "mean_discrepancy",
    "principal_components",
]

# Share of every data set's rows that only say when to stop, and bound of the gradients' norm.
HELD_OUT = 0.1
MAX_NORM = 5.0
# Share of the neighbours in the factors before the first step.
AROUND = 0.5
DROPOUT = 0.2
# Of the logarithms of the posterior's variance, the classes' standard deviations, and the noise.
LOG_VARIANCE_RANGE = (-8.0, 3.0)
LOG_SD_RANGE = (-3.0, 1.0)
MIN_LOG_NOISE = -8.0
# Widths of the kernels by which distributions are compared, in units of the mean squared distance.
WIDTHS = (0.25, 0.5, 1.0, 2.0)


class Network(nn.Module):
    """Encoder, decoder and the classes' Gaussians.

    Parameters
    ----------
    values
        (d,) mean squares of the components, decreasing.
    n_factors, n_classes, hidden
        Numbers of factors and classes, and the width of the hidden layers.
    """

    def __init__(self, values: np.ndarray, n_factors: int, n_classes: int, hidden: int) -> None:
        super().__init__()
        d = len(values)
        self.linear = nn.Linear(2 * d, n_factors)
        self.enter = nn.Linear(2 * d, hidden)
        self.between = nn.Linear(hidden, hidden)
        self.mean = nn.Linear(hidden, n_factors)
        self.log_variance = nn.Linear(hidden, n_factors)
        self.dropout = nn.Dropout(DROPOUT)
        self.linear_back = nn.Linear(n_factors, d)
        self.leave = nn.Linear(n_factors, hidden)
        self.back = nn.Linear(hidden, d)
        self.log_noise = nn.Parameter(torch.full((d,), float(np.log(values[-1]))))
        self.class_means = nn.Parameter(torch.zeros(n_classes, n_factors))
        self.class_log_sd = nn.Parameter(torch.zeros(n_classes, n_factors))
        self._start_linear(np.sqrt(values[:n_factors]))

    def _start_linear(self, sd: np.ndarray) -> None:
        """Make the factors principal components of unit variance, and the networks zero."""
        q, d = len(sd), self.linear.in_features // 2
        sds = torch.from_numpy(sd.astype(np.float32))
        with torch.no_grad():
            for part in (self.linear, self.linear_back, self.mean, self.log_variance, self.back):
                part.weight.zero_()
                part.bias.zero_()
            self.linear.weight[:, :q] = torch.diag((1 - AROUND) / sds)
            self.linear.weight[:, d : d + q] = torch.diag(AROUND / sds)
            self.linear_back.weight[:q] = torch.diag(sds)
            self.log_variance.bias.fill_(-2.0)

    def place_classes(self, inputs: list[Tensor], codes: list[np.ndarray]) -> None:
        """Start the classes' Gaussians at the moments of the sources' rows."""
        if not inputs:
            return
        with torch.no_grad():
            z, y = self.linear(torch.cat(inputs)), np.concatenate(codes)
            for k in range(len(self.class_means)):
                members = z[torch.from_numpy(y == k)]
                self.class_means[k] = members.mean(dim=0)
                sd = members.std(dim=0, correction=0)
                self.class_log_sd[k] = sd.clamp_min(1e-3).log().clamp(*LOG_SD_RANGE)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the factors, (n, q) each, of inputs (n, 2d)."""
        h = F.gelu(self.enter(self.dropout(x)))
        h = F.gelu(self.between(self.dropout(h)))
        return self.linear(x) + self.mean(h), self.log_variance(h).clamp(*LOG_VARIANCE_RANGE)

    def decode(self, z: Tensor) -> Tensor:
        """Components (n, d) of factors (n, q)."""
        components: Tensor = self.linear_back(z) + self.back(F.gelu(self.leave(z)))
        return components

    def loss(
        self, x: Tensor, y: Tensor | None, label_weight: float, *, sample: bool
    ) -> tuple[Tensor, Tensor]:
        """Mean loss of rows in nats, and their factors, drawn or (without `sample`) the posterior means.

        Parameters
        ----------
        x
            (n, 2d) inputs.
        y
            (n,) classes; `None` in the target.
        label_weight
            Weight of the classes' log-probability.
        """
        mean, log_variance = self.encode(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean) if sample else mean
        own = x[:, : self.linear_back.out_features]
        log_noise = self.log_noise.clamp_min(MIN_LOG_NOISE)
        squares = (own - self.decode(z)) ** 2 * torch.exp(-log_noise)
        unexplained = 0.5 * (squares + log_noise).sum(dim=1)
        if y is None:
            prior_mean, prior_log_sd = torch.zeros_like(mean), torch.zeros_like(mean)
            mislabelled = torch.zeros((), device=x.device)
        else:
            log_sd = self.class_log_sd.clamp(*LOG_SD_RANGE)
            classes = F.one_hot(y, len(log_sd)).to(x.dtype)
            prior_mean, prior_log_sd = classes @ self.class_means, classes @ log_sd
            deviations = (z[:, None] - self.class_means) * torch.exp(-log_sd)
            mislabelled = F.cross_entropy(-(0.5 * deviations**2 + log_sd).sum(dim=2), y)
        scaled = ((mean - prior_mean) ** 2 + log_variance.exp()) * torch.exp(-2 * prior_log_sd)
        divergence = (0.5 * (scaled - 1 - log_variance) + prior_log_sd).sum(dim=1)
        return (unexplained + divergence).mean() + label_weight * mislabelled, z


@dataclass
class Dataset:
    """Rows of the target or of a source, as the network sees them.

    Attributes
    ----------
    inputs
        float32 (n, 2d).
    codes
        (n,) classes; `None` for the target.
    weight
        Weight of the mean over its rows: a half for the target, if there are sources, which share the other.
    training, held_out
        Numbers of the rows that are learnt from, and of those that say when to stop.
    """

    inputs: Tensor
    codes: Tensor | None
    weight: float
    training: np.ndarray
    held_out: np.ndarray

    def rows(self, index: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Inputs and classes of some rows."""
        at = torch.from_numpy(index).to(self.inputs.device)
        return self.inputs[at], None if self.codes is None else self.codes[at]


def datasets(
    inputs: list[Tensor], codes: list[np.ndarray], random_state: int, device: torch.device
) -> list[Dataset]:
    """Target and sources with rows held out; sources weigh by their rows, and together as the target."""
    rng = np.random.default_rng(random_state)
    n_labelled = sum(len(y) for y in codes)
    result = []
    for x, y in zip(inputs, [None, *codes], strict=True):
        order = rng.permutation(len(x))
        held_out, training = np.split(order, [max(1, round(HELD_OUT * len(x)))])
        weight = 1.0 if not codes else 0.5 if y is None else 0.5 * len(x) / n_labelled
        classes = None if y is None else torch.from_numpy(y).to(device)
        result.append(Dataset(x.to(device), classes, weight, training, held_out))
    return result


def batches(data: list[Dataset], n_steps: int, rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
    """Yield rows of every data set, each in proportion, until all have been seen once."""
    shuffled = [np.array_split(rng.permutation(d.training), n_steps) for d in data]
    yield from (list(rows) for rows in zip(*shuffled, strict=True))


def mean_discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two sets of rows (n_a, q), (n_b, q), by Gaussian kernels."""
    z, n = torch.cat([a, b]), len(a)
    norms = (z**2).sum(dim=1)
    squares = (norms[:, None] + norms - 2 * z @ z.T).clamp_min(0)
    width = squares.detach().mean().clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-squares / (factor * width)) for factor in WIDTHS]).mean(dim=0)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


class _PooledScatter:
    """Mean of x x' over the target and over all sources' rows, half each, as a product with narrow arrays."""

    def __init__(self, target: StandardizedMatrix, sources: list[StandardizedMatrix]) -> None:
        n_rows = sum(M.shape[0] for M in sources)
        share = 0.5 if sources else 1.0
        self.shape = (target.shape[1], target.shape[1])
        self.parts = [(share / target.shape[0], target), *((0.5 / n_rows, M) for M in sources)]

    def __matmul__(self, A: np.ndarray) -> np.ndarray:
        return np.asarray(sum(weight * M.scatter_dot(A) for weight, M in self.parts))


def principal_components(
    target: StandardizedMatrix, sources: list[StandardizedMatrix], n_components: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Leading components of target and sources, half each, (p, d), and their mean squares (d,).

    Fewer where few rows span no more.
    """
    scatter = _PooledScatter(target, sources)
    vectors = leading_eigenvectors(scatter, n_components, random_state)
    values = np.einsum("pd,pd->d", vectors, scatter @ vectors)
    spanned = values > _MIN_SHARE * max(values.max(), 0.0)
    return vectors[:, spanned], values[spanned]


# Components below this share of the first are no more than rounding.
_MIN_SHARE = 1e-8
