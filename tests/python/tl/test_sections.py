import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grids import make_tissue, square_grid, visium_grid, visium_xy

from transst_py.imputation.holdout import number_sites
from transst_py.imputation.spots import Section, Sites
from transst_py.tissue.lattice import halve_pitch
from transst_py.tl import _sections
from transst_py.tl._samples import rows_of_samples
from transst_py.tl._sections import Places


class TestSites:
    def test_subset_and_join(self):
        index = square_grid(2, 3)
        sites = Sites(index / 2.0, index)
        some = sites.subset(np.array([4, 1]))
        both = some.join(sites.subset(np.arange(6) == 0))
        assert len(both) == 3
        np.testing.assert_array_equal(both.index, index[[4, 1, 0]])
        np.testing.assert_array_equal(both.positions, index[[4, 1, 0]] / 2)
        assert sites.join(Sites(index / 2.0)).index is None

    def test_no_lattice(self):
        np.testing.assert_array_equal(Sites(np.eye(2), np.eye(2, dtype=int)).lattice, np.eye(2))
        with pytest.raises(ValueError, match=r"bilinear, bicubic, s2s.*transst_py\.tl\.bin_cells"):
            _ = Sites(np.eye(2)).lattice

    def test_section(self):
        values = sp.csc_matrix(np.arange(12.0, dtype=np.float32).reshape(4, 3))
        section = Section(values, Sites(np.eye(4)[:, :2]), np.arange(1.0, 5.0), "square")
        keep = np.array([True, False, True, True])
        some = section.subset(keep)
        assert (len(some), some.kind) == (3, "square")
        np.testing.assert_array_equal(some.noise, [1, 3, 4])
        np.testing.assert_array_equal(some.dense(np.array([2, 0])), values.toarray()[keep][:, [2, 0]])
        assert some.dense(np.array([0])).dtype == np.float32


class TestMeasuredExpression:
    def test_scale_and_noise_are_of_the_totals(self):
        adata = make_tissue(square_grid(4, 5))
        totals = adata.X.toarray().sum(axis=1)
        found = _sections.measured_expression(adata, None, "log")
        assert found.target_sum == np.median(totals)
        assert found.scale == "log(1 + counts * target_sum / total)"
        expected = np.log1p(adata.X.toarray() * np.median(totals) / totals[:, None])
        np.testing.assert_allclose(found.values.toarray(), expected, rtol=1e-5)
        assert found.values.dtype == np.float32
        np.testing.assert_allclose(found.noise, np.sqrt(np.median(totals) / totals), rtol=1e-6)

    def test_as_given(self):
        adata = make_tissue(square_grid(4, 5))
        adata.layers["other"] = -adata.X
        found = _sections.measured_expression(adata, "other", "none")
        np.testing.assert_array_equal(found.values.toarray(), -adata.X.toarray())
        assert (found.noise == 1).all()
        assert np.isnan(found.target_sum)
        assert found.scale == "as given"

    def test_a_measured_spot_without_counts_is_noisy_not_infinite(self):
        adata = make_tissue(square_grid(4, 5))
        X = adata.X.toarray()
        X[3] = 0
        adata.X = sp.csr_matrix(X)
        noise = _sections.measured_expression(adata, None, "log").noise
        assert np.isfinite(noise).all()
        assert noise[3] == noise.max() > 2 * np.delete(noise, 3).max()

    def test_bad_input(self):
        adata = make_tissue(square_grid(4, 5))
        with pytest.raises(ValueError, match=r"1 measured spot\(s\); .* at least two"):
            _sections.measured_expression(adata[:1], None, "log")
        with pytest.raises(KeyError, match="no layer"):
            _sections.measured_expression(adata, "nope", "log")


class TestCutSections:
    def test_known_spots_and_sites_of_each_in_its_spacing(self):
        adata = make_tissue(square_grid(4, 5))
        xy = adata.obsm["spatial"] * np.where(np.arange(20) < 10, 1.0, 30.0)[:, None]
        places = Places(xy, np.arange(40).reshape(20, 2), "square")
        known = ~np.isin(np.arange(20), [3, 15, 16])
        expression = _sections.measured_expression(adata[known], None, "log")
        values = np.full((20, adata.n_vars), np.nan, dtype=np.float32)
        values[known] = expression.values.toarray()
        noise = np.full(20, np.nan)
        noise[known] = expression.noise
        groups = [np.arange(10), np.arange(19, 9, -1)]
        sections, sites, spacing = _sections.cut_sections(expression, places, known, groups)
        np.testing.assert_allclose(spacing, [1.0, 30.0])
        for section, wanted, rows, length in zip(sections, sites, groups, spacing, strict=True):
            own, other = rows[known[rows]], rows[~known[rows]]
            np.testing.assert_array_equal(section.values.toarray(), values[own])
            np.testing.assert_array_equal(section.noise, noise[own])
            assert section.kind == "square"
            for found, which in ((section.sites, own), (wanted, other)):
                np.testing.assert_allclose(found.positions, xy[which] / length)
                np.testing.assert_array_equal(found.index, places.index[which])

    def test_rows_of_samples(self):
        names = ["b", "a", "b"]
        named = rows_of_samples(np.array(names), 3)
        assert [(name, rows.tolist()) for name, rows in named] == [("a", [1]), ("b", [0, 2])]
        ordered = rows_of_samples(pd.Series(pd.Categorical(names, categories=["b", "a"])), 3)
        assert [(name, rows.tolist()) for name, rows in ordered] == [("b", [0, 2]), ("a", [1])]
        ((name, rows),) = rows_of_samples(None, 3)
        assert name is None
        assert rows.tolist() == [0, 1, 2]


