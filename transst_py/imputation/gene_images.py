"""Spots of a lattice as images, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Frame", "common_step"]


@dataclass(frozen=True)
class Frame:
    """The rectangle of sites that an image shows.

    Attributes
    ----------
    origin
        Site of the first pixel, int64 (2,).
    step
        Sites from a pixel to the next, int64 (2,).
    shape
        Pixels, (height, width).
    """

    origin: np.ndarray
    step: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def around(cls, index: np.ndarray, step: ArrayLike = (1, 1)) -> Frame:
        """Return the smallest frame with all the given sites, (n, 2), every `step` of them a pixel."""
        origin = index.min(axis=0)
        height, width = (index.max(axis=0) - origin) // np.asarray(step) + 1
        return cls(origin, np.asarray(step, dtype=np.int64), (int(height), int(width)))

    def pixels(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the pixel of each site."""
        row, col = ((index - self.origin) // self.step).T
        return row, col

    def lay(self, values: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Lay values (n, p) at sites (n, 2) onto images, float32 (p, height, width); 0 elsewhere."""
        images = np.zeros((values.shape[1], *self.shape), dtype=np.float32)
        row, col = self.pixels(index)
        images[:, row, col] = values.T
        return images

    def mark(self, index: np.ndarray) -> np.ndarray:
        """Mark sites (n, 2) in a logical image."""
        marked = np.zeros(self.shape, dtype=bool)
        marked[self.pixels(index)] = True
        return marked

    def take(self, images: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Values of images (p, height, width) at sites (n, 2): (n, p)."""
        row, col = self.pixels(index)
        return images[:, row, col].T


def common_step(index: np.ndarray) -> np.ndarray:
    """Return the common step of the sites' rows and of their columns, int64 (2,)."""
    return np.asarray(np.maximum(np.gcd.reduce(index - index.min(axis=0), axis=0), 1))
