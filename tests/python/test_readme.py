"""What the README prints must run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_python_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    if not README.exists():
        pytest.skip("README.md is not beside these tests")
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "transst_confidence" in capsys.readouterr().out
    assert (tmp_path / "domains.png").stat().st_size > 0
