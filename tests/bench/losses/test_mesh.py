from __future__ import annotations

import torch

from bench.losses.mesh import FOCAL, project_exactly, project_weakly, scale_penalty


def test_the_weak_camera_is_a_far_away_exact_one() -> None:
    points = torch.randn(3, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    camera = torch.tensor([[0.9, 0.1, -0.2], [1.4, 0.0, 0.0], [0.3, 1.0, 0.5]], dtype=torch.float64)
    size, half = (224, 224), 112.0
    focal = FOCAL * half
    assert focal == 5000
    shift = torch.stack([camera[:, 1], camera[:, 2], 2 * focal / (224 * camera[:, 0])], 1)
    intrinsics = torch.tensor([[focal, 0, half], [0, focal, half], [0, 0, 1]], dtype=torch.float64)
    exact = project_exactly(points + shift[:, None], intrinsics.expand(3, 3, 3), size)
    torch.testing.assert_close(project_weakly(points, camera), exact)


def test_pictures_that_are_not_square_have_one_scale() -> None:
    intrinsics = torch.tensor([[[100.0, 0, 40], [0, 100, 20], [0, 0, 1]]])
    corner = torch.tensor([[[0.4, 0.2, 1.0]]])  # pixel (80, 40) of 80 x 40
    torch.testing.assert_close(project_exactly(corner, intrinsics, (40, 80)), torch.tensor([[[1.0, 0.5]]]))


def test_negative_scales_cost_and_none_is_infinite() -> None:
    costs = [float(scale_penalty(torch.tensor([[s, 0.0, 0.0]]))) for s in (1.0, 0.0, -0.1, -50.0)]
    assert costs[0] < 1e-8 < costs[1] == 1 < costs[2] < costs[3] < 1e12
