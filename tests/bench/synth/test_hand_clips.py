"""On hands that are really rendered."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bench.bodymodels.hands import hand_joints
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.model import surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.errors import ConfigError
from bench.synth.hand_clips import EXACT_FIELDS, FIELDS, mirrored, render_clip
from bench.synth.hand_domains import SOURCES, samples_per_clip
from bench.synth.hand_labels import vertices
from bench.synth.pairs import cross_pose_pairs, cross_view_pairs

SIZE = 96
FIRST = {name: source.domain.splits[0] for name, source in SOURCES.items()}


@cache
def clip(source: str, number: int, size: int = SIZE) -> dict[str, np.ndarray]:
    return render_clip(source, FIRST[source], number, size=size, seed=0, exact=True)


def samples(per_source: int = 6) -> list[dict[str, np.ndarray]]:
    return [
        {name: values[-1] for name, values in clip(source, number).items()}
        for source in SOURCES
        for number in range(per_source if source != "lab_hands" else 2)
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_arrays_are_as_declared(source):
    drawn = clip(source, 0)
    for name, (dtype, shape) in {**FIELDS, **EXACT_FIELDS}.items():
        assert drawn[name].dtype == dtype
        assert drawn[name].shape == (samples_per_clip(source), *shape(SIZE))
    assert np.isfinite(drawn["joints3d"]).all() and (drawn["z"] >= 0).all()


def test_clips_do_not_depend_on_what_was_drawn_before():
    wanted = [render_clip("d_gesture", "train", k, size=32, seed=0) for k in (3, 21)]
    render_clip("lab_hands", "pretrain", 1, size=32, seed=0)
    again = [render_clip("d_gesture", "train", k, size=32, seed=0) for k in (21, 3)][::-1]
    for first, second in zip(wanted, again, strict=True):
        for name, values in first.items():
            np.testing.assert_array_equal(values, second[name], err_msg=name)
    other = render_clip("d_gesture", "train", 3, size=32, seed=1)
    assert (other["rgb"] != wanted[0]["rgb"]).mean() > 0.5


@pytest.mark.parametrize("source", SOURCES)
def test_every_picture_shows_a_hand(source):
    for number in range(12 if source != "lab_hands" else 2):
        phalanges = clip(source, number, 48)["phalanges"]
        hand = ((phalanges > 0) & (phalanges < 17)).mean((1, 2))
        assert (hand > 0.04).all()
        assert (clip(source, number, 48)["rgb"].std((1, 2)).mean(1) > 4).all()


def test_visible_joints_lie_on_their_phalanges():
    """The surface under a joint belongs to one of the bones that meet in it."""
    names, hand = JOINT_SETS["mano16"].names, JOINT_SETS["hand21"].names
    parents = JOINT_SETS["hand21"].parents
    right, total = 0, 0
    for sample in samples():
        for joint, (x, y, _, visibility) in enumerate(sample["keypoints"].tolist()):
            if visibility != 2:
                continue
            near = sample["phalanges"][max(0, int(y) - 1) : int(y) + 2, max(0, int(x) - 1) : int(x) + 2]
            around = {hand[joint], hand[parents[joint]] if joint else "wrist"}
            wanted = {names.index(name) + 1 for name in around if name in names} | (
                {17} if joint == 0 else set()
            )
            right += bool(wanted & set(near.ravel().tolist()))
            total += 1
    assert total > 150 and right / total > 0.93


def test_joints_and_vertices_follow_from_pose_and_shape():
    for sample in samples(3):
        mesh = vertices(sample["rotations"], sample["betas"], sample["joints3d"], int(sample["side"]))
        sign = np.array([-1.0, 1.0, 1.0]) if sample["side"] else np.ones(3)
        model, turn = surrogate_hand(), np.array([1.0, -1.0, -1.0]) if sample["side"] else np.ones(3)
        posed, placed, _ = model.pose(
            *model.shape(sample["betas"]), axis_angle_to_matrix(sample["rotations"] * turn)
        )
        found = hand_joints(posed.astype(np.float64), placed)
        wanted = (found - found[0]) * sign + sample["joints3d"][0]
        np.testing.assert_allclose(sample["joints3d"], wanted, atol=2e-5)
        np.testing.assert_allclose(mesh, (posed - placed[0]) * sign + sample["joints3d"][0], atol=2e-5)


def test_keypoints_are_the_projected_joints():
    for sample in samples(3):
        x, y, z = sample["joints3d"].T
        camera = sample["camera"]
        np.testing.assert_allclose(sample["keypoints"][:, 0], camera[0, 0] * x / z + camera[0, 2], atol=0.02)
        np.testing.assert_allclose(sample["keypoints"][:, 1], camera[1, 1] * y / z + camera[1, 2], atol=0.02)
        np.testing.assert_allclose(sample["keypoints"][:, 2], z, atol=1e-5)
        assert (z > 0.2).all() and (z < 2).all()


def test_projected_vertices_lie_on_the_exact_depth():
    """No vertex is in front of what is seen, and most that face the camera are what is seen."""
    for sample in samples(4):
        mesh = vertices(sample["rotations"], sample["betas"], sample["joints3d"], int(sample["side"]))
        pixels = (mesh / mesh[:, 2:]) @ sample["camera"].T
        column, row = np.floor(pixels[:, 0]).astype(int), np.floor(pixels[:, 1]).astype(int)
        inside = (column > 0) & (row > 0) & (column < SIZE - 1) & (row < SIZE - 1)
        phalanges = sample["phalanges"][row[inside], column[inside]]
        gap = mesh[inside, 2] - sample["z"][row[inside], column[inside]]
        on = (phalanges > 0) & (phalanges < 17)
        assert (gap[on] > -0.012).mean() > 0.95  # the others are at outlines: pixels show what is behind
        assert (np.abs(gap[on]) < 0.006).mean() > 0.15


def test_sensor_depth_is_the_exact_depth_with_noise():
    for sample in samples(3):
        measured = (sample["depth"] > 0) & (sample["z"] > 0)
        hand = measured & (sample["phalanges"] > 0)
        error = np.abs(sample["depth"][hand] / 1000 - sample["z"][hand])
        assert np.median(error) < 0.005
        assert measured[sample["phalanges"] > 0].mean() > 0.7


def test_a_left_hand_is_the_mirror_image_of_a_right_one():
    drawn = {**clip("d_gesture", 0), "side": np.array([0], np.uint8)}
    left = {**mirrored(drawn), "side": np.array([1], np.uint8)}
    for name, values in mirrored(left).items():
        if name != "side":
            np.testing.assert_allclose(values, drawn[name], atol=1e-5, err_msg=name)
    meshes = [
        vertices(d["rotations"][0], d["betas"][0], d["joints3d"][0], int(d["side"][0])) for d in (drawn, left)
    ]
    np.testing.assert_allclose(meshes[1], meshes[0] * [-1, 1, 1], atol=1e-5)
    np.testing.assert_array_equal(left["rgb"], drawn["rgb"][:, :, ::-1])
    x, _, z = left["joints3d"][0].T
    np.testing.assert_allclose(
        left["keypoints"][0, :, 0], left["camera"][0, 0, 0] * x / z + left["camera"][0, 0, 2], atol=0.02
    )


def test_both_hands_occur_but_in_d_hand():
    sides = {name: {int(clip(name, k, 48)["side"][0]) for k in range(12)} for name in ("d_hand", "d_gesture")}
    assert sides == {"d_hand": {0}, "d_gesture": {0, 1}}


def test_cameras_of_a_clip_see_one_hand():
    """Rigid motions take the joints of one camera to those of the other."""
    joints = clip("d_hand", 0)["joints3d"].astype(np.float64)
    centred = joints - joints.mean(1, keepdims=True)
    u, _, v = np.linalg.svd(centred[0].T @ centred[1])
    np.testing.assert_allclose(centred[0] @ (u @ v), centred[1], atol=1e-4)
    assert np.linalg.det(u @ v) > 0
    angle = np.degrees(np.arccos((np.trace(u @ v) - 1) / 2))
    assert 20 < angle < 120


def test_ids_name_pairs_of_views_and_of_poses():
    ids = clip("lab_hands", 0, 48)["ids"]
    domains = [source.domain for source in SOURCES.values()]
    assert len(cross_view_pairs(ids)) == 4 * 6 and len(cross_pose_pairs(ids, domains=domains)) == 4 * 6
    assert len(np.unique(ids[:, 3])) == 4 and len(np.unique(ids[:, 4])) == 4


def test_best_views_show_more_of_the_hand_than_others():
    drawn = [clip("d_grasp", k, 48) for k in range(33)]
    best = np.array([d["best_view"][0] for d in drawn])
    seen = np.array([(d["keypoints"][0, :, 3] == 2).sum() for d in drawn])
    assert 0.2 < best.mean() < 0.7
    assert seen[best].min() >= 13 and seen[best].mean() > seen[~best].mean() + 2


@pytest.mark.parametrize(("size", "source"), [(8, "d_hand"), (2000, "d_hand"), (48, "nobody")])
def test_impossible_requests_are_refused(size, source):
    with pytest.raises(ConfigError):
        render_clip(source, "train", 0, size=size, seed=0)
