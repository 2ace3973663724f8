from __future__ import annotations

import inspect

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

import transst_py as tst
from transst_py.tissue.graph import lattice_neighbors

OPTIONS = {"n_domains": 3, "n_factors": 5, "n_init": 3}


def run(target, source=None, **options):
    if source is not None:
        options.setdefault("source_labels", "label")
    return tst.tl.transst(target, source, **{**OPTIONS, **options})


def test_slots(tissue):
    target, source = tissue
    before = target.copy()
    assert run(target, source) is None
    assert list(target.obs["transst"].cat.categories) == ["1", "2", "3"]
    assert adjusted_rand_score(target.obs["label"], target.obs["transst"]) > 0.8
    assert target.obs["transst"].value_counts().loc[["1", "2", "3"]].is_monotonic_decreasing
    prob = target.obsm["transst_prob"]
    np.testing.assert_allclose(
        target.obs["transst_confidence"], prob[np.arange(400), target.obs["transst"].cat.codes]
    )
    assert target.obsm["X_transst"].shape == (400, 5)
    loadings = target.varm["transst_loadings"]
    used = target.var_names.isin(target.uns["transst"]["genes"])
    assert np.isfinite(loadings[used]).all()
    assert np.isnan(loadings[~used]).all()
    assert target.obsp["transst_connectivities"].nnz > 0
    assert target.uns["transst"]["params"]["random_state"] == 0
    # What was there is untouched.
    assert (target.X != before.X).nnz == 0
    pd.testing.assert_frame_equal(target.obs[before.obs.columns], before.obs)


def test_result_survives_h5ad(tissue, tmp_path):
    target, source = tissue
    source.obs.loc[source.obs_names[:5], "label"] = np.nan
    with pytest.warns(UserWarning, match="have no label"):
        run(target, {"a": source})
    target.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(back.obs, target.obs)
    record, written = target.uns["transst"], back.uns["transst"]
    assert written.keys() == record.keys()
    assert "5 of 400 rows have no label" in written["warnings"][0]
    np.testing.assert_array_equal(written["transfer"]["cv_errors"], record["transfer"]["cv_errors"])


def test_copy_and_key(tissue):
    target, _ = tissue
    result = run(target, copy=True, key_added="domain")
    assert {"domain", "domain_confidence"} <= set(result.obs)
    assert "domain" not in target.obs
    assert not target.obsp


def test_same_seed_same_result_and_kinds_of_source(tissue):
    target, source = tissue
    results = [run(target, s, copy=True) for s in (source, [source], {"name": source})]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].obs["transst"], other.obs["transst"])
        np.testing.assert_array_equal(results[0].obsm["X_transst"], other.obsm["X_transst"])


def test_genes_are_matched_by_name_and_counts_may_be_dense_integers(tissue):
    target, source = tissue
    base = run(target, source, copy=True)
    source = source[:, np.random.default_rng(0).permutation(source.n_vars)].copy()
    target.X = target.X.toarray().astype(np.int32)
    other = run(target, source, copy=True)
    assert adjusted_rand_score(base.obs["transst"], other.obs["transst"]) == 1.0


def test_layer_normalization_none_and_samples(tissue):
    target, source = tissue
    target.layers["counts"], source.layers["counts"] = target.X, source.X
    base = run(target, source, copy=True)
    target.X = source.X = None
    layered = run(target, source, layer="counts", source_layer="counts", copy=True)
    np.testing.assert_array_equal(base.obs["transst"], layered.obs["transst"])

    target.obs["slice"] = np.repeat(["a", "b"], 200)
    blocks = run(target, layer="counts", sample_key="slice", copy=True)
    assert blocks.obsp["transst_connectivities"][:200, 200:].nnz == 0

    target.X = sp.csr_matrix(np.log1p(target.layers["counts"].toarray()))
    run(target, normalization="none")
    assert target.obs["transst"].notna().all()


def test_progress(tissue, capsys):
    run(tissue[0], tissue[1], verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ...")[0].split(":")[0] for line in lines[2::2]] == [
        "[transst] source model",
        "[transst] transfer",
        "[transst] labels of the sources",
        "[transst] label transfer",
    ]
    run(tissue[0], copy=True)
    assert capsys.readouterr().out == ""


