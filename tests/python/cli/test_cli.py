from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import io
import os
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import transst_py as tst
from transst_py import cli
from transst_py._core import machine as _machine
from transst_py._core.atomic import replaced
from transst_py.cli import COMMANDS, _doctor, _fit, main
from transst_py.cli._options import add_options, documented, given_options
from transst_py.cli._words import in_words

ROOT = Path(__file__).parents[3]
FIT = ["--n-domains", "3", "--n-factors", "4", "--n-init", "2", "--n-folds", "2", "--quiet"]


@pytest.fixture(scope="module")
def _small():
    return tst.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=60, n_domains=3, random_state=3)


@pytest.fixture
def tissue(_small):
    """Simulated (target, source) of 196 spots x 60 genes, fresh for every test."""
    return _small[0].copy(), _small[1].copy()


@pytest.fixture
def folder(tissue, tmp_path, monkeypatch):
    """A folder with target.h5ad and source.h5ad, where the commands run."""
    for name, adata in zip(("target", "source"), tissue, strict=True):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fitted(tissue, tmp_path, monkeypatch):
    """A folder with fit.h5ad: a tissue with known domains, as of a run of `tl.transst`."""
    target, _ = tissue
    target.obs["transst"] = target.obs["label"]
    target.write_h5ad(tmp_path / "fit.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *argv, code, message):
    """The command fails with one line and leaves the folder as it was."""
    before = sorted(os.listdir())
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert sorted(os.listdir()) == before


def test_fit_is_the_python_function(folder, tissue, capsys):
    code = main(
        ["fit", "target.h5ad", "--source", "source.h5ad", "--source-labels", "label", "-o", "out.h5ad", *FIT]
    )
    assert code == 0
    assert capsys.readouterr() == ("", "")
    target, source = tissue
    options = {"n_domains": 3, "n_factors": 4, "n_init": 2, "n_folds": 2}
    tst.tl.transst(target, {"source": source}, source_labels="label", **options)
    found = ad.read_h5ad("out.h5ad")
    assert list(found.obs["transst"]) == list(target.obs["transst"])
    np.testing.assert_array_equal(found.obsm["X_transst"], target.obsm["X_transst"])
    assert sorted(os.listdir()) == ["out.h5ad", "source.h5ad", "target.h5ad"]


def test_fit_tells_its_stages_and_warnings_on_standard_error(folder, capsys):
    options = [*FIT[:-1], "--n-domains", "2:3", "--n-subsamples", "0", "--key", "d", "--n-top-genes", "none"]
    assert main(["fit", "target.h5ad", "-o", "out.h5ad", *options]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    stages = [line.split(" ...")[0] for line in err.splitlines() if line.endswith("...")]
    assert stages[0] == "[transst] reading: target.h5ad"
    assert stages[-1].startswith("[transst] writing: ")
    assert "[transst] spatial mixture: [2, 3] domains" in stages
    assert "transst: warning: the best of the numbers of domains that were tried, 3, is the largest" in err
    record = ad.read_h5ad("out.h5ad").uns["d"]
    assert list(record["n_domains"]["table"]["n_domains"]) == [2, 3]
    assert "n_top_genes" not in record["params"]  # None


@pytest.mark.parametrize(
    ("text", "value"), [("6", 6), ("2:5", [2, 3, 4, 5]), ("2,4,6", [2, 4, 6]), ("5:2", []), ("-1", -1)]
)
def test_numbers_of_domains(text, value):
    assert _fit.numbers(text) == value


@pytest.mark.parametrize("text", ["", "six", "2:3:4", "2.5", "1,"])
def test_bad_numbers_of_domains(text, folder, capsys):
    refused(
        capsys,
        *("fit", "target.h5ad", "-o", "o.h5ad", "--n-domains", text),
        code=2,
        message=f"argument --n-domains: {text!r} is none of 6, 2:10 and 2,4,6",
    )


def test_sources_of_one_name_are_told_apart_by_their_folders(folder):
    (folder / "other").mkdir()
    for place in (".", "other"):
        os.link("source.h5ad", f"{place}/a.h5ad")
    sources = ["--source", "a.h5ad", "other/a.h5ad", "--source-labels", "label"]
    assert main(["fit", "target.h5ad", *sources, "-o", "out.h5ad", *FIT]) == 0
    assert list(ad.read_h5ad("out.h5ad").uns["transst"]["source"]["names"]) == ["a.h5ad", "other/a.h5ad"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"TARGET": "nowhere.h5ad"}, 1, "transst: error: cannot read nowhere.h5ad: there is no such file"),
        ({"TARGET": "."}, 1, "cannot read .: it is a folder"),
        ({"TARGET": "text.h5ad"}, 1, "cannot read text.h5ad: it is no h5ad file"),
        ({"-o": "out.csv"}, 2, "transst: error: --output out.csv: the name must end in .h5ad"),
        ({"-o": "no/out.h5ad"}, 1, "cannot write no/out.h5ad: there is no folder"),
        ({"-o": "source.h5ad"}, 1, "source.h5ad exists; overwrite it with --force"),
        ({"-o": "taken.h5ad"}, 1, "cannot write taken.h5ad: it is a folder"),
        ({"--source": "source.h5ad"}, 2, "--source needs --source-labels"),
        ({"--source-labels": "label"}, 1, "--source-labels was given without --source"),
        ({"--n-domains": "197"}, 1, "--n-domains must lie between 1 and the 196 spots, got 197"),
        ({"--n-factors": "many"}, 2, "argument --n-factors: 'many' is no integer"),
        ({"--n-top-genes": "all"}, 2, "argument --n-top-genes: 'all' is no integer and not 'none'"),
        ({"--graph": "delaunay"}, 1, "--graph: unknown value 'delaunay'"),
        ({"--n-domains": "2 3 4"}, 2, "unrecognized arguments: 3 4; several numbers of domains are"),
        ({"--n-fact": "3"}, 2, "unrecognized arguments: --n-fact 3"),
    ],
)
def test_fit_refuses(change, code, message, folder, capsys):
    (folder / "text.h5ad").write_text("no h5ad")
    (folder / "taken.h5ad").mkdir()
    options = {"TARGET": "target.h5ad", "-o": "out.h5ad", "--n-domains": "3", **change}
    target = options.pop("TARGET")
    refused(
        capsys,
        *("fit", target, "--quiet", *" ".join(f"{name} {value}" for name, value in options.items()).split()),
        code=code,
        message=message,
    )


