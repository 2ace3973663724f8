"""Train a CDCIN on crops of sections and of natural images, and stop when held-out spots say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from transst_py._core.atomic import written_whole
from transst_py._core.validation import check_choice, check_whole_number
from transst_py.imputation.batches import Batch, ImageSampler, ViewSampler, whole_maps
from transst_py.imputation.network import CDCIN, PRESETS, NetworkConfig
from transst_py.imputation.views import View, tiles

__all__ = ["TRAINING_PRESETS", "TrainedNetwork", "TrainingConfig", "TrainingData", "train"]

# Channels of which held-out spots are looked at while training, and pixels that pass the network at once.
MAX_CHECKED = 32
BATCH_PIXELS = 2**18
# Side of the tiles in which larger maps pass a network that sees a bounded neighbourhood.
TILE_SIDE = 512
# Weight of the newest weights in their running mean, and bound of the gradients' norm.
AVERAGING = 0.01
MAX_NORM = 1.0


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is made and trained.

    Attributes
    ----------
    network
        Its shape. With 3 `in_channels` it also sees which pixels are measured, and which are tissue.
    start
        Method that fills the maps before the network sees them: "kriging", "svd_gp", "gp" or "nearest".
    scale
        Unit of the network: None is the standard deviation of each gene around its mean; else this number
        for all genes, from 0.
    steps, batch, crop, learning_rate
        Optimiser steps, samples of each kind in a step, side of a crop of the dense maps in pixels (half of
        it on the sparser ones), and the (largest) learning rate.
    one_cycle
        Let the learning rate rise and fall, average the weights and bound the gradients; else Adam as in the
        paper: constant rate, momentum 0.5.
    loss
        "l2" or "l1".
    ask_shown
        Score the sparser-to-sparse maps at the shown spots too, not at the hidden ones only.
    dense_weight, image_weight
        Weights of the sparse-to-dense and the natural-image loss beside sparser-to-sparse; 0 leaves one out.
    dense_every, image_every
        Steps from one in which they take part to the next.
    n_checks, patience, keep_best
        How often held-out spots are looked at; after how many checks without improvement training stops (None
        does not stop); and whether the best weights are kept, or the last.
    shrink
        Multiply the network's correction with what the held-out spots bear out, between 0 and 1.
    weigh_by_noise
        Weigh spots by their precision, else all alike.
    dense_images
        Learn from images at the size of the dense crops too.
    mixed_precision
        On CUDA, compute in bfloat16 where that is safe.

    Raises
    ------
    TypeError, ValueError
        A number is out of range, or the loss unknown.
    """

    network: NetworkConfig = field(
        default_factory=lambda: replace(PRESETS["lite"], in_channels=3, zero_init=True)
    )
    start: str = "kriging"
    scale: float | None = None
    steps: int = 400
    batch: int = 16
    crop: int = 32
    learning_rate: float = 1e-3
    one_cycle: bool = True
    loss: str = "l2"
    ask_shown: bool = False
    dense_weight: float = 0.1
    image_weight: float = 0.1
    dense_every: int = 4
    image_every: int = 2
    n_checks: int = 8
    patience: int | None = 3
    keep_best: bool = True
    shrink: bool = True
    weigh_by_noise: bool = True
    dense_images: bool = False
    mixed_precision: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "crop", "dense_every", "image_every", "n_checks"):
            check_whole_number(name, getattr(self, name), at_least=1)
        check_choice("loss", self.loss, ("l2", "l1"))
        if self.crop < 4:
            raise ValueError(f"`crop` must be at least 4 pixels, got {self.crop}")
        if not self.learning_rate > 0:
            raise ValueError(f"`learning_rate` must be above 0, got {self.learning_rate!r}")

    @property
    def image_sides(self) -> tuple[int, ...]:
        """Sides of the crops of natural images."""
        return (self.crop // 2, self.crop) if self.dense_images else (self.crop // 2,)


TRAINING_PRESETS = {
    "lite": TrainingConfig(),
    "medium": TrainingConfig(
        network=replace(PRESETS["medium"], in_channels=3, zero_init=True), steps=2000, learning_rate=5e-4
    ),
    "paper": TrainingConfig(
        network=PRESETS["paper"],
        start="nearest",
        scale=10.0,
        steps=45_000,
        crop=64,
        learning_rate=1e-4,
        one_cycle=False,
        loss="l1",
        ask_shown=True,
        dense_weight=1.0,
        # In units of the network the tissue weighs ten times what images do.
        image_weight=0.1,
        dense_every=1,
        image_every=1,
        n_checks=30,
        patience=None,
        keep_best=False,
        shrink=False,
        weigh_by_noise=False,
        dense_images=True,
        mixed_precision=False,
    ),
}


@dataclass(frozen=True)
class TrainingData:
    """What a network learns from.

    Attributes
    ----------
    sparser, dense
        Views for the sparser-to-sparse and the sparse-to-dense loss.
    held_out
        One view a section, in which held-out spots are asked for: they are in no other view.
    weights
        How often a channel is drawn, float64 (channels,), sum 1.
    images
        Samplers of natural images; none leaves them out.
    """

    sparser: Sequence[View]
    dense: Sequence[View]
    held_out: Sequence[View]
    weights: np.ndarray
    images: Sequence[ImageSampler]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network, and how much of its correction to believe.

    Attributes
    ----------
    network
        In evaluation mode, on the device.
    shrinkage
        Factor of its correction.
    history
        A dict per check: `step`, `loss` (mean since the last check), `held_out` (mean squared error at the
        held-out spots over that of the start).
    """

    network: CDCIN
    shrinkage: float
    history: list[dict[str, float]]

    def complete(self, view: View, channels: np.ndarray) -> np.ndarray:
        """Fill some channels of a view: float32 (channels, h, w) in network units."""
        return np.asarray(view.start[channels] + self.shrinkage * _corrections(self.network, view, channels))


def train(
    config: TrainingConfig,
    data: TrainingData,
    *,
    device: torch.device,
    random_state: int,
    initial: TrainedNetwork | None = None,
    checkpoint: Path | None = None,
    verbose: bool = False,
) -> TrainedNetwork:
    """Train a network.

    Parameters
    ----------
    config, data
        How, and on what.
    device
        Where; on CUDA in mixed precision.
    random_state
        Seed of the weights and of all draws.
    initial
        Network to go on from; it stays if training does not improve it.
    checkpoint
        File to which the state is written at every check. If it exists, training goes on from there, to the
        same result as without a break.
    verbose
        Show a progress bar with the loss.

    Raises
    ------
    ValueError
        The checkpoint is of another configuration or of other data.
    """
    run = _Run(config, data, device, random_state)
    if initial is not None:
        run.start_from(initial)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    check_every = max(1, config.steps // config.n_checks)
    with tqdm(total=config.steps, initial=run.step, disable=not verbose, desc="S2S", unit="step") as bar:
        while run.step < config.steps and not run.finished:
            loss = run.advance()
            bar.update()
            if run.step % check_every == 0 or run.step == config.steps:
                bar.set_postfix(loss=f"{loss:.4f}", held_out=f"{run.check():.4f}")
                if checkpoint is not None:
                    run.save(checkpoint)
    return run.result()


class _Run:
    """The state of a training."""

    def __init__(
        self, config: TrainingConfig, data: TrainingData, device: torch.device, random_state: int
    ) -> None:
        self.config, self.data, self.device = config, data, device
        self.rng = np.random.default_rng(random_state)
        self.network = _new_network(config.network, random_state).to(device)
        self.average = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.best = {name: tensor.clone() for name, tensor in self.average.items()}
        betas = (0.9, 0.999) if config.one_cycle else (0.5, 0.999)
        decay = 1e-4 if config.one_cycle else 0.0
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, betas=betas, weight_decay=decay
        )
        self.sparser = [ViewSampler(view, device, side=config.crop // 2) for view in data.sparser]
        self.dense = [ViewSampler(view, device, side=config.crop) for view in data.dense]
        self.step = 0
        self.losses: list[float] = []
        self.history: list[dict[str, float]] = []
        self.best_error, self.shrinkage, self.stale = 1.0, float(not config.shrink), 0
        self._checked = _checked_channels(data, random_state)

    def start_from(self, initial: TrainedNetwork) -> None:
        """Take over a network, and how well it does here."""
        self.network.load_state_dict(initial.network.state_dict())
        self.average = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.check()

    @property
    def finished(self) -> bool:
        return self.config.patience is not None and self.stale >= self.config.patience

    def advance(self) -> float:
        """Take one step; return the loss."""
        config = self.config
        self.network.train()
        self._set_learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self._crops(self.sparser))
        if config.dense_weight and self.dense and self.step % config.dense_every == 0:
            loss = loss + config.dense_weight * self._loss(self._crops(self.dense))
        if config.image_weight and self.step % config.image_every == 0:
            for images in self.data.images:
                loss = loss + config.image_weight * self._loss(images.sample(config.batch, self.rng))
        loss.backward()
        if config.one_cycle:
            nn.utils.clip_grad_norm_(self.network.parameters(), MAX_NORM)
        self.optimizer.step()
        self.step += 1
        self._average()
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def check(self) -> float:
        """Look at the held-out spots, and keep the weights if they are the best so far."""
        state = self.average if self.config.one_cycle else self.network.state_dict()
        shown = _with_weights(self.config.network, state, self.device)
        error, shrinkage = _held_out_error(shown, self.data.held_out, self._checked, self.config.shrink)
        self.history.append(
            {"step": self.step, "loss": float(np.mean(self.losses or [np.nan])), "held_out": error}
        )
        self.losses = []
        self.stale += 1
        if error < self.best_error or not self.config.keep_best:
            self.best_error, self.shrinkage, self.stale = error, shrinkage, 0
            self.best = {name: tensor.clone() for name, tensor in state.items()}
        return error

    def result(self) -> TrainedNetwork:
        network = _with_weights(self.config.network, self.best, self.device)
        return TrainedNetwork(network, self.shrinkage, self.history)

    def _crops(self, samplers: Sequence[ViewSampler]) -> Batch:
        sampler = samplers[int(self.rng.integers(len(samplers)))]
        # Sparser views may have fewer factors; the leading ones are the same.
        weights = self.data.weights[: sampler.n_channels]
        channels = self.rng.choice(len(weights), size=self.config.batch, p=weights / weights.sum())
        return sampler.crops(channels, self.rng)

    def _loss(self, batch: Batch) -> Tensor:
        """Weighted mean error of every cascade's output, the k-th of K with weight k / K."""
        mixed = self.config.mixed_precision and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            outputs = _forward(self.network, batch)
        weight = batch.weight if self.config.weigh_by_noise else (batch.weight > 0).float()
        total = torch.zeros((), device=self.device)
        for number, output in enumerate(outputs, start=1):
            difference = output.float() - batch.target
            error = difference.abs() if self.config.loss == "l1" else difference**2
            total = total + number / len(outputs) * (error * weight).sum() / weight.sum()
        return total

    def _set_learning_rate(self) -> None:
        if not self.config.one_cycle:
            return
        done = self.step / self.config.steps
        rising, falling = done / 0.3, (1.0 - done) / 0.7
        # Half cosines up and down, from a twenty-fifth of the largest rate.
        share = 0.5 - 0.5 * np.cos(np.pi * min(rising, falling, 1.0))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * (0.04 + 0.96 * share)

    def _average(self) -> None:
        # Early on the mean is over all steps so far, not over the untrained weights.
        newest = max(AVERAGING, 1.0 / (1.0 + 0.1 * self.step))
        with torch.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, newest)

    def save(self, path: Path) -> None:
        """Write the state as arrays and JSON: nothing in the file can run code."""
        arrays = {}
        for group in ("network", "average", "best"):
            state = self.network.state_dict() if group == "network" else getattr(self, group)
            arrays.update({f"{group}/{name}": tensor.cpu().numpy() for name, tensor in state.items()})
        for number, state in self.optimizer.state_dict()["state"].items():
            arrays.update(
                {f"optimizer/{number}/{name}": value.cpu().numpy() for name, value in state.items()}
            )
        names = ("step", "losses", "history", "best_error", "shrinkage", "stale")
        meta = {name: getattr(self, name) for name in names}
        meta |= {"rng": self.rng.bit_generator.state, "fingerprint": self._fingerprint()}
        with written_whole(path) as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)

    def load(self, path: Path) -> None:
        """Go on from a saved state."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                meta = json.loads(str(stored["meta"]))
                names = stored.files[1:]
                arrays = {name: torch.from_numpy(stored[name]).to(self.device) for name in names}
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise ValueError(
                f"`checkpoint`: {str(path)!r} is no state of a training; name another file"
            ) from error
        if meta.pop("fingerprint") != self._fingerprint():
            raise ValueError(
                f"`checkpoint`: {str(path)!r} is of a training with other settings or other data; "
                "name another file, or remove it"
            )
        self.rng.bit_generator.state = meta.pop("rng")
        for name, value in meta.items():
            setattr(self, name, value)
        self.network.load_state_dict(_below(arrays, "network"))
        self.average, self.best = _below(arrays, "average"), _below(arrays, "best")
        parameters = self.optimizer.state_dict()
        for name, tensor in _below(arrays, "optimizer").items():
            number, key = name.split("/")
            parameters["state"].setdefault(int(number), {})[key] = tensor.cpu() if key == "step" else tensor
        self.optimizer.load_state_dict(parameters)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        for view in (*self.data.sparser, *self.data.dense, *self.data.held_out):
            for maps in (view.start, view.target, view.weight):
                digest.update(np.ascontiguousarray(maps).tobytes())
        digest.update(self.data.weights.tobytes())
        for images in self.data.images:
            digest.update(images.fingerprint)
        return digest.hexdigest()


def _new_network(config: NetworkConfig, random_state: int) -> CDCIN:
    """Make a network without touching torch's own random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        return CDCIN(config)


