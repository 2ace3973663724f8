"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["replaced", "written_whole"]


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Yield the name of an empty file beside `path`, which takes its place once all is written, and on disk.

    Whatever fails before (a full disk, an interrupt), an older file of that name stays as it was. For what
    opens files by their name; the new name ends like `path`, by which some tell what to write.

    Raises
    ------
    OSError
        It cannot be written; the message names it.
    """
    path = Path(path)
    part = ""
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(handle)
        yield Path(part)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp lets only the owner read: give what any other new file would have.
        os.umask(mask := os.umask(0))
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except OSError as error:
        failure = OSError(f"cannot write {path}: {error.strerror or error}; nothing was changed")
        failure.errno = error.errno
        raise failure from error
    finally:
        if part and os.path.exists(part):
            os.unlink(part)


@contextmanager
def written_whole(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file to write, which takes its name as in `replaced`.

    Raises
    ------
    OSError
        It cannot be written; the message names it.
    """
    with replaced(path) as part, open(part, "wb") as file:
        yield file
