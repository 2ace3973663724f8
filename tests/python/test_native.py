"""In a session of scanpy, squidpy and SpatialData: slots, containers and matrices are taken as they are.

None of the three is needed: what they leave in an AnnData is laid out here as they do it.
"""

from __future__ import annotations

from collections import UserDict
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import transst_py as tst
from transst_py.tissue.graph import spatial_neighbors

OPTIONS = {"n_domains": 3, "n_factors": 4, "n_init": 2, "n_folds": 2}


@pytest.fixture(scope="module")
def simulated():
    return tst.datasets.simulated_tissue(n_rows=14, n_cols=14, n_genes=60, n_domains=3, random_state=3)


@pytest.fixture
def target(simulated):
    """Simulated tissue of 196 spots x 60 genes, fresh for every test."""
    return simulated[0].copy()


@pytest.fixture
def source(simulated):
    return simulated[1].copy()


def fit(adata, source=None, **options):
    return tst.tl.transst(adata, source, **{**OPTIONS, **options})


def squidpys(adata, graph, key_added="spatial"):
    """Store a graph as squidpy.gr.spatial_neighbors does."""
    adata.obsp[f"{key_added}_connectivities"] = graph
    adata.obsp[f"{key_added}_distances"] = graph * 2.5
    adata.uns[f"{key_added}_neighbors"] = {
        "connectivities_key": f"{key_added}_connectivities",
        "distances_key": f"{key_added}_distances",
        "params": {"n_neighbors": 4, "coord_type": "generic", "radius": None, "transform": None},
    }


def directed(adata, n_neighbors=4):
    """Each spot's nearest in one direction, as squidpy's "generic" graphs are: csr of float64 ones."""
    graph = spatial_neighbors(adata.obsm["spatial"], n_neighbors=n_neighbors)
    return sp.csr_matrix(sp.triu(graph))


# squidpy's graph


def test_squidpys_graph_is_used_without_asking(target):
    graph = directed(target, 12)
    squidpys(target, graph)
    chosen = fit(target, copy=True)
    record = chosen.uns["transst"]["graph"]
    assert record == {
        "kind": "squidpy",
        "obsp": "spatial_connectivities",
        "mean_neighbors": pytest.approx(2 * graph.nnz / 196),
    }
    own = fit(target, graph=graph, copy=True)
    assert own.uns["transst"]["graph"]["kind"] == "matrix"
    np.testing.assert_array_equal(chosen.obs["transst"], own.obs["transst"])
    assert (chosen.obsp["transst_connectivities"] != graph + graph.T).nnz == 0
    assert (chosen.obsp["spatial_connectivities"] != graph).nnz == 0
    nearest = fit(target, graph="knn", copy=True)
    assert nearest.uns["transst"]["graph"]["kind"] == "knn"
    assert nearest.obsp["transst_connectivities"].nnz < 2 * graph.nnz


def test_weights_and_diagonal_of_squidpys_graph_do_not_count(target):
    graph = directed(target)
    squidpys(target, graph)
    plain = fit(target, copy=True)
    squidpys(target, sp.csr_matrix(graph * 0.25 + sp.eye(196)))
    transformed = fit(target, copy=True)
    np.testing.assert_array_equal(plain.obs["transst"], transformed.obs["transst"])


def test_without_squidpys_graph_auto_is_nearest_neighbours(target):
    nearest = fit(target, graph="knn", copy=True)
    auto = fit(target, copy=True)
    assert auto.uns["transst"]["graph"] == nearest.uns["transst"]["graph"]
    np.testing.assert_array_equal(auto.obs["transst"], nearest.obs["transst"])
    # Not squidpy's word for it, or no longer there, or under a key that was asked for.
    target.obsp["spatial_connectivities"] = directed(target, 12)
    assert fit(target, copy=True).uns["transst"]["graph"]["kind"] == "knn"
    target.uns["spatial_neighbors"] = {"connectivities_key": "elsewhere"}
    assert fit(target, copy=True).uns["transst"]["graph"]["kind"] == "knn"
    target.uns["spatial_neighbors"] = "mine"
    assert fit(target, copy=True).uns["transst"]["graph"]["kind"] == "knn"


