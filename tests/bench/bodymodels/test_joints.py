import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench.bodymodels.joints import JOINT_SETS, joint_set, places_in, regressor, root_of
from bench.bodymodels.model import surrogate_body
from bench.errors import ConfigError, DataError

LENGTHS = {
    "coco17": 17, "mpii16": 16, "h36m17": 17, "itop15": 15, "smpl24": 24, "lsp14": 14, "penn13": 13,
    "ntu25": 25, "reduced13": 13, "hand21": 21, "mano16": 16,
}  # fmt: skip
SETS = sorted(LENGTHS)
HANDS = ["hand21", "mano16"]
BODIES = [name for name in SETS if name not in HANDS]


def test_the_sets_are_the_agreed_ones():
    assert {name: len(joints) for name, joints in JOINT_SETS.items()} == LENGTHS


@pytest.mark.parametrize("name", SETS)
def test_lists_agree_in_length_and_names_are_unique(name):
    joints = JOINT_SETS[name]
    assert len(joints.names) == len(joints.parents) == len(joints.flip) == len(set(joints.names))
    if joints.sigmas is not None:
        assert len(joints.sigmas) == len(joints)
        assert joints.sigmas == tuple(joints.sigmas[i] for i in joints.flip)


@pytest.mark.parametrize("name", SETS)
def test_parents_form_one_tree(name):
    parents = JOINT_SETS[name].parents
    assert parents.count(-1) == 1
    for joint in range(len(parents)):
        steps = 0
        while joint != -1:
            joint = parents[joint]
            steps += 1
            assert steps <= len(parents), "a loop"


@pytest.mark.parametrize("name", SETS)
def test_flip_is_an_involution_that_swaps_sides_and_keeps_the_tree(name):
    joints = JOINT_SETS[name]
    for i, j in enumerate(joints.flip):
        assert joints.flip[j] == i
        swapped = joints.names[i].replace("left", "#").replace("right", "left").replace("#", "right")
        assert joints.names[j] == swapped
        parent = joints.parents[i]
        assert joints.parents[j] == (-1 if parent == -1 else joints.flip[parent])


def test_published_permutations():
    assert JOINT_SETS["smpl24"].flip == tuple(
        [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
    )
    pairs = {(i, j) for i, j in enumerate(JOINT_SETS["mpii16"].flip) if i < j}
    assert pairs == {(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)}
    coco, reduced = JOINT_SETS["coco17"].names, JOINT_SETS["reduced13"].names
    taken = [coco[i] for i in (16, 14, 12, 11, 13, 15, 0, 10, 8, 6, 5, 7, 9)]
    assert [name.replace("nose", "head") for name in taken] == list(reduced)


@pytest.mark.parametrize("name", BODIES)
def test_regressed_joints_are_convex_symmetric_and_on_their_side(name):
    body = surrogate_body()
    joints = JOINT_SETS[name]
    matrix = regressor(body, name)
    assert matrix.shape == (len(joints), 6890)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-9)
    places = matrix @ body.v_template
    np.testing.assert_allclose(places[list(joints.flip)], places * [-1, 1, 1], atol=1e-6)
    for joint, (x, _, _) in zip(joints.names, places, strict=True):
        side = {"left": 1, "right": -1}.get(joint.split()[0], 0)
        assert np.sign(np.round(x, 4)) == side


def test_landmarks_lie_where_their_names_say():
    body = surrogate_body()
    nose, left_eye, _, left_ear, *_ = regressor(body, "coco17") @ body.v_template
    assert nose[2] > left_eye[2] > left_ear[2]  # from front to back
    assert left_eye[1] > nose[1]
    top = regressor(body, "mpii16")[9] @ body.v_template
    assert top[1] == pytest.approx(body.v_template[:, 1].max(), abs=0.005)
    ntu = dict(zip(JOINT_SETS["ntu25"].names, regressor(body, "ntu25") @ body.v_template, strict=True))
    assert ntu["left hand tip"][0] == pytest.approx(body.v_template[:, 0].max(), abs=0.005)
    assert ntu["left thumb"][2] > ntu["left hand tip"][2]


def test_errors_name_the_problem():
    with pytest.raises(ConfigError, match='Did you mean "coco17"'):
        joint_set("coco71")
    bare = replace(surrogate_body(), landmarks=None)
    assert regressor(bare, "itop15").shape == (15, 6890)
    with pytest.raises(DataError, match="no landmark"):
        regressor(bare, "coco17")


def test_importing_the_sets_is_light():
    code = (
        "import sys, bench.bodymodels.joints; print(sorted({'scipy', 'torch', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_places_in_another_set():
    smpl, itop = JOINT_SETS["smpl24"].names, JOINT_SETS["itop15"].names
    taken = [smpl[k] for k in places_in("smpl24", "itop15")]
    assert dict(zip(itop, taken, strict=True)) == {n: "spine2" if n == "torso" else n for n in itop}
    body = surrogate_body()
    expected = regressor(body, "smpl24")[list(places_in("smpl24", "itop15"))]
    np.testing.assert_array_equal(regressor(body, "itop15"), expected)
    with pytest.raises(ConfigError, match='"smpl24" has no joint for nose'):
        places_in("smpl24", "coco17")


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_a_root(name):
    names = [JOINT_SETS[name].names[k] for k in root_of(name)]
    assert names == ["wrist"] if name in HANDS else names in (["pelvis"], ["left hip", "right hip"])


def test_sets_of_hands():
    hand, mano = JOINT_SETS["hand21"], JOINT_SETS["mano16"]
    order = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]  # published: mano16 -> hand21
    assert [hand.names.index(name) for name in mano.names] == order
    for joint, parent in zip(mano.names[1:], mano.parents[1:], strict=True):
        assert hand.names[hand.parents[hand.names.index(joint)]] == mano.names[parent]
    assert hand.flip == tuple(range(21)) and mano.flip == tuple(range(16))
    assert [name for name in hand.names if "tip" in name] == [hand.names[k] for k in (4, 8, 12, 16, 20)]
    with pytest.raises(ConfigError, match='"hand21" is not one of bodies'):
        regressor(surrogate_body(), "hand21")
    with pytest.raises(ConfigError, match='"smpl24" has no joint for wrist'):
        places_in("smpl24", "hand21")