class TestLattices:
    def test_neighbours_of_a_hexagonal_lattice_are_numbered_so(self):
        grid = visium_grid(5, 4) + np.array([7, 3])
        adata = make_tissue(grid, xy=visium_xy(grid))
        places = _sections.lattice_places(adata, adata.obsm["spatial"], None)
        assert places.kind == "hexagonal"
        xy = adata.obsm["spatial"]
        near = np.isclose(np.linalg.norm(xy[:, None] - xy[None], axis=-1), 100, rtol=0.01)
        steps = (places.index[:, None] - places.index[None])[near]
        assert {tuple(step) for step in steps} == {(0, 1), (0, -1), (1, 0), (-1, 0), (1, -1), (-1, 1)}

    def test_samples_are_numbered_by_themselves(self):
        adata = make_tissue(square_grid(6, 4))
        adata.obs.loc[adata.obs["array_row"] > 2, "array_row"] += 100
        samples = np.repeat(["A", "B"], 12)
        xy = adata.obsm["spatial"]
        places = _sections.lattice_places(adata, xy, samples)
        np.testing.assert_array_equal(places.index, np.tile(square_grid(3, 4), (2, 1)))

    def test_places_are_numbered_where_that_is_needed_or_possible(self):
        adata = make_tissue(square_grid(3, 4))
        options = {"xy": adata.obsm["spatial"], "samples": None, "otherwise": "nothing is numbered"}
        for needed_by in ("this", None):
            places = _sections.find_places(adata, **options, needed_by=needed_by)
            np.testing.assert_array_equal(places.index, square_grid(3, 4))
        adata.obs["array_row"] = 0.5
        with pytest.raises(ValueError, match=r"^this needs a lattice: .* whole numbers.*bin_cells"):
            _sections.find_places(adata, **options, needed_by="this")
        with pytest.warns(UserWarning, match="so nothing is numbered: .* whole numbers"):
            places = _sections.find_places(adata, **options, needed_by=None)
        assert places.index is None
        # Coordinates are looked at only if that is needed.
        adata.obs = adata.obs[[]]
        assert _sections.find_places(adata, **options, needed_by=None).index is None
        assert _sections.find_places(adata, **options, needed_by="this").kind == "square"

    def test_several_kinds(self):
        assert _sections.one_kind({"square"}) == "square"
        with pytest.raises(ValueError, match="both square and hexagonal"):
            _sections.one_kind({"square", "hexagonal"})

    def test_errors_name_the_sample(self):
        adata = make_tissue(square_grid(1, 4))
        with pytest.raises(ValueError, match=r"^sample 'A': all spots lie on one line"):
            _sections.lay_lattice(adata, adata.obsm["spatial"], "A")
        with pytest.raises(ValueError, match=r"^all spots lie on one line"):
            _sections.lay_lattice(adata, adata.obsm["spatial"])

    @pytest.mark.parametrize("odd", [0, 1])
    def test_finer_sites_are_named_like_the_measured_ones(self, odd):
        """Also where the first spot of a hexagonal lattice has an odd column."""
        grid = square_grid(5, 8)
        grid = grid[grid.sum(axis=1) % 2 == odd]
        adata = make_tissue(grid, xy=visium_xy(grid))
        lattice = _sections.lay_lattice(adata, adata.obsm["spatial"])
        fine = number_sites(halve_pitch(lattice), lattice.kind)
        steps = fine[: len(grid)] - fine[0]
        assert (steps % 2 == 0).all()
        places = _sections.lattice_places(adata, adata.obsm["spatial"], None)
        np.testing.assert_array_equal(steps // 2, places.index - places.index[0])
        assert len(np.unique(fine, axis=0)) == len(fine)


class TestColumns:
    def test_measured(self):
        adata = make_tissue(square_grid(2, 2))
        adata.obs["measured"] = [1, 0, 1, 1]
        assert _sections.measured_mask(adata, None).tolist() == [True, False, True, True]
        del adata.obs["measured"]
        assert _sections.measured_mask(adata, None).all()
        adata.X[2] = 0
        with pytest.warns(UserWarning, match=r"1 of 4 spots have no counts .*'s2'"):
            assert _sections.measured_mask(adata, None).tolist() == [True, True, False, True]

    def test_in_tissue(self):
        adata = make_tissue(square_grid(2, 2))
        _sections.check_in_tissue(adata)
        adata.obs["in_tissue"] = True
        _sections.check_in_tissue(adata)
        adata.obs["in_tissue"] = [1, 1, 0, 1]
        with pytest.raises(ValueError, match="1 of 4 spots lie outside the tissue"):
            _sections.check_in_tissue(adata)

    def test_genes(self):
        adata = make_tissue(square_grid(2, 2))
        assert _sections.gene_columns(adata, None).tolist() == list(range(6))
        assert _sections.gene_columns(adata, pd.Index(["g4", "g1"])).tolist() == [4, 1]

    def test_samples(self):
        adata = make_tissue(square_grid(2, 3))
        adata.obs["section"] = pd.Categorical([2, 2, 1, 1, 2, 1])
        measured = np.ones(6, dtype=bool)
        assert _sections.sample_names(adata, None, measured) is None
        assert _sections.sample_names(adata, "section", measured).tolist() == list("221121")
        measured[[2, 3]] = False
        with pytest.raises(ValueError, match=r"fewer than two measured spots in 1 of 2 samples .*'1'"):
            _sections.sample_names(adata, "section", measured)
