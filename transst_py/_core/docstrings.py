"""anndata under `python -OO`, which drops all docstrings: anndata 0.12 edits one as it is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

__all__ = ["keep_docstrings_of_anndata"]

MODULE = "anndata._settings"


class _Loader(SourceFileLoader):
    """Compile the source with its docstrings, whatever Python was told; never from or to a cache."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = compile(self.get_data(path), path, "exec", dont_inherit=True, optimize=1)
        return code


class _Finder:
    """Find the one module that needs its docstrings."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for that module with the other loader; None for all other modules."""
        spec = PathFinder.find_spec(name, path, target) if name == MODULE else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def keep_docstrings_of_anndata() -> None:
    """Make anndata importable from now on; nothing to do without `-OO`, or where it is imported already."""
    if sys.flags.optimize > 1:
        sys.meta_path.insert(0, _Finder)
