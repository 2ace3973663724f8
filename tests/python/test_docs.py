"""The tutorial of the site must run, also where the public sections cannot be had."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import matplotlib
import pytest

import transst_py as tst
from transst_py.tl._gate import layer_names

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def tutorial_code() -> str:
    cells = re.findall(r"```{code-cell} ipython3\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)
    lines = "\n".join(cells).splitlines()
    return "\n".join(line for line in lines if not line.startswith((":", "%")))


def test_tutorial_runs_on_simulated_tissue(monkeypatch):
    if not TUTORIAL.exists():
        pytest.skip("docs/ is not beside these tests")

    def unavailable(section):
        raise tst.datasets.DataUnavailableError(section)

    small = partial(tst.datasets.simulated_tissue, n_rows=14, n_cols=14, n_genes=60)
    monkeypatch.setattr(tst.datasets, "her2st", unavailable)
    monkeypatch.setattr(tst.datasets, "simulated_tissue", small)
    monkeypatch.setattr(tst.tl, "transst", partial(tst.tl.transst, n_init=2, n_folds=2))
    results: dict = {}
    with matplotlib.rc_context({"backend": "Agg"}):
        exec(compile(tutorial_code(), "docs/tutorial.md", "exec"), results)
    assert set(layer_names(results["finer"])) == {"imputed", "imputed_sd"}
    assert results["both"].obs["sample"].nunique() == 2
