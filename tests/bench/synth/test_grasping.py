from __future__ import annotations

import numpy as np
import pytest

from bench.bodymodels.model import surrogate_hand
from bench.bodymodels.rotations import matrix_to_axis_angle
from bench.synth.grasp_objects import part
from bench.synth.grasp_table import GRASP_TABLE
from bench.synth.grasping import GRASPS, close
from bench.synth.hand_poses import FINGERS, FIRST, local_rotations
from bench.synth.scene import SPHERE

TAXONOMY = (
    "large diameter, small diameter, medium wrap, adducted thumb, light tool, prismatic 4 finger, "
    "prismatic 3 finger, prismatic 2 finger, palmar pinch, power disk, power sphere, precision disk, "
    "precision sphere, tripod, fixed hook, lateral, index finger extension, extension type, distal type, "
    "writing tripod, tripod variation, parallel extension, adduction grip, tip pinch, lateral tripod, "
    "sphere 4 finger, quadpod, sphere 3 finger, stick, palmar, ring, ventral, inferior pincer"
)
SAMPLES = 8
TOUCH = 0.003  # metres


def drawn(name, number):
    """Rotations, object, and signed distances of the posed hand's vertices."""
    rng = np.random.default_rng([11, number, GRASPS.index(name)])
    betas = np.clip(rng.normal(size=10) * 0.8, -2.2, 2.2)
    rotations, held = close(name, rng, betas)
    hand = surrogate_hand()
    posed, _, _ = hand.pose(*hand.shape(betas), rotations)
    return rotations, held, held.distances(posed)


@pytest.fixture(scope="module")
def every():
    return {name: [drawn(name, number) for number in range(SAMPLES)] for name in GRASPS}


def finger_distance(distances, finger):
    first = FIRST[FINGERS.index(finger)]
    own = surrogate_hand().weights[:, first : first + 3].sum(1) > 0.5
    return distances[own].min()


def test_the_table_is_complete_and_in_order():
    assert [name.replace("_", " ") for name in GRASPS] == TAXONOMY.split(", ")
    for grasp in GRASP_TABLE.values():
        assert set(grasp.fingers) <= set(FINGERS)
        assert all(side.shape == (5, 4) for side in grasp.hand)


def test_hands_hardly_enter_what_they_hold(every):
    depth = {name: [1e3 * max(0, -d.min()) for _, _, d in rows] for name, rows in every.items()}
    flat = np.concatenate(list(depth.values()))
    assert flat.mean() < 1.0 and np.percentile(flat, 95) < 5, depth  # millimetres
    for name, values in depth.items():
        assert np.mean(values) < 4, (name, values)


def test_hands_touch_what_they_hold(every):
    touching = {}
    for name, rows in every.items():
        count = [sum(finger_distance(d, finger) < TOUCH for finger in FINGERS) for _, _, d in rows]
        palm = [d[surrogate_hand().weights[:, 0] > 0.6].min() < TOUCH for _, _, d in rows]
        touching[name] = np.mean(count)
        assert min(np.add(count, palm)) >= 1, name
    assert all(value > 1.5 for value in touching.values()), touching
    assert np.mean(list(touching.values())) > 3
    for name in ("medium_wrap", "light_tool", "prismatic_4_finger", "power_disk", "extension_type"):
        assert touching[name] > 4, name


@pytest.mark.parametrize(
    ("name", "fingers"),
    [
        ("palmar_pinch", ("thumb", "index")),
        ("tip_pinch", ("thumb", "index")),
        ("inferior_pincer", ("thumb", "index")),
        ("tripod", ("thumb", "index", "middle")),
        ("prismatic_2_finger", ("thumb", "index", "middle")),
        ("prismatic_3_finger", ("thumb", "index", "middle", "ring")),
        ("adduction_grip", ("index", "middle")),
        ("lateral", ("thumb", "index")),
    ],
)
def test_the_fingers_of_a_class_touch_and_no_others(every, name, fingers):
    alike = 0
    for _, _, distances in every[name]:
        touching = {finger for finger in FINGERS if finger_distance(distances, finger) < 2 * TOUCH}
        alike += touching == set(fingers)
    assert alike >= SAMPLES - 1  # a thumb may miss a pin, or a finger come near


