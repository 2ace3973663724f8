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
from transst_py._core.machine import machine
from transst_py._core.optional import CPU_INDEX

__all__ = ["add_arguments", "run"]

DISTRIBUTION = "transst-py"
# What the extras are for, each with a section of its own; "r" stands with R.
EXTRAS = {
    "s2s": "imputation method s2s, encoder graph-vae",
    "dask": "counts on disk, read by a cluster",
}
FOR_R = "R's objects in Python"
# Starting R and loading nothing takes less than a second, more on a busy cluster's file system.
R_SECONDS = 60
R_PACKAGE, NOT_INSTALLED = "R package TransST", "not installed"


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
    packages: dict[str, str] = {}
    optional: dict[str, dict[str, str]] = {}
    problems: list[str] = []
    advice: list[str] = []
    try:
        packages, missing = _versions(_requirements(extra=None))
        problems += [_pip(*missing)] if missing else []
        for extra, purpose in (EXTRAS | {"r": FOR_R}).items():
            optional[extra], missing = _versions(_requirements(extra=extra))
            advice += [f"For {purpose}: {_pip(*missing)}{_smaller(missing)}"] if missing else []
    except PackageNotFoundError:
        problems.append(f"{DISTRIBUTION} is not installed, install it: {_pip(_source_folder())}")
    sections = {
        "Python": {"version": platform.python_version(), "path": sys.executable},
        "transst_py": {"version": transst_py.__version__, "path": str(Path(transst_py.__file__).parent)},
        "Packages": packages,
    }
    for_r = optional.pop("r", {})
    for extra, found in optional.items():
        sections[f"Extra {extra} (optional: {EXTRAS[extra]})"] = found
    if not problems:
        sections["Machine"] = machine()
        sections["Data"], data_problems = _data()
        problems += data_problems
    r = _r()
    sections[f"R (optional: {FOR_R})"] = for_r | r
    if r.get(R_PACKAGE) == NOT_INSTALLED:
        advice.append("To use TransST in R: see README.md, and set R_LIBS to the library that holds it")
    lines = [line for title, values in sections.items() for line in (title, *_aligned(values))]
    if problems:
        print("\n".join([*lines, *advice]))  # to standard error, like all that is said of a failed run
        raise RuntimeError("not ready: " + "; ".join(problems))
    return "\n".join([*lines, *advice, "Status: ready\n"])


def _aligned(values: dict[str, str]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in values.items()]


def _requirements(*, extra: str | None) -> list[str]:
    """Return what this package declares to need, or what its extra does.

    Raises
    ------
    PackageNotFoundError
        It is used from a folder without being installed.
    """
    wanted = []
    for declared in requires(DISTRIBUTION) or []:
        requirement, _, condition = declared.partition(";")
        of_extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        if (of_extra[1] if of_extra else None) == extra:
            wanted.append(requirement.strip())
    return wanted


def _versions(requirements: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the version of each package, and the requirements that are not met."""
    found, wrong = {}, []
    for requirement in requirements:
        name = re.split(r"[^\w.-]", requirement)[0]
        try:
            found[name] = version(name)
            met = _new_enough(found[name], requirement)
        except PackageNotFoundError:
            found[name], met = "missing", False
        if not met:
            found[name] += f", {requirement} is needed"
            wrong.append(requirement)
    return found, wrong


def _new_enough(found: str, requirement: str) -> bool:
    least = re.search(r">=([\d.]+)", requirement)
    return least is None or _release(found) >= _release(least[1])


def _release(text: str) -> list[int]:
    """Turn "2.10.0+cpu" into numbers that can be compared."""
    return [int(part) for part in re.split(r"[^\d.]", text)[0].split(".") if part]


def _pip(*requirements: str) -> str:
    return f"{sys.executable} -m pip install " + " ".join(f"'{text}'" for text in requirements)


def _smaller(requirements: list[str]) -> str:
    """Say how to save gigabytes, if torch is among what is to be installed."""
    torch = any(re.match(r"torch\b", text) for text in requirements)
    return f" (without a GPU, smaller: add {CPU_INDEX})" if torch else ""


def _source_folder() -> str:
    folder = Path(transst_py.__file__).parents[1]
    return str(folder) if (folder / "pyproject.toml").is_file() else "path/to/TransST"


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
        "cat(tryCatch(as.character(packageVersion('TransST')), "
        f"error = function(e) '{NOT_INSTALLED}'))"
    )
    try:
        answer = subprocess.run(
            [path, "-e", code], capture_output=True, text=True, timeout=R_SECONDS, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        return {"R": f"{path} does not run: {error}"}
    r, package = answer.stdout.splitlines()[-2:]
    return {"R": f"{r.strip()} ({path})", R_PACKAGE: package.strip()}
