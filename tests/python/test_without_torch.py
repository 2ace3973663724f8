"""What needs torch says so before any work, and all else does without."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import transst_py as tst
from transst_py import cli
from transst_py._core.machine import machine
from transst_py._core.optional import has_torch
from transst_py.imputation.methods import METHODS
from transst_py.model import TransST
from transst_py.tissue.graph import spatial_neighbors
from transst_py.tl import _impute

PACKAGE = Path(tst.__file__).parent
# The network and its parts; `_machine.py` asks torch for the device, where it is there.
IMPORT_TORCH = {
    "imputation/batches.py",
    "imputation/network.py",
    "imputation/training.py",
    "transfer/graph_vae.py",
    "transfer/vae_network.py",
}
COMMAND = "pip install 'transst-py[s2s]'"
LEFT_OUT = {"s2s": "torch is not installed"}
# Neither found nor imported, by anyone.
BLOCK = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *package: None if name == "torch" else find(name, *package)
class Block:
    def find_spec(name, *_):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("blocked", name="torch")
sys.meta_path.insert(0, Block)
"""
OTHERS = [name for name in METHODS if name != "s2s"]


def needs_torch(what):
    return pytest.raises(
        ImportError, match=re.escape(f"{what} needs torch, which is not installed") + ".*s2s"
    )


def run(code, *, blocked=False):
    done = subprocess.run(
        [sys.executable, "-W", "error:::transst_py", "-c", BLOCK * blocked + code],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestImports:
    def test_only_the_network_imports_torch(self):
        found, lazily = set(), set()
        for path in PACKAGE.rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            name = path.relative_to(PACKAGE).as_posix()
            if any(map(imports_torch, tree.body)):
                found.add(name)
            elif any(map(imports_torch, ast.walk(tree))):
                lazily.add(name)
        assert found == IMPORT_TORCH
        assert lazily == {"_core/machine.py"}

    def test_nothing_else_brings_it_along(self):
        code = "import sys, transst_py as tst; tst.tl, tst.pl, tst.bridge, tst.report, tst.TransST;"
        code += "target, source = tst.datasets.simulated_tissue(n_rows=8, n_cols=8, n_genes=40, n_domains=2);"
        code += "tst.tl.transst(target, n_domains=2, n_factors=3, n_init=1);"
        code += "tst.tl.impute(target, method='nearest'); print('torch' in sys.modules)"
        assert run(code).strip() == "False"

    @pytest.mark.needs_torch
    def test_it_is_imported_when_it_is_needed(self):
        assert run("import sys, transst_py as tst; tst.S2SImputer; print('torch' in sys.modules)") == "True\n"

    @pytest.mark.parametrize("blocked", [True, pytest.param(False, marks=pytest.mark.needs_torch)])
    def test_star(self, blocked):
        names = run("from transst_py import *; print(*sorted(dir()))", blocked=blocked).split()
        assert "TransST" in names
        assert ("S2SImputer" in names) is ("GraphVariationalEncoder" in names) is not blocked

    def test_has_torch_does_not_import_it(self):
        code = "import sys; from transst_py._core.optional import has_torch as has;"
        code += "print(has(), 'torch' in sys.modules)"
        assert run(code).split() == [str(has_torch()), "False"]


def gaps(tissue):
    adata = tissue[0][:, :5].copy()
    adata.obs["measured"] = np.arange(adata.n_obs) % 17 > 0
    return adata


def about_torch(caught):
    return [warning for warning in caught if "torch" in str(warning.message)]


def imports_torch(node):
    if isinstance(node, ast.Import):
        return any(name.name.split(".")[0] == "torch" for name in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "torch"


@pytest.mark.usefixtures("no_torch")
class TestRefused:
    @pytest.fixture(autouse=True)
    def _no_work(self, monkeypatch):
        for module, name in ((_impute, "measured_expression"), (_impute, "measured_mask")):
            monkeypatch.setattr(module, name, lambda *_: pytest.fail("work has begun"))

    def test_impute(self, tissue):
        with needs_torch("`method`: 's2s'") as caught:
            tst.tl.impute(tissue[0], method="s2s")
        assert COMMAND in str(caught.value)
        assert "--index-url https://download.pytorch.org/whl/cpu" in str(caught.value)
        assert caught.value.name == "torch"
        with needs_torch("`candidates`: 's2s'"):
            tst.tl.impute(tissue[0], candidates=["nearest", "s2s"])

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"methods": ["nearest", "s2s"]}, "`methods`: 's2s'"),
            ({"methods": ["auto"], "options": {"s2s": {"preset": "lite"}}}, "`options`: 's2s'"),
        ],
    )
    def test_evaluate_imputation(self, tissue, options, what):
        with needs_torch(what):
            tst.tl.evaluate_imputation(tissue[0], **options)

    def test_encoder(self, tissue, monkeypatch):
        monkeypatch.setattr(
            "transst_py.tl._fit.prepare_problem", lambda *_, **__: pytest.fail("work has begun")
        )
        with needs_torch("`encoder`='graph-vae'"):
            tst.tl.transst(tissue[0], n_domains=3, encoder="graph-vae")
        X = np.random.default_rng(0).random((30, 10))
        with needs_torch("`encoder`='graph-vae'"):
            TransST(3, encoder="graph-vae").fit(X, spatial_neighbors(X[:, :2]))

    @pytest.mark.parametrize("name", ["S2SImputer", "GraphVariationalEncoder"])
    def test_estimators(self, name):
        with needs_torch(name):
            getattr(tst, name)

    def test_command_line(self, tissue, tmp_path, capsys):
        tissue[0].write_h5ad(tmp_path / "a.h5ad")
        files = [str(tmp_path / "a.h5ad"), "-o", str(tmp_path / "b.h5ad"), "--quiet"]
        assert cli.main(["impute", *files, "--method", "s2s"]) == 1
        message = capsys.readouterr().err
        assert message.startswith("transst: error: --method: 's2s' needs torch")
        assert COMMAND in message
        assert cli.main(["fit", *files, "--n-domains", "2", "--encoder", "graph-vae"]) == 1
        assert "transst: error: --encoder graph-vae needs torch" in capsys.readouterr().err
        assert not (tmp_path / "b.h5ad").exists()


