"""Run a part of tests/python with other versions than those of the usual environment; warnings are errors.

    $(make -s python) tools/test_versions.py [--lowest] [--newest] [--folder FOLDER]

--lowest: Python 3.11 and the lowest versions that pyproject.toml allows. --newest: the newest versions on the
newest Python that is found. Both, if none is asked for. The environments stay in FOLDER (default:
TRANSST_VERSIONS_DIR, else beside the usual environment), and are made again when pyproject.toml has changed.
uv makes them (extra `dev`); torch is a CPU build, or is left out, aloud, where none can be had.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Where an index is out of reach, this should not take long.
QUICKLY = {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1"}

# Fits, transfer of labels, markers, imputation, figures, report, files, command line.
TESTS = [
    "cli/test_cli",
    "datasets/test_datasets",
    "domains/test_mixture",
    "expression/test_genes",
    "expression/test_normalize",
    "imputation/test_methods",
    "markers/test_markers",
    "pl/test_plots",
    "report/test_report",
    "source/test_factor_analysis",
    "test_model",
    "test_without_torch",
    "tissue/test_graph",
    "tissue/test_lattice",
    "tl/test_bin",
    "tl/test_impute",
    "tl/test_transst",
    "transfer/test_adaptive_loadings",
    "transfer/test_label_transfer",
]
TORCH_TESTS = ["imputation/test_network", "transfer/test_graph_vae"]

# Warnings that other packages' releases give each other; each may go when the lower bound passes it.
DEPRECATIONS = {
    "lowest": {
        r"'\w+' deprecated - use:DeprecationWarning": "matplotlib < 3.10.8 calls pyparsing by its old names",
        r"crc32c usage is deprecated:DeprecationWarning": "numcodecs, with the crc32c that dask 2024 brings",
    },
    "newest": {
        r"The 'future.infer_string' option is deprecated:DeprecationWarning": "anndata asks for it",
        r"The 'mode.chained_assignment' option is deprecated:DeprecationWarning": "anndata sets it",
    },
}


def main() -> int:
    """Run what is asked for; the exit status is that of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lowest", action="store_true")
    parser.add_argument("--newest", action="store_true")
    parser.add_argument("--folder", type=Path, default=default_folder())
    args = parser.parse_args()
    parts = [name for name in ("lowest", "newest") if getattr(args, name)] or ["lowest", "newest"]
    failed = [name for name in parts if not run_part(name, args.folder.expanduser().resolve())]
    if failed:
        say(f"FAILED: {', '.join(failed)}")
    return len(failed)


def default_folder() -> Path:
    """Return the folder for the environments."""
    if given := os.environ.get("TRANSST_VERSIONS_DIR"):
        return Path(given)
    script = ["sh", ROOT / "tools" / "environment.sh"]  # the folder of all that is made for this checkout
    made = subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()
    return Path(made) / "versions"


