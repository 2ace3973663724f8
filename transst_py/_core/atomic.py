"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import secrets
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
    # Its name is known before it is made, since an interrupt may come between any two steps.
    part = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        # Until now only the owner could read it: give it the rights that any other new file would have.
        os.umask(mask := os.umask(0))
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except OSError as error:
        failure = OSError(f"cannot write {path}: {error.strerror or error}; nothing was changed")
        failure.errno = error.errno
        raise failure from error
    finally:
        if os.path.exists(part):
            part.unlink()


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
