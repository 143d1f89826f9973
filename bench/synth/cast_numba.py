"""Compiled rays against primitives; strict floating point, because occlusion and depth follow from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel
from bench.synth.scene import BOX, CAPSULE, PLANE

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SKY, PERSON = -1, -2  # values of `who` besides the numbers of primitives
NEAR = 0.05
NOTHING = np.inf
# Columns of the table of primitives, see `cast.packed`.
KIND, CENTRE, AXES, HALF, MATERIAL, BOUNDS = 0, 1, 4, 13, 16, 17


@kernel()
def strike(q: Floats, p: int, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """Where a ray meets primitive `p` of the table: multiple of the direction, or `NOTHING`.

    Args:
        q: table of primitives, (P, 21).
        p: row.
        ox: origin of the ray in the world; so are oy, oz.
        oy: y.
        oz: z.
        dx: direction, likewise dy, dz.
        dy: y.
        dz: z.
    """
    kind = q[p, KIND]
    ox, oy, oz = ox - q[p, CENTRE], oy - q[p, CENTRE + 1], oz - q[p, CENTRE + 2]
    ax, ay, az = q[p, AXES], q[p, AXES + 1], q[p, AXES + 2]
    if kind == PLANE:
        facing = dx * ax + dy * ay + dz * az
        if facing > -1e-9:
            return NOTHING
        t = -(ox * ax + oy * ay + oz * az) / facing
        return t if t > NEAR else NOTHING
    if kind == BOX:
        enter, leave = -NOTHING, NOTHING
        for k in range(3):
            ax, ay, az = q[p, AXES + 3 * k], q[p, AXES + 3 * k + 1], q[p, AXES + 3 * k + 2]
            along = ax * dx + ay * dy + az * dz
            along = along if abs(along) > 1e-9 else 1e-9
            middle = -(ax * ox + ay * oy + az * oz) / along
            reach = q[p, HALF + k] / abs(along)
            enter, leave = max(enter, middle - reach), min(leave, middle + reach)
        return enter if NEAR < enter < leave else NOTHING
    radius = q[p, HALF]
    dd = dx * dx + dy * dy + dz * dz
    od = ox * dx + oy * dy + oz * dz
    oo = ox * ox + oy * oy + oz * oz - radius * radius
    if kind == CAPSULE:
        length = ax * ax + ay * ay + az * az
        bd, bo = ax * dx + ay * dy + az * dz, ax * ox + ay * oy + az * oz
        aa, hb = length * dd - bd * bd, length * od - bo * bd
        disc = hb * hb - aa * (length * oo - bo * bo)
        if disc < 0 or aa <= 1e-12:
            return NOTHING
        t = (-hb - np.sqrt(disc)) / aa
        s = bo + t * bd
        if 0 <= s <= length:
            return t if t > NEAR else NOTHING
        if s > length:
            ox, oy, oz = ox - ax, oy - ay, oz - az
            od = ox * dx + oy * dy + oz * dz
            oo = ox * ox + oy * oy + oz * oz - radius * radius
    disc = od * od - dd * oo
    if disc < 0:
        return NOTHING
    t = (-od - np.sqrt(disc)) / dd
    return t if t > NEAR else NOTHING


@kernel()
def locate(
    q: Floats, p: int, wx: float, wy: float, wz: float
) -> tuple[float, float, float, float, float, float]:
    """Normal of a world point on the surface of primitive `p`, and its position in the frame of that."""
    kind = q[p, KIND]
    lx, ly, lz = wx - q[p, CENTRE], wy - q[p, CENTRE + 1], wz - q[p, CENTRE + 2]
    ax, ay, az = q[p, AXES], q[p, AXES + 1], q[p, AXES + 2]
    if kind == PLANE:
        return ax, ay, az, lx, ly, lz
    if kind == BOX:
        x = ax * lx + ay * ly + az * lz
        y = q[p, AXES + 3] * lx + q[p, AXES + 4] * ly + q[p, AXES + 5] * lz
        z = q[p, AXES + 6] * lx + q[p, AXES + 7] * ly + q[p, AXES + 8] * lz
        gx, gy, gz = q[p, HALF] - abs(x), q[p, HALF + 1] - abs(y), q[p, HALF + 2] - abs(z)
        side, sign = AXES, x
        if gy < gx and gy <= gz:
            side, sign = AXES + 3, y
        elif gz < gx:
            side, sign = AXES + 6, z
        sign = 1.0 if sign > 0 else -1.0
        return sign * q[p, side], sign * q[p, side + 1], sign * q[p, side + 2], x, y, z
    share = 0.0
    if kind == CAPSULE:
        share = min(1.0, max(0.0, (lx * ax + ly * ay + lz * az) / (ax * ax + ay * ay + az * az)))
    radius = q[p, HALF]
    return (lx - share * ax) / radius, (ly - share * ay) / radius, (lz - share * az) / radius, lx, ly, lz


@kernel()
def _resolve_plane(camera: Floats, solids: Floats, p: int, depth: Single, who: NDArray[np.int32]) -> None:
    """`resolve` for one plane, whose facing is linear over the image."""
    nx, ny, nz = solids[p, AXES], solids[p, AXES + 1], solids[p, AXES + 2]
    height = nx * (camera[9] - solids[p, CENTRE])
    height += ny * (camera[10] - solids[p, CENTRE + 1]) + nz * (camera[11] - solids[p, CENTRE + 2])
    if height <= 0:
        return  # seen from behind
    right = (camera[0] * nx + camera[1] * ny + camera[2] * nz) / camera[12]
    below = (camera[3] * nx + camera[4] * ny + camera[5] * nz) / camera[12]
    ahead = camera[6] * nx + camera[7] * ny + camera[8] * nz
    for y in range(who.shape[0]):
        row = ahead + (y + 0.5 - camera[14]) * below
        for x in range(who.shape[1]):
            facing = row + (x + 0.5 - camera[13]) * right
            if facing < -1e-9:
                t = -height / facing
                if NEAR < t < depth[y, x]:
                    depth[y, x] = t
                    who[y, x] = p


@kernel()
def resolve(camera: Floats, solids: Floats, depth: Single, who: NDArray[np.int32]) -> None:
    """Put the primitives in front of or behind the person at every pixel centre.

    Args:
        camera: packed camera, (15,).
        solids: table of primitives, (P, 21).
        depth: (S, S), that of the person or infinite; receives that of the nearest thing.
        who: (S, S), PERSON or SKY; receives the primitive where one is nearer.
    """
    size = who.shape[0]
    ex, ey, ez, focal = camera[9], camera[10], camera[11], camera[12]
    for p in range(solids.shape[0]):
        if solids[p, KIND] == PLANE:
            _resolve_plane(camera, solids, p, depth, who)
            continue
        x0, x1 = max(0, int(solids[p, BOUNDS])), min(size, int(solids[p, BOUNDS + 1]) + 1)
        y0, y1 = max(0, int(solids[p, BOUNDS + 2])), min(size, int(solids[p, BOUNDS + 3]) + 1)
        for y in range(y0, y1):
            b = (y + 0.5 - camera[14]) / focal
            for x in range(x0, x1):
                a = (x + 0.5 - camera[13]) / focal
                dx = camera[0] * a + camera[3] * b + camera[6]
                dy = camera[1] * a + camera[4] * b + camera[7]
                dz = camera[2] * a + camera[5] * b + camera[8]
                t = strike(solids, p, ex, ey, ez, dx, dy, dz)
                if t < depth[y, x]:
                    depth[y, x] = t
                    who[y, x] = p


@kernel()
def nearest(
    solids: Floats, px: float, py: float, camera: Floats, dx: float, dy: float, dz: float, limit: float,
    start: int,
) -> tuple[float, int]:  # fmt: skip
    """First primitive in front of `limit` along one ray, or `limit` and `start`: depth and number."""
    best, who = limit, start
    for p in range(solids.shape[0]):
        if (
            solids[p, BOUNDS] <= px <= solids[p, BOUNDS + 1]
            and solids[p, BOUNDS + 2] <= py <= solids[p, BOUNDS + 3]
        ):
            t = strike(solids, p, camera[9], camera[10], camera[11], dx, dy, dz)
            if t < best:
                best, who = t, p
    return best, who
