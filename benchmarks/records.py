"""Tables of results in which every row says at which commit, and on which day, it was measured.

A commit with a "+" had changes of `transst_py/` on top that were not committed.
"""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
WHEN = ["commit", "date"]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def measured() -> dict[str, str]:
    """Commit and day of what is measured now."""
    changed = "+" if git("status", "--porcelain", "--", "transst_py") else ""
    commit = git("rev-parse", "--short=8", "HEAD").strip() + changed
    return {"commit": commit, "date": datetime.date.today().isoformat()}


def read(path: Path, key: Sequence[str]) -> pd.DataFrame:
    """What was measured so far, by its key."""
    if path.exists():
        return pd.read_csv(path, dtype={"commit": str}).set_index(list(key))
    return pd.DataFrame(index=pd.MultiIndex.from_tuples([], names=list(key)))


def add(path: Path, row: dict[str, Any], key: Sequence[str], digits: str = "%.4f") -> None:
    """Put a row into the table, in place of the one with its key; other processes may have added some."""
    values = pd.DataFrame([row | measured()]).set_index(list(key))
    others = read(path, key).drop(index=list(values.index), errors="ignore")
    table = values if others.empty else pd.concat([others, values])
    last = [column for column in table if column not in WHEN] + WHEN
    table[last].sort_index(kind="stable").to_csv(path, float_format=digits)


def oldest(runs: pd.DataFrame, by: Hashable | list[str]) -> pd.DataFrame:
    """Commit and day of the oldest run of each group: as old is what is computed from them."""
    return runs.reset_index().sort_values("date", kind="stable").groupby(by, sort=False)[WHEN].first()
