import numpy as np
import pytest

from bench.bodymodels.build.correctives import dual_quaternion_skin, fit_correctives
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix

pytestmark = pytest.mark.slow  # of a tool that is run by hand


def test_one_joint_moves_rigidly():
    rng = np.random.default_rng(0)
    points, shift = rng.normal(size=(20, 3)), rng.normal(size=(1, 3))
    rotation = axis_angle_to_matrix([[0.4, -1.0, 0.3]])
    moved = dual_quaternion_skin(points, np.ones((20, 1)), rotation, shift)
    np.testing.assert_allclose(moved, points @ rotation[0].T + shift, atol=1e-12)


def test_a_half_twisted_cylinder_keeps_its_radius():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.zeros(12), np.cos(angle), np.sin(angle)], 1)
    turned = axis_angle_to_matrix([[0, 0, 0], [np.radians(120), 0, 0]])
    weights = np.full((12, 2), 0.5)
    moved = dual_quaternion_skin(ring, weights, turned, np.zeros((2, 3)))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-12)
    linear = 0.5 * ring + 0.5 * ring @ turned[1].T
    assert np.linalg.norm(linear, axis=1).max() < 0.51


def test_sign_of_a_quaternion_does_not_matter():
    turned = axis_angle_to_matrix([[0, 0, np.radians(170)], [0, 0, np.radians(190)]])
    point, weights = np.array([[1.0, 0, 0]]), np.array([[0.5, 0.5]])
    np.testing.assert_allclose(
        dual_quaternion_skin(point, weights, turned, np.zeros((2, 3))), [[-1, 0, 0]], atol=1e-12
    )


def test_shipped_correctives_come_from_the_shipped_body():
    body = surrogate_body()
    vertices = body.v_template.astype(np.float64)
    fitted = fit_correctives(
        vertices,
        body.joint_regressor @ vertices,
        body.weights.astype(np.float64),
        body.parents,
        body.mirror,
        0,
    )
    assert abs(fitted - body.posedirs).max() < 1e-3
