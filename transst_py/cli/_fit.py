"""`transst fit`: `tl.transst` on a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from transst_py import tl
from transst_py.cli._files import add_output, check_input, check_output, progress_of, read, write
from transst_py.cli._options import add_options, documented, given_options
from transst_py.cli._words import UsageError

__all__ = ["add_arguments", "run"]

SUFFIXES = (".h5ad",)


def add_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Add the files, and the options of `tl.transst`."""
    described = documented(tl.transst)
    parser.usage = (
        "transst fit TARGET -o FILE [--n-domains K] [--source FILE [FILE ...] --source-labels COLUMN] "
        "[options]"
    )
    parser.add_argument("target", help="h5ad file. " + described["adata"].replace("`", ""))
    parser.add_argument(
        "--source", nargs="+", metavar="FILE", default=[], help="h5ad files with labelled references"
    )
    parser.add_argument(
        "--n-domains",
        type=numbers,
        metavar="K",
        help="number of domains, or several to choose from: 2:10 (both included) or 2,4,6; without it the "
        "classes of a trusted source",
    )
    add_output(parser, SUFFIXES)
    add_options(
        parser,
        tl.transst,
        leave_out=("n_domains", "verbose", "copy"),
        names={"key_added": "key"},
    )
    parser.get_default("words").update(n_domains="--n-domains", source="--source")


def run(args: argparse.Namespace) -> None:
    """Read, fit, write."""
    options = given_options(args)
    if args.source and "source_labels" not in options:
        raise UsageError("--source needs --source-labels, the column with the labels")
    if args.n_domains is None and not args.source:
        raise UsageError("--n-domains is needed: only a labelled --source could tell the number")
    output = check_output(args.output, SUFFIXES, force=args.force)
    target = check_input(args.target)
    sources = [check_input(name) for name in args.source]
    progress = progress_of(args)
    adata = read(target, progress)
    named = dict(zip(_names(sources), [read(path, progress) for path in sources], strict=True))
    tl.transst(adata, named or None, n_domains=args.n_domains, verbose=progress.verbose, **options)
    write(adata, output, progress)


def numbers(text: str) -> int | list[int]:
    """Read one number, a range with both its ends, or a list.

    Raises
    ------
    argparse.ArgumentTypeError
        It is none of them.
    """
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            return list(range(first, last + 1))
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of 6, 2:10 and 2,4,6") from None
    return found[0] if len(found) == 1 else found


def _names(paths: list[Path]) -> list[str]:
    """Name sources after their files, or by their whole paths where these are not different."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