def _with_weights(config: NetworkConfig, state: dict[str, Tensor], device: torch.device) -> CDCIN:
    network = _new_network(config, 0).to(device)
    network.load_state_dict(state)
    return network.eval()


def _below(arrays: dict[str, Tensor], group: str) -> dict[str, Tensor]:
    return {name.split("/", 1)[1]: value for name, value in arrays.items() if name.startswith(group + "/")}


def _forward(network: CDCIN, batch: Batch) -> list[Tensor]:
    extra = batch.extra if network.config.in_channels == 3 else None
    outputs: list[Tensor] = network(batch.start, batch.observed, batch.shown, extra)
    return outputs


def _corrections(network: CDCIN, view: View, channels: np.ndarray) -> np.ndarray:
    """What the network adds to the start of some channels, float32 (channels, h, w)."""
    device = next(network.parameters()).device
    found = np.empty((len(channels), *view.shown.shape), dtype=np.float32)
    for tile in tiles(view.shown.shape, TILE_SIDE, network.config.reach):
        part = view.crop(*tile.seen)
        at_once = max(1, BATCH_PIXELS // part.shown.size)
        with torch.inference_mode():
            for start in range(0, len(channels), at_once):
                batch = whole_maps(part, channels[start : start + at_once], device)
                correction = (_forward(network, batch)[-1] - batch.start)[:, 0].cpu().numpy()
                found[(slice(start, start + at_once), *tile.core)] = correction[(slice(None), *tile.within)]
    return found


def _checked_channels(data: TrainingData, random_state: int) -> np.ndarray:
    """Choose the channels of which held-out spots are looked at: the likeliest in training, and others."""
    possible = np.flatnonzero(data.weights)
    if len(possible) <= MAX_CHECKED:
        return possible
    rng = np.random.default_rng(random_state)
    return np.sort(rng.choice(len(data.weights), size=MAX_CHECKED, replace=False, p=data.weights))


def _held_out_error(
    network: CDCIN, views: Sequence[View], channels: np.ndarray, shrink: bool
) -> tuple[float, float]:
    """Error at the held-out spots over that of the start, and the factor of the correction it is with.

    The factor that is best at these spots minimises before - 2 f across + f² size. It is taken with `across`
    one standard error lower: sites to impute lie otherwise than held-out spots, so what is uncertain is
    rather left out.
    """
    before, size, across = 0.0, 0.0, []
    for view in views:
        asked = view.weight > 0
        weight = view.weight[asked].astype(np.float64)
        correction = _corrections(network, view, channels)[:, asked]
        missing = (view.target[channels] - view.start[channels])[:, asked]
        before += float((weight * missing**2).sum())
        size += float((weight * correction**2).sum())
        across.append((weight * missing * correction).sum(axis=0))
    if before == 0:  # nothing to correct
        return 1.0, float(not shrink)
    by_spot = np.concatenate(across)
    total, error = by_spot.sum(), by_spot.std() * np.sqrt(len(by_spot))
    factor = float(np.clip((total - error) / size, 0.0, 1.0)) if shrink and size > 0 else float(not shrink)
    return float((before - 2 * factor * total + factor**2 * size) / before), factor
