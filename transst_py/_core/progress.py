"""Tell the user which stage runs, and remember how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Progress"]


class Progress:
    """Stage messages on standard output (in R: the R console) and a record of the seconds spent.

    Parameters
    ----------
    verbose
        Print one line when a stage begins and one when it ends.
    """

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self.seconds: dict[str, float] = {}

    def say(self, message: str) -> None:
        """Print one line, if verbose."""
        if self.verbose:
            print(f"[transst] {message}", flush=True)

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        """Announce and time one stage of the method."""
        self.say(f"{name}{': ' + detail if detail else ''} ...")
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.say(f"{name}: {seconds:.1f} s")
