"""Results that belong together: what is made from a fit is not shown beside another one."""

from __future__ import annotations

import anndata as ad
import pytest

import transst_py as tst

OPTIONS = {"n_factors": 4, "n_init": 2, "n_folds": 2}


@pytest.fixture
def fitted(tissue):
    target, source = (part.copy() for part in tissue)
    tst.tl.transst(target, source, source_labels="label", n_domains=3, **OPTIONS)
    tst.tl.rank_domain_genes(target)
    return target


def test_a_fit_is_told_from_any_other(tissue, fitted):
    target, source = tissue
    ids = {fitted.uns["transst"]["id"]}
    for options in (
        {"n_domains": 2},
        {"n_domains": 3, "smoothness": 0.5},
        {"n_domains": 3, "random_state": 1},
    ):
        other = tst.tl.transst(target, source, source_labels="label", copy=True, **OPTIONS | options)
        ids.add(other.uns["transst"]["id"])
    assert len(ids) == 4
    again = tst.tl.transst(target, source, source_labels="label", n_domains=3, copy=True, **OPTIONS)
    assert again.uns["transst"]["id"] == fitted.uns["transst"]["id"]


def test_a_new_fit_removes_the_markers_of_the_old_one(fitted):
    tst.tl.transst(fitted, n_domains=2, **OPTIONS)
    assert "transst_markers" not in fitted.uns
    assert "transst_markers_params" not in fitted.uns
    with pytest.raises(KeyError, match=r"run `tl\.rank_domain_genes` first"):
        tst.pl.markers(fitted)


def test_markers_of_another_fit_are_refused(fitted, tmp_path):
    tables = {name: fitted.uns[name] for name in ("transst_markers", "transst_markers_params")}
    tst.tl.transst(fitted, n_domains=3, **OPTIONS)
    fitted.uns.update(tables)
    for show in (tst.pl.markers, lambda adata: tst.report(adata, tmp_path / "page.html")):
        with pytest.raises(ValueError, match="belong to another fit than the domains in obs"):
            show(fitted)
    assert not (tmp_path / "page.html").exists()


def test_markers_of_domains_that_are_not_there_are_refused(fitted):
    fitted.obs["transst"] = fitted.obs["transst"].cat.rename_categories({"1": "tumour"})
    with pytest.raises(ValueError, match=r"domains that obs\['transst'\] does not have \('1'\)"):
        tst.pl.markers(fitted)


def test_markers_of_the_same_fit_are_shown_also_from_a_file_and_of_some_spots(fitted, tmp_path):
    fitted.write_h5ad(tmp_path / "fit.h5ad")
    back = ad.read_h5ad(tmp_path / "fit.h5ad")
    assert back.uns["transst_markers_params"]["fit"] == back.uns["transst"]["id"]
    tst.pl.markers(back)
    tst.pl.markers(back[::2].copy())
    assert "</html>" in tst.report(back, tmp_path / "page.html").read_text()


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_reports_are_the_same_after_a_round_trip_by_zarr(fitted, tmp_path):
    pytest.importorskip("zarr")
    fitted.write_zarr(tmp_path / "fit.zarr")
    back = ad.read_zarr(tmp_path / "fit.zarr")
    assert str(tst.tl.transfer_report(back)) == str(tst.tl.transfer_report(fitted))
    tst.pl.transfer_report(back)
    pages = [
        tst.report(adata, tmp_path / f"{name}.html", labels="label").read_text().splitlines()
        for name, adata in (("fitted", fitted), ("back", back))
    ]
    # Keys come in another order, and names within drawings are random.
    words = [sorted(line for line in page if "<img" not in line) for page in pages]
    assert words[0] == words[1]
