"""What Python calls things, in words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["UsageError", "flag", "in_words"]

_COMMANDS = {"transst": "fit", "impute": "impute", "rank_domain_genes": "markers --write"}


class UsageError(Exception):
    """Arguments that do not go together."""


def flag(name: str) -> str:
    """Spell an argument as an option."""
    return "--" + name.replace("_", "-")


def in_words(message: str, words: Mapping[str, str]) -> str:
    """Name options instead of arguments (`words`: argument -> option), and commands instead of functions."""
    for function, command in _COMMANDS.items():
        message = re.sub(rf"`?(transst_py\.)?\btl\.{function}\b(\(\))?`?", f"`transst {command}`", message)
    for name, option in words.items():
        message = re.sub(rf"`?\b{name}`?=(['\"]?)([\w.:+-]+)\1`?", rf"{option} \2", message)
        message = message.replace(f"`{name}`", option)
    return re.sub(r"\badata\.(?=(obs|var|obsm|uns|layers)\b)", "", message)
