"""Pinhole cameras: from points in the frame of the camera to pixels and back. Arrays and tensors alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T", "Tensor", NDArray[Any])


def project(points: T, camera: T) -> T:
    """Pixels of points in front of a camera.

    Args:
        points: x, y, z in the frame of the camera, z > 0, (N, P, 3).
        camera: intrinsics, (N, 3, 3).

    Returns:
        x, y in pixels, (N, P, 2).
    """
    flat = points @ camera.swapaxes(1, 2)
    xy: T = flat[..., :2] / flat[..., 2:3]
    return xy


def back_project(places: ArrayLike, depth: ArrayLike, camera: ArrayLike) -> NDArray[np.float64]:
    """Points in the frame of a camera.

    Args:
        places: x, y in pixels, (N, P, 2).
        depth: z, (N, P), in any unit.
        camera: intrinsics, (N, 3, 3).

    Returns:
        x, y, z in the unit of the depth, (N, P, 3).
    """
    z = np.asarray(depth, np.float64)[..., None]
    rays = np.concatenate([np.asarray(places, np.float64), np.ones_like(z)], -1)
    points: NDArray[np.float64] = z * (
        rays @ np.linalg.inv(np.asarray(camera, np.float64)).transpose(0, 2, 1)
    )
    return points


def focal(camera: T) -> T:
    """Focal length in pixels, (N,), of intrinsics (N, 3, 3): the geometric mean of both axes."""
    area = camera[:, 0, 0] * camera[:, 1, 1] - camera[:, 0, 1] * camera[:, 1, 0]
    length: T = abs(area) ** 0.5
    return length
