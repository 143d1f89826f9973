from __future__ import annotations

import numpy as np
import pytest

from bench.synth.angles import JOINTS
from bench.synth.camera import Camera
from bench.synth.keypoints import DEPTH_OF_JOINT, HIDDEN, OUTSIDE, VISIBLE, detect, project_joints

CAMERA = Camera(rotation=np.eye(3), eye=np.zeros(3), focal=32.0, cx=32.0, cy=32.0)


def test_visibility_by_hand():
    joints = np.tile([0.0, 0.0, 2.0], (24, 1))
    joints[JOINTS["l_knee"]] = (3.0, 0.0, 2.0)  # 48 pixels to the right: outside
    depth = np.full((64, 64), 1.9, np.float32)
    found = project_joints(CAMERA, joints, depth)
    assert np.allclose(found[JOINTS["head"], :3], [32, 32, 2])
    assert found[JOINTS["l_knee"], 3] == OUTSIDE
    assert found[JOINTS["head"], 3] == VISIBLE  # skin 10 cm in front of the joint
    assert found[JOINTS["l_wrist"], 3] == HIDDEN  # a wrist is not that thick
    assert found[JOINTS["pelvis"], 3] == VISIBLE and DEPTH_OF_JOINT[JOINTS["pelvis"]] == 0.2


@pytest.fixture(scope="module")
def detections():
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(8, 56, (24, 2)), np.full((24, 1), 3.0), np.full((24, 1), 2.0)], 1)
    return joints.astype(np.float32), np.stack(
        [detect(joints.astype(np.float32), 64, rng) for _ in range(2000)]
    )


def test_detector_errors_have_the_stated_size(detections):
    joints, found = detections
    box = np.ptp(joints[:, :2], axis=0).max()
    error = found[..., :2] - joints[:, :2]
    elbow = error[:, JOINTS["neck"]].std() / box
    wrist = np.median(np.abs(error[:, JOINTS["l_wrist"]])) / 0.6745 / box
    assert elbow == pytest.approx(0.015, rel=0.1) and wrist == pytest.approx(0.04, rel=0.1)
    missing = (found[..., 2] == 0).mean()
    assert missing == pytest.approx(0.05, abs=0.01)
    assert (found[..., 2] <= 1).all() and (found[..., 2] >= 0).all()


def test_limbs_are_sometimes_swapped(detections):
    joints, found = detections
    left, right = JOINTS["l_knee"], JOINTS["r_knee"]
    to_other = np.linalg.norm(found[:, left, :2] - joints[right, :2], axis=1)
    to_own = np.linalg.norm(found[:, left, :2] - joints[left, :2], axis=1)
    assert (to_other < to_own).mean() == pytest.approx(0.03, abs=0.015)
