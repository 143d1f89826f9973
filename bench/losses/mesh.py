"""Losses of body meshes: cameras and projections, pose, shape and joints (SPIN, arXiv:1909.12828)."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.bodymodels.pinhole import project
from bench.losses.numerics import in_float32

FOCAL = 5000 / 112  # of the weak-perspective camera, half images: 5000 pixels for 224


@in_float32
def project_weakly(points: Tensor, camera: Tensor) -> Tensor:
    """Project points of a body near the origin by a camera far away, as in SPIN's official code.

    The body is moved to (x, y, 2 f / (size s)), f = 5000 pixels for 224; nearly s (X + x), s (Y + y).

    Args:
        points: relative to the root, metres, (N, P, 3).
        camera: s in half images per metre, x and y in metres, (N, 3).

    Returns:
        x, y in half images from the middle, (N, P, 2).
    """
    depth = points[..., 2] * camera[:, :1] / FOCAL + 1  # over the distance of the root
    return (points[..., :2] + camera[:, None, 1:]) * camera[:, None, :1] / depth[..., None]


@in_float32
def project_exactly(points: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
    """Project points of the camera frame (N, P, 3), metres, by intrinsics (N, 3, 3) in pixels.

    Returns:
        x, y in half images (of the longer side) from the middle, (N, P, 2), for images of `size` (H, W).
    """
    middle = torch.tensor([size[1] / 2, size[0] / 2], device=points.device)
    return (project(points, intrinsics) - middle) / middle.max()


@in_float32
def scale_penalty(camera: Tensor) -> Tensor:
    """Keep scales (N, 3)[0] positive: mean of exp(-10 s) squared (SPIN's official code).

    Scales below -1 count as -1, so that one of them makes no loss infinite.
    """
    return torch.exp(-10 * camera[:, 0].clamp_min(-1)).square().mean()
