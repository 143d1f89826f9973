"""What stands in front: the person of the z-buffer against the primitives of the scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.camera import Camera
from bench.synth.jit import shading
from bench.synth.scene import BOX, CAPSULE, PLANE, Solids

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SKY, PERSON = -1, -2  # values of `who` besides the numbers of primitives
NEAR = 0.05
Rays = tuple[Floats, NDArray[np.bool_], Floats, Floats]  # depth, hit, normal, local position


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
    if shading() == "full":
        from bench.synth.cast_numba import resolve as compiled

        compiled(camera.packed(), table, depth, who)
        return depth, who
    direction = pixel_rays(camera, len(ids))
    for p in range(len(solids.kind)):
        t, hit, _, _ = strike(camera.eye, direction, solids, p)
        nearer = hit & (t < depth)
        depth[nearer], who[nearer] = t[nearer], p
    return depth, who


def pixel_rays(camera: Camera, size: int) -> Floats:
    """Rays of the pixel centres with unit depth, in the world, (S, S, 3)."""
    place = np.arange(size) + 0.5
    across, down = (place - camera.cx) / camera.focal, (place - camera.cy) / camera.focal
    right, below, ahead = camera.rotation
    rays: Floats = across[None, :, None] * right + down[:, None, None] * below + ahead
    return rays


def strike(eye: Floats, direction: Floats, solids: Solids, p: int) -> Rays:
    """Rays (..., 3) from one point against primitive `p`; the kernel `cast_numba.strike` on arrays."""
    kind, axes, half = int(solids.kind[p]), solids.axes[p], solids.half[p]
    origin = eye - solids.centre[p]
    if kind == PLANE:
        facing = direction @ axes[0]
        t = -(origin @ axes[0]) / np.where(facing > -1e-9, -1.0, facing)
        hit = (facing <= -1e-9) & (t > NEAR)
        return t, hit, np.broadcast_to(axes[0], direction.shape), origin + t[..., None] * direction
    if kind == BOX:
        return _strike_box(axes @ origin, direction @ axes.T, axes, half)
    link = axes[0] if kind == CAPSULE else np.zeros(3)
    return _strike_rod(origin, direction, link, float(half[0]))


def _strike_box(origin: Floats, direction: Floats, axes: Floats, half: Floats) -> Rays:
    steep = np.where(np.abs(direction) > 1e-9, direction, 1e-9)
    reach, middle = half / np.abs(steep), -origin / steep
    enter, leave = (middle - reach).max(-1), (middle + reach).min(-1)
    side = (middle - reach).argmax(-1)
    sign = -np.sign(np.take_along_axis(steep, side[..., None], -1))
    hit = (enter > NEAR) & (enter < leave)
    return enter, hit, sign * axes[side], origin + enter[..., None] * direction


def _strike_rod(origin: Floats, direction: Floats, link: Floats, radius: float) -> Rays:
    length = link @ link
    dd = (direction**2).sum(-1)
    start = np.broadcast_to(origin, direction.shape)
    t, share = np.full(dd.shape, -1.0), np.zeros(dd.shape)
    cap = np.full(dd.shape, length == 0)
    if length > 0:
        bd, bo = direction @ link, float(origin @ link)
        od, oo = direction @ origin, float(origin @ origin) - radius**2
        aa, hb = length * dd - bd * bd, length * od - bo * bd
        disc = hb * hb - aa * (length * oo - bo * bo)
        side = (disc >= 0) & (aa > 1e-12)
        t = np.where(side, (-hb - np.sqrt(np.maximum(disc, 0))) / np.maximum(aa, 1e-12), -1.0)
        share = (bo + t * bd) / length
        cap = side & ((share < 0) | (share > 1))
        start = np.where((side & (share > 1))[..., None], origin - link, origin)
    od = (start * direction).sum(-1)
    disc = od * od - dd * ((start * start).sum(-1) - radius**2)
    ball = np.where(disc >= 0, (-od - np.sqrt(np.maximum(disc, 0))) / dd, -1.0)
    t = np.where(cap, ball, t)
    local = origin + t[..., None] * direction
    normal = (local - np.clip(share, 0, 1)[..., None] * link) / radius
    return t, t > NEAR, normal, local
