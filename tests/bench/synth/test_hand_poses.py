from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.bodymodels.hands import hand_joints
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import surrogate_hand
from bench.synth import hand_poses
from bench.synth.hand_poses import FINGERS, GESTURES, articulation, gesture, jitter, local_rotations

HAND21 = JOINT_SETS["hand21"].names
STRAIGHT = articulation((0, 0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0, 0))


class Still(np.random.Generator):
    """A stream without noise: normal numbers are 0, uniform ones always the same."""

    def __init__(self, uniform: float = 0.0) -> None:
        super().__init__(np.random.PCG64(0))
        self.uniform_value = uniform

    def normal(self, *args, size=None, **kwargs):
        return np.zeros(size or ())

    def random(self, *args, **kwargs):
        return self.uniform_value


def places(rotations):
    """Joints of the posed mean hand by name."""
    hand = surrogate_hand()
    vertices, joints = hand.shape([])
    posed, placed, _ = hand.pose(vertices, joints, rotations)
    return dict(zip(HAND21, hand_joints(posed.astype(float), placed), strict=True))


def extended(place, finger):
    """Distance from first joint to tip over the length of the finger, 1 = straight."""
    chain = np.stack([place[f"{finger} {k}"] for k in (1, 2, 3)] + [place[f"{finger} tip"]])
    return np.linalg.norm(chain[-1] - chain[0]) / np.linalg.norm(np.diff(chain, axis=0), axis=1).sum()


def test_the_gestures_are_the_agreed_ones():
    assert GESTURES == (
        "call", "dislike", "fist", "four", "like", "mute", "ok", "one", "palm", "peace", "peace_inverted",
        "rock", "stop", "stop_inverted", "three", "three2", "two_up", "two_up_inverted",
    )  # fmt: skip
    assert list(GESTURES) == sorted(GESTURES)
    for row in hand_poses.GESTURE_TABLE.values():
        assert row.articulation.shape == (5, 4)


