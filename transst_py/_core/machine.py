"""What computes: device, cores, memory. For `transst doctor`, and R's `transstConfig()`.

And whether the libraries fit into a limit on address space. Where they do not, the OpenBLAS that comes with
scipy asks for memory again and again, without end: as it is loaded, with several threads, or in the first
product.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from transst_py._core.optional import has_torch

if TYPE_CHECKING:
    import torch

__all__ = ["check_address_space", "claim_blas_memory", "device_of", "machine"]

# MiB that a small fit takes on one thread, and that numpy's and scipy's OpenBLAS take for each further one.
_NEEDED, _FOR_A_THREAD = 450, 81
# As many threads as OpenBLAS has at most.
_MOST_THREADS = 64


def machine() -> dict[str, str]:
    """Say what computes: `device` of torch, `cores`, `threads of torch` and `memory`."""
    device, threads = _torch() if has_torch() else ("cpu", "torch is not installed")
    sysconf = getattr(os, "sysconf", None)  # not on Windows
    memory = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES") / 2**30 if sysconf else 0.0
    return {
        "device": device,
        "cores": str(os.cpu_count()),
        "threads of torch": threads,
        "memory": f"{memory:.0f} GiB" if memory else "unknown",
    }


def _torch() -> tuple[str, str]:
    """Return device and number of threads."""
    import torch

    device = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"
    return device, str(torch.get_num_threads())


def device_of(name: str) -> torch.device:
    """Return the device of a name; "auto" is CUDA where there is one.

    Raises
    ------
    ValueError
        There is no such device here.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"`device` must be 'auto', 'cpu' or 'cuda', got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("`device`='cuda', but torch finds no CUDA device here; use 'auto' or 'cpu'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def check_address_space() -> None:
    """Refuse a limit on address space (`ulimit -v`, often set by a queue) that is too low for the libraries.

    Raises
    ------
    MemoryError
        It is too low; the message says what is needed.
    """
    limit, threads = _limit(), _blas_threads()
    needed = _NEEDED + _FOR_A_THREAD * (threads - 1)
    if limit is None or limit >= needed or not _openblas_of_scipy():
        return
    fewer = f", or set OPENBLAS_NUM_THREADS=1, which needs {_NEEDED} MB" if threads > 1 else ""
    raise MemoryError(
        f"no more than {limit} MB of memory may be used (`ulimit -v`, or the queue's limit), but the "
        f"numerical libraries alone need {needed} MB with {threads} thread{'s'[: threads > 1]}; raise the "
        f"limit{fewer}"
    )


def claim_blas_memory() -> None:
    """Let scipy's OpenBLAS take its memory, before data that leave none: numpy can say that there is none."""
    if _limit() is not None and "scipy" in sys.modules:
        from scipy.linalg.blas import dsymv

        dsymv(1.0, [[1.0]], [1.0])


def _limit() -> int | None:
    """Limit on address space in MiB, if there is one."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit // 2**20


def _blas_threads() -> int:
    """Return with how many threads OpenBLAS will start."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
    numbers = [int(text) for text in asked if text.isdigit() and int(text) > 0]
    return min(cores, _MOST_THREADS, *numbers[:1])


def _openblas_of_scipy() -> bool:
    """Tell whether scipy brings an OpenBLAS of its own, as the wheels on PyPI do."""
    spec = find_spec("scipy")
    return (
        spec is not None
        and spec.origin is not None
        and any((Path(spec.origin).parents[1] / "scipy.libs").glob("*openblas*"))
    )
