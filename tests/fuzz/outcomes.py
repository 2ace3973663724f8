"""What comes of a case: a documented refusal with its objects as they were, a valid result, or neither."""

from __future__ import annotations

import os
import re
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import HealthCheck, given, settings

__all__ = ["OUTCOMES", "Refused", "call", "fuzz", "require"]

# By function and outcome.
OUTCOMES: Counter[tuple[str, str]] = Counter()
# Cases over all functions of a longer run, which goes on after an unclean one and prints the table.
TOTAL = int(os.environ.get("TRANSST_FUZZ_CASES", "0"))

DOCUMENTED = (TypeError, ValueError, KeyError, OSError, ImportError)
# An argument in backticks, or a slot of the object.
NAMES_ITS_CAUSE = re.compile(r"`[a-z_A-Z]+|\b(obs|obsm|obsp|uns|var|layers)\[|\badata\b")
# Words of scikit-learn that its own users know, of arrays that are named X or of parameters.
ACCEPTED = re.compile(
    r"Input \S+ contains|Found array with|Reshape your data|^X has \d+ features|feature names should match|"
    r"Feature names are only supported|could not convert string to float|Complex data not supported|"
    r"Expected 2D array|A single label|[Ss]parse data was passed|dtype='numeric'|y should be a 1d array|"
    r"number of (domains|spots)|at least two are needed|Found input variables|"
    r"^expression values must be numbers|all spots lie on one line of the lattice|"
    r"measured spot\(s\); imputation needs|unexpected keyword argument|cannot be passed to R"
)


class Unclean(AssertionError):
    """Neither a documented refusal nor a valid result."""


class Refused(Exception):
    """The call raised what its documentation says; nothing more can be asked of the case."""


def require(condition: Any, what: str) -> None:
    """Raise where a result is not valid."""
    if not condition:
        raise Unclean(f"invalid result: {what}")


def call(function: Callable[..., Any], *arguments: Any, watched: tuple[Any, ...] = (), **options: Any) -> Any:
    """Call; a documented exception ends the case, if what is watched is as it was, bit by bit."""
    before = [state(one) for one in watched]
    try:
        return function(*arguments, **options)
    except Exception as error:
        changed = [i for i, one in enumerate(watched) if state(one) != before[i]]
        if changed:
            raise Unclean(
                f"changed by a failed call: {[type(watched[i]).__name__ for i in changed]}"
            ) from error
        message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        clear = NAMES_ITS_CAUSE.search(message) or ACCEPTED.search(message)
        if isinstance(error, DOCUMENTED) and not isinstance(error, np.linalg.LinAlgError) and clear:
            raise Refused(type(error).__name__) from error
        raise Unclean(f"{type(error).__name__}: {message[:300]} at {_place(error)}") from error


def _place(error: BaseException) -> str:
    """File and line of this package where it happened."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "transst_py" in f.filename]
    return f"{frames[-1].filename.rpartition('transst_py/')[2]}:{frames[-1].lineno}" if frames else "?"


def state(value: Any) -> Any:
    """What can be compared: equal if and only if the values are, in type and bits."""
    if isinstance(value, AnnData):
        X = None if value.X is None else state(value.X)
        slots = {
            name: state(dict(getattr(value, name))) for name in ("layers", "obsm", "varm", "obsp", "uns")
        }
        return "AnnData", value.is_view, X, state(value.obs), state(value.var), slots
    if isinstance(value, pd.DataFrame):
        columns = [state(value.iloc[:, j]) for j in range(value.shape[1])]
        return "DataFrame", list(map(repr, value.columns)), state(value.index.to_series()), columns
    if isinstance(value, pd.Series):
        levels = list(value.cat.categories) if hasattr(value, "cat") else None
        return str(value.dtype), repr(levels), [repr(one) for one in value.tolist()]
    if sp.issparse(value):
        value = value if hasattr(value, "indptr") else value.tocsr()
        parts = state(value.data), state(value.indices), state(value.indptr)
        return value.format, isinstance(value, sp.sparray), value.shape, parts  # a view has a type of its own
    if isinstance(value, np.ndarray):
        held = list(map(repr, value.ravel())) if value.dtype.hasobject else value.tobytes()
        return value.dtype.str, value.shape, held
    if isinstance(value, Mapping):
        return {repr(key): state(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [state(one) for one in value]
    if is_dataclass(value):
        return state(vars(value))
    return repr(value)


def fuzz(
    name: str, cases: Any, *, few: int, share: float
) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Make a test of what is done with one case: `few` cases, always the same, or a share of `TOTAL`."""
    n_cases = max(round(share * TOTAL), 1) if TOTAL else few

    def decorate(run: Callable[[Any], None]) -> Callable[[], None]:
        unclean: dict[str, str] = {}

        @settings(
            max_examples=n_cases,
            derandomize=not TOTAL,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def every(case: Any) -> None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    run(case)
                outcome = "valid result"
            except Refused as refused:
                outcome = str(refused)
            except Exception as error:
                text = str(error) if isinstance(error, Unclean) else f"{type(error).__name__}: {error}"
                outcome = "unclean"
                if outcome == "unclean" and not TOTAL:
                    raise
                if outcome == "unclean":
                    unclean.setdefault(text, repr(case))
            OUTCOMES[name, outcome] += 1

        @wraps(run)
        def test() -> None:
            every()
            if unclean:
                pytest.fail("\n".join(f"{text}\n    {case}" for text, case in unclean.items()), pytrace=False)

        vars(test).pop("__wrapped__")  # pytest would ask for a fixture named `case`
        return test

    return decorate
