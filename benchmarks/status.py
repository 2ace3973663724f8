"""Which tables are older than the code that they measure?  (make bench-status)

A row is old if, since the commit at which it was measured, code that it measures has changed: not only
comments and docstrings, and not by a commit that is listed in neutral_commits.txt, with the reason why it
changes no number. Rows of other people's methods measure benchmarks/peers.py and label_peers.py only. Exit
status 1 if anything is old.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pandas as pd
from records import git

RESULTS = Path(__file__).parent / "results"
NEUTRAL = Path(__file__).parent / "neutral_commits.txt"

# What no fit runs through.
NOT_FIT = (
    "_report/",
    "bridge/",
    "cli/",
    "datasets/",
    "imputation/",
    "pl/",
    "markers/",
    "_core/messages.py",
    "_core/machine.py",
    "_core/progress.py",
)
NOT_FIT_TL = (
    "_bin.py",
    "_evaluate_imputation.py",
    "_impute.py",
    "_markers.py",
    "_sections.py",
    "_transfer_report.py",
)
FIT = {"transst_py/": (*NOT_FIT, *(f"tl/{name}" for name in NOT_FIT_TL))}
IMPUTATION = {"transst_py/imputation/": (), "transst_py/tl/_evaluate_imputation.py": ()}
MARKERS = {
    "transst_py/markers/": (),
    "transst_py/tl/_markers.py": (),
}
BRIDGE = {"transst_py/bridge/": (), "R/flatten.R": (), "R/assemble.R": ()}
PEERS = {"benchmarks/peers.py": ()}
LABEL_PEERS = {"benchmarks/label_peers.py": (), "benchmarks/seurat_transfer.R": ()}
MEASURES = {
    "bridge": BRIDGE,
    "imputation": IMPUTATION,
    "imputation_ablation": IMPUTATION,
    "imputation_tests": IMPUTATION,
    "markers_level": MARKERS,
    "markers_speed": MARKERS,
}
# As old as the tables that they are made from.
DERIVED = (
    "domains_differences",
    "domains_means",
    "labels_means",
    "naming_rates",
    "transfer_means",
    "trust_means",
)
OURS = ("TransST", "TransST in R", "loadings only", "no transfer", "reference mode")


def measures(table: str, row: pd.Series) -> dict[str, tuple[str, ...]]:
    """Files, and folders without some of their files, that a row depends on."""
    if "method" in row and table in ("domains", "labels", "speed"):
        theirs = LABEL_PEERS if table == "labels" else PEERS
        return FIT if row["method"] in OURS else theirs
    return MEASURES.get(table, FIT)


@cache
def code(commit: str, path: str) -> str:
    """The code in a file, of Python without comments and docstrings; empty where there is no such file."""
    try:
        text = git("show", f"{commit}:{path}")
    except Exception:  # it was not there yet, or is not any more
        return ""
    if not path.endswith(".py"):
        return text
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def neutral() -> frozenset[str]:
    lines = NEUTRAL.read_text().splitlines() if NEUTRAL.exists() else []
    return frozenset(line.split()[0][:8] for line in lines if line and not line.startswith("#"))


@cache
def changes(commit: str, where: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[str, ...]:
    """Commits since this one, of the files, that change what they compute."""
    found = []
    for folder, but in where:
        for line in git(
            "log", "--format=%h", "--abbrev=8", f"{commit.rstrip('+')}..HEAD", "--", folder
        ).split():
            if line in neutral():
                continue
            names = git("diff-tree", "--no-commit-id", "--name-only", "-r", line, "--", folder).split()
            names = [name for name in names if not name.removeprefix(folder).startswith(but or ("\0",))]
            if any(
                code(line, name) != code(f"{line}^", name) for name in names if name.endswith((".py", ".R"))
            ):
                found.append(line)
    return tuple(found)


def old(path: Path) -> pd.Series:
    """Commits that made rows of this table old, and how many rows."""
    table = pd.read_csv(path, dtype={"commit": str})
    if "commit" not in table:
        return pd.Series({"no commit": len(table)})
    by = [
        changes(row["commit"], tuple(measures(path.stem, row).items())) or None for _, row in table.iterrows()
    ]
    return pd.Series([", ".join(b[-1:]) for b in by if b], dtype=str).value_counts()


def main() -> None:
    stale = False
    for path in sorted(path for path in RESULTS.glob("*.csv") if path.stem not in DERIVED):
        for commit, rows in old(path).items():
            stale = True
            said = git("log", "-1", "--format=%h %s", commit).strip()
            print(f"{path.name}: {rows} rows are older than {said}")
    print(
        "Some tables are older than the code that they measure." if stale else "All tables are of this code."
    )
    sys.exit(int(stale))


if __name__ == "__main__":
    main()
