from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import forward_kinematics
from bench.synth.angles import COLUMNS, JOINTS, LOWER, REST, SIDES, UPPER, Pose, limited, rotations

MODEL = surrogate_body()
_, REST_JOINTS = MODEL.shape(np.zeros(10))


def posed_joints(pose: Pose) -> np.ndarray:
    rest = np.broadcast_to(REST_JOINTS, (pose.frames, 24, 3))
    return forward_kinematics(rotations(pose), rest, MODEL.parents)[1]


def random_pose(seed: int, frames: int = 6) -> Pose:
    pose, rng = Pose(frames), np.random.default_rng(seed)
    pose.angles = limited(REST + 50 * rng.normal(size=pose.angles.shape))
    pose.root = 30 * rng.normal(size=(frames, 3))
    return pose


@given(st.integers(0, len(COLUMNS) - 1), st.floats(-400, 400))
def test_limits_hold_softly(column, value):
    angles = REST.copy()
    angles[column] = value
    bounded = limited(angles)
    assert (bounded >= LOWER).all() and (bounded <= UPPER).all()
    middle, half = (LOWER + UPPER)[column] / 2, (UPPER - LOWER)[column] / 2
    if abs(value - middle) < 0.8 * half:
        assert bounded[column] == pytest.approx(value)
    assert np.allclose(np.delete(bounded, column), np.delete(limited(REST), column))


def test_rotations_are_rotations():
    found = rotations(random_pose(0))
    assert np.allclose(found @ np.swapaxes(found, -1, -2), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(found), 1)


def test_composition_agrees_with_scipy():
    pose = random_pose(1)
    found = rotations(pose)
    for side, sign in SIDES:
        flexion, abduction, outward = pose.of(f"{side}_hip").T
        expected = Rotation.from_euler("ZXY", np.stack([sign * abduction, -flexion, sign * outward], 1), True)
        assert np.allclose(found[:, JOINTS[f"{side}_hip"]], expected.as_matrix())
    pitch, roll, yaw = pose.root.T
    expected = Rotation.from_euler("YXZ", np.stack([yaw, pitch, roll], 1), True)
    assert np.allclose(found[:, 0], expected.as_matrix())


def test_arms_hang_and_positive_angles_bend_the_human_way():
    joints = posed_joints(Pose(1))[0]
    for side, _ in SIDES:
        wrist, shoulder = joints[JOINTS[f"{side}_wrist"]], joints[JOINTS[f"{side}_shoulder"]]
        assert shoulder[1] - wrist[1] > 0.45  # hangs
    bent = Pose(1)
    for side, _ in SIDES:
        bent.set(f"{side}_knee", 90)
        bent.set(f"{side}_elbow", 90)
        bent.set(f"{side}_hip", 40)
    moved = posed_joints(bent)[0]
    for side, sign in SIDES:
        assert moved[JOINTS[f"{side}_knee"], 2] > joints[JOINTS[f"{side}_knee"], 2] + 0.2  # thigh forward
        assert moved[JOINTS[f"{side}_ankle"], 2] < moved[JOINTS[f"{side}_knee"], 2] - 0.2  # shin back
        assert (
            moved[JOINTS[f"{side}_wrist"], 2] > joints[JOINTS[f"{side}_wrist"], 2] + 0.15
        )  # forearm forward
        assert sign * moved[JOINTS[f"{side}_wrist"], 0] > 0


@pytest.mark.parametrize(("name", "column"), [("spine", 1), ("spine", 2), ("neck", 2)])
def test_side_and_twist_of_the_trunk_point_left(name, column):
    pose = Pose(1)
    pose.of(name)[:, column] = 25
    head = rotations(pose)[0, [JOINTS[j] for j in ("spine1", "spine2", "spine3", "neck", "head")]]
    total = np.linalg.multi_dot(list(head))
    if column == 1:
        assert (total @ [0, 1, 0])[0] > 0.1  # the crown goes to the left, +x
    else:
        assert (total @ [0, 0, 1])[0] > 0.1  # the face turns to the left


@given(st.integers(0, 10_000))
def test_exchanging_the_sides_mirrors_the_body(seed):
    pose = random_pose(seed, frames=1)
    mirrored = Pose(1)
    for joint, _ in COLUMNS:
        other = {"l": "r", "r": "l"}.get(joint[0], "") + joint[1:] if joint[1] == "_" else joint
        mirrored.of(joint)[:] = pose.of(other)
    for joint in ("spine", "neck"):
        mirrored.of(joint)[:, 1:] *= -1
    mirrored.root = pose.root * [1, -1, -1]
    flip = np.diag([-1.0, 1.0, 1.0])
    swap = [JOINTS[{"l_": "r_", "r_": "l_"}.get(j[:2], j[:2]) + j[2:]] for j in JOINTS]
    assert np.allclose(rotations(mirrored)[0], flip @ rotations(pose)[0][swap] @ flip)
