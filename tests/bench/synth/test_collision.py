from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import forward_kinematics
from bench.synth.angles import Pose, rotations
from bench.synth.collision import penetration, segment_distance


@settings(max_examples=40)
@given(st.integers(0, 2**31))
def test_segment_distance_agrees_with_dense_sampling(seed):
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.normal(size=(4, 3))
    if rng.random() < 0.3:
        d = c + (b - a) * rng.normal()  # parallel
    share = np.linspace(0, 1, 201)[:, None]
    first, second = a + (b - a) * share, c + (d - c) * share
    sampled = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
    assert segment_distance(a, b, c, d) <= sampled + 1e-9
    assert abs(segment_distance(a, b, c, d) - sampled) < 0.03


def test_a_point_against_a_segment():
    origin, one = np.zeros(3), np.array([1.0, 0, 0])
    away = np.array([3.0, 4.0, 0])
    assert np.isclose(segment_distance(origin, one, away, away), np.hypot(2, 4))


def test_an_arm_through_the_trunk_is_found():
    model = surrogate_body()
    _, rest = model.shape(np.zeros(10))
    pose = Pose(2)
    pose.angles[1, :] = pose.angles[0]
    pose.of("l_shoulder")[1] = (0, -25, 0)  # the arm goes across the body
    turned, joints = forward_kinematics(rotations(pose), np.broadcast_to(rest, (2, 24, 3)), model.parents)
    free, through = penetration(joints, turned)
    assert free < 0.02 and through > 0.05
