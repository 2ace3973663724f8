"""The command line `transst`: what `tl` and `pl` do, over h5ad files.

Progress and warnings go to standard error, tables to standard output only when asked (`-o -`). Exit codes:
0 all is well, 1 the run failed, 2 wrong usage, 130 interrupted, 143 terminated (129 as the terminal closed).
"""

from __future__ import annotations

import _thread
import argparse
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from typing import Any

from transst_py import __version__
from transst_py._core.machine import check_address_space, claim_blas_memory
from transst_py._core.messages import DEVELOPERS_ONLY, error_message
from transst_py.cli._files import unwritten
from transst_py.cli._words import UsageError, in_words

__all__ = ["main"]

# Each is a module of this package with `add_arguments(parser, argv)` and `run(args)`, which returns text to
# print, or None.
COMMANDS = {
    "fit": "find spatial domains",
    "markers": "test every gene in every domain",
    "impute": "predict expression between spots, or at spots without a measurement",
    "plot": "draw domains, imputed genes and how the fit went",
    "report": "put all results on one HTML page",
    "doctor": "what is installed, what computes, and what to do if something is missing",
}

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
# What queues and closing terminals send; Python would die without cleaning up.
ENDING = ("SIGTERM", "SIGHUP")


class _Terminated(SystemExit):
    """The process is told to end, by the signal of this number."""


def console() -> int:
    """Run the command line as a process of its own, which ends here."""
    code = main()
    # All is done: let an interrupt end Python at once, not in the middle of its own end, with a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if unwritten:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments after the name of the program; None: those of the process.

    Returns
    -------
    The exit code.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = argparse.Namespace(words={}, traceback=False)
    try:
        _, unknown = _parser(argv).parse_known_args(argv, args)
        _refuse(unknown, argv)
        with _cleaning_up(), _shown_warnings(args.words), redirect_stdout(sys.stderr):
            claim_blas_memory()
            text = args.run(args)
        return _print(text) if text else 0
    except _Terminated as end:
        print("transst: terminated", file=sys.stderr)
        return 128 + int(end.code or 0)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    except UsageError as error:
        _say("error", str(error), args.words)
        return WRONG_USAGE
    except KeyboardInterrupt:
        print("transst: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if args.traceback:
            traceback.print_exc()
        _say("error", _described(error), args.words)
        return FAILED


def _refuse(unknown: list[str], argv: list[str]) -> None:
    """Say of arguments that no option takes what may have been meant."""
    if not unknown:
        return
    message = f"unrecognized arguments: {' '.join(unknown)}"
    after = argv[argv.index("--n-domains") + 2 :] if "--n-domains" in argv else []
    if after and after[0].isdigit():
        message += "; several numbers of domains are one word: --n-domains 2,4,6 or 2:10"
    raise UsageError(message)


def _described(error: Exception) -> str:
    message = error_message(error) or type(error).__name__
    return f"{message}; `transst doctor` says what to install" if isinstance(error, ImportError) else message


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    """Make the parser, with the options of the command that is called only."""
    parser = argparse.ArgumentParser(
        prog="transst",
        description="Spatial domains, their marker genes and imputed expression, over h5ad files.",
        epilog="`transst COMMAND --help` lists the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"transst {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    called = next((word for word in argv if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, allow_abbrev=False)
        if name == called:
            command.description = summary[0].upper() + summary[1:] + "."
            check_address_space()
            module = import_module(f"{__name__}._{name}")
            command.set_defaults(run=module.run, words={})
            module.add_arguments(command, argv)
            command.add_argument("--traceback", action="store_true", help="show where an error happened")
    return parser


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """Make an exception of the signals that end a process, so that no half-written file stays behind."""

    def end(number: int, _: Any) -> None:
        raise _Terminated(number)

    # Only the main thread has a say in this; and `nohup` has ignored a signal for good.
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    mine = threading.current_thread() is threading.main_thread()
    changed = [number for number in numbers if mine and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, end)
    try:
        with _heard_again() if mine else nullcontext():
            yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _heard_again() -> Iterator[None]:
    """Let a signal come again whose exception was dropped.

    Python drops what is raised while an object ends, or in a callback then, of which h5py has many.
    """
    before = sys.unraisablehook
    waiting: list[signal.Signals] = []
    timers: list[threading.Timer] = []

    def again() -> None:
        _thread.interrupt_main(waiting.pop())

    def dropped(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, (KeyboardInterrupt, _Terminated)):
            before(unraisable)
            return
        waiting.append(signal.Signals(getattr(unraisable.exc_value, "code", signal.SIGINT)))
        timers.append(threading.Timer(0.01, again))
        timers[-1].start()

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:
            timer.cancel()
            timer.join()
    if waiting:
        signal.raise_signal(waiting.pop())


@contextmanager
def _shown_warnings(words: Mapping[str, str]) -> Iterator[None]:
    """Print every warning for users once, as one line."""
    seen = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if not issubclass(category, DEVELOPERS_ONLY) and str(message) not in seen:
            seen.add(str(message))
            _say("warning", str(message), words)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield


def _say(kind: str, message: str, words: Mapping[str, str]) -> None:
    print(f"transst: {kind}: {in_words(' '.join(message.split()), words)}", file=sys.stderr)


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `transst markers ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return 0