def change(adata, **slots):
    for name, value in slots.items():
        setattr(adata, name, value)
    return adata


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (
            lambda t, s: {"n_domains": 401},
            ValueError,
            "`n_domains` must lie between 1 and the 400 spots, got 401",
        ),
        (lambda t, s: {"n_domains": 2.5}, TypeError, "`n_domains` must hold whole numbers"),
        (lambda t, s: t.obsm.clear(), KeyError, "`spatial_key`: no coordinates"),
        (
            lambda t, s: change(s, var_names=[f"other{i}" for i in range(120)]),
            ValueError,
            "no gene is shared",
        ),
        (
            lambda t, s: {"source_labels": None},
            KeyError,
            "`source_labels` is missing: name a column of the obs of source 'source'",
        ),
        (
            lambda t, s: {"source_labels": "celltype"},
            KeyError,
            "has no column 'celltype'; it has 'array_row'",
        ),
        (lambda t, s: s.obs.__setitem__("label", np.nan), ValueError, "`source_labels`: every value"),
        (lambda t, s: change(t, var_names=["same"] * 120), ValueError, "duplicated gene names"),
        (lambda t, s: t.X.data.__setitem__(0, np.nan), ValueError, "missing or infinite expression values"),
        (lambda t, s: t.X.data.__setitem__(0, -1), ValueError, "negative expression values"),
        (
            lambda t, s: t.obsm["spatial"].__setitem__((3, 0), np.nan),
            ValueError,
            "1 of 400 spots have no position",
        ),
        (lambda t, s: {"layer": "raw"}, KeyError, "`layer`: adata has no layer 'raw'"),
        (lambda t, s: {"sample_key": "slide"}, KeyError, "`sample_key`: adata.obs has no column 'slide'"),
        (lambda t, s: {"n_domains": []}, ValueError, "`n_domains` is empty"),
        (lambda t, s: {"n_top_genes": 0}, ValueError, "`n_top_genes` must be at least 1, got 0"),
        (lambda t, s: {"n_factors": 2.5}, TypeError, "`n_factors` must be one whole number, got 2.5"),
        (lambda t, s: {"random_state": None}, TypeError, "`random_state` must be one whole number"),
        (lambda t, s: {"penalties": (np.nan,)}, ValueError, "`penalties` must be numbers >= 0"),
        (lambda t, s: {"n_neighbors": 10_000}, ValueError, "`n_neighbors` must be at most 100"),
        (lambda t, s: {"normalization": "sct"}, ValueError, "`normalization`: unknown value"),
        (lambda t, s: {"n_neighbors": 0}, ValueError, "`n_neighbors` must be at least 1"),
        (
            lambda t, s: {"graph": "delaunay"},
            ValueError,
            "`graph`: unknown value 'delaunay'; choose one of auto, knn, radius, lattice, .* which has none",
        ),
        (
            lambda t, s: {"graph": sp.eye(3)},
            ValueError,
            r"`graph` must be a sparse matrix of shape \(400, 400",
        ),
        (lambda t, s: {"graph": None}, ValueError, "`graph` must be a sparse matrix .* got NoneType"),
        (
            lambda t, s: {"radius": 3.0},
            ValueError,
            "`radius` was given, but `graph` is 'auto'; it belongs",
        ),
        (lambda t, s: {"graph": "radius", "radius": -1}, ValueError, "`radius` must be a positive number"),
        (
            lambda t, s: {"graph": "lattice"} | {"_": t.obs.pop("array_col")},
            ValueError,
            r"needs both obs\['array_row'\] and obs\['array_col'\].* adata.obs has no 'array_col'",
        ),
        (
            lambda t, s: {"graph": "lattice"} | {"_": t.obs.insert(0, "array_row", 0.5, True)},
            ValueError,
            "must be whole numbers; 400 spots have others",
        ),
        (
            lambda t, s: {"n_factors": 120},
            ValueError,
            "`n_factors`=120 must be below the number",
        ),
        (lambda t, s: {"source": []}, ValueError, "`source` is empty"),
        (lambda t, s: {"source": "A1"}, TypeError, "`source` must be an AnnData, a list or .* got str"),
        (lambda t, s: {"source": {"a": "A1"}}, TypeError, "`source 'a'` must be an AnnData, got str"),
    ],
)
def test_bad_input_is_refused_and_leaves_the_object_alone(tissue, spoil, error, message):
    target, source = tissue
    options = spoil(target, source)
    options = {k: v for k, v in options.items() if k != "_"} if isinstance(options, dict) else {}
    slots = set(target.obs), set(target.obsm), set(target.uns)
    with pytest.raises(error, match=message):
        run(target, **{"source": source, **options})
    assert slots == (set(target.obs), set(target.obsm), set(target.uns))