def test_squidpys_graph_survives_files_and_subsets(target, tmp_path):
    squidpys(target, directed(target))
    del (
        target.uns["spatial_neighbors"]["params"]["radius"],
        target.uns["spatial_neighbors"]["params"]["transform"],
    )
    target.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")[:140].copy()
    fit(back)
    assert back.uns["transst"]["graph"]["kind"] == "squidpy"
    assert back.obsp["transst_connectivities"].shape == (140, 140)


def test_edges_of_squidpy_between_samples_are_cut(target):
    target.obs["library"] = pd.Categorical(np.repeat(["a", "b"], 98))
    squidpys(target, directed(target))
    with pytest.warns(UserWarning, match="`graph`: .* edges join spots of different samples; they are left"):
        fit(target, sample_key="library")
    assert target.obsp["transst_connectivities"][:98, 98:].nnz == 0
    # With its library_key, squidpy makes blocks.
    blocks = [directed(target[target.obs["library"] == name].copy()) for name in ("a", "b")]
    squidpys(target, sp.block_diag(blocks, format="csr"))
    fit(target, sample_key="library")
    assert target.uns["transst"]["graph"]["kind"] == "squidpy"


def test_spots_that_squidpy_left_alone_are_warned_of(target):
    graph = directed(target).tolil()
    graph[:, 5] = graph[5, :] = 0
    squidpys(target, graph.tocsr())
    with pytest.warns(UserWarning, match="1 of 196 spots have no neighbours"):
        fit(target)


def test_options_that_squidpys_graph_would_ignore(target):
    squidpys(target, directed(target))
    with pytest.raises(ValueError, match=r"`n_neighbors`=8 was given, but graph='auto' uses squidpy's graph"):
        fit(target, n_neighbors=8)
    with pytest.raises(ValueError, match="`radius` was given, but `graph` is 'auto'"):
        fit(target, radius=3.0)
    assert "transst" not in target.uns
    fit(target, n_neighbors=8, graph="knn")


def test_results_never_take_squidpys_place(target):
    squidpys(target, directed(target))
    with pytest.raises(ValueError, match=r"adata\.obsp has 'spatial_connectivities' of its own"):
        fit(target, key_added="spatial")


# SpatialData and files


class Tables(UserDict):
    """What SpatialData keeps its tables in."""


def spatialdata(**tables):
    return SimpleNamespace(tables=Tables(tables), images={}, shapes={})


def test_table_of_spatialdata_is_an_anndata(target):
    bare = fit(target, copy=True)
    target.uns["spatialdata_attrs"] = {"region": "spots", "region_key": "region", "instance_key": "spot_id"}
    target.obs["region"] = pd.Categorical(["spots"] * 196)
    target.obs["spot_id"] = np.arange(196)
    attributes = dict(target.uns["spatialdata_attrs"])
    fit(target)
    np.testing.assert_array_equal(target.obs["transst"], bare.obs["transst"])
    assert target.uns["spatialdata_attrs"] == attributes


def test_spatialdata_with_one_table(target, source):
    table = target.copy()
    sdata = spatialdata(table=table)
    fit(sdata, source=spatialdata(reference=source), source_labels="label")
    fit(target, source=source, source_labels="label")
    np.testing.assert_array_equal(table.obs["transst"], target.obs["transst"])
    assert "transst" not in source.uns

    pd.testing.assert_frame_equal(tst.tl.rank_domain_genes(sdata), tst.tl.rank_domain_genes(target))
    assert "transst_markers" in table.uns
    tst.tl.split_counts(sdata)
    assert "counts_train" in table.layers

    assert tst.tl.bin_cells(sdata, bin_size=300).n_obs == tst.tl.bin_cells(target, bin_size=300).n_obs
    options = {"methods": ["nearest"], "phases": [(0, 0)]}
    scores = tst.tl.evaluate_imputation(sdata, **options)
    assert len(scores) == 60
    table.obs["measured"] = np.arange(196) % 5 != 0
    assert tst.tl.impute(sdata, task="fill", method="nearest") is None
    assert "imputed" in table.layers


PLOTS = {
    "agreement": lambda data: tst.pl.agreement(data, labels="label"),
    "confidence": tst.pl.confidence,
    "convergence": tst.pl.convergence,
    "domains": tst.pl.domains,
    "imputation": lambda data: tst.pl.imputation(data, "gene1")[0],
    "markers": tst.pl.markers,
    "n_domains": tst.pl.n_domains,
    "transfer_path": tst.pl.transfer_path,
    "transfer_report": lambda data: tst.pl.transfer_report(data)[0],
}


