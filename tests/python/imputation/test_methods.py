import numpy as np
import pytest
from grids import make_section, square_grid, visium_grid, visium_xy

import transst_py as tst
from transst_py._core.optional import has_torch
from transst_py.imputation.domain_means import DomainMeans
from transst_py.imputation.holdout import dense_index
from transst_py.imputation.interpolation import Interpolator
from transst_py.imputation.kriging import BlendedKriging, FactorKriging, GeneKriging
from transst_py.imputation.methods import LATTICE_METHODS, METHODS, make_imputers, possible
from transst_py.imputation.smoothing import Smoother

ALWAYS = {"nearest", "knn", "kernel"}
KRIGED = {"gp", "svd_gp", "kriging"}
INSTALLED = {name for name in METHODS if name != "s2s" or has_torch()}


def section(n_rows, n_cols, *, lattice=True, n_genes=4):
    index = square_grid(n_rows, n_cols)
    values = np.random.default_rng(0).random((len(index), n_genes))
    return make_section(values, index, index=index if lattice else None, kind="square" if lattice else None)


def allowed(*sections):
    names = {name for name in METHODS if possible(name, sections)}
    assert set(make_imputers(METHODS, sections, insist=False)) == names
    return names


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 2), ALWAYS),
        ((1, 3), ALWAYS | KRIGED),
        ((2, 30), {*ALWAYS, *KRIGED, "domain_means", "s2s"}),
        ((3, 3), {*ALWAYS, *KRIGED, "bilinear"}),
        ((5, 9), {*METHODS} - {"bicubic"}),
        ((6, 8), {*METHODS}),
    ],
)
def test_small_sections_leave_methods_out(shape, expected):
    assert allowed(section(*shape)) == expected & INSTALLED
    assert allowed(section(9, 9), section(*shape)) == expected & INSTALLED


def test_cores_far_apart_are_not_interpolated():
    """Two of 38 spots each, in opposite corners of a Visium slide."""
    slide = visium_grid(78, 64)
    xy = visium_xy(slide)
    cores = [np.linalg.norm(xy - center, axis=1).argsort()[:38] for center in ((500, 6000), (6000, 500))]
    spots = np.concatenate(cores)
    values = np.random.default_rng(0).random((76, 4))
    far = make_section(
        values, xy[spots] / 100, index=dense_index(slide[spots], "hexagonal"), kind="hexagonal"
    )
    assert allowed(far) == INSTALLED - {"bilinear", "bicubic"}
    assert "bicubic" in allowed(*(far.subset(np.isin(spots, core)) for core in cores))


def test_off_the_lattice_those_that_need_one_are_left_out():
    assert allowed(section(9, 9, lattice=False)) == INSTALLED - set(LATTICE_METHODS)


def test_domains_need_genes_that_vary():
    flat = section(9, 9)
    flat.values.data[:] = 2.0
    for without in (section(9, 9, n_genes=1), flat):
        assert allowed(without) == INSTALLED - {"domain_means"}


@pytest.mark.needs_torch
def test_who_insists_gets_all():
    assert list(make_imputers(METHODS, [section(1, 2, lattice=False)])) == list(METHODS)


def test_each_name_is_its_method_with_its_options():
    made = make_imputers(
        [name for name in METHODS if name != "s2s"],
        [section(3, 3)],
        options={"domain_means": {"n_domains": 5}},
        random_state=3,
    )
    kinds = {
        "nearest": Smoother,
        "knn": Smoother,
        "kernel": Smoother,
        "bilinear": Interpolator,
        "bicubic": Interpolator,
        "gp": GeneKriging,
        "svd_gp": FactorKriging,
        "kriging": BlendedKriging,
        "domain_means": DomainMeans,
    }
    assert {name: type(imputer) for name, imputer in made.items()} == kinds
    assert {made[name].method for name in ALWAYS} == ALWAYS
    assert (made["bilinear"].order, made["bicubic"].order) == ("linear", "cubic")
    assert (made["domain_means"].n_domains, made["domain_means"].random_state) == (5, 3)


def test_unknown_names_of_the_package():
    with pytest.raises(AttributeError, match="has no attribute 'S3SImputer'"):
        _ = tst.S3SImputer
