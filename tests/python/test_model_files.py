"""Files of models: those of every format so far are read, damaged ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import transst_py as tst
from transst_py.model import FORMAT
from transst_py.tissue.graph import spatial_neighbors

FILES = Path(__file__).parent / "files"


def spots():
    """The tissue of the stored models: log expression, graph."""
    target, _ = tst.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=40, n_domains=3, random_state=3)
    X = target.X.toarray() if hasattr(target.X, "toarray") else target.X
    return np.log1p(np.asarray(X, dtype=float)), spatial_neighbors(target.obsm["spatial"])


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_every_format_is_read_and_predicts(number):
    model = tst.TransST.load(FILES / f"model-format{number}.npz")
    predicted = model.predict(*spots())
    assert model.labels_.shape == (144,)
    assert (predicted == model.labels_).mean() > 0.95


def rewritten(tmp_path, **changes):
    with np.load(FILES / f"model-format{FORMAT}.npz") as file:
        state = {name: file[name] for name in file.files}
    state |= changes
    path = tmp_path / "model.npz"
    np.savez(path, **{name: array for name, array in state.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"transfer.loadings_": np.full((40, 3), np.nan)}, "'transfer.loadings_' is not finite"),
        (
            {"transfer.loadings_": np.zeros((40, 2))},
            r"is of shape \(40, 2\), not \(40, 3\)",
        ),
        ({"mixture.covariances_": np.zeros((3, 1, 1))}, "but other covariances or labels"),
        ({"options": np.array("{}")}, "penalties"),
        ({"mixture.means_": None}, "mixture.means_"),
    ],
)
def test_damaged_files_are_named(tmp_path, changes, found):
    path = rewritten(tmp_path, **changes)
    with pytest.raises(ValueError, match=found) as error:
        tst.TransST.load(path)
    assert str(path) in str(error.value)


def test_files_of_later_versions_and_other_files_are_refused(tmp_path):
    later = rewritten(tmp_path, format=np.array(FORMAT + 1), version=np.array("9.0"))
    with pytest.raises(ValueError, match=rf"has format {FORMAT + 1}, of transst_py 9.0; .* update it"):
        tst.TransST.load(later)
    whole = (FILES / f"model-format{FORMAT}.npz").read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        (tmp_path / "other.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"other.npz is damaged, or no model of TransST"):
            tst.TransST.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        tst.TransST.load(tmp_path / "nothing.npz")
