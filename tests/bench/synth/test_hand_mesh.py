from __future__ import annotations

import numpy as np
import pytest

from bench.bodymodels.model import surrogate_body, surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.synth.hand_mesh import FOREARM, arm, pose_arm, shape_arm, trunk

HAND = 778


def turned(seed: int = 3) -> np.ndarray:
    return axis_angle_to_matrix(0.4 * np.random.default_rng(seed).normal(size=(16, 3)))


def test_the_arm_is_a_closed_surface_that_begins_with_the_hand():
    faces = arm().faces
    np.testing.assert_array_equal(faces[:1538], surrogate_hand().faces)
    assert len(arm().phalanges) == len(faces) and faces.max() == HAND + len(arm().forearm) - 1
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)  # no edge twice in one direction
    np.testing.assert_array_equal(
        np.unique(edges, axis=0), np.unique(edges[:, ::-1], axis=0)
    )  # every edge has its opposite: neither holes nor faces turned inside out


def test_the_surface_faces_outwards():
    shape = shape_arm(np.zeros(10, np.float32))
    vertices = np.concatenate([shape.hand, shape.forearm]).astype(np.float64)
    corners = vertices[arm().faces]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.0006 < volume < 0.0025  # cubic metres: of a hand and a forearm


def test_the_forearm_is_that_of_the_body_at_the_mean_shape():
    body = surrogate_body().v_template
    np.testing.assert_allclose(arm().body[:HAND], body[surrogate_body().hand_vertex_ids], atol=1e-6)
    length = np.ptp(arm().forearm[:, 0])
    assert 0.18 < length < 0.3


@pytest.mark.parametrize("seed", range(4))
def test_forearm_and_hand_stay_joined_in_every_shape(seed):
    betas = 1.5 * np.random.default_rng(seed).normal(size=10).astype(np.float32)
    shape, mean = shape_arm(betas), shape_arm(np.zeros(10, np.float32))
    faces = arm().faces[1538:]
    bridge = faces[(faces < HAND).any(1) & (faces >= HAND).any(1)]

    def edges(of: object) -> np.ndarray:
        vertices = np.concatenate([of.hand, of.forearm])  # type: ignore[attr-defined]
        return np.linalg.norm(vertices[bridge] - vertices[np.roll(bridge, 1, 1)], axis=2)

    change = edges(shape) / edges(mean)
    assert change.min() > 0.65 and change.max() < 1.5
    size = np.ptp(shape.forearm[:, 1:], axis=0) / np.ptp(mean.forearm[:, 1:], axis=0)
    assert (size > 0.6).all() and (size < 1.6).all()


def test_phalanges_are_the_joints_that_move_the_surface():
    weights = surrogate_hand().weights[surrogate_hand().faces].sum(1)
    np.testing.assert_array_equal(arm().phalanges[:1538], 1 + weights.argmax(1))
    assert set(arm().phalanges[1538:].tolist()) == {FOREARM}
    assert set(arm().phalanges.tolist()) == set(range(1, 18))


def test_the_hand_of_a_posed_arm_is_the_posed_hand():
    betas, rotations = np.linspace(-1, 1, 10).astype(np.float32), turned()
    model = surrogate_hand()
    wanted, joints, _ = model.pose(*model.shape(betas), rotations)
    vertices, found = pose_arm(shape_arm(betas), rotations, np.eye(3))
    np.testing.assert_allclose(vertices[:HAND], wanted, atol=1e-6)
    np.testing.assert_allclose(found, joints)


def test_the_forearm_turns_about_the_wrist_and_follows_the_hand_at_the_cut():
    shape, rotations = shape_arm(np.zeros(10, np.float32)), turned()
    bend = axis_angle_to_matrix(np.array([0, 0, 0.5]))
    straight, joints = pose_arm(shape, rotations, np.eye(3))
    bent, _ = pose_arm(shape, rotations, bend)
    np.testing.assert_array_equal(bent[:HAND], straight[:HAND])
    rigid = (straight[HAND:] - joints[0]) @ rotations[0] @ bend.T @ rotations[0].T + joints[0]
    far = arm().follow == 1
    assert 0.3 < far.mean() < 1
    np.testing.assert_allclose(bent[HAND:][far], rigid[far], atol=1e-5)
    share = arm().follow[:, None] * (rigid - straight[HAND:])
    np.testing.assert_allclose(bent[HAND:] - straight[HAND:], share, atol=1e-5)
    assert arm().follow.min() < 0.6  # next to the cut


def test_the_trunk_has_a_head_and_neither_hands_nor_legs():
    canon = trunk().canon
    assert canon[:, 1].max() > 0.7 and np.abs(canon[:, 0]).max() < 0.5 and canon[:, 1].min() > -0.4
    assert trunk().faces.max() == len(canon) - 1
