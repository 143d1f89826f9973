from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.bodymodels.pinhole import back_project, focal, project


def test_back_and_forth() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4, 7, 3)) + np.array([0, 0, 4])
    camera = np.array([[[80.0, 3, 20], [0, 60, 30], [0, 0, 1]]]).repeat(4, 0)
    xy = project(points, camera)
    np.testing.assert_allclose(xy[..., 1], 60 * points[..., 1] / points[..., 2] + 30)
    np.testing.assert_allclose(back_project(xy, points[..., 2], camera), points, atol=1e-12)
    tensors = project(torch.from_numpy(points), torch.from_numpy(camera))
    np.testing.assert_allclose(tensors.numpy(), xy)
    assert focal(camera) == pytest.approx(np.sqrt(80 * 60))
    assert focal(torch.from_numpy(camera)).tolist() == pytest.approx([np.sqrt(80 * 60)] * 4)
