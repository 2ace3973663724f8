"""Find a public file: first in the user's own folder, then in the cache, then on the network."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import pooch

__all__ = ["DATA_DIR_VARIABLE", "DataUnavailableError", "fetch", "read_registry"]

DATA_DIR_VARIABLE = "TRANSST_DATA_DIR"


class DataUnavailableError(OSError):
    """A public file is neither in the user's data folder nor in the cache, and cannot be downloaded."""


def read_registry(name: str) -> dict[str, str]:
    """Read a checksum list shipped with the package.

    Parameters
    ----------
    name
        File name beside this module; one `path sha256` pair a line (the format of `pooch`).

    Returns
    -------
    Relative path -> sha256, in the order of the file.
    """
    lines = files("transst_py.datasets").joinpath(name).read_text(encoding="utf-8").splitlines()
    registry: dict[str, str] = {}
    for line in lines:
        path, sha256 = line.split()
        registry[path] = sha256
    return registry


def fetch(path: str, *, registry: dict[str, str], base_url: str) -> Path:
    """Return a local copy of a public file whose checksum is right.

    Parameters
    ----------
    path
        Relative path, a key of `registry`.
    registry
        Relative path -> sha256.
    base_url
        Address the relative path is appended to, ending in a slash.

    Raises
    ------
    ValueError
        A file is there, but its content is not the published one.
    DataUnavailableError
        The file is nowhere and cannot be downloaded.
    """
    own_copy = _find_in_data_dir(path, registry[path])
    return own_copy if own_copy is not None else _download(path, registry=registry, base_url=base_url)


def _find_in_data_dir(path: str, sha256: str) -> Path | None:
    """Return the verified file below the folder of the environment variable, or None."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise DataUnavailableError(
            f"{DATA_DIR_VARIABLE} is set to {folder!r}, which is no folder; "
            "correct it, or unset it to download"
        )
    candidate = Path(folder) / path
    if not candidate.is_file():
        return None
    found = pooch.file_hash(str(candidate), alg="sha256")
    if found != sha256:
        raise ValueError(
            f"{candidate} is not the published file: sha256 {found} found, {sha256} expected; "
            "replace the file, or remove it to download a good copy"
        )
    return candidate


def _download(path: str, *, registry: dict[str, str], base_url: str) -> Path:
    """Return the file from the cache, downloading it when it is not there yet."""
    cache = pooch.create(path=pooch.os_cache("transst"), base_url=base_url, registry=registry)
    try:
        return Path(cache.fetch(path))
    except OSError as error:  # every exception of `requests` is an OSError
        raise DataUnavailableError(
            f"cannot get {path} from {base_url} ({error}). Connect to the network, or download the file "
            f"elsewhere and set {DATA_DIR_VARIABLE} to a folder that holds it under the same relative path; "
            "`simulated_tissue()` needs neither"
        ) from error
