import pytest
import torch

from bench.bodymodels.joints import JOINT_SETS
from bench.encoders import build_encoder
from bench.encoders.graph import GraphConv

SPEC = {"adapter": "bench.encoders.graph:SemGCN", "version": 1, "config": {"width": 128, "blocks": 4}}


@pytest.mark.parametrize("joint_set", sorted(JOINT_SETS))
def test_shapes_for_every_joint_set(joint_set):
    encoder = build_encoder(SPEC, "kp2d", joint_set)
    joints = len(JOINT_SETS[joint_set])
    features = encoder(torch.randn(3, joints, 2))
    assert features.tokens.shape == (3, joints, 128)
    torch.testing.assert_close(features.pooled, features.tokens.mean(1))
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(0.30, abs=0.01)


def test_edge_weights_start_uniform_over_neighbours():
    parents = JOINT_SETS["mpii16"].parents
    weights = GraphConv(2, 4, parents).edge_weights()
    torch.testing.assert_close(weights.sum(1), torch.ones(16))
    thorax = parents.index(-1) + 1  # index 7: linked to pelvis and upper neck
    assert weights[thorax].nonzero().flatten().tolist() == [6, 7, 8]
    torch.testing.assert_close(weights[thorax, 6:9], torch.full((3,), 1 / 3))
    assert ((weights > 0) == (weights > 0).T).all()


def test_layer_follows_its_definition():
    layer = GraphConv(3, 5, [-1, 0, 0])
    torch.nn.init.normal_(layer.edges)
    x, s = torch.randn(2, 3, 3), layer.edge_weights()
    own = torch.eye(3)
    expected = (s * own) @ x @ layer.weight[0] + (s * (1 - own)) @ x @ layer.weight[1] + layer.bias
    torch.testing.assert_close(layer(x), expected)


def test_information_travels_one_edge_per_layer():
    layer = GraphConv(2, 4, [-1, 0, 1, 2])
    x = torch.randn(1, 4, 2)
    changed = x.clone()
    changed[0, 3] += 1
    same = (layer(x) == layer(changed)).all(2)
    assert same.tolist() == [[True, True, False, False]]
