"""Data shared by the tests."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from matplotlib import pyplot

import transst_py as tst
from transst_py._core import optional as _optional
from transst_py._core.optional import has_torch

# Without torch, what is about the network cannot be tested, and "auto" says that it does without.
collect_ignore = []
if not has_torch():
    collect_ignore += [f"imputation/test_{name}.py" for name in ("batches", "network", "s2s", "training")]
    collect_ignore += ["tl/test_evaluate_imputation.py", "transfer/test_graph_vae.py"]


def pytest_configure(config: pytest.Config) -> None:
    if not has_torch():
        config.addinivalue_line("filterwarnings", "ignore:.* leaves out 's2s':UserWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not has_torch():
        for item in items:
            if item.get_closest_marker("needs_torch"):
                item.add_marker(pytest.mark.skip(reason="torch is not installed"))


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Folder of the numbers a correct implementation reproduces."""
    folder = os.environ.get("TRANSST_REFERENCE_DIR")
    if not folder:
        pytest.skip("TRANSST_REFERENCE_DIR is not set: the reference numbers are not part of the repository")
    return Path(folder)


@pytest.fixture(scope="session")
def _tissue() -> tuple[AnnData, AnnData]:
    return tst.datasets.simulated_tissue(n_rows=20, n_cols=20, n_genes=120, n_domains=3, random_state=3)


@pytest.fixture
def tissue(_tissue: tuple[AnnData, AnnData]) -> tuple[AnnData, AnnData]:
    """Simulated (target, source) of 400 spots x 120 genes, fresh for every test."""
    return _tissue[0].copy(), _tissue[1].copy()


@pytest.fixture
def labelled_rows() -> tuple[np.ndarray, np.ndarray]:
    """150 rows of 12 genes in three unequal classes, from a 2-factor model."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [70, 50, 30])
    W = rng.normal(size=(12, 2))
    means = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    z = means[y] + rng.normal(size=(150, 2)) * np.array([[1.0, 0.5], [0.5, 1.0], [0.7, 0.7]])[y]
    return z @ W.T + rng.normal(size=(150, 12)) * rng.uniform(0.3, 1.0, 12), y


@pytest.fixture
def quick_imputation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where "auto" or "s2s" trains a network, it is a tiny one, in a few steps; models start once."""
    from transst_py.imputation import domain_means, selection, views

    if has_torch():
        from quick import TRAINING

        from transst_py.imputation import training

        monkeypatch.setitem(training.TRAINING_PRESETS, "lite", TRAINING)
    monkeypatch.setattr(domain_means, "TransST", partial(domain_means.TransST, n_init=1))
    monkeypatch.setattr(views, "N_RANDOM", 2)
    monkeypatch.setattr(selection, "MAX_ROUNDS", 1)


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch is not found. (None in `sys.modules` would do, but scipy trips over it.)"""
    monkeypatch.setattr(_optional, "find_spec", lambda name: None)


@pytest.fixture
def no_pyplot_state():
    """Afterwards pyplot must know of no figure."""
    yield
    assert pyplot.get_fignums() == []
