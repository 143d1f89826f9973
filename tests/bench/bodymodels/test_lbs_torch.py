import numpy as np
import pytest
import torch

from bench.bodymodels.lbs_torch import TorchBody
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.rotations import axis_angle_to_matrix


@pytest.fixture(scope="module")
def torch_body():
    return TorchBody(surrogate_body())


def test_agrees_with_the_numpy_model(torch_body):
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(3, 10))
    rotations = axis_angle_to_matrix(rng.normal(size=(3, 24, 3)) * 0.5)
    shift = rng.normal(size=(3, 3))
    vertices, joints = torch_body(
        *(torch.tensor(array, dtype=torch.float32) for array in (betas, rotations, shift))
    )
    body = surrogate_body()
    for i in range(3):
        posed, placed, _ = body.pose(*body.shape(betas[i]), rotations[i], shift[i])
        np.testing.assert_allclose(vertices[i].numpy(), posed, atol=1e-5)
        np.testing.assert_allclose(joints[i].numpy(), placed, atol=1e-5)


def test_has_no_parameters_and_few_betas_suffice(torch_body):
    assert not list(torch_body.parameters())
    assert not torch_body.state_dict()
    still = torch.eye(3).expand(2, 24, 3, 3)
    few, _ = torch_body(torch.ones(2, 3), still)
    padded, _ = torch_body(torch.tensor([[1.0] * 3 + [0.0] * 7] * 2), still)
    torch.testing.assert_close(few, padded)


def test_gradients_match_finite_differences():
    body = TorchBody(surrogate_body()).double()
    rng = np.random.default_rng(1)
    betas = torch.tensor(rng.normal(size=(1, 10)), requires_grad=True)
    rotations = torch.tensor(axis_angle_to_matrix(rng.normal(size=(1, 24, 3)) * 0.3), requires_grad=True)
    shift = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    step = 1e-6
    weights = torch.tensor(rng.normal(size=(1, 6890, 3)))

    def loss(*inputs):
        vertices, joints = body(*inputs)
        return (vertices * weights).sum() + joints.square().sum()

    loss(betas, rotations, shift).backward()
    for tensor in (betas, rotations, shift):
        direction = torch.tensor(rng.normal(size=tuple(tensor.shape)))

        def value(sign, tensor=tensor, direction=direction):
            moved = [t + sign * step * direction if t is tensor else t for t in (betas, rotations, shift)]
            return loss(*moved).item()

        measured = (value(1) - value(-1)) / (2 * step)
        assert measured == pytest.approx((tensor.grad * direction).sum().item(), rel=1e-5)


def test_some_vertices_and_joints_alone_are_those_of_the_whole(torch_body):
    rng = np.random.default_rng(2)
    betas = torch.tensor(rng.normal(size=(2, 10)), dtype=torch.float32)
    turns = torch.tensor(axis_angle_to_matrix(rng.normal(size=(2, 24, 3)) * 0.5), dtype=torch.float32)
    vertices, joints = torch_body(betas, turns)
    some, same = TorchBody(surrogate_body(), [5000, 3])(betas, turns)
    torch.testing.assert_close(some, vertices[:, [5000, 3]])
    torch.testing.assert_close(same, joints)
    bare = TorchBody(surrogate_body(), [])
    none, same = bare(betas, turns, torch.ones(2, 3))
    assert none.shape == (2, 0, 3)
    torch.testing.assert_close(same, joints + 1)
    torch.testing.assert_close(bare.joints(betas, turns), joints)
