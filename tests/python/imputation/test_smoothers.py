import numpy as np
import pytest
from grids import square_grid

from transst_py.imputation import smoothers


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    return rng.random((30, 2)), rng.random((12, 2))


def test_kernel_is_nadaraya_watson(cloud):
    measured, sites = cloud
    around = smoothers.find_neighbours(measured, sites, n_neighbors=100)
    found = smoothers.kernel_weights(around, 0.2).toarray()
    plain = np.exp(-((sites[:, None] - measured[None]) ** 2).sum(axis=-1) / (2 * 0.2**2))
    np.testing.assert_allclose(found, plain / plain.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-7)


def test_leaving_one_out_is_removing_it(cloud):
    measured, _ = cloud
    without = smoothers.find_neighbours(measured, n_neighbors=100)
    for weights_of in (
        smoothers.nearest_weights,
        lambda near: smoothers.kernel_weights(near, 0.1),
        lambda near: smoothers.knn_weights(near, 4),
    ):
        found = weights_of(without).toarray()
        for i in range(len(measured)):
            others = np.delete(np.arange(len(measured)), i)
            near = smoothers.find_neighbours(measured[others], measured[[i]], n_neighbors=100)
            assert found[i, i] == 0
            np.testing.assert_allclose(found[i, others], weights_of(near).toarray()[0], atol=1e-6)


def test_far_sites_get_their_nearest_spot_not_nan(cloud):
    measured, _ = cloud
    far = np.array([[1e4, 1e4]])
    near = smoothers.find_neighbours(measured, far, n_neighbors=8)
    weights = smoothers.kernel_weights(near, 1e-3).toarray()
    np.testing.assert_allclose(weights, smoothers.nearest_weights(near).toarray(), atol=1e-6)


def test_ties_do_not_depend_on_the_order_of_spots():
    measured = square_grid(6, 6).astype(float)
    sites = measured + 0.5
    shuffled = np.random.default_rng(0).permutation(len(measured))
    straight = smoothers.nearest_weights(smoothers.find_neighbours(measured, sites, n_neighbors=9))
    other = smoothers.nearest_weights(smoothers.find_neighbours(measured[shuffled], sites, n_neighbors=9))
    np.testing.assert_array_equal(straight.toarray()[:, shuffled], other.toarray())
    assert (straight.toarray().sum(axis=1) == 1).all()


def test_knn_is_the_mean_of_the_nearest(cloud):
    measured, sites = cloud
    around = smoothers.find_neighbours(measured, sites, n_neighbors=9)
    distance = np.linalg.norm(sites[:, None] - measured[None], axis=-1)
    for k in (1, 5):
        nearest = distance <= np.sort(distance, axis=1)[:, [k - 1]]
        np.testing.assert_allclose(smoothers.knn_weights(around, k).toarray(), nearest / k, rtol=1e-6)


def test_knn_shares_the_last_places_between_equally_near_spots():
    measured = square_grid(7, 7).astype(float)
    middle = 3 * 7 + 3
    noise = np.random.default_rng(0).normal(scale=1e-9, size=measured.shape)
    shuffled = np.random.default_rng(1).permutation(len(measured))
    for positions in (measured, measured + noise):
        near = smoothers.find_neighbours(positions, n_neighbors=20)
        weights = smoothers.knn_weights(near, 6).toarray()
        assert weights[middle, middle] == 0
        at = weights[middle].reshape(7, 7)
        np.testing.assert_allclose(at[[2, 4, 3, 3], [3, 3, 2, 4]], 1 / 6, rtol=1e-6)
        # Two places are left for the four diagonal neighbours.
        np.testing.assert_allclose(at[[2, 2, 4, 4], [2, 4, 2, 4]], 0.5 / 6, rtol=1e-6)
        assert np.count_nonzero(at) == 8
        other = smoothers.find_neighbours(positions[shuffled], n_neighbors=20)
        np.testing.assert_allclose(
            smoothers.knn_weights(other, 6).toarray(), weights[np.ix_(shuffled, shuffled)], rtol=1e-6
        )


def test_knn_of_few_spots_is_their_mean(cloud):
    measured, sites = cloud
    all_of_them = smoothers.find_neighbours(measured[:4], sites, n_neighbors=9)
    np.testing.assert_allclose(smoothers.knn_weights(all_of_them, 9).toarray(), 1 / 4)
    without = smoothers.find_neighbours(measured[:4], n_neighbors=9)
    np.testing.assert_allclose(smoothers.knn_weights(without, 9).toarray(), (1 - np.eye(4)) / 3, rtol=1e-6)


def test_knn_refuses_what_may_cut_equally_near_spots():
    measured = square_grid(6, 6).astype(float)
    near = smoothers.find_neighbours(measured, n_neighbors=7)
    with pytest.raises(ValueError, match=r"`k`: .* among those as far as the 6-th nearest; find more"):
        smoothers.knn_weights(near, 6)
    near = smoothers.find_neighbours(measured, n_neighbors=12)
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        smoothers.knn_weights(near, 0)
    with pytest.raises(TypeError, match="`k` must be one whole number"):
        smoothers.knn_weights(near, 2.0)


def test_coinciding_spots():
    with pytest.raises(ValueError, match="share their position"):
        smoothers.typical_spacing(np.zeros((5, 2)))


def test_rows_sum_to_one_and_sites_see_themselves(cloud):
    measured, sites = cloud
    near = smoothers.find_neighbours(measured, np.concatenate([measured[:3], sites]), n_neighbors=9)
    for weights in (
        smoothers.nearest_weights(near),
        smoothers.knn_weights(near, 5),
        smoothers.kernel_weights(near, 0.1),
    ):
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(
        smoothers.nearest_weights(near).toarray()[:3], np.eye(len(measured), dtype=np.float32)[:3]
    )


def test_spacing_is_the_median_distance_to_the_nearest():
    positions = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [50.0, 0.0]])
    assert smoothers.typical_spacing(positions) == np.median([1.0, 1.0, 2.0, 47.0])
    assert smoothers.typical_spacing(0.25 * square_grid(5, 4)) == 0.25
