"""Kriging of expression: every gene by itself, or the factors that genes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.extmath import randomized_svd

from transst_py.imputation.gaussian_process import GaussianProcess
from transst_py.imputation.spots import Imputer, Prediction, Section, Sites, smallest_values, variance_within

__all__ = ["BlendedKriging", "FactorKriging", "Factors", "GeneKriging", "most_variable"]

# Genes at once: float64 (sites, genes), twice.
BLOCK_GENES = 2048
# Genes that enter the factors: those of the largest variance.
MAX_FACTOR_GENES = 2000
# One factor for so many spots, between these bounds.
SPOTS_PER_FACTOR, MIN_FACTORS, MAX_FACTORS = 10, 10, 50
# Share of a gene's own process in the blend. Shares fitted to held-out spots scatter around it (0.1 to 0.6
# on six tissues), and do worse where spots are few.
OWN_SHARE = 0.3
# Keeps a gene that is nowhere expressed from a division by 0; in units of log expression.
SD_FLOOR = 1e-3


class GeneKriging(Imputer):
    """A Gaussian process for every gene, each with its own length-scale, roughness and noise."""

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Choose every gene's process by maximum likelihood."""
        columns = [section.dense(genes) for section in sections]
        positions = [section.sites.positions for section in sections]
        self._process = GaussianProcess().fit(columns, positions, [section.noise for section in sections])
        self._floor = smallest_values(sections, genes)
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Posterior mean, and the standard deviation of a new measurement."""
        process = self._process
        mean, sd = np.empty((2, len(sites), process.variance_.size), dtype=np.float32)
        noise = process.variance_ * process.noise_ratio_
        for block in gen_batches(mean.shape[1], BLOCK_GENES):
            found, variance = process.predict(section, sites.positions, columns=block)
            mean[:, block] = np.maximum(found, self._floor[block])
            sd[:, block] = np.sqrt(variance + noise[block])
        return Prediction(mean, sd)

    def describe(self) -> dict[str, Any]:
        """Return the processes' hyperparameters, one per gene."""
        return _hyperparameters(self._process)


class Factors:
    """Principal factors of log expression, fitted to spots weighted by their precision.

    Genes are divided by the square root of their standard deviation: in between all genes alike, which lets
    noise in, and as they are, which lets few genes rule.

    Attributes
    ----------
    scores_
        Scores of the spots of each section, float64 (n_s, r).
    loadings_
        Loadings of the wanted genes, float64 (r, genes): regression on the scores, so a gene need not be
        among those that the factors are made of.
    means_
        Weighted mean of the wanted genes in each section, float64 (sections, genes).
    residual_variance_
        Weighted variance of the wanted genes around `means_ + scores_ @ loadings_`, float64 (genes,).
    """

    def fit(self, sections: Sequence[Section], genes: np.ndarray) -> Factors:
        """Find the factors of all genes, and the loadings of the wanted ones."""
        self._columns = most_variable(sections, MAX_FACTOR_GENES)
        root = [1.0 / np.sqrt(section.noise)[:, None] for section in sections]
        blocks = [section.dense(self._columns).astype(np.float64) for section in sections]
        self._centers = [_weighted_mean(Y, w) for Y, w in zip(blocks, root, strict=True)]
        centered = [Y - mean for Y, mean in zip(blocks, self._centers, strict=True)]
        self._scale = np.sqrt(np.concatenate(centered).std(axis=0) + SD_FLOOR)
        weighted = np.concatenate([w * Y for w, Y in zip(root, centered, strict=True)]) / self._scale
        self._basis = _leading_directions(weighted, _n_factors(*weighted.shape))
        self.scores_ = [Y / self._scale @ self._basis for Y in centered]
        self._regress(sections, genes, root)
        return self

    def _regress(self, sections: Sequence[Section], genes: np.ndarray, root: list[np.ndarray]) -> None:
        design = np.concatenate([w * scores for w, scores in zip(root, self.scores_, strict=True)])
        solve = np.linalg.pinv(design)
        loadings, variances, means = [], [], []
        for block in gen_batches(len(genes), BLOCK_GENES):
            wanted = [section.dense(genes[block]) for section in sections]
            mean = [_weighted_mean(Y, w) for Y, w in zip(wanted, root, strict=True)]
            rows = np.concatenate([w * (Y - m) for w, Y, m in zip(root, wanted, mean, strict=True)])
            coefficients = solve @ rows
            loadings.append(coefficients)
            variances.append(((rows - design @ coefficients) ** 2).mean(axis=0))
            means.append(mean)
        self.loadings_ = np.concatenate(loadings, axis=1)
        self.residual_variance_ = np.concatenate(variances)
        self.means_ = np.concatenate(means, axis=1)

    def score(self, section: int, values: Section) -> np.ndarray:
        """Scores of other spots of a section, float64 (n, r)."""
        centered = values.dense(self._columns) - self._centers[section]
        return np.asarray(centered / self._scale @ self._basis)


