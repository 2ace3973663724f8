"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["written_whole"]


@contextmanager
def written_whole(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file to write, which takes its name only once everything is on disk.

    Whatever fails before (a full disk, an interrupt), an older file of that name stays as it was.

    Raises
    ------
    OSError
        It cannot be written; the message names it.
    """
    path = Path(path)
    part = ""
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets only the owner read: give what any other new file would have.
        os.umask(mask := os.umask(0))
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write {path}: {error.strerror or error}; nothing was changed"
        ) from error
    finally:
        if part and os.path.exists(part):
            os.unlink(part)