@pytest.mark.parametrize("name", ["palmar_pinch", "tripod", "lateral", "ring", "sphere_3_finger"])
def test_fingers_that_take_no_part_keep_the_pose_of_the_class(every, name):
    grasp = GRASP_TABLE[name]
    rest = local_rotations(grasp.hand[0])
    for finger, first in zip(FINGERS, FIRST, strict=True):
        if finger in grasp.fingers or finger == "index":
            continue
        for rotations, _, _ in every[name]:
            gap = rotations[first : first + 3].swapaxes(1, 2) @ rest[first : first + 3]
            assert np.degrees(np.linalg.norm(matrix_to_axis_angle(gap), axis=1)).max() < 16  # noise alone


def test_power_grasps_lie_in_the_palm_and_precision_grasps_do_not(every):
    palm = surrogate_hand().weights[:, 0] > 0.6
    for name, inside in {
        "large_diameter": True, "power_sphere": True, "power_disk": True, "palmar": True,
        "precision_disk": False, "precision_sphere": False, "tripod": False, "quadpod": False,
    }.items():  # fmt: skip
        nearest = np.array([distances[palm].min() for _, _, distances in every[name]])
        assert (nearest < 0.006).all() if inside else (nearest > 0.008).all(), name


def test_thicker_objects_keep_fingers_more_open():
    """The same hand and noise around a thin and a thick rod."""
    bends = []
    for name in ("small_diameter", "medium_wrap", "large_diameter"):
        rotations = np.stack([close(name, np.random.default_rng(n), [])[0] for n in range(6)])
        bends.append(np.linalg.norm(matrix_to_axis_angle(rotations[:, 1:13]), axis=2).sum(1).mean())
    assert bends[0] > bends[1] > bends[2]


def test_draws_depend_on_their_stream_alone():
    for name in ("tripod", "power_sphere"):
        (one, first), (two, second), (other, _) = (
            close(name, np.random.default_rng(seed), np.ones(10)) for seed in (3, 3, 4)
        )
        assert np.array_equal(one, two) and not np.allclose(one, other)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
        assert np.array_equal(one[0], np.eye(3))


def test_an_object_follows_the_turned_hand():
    rng = np.random.default_rng(9)
    rotations, held = close("tripod", rng, [])
    hand = surrogate_hand()
    vertices, joints = hand.shape([])
    before, _, _ = hand.pose(vertices, joints, rotations)
    turned = rotations.copy()
    turned[0] = local_rotations(np.full((5, 4), 50.0))[1]
    shift = np.array([0.1, 0.2, 0.3])
    after, _, _ = hand.pose(vertices, joints, turned, shift)
    there = held.moved(turned[0], joints[0] - turned[0] @ joints[0] + shift)
    np.testing.assert_allclose(there.distances(after), held.distances(before), atol=1e-6)


def test_without_an_object_a_finger_closes_fully_and_a_wall_keeps_it_open():
    from bench.synth import grasping

    hand = surrogate_hand()
    vertices, joints = hand.shape([])
    opened, closed = GRASP_TABLE["medium_wrap"].hand
    turns = local_rotations(opened + (closed - opened) * grasping.SHARES[:, None, None])
    far, near = part(SPHERE, 0.01, (1, 1, 1)), part(SPHERE, 0.025, (-0.13, -0.055, 0.03))
    free = grasping._closed_steps(1, vertices.astype(float), joints, turns, far)
    held = grasping._closed_steps(1, vertices.astype(float), joints, turns, near)
    assert free.tolist() == [grasping.STEPS - 1] * 3
    assert (held < free).all()
    # One step more of any joint would touch: checked with the whole model.
    own = hand.weights[:, 1:4].sum(1) > 0.5
    for joint in range(3):
        state = np.full((5, 3), grasping.START)
        state[1] = held
        assert near.distances(hand.pose(vertices, joints, grasping._at(turns, state))[0][own]).min() > 4e-4
        state[1, joint] += 1
        if joint == 2:
            moved = hand.pose(vertices, joints, grasping._at(turns, state))[0]
            assert near.distances(moved[own]).min() < 6e-4


@pytest.mark.parametrize("name", ["parallel_extension", "extension_type", "palmar_pinch"])
def test_flat_objects_stick_out_beyond_the_finger_tips(name):
    hand = surrogate_hand()
    vertices, joints = hand.shape([])
    for number in range(4):
        rotations, held = close(name, np.random.default_rng(number), [])
        posed, placed, _ = hand.pose(vertices, joints, rotations)
        tip = posed[hand.landmarks["index tip"]]
        pointing = tip - placed[3]
        corners = held.centres[0] + np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]]) @ (
            held.halves[0, [0, 2], None] * held.axes[0, [0, 2]]
        )
        assert ((corners - tip) @ pointing).max() > 0
