"""Results of passes over the rows, kept in a folder, so that a fit that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transst_py._core.atomic import written_whole

__all__ = ["SavedPasses"]


@dataclass(frozen=True)
class SavedPasses:
    """A folder with one file for each pass, named by what was read and what was computed.

    Attributes
    ----------
    folder
        Where they are; it must exist.
    fingerprint
        Of the data: other data, other files.
    """

    folder: Path
    fingerprint: str

    @classmethod
    def of(cls, folder: Path, *arrays: Any) -> SavedPasses:
        """Tell data by some arrays of them."""
        digest = hashlib.sha256()
        for array in map(np.asarray, arrays):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return cls(folder, digest.hexdigest())

    def recall(self, key: Any, compute: Callable[[], Any], kind: Any) -> Any:
        """Return what an earlier fit has computed for this key, or compute and keep it.

        Raises
        ------
        OSError
            The file is damaged, or cannot be written; the message names it.
        """
        digest = hashlib.sha256(pickle.dumps((self.fingerprint, key), protocol=5)).hexdigest()
        path = self.folder / f"pass-{digest[:32]}.npz"
        if path.exists():
            return self._read(path, kind)
        result = compute()
        with written_whole(path) as file:
            np.savez(file, *([result] if kind is None else result.arrays()))
        return result

    def _read(self, path: Path, kind: Any) -> Any:
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = [file[f"arr_{i}"] for i in range(len(file.files))]
        except Exception as error:
            raise OSError(f"{path} cannot be read ({error}); delete it, and its pass is done anew") from error
        return arrays[0] if kind is None else kind.from_arrays(arrays)
