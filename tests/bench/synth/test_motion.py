from __future__ import annotations

import numpy as np
import pytest

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import forward_kinematics, matrix_to_axis_angle
from bench.synth.actions import ACTIONS, HELD_OUT
from bench.synth.angles import JOINTS, LOWER, UPPER, Pose, Reach
from bench.synth.collision import penetration
from bench.synth.motion import DEEPEST_M, draw_motion, reach, smooth_noise

MODEL = surrogate_body()
_, JOINTS_AT_REST = MODEL.shape(np.zeros(10))


def draw(action: str, seed: int, frames: int = 4):
    times = 0.4 * np.arange(frames)
    rng = np.random.default_rng(seed)
    return draw_motion(action, rng, JOINTS_AT_REST, MODEL.parents, times_s=times, heading_rad=0.7)


def test_there_are_19_actions_and_the_held_out_ones_are_among_them():
    assert len(ACTIONS) == 19 and set(HELD_OUT) < set(ACTIONS) and len(HELD_OUT) == 3


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_draws_sound_motion(action):
    knee, elbow = np.radians(145 + 1e-6), np.radians(148 + 90)
    for seed in range(15):
        motion = draw(action, seed)
        assert np.isfinite(motion.rotations).all() and np.isfinite(motion.joints).all()
        identity = motion.rotations @ np.swapaxes(motion.rotations, -1, -2)
        assert np.allclose(identity, np.eye(3), atol=1e-9)
        assert penetration(motion.joints, motion.turned).max() < DEEPEST_M
        size = np.linalg.norm(matrix_to_axis_angle(motion.rotations), axis=-1)
        assert size[:, [JOINTS["l_knee"], JOINTS["r_knee"]]].max() <= knee
        assert size[:, [JOINTS["l_elbow"], JOINTS["r_elbow"]]].max() <= elbow
        assert (motion.hop >= 0).all() and motion.hop.max() < 0.6
        assert np.linalg.norm(motion.path, axis=1).max() <= 0.6 + 1e-9


def test_limits_hold_after_style_and_noise(monkeypatch):
    seen = []

    def spy(pose: Pose):
        seen.append(pose.angles.copy())
        return original(pose)

    from bench.synth import motion as module

    original = module.rotations
    monkeypatch.setattr(module, "rotations", spy)
    for action in ACTIONS:
        draw(action, 3)
    angles = np.concatenate(seen)
    assert (angles >= LOWER).all() and (angles <= UPPER).all()
    assert angles.std(0).min() > 0.5  # every number moves


def test_same_stream_same_motion_and_frames_move():
    first, second = draw("walk", 5), draw("walk", 5)
    assert np.array_equal(first.rotations, second.rotations)
    assert not np.array_equal(first.rotations, draw("walk", 6).rotations)
    hands = first.joints[:, JOINTS["l_wrist"]]
    assert np.linalg.norm(np.diff(hands, axis=0), axis=1).min() > 0.01
    way = first.path[-1] - first.path[0]
    assert np.allclose(way / np.linalg.norm(way), [np.sin(0.7), np.cos(0.7)])
    assert np.allclose(first.path.mean(0), 0)


def test_motion_is_smooth_in_time():
    rng = np.random.default_rng(0)
    times = np.linspace(0, 1, 101)
    motion = draw_motion("dance", rng, JOINTS_AT_REST, MODEL.parents, times_s=times, heading_rad=0.0)
    speed = np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1) / 0.01
    assert speed.max() < 9.0  # metres per second


def test_noise_is_band_limited_and_of_unit_size():
    rng = np.random.default_rng(1)
    noise = smooth_noise(rng, np.linspace(0, 60, 2001), 40)
    assert 0.4 < noise.std() < 0.8
    assert np.abs(np.diff(noise, axis=0)).max() < 0.2


@pytest.mark.parametrize("side", ["l", "r"])
def test_a_reach_within_range_arrives(side):
    from bench.synth.angles import rotations

    pose = Pose(3)
    local = rotations(pose)
    rest = np.broadcast_to(JOINTS_AT_REST, (3, 24, 3))
    turned, joints = forward_kinematics(local, rest, MODEL.parents)
    weight = np.array([0.0, 0.5, 1.0])
    sign = 1.0 if side == "l" else -1.0
    aim = Reach(
        side=side,
        azimuth=sign * 20,
        elevation=15,
        length=0.8,
        weight=weight,
        elbow=np.array([sign, -1, -0.5]),
    )
    before = joints[:, JOINTS[f"{side}_wrist"]].copy()
    reach(local, turned, joints, aim)
    turned_after, after = forward_kinematics(local, rest, MODEL.parents)
    shoulder, elbow, wrist = (JOINTS[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist"))
    arm = np.linalg.norm(joints[0, elbow] - joints[0, shoulder])
    arm += np.linalg.norm(joints[0, wrist] - joints[0, elbow])
    a, e = np.radians(aim.azimuth), np.radians(aim.elevation)
    toward = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    goal = joints[:, shoulder] + 0.8 * arm * (turned[:, JOINTS["spine3"]] @ toward)
    wanted = before + weight[:, None] * (goal - before)
    assert np.linalg.norm(after[:, wrist] - wanted, axis=1).max() < 0.02
    assert np.allclose(np.linalg.det(turned_after), 1)
