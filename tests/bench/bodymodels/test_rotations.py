import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from bench.bodymodels.rotations import axis_angle_to_matrix, forward_kinematics, matrix_to_axis_angle

VECTORS = arrays(np.float64, (4, 3), elements=st.floats(-1.8, 1.8, allow_subnormal=False))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine may stall a draw
@given(VECTORS)
def test_axis_angle_agrees_with_scipy(vectors):
    np.testing.assert_allclose(
        axis_angle_to_matrix(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12
    )


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine may stall a draw
@given(VECTORS)
def test_axis_angle_round_trip(vectors):
    np.testing.assert_allclose(matrix_to_axis_angle(axis_angle_to_matrix(vectors)), vectors, atol=1e-7)


def test_tiny_and_half_turn_angles():
    tiny = np.array([[1e-12, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(matrix_to_axis_angle(axis_angle_to_matrix(tiny)), tiny, atol=1e-15)
    half = np.pi * np.array([[1, 0, 0], [0, 0.6, 0.8], [-0.6, 0, 0.8]])
    back = matrix_to_axis_angle(axis_angle_to_matrix(half))
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), np.pi, atol=1e-7)
    np.testing.assert_allclose(axis_angle_to_matrix(back), axis_angle_to_matrix(half), atol=1e-7)


def test_forward_kinematics_of_a_folding_ruler():
    joints = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [1, 1, 0]]])
    quarter = axis_angle_to_matrix([0, 0, np.pi / 2])
    rotations = np.tile(np.eye(3), (1, 4, 1, 1))
    rotations[0, :2] = quarter
    turned, placed = forward_kinematics(rotations, joints, np.array([-1, 0, 1, 0]))
    np.testing.assert_allclose(placed[0], [[0, 0, 0], [0, 1, 0], [-1, 1, 0], [-1, 1, 0]], atol=1e-15)
    np.testing.assert_allclose(turned[0, 2], quarter @ quarter, atol=1e-15)
