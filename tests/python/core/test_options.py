"""Every option of the model has its type, its choices and its default in one place."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

import transst_py as tst
from transst_py._core import options
from transst_py._core.options import DEFAULTS, choices

PACKAGE = Path(tst.__file__).parent
NAMES = {field.name for field in fields(DEFAULTS)}
# Options of the same name elsewhere, of another meaning: seeds; and counts, markers and networks.
ELSEWHERE = {"random_state", "n_neighbors", "spatial_key", "normalization"}


def literals(hint):
    parts = get_args(hint) if get_origin(hint) is Union or "|" in str(hint) else (hint,)
    return tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))


def test_no_default_is_written_twice():
    twice = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                arguments = node.args.args[len(node.args.args) - len(node.args.defaults) :]
                pairs = [*zip(arguments, node.args.defaults, strict=True)]
                pairs += [*zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
                twice += [
                    f"{path.relative_to(PACKAGE)}: {node.name}({argument.arg})"
                    for argument, default in pairs
                    if argument.arg in NAMES - ELSEWHERE
                    and isinstance(default, ast.Constant)
                    and default.value == getattr(DEFAULTS, argument.arg)
                ]
    assert not twice


@pytest.mark.parametrize("function", [tst.TransST, tst.tl.transst], ids=["TransST", "tl.transst"])
def test_signatures_take_defaults_and_choices_from_there(function):
    signature = inspect.signature(function)
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    shared = NAMES & set(signature.parameters)
    assert len(shared) >= 19
    for name in shared:
        assert signature.parameters[name].default == getattr(DEFAULTS, name), name
        own = get_type_hints(type(DEFAULTS))[name]
        assert set(literals(own)) <= set(literals(hints[name])), name


def test_the_estimators_options_are_those_of_tl():
    model, tl = (inspect.signature(one).parameters for one in (tst.TransST, tst.tl.transst))
    assert set(model) - set(tl) == {"n_components"}
    for name in set(model) & set(tl) - {"verbose"}:
        assert model[name].default == tl[name].default, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, getattr(options, name))
        for name in options.__all__
        if get_origin(getattr(options, name)) is Literal
    ],
)
def test_a_default_can_be_chosen(name, kind):
    of_kind = [field.name for field in fields(DEFAULTS) if get_type_hints(type(DEFAULTS))[field.name] == kind]
    assert of_kind, name
    assert all(getattr(DEFAULTS, field) in choices(kind) for field in of_kind)
