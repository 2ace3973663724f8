import numpy as np
import pytest
from grids import make_section, square_grid

from transst_py.imputation import smoothing
from transst_py.imputation.smoothing import SMOOTHERS, Smoother
from transst_py.imputation.spots import Sites

METHODS = list(SMOOTHERS)
NOWHERE = Sites(np.empty((0, 2)))


def smooth_and_noise(shape=(20, 20), seed=0):
    """Gene 0 is a sharp stripe, gene 1 a smooth wave, gene 2 noise, gene 3 constant."""
    rng = np.random.default_rng(seed)
    xy = square_grid(*shape).astype(float)
    genes = [
        (xy[:, 1] // 3 % 2) * 5.0,
        3 + np.sin(xy[:, 0] / 4) + rng.normal(scale=0.3, size=len(xy)),
        rng.random(len(xy)),
        np.full(len(xy), 2.0),
    ]
    return make_section(np.column_stack(genes), xy)


def fit(method, *sections, genes=None):
    genes = np.arange(sections[0].values.shape[1]) if genes is None else np.asarray(genes)
    return Smoother(method).fit(sections, [NOWHERE] * len(sections), genes)


def shifted(section):
    return Sites(section.sites.positions + 0.5)


@pytest.mark.parametrize("method", ["kernel", "knn"])
def test_width_suits_each_gene(method):
    fitted = fit(method, smooth_and_noise())
    stripe, wave, noise, _ = fitted.width_
    assert stripe < wave < noise
    assert fitted.describe()["width"].tolist() == fitted.width_.tolist()


def test_nearest_has_nothing_to_choose():
    fitted = fit("nearest", smooth_and_noise())
    assert fitted.width_.tolist() == [1.0] * 4
    assert fitted.describe() == {}
    assert fitted.predict(0, NOWHERE).sd is None


@pytest.mark.parametrize("method", ["kernel", "knn"])
def test_errors_are_those_of_plain_leave_one_out(method):
    rng = np.random.default_rng(0)
    section = smooth_and_noise((8, 9))
    # No two spots are equally near.
    section = make_section(
        section.values.toarray(), section.sites.positions + rng.normal(scale=0.1, size=(72, 2))
    )
    xy, values = section.sites.positions, section.values.toarray().astype(float)
    fitted = fit(method, section)
    expected = np.zeros((len(SMOOTHERS[method]), 4))
    for number, width in enumerate(SMOOTHERS[method]):
        for i in range(len(xy)):
            squared = ((xy - xy[i]) ** 2).sum(axis=1)
            near = np.argsort(squared)[1 : smoothing.N_NEIGHBORS + 1]
            weights = np.arange(len(near)) < width
            if method == "kernel":
                weights = np.exp(-squared[near] / (2 * width**2))
            expected[number] += (weights @ values[near] / weights.sum() - values[i]) ** 2
    np.testing.assert_allclose(fitted._leave_one_out_errors(), expected, rtol=1e-3, atol=1e-3)
    chosen = [SMOOTHERS[method].index(width) for width in fitted.width_[:3]]
    assert chosen == expected.argmin(axis=0)[:3].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_gene_does_not_depend_on_its_company(method):
    section = smooth_and_noise()
    together = fit(method, section).predict(0, shifted(section)).mean
    for genes in ([0], [1], [2], [3], [2, 0]):
        some = fit(method, section, genes=genes).predict(0, shifted(section)).mean
        np.testing.assert_allclose(some, together[:, genes], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_constants_stay_constant_and_blocks_do_not_matter(method, monkeypatch):
    section = smooth_and_noise()
    whole = fit(method, section).predict(0, shifted(section)).mean
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole[:, 3], 2.0, rtol=1e-6)
    monkeypatch.setattr(smoothing, "BLOCK_GENES", 1)
    monkeypatch.setattr(smoothing, "BLOCK_SITES", 7)
    blocks = fit(method, section).predict(0, shifted(section)).mean
    np.testing.assert_allclose(blocks, whole, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_sections_share_the_width_and_nothing_else(method):
    one, two = smooth_and_noise((9, 9)), smooth_and_noise((12, 8), seed=1)
    both = fit(method, one, two)
    separate = fit(method, one)._leave_one_out_errors() + fit(method, two)._leave_one_out_errors()
    np.testing.assert_allclose(both._leave_one_out_errors(), separate)
    if method != "nearest":
        chosen = np.array(SMOOTHERS[method])[separate.argmin(axis=0)]
        assert both.width_.tolist() == chosen.tolist()
    for number, section in enumerate((one, two)):
        found = both.predict(number, shifted(section)).mean
        measured = section.values.toarray()
        assert (found >= measured.min(axis=0) - 1e-5).all()
        assert (found <= measured.max(axis=0) + 1e-5).all()
    if method == "nearest":
        loud = make_section(two.values.toarray() * 1000 + 7, two.sites.positions)
        np.testing.assert_array_equal(
            fit(method, one, loud).predict(0, shifted(one)).mean, both.predict(0, shifted(one)).mean
        )


@pytest.mark.parametrize("method", METHODS)
def test_two_spots(method):
    fitted = fit(method, make_section([[4.0, 1.0], [4.0, 2.0]], np.eye(2)))
    found = fitted.predict(0, Sites(np.array([[1.0, 0.1], [30.0, 0.0]]))).mean
    np.testing.assert_allclose(found[:, 0], 4.0)
    assert ((found[:, 1] >= 1) & (found[:, 1] <= 2)).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_sites(method):
    assert fit(method, smooth_and_noise((5, 5))).predict(0, NOWHERE).mean.shape == (0, 4)


def test_smooth_gene_is_predicted_better_than_by_its_mean():
    section = smooth_and_noise()
    hidden = np.random.default_rng(1).random(len(section)) < 0.3
    truth = section.values.toarray()[hidden]
    for method in ("kernel", "knn"):
        found = Smoother(method).validate([section], [NOWHERE], np.arange(4), [hidden])[0].mean
        error = ((found - truth) ** 2).mean(axis=0)
        assert (error[:2] < 0.6 * truth.var(axis=0)[:2]).all()