@pytest.mark.needs_torch
def test_a_saved_network_is_refused(tissue, tmp_path, request):
    target, source = tissue
    graph = spatial_neighbors(target.obsm["spatial"])
    model = TransST(2, n_factors=3, encoder="graph-vae", encoder_options={"n_epochs": 1}, n_init=1)
    X, X_s = target.X.toarray(), source.X.toarray()
    model.fit(X, graph, [(X_s, source.obs["label"].to_numpy())])
    model.save(tmp_path / "model.npz")
    request.getfixturevalue("no_torch")
    with needs_torch("`encoder`='graph-vae'"):
        TransST.load(tmp_path / "model.npz")


@pytest.mark.usefixtures("quick_imputation")
class TestAuto:
    def test_is_the_same_with_and_without_torch(self, tissue, recwarn, request):
        target = tissue[0][:, :20].copy()
        expected = tst.tl.impute(target)
        assert expected.uns["imputation"]["candidates"]["method"].tolist() == OTHERS
        request.getfixturevalue("no_torch")
        found = tst.tl.impute(target)
        for layer in ("imputed", "imputed_sd"):
            np.testing.assert_array_equal(found.layers[layer], expected.layers[layer])
        assert not about_torch(recwarn)

    @pytest.mark.usefixtures("no_torch")
    def test_the_network_is_refused_as_a_candidate(self, tissue):
        with needs_torch("`candidates`: 's2s'"):
            tst.tl.impute(gaps(tissue), task="fill", candidates=["nearest", "s2s"])

    @pytest.mark.needs_torch
    def test_the_network_competes_where_it_is_named(self, tissue):
        adata = gaps(tissue)
        tst.tl.impute(adata, task="fill", candidates=["nearest", "s2s"])
        assert adata.uns["imputation"]["candidates"]["method"].tolist() == ["nearest", "s2s"]


@pytest.mark.usefixtures("quick_imputation", "no_torch")
class TestEvaluateImputation:
    def test_default(self, tissue):
        target = tissue[0][:, :5].copy()
        with pytest.warns(UserWarning, match="evaluate_imputation leaves out 's2s'") as caught:
            table = tst.tl.evaluate_imputation(target, phases=[(0, 0)])
        [warning] = about_torch(caught)
        assert warning.filename == __file__
        methods = ["nearest", "bilinear", "kernel", "gp", "svd_gp", "kriging"]
        assert table["method"].unique().tolist() == methods
        assert table.attrs["parameters"]["left_out"] == LEFT_OUT

    def test_auto(self, tissue, recwarn):
        table = tst.tl.evaluate_imputation(tissue[0][:, :5].copy(), methods=["auto"], phases=[(0, 0), (1, 0)])
        assert not about_torch(recwarn)
        assert set(table.attrs["parameters"]["chosen"].values()) <= set(OTHERS)

    def test_others(self, tissue, recwarn):
        table = tst.tl.evaluate_imputation(tissue[0][:, :5].copy(), methods=["nearest"], phases=[(0, 0)])
        assert "left_out" not in table.attrs["parameters"]
        assert not about_torch(recwarn)


@pytest.mark.usefixtures("no_torch")
def test_machine():
    assert machine()["threads of torch"] == "torch is not installed"
    assert machine()["device"] == "cpu"


def test_all_else_runs(tmp_path):
    """In a process of its own, from the target to the page."""
    code = f"""
import warnings, transst_py as tst
warnings.filterwarnings('ignore', 'sources of too little relevance')
target, source = tst.datasets.simulated_tissue(n_rows=12, n_cols=12, n_genes=50, n_domains=2, random_state=1)
tst.tl.transst(target, source, source_labels='label', n_domains=2, n_factors=3, n_init=1)
tst.tl.rank_domain_genes(target)
finer = tst.tl.impute(target, method='kriging', genes=['gene1', 'gene2'])
tst.report(target, {str(tmp_path / "page.html")!r}, imputed=finer)
print(finer.uns['imputation']['method'], target.obs['transst'].nunique())
"""
    assert run(code, blocked=True) == "kriging 2\n"
    assert (tmp_path / "page.html").stat().st_size > 10_000
