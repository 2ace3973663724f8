"""Numbers in README and docs are those of the benchmarks' tables."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "texts.py"


@pytest.fixture(scope="module")
def texts():
    if not SCRIPT.exists():
        pytest.skip("benchmarks/ is not beside these tests")
    spec = spec_from_file_location("texts", SCRIPT)
    module = module_from_spec(spec)
    sys.modules["texts"] = module
    spec.loader.exec_module(module)
    return module


def test_numbers_are_those_of_the_tables(texts):
    for name in texts.TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert texts.filled(text) == text, f"{name}: run `make numbers`"


def test_a_changed_number_is_noticed(texts):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    numbers = [match.span(2) for match in texts.NUMBER.finditer(text)]
    cells = [match.span() for match in re.finditer(r"(?<=\| )\d\.\d\d(?= \|)", text)]
    assert len(numbers) >= 8
    assert len(cells) >= 100
    for start, stop in (numbers[0], cells[0], cells[-1]):
        assert texts.filled(f"{text[:start]}9.99{text[stop:]}") == text


def test_readme_claims_nothing_that_is_not_in_a_table(texts):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    claims = text.split("## How well does it work?")[1].split("## Map of the repository")[0]
    bare = texts.TABLE.sub("", texts.NUMBER.sub("", claims))
    assert re.findall(r"\d\.\d+|\d+ s\b|\d+ GiB", bare) == []


def test_a_query_of_no_or_several_rows_is_refused(texts):
    with pytest.raises(ValueError, match="means 0 rows"):
        texts.number("domains_means method=nobody ari .2f")
    with pytest.raises(ValueError, match="means 0 rows"):
        texts.number("domains method=nobody ari mean .2f")
    with pytest.raises(ValueError, match="ask for one of mean"):
        texts.number("domains method=TransST ari .2f")


def test_every_row_says_when_it_was_measured():
    tables = sorted((ROOT / "benchmarks" / "results").glob("*.csv"))
    if not tables:
        pytest.skip("benchmarks/ is not beside these tests")
    for path in tables:
        head, *rows = path.read_text(encoding="utf-8").splitlines()
        assert head.split(",")[-2:] == ["commit", "date"], path.name
        assert all(re.search(r",[0-9a-f]{7,8}\+?,\d{4}-\d\d-\d\d$", row) for row in rows), path.name
