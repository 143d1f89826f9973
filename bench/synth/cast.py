"""What stands in front: the person of the z-buffer against the primitives of the scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.camera import Camera
from bench.synth.cast_numba import PERSON, SKY
from bench.synth.cast_numba import resolve as fill
from bench.synth.scene import Solids

Floats = NDArray[np.float64]
Single = NDArray[np.float32]


def packed(camera: Camera, solids: Solids, size: int) -> Floats:
    """Primitives as the table that compiled kernels read, (P, 21).

    Columns: kind, centre (3), axes (9), half (3), material, and the pixels that it can touch: x from, x to,
    y from, y to.
    """
    columns = (
        solids.kind[:, None],
        solids.centre,
        solids.axes.reshape(-1, 9),
        solids.half,
        solids.material[:, None],
        _pixel_bounds(camera, solids, size),
    )
    return np.concatenate(columns, 1)


def _pixel_bounds(camera: Camera, solids: Solids, size: int) -> Floats:
    radius, seen = solids.ball_radius, camera.seen(solids.ball_centre)
    ahead = seen[2] > radius + 0.1
    x, y, _ = camera.pixels(np.where(ahead, seen, 1.0))
    near = np.where(ahead, seen[2] - radius, 1.0)
    reach = 1 + 1.05 * camera.focal * np.where(ahead, radius, 0.0) / near
    bounds = np.stack([x - reach, x + reach, y - reach, y + reach], 1)
    bounds[~ahead] = (0, size, 0, size)
    bounds[seen[2] < -radius] = (1, 0, 1, 0)  # behind the camera
    inside: Floats = np.clip(bounds, -1.0, size + 1.0)
    return inside


def resolve(
    camera: Camera, solids: Solids, table: Floats, ids: NDArray[np.int32], person: Single
) -> tuple[Single, NDArray[np.int32]]:
    """Nearest thing at every pixel centre.

    Args:
        camera: the crop.
        solids: primitives.
        table: the same, from `packed`.
        ids: face numbers of the person, -1 = none, (S, S).
        person: its depth, infinite = none, (S, S).

    Returns:
        Depth along the camera axis in metres, infinite for the sky, (S, S), and who is seen: PERSON, SKY or
        the number of a primitive, (S, S).
    """
    depth = person.copy()
    who = np.where(ids >= 0, PERSON, SKY).astype(np.int32)
    fill(camera.packed(), table, depth, who)
    return depth, who
