"""What computes: device, cores, memory. For `transst doctor`, and R's `transstConfig()`."""

from __future__ import annotations

import os

from transst_py._optional import has_torch

__all__ = ["machine"]


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