def test_a_column_of_the_user_is_not_overwritten(tissue):
    target, _ = tissue
    labels = target.obs["label"].copy()
    with pytest.raises(ValueError, match=r"`key_added`: adata\.obs has a column 'label' of its own"):
        run(target, key_added="label")
    pd.testing.assert_series_equal(target.obs["label"], labels)
    run(target)
    run(target)  # an earlier result is replaced


def test_a_graph_of_the_user_is_not_overwritten(tissue):
    target, _ = tissue
    target.obsp["spatial_connectivities"] = own = 2.5 * sp.eye(400, k=1, format="csr")
    target.uns["spatial"] = {"library": {}}
    for graph in ("knn", "spatial_connectivities"):
        run(target, graph=graph)
        assert (target.obsp["spatial_connectivities"] != own).nnz == 0
    with pytest.raises(ValueError, match=r"`key_added`: adata\.uns has 'spatial' of its own"):
        run(target, key_added="spatial")
    del target.uns["spatial"]
    with pytest.raises(ValueError, match=r"`key_added`: adata\.obsp has 'spatial_connectivities' of its own"):
        run(target, key_added="spatial")


def test_kinds_of_graph(tissue):
    """On a square lattice all kinds agree, if told so; what was used is recorded."""
    target, source = tissue
    target.obsp["mine"] = lattice_neighbors(target.obs[["array_row", "array_col"]].to_numpy())
    expected = {"mean_neighbors": 2 * 2 * 20 * 19 / 400}
    kinds = {
        "lattice": {"graph": "lattice"},
        "radius": {"graph": "radius"},
        "matrix": {"graph": "mine"},
    }
    for kind, options in kinds.items():
        result = run(target, source, copy=True, **options)
        assert (result.obsp["transst_connectivities"] != target.obsp["mine"]).nnz == 0
        record = result.uns["transst"]["graph"]
        assert record.pop("radius", None) == (pytest.approx(120.71, abs=0.01) if kind == "radius" else None)
        assert record == {"kind": kind} | expected
        assert result.uns["transst"]["params"]["graph"] == options["graph"]
    assert run(target, copy=True).uns["transst"]["graph"]["kind"] == "knn"


def test_a_matrix_as_graph_needs_no_positions(tissue, tmp_path):
    target, _ = tissue
    graph = sp.triu(lattice_neighbors(target.obs[["array_row", "array_col"]].to_numpy()))
    expected = run(target, graph=graph, copy=True)
    del target.obsm["spatial"]
    target.obs["slice"] = np.repeat(["a", "b"], 200)
    with pytest.warns(UserWarning, match="`graph`: 20 of 760 edges join spots of different samples"):
        run(target, graph=graph, sample_key="slice")
    assert expected.obsp["transst_connectivities"].nnz == target.obsp["transst_connectivities"].nnz + 40
    assert target.uns["transst"]["params"]["graph"] == "matrix"
    target.write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").uns["transst"]["graph"] == target.uns["transst"]["graph"]


def test_warns_of_spots_without_neighbours(tissue):
    target, _ = tissue
    target.obsm["spatial"][[3, 250]] = [[1e5, 1e5], [-1e5, 0.0]]
    with pytest.warns(UserWarning, match="2 of 400 spots have no neighbours"):
        run(target, graph="radius", radius=100)
    assert target.obs["transst"].notna().all()


