"""What computes: device, cores, memory. For `transst doctor`, and R's `transstConfig()`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from transst_py._core.optional import has_torch

if TYPE_CHECKING:
    import torch

__all__ = ["device_of", "machine"]


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
