from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.synth.grasp_objects import ball, disk, knife, part, rod, scissors, slab, spoon, together
from bench.synth.scene import BOX, CAPSULE, SPHERE


def test_distances_of_simple_points():
    sphere = part(SPHERE, 0.02, (0.1, 0, 0))
    np.testing.assert_allclose(
        sphere.distances([[0.1, 0, 0], [0.15, 0, 0], [0.1, 0.02, 0]]), [-0.02, 0.03, 0]
    )
    capsule = part(CAPSULE, (0.01, 0.05, 0))
    points = [[0, 0.03, 0], [0.05, 0.01, 0], [0.08, 0, 0], [0.05, 0.03, 0.04], [0, 0, 0]]
    np.testing.assert_allclose(capsule.distances(points), [0.02, 0, 0.02, 0.04, -0.01], atol=1e-15)
    box = part(BOX, (0.01, 0.02, 0.03))
    points = [[0.02, 0, 0], [0.013, 0.024, 0], [0.012, 0.023, 0.036], [0, 0, 0], [0, 0.018, 0]]
    np.testing.assert_allclose(box.distances(points), [0.01, 0.005, 0.007, -0.01, -0.002], atol=1e-15)


def test_distances_equal_a_naive_second_implementation():
    rng = np.random.default_rng(0)
    parts = []
    for kind in (BOX, CAPSULE, SPHERE, BOX, CAPSULE):
        axes = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        parts.append(part(kind, rng.uniform(0.01, 0.05, 3), rng.normal(size=3) * 0.05, axes))
    points = rng.normal(size=(500, 3)) * 0.08
    every = []
    for one in parts:
        local = (points - one.centres[0]) @ one.axes[0].T
        half = one.halves[0]
        if one.kinds[0] == BOX:
            over = np.abs(local) - half
            every.append(np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(1), 0))
        elif one.kinds[0] == CAPSULE:
            local[:, 0] -= np.clip(local[:, 0], -half[1], half[1])
            every.append(np.linalg.norm(local, axis=1) - half[0])
        else:
            every.append(np.linalg.norm(local, axis=1) - half[0])
    np.testing.assert_allclose(together(*parts).distances(points), np.min(every, axis=0), atol=1e-12)


def test_distances_move_with_the_object():
    rng = np.random.default_rng(1)
    held = scissors(rng).held
    turn, shift = Rotation.from_quat(rng.normal(size=4)).as_matrix(), rng.normal(size=3)
    points = rng.normal(size=(50, 3)) * 0.05
    moved = held.moved(turn, shift)
    np.testing.assert_allclose(moved.distances(points @ turn.T + shift), held.distances(points), atol=1e-12)


def test_distances_grow_no_faster_than_the_way():
    """A signed distance has slope 1 outside: marching along its gradient reaches the surface."""
    held = knife(np.random.default_rng(2)).held
    points = np.random.default_rng(3).normal(size=(100, 3)) * 0.1
    far = held.distances(points)
    slope = np.stack(
        [(held.distances(points + e) - held.distances(points - e)) / 2e-6 for e in 1e-6 * np.eye(3)], 1
    )
    outside = far > 0.001
    reached = points[outside] - far[outside, None] * slope[outside]
    assert np.median(np.abs(held.distances(reached))) < 1e-6


def test_a_disk_of_boxes_is_round():
    held, width = disk((0.04, 0.04), (0.01, 0.01), "y")(np.random.default_rng(0))
    assert width == pytest.approx(0.02)
    angles = np.linspace(0, 2 * np.pi, 200)
    rim = 0.04 * np.stack([np.cos(angles), 0 * angles, np.sin(angles)], 1)
    found = held.distances(rim)
    assert found.max() < 1e-9 and found.min() > -0.0015  # within the corners of twelve sides
    np.testing.assert_allclose(held.distances([[0, 0.012, 0], [0.03, -0.012, 0.01]]), 0.002)
    upright, width = disk((0.04, 0.04), (0.01, 0.01), "z")(np.random.default_rng(0))
    assert width == pytest.approx(0.08)
    np.testing.assert_allclose(upright.distances(rim[:, [0, 2, 1]]), found, atol=1e-12)


@pytest.mark.parametrize(
    "draw",
    [
        ball(0.02, 0.03),
        rod(0.01, 0.02, 0.05, 0.06),
        slab((0.03, 0.04), (0.002, 0.004), (0.01, 0.02)),
        knife,
        spoon,
    ],
)
def test_objects_are_as_wide_as_they_say(draw):
    rng = np.random.default_rng(5)
    for _ in range(5):
        held, width = draw(rng)
        np.testing.assert_allclose(held.distances([[0, width / 2, 0], [0, -width / 2, 0]]), 0, atol=1e-9)


def test_scissors_have_two_holes_and_blades_ahead():
    held, width = scissors(np.random.default_rng(0))
    half = width / 2
    assert held.distances([[0, half, 0], [0, -half, 0]]).min() > 0.009
    assert held.centres[held.kinds == BOX][:, 0].min() > 0.04


def test_solids_of_a_scene_have_the_same_surface():
    rng = np.random.default_rng(6)
    for kind in (BOX, CAPSULE, SPHERE):
        axes = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        held = part(kind, (0.02, 0.04, 0.03), (0.1, 0.2, 0.3), axes)
        (solid,) = held.solids(7)
        assert (solid.kind, solid.material) == (kind, 7)
        if kind == CAPSULE:
            ends = np.array([solid.centre, solid.centre + solid.axes[0]])
            np.testing.assert_allclose(held.distances(ends), -solid.half[0])
            np.testing.assert_allclose(ends.mean(0), held.centres[0])
            assert np.linalg.norm(solid.axes[0]) == pytest.approx(0.08)
        elif kind == BOX:
            corner = solid.centre + solid.half @ solid.axes
            np.testing.assert_allclose(held.distances([corner]), 0, atol=1e-12)
        else:
            top = solid.centre + np.array([0, 0, solid.half[0]])
            np.testing.assert_allclose(held.distances([top]), 0, atol=1e-12)
