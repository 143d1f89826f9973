from __future__ import annotations

import numpy as np
import torch

from bench.bodymodels import rotations
from bench.bodymodels.joints import joint_set
from bench.bodymodels.mean_pose import mean_rotations
from bench.bodymodels.rotations_torch import axis_angle_to_matrix, matrix_from_6d, matrix_to_6d

RNG = np.random.default_rng(0)


def test_agrees_with_numpy_near_zero_and_beyond_pi() -> None:
    vectors = RNG.normal(size=(50, 3)) * np.logspace(-9, 0.8, 50)[:, None]
    wanted = rotations.axis_angle_to_matrix(vectors)
    np.testing.assert_allclose(axis_angle_to_matrix(torch.tensor(vectors)).numpy(), wanted, atol=1e-12)


def test_gradient_of_the_zero_rotation_is_finite() -> None:
    vector = torch.zeros(1, 3, requires_grad=True)
    axis_angle_to_matrix(vector).sum().backward()
    assert vector.grad is not None and torch.isfinite(vector.grad).all()


def test_six_numbers_are_two_columns_row_by_row() -> None:
    matrix = torch.tensor(rotations.axis_angle_to_matrix(RNG.normal(size=(5, 4, 3))))
    numbers = matrix_to_6d(matrix)
    assert torch.equal(numbers[..., 0::2], matrix[..., 0]) and torch.equal(numbers[..., 1::2], matrix[..., 1])
    torch.testing.assert_close(matrix_from_6d(numbers), matrix)


def test_any_six_numbers_become_a_rotation_by_gram_and_schmidt() -> None:
    numbers = torch.tensor(RNG.normal(size=(20, 6)))
    found = matrix_from_6d(numbers)
    torch.testing.assert_close(found @ found.mT, torch.eye(3, dtype=found.dtype).expand(20, 3, 3))
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(20, dtype=found.dtype))
    a = numbers[:, 0::2]
    torch.testing.assert_close(found[:, :, 0], a / a.norm(dim=1, keepdim=True))


def test_the_mean_pose_is_its_own_mirror_image_and_faces_the_camera() -> None:
    pose, flip = mean_rotations(), list(joint_set("smpl24").flip)
    mirror = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(mirror @ pose[1:] @ mirror, pose[flip][1:], atol=1e-12)
    np.testing.assert_allclose(pose[0] @ [0, 0, 1], [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(pose[0] @ [0, 1, 0], [0, -1, 0], atol=1e-12)  # y is down in pictures
