"""Anderson acceleration: the same fixed point in far fewer steps."""

import numpy as np

from transst_py._core.anderson import AndersonMixing


def iterate(step, x, n_steps, *, mixed):
    mixing = AndersonMixing(np.ones_like(x))
    for _ in range(n_steps):
        image = step(x)
        x = mixing.propose(x, image) if mixed else image
    return x


def test_a_slow_linear_iteration_is_solved_in_few_steps():
    rng = np.random.default_rng(0)
    A = np.diag([0.99, 0.95, 0.9, 0.5]) + 0.01 * rng.normal(size=(4, 4))
    b = rng.normal(size=4)
    fixed = np.linalg.solve(np.eye(4) - A, b)
    start = np.zeros(4)
    plain = iterate(lambda x: A @ x + b, start, 30, mixed=False)
    mixed = iterate(lambda x: A @ x + b, start, 30, mixed=True)
    assert np.abs(mixed - fixed).max() < 1e-3 * np.abs(plain - fixed).max()


def test_the_first_proposal_is_the_image_itself():
    x, image = np.zeros(3), np.ones(3)
    assert AndersonMixing(np.ones(3)).propose(x, image) is image


def test_after_forgetting_it_starts_anew():
    mixing = AndersonMixing(np.ones(2))
    mixing.propose(np.zeros(2), np.ones(2))
    mixing.forget()
    image = np.full(2, 3.0)
    assert mixing.propose(np.ones(2), image) is image


def test_a_fixed_point_stays():
    mixing = AndersonMixing(np.ones(2))
    x = np.array([1.0, 2.0])
    for _ in range(4):
        np.testing.assert_allclose(mixing.propose(x, x.copy()), x)