def test_rest_is_no_rotation_and_all_are_rotations():
    np.testing.assert_allclose(local_rotations(STRAIGHT), np.tile(np.eye(3), (16, 1, 1)), atol=1e-15)
    drawn = local_rotations(np.random.default_rng(0).uniform(-40, 90, (3, 2, 5, 4)))
    assert drawn.shape == (3, 2, 16, 3, 3)
    np.testing.assert_allclose(
        drawn @ drawn.swapaxes(-1, -2), np.broadcast_to(np.eye(3), drawn.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(drawn), 1)


def test_angles_are_composed_as_a_hand_moves():
    """A second way to the same rotations: one finger at a time, with scipy."""
    angles = np.random.default_rng(1).uniform(-20, 80, (5, 4))
    found = local_rotations(angles)
    for finger, (first, fan) in enumerate(
        zip((1, 4, 10, 7), (0.10, 0.02, -0.06, -0.14), strict=True), start=1
    ):
        axis = Rotation.from_euler("y", fan).apply([0, 0, 1])
        mcp, pip, dip, side = np.radians(angles[finger])
        wanted = Rotation.from_euler("y", side) * Rotation.from_rotvec(mcp * axis)
        np.testing.assert_allclose(found[first], wanted.as_matrix(), atol=1e-12)
        np.testing.assert_allclose(found[first + 1], Rotation.from_rotvec(pip * axis).as_matrix(), atol=1e-12)
        np.testing.assert_allclose(found[first + 2], Rotation.from_rotvec(dip * axis).as_matrix(), atol=1e-12)
    wanted = Rotation.from_euler("x", angles[0, 0], degrees=True) * Rotation.from_euler(
        "y", -angles[0, 1], degrees=True
    )
    np.testing.assert_allclose(found[13], wanted.as_matrix(), atol=1e-12)
    bends = Rotation.from_matrix(found[14:16]).as_rotvec(degrees=True)
    np.testing.assert_allclose(np.linalg.norm(bends, axis=1), np.abs(angles[0, 2:]))


def test_positive_angles_go_where_they_say():
    straight = places(local_rotations(STRAIGHT))
    for finger, name in enumerate(FINGERS):
        for column in range(4):
            angles = STRAIGHT.copy()
            angles[finger, column] = 20
            moved = places(local_rotations(angles))[f"{name} tip"] - straight[f"{name} tip"]
            if name == "thumb":
                palmwards, across = moved[1] < -0.002, moved[2] < -0.002
                assert palmwards if column == 0 else across
            elif column < 3:
                assert moved[1] < -0.005  # flexion, towards the palm
            else:
                assert moved[2] > 0.01 and abs(moved[1]) < 0.002  # abduction, towards the thumb


def test_curled_and_open_fingers_are_told_apart_in_every_gesture():
    open_fingers = {
        "call": "thumb little", "dislike": "thumb", "fist": "", "four": "index middle ring little",
        "like": "thumb", "mute": "index", "ok": "middle ring little", "one": "index",
        "palm": "thumb index middle ring little", "peace": "index middle", "peace_inverted": "index middle",
        "rock": "index little",
        "stop": "index middle ring little", "stop_inverted": "index middle ring little",
        "three": "index middle ring", "three2": "thumb index middle", "two_up": "index middle",
        "two_up_inverted": "index middle",
    }  # fmt: skip
    for name, fingers in open_fingers.items():
        place = places(gesture(name, Still()))
        for finger in FINGERS[1:]:
            share = extended(place, finger)
            assert share > 0.97 if finger in fingers.split() else share < 0.9, (name, finger)
        if "thumb" in fingers:
            assert extended(place, "thumb") > 0.94


def test_ok_closes_a_ring_and_peace_opens_a_gap():
    ok = places(gesture("ok", Still()))
    assert np.linalg.norm(ok["thumb tip"] - ok["index tip"]) < 0.03
    gaps = {
        name: np.linalg.norm(place["index tip"] - place["middle tip"])
        for name in ("peace", "two_up")
        for place in [places(gesture(name, Still()))]
    }
    assert gaps["peace"] > gaps["two_up"] + 0.02


@pytest.mark.parametrize("name", GESTURES)
@pytest.mark.parametrize("uniform", [0.0, 0.4, 0.9])
def test_gestures_face_the_viewer_as_their_names_say(name, uniform):
    place = places(gesture(name, Still(uniform)))
    up = place["middle 1"] - place["wrist"]
    across = place["index 1"] - place["little 1"]
    palm = np.cross(across, up)  # out of the palm of a right hand
    palm /= np.linalg.norm(palm)
    if name in ("like", "dislike"):
        highest = max(place, key=lambda joint: place[joint][1])
        lowest = min(place, key=lambda joint: place[joint][1])
        assert (highest if name == "like" else lowest) == "thumb tip"
        assert abs(palm[2]) > 0.9
        return
    assert up[1] > 0.09
    towards = {"palm": palm[2] > 0.9, "back": palm[2] < -0.9, "side": abs(palm[2]) < 0.3, "any": True}
    assert towards[hand_poses.GESTURE_TABLE[name].side]


def test_noise_has_its_deviations_and_stays_in_range():
    base = articulation(
        (20, 10, 20, 20), (40, 50, 31), (40, 50, 31), (40, 50, 31), (40, 50, 31), (0, 0, 0, 0)
    )
    rng = np.random.default_rng(2)
    drawn = np.stack([jitter(base, rng) for _ in range(4000)])
    np.testing.assert_allclose(drawn.mean(0), base, atol=0.6)
    np.testing.assert_allclose(drawn[:, 1:, [0, 1, 3]].std((0, 1)), [7, 7, 3.5], rtol=0.03)
    np.testing.assert_allclose(drawn[:, 0].std(0), [6, 6, 7, 8], rtol=0.05)
    both = np.corrcoef(drawn[:, 1, 1], drawn[:, 1, 2])[0, 1]
    assert both == pytest.approx(0.62 * 7 / np.hypot(0.62 * 7, 5), abs=0.05)  # DIP follows PIP
    wild = np.stack([jitter(base, rng, 20) for _ in range(200)])
    assert wild[:, 1:, 1].min() >= -4 and wild[:, 1:, 1].max() <= 112


def test_draws_depend_on_their_stream_alone():
    for name in ("call", "like"):
        one, two, other = (gesture(name, np.random.default_rng(seed)) for seed in (5, 5, 6))
        assert np.array_equal(one, two) and not np.allclose(one, other)
    one, two = (hand_poses.free_motion(np.random.default_rng(5), 4) for _ in range(2))
    assert np.array_equal(one, two)


def test_free_motion_starts_and_ends_at_free_poses_and_moves_between():
    path = hand_poses.free_motion(np.random.default_rng(3), 5)
    rng = np.random.default_rng(3)
    ends = [hand_poses.free_articulation(rng) for _ in range(2)]
    np.testing.assert_allclose(path[[0, -1]], ends)
    np.testing.assert_allclose(path[2], np.mean(ends, 0))
    steps = np.abs(np.diff(path, axis=0)).sum((1, 2))
    assert steps[0] < steps[1] and steps[-1] < steps[-2]


def test_random_views_are_uniform():
    rng = np.random.default_rng(4)
    turns = np.stack([hand_poses.any_rotation(rng) for _ in range(3000)])
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    np.testing.assert_allclose(turns.mean(0), 0, atol=0.04)
    np.testing.assert_allclose((turns**2).mean(0), 1 / 3, atol=0.03)
