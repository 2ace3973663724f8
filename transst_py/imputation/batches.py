"""Batches of crops: from views of sections, and from natural images sampled in the same patterns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transst_py.imputation.gaussian_process import CORRELATIONS
from transst_py.imputation.natural_images import ImageCrops
from transst_py.imputation.smoothers import find_neighbours, nearest_weights
from transst_py.imputation.views import HIDDEN_SHARE, View

__all__ = ["Batch", "ImageSampler", "ViewSampler", "whole_maps"]

# A crop holds at least this share of the tissue that the fullest one holds.
MIN_TISSUE = 0.5
# Ways to sample and fill images that are prepared.
N_PATTERNS = 12
# Noisier images would show nothing.
MAX_NOISE_RATIO = 10.0


@dataclass(frozen=True)
class Batch:
    """Samples of equal size, float32 (B, 1, h, w) each.

    Attributes
    ----------
    start, observed, target, shown, tissue, weight
        As in `View`.
    """

    start: Tensor
    observed: Tensor
    target: Tensor
    shown: Tensor
    tissue: Tensor
    weight: Tensor

    @property
    def extra(self) -> Tensor:
        """What else a network may see of the pixels, (B, 2, h, w)."""
        return torch.cat([self.shown, self.tissue], dim=1)


def whole_maps(view: View, channels: np.ndarray, device: torch.device) -> Batch:
    """Return the whole maps of some channels of a view."""
    maps = [_put(images[channels][:, None], device) for images in (view.start, view.observed, view.target)]
    planes = [_put(plane, device) for plane in (view.shown, view.tissue, view.weight)]
    return Batch(*maps, *(plane.expand(len(channels), 1, *plane.shape) for plane in planes))


class ViewSampler:
    """A view on a device, and random crops of it.

    Parameters
    ----------
    view
        The whole section.
    device
        Where its arrays are kept.
    side
        Side of a crop, in pixels, cut to that of the view.
    """

    def __init__(self, view: View, device: torch.device, *, side: int) -> None:
        self.n_channels = len(view.start)
        self._maps = [_put(array, device) for array in (view.start, view.observed, view.target)]
        self._planes = [_put(array, device) for array in (view.shown, view.tissue, view.weight)]
        self._size = tuple(min(side, n) for n in view.shown.shape)
        self._corners = _corners(view, *self._size)
        self._kind, self._may_transpose = view.kind, view.isotropic and self._size[0] == self._size[1]

    def crops(self, channels: np.ndarray, rng: np.random.Generator) -> Batch:
        """Cut each channel at a random place, all turned the same way."""
        top, left = self._corners[rng.integers(len(self._corners), size=len(channels))].T
        height, width = self._size
        device = self._maps[0].device
        rows = torch.from_numpy(top[:, None] + np.arange(height)).to(device)[:, :, None]
        cols = torch.from_numpy(left[:, None] + np.arange(width)).to(device)[:, None, :]
        which = torch.from_numpy(channels).to(device)[:, None, None]
        cut = [images[which, rows, cols] for images in self._maps]
        cut += [plane[rows, cols] for plane in self._planes]
        turn = _random_turn(self._kind, self._may_transpose, rng)
        return Batch(*(turn(tensor[:, None]) for tensor in cut))


class ImageSampler:
    """Crops of natural images, sampled and filled the way the tissue is.

    The tissue never shows what lies between its spots; images do. A crop gets zero mean, unit variance and
    the tissue's share of noise, its shown pixels are filled by the kriging of one of the tissue's maps (or by
    the nearest pixel), and the noise-free crop is asked for.

    Parameters
    ----------
    images
        float32 (h, w) arrays in [0, 1].
    steps
        Pixels from a shown one to the next, per axis; (1, 1) shows random pixels.
    side
        Side of a crop.
    processes
        Correlation, length-scale (in spacings of shown pixels) and noise ratio of the tissue's maps; empty
        fills with the nearest pixel, and leaves the values in [0, 1] without noise.
    rng
        Chooses what is prepared.
    device
        Where batches are wanted.

    Attributes
    ----------
    fingerprint
        Differs for other images, or other ways to sample them; bytes.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        *,
        steps: Sequence[int],
        side: int,
        processes: Sequence[tuple[str, float, float]],
        rng: np.random.Generator,
        device: torch.device,
    ) -> None:
        self._crops, self._side, self._device = ImageCrops(images), side, device
        digest = hashlib.sha256(f"{side} {list(steps)} {list(processes)}".encode())
        for image in images:
            digest.update(image.tobytes())
        self.fingerprint = digest.digest()
        patterns = [_pattern(side, steps, number, rng) for number in range(N_PATTERNS)]
        usable = [process for process in processes if process[2] <= MAX_NOISE_RATIO]
        self._standardize = bool(usable)
        self._fills = []
        for shown in patterns:
            if not usable:
                self._fills.append((shown, _nearest_fill(shown), 0.0))
                continue
            name, length, ratio = usable[rng.integers(len(usable))]
            fill = _kriging_fill(shown, name, length * max(steps), ratio)
            self._fills.append((shown, fill, ratio))

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """Draw n crops that are shown and filled in one way."""
        shown, fill, ratio = self._fills[rng.integers(len(self._fills))]
        clean = self._crops.sample(n, self._side, self._side, rng).reshape(n, -1)
        if self._standardize:
            clean = clean - clean.mean(axis=1, keepdims=True)
            clean /= np.maximum(clean.std(axis=1, keepdims=True), 1e-2) * np.sqrt(1.0 + ratio)
        noise = np.sqrt(ratio / (1.0 + ratio)) * rng.standard_normal(clean.shape, dtype=np.float32)
        seen = (clean + noise)[:, shown]
        observed = np.zeros_like(clean)
        observed[:, shown] = seen
        everywhere = np.ones_like(clean)
        flags = np.broadcast_to(shown.astype(np.float32), clean.shape)
        images = (seen @ fill.T, observed, clean, flags, everywhere, everywhere)
        shape = (n, 1, self._side, self._side)
        tensors = [torch.from_numpy(np.array(image, dtype=np.float32)).reshape(shape) for image in images]
        return Batch(*(tensor.to(self._device) for tensor in tensors))


