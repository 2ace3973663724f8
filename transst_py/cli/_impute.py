"""`transst impute`: `tl.impute` on a file."""

from __future__ import annotations

import argparse

from transst_py import tl
from transst_py.cli._files import add_output, check_input, check_output, progress_of, read, write
from transst_py.cli._options import add_options, documented, given_options

__all__ = ["add_arguments", "run"]

SUFFIXES = (".h5ad",)


def add_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Add the files, and the options of `tl.impute`."""
    parser.usage = "transst impute INPUT -o FILE [--task densify|fill] [--method NAME] [options]"
    parser.add_argument("input", help="h5ad file. " + documented(tl.impute)["adata"].replace("`", ""))
    add_output(parser, SUFFIXES)
    add_options(parser, tl.impute, leave_out=("verbose",))


def run(args: argparse.Namespace) -> None:
    """Read, impute, write: the finer lattice, or the input with its gaps filled."""
    output = check_output(args.output, SUFFIXES, force=args.force)
    path = check_input(args.input)
    progress = progress_of(args)
    adata = read(path, progress)
    with progress.stage("imputation"):
        finer = tl.impute(adata, verbose=progress.verbose, **given_options(args))
    write(adata if finer is None else finer, output, progress)
