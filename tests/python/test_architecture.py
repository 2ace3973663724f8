"""The folders are the stages of the method, and import each other in one direction."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import transst_py as tst

PACKAGE = Path(tst.__file__).parent
# Each may import from those before it.
ORDER = (
    "_core", "expression", "tissue", "source", "transfer", "domains", "model", "markers", "imputation",
    "datasets", "tl", "pl", "_report", "cli", "bridge",
)  # fmt: skip
RANK = {name: rank for rank, name in enumerate(ORDER)}


def modules():
    """Path and folder (or file at the top) of every module but the package's own."""
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ("__init__", "__main__"):
            yield path, parts


def imported(path, parts):
    """Folders that a module imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            above = ("transst_py", *parts[:-1])
            base = list(above[: len(above) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{one.name}" for one in node.names] if module == "transst_py" else [module]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("transst_py."))


def test_folders_import_in_one_direction():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, parts in modules()
        for name in imported(path, parts)
        if name in RANK and RANK[name] > RANK[parts[0]]
    ]
    assert not wrong


def test_every_folder_has_its_place():
    assert {parts[0] for _, parts in modules()} == set(ORDER)


def test_the_top_level_is_short():
    entries = [p for p in PACKAGE.iterdir() if p.name not in ("__init__.py", "__main__.py", "__pycache__")]
    assert len(entries) <= 16
    assert sum(entry.is_file() for entry in entries) <= 3


def test_every_module_says_what_it_is_for():
    silent = [path.name for path, _ in modules() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not silent


def test_the_map_is_the_tree():
    guide = PACKAGE.parent / "CONTRIBUTING.md"
    if not guide.is_file():
        pytest.skip("CONTRIBUTING.md is not beside the package")
    text = guide.read_text(encoding="utf-8")
    folders = ("_core", "expression", "tissue", "source", "transfer", "domains", "imputation", "tl")
    for folder in folders:
        table = text.split(f"| `transst_py/{folder}/` |")[1].split("\n\n")[0]
        listed = set(re.findall(r"`(\w+\.py)`", table))
        assert {path.name for path in (PACKAGE / folder).glob("*.py")} - {"__init__.py"} <= listed, folder
