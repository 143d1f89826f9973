from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.metrics.mesh import LSP14_OF_H36M17, evaluation_joints, mean_distance, mesh_errors

RNG = np.random.default_rng(0)
NAMES = {"pa_mpjpe", "mpjpe", "mpvpe", "pa_mpvpe"}


def small() -> tuple[np.ndarray, np.ndarray, sparse.csr_array]:
    """Two meshes of 40 vertices, their truth, and a regressor of a pelvis and 6 joints."""
    truth = RNG.normal(size=(2, 40, 3))
    rows = RNG.random((7, 40)) ** 8
    joints = sparse.csr_array(rows / rows.sum(1, keepdims=True))
    return truth + 0.1 * RNG.normal(size=truth.shape), truth, joints


def test_a_perfect_mesh_has_no_error_wherever_it_stands() -> None:
    _, truth, joints = small()
    for values in mesh_errors(truth + np.array([1.0, -2.0, 3.0]), truth, joints).values():
        np.testing.assert_allclose(values, 0, atol=1e-9)


def test_a_hand_computed_miniature() -> None:
    truth = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    found = truth + np.array([[[5.0, 0, 0], [5.003, 0, 0], [5, 0.004, 0], [5, 0, 0]]])
    found = truth + (found - truth)
    joints = sparse.csr_array(np.eye(4)[[0, 1, 2]])  # pelvis = vertex 0, joints = vertices 1 and 2
    errors = mesh_errors(found, truth, joints)
    assert errors["mpjpe"] == pytest.approx([(3 + 4) / 2])
    assert errors["mpvpe"] == pytest.approx([(0 + 3 + 4 + 0) / 4])


def test_aligned_errors_ignore_similarities_and_no_mirror() -> None:
    found, truth, joints = small()
    plain = mesh_errors(found, truth, joints)
    turn = axis_angle_to_matrix([0.3, -1.2, 2.0])
    moved = mesh_errors(2.5 * found @ turn.T + [3.0, 0.0, 1.0], truth, joints)
    for name in ("pa_mpjpe", "pa_mpvpe"):
        np.testing.assert_allclose(moved[name], plain[name], rtol=1e-9)
    assert (moved["mpjpe"] > 2 * plain["mpjpe"]).all()
    assert (mesh_errors(truth * [-1, 1, 1], truth, joints)["pa_mpvpe"] > 100).all()


def test_agrees_with_plain_loops() -> None:
    found, truth, joints = small()
    errors, matrix = mesh_errors(found, truth, joints), joints.toarray()
    assert set(errors) == NAMES
    for n in range(2):
        p, g = matrix @ found[n], matrix @ truth[n]
        gaps = [np.linalg.norm((p[j] - p[0]) - (g[j] - g[0])) for j in range(1, 7)]
        assert errors["mpjpe"][n] == pytest.approx(1000 * np.mean(gaps))
        gaps = [np.linalg.norm((v - p[0]) - (w - g[0])) for v, w in zip(found[n], truth[n], strict=True)]
        assert errors["mpvpe"][n] == pytest.approx(1000 * np.mean(gaps))


def test_evaluated_joints_are_the_named_ones_on_the_right_sides() -> None:
    body = surrogate_body()
    rows = evaluation_joints(body)
    assert rows.shape == (15, 6890) and len(LSP14_OF_H36M17) == 14
    np.testing.assert_allclose(rows.sum(1), 1)
    pelvis, *joints = rows @ body.v_template  # T-pose, left is +x, up is +y
    sides = np.array([-1, -1, -1, 1, 1, 1, -1, -1, -1, 1, 1, 1])
    assert (np.sign([joint[0] for joint in joints[:12]]) == sides).all()
    heights = [joint[1] for joint in joints]
    assert heights[0] < heights[1] < heights[2] < heights[12] < heights[13]  # ankle, knee, hip, neck, head
    assert abs(joints[6][0]) > abs(joints[7][0]) > abs(joints[8][0])  # wrist, elbow, shoulder
    assert abs(pelvis[0]) < 0.01


def test_mean_distance_of_nothing() -> None:
    assert mean_distance(np.zeros((0, 3, 3)), np.zeros((0, 3, 3))).shape == (0,)
