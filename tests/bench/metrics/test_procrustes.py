from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from bench.metrics.procrustes import similarity_align


def clouds(n: int = 5, points: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, points, 3)) * [300, 500, 200] + rng.normal(size=(n, 1, 3)) * 4000
    return truth, truth + rng.normal(size=truth.shape) * 80


def test_similarities_are_undone() -> None:
    truth, _ = clouds()
    turns = Rotation.random(5, rng=1).as_matrix()
    scale = np.array([0.1, 1, 3, 50, 1e-3])[:, None, None]
    moved = scale * truth @ turns + np.arange(15).reshape(5, 1, 3) * 100
    np.testing.assert_allclose(similarity_align(moved, truth), truth, atol=1e-7)


def test_alignment_ignores_how_the_prediction_lies() -> None:
    truth, found = clouds()
    turns = Rotation.random(5, rng=2).as_matrix()
    once = similarity_align(found, truth)
    np.testing.assert_allclose(similarity_align(0.3 * found @ turns - 7, truth), once, atol=1e-7)
    np.testing.assert_allclose(similarity_align(once, truth), once, atol=1e-7)


def test_one_by_one_it_is_the_least_squares_solution() -> None:
    """Against a numeric minimiser over rotation, scale and shift."""
    truth, found = clouds(3)
    aligned = similarity_align(found, truth)
    for k in range(3):
        there, here = truth[k] / 1000, found[k] / 1000

        def error(v: np.ndarray, here: np.ndarray = here, there: np.ndarray = there) -> float:
            turned = np.exp(v[6]) * Rotation.from_rotvec(v[:3]).apply(here) + v[3:6]
            return float(((turned - there) ** 2).sum())

        best = minimize(error, np.zeros(7), method="BFGS", options={"gtol": 1e-9})
        reached = ((aligned[k] / 1000 - there) ** 2).sum()
        assert reached == pytest.approx(best.fun, rel=1e-5)


def test_mirror_images_stay_apart() -> None:
    """The best proper rotation of a mirrored cloud leaves an error; a reflection would leave none."""
    truth, _ = clouds()
    mirrored = truth * [-1, 1, 1]
    off = np.linalg.norm(similarity_align(mirrored, truth) - truth, axis=2).mean(1)
    assert (off > 30).all()


def test_flat_and_degenerate_clouds_give_finite_numbers() -> None:
    truth, found = clouds()
    flat = found.copy()
    flat[..., 2] = 0
    assert np.isfinite(similarity_align(flat, truth)).all()
    planar = truth.copy()
    planar[..., 2] = 0
    turn = Rotation.from_euler("xyz", [0.4, 0.2, -2]).as_matrix()
    np.testing.assert_allclose(similarity_align(planar @ turn, planar), planar, atol=1e-7)
    single = np.ones_like(found)
    expected = np.broadcast_to(truth.mean(1, keepdims=True), truth.shape)
    np.testing.assert_allclose(similarity_align(single, truth), expected)
    assert similarity_align(np.empty((0, 4, 3)), np.empty((0, 4, 3))).shape == (0, 4, 3)


def test_points_that_do_not_count_move_along() -> None:
    truth, found = clouds()
    counted = np.arange(12) < np.array([12, 4, 7, 9, 3])[:, None]
    aligned = similarity_align(found, truth, counted)
    for k, row in enumerate(counted):
        alone = similarity_align(found[k : k + 1, row], truth[k : k + 1, row])[0]
        np.testing.assert_allclose(aligned[k, row], alone, atol=1e-7)
    rest = np.where(counted[..., None], truth, 1e5)
    np.testing.assert_allclose(similarity_align(found, rest, counted), aligned, atol=1e-5)
