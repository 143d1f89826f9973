from __future__ import annotations

import numpy as np
import pytest

from bench.bodymodels.coarse import coarse_mesh, farthest_points
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.errors import ConfigError


def test_farthest_points_of_a_line() -> None:
    line = np.stack([np.array([0.0, 1, 2, 3, 10]), np.zeros(5), np.zeros(5)], 1)
    assert farthest_points(line, 4).tolist() == [4, 0, 3, 1]


def test_bodies_come_back_within_millimetres_and_follow_every_affine_map() -> None:
    body, mesh = surrogate_body(), coarse_mesh(surrogate_body(), 216)
    np.testing.assert_allclose(mesh.upsampling.sum(1), 1, atol=1e-9)
    rng = np.random.default_rng(7)
    rest, joints = body.shape(rng.normal(size=10))
    posed, _, _ = body.pose(rest, joints, axis_angle_to_matrix(0.3 * rng.normal(size=(24, 3))))
    back = mesh.upsampling @ posed[mesh.vertices].astype(np.float64)
    np.testing.assert_allclose(back[mesh.vertices], posed[mesh.vertices], atol=1e-6)
    gaps = 1000 * np.linalg.norm(back - posed, axis=1)
    assert gaps.mean() < 4
    moved = mesh.upsampling @ (2 * posed[mesh.vertices] + np.float64([1, 2, 3]))
    np.testing.assert_allclose(moved, 2 * back + [1, 2, 3], atol=1e-5)


def test_impossible_sizes_are_refused() -> None:
    for count in (3, 7000):
        with pytest.raises(ConfigError, match=f"not {count}"):
            coarse_mesh(surrogate_body(), count)
