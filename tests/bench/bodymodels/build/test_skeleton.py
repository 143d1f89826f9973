import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.bodymodels.build.shapes import sample_adults, skin, symmetric_weights
from bench.bodymodels.build.skeleton import about, align, head_matrix, merge_matrix
from bench.bodymodels.joints import JOINT_SETS

pytestmark = pytest.mark.slow  # of a tool that is run by hand

BONES = (
    "root", "pelvis.L", "pelvis.R", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "head",
    *(
        f"{bone}.{side}"
        for side in "LR"
        for bone in (
            "upperleg01", "lowerleg01", "foot", *(f"toe{k}-1" for k in range(1, 6)), "clavicle", "shoulder01",
            "upperarm01", "lowerarm01", "wrist", "metacarpal1", "finger3-1", "eye",
        )
    ),
)  # fmt: skip


def test_every_bone_belongs_to_one_joint_and_every_joint_has_bones():
    matrix = merge_matrix(BONES)
    assert (matrix.sum(1) == 1).all()
    assert (matrix.sum(0) > 0).all()
    names = JOINT_SETS["smpl24"].names
    owner = {bone: names[row.argmax()] for bone, row in zip(BONES, matrix, strict=True)}
    assert owner["spine05"] == "pelvis"
    assert owner["spine01"] == "spine3"
    assert owner["toe4-1.R"] == "right foot"
    assert owner["eye.L"] == "head"
    assert owner["metacarpal1.L"] == "left wrist"


def test_joints_are_means_of_bone_heads():
    matrix = head_matrix(BONES)
    np.testing.assert_allclose(matrix.sum(1), 1)
    row = matrix[JOINT_SETS["smpl24"].names.index("left foot")]
    assert {BONES[i] for i in np.flatnonzero(row)} == {f"toe{k}-1.L" for k in range(1, 6)}


def test_align_is_the_smallest_rotation():
    rng = np.random.default_rng(0)
    vectors, wanted = rng.normal(size=(9, 3)), np.array([0.2, -1.0, 0.5])
    rotations = align(vectors, wanted)
    turned = np.einsum("sij,sj->si", rotations, vectors)
    np.testing.assert_allclose(np.cross(turned, wanted), 0, atol=1e-12)
    assert (turned @ wanted > 0).all()
    cosine = vectors @ wanted / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted)
    np.testing.assert_allclose(Rotation.from_matrix(rotations).magnitude(), np.arccos(cosine))


def test_about_turns_the_other_two_axes():
    np.testing.assert_allclose(about("z", np.array([np.pi / 2]))[0] @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_skinning_blends_transforms():
    points = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    transforms = np.zeros((1, 2, 3, 4))
    transforms[0, :, :, :3] = np.eye(3)
    transforms[0, 1, :, 3] = [0, 0, 2]
    moved = skin(points, np.array([[0.5, 0.5], [0, 1]]), transforms)
    np.testing.assert_allclose(moved, [[[1, 0, 1], [0, 1, 2]]])


def test_symmetric_weights_treat_both_sides_alike():
    flip = list(JOINT_SETS["smpl24"].flip)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(24, 0.1), 30)
    weights[0] = 0
    weights[0, [0, 3, 6, 1, 2]] = [0.4, 0.3, 0.1, 0.1, 0.1]  # on the mid-plane, five influences, three tie
    mirror = np.array([0, *(range(15, 29)), *(range(1, 15)), 29])
    found = symmetric_weights(weights, mirror)
    np.testing.assert_allclose(found.sum(1), 1)
    assert ((found > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(found[mirror][:, flip], found, atol=1e-15)
    assert np.flatnonzero(found[0]).tolist() == [0, 3]


def test_adults_only():
    people = sample_adults(2000, np.random.default_rng(0))
    assert set(people) == {"gender", "age", "muscle", "weight", "height", "proportions"}
    assert people["age"].min() >= 0.67
    assert all(trait.min() >= 0 and trait.max() <= 1 for trait in people.values())
    assert ((people["gender"] < 0.4) | (people["gender"] > 0.6)).mean() > 0.9  # two modes