def test_warns_of_spots_outside_the_tissue(tissue):
    target, _ = tissue
    target.obs["in_tissue"] = np.arange(400) > 1
    with pytest.warns(UserWarning, match="2 of 400 spots lie outside the tissue"):
        run(target)


def test_missing_sample_and_view_of_a_file(tissue, tmp_path):
    target, _ = tissue
    target.obs["slice"] = pd.Categorical(["a"] * 399 + [None])
    with pytest.raises(ValueError, match="`sample_key`: 1 of 400 spots have no sample in obs"):
        run(target, sample_key="slice")
    target.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"`adata` is a view of an AnnData that is backed by a file"):
        run(backed[:100])
    with pytest.raises(ValueError, match="`copy`: adata is backed by a file, which is not copied"):
        run(backed, copy=True)
    backed.file.close()


def test_labels_without_source(tissue):
    with pytest.raises(ValueError, match="`source_labels` was given without `source`"):
        run(tissue[0], source_labels="label")


def test_warns_of_log_data(tissue):
    target, _ = tissue
    target.X = target.X.log1p()
    with pytest.warns(UserWarning, match="fractional values .* where raw counts are expected"):
        run(target)


def test_empty_spots_follow_their_neighbours_and_disturb_nobody(tissue):
    target, source = tissue
    empty = np.zeros(400, dtype=bool)
    empty[[7, 105, 106, 399]] = True
    target.X = sp.csr_matrix(target.X.multiply(~empty[:, None]))
    with pytest.warns(UserWarning, match="4 of 400 spots have no count .* from their neighbours alone"):
        run(target, source)
    without = target[~empty].copy()
    run(without, source)
    assert adjusted_rand_score(target.obs["transst"][~empty], without.obs["transst"]) > 0.95
    assert np.isnan(target.obsm["X_transst"][empty]).all()
    assert np.isfinite(target.obsm["X_transst"][~empty]).all()
    graph, domain = target.obsp["transst_connectivities"], target.obs["transst"].to_numpy()
    around = domain[graph[7].indices]
    assert (around == domain[7]).sum() == max((around == d).sum() for d in np.unique(around))

    source.X = sp.csr_matrix(source.X.multiply(~empty[:, None]))
    with (
        pytest.warns(UserWarning, match="4 of 400 rows of source 'source' have no count"),
        pytest.warns(UserWarning, match="4 of 400 spots"),
    ):
        run(target, source)


def test_number_of_domains_is_chosen(tissue):
    target, source = tissue
    run(target, source, n_domains=range(2, 7), n_subsamples=0)
    table = target.uns["transst"]["n_domains"]
    assert list(table["table"]["n_domains"]) == [2, 3, 4, 5, 6]
    assert target.obs["transst"].cat.categories.size == table["chosen"]
    assert target.obsm["transst_prob"].shape == (400, table["chosen"])
    assert tst.pl.n_domains(target) is not None


def test_genes_that_the_source_lacks_have_loadings_of_the_targets_own(tissue):
    target, source = tissue
    panel = source[:, 5:33].copy()
    with pytest.warns(UserWarning, match="only 28 of the target's 120 genes are shared.*target's own"):
        run(target, panel)
    record = target.uns["transst"]
    detected = np.asarray((target.X > 0).sum(axis=0)).ravel() >= 3
    np.testing.assert_array_equal(record["genes"], target.var_names[detected])
    assert np.isfinite(target.varm["transst_loadings"][detected]).all()
    assert record["source"]["n_shared_genes"] == 28
    assert adjusted_rand_score(target.obs["label"], target.obs["transst"]) > 0.8
    assert "the sources have only 28 of them" in str(tst.tl.transfer_report(target))


def test_shared_genes_come_first(tissue):
    target, source = tissue
    panel = source[:, 5:33].copy()
    with pytest.warns(UserWarning, match="only 28 of"):
        run(target, panel, n_top_genes=40)
    genes = target.uns["transst"]["genes"]
    assert len(genes) == 40
    assert set(panel.var_names) < set(genes)