def test_outputs_are_refused_before_anything_is_read(folder, capsys, monkeypatch):
    monkeypatch.setattr(ad, "read_h5ad", lambda path: pytest.fail("a file was read"))
    refused(
        capsys,
        *("fit", "target.h5ad", "-o", "source.h5ad", *FIT),
        code=1,
        message="source.h5ad exists",
    )


def test_files_without_permission(folder, capsys, monkeypatch):
    fit = ["fit", "target.h5ad", "-o", "out.h5ad", *FIT]
    for refused_mode, message in {os.W_OK: "no permission to write into", os.R_OK: "no permission"}.items():
        monkeypatch.setattr(os, "access", lambda path, mode, refused_mode=refused_mode: mode != refused_mode)
        refused(capsys, *fit, code=1, message=message)


def test_write_protected_file_is_not_replaced(fitted, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK or os.path.isdir(path))
    refused(capsys, "markers", "fit.h5ad", "--write", code=1, message="fit.h5ad: it is write-protected")


def test_failed_run_leaves_the_old_output(fitted, capsys, monkeypatch):
    (fitted / "old.h5ad").write_text("old")

    def fail(adata, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(ad.AnnData, "write_h5ad", fail)
    options = ["--method", "nearest", "--genes", "gene1", "-o", "old.h5ad", "--force", "--quiet"]
    refused(capsys, "impute", "fit.h5ad", *options, code=1, message="old.h5ad: disk full; nothing")
    assert (fitted / "old.h5ad").read_text() == "old"


def test_files_are_replaced_whole_and_links_stay(tmp_path):
    path = tmp_path / "table.csv"
    with replaced(path) as beside:
        beside.write_text("new")
        assert not path.exists()
        assert beside.parent == tmp_path
        assert beside.suffix == ".csv"
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_traceback_is_shown_on_demand(fitted, capsys):
    assert main(["markers", "fit.h5ad", "--key", "none", "-o", "-", "--quiet"]) == 1
    quiet = capsys.readouterr().err
    assert quiet == (
        "transst: error: --key: obs has no column 'none'; it has 'array_row', 'array_col', 'label', "
        "'transst'\n"
    )
    assert main(["markers", "fit.h5ad", "--key", "none", "-o", "-", "--quiet", "--traceback"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith(quiet)


def test_interrupt(fitted, capsys, monkeypatch):
    @functools.wraps(tst.tl.rank_domain_genes)
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tst.tl, "rank_domain_genes", interrupt)
    refused(
        capsys, "markers", "fit.h5ad", "-o", "m.csv", "--quiet", code=130, message="transst: interrupted\n"
    )


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_that_end_the_process_leave_nothing_behind(name, code, fitted, capsys, monkeypatch):
    """As a cluster's queue sends them; the file that is being written goes."""
    number = getattr(signal, name)

    def send(adata, path):
        path.write_text("half")
        signal.raise_signal(number)

    monkeypatch.setattr(ad.AnnData, "write_h5ad", send)
    options = ["--method", "nearest", "--genes", "gene1", "-o", "finer.h5ad", "--quiet"]
    refused(capsys, "impute", "fit.h5ad", *options, code=code, message="transst: terminated\n")
    assert signal.getsignal(number) is signal.SIG_DFL


class Ending:
    """Sends a signal as it ends, where Python drops the exception; the same happens in callbacks of h5py."""

    def __init__(self, name):
        self.number = getattr(signal, name)

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_that_python_drops_comes_again(name, code, fitted, capsys, monkeypatch):
    def write(adata, path):
        path.write_text("half")
        Ending(name)
        for _ in range(1000):
            time.sleep(0.01)

    monkeypatch.setattr(ad.AnnData, "write_h5ad", write)
    options = ["--method", "nearest", "--genes", "gene1", "-o", "finer.h5ad", "--quiet"]
    message = "transst: terminated\n" if name == "SIGTERM" else "transst: interrupted\n"
    refused(capsys, "impute", "fit.h5ad", *options, code=code, message=message)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_that_python_drops_at_the_end_counts(name, code, fitted, capsys, monkeypatch):
    @functools.wraps(tst.tl.rank_domain_genes)
    def end(*args, **options):
        Ending(name)
        return pd.DataFrame({"gene": ["a"]})

    monkeypatch.setattr(tst.tl, "rank_domain_genes", end)
    assert main(["markers", "fit.h5ad", "-o", "-", "--quiet"]) == code
    assert "Traceback" not in capsys.readouterr().err


def run_apart(*argv):
    """Start the command line in a process of its own."""
    command = [sys.executable, "-m", "transst_py", *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def domains_in(path):
    """Number of domains of a fit that was written as a whole."""
    adata = ad.read_h5ad(path)
    assert adata.obs["transst"].notna().all()
    return adata.uns["transst"]["params"]["n_domains"]


STAGES = ["start", "reading", "input", "transfer", "spatial mixture", "writing", "writing", "writing"]


@pytest.mark.parametrize("number", range(len(STAGES)))
def test_a_signal_at_any_time_leaves_nothing_half_done(number, folder):
    """At a random time in each of the stages, which the process tells on standard error."""
    rng = np.random.default_rng(number)
    name, code = (("SIGINT", 130), ("SIGTERM", 143))[number % 2]
    process = run_apart("fit", "target.h5ad", *FIT[:-1], "-o", "out.h5ad")
    if STAGES[number] != "start":
        assert any(line.startswith(f"[transst] {STAGES[number]}") for line in process.stderr)
    time.sleep(rng.uniform(0.0, 2.0 if STAGES[number] == "start" else 0.1))
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert out == ""
    # Before the command line takes over, and after it, the signal ends Python itself; or all is done.
    assert process.returncode in (code, -getattr(signal, name), 0), err
    assert "ignored" not in err
    left = set(os.listdir()) - {"target.h5ad", "source.h5ad"}
    assert left <= {"out.h5ad"}
    if left:
        assert domains_in("out.h5ad") == 3
    else:
        assert process.returncode != 0


def test_two_processes_that_write_one_file(folder):
    command = ["fit", "target.h5ad", *FIT, "-o", "out.h5ad", "--force", "--n-domains"]
    processes = [run_apart(*command, n_domains) for n_domains in ("2", "3")]
    said = [process.communicate(timeout=120) for process in processes]
    for process, (out, err) in zip(processes, said, strict=True):
        # Other packages may have warnings of their own; ours begin with the command's name.
        assert (process.returncode, out, "transst:" in err) == (0, "", False), err
    assert domains_in("out.h5ad") in (2, 3)
    assert sorted(os.listdir()) == ["out.h5ad", "source.h5ad", "target.h5ad"]


def test_ignored_signals_stay_ignored(fitted, monkeypatch):
    """By `nohup`; and only the main thread may set handlers."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    seen = []

    @functools.wraps(tst.tl.rank_domain_genes)
    def look(*args, **options):
        seen.append([signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)])
        return pd.DataFrame({"gene": ["a"]})

    monkeypatch.setattr(tst.tl, "rank_domain_genes", look)
    command = ["markers", "fit.h5ad", "-o", "-", "--quiet"]
    try:
        assert main(command) == 0
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(main, command).result() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert [handlers[0] for handlers in seen] == [signal.SIG_IGN] * 2
    assert seen[0][1] is not signal.SIG_DFL
    assert seen[1][1] is signal.SIG_DFL


def test_markers_as_table_on_standard_output_and_in_the_file(fitted, tissue, capsys):
    expected = tst.tl.rank_domain_genes(tissue[0], method="t").astype({"domain": str})
    for name in ("m.csv", "m.tsv"):
        assert main(["markers", "fit.h5ad", "--method", "t", "-o", name, "--quiet"]) == 0
        table = pd.read_csv(name, sep="\t" if name == "m.tsv" else ",", dtype={"domain": str})
        pd.testing.assert_frame_equal(table, expected, check_exact=False, check_dtype=False)
    assert "transst_markers" not in ad.read_h5ad("fit.h5ad").uns
    capsys.readouterr()
    assert main(["markers", "fit.h5ad", "--method", "t", "-o", "-", "--write"]) == 0
    out, err = capsys.readouterr()
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(out)), pd.read_csv("m.csv"))
    assert "[transst] markers" in err
    assert list(ad.read_h5ad("fit.h5ad").uns["transst_markers"]["gene"]) == list(expected["gene"])


def test_markers_go_somewhere(fitted, capsys):
    refused(capsys, "markers", "fit.h5ad", code=2, message="nowhere to put the table: give -o, --write or")
    refused(capsys, "markers", "fit.h5ad", "-o", "m.xlsx", code=2, message="must end in .csv or .tsv")


def test_impute_densify_and_fill(fitted, tissue, capsys):
    options = ["--method", "nearest", "--quiet"]
    assert main(["impute", "fit.h5ad", "--genes", "gene1", "gene3", "-o", "fine.h5ad", *options]) == 0
    fine = ad.read_h5ad("fine.h5ad")
    expected = tst.tl.impute(tissue[0], method="nearest", genes=["gene1", "gene3"])
    assert list(fine.var_names) == ["gene1", "gene3"]
    np.testing.assert_array_equal(fine.layers["imputed"], expected.layers["imputed"])

    target, _ = tissue
    target.obs["measured"] = np.arange(196) % 7 != 0
    target.write_h5ad("gaps.h5ad")
    assert main(["impute", "gaps.h5ad", "--task", "fill", "-o", "gaps.h5ad", "--force", *options]) == 0
    assert "imputed" in ad.read_h5ad("gaps.h5ad").layers


def test_impute_refuses_options_of_another_method(fitted, capsys):
    message = "--channels is an option of 's2s' and would change nothing here, as --method is 'gp'"
    options = ["--method", "gp", "--channels", "genes", "-o", "x.h5ad", "--quiet"]
    refused(capsys, "impute", "fit.h5ad", *options, code=1, message=message)


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_plot(suffix, fitted):
    name = f"domains.{suffix}"
    assert main(["plot", "fit.h5ad", "--what", "domains", "-o", name, "--no-legend", "--quiet"]) == 0
    start = (fitted / name).read_bytes()[:5]
    assert start in (b"\x89PNG\r", b"%PDF-", b"<?xml")


def test_every_picture_can_be_asked_for(capsys):
    for name in tst.pl.__all__:
        assert main(["plot", "--what", name, "--help"]) == 0
        text = capsys.readouterr().out
        plain = {
            option
            for option, parameter in inspect.signature(getattr(tst.pl, name)).parameters.items()
            if parameter.default is None or isinstance(parameter.default, (str, int, float))
        }
        assert "--" + max(plain - {"ax"}, key=len).replace("_", "-") in text


def test_plot_refuses(fitted, capsys):
    refused(capsys, "plot", "fit.h5ad", "--what", "spots", "-o", "x.png", code=2, message="invalid choice")
    refused(
        capsys,
        *("plot", "fit.h5ad", "--what", "imputation", "-o", "x.png"),
        code=2,
        message="the following arguments are required: --gene",
    )
    refused(
        capsys,
        *("plot", "fit.h5ad", "--what", "imputation", "--gene", "gene1", "-o", "x.png"),
        code=1,
        message="has no layer 'imputed'; run `transst impute` first",
    )


def test_report_with_imputed_genes(fitted):
    few = ["--genes", "gene1", "gene2"]
    assert main(["impute", "fit.h5ad", "--method", "nearest", *few, "-o", "finer.h5ad", "--quiet"]) == 0
    assert main(["report", "fit.h5ad", "--imputed", "finer.h5ad", *few, "-o", "page.html", "--quiet"]) == 0
    page = (fitted / "page.html").read_text(encoding="utf-8")
    assert "gene2" in page
    assert "nearest" in page


def test_doctor(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(_doctor, "_r", lambda: {"R": "not on the path"})
    monkeypatch.setenv("TRANSST_DATA_DIR", str(tmp_path))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("Status: ready\n")
    for expected in ("anndata", "threads of torch", tst.__version__, str(tmp_path), "not on the path"):
        assert expected in out
    monkeypatch.setenv("TRANSST_DATA_DIR", "/nowhere/at/all")
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Machine" in err
    assert err.endswith("transst: error: not ready: correct or unset TRANSST_DATA_DIR\n")


def test_doctor_says_what_to_install(capsys, monkeypatch):
    found = {"anndata": "0.11.9", "torch": "2.10.0+cpu", "rpy2": "3.6.9", "dask": "2024.7.1"}

    def version(name):
        if name not in found:
            raise _doctor.PackageNotFoundError(name)
        return found[name]

    declared = [
        "anndata>=0.12",
        "tqdm",
        "torch>=2.3; extra == 's2s'",
        'dask[array]>=2024.8; extra == "dask"',
        'zarr>=3; extra == "dask"',
        'rpy2<3.7,>=3.6.9; extra == "r"',
        "ruff; extra == 'dev'",
    ]
    monkeypatch.setattr(_doctor, "version", version)
    monkeypatch.setattr(_doctor, "requires", lambda name: declared)
    monkeypatch.setattr(_doctor, "_r", dict)
    assert main(["doctor"]) == 1
    err = capsys.readouterr().err
    assert "0.11.9, anndata>=0.12 is needed" in err
    assert f"not ready: {sys.executable} -m pip install 'anndata>=0.12' 'tqdm'\n" in err
    assert "2.10.0+cpu\n" in err
    assert "ruff" not in err
    assert "Machine" not in err
    assert "R's objects in Python: " not in err
    assert "2024.7.1, dask[array]>=2024.8 is needed" in err
    assert "read by a cluster: " + f"{sys.executable} -m pip install 'dask[array]>=2024.8' 'zarr>=3'\n" in err


def test_doctor_lists_the_extras(capsys, monkeypatch):
    """None of them is needed."""
    declared = ["numpy", "torch>=2.3; extra == 's2s'", "dask[array]; extra == 'dask'", "rpy2; extra == 'r'"]

    def version(name):
        if name == "numpy":
            return "2.0.0"
        raise _doctor.PackageNotFoundError(name)

    monkeypatch.setattr(_doctor, "version", version)
    monkeypatch.setattr(_doctor, "requires", lambda name: declared)
    monkeypatch.setattr(_doctor, "_r", dict)
    monkeypatch.delenv("TRANSST_DATA_DIR", raising=False)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    pip = f"{sys.executable} -m pip install "
    for title, name, requirement, purpose, end in (
        ("Extra s2s (", "torch", "torch>=2.3", "encoder graph-vae", " (without a GPU, smaller: add --index"),
        ("Extra dask (", "dask", "dask[array]", "read by a cluster", "\n"),
        ("R (", "rpy2", "rpy2", "R's objects in Python", "\n"),
    ):
        assert f"\n{title}optional: " in out
        assert f"\n  {name}  missing, {requirement} is needed\n" in out
        assert f"{purpose}: {pip}'{requirement}'{end}" in out
    assert out.endswith("\nStatus: ready\n")


def test_the_extras_of_the_doctor_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*_doctor.EXTRAS, "r", "dev"} == set(project["optional-dependencies"])


def test_doctor_where_nothing_is_installed(capsys, monkeypatch):
    def requires(name):
        raise _doctor.PackageNotFoundError(name)

    monkeypatch.setattr(_doctor, "requires", requires)
    monkeypatch.setattr(_doctor, "_r", lambda: {"R": "4.5.0", "R package TransST": "not installed"})
    assert main(["doctor"]) == 1
    err = capsys.readouterr().err
    assert "To use TransST in R: see README.md" in err
    assert "not ready: transst-py is not installed, install it: " in err


def test_r_is_asked_for_its_versions(monkeypatch, tmp_path):
    script = tmp_path / "Rscript"
    script.write_text("#!/bin/sh\nprintf 'a greeting\\n4.5.0 \\nnot installed'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _doctor._r() == {"R": f"4.5.0 ({script})", "R package TransST": "not installed"}
    script.write_text("#!/bin/sh\nexit 3\n")
    assert "does not run" in _doctor._r()["R"]
    script.unlink()
    assert _doctor._r() == {"R": "not on the path"}


def test_usage(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"transst {tst.__version__}\n"
    assert main(["cluster"]) == 2
    assert "invalid choice: 'cluster'" in capsys.readouterr().err


def example(
    adata: Any,
    size: int | float = 1,
    *,
    flag: bool = True,
    genes: int | Sequence[str] = 3,
    shares: Sequence[float] = (0.5, 1),
    limit: float | None = 2.0,
    image: bool | str | None = None,
    matrix: np.ndarray | None = None,
) -> None:
    """Show options.

    Parameters
    ----------
    adata
        Not an option.
    size, limit
        With `genes`, up to 100 %.
    flag, image
        Yes or no.
    genes
        Names, or how many.
    shares : sequence
        Numbers,
        on two lines.
    matrix
        Not an option either.

    Returns
    -------
    size
        Nothing.
    """


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["--size", "2"], {"size": 2}),
        (["--size", "2.5", "--no-flag"], {"size": 2.5, "flag": False}),
        (["--genes", "7"], {"genes": 7}),
        (["--genes", "A", "7"], {"genes": ["A", 7]}),
        (["--shares", "1"], {"shares": [1.0]}),
        (["--limit", "none"], {"limit": None}),
        (["--image", "no"], {"image": False}),
        (["--image", "hires"], {"image": "hires"}),
        (["--limit", "1e-3"], {"limit": 0.001}),
    ],
)
def test_options_come_from_the_signature(words, options):
    parser = argparse.ArgumentParser(prog="x")
    add_options(parser, example)
    assert given_options(parser.parse_args(words)) == options
    text = " ".join(parser.format_help().split())
    assert "With --genes, up to 100 %. [1]" in text
    assert "Numbers, on two lines. [0.5 1]" in text
    assert "matrix" not in text


def test_docstrings_describe_every_option():
    assert documented(example)["shares"] == "Numbers, on two lines."
    functions = [tst.tl.transst, tst.tl.impute, tst.tl.rank_domain_genes]
    functions += [getattr(tst.pl, name) for name in tst.pl.__all__]
    for function in functions:
        described = documented(function)
        assert set(described) == set(inspect.signature(function).parameters)
        assert all(described.values())


def test_words():
    words = {"n_domains": "--n-domains", "key": "--key", "graph": "--graph"}
    for python, line in {
        "`n_domains`=4, but": "--n-domains 4, but",
        "use graph='knn'": "use --graph knn",
        "`key`: no": "--key: no",
        "monkey=3 `keys`": "monkey=3 `keys`",
        "run `tl.transst` or transst_py.tl.impute first": "run `transst fit` or `transst impute` first",
    }.items():
        assert in_words(python, words) == line


def test_entry_point(folder):
    """Imports nothing that takes time before it knows the command."""
    command = [sys.executable, "-W", "error", "-m", "transst_py"]
    asked = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert asked.stdout == f"transst {tst.__version__}\n"
    code = "import sys, transst_py.cli; print(*sorted({'anndata', 'numpy', 'torch'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "\n"


def without_docstrings(*args):
    command = [sys.executable, "-OO", "-m", "transst_py", *args]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_without_docstrings(folder):
    """The domains are the same."""
    done = without_docstrings("fit", "target.h5ad", *FIT, "-o", "without.h5ad")
    assert done.stdout == ""
    assert "transst: " not in done.stderr
    assert main(["fit", "target.h5ad", *FIT, "-o", "with.h5ad"]) == 0
    found, expected = (ad.read_h5ad(f"{name}.h5ad").obs["transst"] for name in ("without", "with"))
    assert found.tolist() == expected.tolist()


def test_help_without_docstrings(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["fit", "--help"]) == 0
    assert without_docstrings("fit", "--help").stdout == capsys.readouterr().out


def test_help_without_docstrings_and_source(monkeypatch):
    """There is nothing to say then, and the options work."""

    def nothing(*_):
        raise OSError

    monkeypatch.setattr(inspect, "getdoc", lambda _: None)
    assert documented(example)["shares"] == "Numbers, on two lines."
    monkeypatch.setattr(inspect, "getsource", nothing)
    assert documented(example)["shares"] == ""
    parser = argparse.ArgumentParser(prog="x")
    add_options(parser, example)
    assert given_options(parser.parse_args(["--size", "2"])) == {"size": 2}


def test_missing_package(capsys, monkeypatch):
    monkeypatch.setattr(cli, "import_module", lambda name: importlib.import_module("no_such_package"))
    assert main(["fit"]) == 1
    assert capsys.readouterr().err == (
        "transst: error: No module named 'no_such_package'; `transst doctor` says what to install\n"
    )


def test_reader_that_stops_early(fitted, monkeypatch):
    class Closed(io.StringIO):
        def fileno(self):
            return spare

        def flush(self):
            raise BrokenPipeError

    spare = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["markers", "fit.h5ad", "-o", "-", "--quiet"]) == 1
    os.close(spare)


def test_one_line_a_warning(fitted, capsys, monkeypatch):
    @functools.wraps(tst.tl.rank_domain_genes)
    def warn(*args, **options):
        for category in (UserWarning, UserWarning, FutureWarning):
            warnings.warn("`key`:\n twice", category, stacklevel=2)
        return pd.DataFrame({"gene": ["a"]})

    monkeypatch.setattr(tst.tl, "rank_domain_genes", warn)
    assert main(["markers", "fit.h5ad", "-o", "-", "--quiet"]) == 0
    assert capsys.readouterr() == ("gene\na\n", "transst: warning: --key: twice\n")


def test_a_full_disk_is_an_error_and_leaves_nothing(folder):
    """The limit on the size of a file stands for a full disk; HDF5 crashes after such an error."""
    before = sorted(path.name for path in folder.iterdir())
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    code += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    code += "from transst_py.cli import console; sys.exit(console())"
    command = ["fit", "target.h5ad", *FIT, "-o", "new.h5ad"]
    # -B: Python would keep what it compiles, cut off at the limit.
    run = subprocess.run([sys.executable, "-B", "-c", code, *command], capture_output=True, text=True)
    assert run.returncode == 1, run.stderr
    assert "transst: error: cannot write" in run.stderr
    assert "new.h5ad" in run.stderr
    assert sorted(path.name for path in folder.iterdir()) == before


limits_memory = pytest.mark.skipif(
    sys.platform != "linux" or not _machine._openblas_of_scipy(), reason="another system, or another BLAS"
)


def run_within(megabytes, *argv, threads="1"):
    """Run the command line with a limit on address space."""
    code = f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20,) * 2); "
    code += "from transst_py.cli import console; sys.exit(console())"
    command = [sys.executable, "-c", code, *argv]
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@limits_memory
def test_a_limit_on_memory_is_told_before_it_is_met(folder):
    """OpenBLAS would ask for memory for ever, also after SIGTERM."""
    command = ["fit", "target.h5ad", *FIT, "-o", "out.h5ad"]
    run = run_within(420, *command)
    assert run.returncode == 1
    assert run.stderr == (
        "transst: error: no more than 420 MB of memory may be used (`ulimit -v`, or the queue's limit), but "
        "the numerical libraries alone need 450 MB with 1 thread; raise the limit\n"
    )
    assert run_within(2000, *command).returncode == 0


@limits_memory
def test_data_that_leave_no_memory_do_not_keep_openblas_waiting():
    code = """if True:
        import resource, scipy.linalg, numpy as np
        from pathlib import Path
        from transst_py._core.machine import claim_blas_memory
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, -1))
        claim_blas_memory()
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (8 << 20), -1))
        scipy.linalg.eigh(np.eye(60))
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_limit_on_memory_counts_threads(monkeypatch):
    monkeypatch.setattr(_machine, "_limit", lambda: 600)
    monkeypatch.setattr(_machine, "_openblas_of_scipy", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(128)), raising=False)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    for threads, needed in (("4", 693), ("all", 5553)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        message = f"need {needed} MB with .* threads; .* set OPENBLAS_NUM_THREADS=1, which needs 450 MB"
        with pytest.raises(MemoryError, match=message):
            _machine.check_address_space()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    _machine.check_address_space()
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    monkeypatch.setattr(_machine, "_openblas_of_scipy", lambda: False)
    _machine.check_address_space()


def test_a_damaged_file_is_named(folder, capsys):
    path = folder / "target.h5ad"
    path.write_bytes(path.read_bytes()[:3000])
    assert main(["fit", "target.h5ad", *FIT, "-o", "new.h5ad"]) == 1
    assert "cannot read target.h5ad: it is damaged, or no AnnData" in capsys.readouterr().err