def _put(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)


def _corners(view: View, height: int, width: int) -> np.ndarray:
    """Top left corners of the crops that hold enough tissue and something to be scored on, int64 (k, 2)."""
    tissue = _window_sums(view.tissue.astype(np.float64), height, width)
    asked = _window_sums((view.weight > 0).astype(np.float64), height, width)
    return np.argwhere((asked > 0) & (tissue >= MIN_TISSUE * tissue[asked > 0].max()))


def _window_sums(image: np.ndarray, height: int, width: int) -> np.ndarray:
    total = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    total[1:, 1:] = image.cumsum(axis=0).cumsum(axis=1)
    down = total[height:] - total[: len(total) - height]
    return np.asarray(down[:, width:] - down[:, : down.shape[1] - width])


def _random_turn(
    kind: str | None, may_transpose: bool, rng: np.random.Generator
) -> Callable[[Tensor], Tensor]:
    """Draw a symmetry of the lattice that maps a crop onto one of the same shape.

    In axial coordinates, those of a hexagonal lattice are the half turn and the transposition.
    """
    flips = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
    if kind == "hexagonal":
        flips = (-2, -1) if flips[:1] == (-2,) else ()
    transpose = may_transpose and rng.random() < 0.5

    def turn(tensor: Tensor) -> Tensor:
        turned = tensor.flip(flips) if flips else tensor
        return turned.transpose(-2, -1) if transpose else turned

    return turn


def _pattern(side: int, steps: Sequence[int], number: int, rng: np.random.Generator) -> np.ndarray:
    """Choose the shown pixels of a crop, logical (side * side,): a phase of the comb, or random ones."""
    if max(steps) == 1:
        return rng.random(side * side) > rng.uniform(*HIDDEN_SHARE)
    phases = list(np.ndindex(*steps))
    phase = phases[number % len(phases)]
    row, col = np.divmod(np.arange(side * side), side)
    return np.asarray((row % steps[0] == phase[0]) & (col % steps[1] == phase[1]))


def _places(side: int) -> np.ndarray:
    return np.column_stack(np.divmod(np.arange(side * side), side)).astype(np.float64)


def _nearest_fill(shown: np.ndarray) -> np.ndarray:
    """Weights of the shown pixels in each one's fill, float32 (pixels, shown)."""
    places = _places(int(np.sqrt(shown.size)))
    neighbours = find_neighbours(places[shown], places, n_neighbors=8)
    return np.asarray(nearest_weights(neighbours).toarray())


def _kriging_fill(shown: np.ndarray, name: str, length: float, ratio: float) -> np.ndarray:
    places = _places(int(np.sqrt(shown.size)))
    distance = np.linalg.norm(places[:, None] - places[shown], axis=2)
    correlation = CORRELATIONS[name](distance, length)
    inner = correlation[shown] + ratio * np.eye(int(shown.sum()))
    return np.linalg.solve(inner, correlation.T).T.astype(np.float32)
