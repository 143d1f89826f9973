import pytest
import torch

from bench.bodymodels.joints import joint_set
from bench.losses.adversarial import fooling, telling_apart
from bench.losses.kcs import bone_edges, bone_matrix, bone_shares, kinematic_chain

NAMES = joint_set("h36m17").names


@pytest.fixture
def skeletons():
    return torch.randn(5, 17, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def turned_and_moved(skeletons):
    g = torch.Generator().manual_seed(1)
    turns, _ = torch.linalg.qr(torch.randn(len(skeletons), 3, 3, generator=g, dtype=torch.float64))
    return skeletons @ turns + torch.randn(len(skeletons), 1, 3, generator=g, dtype=torch.float64)


def test_least_squares_of_an_undecided_adversary():
    undecided = torch.full((6,), 0.5)
    assert fooling(undecided) == 0.25
    assert telling_apart(undecided, undecided) == 0.5
    assert fooling(torch.ones(6)) == 0 and fooling(torch.zeros(6)) == 1
    assert telling_apart(torch.zeros(6), torch.ones(6)) == 0


def test_bones_are_the_edges_of_the_tree():
    agreed = "0-1,0-4,0-7,1-2,2-3,4-5,5-6,7-8,8-9,9-10,8-11,8-14,11-12,12-13,14-15,15-16"
    assert {f"{a}-{b}" for a, b in bone_edges()} == set(agreed.split(","))
    matrix = bone_matrix()
    assert matrix.shape == (16, 17) and torch.linalg.matrix_rank(matrix) == 16
    assert torch.equal(matrix.sum(1), torch.zeros(16))


def test_the_released_matrix_lacks_a_bone_and_has_a_wrong_one():
    right, released = set(bone_edges()), set(bone_edges("official"))
    named = {tuple(NAMES[joint] for joint in edge) for edge in right ^ released}
    assert named == {("spine", "thorax"), ("nose", "head"), ("left ankle", "spine")}
    assert bone_matrix("official").shape == (15, 17)
    assert torch.linalg.matrix_rank(bone_matrix("official")) == 14  # the wrong bone closes a ring


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_the_chain_space_does_not_see_place_and_heading(skeletons, variant):
    bones = bone_matrix(variant).double()
    chain = kinematic_chain(skeletons, bones)
    torch.testing.assert_close(kinematic_chain(turned_and_moved(skeletons), bones), chain)
    assert torch.linalg.matrix_rank(chain).tolist() == [3] * 5


def test_the_chain_space_holds_lengths_and_angles(skeletons):
    chain = kinematic_chain(skeletons, bone_matrix().double())
    edges = bone_edges()
    thigh, shin = edges.index((1, 2)), edges.index((2, 3))
    vectors = [skeletons[:, a] - skeletons[:, b] for a, b in ((1, 2), (2, 3))]
    torch.testing.assert_close(chain[:, thigh, thigh], vectors[0].square().sum(1))
    torch.testing.assert_close(chain[:, thigh, shin], (vectors[0] * vectors[1]).sum(1))


def test_shares_of_bones_do_not_depend_on_size(skeletons):
    bones = bone_matrix().double()
    shares = bone_shares(skeletons, bones)
    torch.testing.assert_close(shares.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(bone_shares(3 * turned_and_moved(skeletons), bones), shares)
    assert torch.isfinite(bone_shares(torch.zeros(1, 17, 3), bone_matrix())).all()
