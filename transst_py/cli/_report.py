"""`transst report`: `report` on a file."""

from __future__ import annotations

import argparse

import transst_py
from transst_py.cli._files import add_output, check_input, check_output, progress_of, read
from transst_py.cli._options import add_options, given_options

__all__ = ["add_arguments", "run"]

SUFFIXES = (".html",)


def add_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Add the files, and the options of `report`."""
    parser.usage = "transst report INPUT -o FILE [--imputed FILE] [options]"
    parser.add_argument("input", help="h5ad file that transst fit, or transst impute, wrote")
    parser.add_argument(
        "--imputed", metavar="FILE", help="h5ad file with the finer lattice, from transst impute"
    )
    add_output(parser, SUFFIXES)
    add_options(
        parser, transst_py.report, leave_out=("path", "imputed", "advice"), title="options of the report"
    )


def run(args: argparse.Namespace) -> None:
    """Read, draw, write."""
    output = check_output(args.output, SUFFIXES, force=args.force)
    path = check_input(args.input)
    finer = None if args.imputed is None else check_input(args.imputed)
    progress = progress_of(args)
    adata = read(path, progress)
    imputed = None if finer is None else read(finer, progress)
    with progress.stage("report"):
        transst_py.report(adata, output, imputed=imputed, **given_options(args))
