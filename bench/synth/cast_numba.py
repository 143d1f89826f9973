"""Compiled rays against primitives; strict floating point, because occlusion and depth follow from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.jit import kernel
from bench.synth.scene import BOX, CAPSULE, PLANE, Solids

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SKY, PERSON = -1, -2
NEAR = 0.05
Hit = tuple[float, int, float, float, float, float, float, float]


@kernel()
def nearest(
    px: float,
    py: float,
    camera: Floats,
    solids: Solids,
    bounds: Floats,
    limit: float,
    start: int,
) -> Hit:
    """First primitive in front of `limit` along the ray of a pixel.

    Args:
        px: pixel x; pixel centres are at .5.
        py: pixel y.
        camera: packed camera, (15,).
        solids: primitives.
        bounds: pixels that a primitive can touch, x from, x to, y from, y to; (P, 4).
        limit: depth along the camera axis, metres.
        start: what is returned when nothing is nearer.

    Returns:
        Depth, number of the primitive or `start`, normal (x, y, z), position in the primitive's frame.
    """
    a, b = (px - camera[13]) / camera[12], (py - camera[14]) / camera[12]
    dx = camera[0] * a + camera[3] * b + camera[6]
    dy = camera[1] * a + camera[4] * b + camera[7]
    dz = camera[2] * a + camera[5] * b + camera[8]
    best, who = limit, start
    nx, ny, nz, lx, ly, lz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    kinds, centres, halves = solids.kind, solids.centre, solids.half
    for p in range(kinds.shape[0]):
        if px < bounds[p, 0] or px > bounds[p, 1] or py < bounds[p, 2] or py > bounds[p, 3]:
            continue
        q = solids.axes[p]
        ox, oy, oz = camera[9] - centres[p, 0], camera[10] - centres[p, 1], camera[11] - centres[p, 2]
        radius = halves[p, 0]
        if kinds[p] == PLANE:
            facing = dx * q[0, 0] + dy * q[0, 1] + dz * q[0, 2]
            if facing > -1e-9:
                continue
            t = -(ox * q[0, 0] + oy * q[0, 1] + oz * q[0, 2]) / facing
            if NEAR < t < best:
                best, who = t, p
                nx, ny, nz = q[0, 0], q[0, 1], q[0, 2]
                lx, ly, lz = ox + t * dx, oy + t * dy, oz + t * dz
        elif kinds[p] == BOX:
            o0 = q[0, 0] * ox + q[0, 1] * oy + q[0, 2] * oz
            o1 = q[1, 0] * ox + q[1, 1] * oy + q[1, 2] * oz
            o2 = q[2, 0] * ox + q[2, 1] * oy + q[2, 2] * oz
            d0 = q[0, 0] * dx + q[0, 1] * dy + q[0, 2] * dz
            d1 = q[1, 0] * dx + q[1, 1] * dy + q[1, 2] * dz
            d2 = q[2, 0] * dx + q[2, 1] * dy + q[2, 2] * dz
            d0 = d0 if abs(d0) > 1e-9 else 1e-9
            d1 = d1 if abs(d1) > 1e-9 else 1e-9
            d2 = d2 if abs(d2) > 1e-9 else 1e-9
            s0, s1, s2 = halves[p, 0] / abs(d0), halves[p, 1] / abs(d1), halves[p, 2] / abs(d2)
            m0, m1, m2 = -o0 / d0, -o1 / d1, -o2 / d2
            enter, side = m0 - s0, 0
            if m1 - s1 > enter:
                enter, side = m1 - s1, 1
            if m2 - s2 > enter:
                enter, side = m2 - s2, 2
            leave = min(m0 + s0, min(m1 + s1, m2 + s2))
            if NEAR < enter < best and enter < leave:
                best, who = enter, p
                along = d0 if side == 0 else (d1 if side == 1 else d2)
                sign = -1.0 if along > 0 else 1.0
                nx, ny, nz = sign * q[side, 0], sign * q[side, 1], sign * q[side, 2]
                lx, ly, lz = o0 + enter * d0, o1 + enter * d1, o2 + enter * d2
        else:
            length = 0.0
            bx, by, bz = 0.0, 0.0, 0.0
            if kinds[p] == CAPSULE:
                bx, by, bz = q[0, 0], q[0, 1], q[0, 2]
                length = bx * bx + by * by + bz * bz
            dd = dx * dx + dy * dy + dz * dz
            od = ox * dx + oy * dy + oz * dz
            oo = ox * ox + oy * oy + oz * oz - radius * radius
            t, s, cap = -1.0, 0.0, True
            if length > 0:
                bd, bo = bx * dx + by * dy + bz * dz, bx * ox + by * oy + bz * oz
                aa = length * dd - bd * bd
                hb = length * od - bo * bd
                disc = hb * hb - aa * (length * oo - bo * bo)
                cap = False
                if disc >= 0 and aa > 1e-12:
                    t = (-hb - np.sqrt(disc)) / aa
                    s = bo + t * bd
                    cap = s < 0 or s > length
                    if s > length:
                        ox, oy, oz = ox - bx, oy - by, oz - bz
                        od = ox * dx + oy * dy + oz * dz
                        oo = ox * ox + oy * oy + oz * oz - radius * radius
            if cap:
                disc = od * od - dd * oo
                t = (-od - np.sqrt(disc)) / dd if disc >= 0 else -1.0
            if NEAR < t < best:
                best, who = t, p
                lx, ly, lz = ox + t * dx, oy + t * dy, oz + t * dz
                share = 0.0 if cap else s / length
                nx, ny, nz = (
                    (lx - share * bx) / radius,
                    (ly - share * by) / radius,
                    (lz - share * bz) / radius,
                )
    return best, who, nx, ny, nz, lx, ly, lz


@kernel()
def resolve(
    camera: Floats,
    solids: Solids,
    bounds: Floats,
    depth: Single,
    who: NDArray[np.int32],
) -> None:
    """Put the primitives in front of or behind the person at every pixel centre.

    Args:
        camera: packed camera, (15,).
        solids: primitives.
        bounds: as for `nearest`, (P, 4).
        depth: (H, W), that of the person or infinite; receives that of the nearest thing.
        who: (H, W), PERSON or SKY; receives the primitive where one is nearer.
    """
    for y in range(who.shape[0]):
        for x in range(who.shape[1]):
            hit = nearest(x + 0.5, y + 0.5, camera, solids, bounds, depth[y, x], who[y, x])
            depth[y, x] = hit[0]
            who[y, x] = hit[1]
