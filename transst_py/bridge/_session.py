"""The R session of this process: attach to the one that hosts Python, or start one."""

from __future__ import annotations

import atexit
import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

__all__ = ["RSession", "r_session"]

_MISSING = (
    "transst_py.bridge needs rpy2 and anndata2ri, and {name!r} cannot be imported; "
    "install them with: pip install 'transst-py[r]'"
)

_NO_PACKAGE = (
    "transst_py.bridge needs the R package TransST, and R cannot load it from its libraries ({folders}): "
    "{error}. Install it into one of them, or set R_LIBS to the folder where it is before R starts"
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
        """The namespace of the R package TransST, loaded if it is not.

        Raises
        ------
        ImportError
            R finds no package TransST in its libraries, or cannot load it.
        """
        ri = self.interface
        try:
            return ri.baseenv["getNamespace"](ri.StrSexpVector(["TransST"]))
        except ri.embedded.RRuntimeError as error:
            folders = ", ".join(ri.baseenv[".libPaths"]())
            raise ImportError(_NO_PACKAGE.format(folders=folders, error=str(error).strip())) from error

    @property
    def exchange(self) -> Any:
        """The environment of the R package through which objects are handed over without a copy."""
        return self.package[".exchange"]

    def hand_over(self, name: str, value: Any) -> None:
        """Put an R object into the exchange; rpy2's item assignment would copy it."""
        assign = self.interface.baseenv["assign"]
        assign(self.interface.StrSexpVector([name]), value, envir=self.exchange)


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
    with _interrupts_kept():
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


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Put back the handlers of Ctrl-C, Python's and the one in C.

    rpy2 replaces them as it attaches. In an R session that hosts Python they are what stops R's own code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    read.restype = write.restype = ctypes.c_void_p
    read.argtypes, write.argtypes = [ctypes.c_int], [ctypes.c_int, ctypes.c_void_p]
    in_python, in_c = signal.getsignal(signal.SIGINT), read(signal.SIGINT)
    try:
        yield
    finally:
        if in_python is not None:
            signal.signal(signal.SIGINT, in_python)
        write(signal.SIGINT, in_c)
