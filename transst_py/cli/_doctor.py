"""`transst doctor`: what is installed, what computes, and what to do if something is missing."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import transst_py
from transst_py._machine import machine

__all__ = ["add_arguments", "run"]

DISTRIBUTION = "transst-py"
# Starting R and loading nothing takes less than a second, more on a busy cluster's file system.
R_SECONDS = 60
R_PACKAGE = "R package TransST"


def add_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Nothing to choose."""
    parser.usage = "transst doctor"


def run(args: argparse.Namespace) -> str:
    """Return the report.

    Raises
    ------
    RuntimeError
        What every command needs is not there; the report has been printed.
    """
    packages, problems = _packages(optional=False)
    sections = {
        "Python": {"version": platform.python_version(), "path": sys.executable},
        "transst_py": {
            "version": transst_py.__version__,
            "path": str(Path(transst_py.__file__).parent),
        },
        "Packages": packages,
    }
    if not problems:
        sections["Machine"] = machine()
        sections["Data"], data_problems = _data()
        problems += data_problems
    for_r, missing_for_r = _packages(optional=True)
    sections["R (optional, for transst_py.bridge)"] = for_r | (values_of_r := _r())
    lines = [line for title, values in sections.items() for line in (title, *_aligned(values))]
    if missing_for_r:
        lines.append(f"To convert R's objects: {_install(missing_for_r)}")
    if "not" in values_of_r.get(R_PACKAGE, ""):
        lines.append("To use TransST in R: see README.md, and set R_LIBS to the library that holds it")
    if problems:
        print("\n".join(lines))  # to standard error, like all that is said of a failed run
        raise RuntimeError("not ready: " + "; ".join(problems))
    return "\n".join([*lines, "Status: ready\n"])


def _aligned(values: dict[str, str]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in values.items()]


def _packages(*, optional: bool) -> tuple[dict[str, str], list[str]]:
    """Return the version of each required package, and what is wrong; optional: those of the extra "r"."""
    try:
        declared = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        folder = Path(transst_py.__file__).parents[1]
        return {}, [] if optional else [f"{DISTRIBUTION} is not installed, install it: {_pip()} {folder}"]
    wanted = [text.split(";") for text in declared if ("extra ==" in text) == optional]
    found, wrong = {}, []
    for requirement, *condition in wanted:
        if optional and "'r'" not in condition[0].replace('"', "'"):
            continue
        name = re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
        if found[name] == "missing" or not _new_enough(found[name], requirement):
            found[name] += f", {requirement.strip()} is needed"
            wrong.append(requirement.strip())
    if wrong and not optional:
        return found, [_install(wrong)]
    return found, wrong


def _new_enough(found: str, requirement: str) -> bool:
    least = re.search(r">=([\d.]+)", requirement)
    return least is None or _release(found) >= _release(least[1])


def _release(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", text)[0])]  # type: ignore[index]


def _pip() -> str:
    return f"{sys.executable} -m pip install"


def _install(requirements: list[str]) -> str:
    return f"{_pip()} " + " ".join(f"'{text}'" for text in requirements)


def _data() -> tuple[dict[str, str], list[str]]:
    from transst_py.datasets._files import DATA_DIR_VARIABLE

    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return {DATA_DIR_VARIABLE: "not set: public data are downloaded when asked for"}, []
    if not Path(folder).is_dir():
        return {DATA_DIR_VARIABLE: f"{folder}, no such folder"}, [f"correct or unset {DATA_DIR_VARIABLE}"]
    return {DATA_DIR_VARIABLE: folder}, []


def _r() -> dict[str, str]:
    """Return the versions of R and of the R package, as R itself tells them."""
    path = shutil.which("Rscript")
    if path is None:
        return {"R": "not on the path"}
    code = (
        "cat(as.character(getRversion()), '\\n');"
        "cat(tryCatch(as.character(packageVersion('TransST')), error = function(e) 'not installed'))"
    )
    try:
        answer = subprocess.run(
            [path, "-e", code], capture_output=True, text=True, timeout=R_SECONDS, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        return {"R": f"{path} does not run: {error}"}
    r, package = answer.stdout.splitlines()[-2:]
    return {"R": f"{r.strip()} ({path})", R_PACKAGE: package.strip()}
