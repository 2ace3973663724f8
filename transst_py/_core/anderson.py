"""Anderson acceleration of a fixed-point iteration, as it makes an EM converge in far fewer steps.

Of the last few points x and steps f = g(x) - x the combination whose step is smallest is taken to its end
(type II, Walker & Ni 2011; for the EM Henderson & Varadhan 2019).
"""

from __future__ import annotations

import numpy as np

__all__ = ["AndersonMixing"]

_MEMORY = 5
# Share of the steps' mean square that is added, so that nearly equal steps do not cancel without digits.
_RIDGE = 1e-4


class AndersonMixing:
    """Points of a fixed-point iteration x -> g(x), and where to try next.

    Parameters
    ----------
    weights
        (d,): steps are compared in units of 1 / weights.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights
        self._points: list[np.ndarray] = []
        self._steps: list[np.ndarray] = []

    def forget(self) -> None:
        """Start anew: what was seen before has misled."""
        self._points, self._steps = [], []

    def propose(self, x: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Return the next point to try after x (d,), of which g(x) is the image; g(x) itself at first."""
        step = image - x
        self._points = [*self._points, x][-_MEMORY - 1 :]
        self._steps = [*self._steps, step][-_MEMORY - 1 :]
        if len(self._points) < 2:
            return image
        steps, points = np.diff(self._steps, axis=0), np.diff(self._points, axis=0)
        weighted = steps * self.weights
        gram = weighted @ weighted.T
        gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        shares = np.linalg.lstsq(gram, weighted @ (self.weights * step), rcond=None)[0]
        return np.asarray(image - shares @ (points + steps))
