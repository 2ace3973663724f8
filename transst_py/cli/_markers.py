"""`transst markers`: `tl.rank_domain_genes` on a file."""

from __future__ import annotations

import argparse

from transst_py import tl
from transst_py._core.atomic import replaced
from transst_py.cli._files import add_output, check_input, check_output, progress_of, read, write
from transst_py.cli._options import add_options, given_options
from transst_py.cli._words import UsageError

__all__ = ["add_arguments", "run"]

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def add_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Add the files, and the options of `tl.rank_domain_genes`."""
    parser.usage = "transst markers INPUT [-o TABLE|-] [--write] [options]"
    parser.add_argument("input", help="h5ad file with domains, as transst fit writes it")
    add_output(parser, tuple(SEPARATORS), required=False, also="; - is standard output, as csv")
    parser.add_argument("--write", action="store_true", help="put the table into the input file, too (uns)")
    add_options(parser, tl.rank_domain_genes)


def run(args: argparse.Namespace) -> str | None:
    """Read, test, and write the table where it is wanted; return it for standard output."""
    if args.output is None and not args.write:
        raise UsageError("nowhere to put the table: give -o, --write or both")
    printed = args.output == "-"
    output = None
    if args.output is not None and not printed:
        output = check_output(args.output, tuple(SEPARATORS), force=args.force)
    path = check_input(args.input)
    input_again = check_output(args.input, (path.suffix,), force=True) if args.write else None
    progress = progress_of(args)
    adata = read(path, progress)
    with progress.stage("markers"):
        table = tl.rank_domain_genes(adata, **given_options(args))
    if output is not None:
        with replaced(output) as beside:
            table.to_csv(beside, sep=SEPARATORS[output.suffix.lower()], index=False)
    if input_again is not None:
        write(adata, input_again, progress)
    return str(table.to_csv(index=False)) if printed else None
