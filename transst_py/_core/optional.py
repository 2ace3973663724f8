"""torch, the package that not everyone needs: whether it is there, and which command installs it."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["CPU_INDEX", "INSTALL_TORCH", "has_torch", "require_torch"]

CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"
INSTALL_TORCH = (
    "pip install 'transst-py[s2s]' "
    f"(without a GPU, to save gigabytes, run before it: pip install torch {CPU_INDEX})"
)


def has_torch() -> bool:
    """Tell whether torch is installed, without importing it."""
    return find_spec("torch") is not None


def require_torch(what: str) -> None:
    """Refuse what cannot be done without torch, before any work.

    Parameters
    ----------
    what
        The argument that asks for it, as in "`method`='s2s'", or the class.

    Raises
    ------
    ImportError
        torch is not installed; the message says which command installs it.
    """
    if not has_torch():
        raise ImportError(
            f"{what} needs torch, which is not installed; install it with: {INSTALL_TORCH}", name="torch"
        )
