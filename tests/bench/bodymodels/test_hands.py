from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.bodymodels.hands import hand_joints
from bench.bodymodels.joints import JOINT_SETS
from bench.bodymodels.lbs_torch import TorchBody
from bench.bodymodels.model import surrogate_body, surrogate_hand
from bench.bodymodels.rotations import axis_angle_to_matrix
from bench.errors import DataError

FINGERS = ("thumb", "index", "middle", "ring", "little")
NAMES = JOINT_SETS["mano16"].names
STILL = np.tile(np.eye(3), (16, 1, 1))


@pytest.fixture(scope="module")
def hand():
    return surrogate_hand()


def rest21(betas):
    vertices, joints = surrogate_hand().shape(betas)
    return dict(zip(JOINT_SETS["hand21"].names, hand_joints(vertices.astype(float), joints), strict=True))


def test_mesh_is_the_hand_of_the_body_moved_to_its_wrist(hand):
    body = surrogate_body()
    assert hand.name == "surrogate-hand-v1"
    assert hand.v_template.shape == (778, 3) and hand.faces.shape == (1538, 3)
    assert hand.shapedirs.shape == (778, 3, 10)
    offset = body.v_template[body.hand_vertex_ids] - hand.v_template
    np.testing.assert_allclose(offset, np.broadcast_to(offset.mean(0), offset.shape), atol=5e-5)
    wrist = body.joint_regressor @ body.v_template
    np.testing.assert_allclose(offset.mean(0), wrist[21], atol=0.01)
    number = {int(vertex): index for index, vertex in enumerate(body.hand_vertex_ids)}
    inside = body.faces[np.isin(body.faces, body.hand_vertex_ids).all(1)]
    assert [[number[v] for v in face] for face in inside.tolist()] == hand.faces.tolist()


def test_tree_weights_and_regressor_are_well_formed(hand):
    assert tuple(hand.parents) == JOINT_SETS["mano16"].parents
    np.testing.assert_allclose(hand.weights.sum(1), 1, atol=1e-6)
    assert ((hand.weights > 0).sum(1) <= 4).all() and (hand.weights.max(0) > 0.75).all()
    assert (hand.joint_regressor.data >= 0).all()
    np.testing.assert_allclose(hand.joint_regressor.sum(1), 1, atol=1e-12)
    assert hand.posedirs.nnz == 0


def test_frame_and_bones_are_those_of_a_hand():
    place = rest21(np.zeros(10))
    np.testing.assert_allclose(place["wrist"], 0, atol=0.002)
    for finger in FINGERS:
        chain = [place[f"{finger} {k}"] for k in (1, 2, 3)] + [place[f"{finger} tip"]]
        lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
        assert ((lengths > 0.012) & (lengths < 0.055)).all(), finger
        assert (np.diff(chain, axis=0)[:, 0] < 0).all()  # fingers point along -x
        if finger != "thumb":
            assert 0.07 < np.linalg.norm(chain[0]) < 0.12  # palm
    tips = np.stack([place[f"{finger} tip"] for finger in FINGERS])
    assert (np.diff(tips[:, 2]) < 0).all()  # from the thumb at +z to the little finger
    assert tips[:, 0].argmin() == 2  # the middle finger is the longest
    assert tips[0, 1] < tips[1:, 1].min()  # the thumb lies on the side of the palm, -y
    assert 0.16 < np.linalg.norm(tips[2]) < 0.22


def test_betas_are_in_standard_deviations_and_the_first_stretches():
    spans = [np.linalg.norm(rest21([b])["middle tip"]) for b in (-2, 0, 2)]
    assert spans[0] < spans[1] < spans[2]
    assert spans[0] > 0.15 and spans[2] < 0.25
    strength = np.linalg.norm(surrogate_hand().shapedirs.astype(float), axis=(0, 1))
    assert (np.diff(strength) < 0).all()


def test_tips_lie_on_their_fingers(hand):
    for finger in FINGERS:
        joint = int(hand.weights[hand.landmarks[f"{finger} tip"]].argmax())
        assert NAMES[joint] == f"{finger} 3"


