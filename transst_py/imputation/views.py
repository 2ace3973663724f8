"""Sections as the imputation network sees them: training examples made of measured spots only.

Sparser to sparse: some measured spots are shown, the others asked for. Where sites are wanted between
measured ones (a comb), the shown spots are a comb of the measured ones, so that a step from sparser to sparse
looks like the step from sparse to dense; where single sites are wanted, random spots and holes are hidden.
Sparse to dense: all spots are shown, the whole lattice is filled, and the measured values are asked back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from transst_py.imputation.gene_images import Frame, common_step
from transst_py.imputation.holdout import holes, random_spots
from transst_py.imputation.spots import Section, Sites

__all__ = ["HIDDEN_SHARE", "Layout", "Tile", "View", "sparser_masks", "tiles"]

# A comb with fewer spots teaches nothing about the tissue.
MIN_SHOWN = 12
# Where there is no comb: how often spots are hidden, what share of them, and in holes of which radius.
N_RANDOM = 4
HIDDEN_SHARE = (0.1, 0.5)
HOLE_RADIUS = 2.0
# Spots in a hole, at most.
HOLE_SPOTS = 19


@dataclass(frozen=True)
class View:
    """Images of a section, float32 (channels, h, w), and of what is known about each pixel, (h, w).

    Attributes
    ----------
    start, observed, target
        Filled values, shown values (0 elsewhere), and values asked for (0 elsewhere), in network units.
    shown, tissue
        Logical.
    weight
        Precision of what is asked for, float32; 0 where nothing is.
    kind, isotropic
        Kind of the lattice, and whether shown spots are as far apart along rows as along columns: these
        decide which symmetries it has.
    """

    start: np.ndarray
    observed: np.ndarray
    target: np.ndarray
    shown: np.ndarray
    tissue: np.ndarray
    weight: np.ndarray
    kind: str | None
    isotropic: bool

    def asking(self, layout: Layout, asked: Section, values: np.ndarray) -> View:
        """The view with other spots asked for; `values` are theirs, (spots, channels)."""
        frame, index = layout.frame, asked.sites.lattice
        weight = frame.lay(1.0 / asked.noise[:, None], index)[0]
        return replace(self, target=frame.lay(values, index), weight=weight)

    def crop(self, rows: slice, columns: slice) -> View:
        """The same of a rectangle of pixels."""
        images = {name: getattr(self, name)[:, rows, columns] for name in ("start", "observed", "target")}
        planes = {name: getattr(self, name)[rows, columns] for name in ("shown", "tissue", "weight")}
        return replace(self, **images, **planes)


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image, with a halo of what its pixels depend on; slices of rows and of columns.

    Attributes
    ----------
    core
        The rectangle.
    seen
        The rectangle with the halo, as far as the image goes.
    within
        The rectangle, counted from the corner of `seen`.
    """

    core: tuple[slice, slice]
    seen: tuple[slice, slice]
    within: tuple[slice, slice]


def tiles(shape: tuple[int, ...], side: int, reach: int | None) -> list[Tile]:
    """Cut an image into tiles of some side; one tile if pixels depend on the whole image (`reach` None)."""
    if reach is None or max(shape) <= side:
        side, reach = max(shape), 0
    cut = [[_span(start, side, reach, n) for start in range(0, n, side)] for n in shape]
    return [Tile(*zip(row, column, strict=True)) for row in cut[0] for column in cut[1]]


def _span(start: int, side: int, reach: int, n: int) -> tuple[slice, slice, slice]:
    stop, first = min(start + side, n), max(start - reach, 0)
    return slice(start, stop), slice(first, min(stop + reach, n)), slice(start - first, stop - first)


@dataclass(frozen=True)
class Layout:
    """Which spots of a section are shown and asked for, and where all of them lie in the image.

    Attributes
    ----------
    shown, asked
        Spots whose values the network is given, and those it is scored on.
    everywhere
        Sites of the tissue: those spots and the sites to fill.
    frame
        Which sites the pixels are.
    """

    shown: Section
    asked: Section
    everywhere: Sites
    frame: Frame

    @classmethod
    def of(cls, shown: Section, asked: Section, sites: Sites, step: ArrayLike = (1, 1)) -> Layout:
        """Lay out spots and sites, every `step` sites a pixel."""
        places = shown.sites.join(asked.sites).join(sites)
        _, first = np.unique(places.lattice, axis=0, return_index=True)
        everywhere = places.subset(first)
        return cls(shown, asked, everywhere, Frame.around(everywhere.lattice, step))

    def rows(self, sites: Sites) -> np.ndarray:
        """Numbers of some sites in `everywhere`, int64 (m,)."""
        number = np.zeros(self.frame.shape, dtype=np.int64)
        number[self.frame.pixels(self.everywhere.lattice)] = np.arange(len(self.everywhere))
        return np.asarray(number[self.frame.pixels(sites.lattice)])

    def view(self, start: np.ndarray, observed: np.ndarray, target: np.ndarray) -> View:
        """Make the view; values are of `everywhere`, `shown` and `asked`, (spots, channels) each."""
        frame, shown, asked = self.frame, self.shown.sites.lattice, self.asked.sites.lattice
        return View(
            start=frame.lay(start, self.everywhere.lattice),
            observed=frame.lay(observed, shown),
            target=frame.lay(target, asked),
            shown=frame.mark(shown),
            tissue=frame.mark(self.everywhere.lattice),
            weight=frame.lay(1.0 / self.asked.noise[:, None], asked)[0],
            kind=self.shown.kind,
            isotropic=len(set(common_step(shown).tolist())) == 1,
        )


def sparser_masks(section: Section, rng: np.random.Generator) -> list[np.ndarray]:
    """Choose which measured spots to show, logical (n,) each: every phase of their comb, or random ones."""
    index = section.sites.lattice
    step = common_step(index)
    coarse = (index - index.min(axis=0)) // step
    masks = [(coarse % step == phase).all(axis=1) for phase in np.ndindex(*step)]
    combs = [mask for mask in masks if MIN_SHOWN <= mask.sum() < len(section)]
    return combs or [~_hidden(section, number, rng) for number in range(N_RANDOM)]


def _hidden(section: Section, number: int, rng: np.random.Generator) -> np.ndarray:
    """Hide random spots or, where there are enough of them, holes, by turns."""
    fraction = rng.uniform(*HIDDEN_SHARE)
    if number % 2 == 0 or fraction * len(section) < HOLE_SPOTS:
        return random_spots(len(section), fraction=fraction, rng=rng)
    return holes(section.sites.positions, fraction=fraction, radius=HOLE_RADIUS, rng=rng)
