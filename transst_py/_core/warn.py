"""Warnings: they point at the caller's line, and those of a fit belong to that fit, in any thread."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Said", "collected", "passed_on", "warn"]

# A warning is not of interest to the reader of these.
_INSIDE = (__name__.partition(".")[0], "contextlib")


@dataclass(frozen=True)
class Said:
    """One warning: what it says, and of which kind it is."""

    text: str
    category: type[Warning] = UserWarning


_LISTENING: ContextVar[list[Said] | None] = ContextVar("transst_py_warnings", default=None)


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Give the warning to whoever collects them in this thread, or show it at the caller's line."""
    listening = _LISTENING.get()
    if listening is not None:
        listening.append(Said(text, category))
    else:
        warnings.warn(text, category, stacklevel=_outside())


@contextmanager
def collected() -> Iterator[list[Said]]:
    """Collect the warnings of what is called here, in this thread, instead of showing them.

    Unlike `warnings.catch_warnings`, which is the whole process's, it does not see those of other threads.
    """
    said: list[Said] = []
    token = _LISTENING.set(said)
    try:
        yield said
    finally:
        _LISTENING.reset(token)


@contextmanager
def passed_on() -> Iterator[list[Said]]:
    """Collect the warnings of what is called here, and show each once in the end, also after an error."""
    said: list[Said] = []
    failed = True
    try:
        with collected() as said:
            yield said
        failed = False
    finally:
        for one in dict.fromkeys(said):
            try:
                warn(one.text, one.category)
            except Warning:  # where warnings are errors, an earlier error is the one to be seen
                if not failed:
                    raise


def _outside() -> int:
    """Levels from `warn` up to the first caller that is not of this package, as `warnings.warn` counts."""
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    return level