def test_no_rotation_gives_the_rest_shape(hand):
    vertices, joints = hand.shape(np.linspace(-1, 1, 10))
    posed, placed, _ = hand.pose(vertices, joints, STILL)
    np.testing.assert_allclose(posed, vertices, atol=1e-6)
    np.testing.assert_allclose(placed, joints, atol=1e-12)


@pytest.mark.parametrize("finger", FINGERS)
def test_a_finger_moves_its_own_vertices_alone(hand, finger):
    vertices, joints = hand.shape(np.zeros(10))
    rotations = STILL.copy()
    own = [NAMES.index(f"{finger} {k}") for k in (1, 2, 3)]
    rotations[own] = axis_angle_to_matrix([0, 0, 0.8])
    moved = np.linalg.norm(hand.pose(vertices, joints, rotations)[0] - vertices, axis=1) > 1e-6
    hangs = hand.weights[:, own].sum(1) > 0
    assert not moved[~hangs].any()
    assert moved[hand.weights[:, own].sum(1) > 0.5].all()
    others = [hand.landmarks[f"{other} tip"] for other in FINGERS if other != finger]
    assert moved[hand.landmarks[f"{finger} tip"]] and not moved[others].any()


def test_flexion_about_z_brings_the_tips_to_the_palm(hand):
    vertices, joints = hand.shape(np.zeros(10))
    rotations = STILL.copy()
    rotations[1:13] = axis_angle_to_matrix([0, 0, np.radians(80)])
    posed, _, _ = hand.pose(vertices, joints, rotations)
    for finger in FINGERS[1:]:
        tip = posed[hand.landmarks[f"{finger} tip"]]
        assert -0.06 < tip[1] < -0.005 and tip[0] > -0.14


def test_skinning_equals_a_loop_over_joints(hand):
    rng = np.random.default_rng(0)
    vertices, joints = hand.shape(rng.normal(size=10))
    rotations = axis_angle_to_matrix(rng.normal(size=(16, 3)) * 0.5)
    posed, placed, _ = hand.pose(vertices, joints, rotations)
    total = np.zeros((778, 3))
    for joint in range(16):
        point, at = vertices.astype(float), joint
        while at >= 0:  # from the joint up to the root
            point = (point - joints[at]) @ rotations[at].T + joints[at]
            at = int(hand.parents[at])
        total += hand.weights[:, joint : joint + 1] * point
    np.testing.assert_allclose(posed, total, atol=2e-6)
    np.testing.assert_allclose(placed[0], joints[0], atol=1e-12)


def test_torch_agrees_with_numpy(hand):
    rng = np.random.default_rng(1)
    betas, rotations = rng.normal(size=(3, 10)), axis_angle_to_matrix(rng.normal(size=(3, 16, 3)) * 0.5)
    found, joints = TorchBody(hand)(
        torch.tensor(betas, dtype=torch.float32), torch.tensor(rotations, dtype=torch.float32)
    )
    both = hand_joints(found, joints)
    for i in range(3):
        posed, placed, _ = hand.pose(*hand.shape(betas[i]), rotations[i])
        np.testing.assert_allclose(found[i].numpy(), posed, atol=1e-5)
        np.testing.assert_allclose(both[i].numpy(), hand_joints(posed.astype(float), placed), atol=1e-5)


def test_joints_of_hands_keep_gradients_and_any_leading_axes():
    vertices = torch.randn(2, 3, 778, 3, requires_grad=True)
    joints = torch.randn(2, 3, 16, 3)
    found = hand_joints(vertices, joints)
    assert found.shape == (2, 3, 21, 3)
    order = [JOINT_SETS["hand21"].names.index(name) for name in NAMES]
    assert torch.equal(found[..., order, :], joints)
    found.sum().backward()
    assert int((vertices.grad.abs().sum((0, 1, 3)) > 0).sum()) == 5


def test_other_models_are_refused():
    still = np.zeros((1, 16, 3))
    with pytest.raises(DataError, match="surrogate-v1 has 24 joints"):
        hand_joints(np.zeros((1, 6890, 3)), still, surrogate_body())
    with pytest.raises(DataError, match="the landmarks none"):
        hand_joints(np.zeros((1, 778, 3)), still, replace(surrogate_hand(), landmarks=None))
