"""Files that are there to read, and files that are either whole or not there at all."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transst_py._core.atomic import replaced
from transst_py._core.progress import Progress
from transst_py.cli._words import UsageError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["add_output", "check_input", "check_output", "progress_of", "read", "unwritten", "write"]


def add_output(
    parser: argparse.ArgumentParser, suffixes: Sequence[str], *, required: bool = True, also: str = ""
) -> None:
    """Add the options that say what to write, and whether over what is there."""
    forms = ", ".join(suffixes)
    parser.add_argument(
        "-o", "--output", required=required, metavar="FILE", help=f"file to write ({forms}{also})"
    )
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def progress_of(args: argparse.Namespace) -> Progress:
    """Return what tells the stages."""
    return Progress(not args.quiet)


def check_input(name: str) -> Path:
    """Refuse what cannot be an h5ad file.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        There is no such file, it must not be read, or it is of another kind.
    """
    path = Path(name)
    if not path.is_file():
        found = "it is a folder" if path.is_dir() else "there is no such file"
        raise FileNotFoundError(f"cannot read {name}: {found}")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"cannot read {name}: no permission")
    import h5py

    if not h5py.is_hdf5(path):
        raise ValueError(f"cannot read {name}: it is no h5ad file")
    return path


def check_output(name: str, suffixes: Sequence[str], *, force: bool) -> Path:
    """Refuse what cannot be written in the end, before any work.

    Raises
    ------
    UsageError
        Unknown suffix.
    FileNotFoundError, FileExistsError, PermissionError
        No such folder; there is something of this name; the folder must not be written to.
    """
    path = Path(os.path.realpath(name))  # a link stays a link
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--output {name}: the name must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {name}: there is no folder {path.parent}")
    if path.is_dir():
        raise FileExistsError(f"cannot write {name}: it is a folder")
    if path.exists() and not force:
        raise FileExistsError(f"{name} exists; overwrite it with --force")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"cannot write {name}: no permission to write into {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):  # taking its place would not ask
        raise PermissionError(f"cannot write {name}: it is write-protected")
    return path


def read(path: Path, progress: Progress) -> AnnData:
    """Read an h5ad file.

    Raises
    ------
    OSError
        It is damaged; the message names it.
    """
    with progress.stage("reading", str(path)):
        import anndata

        try:
            return anndata.read_h5ad(path)
        except Exception as error:  # of h5py, or of anndata about what it finds in the file
            text = (str(error).splitlines() or [type(error).__name__])[0]
            raise OSError(f"cannot read {path}: it is damaged, or no AnnData ({text})") from error


def write(adata: AnnData, path: Path, progress: Progress) -> None:
    """Write an h5ad file.

    Raises
    ------
    OSError
        It cannot be written; the message names it.
    """
    with progress.stage("writing", str(path)), replaced(path) as beside:
        try:
            adata.write_h5ad(beside)
        except OSError as error:
            # HDF5 crashes when a file that it could not write is let go: it is kept until the process ends.
            unwritten.append(error)
            raise


# Errors of files that HDF5 could not write: the process ends without letting go of them.
unwritten: list[OSError] = []
