"""A non-linear encoder: graph convolution, variational autoencoder, labelled sources aligned with the target.

Takes the place of stages 1 and 2 where `TransST(encoder="graph-vae")`. A spot i with components x_i, and x̄_i
the mean of its neighbours (sources have no positions: x̄_i = x_i), is taken for

    z_i ~ N(m(x_i, x̄_i), diag s²(x_i, x̄_i)),   x_i | z_i ~ N(f(z_i), Λ),   Λ diagonal,

with z_i ~ N(0, 1) a priori, or N(μ_k, Σ_k) in class k of the sources, Σ_k diagonal. Minimised is the mean of
target and sources, each by half, of

    -log p(x | z) + KL( q(z) || p(z | class) ) - label_weight log p(class | z)

plus alignment_weight times the maximum mean discrepancy (Gretton et al. 2012) between the target's z and
every source's. Both m and f are a linear map plus a network that starts at zero: before the first step the
factors are principal components, and what is not linear has to pay.

The x are the leading principal components of the genes, target and sources weighing alike. For a Gaussian
likelihood those left out are noise, and an epoch costs the same with 200 genes and with 20,000.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from transst_py._core.machine import device_of
from transst_py._core.options import DEFAULTS
from transst_py._core.validation import check_seed, check_whole_number
from transst_py.expression.features import graph_given, rows_of_fit, rows_to_predict
from transst_py.expression.standardize import StandardizedMatrix, standardize
from transst_py.tissue.graph import check_connectivities
from transst_py.tissue.spatial_factors import neighbour_average
from transst_py.transfer.vae_network import (
    MAX_NORM,
    Dataset,
    Network,
    batches,
    datasets,
    mean_discrepancy,
    principal_components,
)

__all__ = ["GraphVariationalEncoder"]


class GraphVariationalEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Factors of spots by a variational autoencoder on the tissue's graph, aligned with labelled sources.

    Parameters
    ----------
    n_factors
        Number of factors q.
    n_inputs
        Principal components that the network sees, at most as many as there are genes.
    hidden
        Width of the hidden layers.
    label_weight
        Weight of the log-probability of the source rows' classes; 0 leaves them a prior for the factors only.
    alignment_weight
        Weight of the distance between the target's factors and each source's; 0 does not align.
    n_epochs, batch_size, learning_rate
        Passes over all rows at most, rows in a step, and the largest learning rate (it rises and falls).
    patience
        Epochs without improvement on held-out rows, a tenth of every data set, after which training stops.
        The best weights are kept.
    device
        "auto", "cpu" or "cuda"; "auto" is CUDA where there is one.
    random_state
        Seed of everything that is random. On a CPU the same seed gives the same result with the same number
        of threads (`torch.set_num_threads`).

    Attributes
    ----------
    embedding_ : ndarray (n, q)
        Posterior means of the target's spots, float64.
    source_embeddings_ : list of ndarray (n_s, q)
        The same of every source.
    classes_ : ndarray (K_s,)
        Labels of all sources, sorted.
    rotation_ : ndarray (p, d)
        From standardised genes to principal components.
    mean_, scale_ : ndarray (p,)
        How the target was standardised.
    losses_ : dict of list
        "train", "held_out": what is minimised, in nats per row, at every epoch: the mean over its steps, and
        the value on held-out rows.
    n_epochs_ : int
        Epochs run.
    n_features_in_ : int
    feature_names_in_ : ndarray (p,)
        Names of the genes, where the target was a DataFrame; `transform` then wants the same in that order.
    network_ : Network
    """

    def __init__(
        self,
        n_factors: int = DEFAULTS.n_factors,
        *,
        n_inputs: int = 50,
        hidden: int = 128,
        label_weight: float = 60.0,
        alignment_weight: float = 10.0,
        n_epochs: int = 60,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        patience: int = 10,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.n_inputs = n_inputs
        self.hidden = hidden
        self.label_weight = label_weight
        self.alignment_weight = alignment_weight
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        sources: Sequence[tuple[Any, Any]] = (),
        *,
        connectivities: sp.csr_matrix | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X
            (n, p) target: a `StandardizedMatrix`, or log-normalised expression, which is standardised by its
            own moments.
        y
            Not used: pipelines put labels here. The graph may stand here, too.
        sources
            Pairs of (n_s, p) expression, as the target, and (n_s,) labels, none of them missing.
        connectivities
            (n, n) sparse neighbourhood graph of the target's spots; `None` for spots on their own.

        Raises
        ------
        TypeError, ValueError
            An option is out of range, shapes do not fit, a value is missing, or the training diverges.
        """
        self.check_options()
        device = device_of(self.device)
        graph = graph_given(y, connectivities)
        X = standardize(rows_of_fit(self, X), center=True, scale=True)
        graph = _check_graph(graph, X.shape[0])
        matrices, codes, self.classes_ = _check_sources(sources, X.shape[1])
        if X.shape[1] < 2:
            raise ValueError(f"`X` has {X.shape[1]} feature(s), but factors need at least two genes")
        if self.n_factors >= X.shape[1]:
            raise ValueError(f"`n_factors` must be below the number of genes, {X.shape[1]}")
        self.mean_, self.scale_ = X.mean, X.scale
        n_inputs = max(min(self.n_inputs, X.shape[1]), self.n_factors)
        self.rotation_, values = principal_components(X, matrices, n_inputs, self.random_state)
        if len(values) < self.n_factors:
            raise ValueError(
                f"`n_factors` must be at most {len(values)}, the number of dimensions in which these rows "
                f"differ, got {self.n_factors}"
            )
        # The factors start with a mean square of about one.
        self.rotation_ /= np.sqrt(values[: self.n_factors].mean())
        values /= values[: self.n_factors].mean()

        inputs = [self._inputs(X, graph), *(self._inputs(M, None) for M in matrices)]
        cuda = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.random_state)
            self.network_ = Network(values, self.n_factors, len(self.classes_), self.hidden)
            self.network_.place_classes(inputs[1:], codes)
            self.network_.to(device)
            self._train(datasets(inputs, codes, self.random_state, device))
        self.embedding_, *self.source_embeddings_ = (self._encode(x) for x in inputs)
        return self

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        sources: Sequence[tuple[Any, Any]] = (),
        *,
        connectivities: sp.csr_matrix | None = None,
    ) -> np.ndarray:
        """Train the network, as `fit`, and return the target's factors, `embedding_`."""
        return self.fit(X, y, sources, connectivities=connectivities).embedding_

    def transform(self, X: Any, connectivities: sp.csr_matrix | None = None) -> np.ndarray:
        """Factors of another slice, (n_new, q), float64.

        Parameters
        ----------
        X
            (n_new, p) `StandardizedMatrix`, or expression, which is standardised as the target was.
        connectivities
            (n_new, n_new) sparse neighbourhood graph; `None` for spots on their own.

        Raises
        ------
        ValueError
            X has other genes, or the graph does not fit.
        """
        return self.encoded(X, connectivities)

    def encoded(self, X: Any, connectivities: sp.csr_matrix | None = None) -> np.ndarray:
        """Return what `transform` does, an array whatever `set_output` says."""
        check_is_fitted(self, "network_")
        rows = rows_to_predict(self, X)
        if not isinstance(rows, StandardizedMatrix):
            rows = StandardizedMatrix(rows, self.mean_, self.scale_)
        return self._encode(self._inputs(rows, _check_graph(connectivities, rows.shape[0])))

    @property
    def _n_features_out(self) -> int:
        return int(self.embedding_.shape[1] if hasattr(self, "embedding_") else self.n_factors)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def arrays(self) -> dict[str, np.ndarray]:
        """All that `transform` needs in named arrays, for a file."""
        check_is_fitted(self, "network_")
        state = {name: tensor.cpu().numpy() for name, tensor in self.network_.state_dict().items()}
        own = {name: getattr(self, name) for name in _STATE}
        return own | {f"network.{name}": value for name, value in state.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Read what `arrays` gave: an encoder that transforms as the one it came from, on the CPU."""
        state = {
            name.removeprefix("network."): torch.from_numpy(value)
            for name, value in arrays.items()
            if name.startswith("network.")
        }
        hidden, (n_classes, n_factors) = len(state["enter.bias"]), state["class_means"].shape
        encoder = cls(n_factors, hidden=hidden)
        for name in _STATE:
            setattr(encoder, name, arrays[name])
        encoder.n_features_in_, n_inputs = encoder.rotation_.shape
        encoder.network_ = Network(np.ones(n_inputs), n_factors, n_classes, hidden)
        encoder.network_.load_state_dict(state)
        encoder.network_.eval()
        return encoder

    def check_options(self) -> None:
        """Raise a TypeError or ValueError where an option is out of range, or there is no such device."""
        device_of(self.device)
        for name in ("n_factors", "n_inputs", "hidden", "n_epochs", "batch_size", "patience"):
            check_whole_number(name, getattr(self, name), at_least=1)
        for name in ("label_weight", "alignment_weight"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 <= value < np.inf):
                raise ValueError(f"`{name}` must be a number of at least 0, got {value!r}")
        if not (isinstance(self.learning_rate, (int, float)) and 0 < self.learning_rate < np.inf):
            raise ValueError(f"`learning_rate` must be above 0, got {self.learning_rate!r}")
        check_seed(self.random_state)

    def _inputs(self, X: StandardizedMatrix, graph: sp.csr_matrix | None) -> Tensor:
        """Components of every row and of the mean of its neighbours, float32 (n, 2d)."""
        own = X.dot(self.rotation_)
        around = own
        if graph is not None:
            joined = np.diff(graph.indptr) > 0
            around = np.where(joined[:, None], neighbour_average(graph) @ own, own)
        return torch.from_numpy(np.hstack([own, around]).astype(np.float32))

    def _encode(self, inputs: Tensor) -> np.ndarray:
        """Posterior means, in batches, (n, q)."""
        device = next(self.network_.parameters()).device
        self.network_.eval()
        with torch.inference_mode():
            parts = torch.split(inputs, _ENCODED_ROWS)
            means = [self.network_.encode(part.to(device))[0].cpu() for part in parts]
        return torch.cat(means).numpy().astype(np.float64)

    def _train(self, data: list[Dataset]) -> None:
        """Step until the held-out rows say stop; keep the best weights."""
        network, rng = self.network_, np.random.default_rng(self.random_state)
        n_steps = max(1, round(sum(len(d.training) for d in data) / self.batch_size))
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=n_steps * self.n_epochs, pct_start=0.2
        )
        self.losses_: dict[str, list[float]] = {"train": [], "held_out": []}
        best, best_error, stale = network.state_dict(), np.inf, 0
        for _ in range(self.n_epochs):
            network.train()
            losses = []
            for batch in batches(data, n_steps, rng):
                if not any(len(rows) for rows in batch):  # with tiny batches, other steps have had them
                    schedule.step()
                    continue
                optimizer.zero_grad(set_to_none=True)
                loss = self._loss(data, batch, sample=True)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
            error = self._held_out_loss(data)
            if not np.isfinite(error):
                raise ValueError(
                    f"`learning_rate`={self.learning_rate!r} is too large for these data: the loss is no "
                    "longer finite; divide it by ten"
                )
            self.losses_["train"].append(float(np.mean(losses)))
            self.losses_["held_out"].append(error)
            stale += 1
            if error < best_error:
                best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
                best_error, stale = error, 0
            if stale >= self.patience:
                break
        self.n_epochs_ = len(self.losses_["train"])
        network.load_state_dict(best)

    def _loss(self, data: list[Dataset], chosen: list[np.ndarray], *, sample: bool) -> Tensor:
        """What is minimised, on some rows of every data set; without `sample` at their posterior means."""
        total = torch.zeros((), device=data[0].inputs.device)
        drawn: dict[int, Tensor] = {}
        for i, (dataset, rows) in enumerate(zip(data, chosen, strict=True)):
            if len(rows):
                loss, drawn[i] = self.network_.loss(*dataset.rows(rows), self.label_weight, sample=sample)
                total = total + dataset.weight * loss
        if self.alignment_weight and 0 in drawn:
            for i in sorted(drawn.keys() - {0}):
                share = 2 * data[i].weight  # of the source among all
                total = total + self.alignment_weight * share * mean_discrepancy(drawn[0], drawn[i])
        return total

    def _held_out_loss(self, data: list[Dataset]) -> float:
        """Return the loss of the rows that are held out."""
        self.network_.eval()
        with torch.inference_mode():
            return float(self._loss(data, [d.held_out for d in data], sample=False))


_STATE = ("rotation_", "mean_", "scale_")
_ENCODED_ROWS = 8192


def _check_graph(connectivities: Any, n: int) -> sp.csr_matrix | None:
    return None if connectivities is None else check_connectivities(connectivities, n)


def _check_genes(X: StandardizedMatrix, n_genes: int, name: str) -> None:
    if X.shape[1] != n_genes:
        raise ValueError(f"`{name}` has {X.shape[1]} genes, the target {n_genes}")


def _check_sources(
    sources: Sequence[tuple[Any, Any]], n_genes: int
) -> tuple[list[StandardizedMatrix], list[np.ndarray], np.ndarray]:
    """Matrices, class codes (n_s,) and the names of all classes."""
    matrices, labels = [], []
    for i, (X, y) in enumerate(sources):
        M, labelled = standardize(X, center=True, scale=True), np.asarray(y)
        _check_genes(M, n_genes, f"sources[{i}]")
        if labelled.shape != (M.shape[0],):
            raise ValueError(f"`sources[{i}]` has labels of shape {labelled.shape} for {M.shape[0]} rows")
        matrices.append(M)
        labels.append(labelled.astype(str))
    if not labels:
        return [], [], np.empty(0, dtype=str)
    names, codes = np.unique(np.concatenate(labels), return_inverse=True)
    return matrices, np.split(codes, np.cumsum([len(y) for y in labels])[:-1]), names
