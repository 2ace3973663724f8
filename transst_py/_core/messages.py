"""Errors and warnings as they are shown outside of Python: in R and on the command line."""

from __future__ import annotations

__all__ = ["DEVELOPERS_ONLY", "error_message"]

# Warnings for the developers of libraries, not for users of this one.
DEVELOPERS_ONLY = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ImportWarning,
    ResourceWarning,
)


def error_message(error: BaseException) -> str:
    """Return the message of an exception; str(KeyError("text")) puts quotes around the text."""
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)
