"""The R session of this process: attach to the one that hosts Python, or start one."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

__all__ = ["RSession", "r_session"]

_MISSING = (
    "transst_py.bridge needs rpy2 and anndata2ri, and {name!r} cannot be imported; "
    "install them with: pip install 'transst-py[r]'"
)


class RSession(NamedTuple):
    """What the conversions need of R."""

    interface: Any
    """The module `rpy2.rinterface`, attached to the running R."""
    converter: Any
    """rpy2's default rules with those of anndata2ri on top."""

    @contextmanager
    def conversion(self) -> Iterator[Any]:
        """Yield the active conversion rules, with R's warnings off.

        Loading R packages through rpy2 makes R warn about every empty library folder.
        """
        options = self.interface.baseenv["options"]
        before = options(warn=self.interface.IntSexpVector([-1]))
        try:
            with self.converter.context() as rules:
                yield rules
        finally:
            options(before)

    @property
    def package(self) -> Any:
        """The namespace of the R package TransST, loaded if it is not."""
        ri = self.interface
        return ri.baseenv["getNamespace"](ri.StrSexpVector(["TransST"]))

    @property
    def exchange(self) -> Any:
        """The environment of the R package through which objects are handed over without a copy."""
        return self.package[".exchange"]


@cache
def r_session() -> RSession:
    """Attach to R.

    Raises
    ------
    ImportError
        rpy2 or anndata2ri is not installed; the message says how to install them.
    """
    try:
        import rpy2.rinterface as ri
        from rpy2.rinterface_lib import embedded
    except ModuleNotFoundError as error:
        raise ImportError(_MISSING.format(name=error.name)) from error
    ri.initr()
    if embedded.is_r_externally_initialized():
        # R hosts Python and ends itself; rpy2's hook would run .Last() and the finalizers a second time.
        atexit.unregister(ri.endr)
    try:
        import anndata2ri
        import rpy2.robjects as ro
    except ModuleNotFoundError as error:
        raise ImportError(_MISSING.format(name=error.name)) from error
    # anndata2ri's rules alone fail on S4 objects: they lean on the default ones.
    return RSession(ri, ro.default_converter + anndata2ri.converter)
