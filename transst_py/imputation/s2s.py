"""Sparser-to-sparse imputation (S2S): a network learns from the section itself to fill it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from transst_py._core.machine import device_of
from transst_py._core.validation import check_choice, check_whole_number
from transst_py.imputation.batches import ImageSampler
from transst_py.imputation.gene_images import common_step
from transst_py.imputation.kriging import most_variable
from transst_py.imputation.maps import STARTS, FactorMaps, GeneMaps, Maps
from transst_py.imputation.natural_images import load_natural_images
from transst_py.imputation.selection import held_out_spots
from transst_py.imputation.spots import Imputer, Prediction, Section, Sites, smallest_values
from transst_py.imputation.training import (
    TRAINING_PRESETS,
    TrainedNetwork,
    TrainingConfig,
    TrainingData,
    train,
)
from transst_py.imputation.views import Layout, View, sparser_masks

__all__ = ["S2SImputer"]

CHANNELS = ("auto", "genes", "factors")
# Genes the network is trained on: the most variable ones, wanted or not.
MAX_TRAINED = 512
# With more genes to impute, factors are filled instead: one pass per gene would take its time.
MAX_GENE_MAPS = 1000
BLOCK_CHANNELS = 128
# With fewer measured spots in a section there is nothing to learn from.
MIN_SPOTS = 16
# Starts that krige factors: with maps of factors both are the same.
FACTOR_STARTS = ("kriging", "svd_gp")
# A map that shows nothing is drawn now and then too.
LEAST_DRAWN = 0.02
# Learning rate of a gene by itself.
TUNING_RATE = 1e-4


class S2SImputer(Imputer):
    """A network trained on the section itself: from sparser to sparse, applied from sparse to dense.

    Measured spots are thinned further, and the network learns to restore those left out; the same network
    then predicts what was not measured. It is one network for all genes, each gene (or each factor) being a
    sample. Natural images, sampled in the same pattern, join the training: they alone show what lies between
    samples. The network corrects a start, by default the kriged factors, and early stopping and shrinkage on
    held-out measured spots see to it that no more of the correction is used than these bear out.

    Parameters
    ----------
    preset
        "lite" (minutes on a laptop), "medium", or "paper": architecture, losses and optimiser as published,
        for a GPU. In any case one network serves all genes, and some measured spots are held out.
    config
        Overrides `preset` altogether.
    channels
        Maps are "genes" or "factors"; "auto" takes genes, but factors for more than 1000 of them.
    natural_images
        A folder of images, a list of arrays, or None for the bundled ones (see `load_natural_images`).
    fine_tune
        Further steps for each wanted gene by itself (with channels of genes); kept where the gene's held-out
        spots are predicted better.
    device
        "auto", "cpu" or "cuda".
    random_state
        Seed of everything that is random.
    checkpoint
        File of the training's state, written at every check and read if it exists. A second training (in
        small sections spots are held out several times) has a file of its own, with "-2" in its name, and so
        on.
    verbose
        Show a progress bar with the loss.

    Attributes
    ----------
    trained_
        The network and the history of its training.
    """

    def __init__(
        self,
        preset: str = "lite",
        *,
        config: TrainingConfig | None = None,
        channels: str = "auto",
        natural_images: Any = None,
        fine_tune: int = 0,
        device: str = "auto",
        random_state: int = 0,
        checkpoint: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        check_choice("preset", preset, tuple(TRAINING_PRESETS))
        check_choice("channels", channels, CHANNELS)
        check_whole_number("fine_tune", fine_tune, at_least=0)
        self.config = TRAINING_PRESETS[preset] if config is None else config
        check_choice("start", self.config.start, tuple(STARTS))
        self.channels = channels
        self.fine_tune = fine_tune
        self.device = device_of(device)
        self.random_state = random_state
        self.checkpoint = _checked_path(checkpoint)
        self._n_trainings = 0
        self.verbose = verbose
        # Now, so that a wrong folder is known before the work.
        self._images = load_natural_images(natural_images) if self.config.image_weight else []

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Train the network, some measured spots held out, and fit the start to all of them."""
        held_out = held_out_spots(sections, np.random.default_rng(self.random_state))
        self._train(sections, sites, genes, held_out)
        return self.refit(sections, sites, genes)

    def refit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Fit the start to all spots; the network stays as it is."""
        self._sections, self._sites, self._genes = list(sections), list(sites), genes
        self._maps = self._new_maps(genes).fit(sections)
        self._floor = smallest_values(sections, genes)
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Fill the section and read off the sites; uncertainty is that of the start."""
        shown, maps = self._sections[section], self._maps
        layout = Layout.of(shown, shown, self._sites[section].join(sites))
        start = maps.filled(section, layout.everywhere)
        observed = maps.values(section, shown)
        completed = np.empty((len(sites), start.shape[1]), dtype=np.float32)
        for first in range(0, start.shape[1], BLOCK_CHANNELS):
            block = slice(first, first + BLOCK_CHANNELS)
            view = layout.view(start[:, block], observed[:, block], observed[:, block])
            completed[:, block] = layout.frame.take(self._complete(view, first), sites.lattice)
        mean = np.maximum(maps.restore(section, sites, completed), self._floor)
        return Prediction(mean, maps.uncertainty(section, sites))

    def describe(self) -> dict[str, Any]:
        """Return how the training went."""
        history = self.trained_.history
        return {
            "channels": "genes" if isinstance(self._maps, GeneMaps) else "factors",
            "start": self.config.start,
            "shrinkage": self.trained_.shrinkage,
            "n_images": len(self._images),
            "device": self.device.type,
            **{f"check_{name}": np.array([check[name] for check in history]) for name in history[0]},
        }

    def _new_maps(self, genes: np.ndarray) -> Maps:
        if self._by_factor:
            return FactorMaps(genes, self.config.start)
        return GeneMaps(genes, self.config.start, self.config.scale)

    def _train(
        self,
        sections: Sequence[Section],
        sites: Sequence[Sites],
        genes: np.ndarray,
        held_out: Sequence[np.ndarray],
    ) -> None:
        _check_sections(sections)
        self._by_factor = self._use_factors(genes)
        if self.fine_tune and self._by_factor:
            raise ValueError("`fine_tune` is for maps of genes; set channels='genes', or fine_tune=0")
        kept = [section.subset(~hidden) for section, hidden in zip(sections, held_out, strict=True)]
        asked = [section.subset(hidden) for section, hidden in zip(sections, held_out, strict=True)]
        self._trained_genes = most_variable(kept, MAX_TRAINED)
        if self.fine_tune:
            self._trained_genes = np.union1d(self._trained_genes, genes)
        data = self._training_data(kept, asked, sites)
        self.trained_ = train(
            self.config,
            data,
            device=self.device,
            random_state=self.random_state,
            checkpoint=self._next_checkpoint(),
            verbose=self.verbose,
        )
        self._tuned = self._fine_tune(data, genes) if self.fine_tune else {}

    def _next_checkpoint(self) -> Path | None:
        self._n_trainings += 1
        if self.checkpoint is None or self._n_trainings == 1:
            return self.checkpoint
        return self.checkpoint.with_stem(f"{self.checkpoint.stem}-{self._n_trainings}")

    def _use_factors(self, genes: np.ndarray) -> bool:
        if self.channels == "auto":
            return len(genes) > MAX_GENE_MAPS and self.config.start in FACTOR_STARTS
        if self.channels == "factors" and self.config.start not in FACTOR_STARTS:
            raise ValueError(f"`channels`='factors' starts from 'svd_gp', not from {self.config.start!r}")
        return self.channels == "factors"

    def _training_data(
        self, kept: Sequence[Section], asked: Sequence[Section], sites: Sequence[Sites]
    ) -> TrainingData:
        rng = np.random.default_rng(self.random_state)
        maps = self._new_maps(self._trained_genes).fit(kept)
        dense, checked = self._dense_views(maps, kept, asked, sites)
        sparser = self._sparser_views(kept, rng)
        images = [
            ImageSampler(
                self._images,
                steps=common_step(kept[0].sites.lattice).tolist(),
                side=side,
                processes=maps.processes,
                rng=rng,
                device=self.device,
            )
            for side in self.config.image_sides
            if self._images
        ]
        return TrainingData(sparser, dense, checked, _draw_weights(checked, maps.importance), images)

    def _dense_views(
        self, maps: Maps, kept: Sequence[Section], asked: Sequence[Section], sites: Sequence[Sites]
    ) -> tuple[list[View], list[View]]:
        """Views that ask the shown spots back, and the same ones that ask for the held-out spots."""
        dense, checked = [], []
        for number, (shown, hidden, wanted) in enumerate(zip(kept, asked, sites, strict=True)):
            layout = Layout.of(shown, hidden, wanted)
            filled, values = maps.filled(number, layout.everywhere), maps.values(number, shown)
            view = layout.view(filled, values, maps.values(number, hidden))
            checked.append(view)
            dense.append(view.asking(layout, shown, values))
        return dense, checked

    def _sparser_views(self, kept: Sequence[Section], rng: np.random.Generator) -> list[View]:
        """Views of the measured lattice in which some of its spots are shown and the others asked for."""
        masks = [sparser_masks(section, rng) for section in kept]
        views = []
        for chosen in zip(*masks, strict=False):
            shown = [section.subset(mask) for section, mask in zip(kept, chosen, strict=True)]
            hidden = [section.subset(~mask) for section, mask in zip(kept, chosen, strict=True)]
            maps = self._new_maps(self._trained_genes).fit(shown)
            for number in range(len(kept)):
                asked = kept[number] if self.config.ask_shown else hidden[number]
                step = common_step(kept[number].sites.lattice)
                layout = Layout.of(shown[number], asked, kept[number].sites, step)
                filled = maps.filled(number, layout.everywhere)
                values = maps.values(number, layout.shown), maps.values(number, layout.asked)
                views.append(layout.view(filled, *values))
        return views

    def _fine_tune(self, data: TrainingData, genes: np.ndarray) -> dict[int, TrainedNetwork]:
        """Go on with every wanted gene by itself, from the network of all."""
        config = replace(
            self.config,
            steps=self.fine_tune,
            n_checks=4,
            patience=None,
            keep_best=True,
            learning_rate=TUNING_RATE,
        )
        tuned = {}
        for column, gene in enumerate(self._trained_genes):
            if gene in genes:
                alone = replace(data, weights=np.eye(len(data.weights))[column])
                seed = self.random_state
                tuned[int(gene)] = train(
                    config, alone, device=self.device, random_state=seed, initial=self.trained_
                )
        return tuned

    def _complete(self, view: View, first: int) -> np.ndarray:
        """Complete all maps of a view; `first` is the channel that its maps begin with."""
        maps = self.trained_.complete(view, np.arange(len(view.start)))
        if self._tuned:
            for channel in range(len(maps)):
                network = self._tuned.get(int(self._genes[first + channel]))
                if network is not None:
                    maps[channel] = network.complete(view, np.array([channel]))[0]
        return maps


def _checked_path(checkpoint: str | Path | None) -> Path | None:
    """The file of a checkpoint, in a folder that must exist before the work begins."""
    if checkpoint is None:
        return None
    path = Path(checkpoint).expanduser()
    if not path.parent.is_dir():
        raise ValueError(f"`checkpoint`: there is no folder {str(path.parent)!r}; make it first")
    return path


def _check_sections(sections: Sequence[Section]) -> None:
    for section in sections:
        if len(section) < MIN_SPOTS:
            raise ValueError(
                f"`method`='s2s' needs {MIN_SPOTS} or more measured spots in a section, not {len(section)}; "
                "use another method"
            )


def _draw_weights(views: Sequence[View], importance: np.ndarray) -> np.ndarray:
    """How often to draw each channel: by what its start shows in the tissue; float64 (channels,), sum 1."""
    shown = np.mean([view.start[:, view.tissue].var(axis=1) for view in views], axis=0)
    weights = (shown + LEAST_DRAWN) * importance
    return np.asarray(weights / weights.sum())
