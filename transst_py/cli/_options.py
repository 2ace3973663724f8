"""Options of a command from the signature of the Python function behind it, help from its docstring."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from transst_py.cli._words import flag, in_words

__all__ = ["add_options", "documented", "given_options"]

# In the order in which they are tried.
_UNITS = {bool: "yes|no", int: "INTEGER", float: "NUMBER", str: "TEXT"}
_YES_OR_NO = {"yes": True, "no": False}


def add_options(
    parser: argparse.ArgumentParser,
    function: Callable[..., Any],
    *,
    leave_out: Collection[str] = (),
    names: Mapping[str, str] | None = None,
    title: str = "options of the method",
) -> None:
    """Add an option for every argument that can be written on a command line.

    Parameters
    ----------
    parser
        Gets the options, and the defaults `words` (argument -> option) and `taken` (argument -> whether it
        takes several values, or one that stands for itself).
    function
        With type hints and a numpydoc docstring. Its defaults stay its own: an option that is not given is
        not passed on.
    leave_out
        Arguments that the command sets itself.
    names
        Argument -> name of the option, where they differ.
    title
        Heading of the options in the help.
    """
    hints, described = get_type_hints(function), documented(function)
    parameters = inspect.signature(function).parameters
    forms = {
        name: form
        for name, parameter in parameters.items()
        if name not in leave_out and (form := _form(hints[name], parameter.default)) is not None
    }
    words = {name: flag((names or {}).get(name, name)) for name in forms}
    taken = {name: form.pop("one_will_do", False) for name, form in forms.items()}
    group = parser.add_argument_group(title)
    for name, form in forms.items():
        default = parameters[name].default
        required = default is inspect.Parameter.empty
        group.add_argument(
            words[name],
            dest=name,
            required=required,
            default=argparse.SUPPRESS,
            help=_help(in_words(described[name], words), None if required else default),
            **form,
        )
    parser.set_defaults(words=words, taken=taken)


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that were given on the command line."""
    given = {name: getattr(args, name) for name in args.taken if hasattr(args, name)}
    return {
        name: value[0] if args.taken[name] and len(value) == 1 else value for name, value in given.items()
    }


def documented(function: Callable[..., Any]) -> dict[str, str]:
    """Return what the section "Parameters" of a numpydoc docstring says of each argument."""
    text = _docstring(function)
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    described: dict[str, str] = defaultdict(str)  # nothing where there is no text at all
    for entry in re.split(r"\n(?=\S)", section[1]) if section else []:
        head, *lines = entry.splitlines()
        for name in head.split(":")[0].split(","):
            described[name.strip().lstrip("*")] = " ".join(line.strip() for line in lines).strip()
    return described


def _docstring(function: Callable[..., Any]) -> str:
    """Return the docstring; where `python -OO` has dropped it, from the source; "" without that, too."""
    if (text := inspect.getdoc(function)) is not None:
        return text
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except OSError:
        return ""
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    return ast.get_docstring(definition) or ""


def _form(hint: Any, default: Any) -> dict[str, Any] | None:
    """Return what argparse has to know of a type; None for types that cannot be written as text."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    words = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    parts = (*parts, str) if words else parts
    scalars = [kind for kind in _UNITS if kind in parts or (kind is str and Path in parts)]
    several = [get_args(part)[0] for part in parts if get_origin(part) is Sequence]
    kinds = scalars + [kind for kind in several if kind in _UNITS and kind not in scalars]
    if not kinds:
        return None
    none = NoneType in parts and default is not None
    # What may be chosen is said in place of "TEXT".
    shown = [_UNITS[kind] for kind in kinds if not (words and kind is str)]
    form = {
        "type": _reader(kinds, none),
        "metavar": "|".join([*shown, *words, *["none"] * none]),
    }
    return form | ({"nargs": "+", "one_will_do": bool(scalars)} if several else {})


def _reader(kinds: Sequence[type], none: bool) -> Callable[[str], Any]:
    """Return what turns text into the first of the types that it fits."""

    def read(text: str) -> Any:
        if none and text == "none":
            return None
        for kind in sorted(kinds, key=list(_UNITS).index):
            try:
                return _YES_OR_NO[text] if kind is bool else kind(text)
            except (KeyError, ValueError):
                continue
        wanted = " or ".join(_UNITS[kind].lower() for kind in kinds)
        raise argparse.ArgumentTypeError(f"{text!r} is no {wanted}" + (" and not 'none'" if none else ""))

    return read


def _help(description: str, default: Any) -> str:
    """Return the text of an option; argparse would fill in what follows a percent sign."""
    plain = description.replace("`", "")
    if default is not None and not isinstance(default, bool):
        shown = " ".join(map(str, default)) if isinstance(default, (tuple, list)) else default
        plain += f" [{shown}]"
    return plain.replace("%", "%%")