@pytest.fixture(scope="module")
def finished(simulated):
    """Tissue with everything that there is to draw."""
    target, source = (adata.copy() for adata in simulated)
    fit(target, source, source_labels="label", n_domains=[1, 2, 3, 4, 5], n_subsamples=0)
    tst.tl.rank_domain_genes(target)
    target.obs["measured"] = np.arange(196) % 5 != 0
    tst.tl.impute(target, task="fill", method="nearest")
    return target


@pytest.mark.parametrize("name", PLOTS)
def test_plots_take_spatialdata(name, finished):
    plot = PLOTS[name]
    ax, of_table = plot(spatialdata(table=finished)), plot(finished)
    assert ax.get_title() == of_table.get_title()
    assert len(ax.get_children()) == len(of_table.get_children()) > 10
    with pytest.raises(ValueError, match="`adata` is a SpatialData with 2 tables"):
        plot(spatialdata(a=finished, b=finished))
    with pytest.raises(TypeError, match="`adata` must be an AnnData, got DataFrame"):
        plot(finished.to_df())


def test_plots_of_spots_take_backed_files(finished, tmp_path):
    finished.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    for name, plot in PLOTS.items():
        if name in ("imputation", "markers"):
            with pytest.raises(ValueError, match="`adata` is backed by a file; load it first"):
                plot(backed)
        else:
            assert plot(backed).get_title() == plot(finished).get_title()
            assert plot(backed[:150]).get_title() == plot(finished[:150]).get_title()
    backed.file.close()


def test_every_plot_is_tried_on_other_containers():
    assert set(tst.pl.__all__) == set(PLOTS)


def test_report_of_spatialdata(finished, tmp_path):
    pages = [
        tst.report(data, tmp_path / "page.html", imputed=data).read_text(encoding="utf-8")
        for data in (finished, spatialdata(table=finished))
    ]
    assert pages[0].count("<h2") == pages[1].count("<h2") > 5
    with pytest.raises(ValueError, match="`imputed` is a SpatialData with 0 tables"):
        tst.report(finished, tmp_path / "page.html", imputed=spatialdata())