def run_part(name: str, folder: Path) -> bool:
    """Make the environment and run the tests in it; True if they pass, or there is no interpreter."""
    wanted = ("3.11",) if name == "lowest" else ("3.13", "3.12")
    interpreter = find_python(wanted)
    if interpreter is None:
        say(f"NOT RUN: {name} versions, since there is no Python {' or '.join(wanted)} found")
        return True
    environment = folder / name
    try:
        has_torch = prepare(name, environment, interpreter)
    except subprocess.CalledProcessError as error:
        say(f"{name}: {' '.join(map(str, error.cmd))}\n{error.stdout or ''}")
        return False
    say(f"{name} versions on {versions(environment)}")
    if not has_torch:
        say(f"NOT RUN: {name} versions of torch, since no CPU build of it can be had for this Python")
    start = time.monotonic()
    done = subprocess.run(
        [
            *(python_of(environment), "-m", "pytest", "-p", "no:cacheprovider", "-n2", "--dist=worksteal"),
            *("-o", "filterwarnings=" + "\n".join(filters(name))),
            *(f"tests/python/{test}.py" for test in TESTS + TORCH_TESTS * has_torch),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
        check=False,
    )
    say(f"{name} versions: {time.monotonic() - start:.0f} s")
    return done.returncode == 0


def find_python(versions: tuple[str, ...]) -> Path | None:
    """Find the first of these versions on the path or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in versions:
        on_path = shutil.which(f"python{version}")
        for found in [*([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"{version}.*/bin/python"))]:
            code = f"import ssl, sys; sys.exit(sys.version_info[:2] != {tuple(map(int, version.split('.')))})"
            if subprocess.run([found, "-c", code], capture_output=True, check=False).returncode == 0:
                return found
    return None


def prepare(name: str, environment: Path, interpreter: Path) -> bool:
    """Make the environment if it is not there for this pyproject.toml; tell whether torch is in it."""
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    made_for = f"{interpreter}\n{ROOT}\n{declared}"
    stamp = environment / "made-for"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == made_for):
        say(f"making an environment with the {name} versions: {environment}")
        shutil.rmtree(environment, ignore_errors=True)
        uv("venv", "--python", interpreter, environment)
        resolution = "lowest-direct" if name == "lowest" else "highest"
        pip_install = ("pip", "install", "--python", python_of(environment))
        uv(*pip_install, "pytest>=8", "pytest-xdist>=3.6")
        uv(*pip_install, "--resolution", resolution, "-r", "pyproject.toml", "--extra", "dask")
        uv(*pip_install, "--no-deps", "--editable", ".")
        install_torch(name, environment, tomllib.loads(declared)["project"])
        stamp.write_text(made_for, encoding="utf-8")
    find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([python_of(environment), "-c", find], check=False).returncode == 0


def install_torch(name: str, environment: Path, project: dict[str, Any]) -> None:
    """Install a CPU build: of the version wanted from torch's own index, else any that pip has locally."""
    [requirement] = project["optional-dependencies"]["s2s"]
    exact = requirement.replace(">=", "==") + ".*" if name == "lowest" else requirement
    python = python_of(environment)
    pip_install = ("pip", "install", "--python", python)
    attempts = [
        (uv, (*pip_install, "--no-deps", "--index-url", CPU_INDEX, exact)),
        (pip, ("--python", python, "install", "--no-deps", "--no-index", requirement)),
    ]
    for tool, arguments in attempts:
        try:
            tool(*arguments)
        except subprocess.CalledProcessError:
            continue
        uv(*pip_install, requirement)  # it is there: what it needs itself
        return


def uv(*arguments: str | Path) -> None:
    """Run uv, silently."""
    beside = Path(sys.executable).with_name("uv")
    command = beside if beside.is_file() else shutil.which("uv")
    if command is None:
        sys.exit(f"uv is missing: {sys.executable} -m pip install uv")
    run_silently(command, *arguments)


def pip(*arguments: str | Path) -> None:
    """Run pip, which knows this machine's folders of wheels, silently."""
    run_silently(sys.executable, "-m", "pip", *arguments)


def run_silently(*command: str | Path) -> None:
    """Run a command; what it prints is in the error if it fails."""
    subprocess.run(
        command,
        cwd=ROOT,
        env=QUICKLY | os.environ | {"VIRTUAL_ENV": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )


def python_of(environment: Path) -> Path:
    """Return the Python of an environment."""
    return environment / "bin" / "python"


def versions(environment: Path) -> str:
    """Say which versions are in an environment."""
    code = (
        "import platform; from importlib.metadata import distributions;"
        "print('Python', platform.python_version());"
        "print(*sorted(d.name.lower() + ' ' + d.version for d in distributions()), sep='\\n')"
    )
    python, *packages = subprocess.run(
        [python_of(environment), "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    shown = r"(anndata|dask|jinja2|matplotlib|numpy|pandas|pillow|scikit-learn|scipy|torch|zarr) "
    return ", ".join([python, *(package for package in packages if re.match(shown, package))])


def filters(name: str) -> list[str]:
    """Return pytest's filters of warnings: those of pyproject.toml, and what is listed above."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    own: list[str] = project["tool"]["pytest"]["ini_options"]["filterwarnings"]
    return [*own, *(f"ignore:{warning}" for warning in DEPRECATIONS[name])]


def say(text: str) -> None:
    """Print at once, in step with what pytest prints."""
    print(f"[versions] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
