"""Training examples for the imputation network, made of measured spots only.

Sparser to sparse: some measured spots are shown, the others asked for. Where sites are wanted between
measured ones (a comb), the shown spots are a comb of the measured ones, so that a step from sparser to sparse
looks like the step from sparse to dense; where single sites are wanted, random spots and holes are hidden.
Sparse to dense: all spots are shown, the whole lattice is filled, and the measured values are asked back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from transst_py.imputation.gene_images import Frame, common_step
from transst_py.imputation.holdout import holes, random_spots
from transst_py.imputation.spots import Imputer, Section, Sites

__all__ = ["Channels", "View", "make_view", "sparser_masks"]

# Fewer shown spots teach nothing about the tissue.
MIN_SHOWN = 12
N_RANDOM_VIEWS = 6


@dataclass(frozen=True)
class Channels:
    """What the images show: genes, or factors of them, in units of their spread.

    Attributes
    ----------
    project
        Maps a section (its number, its spots) to float32 (n, channels) in network units.
    start
        Maps (number, sites) to the filled values there, float32 (m, channels) in network units.
    """

    project: Callable[[int, Section], np.ndarray]
    start: Callable[[int, Sites], np.ndarray]


@dataclass(frozen=True)
class View:
    """One section as the network sees it.

    Attributes
    ----------
    frame
        Which sites the pixels are.
    start, observed, target
        Filled values, shown values (0 elsewhere), and values asked for (0 elsewhere), float32
        (channels, h, w) in network units.
    shown, tissue
        Logical (h, w).
    weight
        Precision of what is asked for, float32 (h, w); 0 where nothing is.
    kind
        Kind of the lattice: decides which symmetries it has.
    """

    frame: Frame
    start: np.ndarray
    observed: np.ndarray
    target: np.ndarray
    shown: np.ndarray
    tissue: np.ndarray
    weight: np.ndarray
    kind: str


def make_view(
    number: int,
    shown: Section,
    asked: Section,
    sites: Sites,
    channels: Channels,
    step: Sequence[int] = (1, 1),
) -> View:
    """Lay out a section.

    Parameters
    ----------
    number
        Number of the section.
    shown, asked
        Spots whose values the network is given, and those it is scored on.
    sites
        All sites to fill; with the spots they are the tissue.
    channels
        What the images show.
    step
        Sites from a pixel to the next.
    """
    everywhere = shown.sites.join(asked.sites).join(sites)
    _, first = np.unique(everywhere.index, axis=0, return_index=True)
    everywhere = everywhere.subset(first)
    frame = Frame.around(everywhere.index, step)
    values = channels.project(number, asked)
    return View(
        frame,
        frame.lay(channels.start(number, everywhere), everywhere.index),
        frame.lay(channels.project(number, shown), shown.sites.index),
        frame.lay(values, asked.sites.index),
        frame.mark(shown.sites.index),
        frame.mark(everywhere.index),
        frame.lay(1.0 / asked.noise[:, None], asked.sites.index)[0],
        shown.kind or "square",
    )


def sparser_masks(section: Section, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield which measured spots to show, logical (n,): combs where the spots are one, else random."""
    step = common_step(section.sites.index)
    if (step > 1).any():
        coarse = (section.sites.index - section.sites.index.min(axis=0)) // step
        for phase in product(*(range(s) for s in step)):
            shown = (coarse % step == phase).all(axis=1)
            if MIN_SHOWN <= shown.sum() < len(section):
                yield shown
        return
    for number in range(N_RANDOM_VIEWS):
        fraction = rng.uniform(0.1, 0.5)
        if number % 2 == 0:
            hidden = random_spots(len(section), fraction=fraction, rng=rng)
        else:
            hidden = holes(section.sites.positions, fraction=fraction, radius=2.0, rng=rng)
        if (~hidden).sum() >= MIN_SHOWN:
            yield ~hidden


def fit_start(imputer: Imputer, sections: Sequence[Section], genes: np.ndarray) -> Imputer:
    """Fit what fills the images."""
    return imputer.fit(sections, [section.sites for section in sections], genes)
