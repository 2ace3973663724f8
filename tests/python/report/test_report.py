"""The page with all results."""

import base64
import os
import re
from html.parser import HTMLParser

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import transst_py as tst
from transst_py._report.write import ADVICE

pytestmark = pytest.mark.usefixtures("no_pyplot_state")

SECTIONS = [
    "summary",
    "domains",
    "confidence",
    "n_domains",
    "transfer",
    "convergence",
    "agreement",
    "markers",
    "imputation",
    "run",
]
VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """Texts, tables and images by section; fails on tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.targets, self.addresses = [], [], [], []
        self.texts, self.images, self.tables, self.tags = {}, {}, {}, set()
        self.section = None
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "section":
            self.section = attrs["id"]
            self.texts[self.section], self.images[self.section], self.tables[self.section] = "", [], []
        if tag == "img":
            self.images[self.section].append(attrs)
        if tag == "table":
            self.tables[self.section].append([])
        if tag == "tr":
            self.tables[self.section][-1].append([])
        if tag in ("th", "td"):
            self.tables[self.section][-1][-1].append("")
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
        self.targets += [attrs["href"]] if tag == "a" else []
        self.addresses += [attrs[name] for name in ("src", "href", "action", "data") if name in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = None

    def handle_data(self, data):
        if self.section is None:
            return
        self.texts[self.section] += data
        if self.open and self.open[-1] in ("th", "td"):
            self.tables[self.section][-1][-1][-1] += data

    def empty_sections(self):
        return [name for name, text in self.texts.items() if "Nothing to show yet" in text]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


OPTIONS = {"labels": "label", "genes": ["gene5"]}


@pytest.fixture(scope="module")
def _full():
    adata, source = tst.datasets.simulated_tissue(
        n_rows=10, n_cols=10, n_genes=40, n_domains=3, random_state=3
    )
    adata.obs["slice"] = np.where(np.arange(adata.n_obs) < 50, "left", "right")
    options = {"n_domains": [2, 3], "n_factors": 3, "n_init": 1, "n_subsamples": 2}
    with pytest.warns(UserWarning, match="tried, 3, is the largest"):
        tst.tl.transst(adata, source, source_labels="label", **options)
    tst.tl.rank_domain_genes(adata)
    return adata


@pytest.fixture(scope="module")
def imputed(_full):
    return tst.tl.impute(_full, method="nearest", genes=["gene3", "gene5"])


@pytest.fixture(scope="module")
def file(_full, imputed, tmp_path_factory):
    """The page with everything on it."""
    path = tmp_path_factory.mktemp("report") / "r.html"
    assert tst.report(_full, str(path), imputed=imputed, **OPTIONS) == path
    return path


@pytest.fixture(scope="module")
def page(file):
    return read(file)


@pytest.fixture
def full(_full):
    return _full.copy()


@pytest.fixture
def bare():
    """A record of a fit without a source, with one number of domains."""
    adata, _ = tst.datasets.simulated_tissue(n_rows=5, n_cols=6, n_genes=10, n_domains=2)
    adata.obs["mine"] = adata.obs["label"]
    adata.obs["mine_confidence"] = 0.75
    adata.uns["mine"] = {
        "params": {"random_state": 7, "spatial_key": "spatial", "n_domains": 2},
        "versions": {"python": "3.11"},
        "genes": np.array(["gene1", "gene2"], dtype=object),
        "graph": {"kind": "knn"},
        "transfer": {"transferred": "nothing", "cv_penalties": np.zeros(0), "penalty": 0.0},
        "mixture": {"log_likelihoods": np.array([-3.0, -2.0]), "converged": True},
        "warnings": np.array([], dtype=object),
        "seconds": {"input": 0.5},
    }
    return adata


class TestFullPage:
    def test_every_section_has_its_data(self, page):
        assert list(page.texts) == SECTIONS
        assert page.empty_sections() == []
        pictures = {name: len(images) for name, images in page.images.items()}
        assert pictures == dict.fromkeys(SECTIONS, 1) | {"summary": 0, "run": 0, "transfer": 2}

    def test_it_needs_no_other_file(self, page, file):
        assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
        assert page.tags.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
        assert not re.search(r"url\(|@import|https?://", file.read_text(encoding="utf-8"))
        assert list(file.parent.iterdir()) == [file]

    def test_pictures_are_what_they_say_with_words_for_those_who_cannot_see(self, page):
        for image in (image for images in page.images.values() for image in images):
            kind, data = re.fullmatch(r"data:image/(png|svg\+xml);base64,(.*)", image["src"]).groups()
            start = base64.b64decode(data)[:8]
            assert start == (b"\x89PNG\r\n\x1a\n" if kind == "png" else b"<?xml ve")
            assert len(image["alt"]) > 20
            assert int(image["width"]) > 100
            assert int(image["height"]) > 100

    def test_contents_lead_to_the_sections(self, page):
        assert len(set(page.ids)) == len(page.ids)
        assert page.targets == ["#content", *(f"#{name}" for name in SECTIONS)]
        assert {"content", *SECTIONS} <= set(page.ids)

    def test_sizes_of_the_domains(self, page, full):
        ((head, *rows),) = page.tables["summary"]
        assert head == ["Domain", "Spots", "Share", "Mean confidence"]
        counts = full.obs["transst"].value_counts()
        sure = full.obs.groupby("transst", observed=True)["transst_confidence"].mean()
        assert rows == [
            [name, str(counts[name]), f"{counts[name] / 100:.1%}", f"{sure[name]:.3f}"]
            for name in full.obs["transst"].cat.categories
        ]

    def test_markers_of_every_domain(self, page, full):
        tables = page.tables["markers"]
        assert len(tables) == full.obs["transst"].cat.categories.size
        markers = full.uns["transst_markers"]
        first = markers[(markers["domain"] == "1") & (markers["score"] > 0)].head(10)
        assert [row[0] for row in tables[0][1:]] == first["gene"].tolist()
        assert [row[1] for row in tables[0][1:]] == [f"{value:.2f}" for value in first["log_fold_change"]]
        assert "p-values are too small" in page.texts["markers"]

    def test_agreement_is_in_numbers(self, page, full):
        ((head, *rows),) = page.tables["agreement"]
        table = pd.crosstab(full.obs["label"], full.obs["transst"])
        assert head == ["label", *table.columns]
        assert [[int(n) for n in row[1:]] for row in rows] == table.to_numpy().tolist()

    def test_run_can_be_repeated_from_it(self, page, full):
        parameters, versions, timings = (dict(rows[1:]) for rows in page.tables["run"])
        record = full.uns["transst"]
        assert set(parameters) == set(record["params"])
        assert parameters["n_domains"] == "2, 3"
        assert parameters["penalties"].endswith("500, 1000, ∞")
        assert versions == record["versions"]
        assert set(timings) == set(record["seconds"])

    def test_transfer_names_its_ends(self, page):
        ((_, *rows),) = page.tables["transfer"]
        meanings = {row[0]: row[1] for row in rows}
        assert meanings["0"].startswith("no transfer")
        assert meanings["∞"].startswith("full transfer")
        assert any("chosen" in meaning for meaning in meanings.values())

    def test_warnings_come_first(self, page, full):
        (warning,) = full.uns["transst"]["warnings"]
        assert warning in page.texts["summary"]

    def test_imputation(self, page):
        ((_, *rows),) = page.tables["imputation"]
        assert [row[0] for row in rows] == ["nearest (chosen)"]
        assert "gene5" in page.images["imputation"][0]["alt"]


class TestWithoutData:
    def test_sections_say_what_to_run(self, bare, tmp_path):
        page = read(tst.report(bare, tmp_path / "r.html", key="mine"))
        lacking = ["n_domains", "transfer", "agreement", "markers", "imputation"]
        assert page.empty_sections() == lacking
        for name in lacking:
            assert ADVICE[name] in page.texts[name]
        assert "none" in page.texts["summary"]

    def test_advice_in_other_words(self, bare, tmp_path):
        advice = {"markers": "domainMarkers(x)"}
        page = read(tst.report(bare, tmp_path / "r.html", key="mine", advice=advice))
        assert "domainMarkers(x)" in page.texts["markers"]
        assert ADVICE["imputation"] in page.texts["imputation"]

    def test_no_positions(self, bare, tmp_path):
        del bare.obsm["spatial"]
        page = read(tst.report(bare, tmp_path / "r.html", key="mine"))
        assert "no positions" in page.texts["domains"]
        assert "0.75 on average" in page.texts["confidence"]
        assert page.images["domains"] == page.images["confidence"] == []

    def test_imputed_only(self, bare, tmp_path):
        del bare.uns["mine"]
        dense = tst.tl.impute(bare, method="nearest")
        page = read(tst.report(dense, tmp_path / "r.html"))
        assert page.empty_sections() == [name for name in SECTIONS if name not in ("summary", "imputation")]
        top = dense.var_names[dense.layers["imputed"].mean(axis=0).argmax()]
        assert f"Two maps of {top}:" in page.images["imputation"][0]["alt"]

    def test_genes_that_no_domain_is_marked_by(self, full, tmp_path):
        full.uns["transst_markers"]["score"] = -1.0
        page = read(tst.report(full, tmp_path / "r.html"))
        assert page.images["markers"] == []


class TestOtherInput:
    def test_text_from_the_data_is_escaped(self, bare, tmp_path):
        evil = "<script>alert('$x$')</script> & \"$ü\\frac$"
        bare.obs["mine"] = bare.obs["mine"].cat.rename_categories(["b", evil])
        bare.uns["mine"]["warnings"] = np.array([evil], dtype=object)
        bare.uns["mine"]["params"][evil] = evil
        bare.var_names = [evil, *bare.var_names[1:]]
        tst.tl.rank_domain_genes(bare, key="mine")
        page = read(tst.report(bare, tmp_path / "r.html", key="mine", title=evil, labels="mine"))
        assert "script" not in page.tags
        assert evil in page.texts["summary"]
        assert evil in page.texts["run"]
        assert evil in page.tables["agreement"][0][0]

    @pytest.mark.parametrize("name", ["long " * 2000, "new\nline\ttab"])
    def test_names_of_any_length_leave_pictures_their_size(self, name, tmp_path):
        """Drawn in full, ten thousand letters would need more memory than there is."""
        options = {"n_rows": 8, "n_cols": 8, "n_genes": 40, "n_domains": 3, "random_state": 3}
        adata, source = tst.datasets.simulated_tissue(**options)
        for one in (adata, source):
            one.obs["la\nbel"] = one.obs["label"].cat.rename_categories([name, f"{name} b", "c"])
            one.var_names = [name, *one.var_names[1:]]
        adata.obs["slice"] = np.where(np.arange(adata.n_obs) % 2, name, "right")
        sources = {name: source, "half": source[::2].copy()}
        tst.tl.transst(adata, sources, source_labels="la\nbel", n_domains=3, n_factors=3, sample_key="slice")
        adata.obs["transst"] = adata.obs["transst"].cat.rename_categories([name, f"{name} b", "c"])
        tst.tl.rank_domain_genes(adata)
        imputed = tst.tl.impute(adata, method="nearest", genes=[name], sample_key="slice")
        page = read(tst.report(adata, tmp_path / "r.html", imputed=imputed, labels="la\nbel"))
        for section, images in page.images.items():
            for image in images:
                assert max(int(image["width"]), int(image["height"])) < 2200, section
        assert any(name in row[0] for row in page.tables["agreement"][0])  # whole, where there is room

    def test_as_it_comes_from_files_and_from_r(self, full, page, imputed, tmp_path):
        """Lists instead of arrays, single values instead of lists of one, records in another order."""
        full.write_h5ad(tmp_path / "a.h5ad")
        full = ad.read_h5ad(tmp_path / "a.h5ad")
        full.uns["transst"] = plain(full.uns["transst"])
        found = read(tst.report(full, tmp_path / "r.html", imputed=imputed, **OPTIONS))
        assert {name: sorted(text.split()) for name, text in found.texts.items()} == {
            name: sorted(text.split()) for name, text in page.texts.items()
        }

    def test_samples_of_the_fit_get_panels(self, bare, tmp_path):
        bare.obs["slice"] = np.where(np.arange(bare.n_obs) < 12, "left", "right")
        widths = []
        for bare.uns["mine"]["params"]["sample_key"] in (None, "slice"):
            found = read(tst.report(bare, tmp_path / "r.html", key="mine"))
            widths.append(int(found.images["domains"][0]["width"]))
        assert widths[1] > 1.5 * widths[0]
        assert "Samples2" in found.texts["summary"].replace("\n", "")

    def test_samples_of_the_imputation_get_panels(self, full, tmp_path):
        full.obs["slice"] = np.where(full.obs["array_col"] < 5, "left", "right")
        heights = []
        for sample_key in (None, "slice"):
            finer = tst.tl.impute(full, method="nearest", genes=["gene3"], sample_key=sample_key)
            found = read(tst.report(full, tmp_path / "r.html", imputed=finer))
            heights.append(int(found.images["imputation"][0]["height"]))
        assert heights[1] > 1.5 * heights[0]

    def test_real_tissue(self, tmp_path):
        if not os.environ.get("TRANSST_DATA_DIR"):
            pytest.skip("TRANSST_DATA_DIR is not set: the sections are not part of the repository")
        section = tst.datasets.her2st("H1")
        tst.tl.transst(section, n_domains=5, n_factors=8, n_top_genes=500, n_init=1)
        found = read(tst.report(section, tmp_path / "r.html", labels="label"))
        assert "613" in found.texts["summary"]
        assert [row[0] for row in found.tables["agreement"][0][1:]] == [
            str(name) for name in section.obs["label"].cat.categories
        ]
        assert (tmp_path / "r.html").stat().st_size < 3e6


def plain(value):
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray) and value.ndim < 2:
        value = value.tolist()
        return value[0] if len(value) == 1 else value
    return value


class TestBadInput:
    def test_path(self, bare, tmp_path):
        with pytest.raises(IsADirectoryError, match="`path` is a folder"):
            tst.report(bare, tmp_path, key="mine")
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
            tst.report(bare, tmp_path / "nowhere" / "r.html", key="mine")

    def test_what_it_is_about(self, bare, tmp_path):
        path = tmp_path / "r.html"
        with pytest.raises(TypeError, match="`adata` must be an AnnData, got dict"):
            tst.report({}, path)
        with pytest.raises(
            KeyError, match=r"adata\.uns has no record 'transst' of a fit, nor one of an imputation"
        ):
            tst.report(bare, path)
        with pytest.raises(KeyError, match=r"`labels`: adata\.obs has no column 'nope'"):
            tst.report(bare, path, key="mine", labels="nope")
        with pytest.raises(KeyError, match=r"`sample_key`: adata\.obs has no column 'nope'"):
            tst.report(bare, path, key="mine", sample_key="nope")
        with pytest.raises(KeyError, match=r"`image`: adata\.uns has no images"):
            tst.report(bare, path, key="mine", image=True)
        assert not path.exists()

    def test_gene_symbols(self, full, imputed, tmp_path):
        path = tmp_path / "r.html"
        with pytest.raises(KeyError, match=r"`gene_symbols`: adata\.var has no column 'nope'"):
            tst.report(full, path, gene_symbols="nope")
        full.var["symbol"] = full.var_names.str.replace("gene", "SYM")
        options = {"imputed": imputed, "gene_symbols": "symbol"}
        with pytest.raises(KeyError, match="nothing was imputed for 'SYM5'"):
            tst.report(full, path, genes=["SYM5"], **options)  # the finer lattice has no symbols
        finer = imputed.copy()
        finer.var["symbol"] = full.var["symbol"]
        text = tst.report(full, path, genes=["SYM5"], **options | {"imputed": finer}).read_text("utf-8")
        assert "maps of SYM5" in text
        best = full.uns["transst_markers"].sort_values("score")["gene"].iloc[-1]
        assert f">{full.var['symbol'][best]}<" in text
        assert f">{best}<" not in text

    def test_imputed(self, bare, tmp_path):
        path = tmp_path / "r.html"
        with pytest.raises(KeyError, match="`imputed`: its uns has no record"):
            tst.report(bare, path, key="mine", imputed=bare)
        with pytest.raises(TypeError, match="`imputed` must be an AnnData"):
            tst.report(bare, path, key="mine", imputed="gene1")
        with pytest.raises(ValueError, match="`genes` are drawn after imputation"):
            tst.report(bare, path, key="mine", genes=["gene1"])
        dense = tst.tl.impute(bare, method="nearest", genes=["gene1"])
        with pytest.raises(TypeError, match="`genes` must be a list of names"):
            tst.report(bare, path, key="mine", imputed=dense, genes="gene1")
        with pytest.raises(KeyError, match="nothing was imputed for 'gene2'"):
            tst.report(bare, path, key="mine", imputed=dense, genes=["gene1", "gene2"])
        bare.obs["measured"] = np.arange(bare.n_obs) != 3
        tst.tl.impute(bare, task="fill", method="nearest", genes=["gene1"])
        with pytest.raises(KeyError, match="nothing was imputed for 'gene2'"):
            tst.report(bare, path, key="mine", genes=["gene2"])
        assert not path.exists()
