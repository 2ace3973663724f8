"""`transst plot`: every function of `pl` on a file."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from transst_py import pl
from transst_py._core.atomic import replaced
from transst_py.cli._files import add_output, check_input, check_output, progress_of, read
from transst_py.cli._options import add_options, given_options

__all__ = ["add_arguments", "run"]

SUFFIXES = (".png", ".pdf", ".svg")


def add_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """Add the files, and the options of the picture that is asked for."""
    parser.usage = "transst plot INPUT --what PICTURE -o FILE [options]"
    parser.epilog = "`transst plot --what PICTURE --help` lists the options of a picture."
    parser.add_argument("input", help="h5ad file that transst fit, or transst impute, wrote")
    parser.add_argument("--what", required=True, choices=sorted(pl.__all__), help="picture to draw")
    parser.add_argument("--dpi", type=int, default=150, help="dots per inch of a png [150]")
    add_output(parser, SUFFIXES)
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    asked.add_argument("--what")
    name = asked.parse_known_args(argv)[0].what
    if name in pl.__all__:
        add_options(parser, getattr(pl, name), title="options of the picture")


def run(args: argparse.Namespace) -> None:
    """Read, draw, write."""
    output = check_output(args.output, SUFFIXES, force=args.force)
    path = check_input(args.input)
    progress = progress_of(args)
    adata = read(path, progress)
    with progress.stage(f"drawing {args.what}"):
        drawn = getattr(pl, args.what)(adata, **given_options(args))
        with replaced(output) as beside:
            _figure(drawn).savefig(beside, dpi=args.dpi)


def _figure(drawn: Any) -> Any:
    """Return the figure of Axes, or of an array of them."""
    return np.atleast_1d(np.asarray(drawn, dtype=object)).flat[0].figure
