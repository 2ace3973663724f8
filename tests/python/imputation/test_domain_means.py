import numpy as np
import pytest
from grids import make_section, square_grid

from transst_py.imputation.domain_means import DomainMeans, count_varying
from transst_py.imputation.spots import Sites

NOWHERE = Sites(np.empty((0, 2)))


def two_halves(shape=(10, 10), n_genes=20, seed=0):
    """Left and right half of a section, with noise; the levels are the same for every seed."""
    levels = np.random.default_rng(0).choice([1.0, 3.0], (2, n_genes))
    rng = np.random.default_rng(seed)
    xy = square_grid(*shape).astype(float)
    right = (xy[:, 1] >= shape[1] // 2).astype(int)
    values = levels[right] + rng.normal(scale=0.3, size=(len(xy), n_genes))
    return make_section(values, xy), right


def test_halves_are_found_and_averaged():
    section, right = two_halves()
    hidden = np.random.default_rng(1).random(100) < 0.2
    imputer = DomainMeans(2)
    found = imputer.validate([section], [NOWHERE], np.arange(20), [hidden])[0]
    assert found.sd is None
    assert found.mean.dtype == np.float32
    values = section.values.toarray()
    means = np.array([values[(right == side) & ~hidden].mean(axis=0) for side in (0, 1)])
    column = section.sites.positions[hidden, 1]
    inside = (column < 3) | (column > 6)
    np.testing.assert_allclose(found.mean[inside], means[right[hidden]][inside], rtol=1e-4)
    assert imputer.describe() == {"n_domains": 2}


def test_between_domains_they_are_mixed_by_the_votes_around():
    section, right = two_halves()
    fitted = DomainMeans(2).fit([section], [NOWHERE], np.arange(20))
    values = section.values.toarray()
    means = np.array([values[right == side].mean(axis=0) for side in (0, 1)])
    # Two spots of either half are equally near; of the 4 nearest ones one is to the right; none is.
    sites = Sites(np.array([[4.5, 4.5], [4.0, 4.4], [4.5, 2.5]]))
    found = fitted.predict(0, sites).mean
    mixed = 0.75 * means[0] + 0.25 * means[1]
    np.testing.assert_allclose(found, [means.mean(axis=0), mixed, means[0]], rtol=1e-4)


def test_held_out_values_have_no_part():
    section, _ = two_halves((8, 8))
    hidden = np.arange(64) % 7 == 3
    values = section.values.toarray()
    values[hidden] = 1000.0
    other = make_section(values, section.sites.positions)
    one, two = (DomainMeans(2).validate([s], [NOWHERE], np.arange(20), [hidden])[0] for s in (section, other))
    np.testing.assert_array_equal(one.mean, two.mean)


def test_domains_are_common_to_sections_and_genes_may_be_few():
    (one, right_one), (two, right_two) = two_halves((8, 8)), two_halves((6, 10), seed=1)
    fitted = DomainMeans(2).fit([one, two], [NOWHERE, NOWHERE], np.array([5, 2]))
    values = np.concatenate([one.values.toarray(), two.values.toarray()])[:, [5, 2]]
    right = np.concatenate([right_one, right_two])
    means = np.array([values[right == side].mean(axis=0) for side in (0, 1)])
    for number in (0, 1):
        found = fitted.predict(number, Sites(np.array([[2.5, 0.5], [2.5, 7.5]]))).mean
        np.testing.assert_allclose(found, means, rtol=1e-4)
        assert fitted.predict(number, NOWHERE).mean.shape == (0, 2)


def test_fewer_genes_than_factors():
    """TransST needs more genes than factors; sections with few genes are imputed all the same."""
    section, _ = two_halves(n_genes=3)
    found = DomainMeans(2).fit([section], [NOWHERE], np.arange(3)).predict(0, section.sites).mean
    assert np.isfinite(found).all()


def test_bad_input():
    section, _ = two_halves((8, 8), n_genes=4)
    with pytest.raises(ValueError, match="`n_domains` must be at least 1, got 0"):
        DomainMeans(0)
    with pytest.raises(TypeError, match="`n_domains` must be one whole number"):
        DomainMeans(2.0)
    with pytest.raises(ValueError, match="`n_domains`=65 is more than the 64 measured spots"):
        DomainMeans(65).fit([section], [NOWHERE], np.arange(4))
    flat = make_section(np.full((64, 4), 2.0), section.sites.positions)
    with pytest.raises(ValueError, match="needs 2 or more genes that vary, found 0"):
        DomainMeans(2).fit([flat], [NOWHERE], np.arange(4))


def test_genes_that_vary_are_counted_over_sections():
    one = make_section([[0, 1, 2, 3], [0, 1, 5, 3]], np.eye(2))
    two = make_section([[0, 2, 2, 3], [0, 2, 2, 3]], np.eye(2))
    assert (count_varying([one]), count_varying([two]), count_varying([one, two])) == (1, 0, 2)
