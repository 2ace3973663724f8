"""What the README prints must run."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

import transst_py as tst
from transst_py.cli import main

README = Path(__file__).parents[2] / "README.md"


def test_python_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    if not README.exists():
        pytest.skip("README.md is not beside these tests")
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    small = partial(tst.datasets.simulated_tissue, n_rows=16, n_cols=16, n_genes=60)
    monkeypatch.setattr(tst.datasets, "simulated_tissue", small)
    exec(compile(code, "README.md", "exec"), {})
    assert "transst_confidence" in capsys.readouterr().out
    assert (tmp_path / "domains.png").stat().st_size > 0
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_command_lines_run_as_printed(tissue, tmp_path, monkeypatch, capsys):
    if not README.exists():
        pytest.skip("README.md is not beside these tests")
    (lines,) = re.findall(r"```sh\n(transst .*?)```", README.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for name, adata in zip(("target", "annotated"), tissue, strict=True):
        adata.write_h5ad(f"{name}.h5ad")
    for line in lines.splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    assert {"fit.h5ad", "markers.csv", "finer.h5ad", "domains.png", "gene1.pdf", "report.html"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert capsys.readouterr().out == ""