CALLS = {
    "transst": fit,
    "source": lambda data: fit(
        tst.datasets.simulated_tissue(n_rows=8, n_cols=8, n_genes=20, random_state=0)[0], {"a": data}
    ),
    "rank_domain_genes": tst.tl.rank_domain_genes,
    "split_counts": tst.tl.split_counts,
    "transfer_report": tst.tl.transfer_report,
    "bin_cells": lambda data: tst.tl.bin_cells(data, bin_size=300),
    "impute": lambda data: tst.tl.impute(data, method="nearest"),
    "evaluate_imputation": lambda data: tst.tl.evaluate_imputation(data, methods=["nearest"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_containers_are_refused(name, target, tmp_path):
    call = CALLS[name]
    what = "source 'a'" if name == "source" else "adata"
    two = spatialdata(cells=target, bins=target)
    with pytest.raises(
        ValueError,
        match=rf"`{what}` is a SpatialData with 2 tables \('cells', 'bins'\); pass one of them, sdata.tables",
    ):
        call(two)
    with pytest.raises(ValueError, match=f"`{what}` is a SpatialData with 0 tables$"):
        call(spatialdata())
    with pytest.raises(TypeError, match=f"`{what}` must be an AnnData, got DataFrame"):
        call(target.to_df())


@pytest.mark.parametrize("name", ["split_counts", "bin_cells", "impute", "evaluate_imputation"])
def test_files_are_refused_where_all_is_needed_at_once(name, target, tmp_path):
    target.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"is backed by a file; load it first: adata.to_memory\(\)"):
        CALLS[name](backed)
    backed.file.close()


def test_every_function_is_tried_on_other_containers():
    assert set(tst.tl.__all__) | {"source"} == set(CALLS)


# views


def test_results_in_a_view_are_its_own(target):
    """Warnings are errors here: anndata's, of writing to a view, would be one."""
    rows = np.arange(196) >= 28
    expected = target[rows].copy()
    view = target[rows]
    for adata in (view, expected):
        fit(adata)
    assert not view.is_view
    np.testing.assert_array_equal(view.obs["transst"], expected.obs["transst"])
    assert "transst" not in target.obs
    assert "transst" not in target.uns
    assert fit(target[rows], copy=True).obs["transst"].notna().all()


def test_markers_split_and_fill_in_a_view(target):
    rows = np.arange(196) >= 28
    target.obs["measured"] = np.arange(196) % 5 != 0
    before = target.copy()
    view = target[rows]
    tst.tl.rank_domain_genes(view, key="label")
    assert "label_markers" in view.uns
    view = target[rows]
    tst.tl.split_counts(view)
    assert {"counts_train", "counts_test"} <= set(view.layers)
    view = target[rows]
    tst.tl.impute(view, task="fill", method="nearest")
    assert {"imputed", "imputed_sd"} <= set(view.layers)
    assert not target.layers
    assert target.uns == before.uns
    pd.testing.assert_frame_equal(target.obs, before.obs)


# matrices


MATRICES = {
    "csr_array": sp.csr_array,
    "csc_array": sp.csc_array,
    "csc_matrix": sp.csc_matrix,
    "int32 csr_array": lambda X: sp.csr_array(X.astype(np.int32)),
    "uint16 csc": lambda X: sp.csc_matrix(X.astype(np.uint16)),
    "int64 dense": lambda X: X.astype(np.int64),
    "float16 dense": lambda X: X.astype(np.float16),
    "big-endian": lambda X: X.astype(">f4"),
    "unsorted csr": lambda X: sp.csr_matrix(sp.csr_matrix(X)[:, ::-1])[:, ::-1],
}


def everything(adata, source):
    """All that the functions make of a target and a source: tables and arrays."""
    fit(adata, source, source_labels="label")
    tst.tl.split_counts(adata)
    fill = adata.copy()
    fill.obs["measured"] = np.arange(196) % 5 != 0
    tst.tl.impute(fill, task="fill", method="kernel")
    return {
        "domains": adata.obs["transst_confidence"].to_numpy(),
        "scores": tst.tl.rank_domain_genes(adata, method="t")
        .set_index(["domain", "gene"])["score"]
        .to_numpy(),
        "train": sp.csr_matrix(adata.layers["counts_train"]).toarray(),
        "imputed": sp.csr_matrix(fill.layers["imputed"]).toarray(),
        "binned": tst.tl.bin_cells(adata, bin_size=300).X.toarray(),
        "errors": tst.tl.evaluate_imputation(adata, methods=["nearest"], phases=[(0, 0)])["rmse"].to_numpy(),
    }


@pytest.fixture(scope="module")
def expected(simulated):
    return everything(simulated[0].copy(), simulated[1].copy())


@pytest.mark.parametrize("kind", MATRICES)
def test_any_matrix_gives_the_same(kind, target, source, expected):
    for adata in (target, source):
        adata.X = MATRICES[kind](adata.X.toarray())
    found = everything(target, source)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.filterwarnings("ignore:the matrix subclass is not the recommended way")
def test_numpys_matrix_is_taken_for_an_array(target, source, expected):
    for adata in (target, source):
        with pytest.warns(ad.ImplicitModificationWarning, match=r"X should not be a np\.matrix"):
            adata.X = np.asmatrix(adata.X.toarray())
    np.testing.assert_allclose(everything(target, source)["scores"], expected["scores"], rtol=1e-3, atol=1e-4)
    with pytest.raises(TypeError, match=r"np\.matrix is not supported"):
        tst.TransST(3, n_factors=4).fit(np.asmatrix(np.ones((9, 5))), sp.eye_array(9, k=1))


def test_leftovers_of_scanpy_do_not_matter(target, source, expected):
    target.raw = target.copy()
    target.uns["log1p"] = {"base": None}
    target.uns["hvg"] = {"flavor": "seurat"}
    target.var["highly_variable"] = False
    found = everything(target, source)
    np.testing.assert_array_equal(found["domains"], expected["domains"])


def test_scaled_values_point_to_the_counts(target):
    target.raw = target.copy()
    target.X = target.X.toarray() - 1.0
    with pytest.raises(ValueError, match=r"negative expression values.* adata\.raw\.to_adata\(\)"):
        fit(target)
