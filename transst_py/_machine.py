"""What computes: device, cores, memory. For `transst doctor`, and R's `transstConfig()`."""

from __future__ import annotations

import os

__all__ = ["machine"]


def machine() -> dict[str, str]:
    """Say what computes: `device` of torch, `cores`, `threads of torch` and `memory`."""
    import torch

    device = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"
    sysconf = getattr(os, "sysconf", None)  # not on Windows
    memory = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES") / 2**30 if sysconf else 0.0
    return {
        "device": device,
        "cores": str(os.cpu_count()),
        "threads of torch": str(torch.get_num_threads()),
        "memory": f"{memory:.0f} GiB" if memory else "unknown",
    }
