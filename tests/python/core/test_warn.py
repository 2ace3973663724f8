"""Warnings point at the user's line, and belong to their own fit."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import transst_py as tst
from transst_py._core.warn import collected, passed_on, warn


def test_a_warning_points_at_this_file(tissue):
    target, source = (part.copy() for part in tissue)
    source.obs["label"] = source.obs["label"].astype(object)
    source.obs.iloc[0, source.obs.columns.get_loc("label")] = None
    with pytest.warns(UserWarning, match="have no label") as told:
        tst.tl.transst(target, source, source_labels="label", n_domains=3, n_factors=4, n_init=2, n_folds=2)
    assert {one.filename for one in told} == {__file__}


def test_warnings_before_an_error_are_shown(tissue):
    target, _ = tissue
    outside = target.copy()
    outside.obs["in_tissue"] = np.arange(outside.n_obs) > 3
    with (
        pytest.warns(UserWarning, match="4 of .* spots lie outside the tissue"),
        pytest.raises(ValueError, match="graph"),
    ):
        tst.tl.transst(outside, n_domains=3, n_factors=4, graph="no such graph")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="graph"):  # the error, not the warning
            tst.tl.transst(outside, n_domains=3, n_factors=4, graph="no such graph")


def test_each_is_shown_once_and_collections_nest():
    with collected() as outer:
        with passed_on() as inner:
            warn("a")
            warn("a")
            warn("b", FutureWarning)
        warn("c")
    assert [one.text for one in inner] == ["a", "a", "b"]
    assert [(one.text, one.category) for one in outer] == [
        ("a", UserWarning),
        ("b", FutureWarning),
        ("c", UserWarning),
    ]


def test_threads_do_not_hear_each_other():
    heard = {}
    turns = threading.Barrier(8)

    def listen(name):
        with collected() as said:
            turns.wait()
            for _ in range(50):
                warn(name)
        heard[name] = {one.text for one in said}

    threads = [threading.Thread(target=listen, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {str(i): {str(i)} for i in range(8)}
