"""Files are there as a whole or not at all: every write is made to fail in turn."""

from __future__ import annotations

import builtins
import os
import tempfile

import pytest

import transst_py as tst
from transst_py._core.atomic import replaced, written_whole
from transst_py.expression.saved import SavedPasses


def writers(tissue):
    """For every file that the package writes, a function that writes it to a path."""
    target, source = (part.copy() for part in tissue)
    options = {"n_factors": 3, "n_init": 1, "n_folds": 2}
    tst.tl.transst(target, source, source_labels="label", n_domains=2, **options)
    model = tst.TransST(2, n_factors=3, n_init=1).fit(target.X, target.obsp["transst_connectivities"])
    return {
        "page.html": lambda path: tst.report(target, path),
        "model.npz": model.save,
        "pass": lambda path: SavedPasses(path.parent, "x").recall(
            str(path), lambda: target.obsm["spatial"], None
        ),
    }


class Disk:
    """Lets the n-th operation on files fail as on a full disk."""

    def __init__(self, monkeypatch, fails_at):
        self.left = fails_at
        for where, name in ((os, "fsync"), (os, "replace"), (os, "chmod"), (builtins, "open")):
            monkeypatch.setattr(where, name, self.failing(getattr(where, name)))

    def failing(self, operation):
        def operate(*args, **options):
            writes = (operation is not builtins.open and operation.__name__ != "open") or "w" in str(args[1:])
            if writes:
                self.left -= 1
                if self.left == 0:
                    raise OSError(28, "No space left on device")
            return operation(*args, **options)

        return operate


@pytest.mark.parametrize("fails_at", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["page.html", "model.npz", "pass"])
def test_a_write_that_fails_leaves_what_was_there(tissue, tmp_path, monkeypatch, name, fails_at):
    write = writers(tissue)[name]
    path = tmp_path / name
    if name != "pass":
        path.write_bytes(b"older")
    with monkeypatch.context() as patch:
        Disk(patch, fails_at)
        with pytest.raises(OSError, match=r"cannot write .*; nothing was changed") as error:
            write(path)
    assert str(tmp_path) in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ([] if name == "pass" else [name])
    if name != "pass":
        assert path.read_bytes() == b"older"
    write(path)
    assert all(p.stat().st_size > 5 for p in tmp_path.iterdir())


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file.txt"
    with replaced(path) as one, replaced(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to end
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_as_soon_as_the_file_is_made_leaves_nothing(tmp_path, monkeypatch):
    """Signals come between any two steps, also before a function has told what it did."""

    def interrupted(operation):
        def operate(*args, **options):
            operation(*args, **options)
            raise KeyboardInterrupt

        return operate

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", interrupted(tempfile.mkstemp))
        patch.setattr(os, "open", interrupted(os.open))
        with pytest.raises(KeyboardInterrupt), replaced(tmp_path / "file.txt"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_new_files_have_the_usual_rights(tmp_path):
    (tmp_path / "usual").write_text("")
    with written_whole(tmp_path / "ours") as file:
        file.write(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode
