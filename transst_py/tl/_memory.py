"""How large a result may be."""

from __future__ import annotations

__all__ = ["check_memory"]

MAX_BYTES = 4 * 2**30


def check_memory(doing: str, n_spots: int, n_genes: int, *, bytes_per_value: int, remedy: str) -> None:
    """Refuse results that are too large for memory, before any heavy work.

    Parameters
    ----------
    doing
        What takes the memory, the first word of the message.
    n_spots, n_genes, bytes_per_value
        Size of the result, with what is needed to compute it.
    remedy
        How to choose genes, the end of the message.

    Raises
    ------
    ValueError
        It is too large; the message says how many genes are not.
    """
    needed = n_spots * n_genes * bytes_per_value
    if needed > MAX_BYTES:
        raise ValueError(
            f"{doing} {n_spots} spots x {n_genes} genes takes {needed / 2**30:.1f} GB, more than "
            f"{MAX_BYTES / 2**30:.0f} GB; choose at most {MAX_BYTES // (n_spots * bytes_per_value)} genes "
            f"{remedy}"
        )
