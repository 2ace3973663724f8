"""Checks of options: one of a few words, a whole number, a seed, names; and lists of names for messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["check_choice", "check_names", "check_seed", "check_whole_number", "list_some"]


def list_some(names: Sequence[Any], limit: int = 5) -> str:
    """Render the first few names for a message."""
    shown = ", ".join(repr(str(n)) for n in list(names)[:limit])
    return shown + (f", ... ({len(names)} in all)" if len(names) > limit else "")


def check_choice(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises
    ------
    ValueError
        It is not; the message lists them.
    """
    if value not in allowed:
        raise ValueError(f"`{argument}`: unknown value {value!r}; choose one of {', '.join(allowed)}")


def check_names(argument: str, names: Any) -> None:
    """Refuse anything but a list of names, or None; a single text would be taken for a list of letters.

    Raises
    ------
    TypeError
        It is none.
    """
    if isinstance(names, str):
        raise TypeError(f"`{argument}` must be a list of names, got the text {names!r}; write [{names!r}]")
    if names is not None and not pd.api.types.is_list_like(names):
        raise TypeError(f"`{argument}` must be a list of names, got {names!r}")


def check_whole_number(argument: str, value: Any, *, at_least: int) -> None:
    """Refuse anything but a whole number of a certain size.

    Raises
    ------
    TypeError, ValueError
        It is no whole number; it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{argument}` must be one whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"`{argument}` must be at least {at_least}, got {value}")


def check_seed(value: Any) -> None:
    """Refuse anything but a whole number from 0 to 2**32 - 1 as seed: results must be repeatable.

    Raises
    ------
    TypeError, ValueError
        It is no such number.
    """
    check_whole_number("random_state", value, at_least=0)
    if value >= 2**32:
        raise ValueError(f"`random_state` must be below 2**32, got {value}")