class FactorKriging(Imputer):
    """A Gaussian process for every principal factor; genes follow by their loadings.

    What genes share is kriged with less noise than any one of them has. The residuals of genes beyond the
    factors are taken for noise.
    """

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Find the factors, and choose each one's process by maximum likelihood."""
        self.factors_ = Factors().fit(sections, genes)
        positions = [section.sites.positions for section in sections]
        noise = [section.noise for section in sections]
        self.process_ = GaussianProcess().fit(self.factors_.scores_, positions, noise)
        self._floor = smallest_values(sections, genes)
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Posterior mean, and the standard deviation of a new measurement."""
        scores, variance = self.process_.predict(section, sites.positions)
        mean = self.expression(section, scores)
        return Prediction(np.maximum(mean, self._floor, out=mean), self._spread(variance))

    def uncertainty(self, section: int, sites: Sites) -> np.ndarray:
        """Standard deviation of a new measurement, float32 (m, genes)."""
        return self._spread(self.process_.predict(section, sites.positions)[1])

    def expression(self, section: int, scores: np.ndarray) -> np.ndarray:
        """Expression of the genes by scores (m, factors): float32 (m, genes)."""
        mean = scores.astype(np.float32) @ self.factors_.loadings_.astype(np.float32)
        mean += self.factors_.means_[section].astype(np.float32)
        return mean

    def _spread(self, variance: np.ndarray) -> np.ndarray:
        noise = self.process_.variance_ * self.process_.noise_ratio_
        spread = (variance + noise).astype(np.float32) @ (self.factors_.loadings_**2).astype(np.float32)
        spread += self.factors_.residual_variance_.astype(np.float32)
        return np.sqrt(spread, out=spread)

    def describe(self) -> dict[str, Any]:
        """Return the processes' hyperparameters, one per factor."""
        return {"n_factors": len(self.process_.variance_), **_hyperparameters(self.process_)}


class BlendedKriging(Imputer):
    """Kriged factors with a share of every gene's own kriging, which knows patterns that no factor has.

    The errors of the two are far from the same, so their weighted mean is better than either.
    """

    def fit(self, sections: Sequence[Section], sites: Sequence[Sites], genes: np.ndarray) -> Self:
        """Fit both."""
        self.factors_ = FactorKriging().fit(sections, sites, genes)
        self.genes_ = GeneKriging().fit(sections, sites, genes)
        return self

    def predict(self, section: int, sites: Sites) -> Prediction:
        """Weighted mean, and the factors' standard deviation of a new measurement."""
        shared = self.factors_.predict(section, sites)
        return Prediction(self.blend(section, sites, shared.mean), shared.sd)

    def uncertainty(self, section: int, sites: Sites) -> np.ndarray:
        """Standard deviation of a new measurement, float32 (m, genes)."""
        return self.factors_.uncertainty(section, sites)

    def blend(self, section: int, sites: Sites, shared: np.ndarray) -> np.ndarray:
        """Add the genes' own kriging to what the factors say at sites, in place: float32 (m, genes)."""
        shared *= 1.0 - OWN_SHARE
        shared += OWN_SHARE * self.genes_.predict(section, sites).mean
        return shared

    def describe(self) -> dict[str, Any]:
        """Return the hyperparameters of the factors' processes, and the share of the genes' own."""
        return {"own_share": OWN_SHARE, **self.factors_.describe()}


def _hyperparameters(process: GaussianProcess) -> dict[str, Any]:
    return {name: getattr(process, name + "_") for name in ("correlation", "length_scale", "noise_ratio")}


def most_variable(sections: Sequence[Section], n_genes: int) -> np.ndarray:
    """Numbers of the genes that vary most within sections, ascending."""
    return np.sort(np.argsort(-variance_within(sections), kind="stable")[:n_genes])


def _weighted_mean(Y: np.ndarray, root: np.ndarray) -> np.ndarray:
    return np.average(Y, axis=0, weights=root.ravel() ** 2)


def _n_factors(n: int, p: int) -> int:
    wanted = int(np.clip(n // SPOTS_PER_FACTOR, MIN_FACTORS, MAX_FACTORS))
    return max(1, min(wanted, n - 1, p))


def _leading_directions(Y: np.ndarray, n_factors: int) -> np.ndarray:
    """Leading right singular vectors, float64 (p, n_factors)."""
    return np.asarray(randomized_svd(Y, n_factors, n_iter=7, random_state=0)[2].T)
