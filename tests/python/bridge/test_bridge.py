"""The bridge from Python's side: R is started in this process.

Needs rpy2, anndata2ri and the R package TransST in R's library; R's own tests cover the other direction.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import transst_py as tst

ROOT = Path(__file__).parents[3]


def test_importing_the_package_and_the_bridge_starts_no_r():
    code = (
        "import sys, transst_py.bridge; sys.exit(any('rpy2' in m or 'anndata2ri' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_rpy2_is_an_error_that_says_what_to_install():
    code = (
        "import sys; sys.modules['rpy2'] = None\n"
        "from transst_py.bridge import from_r\n"
        "try: from_r('x')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'transst-py[r]'" in done.stdout


def test_r_asks_for_the_packages_that_pyproject_asks_for():
    source = (ROOT / "R" / "python-environment.R").read_text(encoding="utf-8")
    block = source[source.index(".REQUIREMENTS") : source.index(".python <-")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r'= "([^"]+)"', block)) == {
        *project["dependencies"],
        *project["optional-dependencies"]["r"],
        *project["optional-dependencies"]["s2s"],
    }


def test_versions_of_both_halves_are_equal():
    description = (ROOT / "DESCRIPTION").read_text(encoding="utf-8")
    assert f"Version: {tst.__version__}\n" in description


@pytest.fixture(scope="module")
def ri():
    pytest.importorskip("anndata2ri", reason="the bridge needs the extra transst-py[r]")
    from transst_py.bridge._session import r_session

    session = r_session()
    with session.conversion():
        there = session.interface.evalr('requireNamespace("TransST", quietly = TRUE)')[0]
    if not there:
        pytest.skip("the R package TransST is not installed in R's library")
    return session.interface


@pytest.fixture
def adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.5, (12, 5)))
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(["b", None, "é"] * 4, categories=["é", "b"]),
            "flag": [True, False] * 6,
            "maybe": pd.array([True, None, False] * 4, dtype="boolean"),
            "whole": np.arange(12),
            "number": np.linspace(0, 1, 12),
        },
        index=[f"spot {i}" for i in range(12)],
    )
    var = pd.DataFrame({"kind": pd.Categorical(["x"] * 5)}, index=["Größe", "g1", "g2", "g3", "g4"])
    obsm = {"spatial": rng.random((12, 2)), "X_pca": rng.random((12, 3))}
    return ad.AnnData(counts.astype(np.float32), obs, var, obsm=obsm, layers={"dense": rng.random((12, 5))})


def test_there_and_back(ri, adata):
    back = tst.bridge.from_r(tst.bridge.to_r(adata))
    assert sp.issparse(back.X)
    np.testing.assert_array_equal(back.X.toarray(), adata.X.toarray())
    np.testing.assert_array_equal(back.layers["dense"], adata.layers["dense"])
    np.testing.assert_array_equal(back.obsm["spatial"], adata.obsm["spatial"])
    np.testing.assert_array_equal(back.obsm["X_pca"], adata.obsm["X_pca"])
    assert back.uns["X_name"] == "counts"
    assert list(back.var_names) == list(adata.var_names)
    columns = list(adata.obs.columns)
    pd.testing.assert_frame_equal(back.obs[columns], adata.obs, check_categorical=True)


def test_what_is_odd_in_a_table_comes_back(ri, adata):
    adata.obs = pd.DataFrame(
        {
            "self": np.arange(12.0),
            "stage": pd.Categorical(["lo", "hi", None] * 4, categories=["lo", "hi"], ordered=True),
            "text": ["", None, "ü"] * 4,
            "nothing": pd.Categorical([None] * 12, categories=[]),
            "large": np.arange(12) + 2**40,
        },
        index=adata.obs_names,
    )
    back = tst.bridge.from_r(tst.bridge.to_r(adata)).obs[list(adata.obs)]
    pd.testing.assert_frame_equal(
        back.drop(columns=["large", "nothing"]), adata.obs[["self", "stage", "text"]]
    )
    assert list(back["large"]) == list(adata.obs["large"])  # a double: R has no integers of this size
    assert back["nothing"].isna().all()


def test_the_users_own_copy_is_writable_and_r_s_object_stays(ri, adata):
    ri.globalenv["mine"] = tst.bridge.to_r(adata)
    own = tst.bridge.from_r("mine")
    own.X.data[:] = -1
    own.layers["dense"][:] = -1
    np.testing.assert_array_equal(tst.bridge.from_r("mine").X.toarray(), adata.X.toarray())


def test_entries_in_any_order_arrive_in_r_and_stay_as_they_were(ri, adata):
    X = adata.X.copy()
    X.indices[: X.indptr[1]] = X.indices[: X.indptr[1]][::-1].copy()
    X.data[: X.indptr[1]] = X.data[: X.indptr[1]][::-1].copy()
    X.has_sorted_indices = X.has_canonical_format = False
    before = X.indices.copy()
    adata.X = X
    back = tst.bridge.from_r(tst.bridge.to_r(adata))
    np.testing.assert_array_equal(back.X.toarray(), X.toarray())
    np.testing.assert_array_equal(X.indices, before)


def test_text_with_a_zero_character_is_refused(ri, adata):
    adata.obs["text"] = ["a\0b"] * 12
    with pytest.raises(ValueError, match=r"cannot be passed to R; remove it"):
        tst.bridge.to_r(adata)


def test_a_variable_of_r_by_its_name(ri, adata):
    ri.globalenv["mine"] = tst.bridge.to_r(adata)
    assert tst.bridge.from_r("mine").shape == adata.shape
    with pytest.raises(KeyError, match="no variable 'yours'"):
        tst.bridge.from_r("yours")


def test_another_assay_can_be_x(ri, adata):
    other = tst.bridge.from_r(tst.bridge.to_r(adata), assay="dense")
    np.testing.assert_array_equal(other.X, adata.layers["dense"])
    np.testing.assert_array_equal(other.layers["counts"].toarray(), adata.X.toarray())


def test_a_seurat_object(ri, adata):
    ri.globalenv["spe"] = tst.bridge.to_r(adata)
    seurat = ri.evalr(
        "local({ m <- SummarizedExperiment::assay(spe, 'counts'); rownames(m)[1] <- 'g0'; "
        "suppressWarnings(SeuratObject::CreateSeuratObject(m)) })"
    )
    converted = tst.bridge.from_r(seurat)
    np.testing.assert_array_equal(converted.X.toarray(), adata.X.toarray())
    assert "spatial" not in converted.obsm


def test_an_object_of_another_class_is_refused_with_the_classes_there_are(ri):
    with pytest.raises(TypeError, match=r"SpatialExperiment, .* or Seurat object, got matrix"):
        tst.bridge.from_r(ri.evalr("matrix(0, 2, 2)"))


def test_a_missing_r_package_is_an_error_that_says_what_to_install(ri, tmp_path):
    code = (
        "from transst_py.bridge import from_r\n"
        "import rpy2.rinterface as ri; ri.initr()\n"
        "try: from_r(ri.evalr('1'))\n"
        "except ImportError as error: print(error)"
    )
    env = {**os.environ, "R_LIBS": str(tmp_path), "R_ENVIRON_USER": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env, cwd=tmp_path
    )
    if not done.stdout and not done.stderr:
        pytest.skip("the R package TransST is in a library of the system")
    assert "needs the R package TransST" in done.stdout
    assert "R_LIBS" in done.stdout


def test_ctrl_c_is_python_s_again_after_r_was_attached(ri):
    import signal

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_view_keeps_r_memory_alive_and_is_read_only(ri):
    from transst_py.bridge._memory import r_array

    view = r_array(ri.evalr("matrix(as.double(1:6), 2)"))
    ri.evalr("{ for (i in 1:20) x <- runif(1e5); gc() }")
    np.testing.assert_array_equal(view, [[1, 3, 5], [2, 4, 6]])
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 9.0
    assert r_array(ri.evalr("matrix(0, 0, 2)")).shape == (0, 2)


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (3, 0)])
@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_a_matrix_goes_to_r_transposed(ri, shape, make):
    from transst_py.bridge._memory import r_array, r_matrix

    X = np.arange(6.0)[: shape[0] * shape[1]].reshape(shape)
    dense = ri.baseenv["as.matrix"](r_matrix(make(X)))
    np.testing.assert_array_equal(r_array(dense), X.T)


def test_unsorted_and_doubled_entries_are_put_in_order_without_touching_the_input(ri):
    from transst_py.bridge._memory import r_array, r_matrix

    X = sp.csr_matrix((np.array([1.0, 2.0, 4.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    np.testing.assert_array_equal(r_array(ri.baseenv["as.matrix"](r_matrix(X))), [[2.0], [5.0]])
    assert X.nnz == 3


def test_what_r_is_told_of_an_error():
    from transst_py.bridge._serve import answer

    told = answer("transst", {"n_domains": 3, "no_such_option": 1})
    assert set(told) == {"error", "warnings"}
    assert told["error"]["classes"][-1] == "Exception"
    assert "Traceback" in told["error"]["traceback"]


def test_an_interrupt_is_not_swallowed(monkeypatch):
    from transst_py.bridge import _serve

    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(_serve._TASKS, "transst", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _serve.answer("transst", {})


def test_warnings_for_users_are_collected_once_and_those_for_developers_dropped(monkeypatch):
    import warnings

    from transst_py.bridge import _serve

    def noisy(options):
        for _ in range(2):
            warnings.warn("look here", UserWarning, stacklevel=1)
        warnings.warn("old api", FutureWarning, stacklevel=1)
        return 7

    monkeypatch.setitem(_serve._TASKS, "transst", noisy)
    assert _serve.answer("transst", {}) == {"value": 7, "warnings": ["look here"]}


def test_records_become_plain_values():
    from transst_py.bridge._serve import _plain

    record = {1: np.float64(2.5), "a": np.arange(3), "b": {"c": (np.int64(1), "x")}, "m": np.eye(2)}
    plain = _plain(record)
    assert plain["1"] == 2.5
    assert type(plain["1"]) is float
    assert plain["a"] == [0, 1, 2]
    assert plain["b"] == {"c": [1, "x"]}
    np.testing.assert_array_equal(plain["m"], np.eye(2))
