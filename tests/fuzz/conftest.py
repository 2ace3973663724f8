"""The table of cases by function and outcome, at the end of a longer run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "python"))  # `quick`: networks that train in no time

from outcomes import OUTCOMES, TOTAL

COLUMNS = (
    "valid result",
    "ValueError",
    "TypeError",
    "KeyError",
    "OSError",
    "ImportError",
    "unclean",
)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of xdist's workers
        session.config.workeroutput["fuzz"] = [[*key, n] for key, n in OUTCOMES.items()]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    for name, outcome, n in getattr(node, "workeroutput", {}).get("fuzz", ()):
        OUTCOMES[name, outcome] += n


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TOTAL:
        return
    names = list(dict.fromkeys(name for name, _ in OUTCOMES))
    write = terminalreporter.write_line
    write(f"\n| function | cases | {' | '.join(COLUMNS)} |")
    write("|---" * (len(COLUMNS) + 2) + "|")
    for name in [*names, "all"]:
        of = {c: sum(n for (f, o), n in OUTCOMES.items() if o == c and name in (f, "all")) for c in COLUMNS}
        write(f"| {name} | {sum(of.values())} | {' | '.join(map(str, of.values()))} |")
