"""Which measured spots to hide, so that what is imputed there can be compared with what was measured.

Every pattern is a logical array (n,), True for a spot that is hidden. Patterns are drawn from where the spots
lie, never from their expression. A `comb` is the task of making a lattice finer, `holes` are damage,
`random_spots` are failed spots: a method may be good at one and poor at another.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from transst_py._core.validation import check_choice, check_whole_number
from transst_py.imputation.smoothers import TIE_TOLERANCE

__all__ = ["comb", "comb_phases", "dense_index", "holes", "number_sites", "random_spots", "site_indices"]

KINDS = ("square", "hexagonal")


def comb(index: np.ndarray, kind: str, *, stride: int = 2, phase: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Hide all spots but those of one sub-lattice, which is of the same kind with `stride` times the pitch.

    On whole lattices, 1 spot in stride² is kept, and every spot is kept in exactly one phase.

    Parameters
    ----------
    index
        (row, col) of each spot, integers (n, 2), as in `transst_py.tissue.lattice.Lattice.index`.
    kind
        "square" or "hexagonal".
    stride
        Spacing of the kept spots, in sites; at least 2.
    phase
        Which sub-lattice: remainders, each from 0 to stride - 1, of the two numbers from `dense_index`.

    Returns
    -------
    Logical (n,), True for hidden spots.

    Raises
    ------
    TypeError, ValueError
        No such lattice; a stride or phase out of range; no spot is kept, or none is hidden.
    """
    check_whole_number("stride", stride, at_least=2)
    if tuple(phase) not in comb_phases(stride):
        raise ValueError(f"`phase` must be two whole numbers from 0 to {stride - 1}, got {phase!r}")
    hidden = (dense_index(index, kind) % stride != phase).any(axis=1)
    return _check_hidden(hidden, f"a stride of {stride} with phase {phase}")


def comb_phases(stride: int) -> list[tuple[int, int]]:
    """All phases of a comb: stride² sub-lattices that share no site and together are the lattice."""
    return list(np.ndindex(stride, stride))


def dense_index(index: np.ndarray, kind: str) -> np.ndarray:
    """Number the sites of a lattice such that every pair of whole numbers is a site.

    A square lattice's (row, col) already are such numbers. On a hexagonal one, row + col has one parity, and
    the axial coordinates (row, (col - row) // 2) take its place: neighbours differ by ±(0, 1), ±(1, 0) or
    ±(1, -1).

    Parameters
    ----------
    index
        (row, col) of each spot, integers (n, 2), as in `transst_py.tissue.lattice.Lattice.index`.
    kind
        "square" or "hexagonal".

    Returns
    -------
    int64 (n, 2).

    Raises
    ------
    TypeError
        `index` holds no integers.
    ValueError
        `index` is no (n, 2) array, has common steps, or is not of this kind.
    """
    check_choice("kind", kind, KINDS)
    index = np.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"`index` must hold integers, got dtype {index.dtype}")
    if index.ndim != 2 or index.shape[1] != 2 or len(index) == 0:
        raise ValueError(f"`index` must be of shape (n, 2), one row per spot, got {index.shape}")
    index = index.astype(np.int64)
    _check_kind(index, kind)
    return number_sites(index, kind)


def number_sites(index: np.ndarray, kind: str) -> np.ndarray:
    """Number sites as `dense_index` does, unchecked: every second row, say, may be empty."""
    row, col = index.T
    return np.column_stack([row, col if kind == "square" else (col - row) // 2])


def site_indices(numbers: np.ndarray, kind: str) -> np.ndarray:
    """(row, col) of numbered sites: undo `number_sites`, where row + col is odd up to a shift by a column."""
    row, number = numbers.T
    return np.column_stack([row, number if kind == "square" else 2 * number + row])


def random_spots(n: int, *, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Hide a fraction of n spots, rounded to whole spots, each equally likely.

    Returns
    -------
    Logical (n,), True for hidden spots.

    Raises
    ------
    TypeError, ValueError
        `fraction` is not between 0 and 1, or so near to one of them that nothing or everything is hidden;
        `rng` is no Generator.
    """
    check_whole_number("n", n, at_least=2)
    _check_fraction(fraction)
    _check_rng(rng)
    hidden = np.zeros(n, dtype=bool)
    hidden[rng.choice(n, size=round(fraction * n), replace=False)] = True
    return _check_hidden(hidden, f"a fraction of {fraction:g}")


def holes(positions: np.ndarray, *, fraction: float, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Hide all spots within a radius of randomly chosen spots, until about a fraction of them is hidden.

    Centres are spots that are not hidden yet; holes may overlap and reach over the border of the tissue. The
    last hole is made only if that brings the number of hidden spots closer to what was asked for.

    Parameters
    ----------
    positions
        float (n, 2) or (n, 3).
    fraction
        Between 0 and 1.
    radius
        In units of the positions, the border included.
    rng
        Source of the centres.

    Returns
    -------
    Logical (n,), True for hidden spots.

    Raises
    ------
    TypeError, ValueError
        A position is missing; `fraction` is not between 0 and 1; `radius` is no positive number, or one hole
        is too large for the fraction, so that nothing or everything would be hidden; `rng` is no Generator.
    """
    positions = _check_positions(positions)
    _check_fraction(fraction)
    _check_rng(rng)
    if not 0 < radius < np.inf:
        raise ValueError(f"`radius` must be a positive number, got {radius!r}")
    tree = cKDTree(positions)
    hidden = np.zeros(len(positions), dtype=bool)
    missing = fraction * len(positions)
    for center in rng.permutation(len(positions)):
        if hidden[center]:
            continue
        hole = np.array(tree.query_ball_point(positions[center], radius * (1 + TIE_TOLERANCE)))
        new = hole[~hidden[hole]]
        if abs(missing - len(new)) >= abs(missing):
            break
        hidden[new] = True
        missing -= len(new)
    return _check_hidden(hidden, f"a fraction of {fraction:g} in holes of radius {radius:g}")


def _check_kind(index: np.ndarray, kind: str) -> None:
    row, col = index.T
    steps = [int(np.gcd.reduce(numbers - numbers[0])) for numbers in (row, col)]
    if max(steps) > 1:
        raise ValueError(
            f"`index` has common steps {steps} between rows and columns, so not every site is named; take "
            "the indices without them (`Lattice.index`)"
        )
    one_parity = np.ptp((row + col) % 2) == 0
    if kind == "hexagonal" and not one_parity:
        raise ValueError(
            "`index` is no hexagonal lattice: row + column is even for some spots, odd for others"
        )
    if kind == "square" and one_parity and len(row) > 1:
        raise ValueError(
            "`index` is no square lattice: row + column has one parity, so no two spots are neighbours; use "
            "kind='hexagonal'"
        )


def _check_positions(positions: np.ndarray) -> np.ndarray:
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] not in (2, 3) or len(positions) < 2:
        raise ValueError(f"`positions` must be of shape (n, 2) or (n, 3) with n >= 2, got {positions.shape}")
    if not np.isfinite(positions).all():
        raise ValueError("`positions` has missing or infinite values; remove these spots first")
    return positions


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ValueError(f"`fraction` must lie between 0 and 1, both excluded, got {fraction!r}")


def _check_rng(rng: np.random.Generator) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"`rng` must be a numpy Generator (numpy.random.default_rng(seed)), got {rng!r}")


def _check_hidden(hidden: np.ndarray, what: str) -> np.ndarray:
    if hidden.all() or not hidden.any():
        amount = "all" if hidden.all() else "none"
        raise ValueError(f"{what} hides {amount} of the {len(hidden)} spots; some must stay, some be hidden")
    return hidden