def test_a_source_of_few_genes_does_not_narrow_the_others(tissue):
    target, source = tissue
    alone, both = target.copy(), target.copy()
    run(alone, {"wide": source})
    sources = {"panel": source[:, 5:33].copy(), "wide": source}
    with pytest.warns(UserWarning, match=r"share few genes .* not used: 'panel' \(28\)"):
        run(both, sources)
    assert (alone.obs["transst"] == both.obs["transst"]).all()
    np.testing.assert_array_equal(alone.varm["transst_loadings"], both.varm["transst_loadings"])
    report = tst.tl.transfer_report(both)
    assert report.sources["shared_genes"].tolist() == [28, 120]
    assert report.sources["used"].tolist() == [False, True]
    assert "'panel' was rejected: it has only 28 of the target's genes" in str(report)
    foreign = source.copy()
    foreign.var_names = "ENSG" + foreign.var_names
    with pytest.raises(ValueError, match="no gene is shared with source 'foreign'"):
        run(target, {"wide": source, "foreign": foreign})
    with pytest.warns(UserWarning, match="only 28 of the target's 120 genes are shared"):
        run(target, sources, source_selection="all")
    assert target.uns["transst"]["source"]["used"].tolist() == [True, True]


def test_a_panel_is_used_where_no_other_source_is(tissue):
    target, source = tissue
    panel, bad = source[:, 5:33].copy(), source.copy()
    bad.X = bad.X[:, np.random.default_rng(0).permutation(bad.n_vars)]
    alone = target.copy()
    with pytest.warns(UserWarning, match="only 28 of the target's 120 genes"):
        run(alone, {"panel": panel})
    with (
        pytest.warns(UserWarning, match="only 28 of the target's 120 genes"),
        pytest.warns(UserWarning, match="too little relevance for the target are not used: 'bad'"),
    ):
        run(target, {"bad": bad, "panel": panel})
    assert tst.tl.transfer_report(target).sources["used"].tolist() == [False, True]
    assert (alone.obs["transst"] == target.obs["transst"]).all()
    np.testing.assert_array_equal(alone.varm["transst_loadings"], target.varm["transst_loadings"])


def test_panels_that_overlap_little_are_not_put_together(tissue):
    target, source = tissue
    sources = {"one": source[:, 5:33].copy(), "two": source[:, 30:50].copy()}
    with (
        pytest.warns(UserWarning, match="only 28 of the target's 120 genes"),
        pytest.warns(UserWarning, match=r"share few genes .* not used: 'two' \(20\)"),
    ):
        run(target, sources)
    assert target.uns["transst"]["source"]["n_shared_genes"] == 28


@pytest.mark.parametrize("scaling", ["joint", "per_dataset"])
def test_the_depth_of_a_panel_does_not_matter(tissue, scaling):
    target, source = tissue
    panel, deeper = source[:, 5:33].copy(), source[:, 5:33].copy()
    deeper.X = deeper.X * 30
    fits = [target.copy(), target.copy()]
    for fit, reference in zip(fits, (panel, deeper), strict=True):
        with pytest.warns(UserWarning, match="only 28 of"):
            run(fit, reference, scaling=scaling)
    loadings = [fit.varm["transst_loadings"] for fit in fits]
    np.testing.assert_allclose(*loadings, rtol=1e-3, atol=1e-5)


@pytest.mark.needs_torch
def test_the_network_needs_shared_genes(tissue):
    target, source = tissue
    with pytest.warns(UserWarning, match="only 28 of the target's 120 genes are shared with the source$"):
        run(target, source[:, 5:33].copy(), encoder="graph-vae", encoder_options={"n_epochs": 2})
    assert len(target.uns["transst"]["genes"]) == 28


def test_conventions():
    """AnnData first, then at most the source; everything else by keyword; documented."""
    for name in tst.tl.__all__:
        function = getattr(tst.tl, name)
        kinds = [p.kind for p in inspect.signature(function).parameters.values()]
        assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) <= 2, name
        assert "Parameters\n----------" in inspect.getdoc(function), name
        assert "Returns\n-------" in inspect.getdoc(function), name
