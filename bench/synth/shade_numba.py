"""The compiled shading loop: materials, light, shadow, and finer sampling where it shows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.synth import clothes as c
from bench.synth import materials as m
from bench.synth.cast_numba import PERSON, SKY, nearest
from bench.synth.clothes_numba import face_paint, slot_of
from bench.synth.jit import kernel
from bench.synth.noise_numba import slope, value
from bench.synth.raster import Raster
from bench.synth.scene import Solids
from bench.synth.surface import Person, World

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Flags = NDArray[np.bool_]
Colour = tuple[float, float, float]

FACE = 16  # region of the face, which is always sampled finely
THINGS = 64  # first region that is not the person
LEAP = 0.06  # metres; a larger step of depth between neighbours is an outline
SHADOW_BIAS = 0.03  # metres


@kernel(fast=True)
def pattern(row: Single, table: Single, x: float, y: float, z: float) -> float:
    """Share of the second colour of a material at a point, 0..1."""
    kind, f, seed = int(row[m.PATTERN]), row[m.FREQUENCY], int(row[m.SEED])
    if kind == m.PLAIN:
        return 0.0
    u = (row[m.DIRECTION] * x + row[m.DIRECTION + 1] * y + row[m.DIRECTION + 2] * z) * f + row[m.PHASE]
    if kind == m.STRIPES:
        return 1.0 if u - math.floor(u) < row[m.DUTY] else 0.0
    if kind == m.CHECKS:
        cells = math.floor(x * f + row[m.PHASE]) + math.floor(y * f) + math.floor(z * f)
        return float(cells & 1)
    if kind == m.DOTS:
        a, b, c = x * f + row[m.PHASE], y * f, z * f
        a, b, c = a - math.floor(a) - 0.5, b - math.floor(b) - 0.5, c - math.floor(c) - 0.5
        return 1.0 if a * a + b * b + c * c < 0.3 * row[m.DUTY] else 0.0
    if kind == m.NOISE or kind == m.CAMOUFLAGE:
        w = 2.5 * f
        mixed = 0.62 * value(table, x * f, y * f, z * f, seed) + 0.38 * value(
            table, x * w, y * w, z * w, seed + 7
        )
        if kind == m.NOISE:
            return mixed
        return 1.0 if mixed > 0.5 else 0.0
    if kind == m.PLAID:
        a, b = x * f + row[m.PHASE], y * f
        share = 0.5 if a - math.floor(a) < row[m.DUTY] else 0.0
        return share + (0.5 if b - math.floor(b) < row[m.DUTY] else 0.0)
    if kind == m.BRICKS:
        course = math.floor(u)
        across = row[m.DIRECTION + 2] * x + row[m.DIRECTION] * z + row[m.DIRECTION + 1] * (x + z)
        v = across * f * 0.33 + 0.5 * (int(course) & 1)
        joint = u - course < 0.06 or v - math.floor(v) < 0.02
        return 1.0 if joint else 0.3 * value(table, math.floor(v), course, 0.0, seed)
    return min(1.0, max(0.0, 0.5 + u))


@kernel(fast=True)
def sky_colour(dx: float, dy: float, dz: float, backdrop: Single, turn: float) -> Colour:
    """Backdrop in a direction: seven times around the horizon, mirrored above and below."""
    side = backdrop.shape[0]
    u = (math.atan2(dx, dz) * 0.15915494 + turn) * 7.0
    v = (0.5 - math.atan2(dy, math.sqrt(dx * dx + dz * dz)) * 0.3183) * 3.5
    u = (u - math.floor(u)) * side
    v = min(side - 1.001, abs(v - 2.0 * math.floor(v * 0.5 + 0.5)) * side)
    x, y = int(u), int(v)
    fu, fv = u - x, v - y
    x0, x1 = x % side, (x + 1) % side
    y1 = min(side - 1, y + 1)
    w00, w01, w10, w11 = (1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv
    p, q, s, t = backdrop[y, x0], backdrop[y, x1], backdrop[y1, x0], backdrop[y1, x1]
    return (
        p[0] * w00 + q[0] * w01 + s[0] * w10 + t[0] * w11,
        p[1] * w00 + q[1] * w01 + s[1] * w10 + t[1] * w11,
        p[2] * w00 + q[2] * w01 + s[2] * w10 + t[2] * w11,
    )


@kernel(fast=True)
def lit(x: float, y: float, z: float, shadow: Single, frame: Floats) -> float:
    """Share of the light that the person lets through to a world point, from four shadow-map pixels."""
    side = shadow.shape[0]
    u = (frame[0] * x + frame[1] * y + frame[2] * z - frame[9]) * frame[11] - 0.5
    v = (frame[3] * x + frame[4] * y + frame[5] * z - frame[10]) * frame[12] - 0.5
    if u < 0.5 or v < 0.5 or u > side - 2.5 or v > side - 2.5:
        return 1.0
    far = frame[6] * x + frame[7] * y + frame[8] * z + frame[13] - SHADOW_BIAS
    i, j = int(u), int(v)
    fu, fv = u - i, v - j
    a = (0.0 if shadow[j, i] < far else 1 - fu) + (0.0 if shadow[j, i + 1] < far else fu)
    b = (0.0 if shadow[j + 1, i] < far else 1 - fu) + (0.0 if shadow[j + 1, i + 1] < far else fu)
    return a * (1 - fv) + b * fv


@kernel(fast=True)
def radiance(
    px: float, py: float, face: int, w0: float, w1: float, depth: float, camera: Floats, body: Person,
    solids: Solids, bounds: Floats, world: World,
) -> Colour:  # fmt: skip
    """Linear colour seen through a point of the picture, where the person shows `face` or nothing (-1)."""
    start = PERSON if face >= 0 else SKY
    t, who, nx, ny, nz, lx, ly, lz = nearest(px, py, camera, solids, bounds, depth, start)
    a, b = (px - camera[13]) / camera[12], (py - camera[14]) / camera[12]
    dx = camera[0] * a + camera[3] * b + camera[6]
    dy = camera[1] * a + camera[4] * b + camera[7]
    dz = camera[2] * a + camera[5] * b + camera[8]
    if who == SKY:
        return sky_colour(dx, dy, dz, world.backdrop, world.turn)
    if who == PERSON:
        w2 = 1.0 - w0 - w1
        i, j, k = body.faces[face, 0], body.faces[face, 1], body.faces[face, 2]
        normals, canon = body.normals, body.canon
        nx = w0 * normals[i, 0] + w1 * normals[j, 0] + w2 * normals[k, 0]
        ny = w0 * normals[i, 1] + w1 * normals[j, 1] + w2 * normals[k, 1]
        nz = w0 * normals[i, 2] + w1 * normals[j, 2] + w2 * normals[k, 2]
        lx = w0 * canon[i, 0] + w1 * canon[j, 0] + w2 * canon[k, 0]
        ly = w0 * canon[i, 1] + w1 * canon[j, 1] + w2 * canon[k, 1]
        lz = w0 * canon[i, 2] + w1 * canon[j, 2] + w2 * canon[k, 2]
        slot = slot_of(body.cuts, lx, ly, lz)
    else:
        slot = int(solids.material[who])
    row, table, light = world.materials[slot], world.lattice, world.light
    share = pattern(row, table, lx, ly, lz)
    footprint = t / camera[12]
    if row[m.PATTERN] > 0:  # patterns finer than the pixel fade to their mean
        share += (0.45 - share) * min(1.0, max(0.0, footprint * row[m.FREQUENCY] - 0.25) * 2.5)
    r = row[m.FIRST] + (row[m.SECOND] - row[m.FIRST]) * share
    g = row[m.FIRST + 1] + (row[m.SECOND + 1] - row[m.FIRST + 1]) * share
    b = row[m.FIRST + 2] + (row[m.SECOND + 2] - row[m.FIRST + 2]) * share
    f, seed = row[m.GRAIN_FREQUENCY], int(row[m.SEED])
    sharp = 1.0 - min(1.0, max(0.0, footprint * f - 0.25) * 2.5)
    if row[m.GRAIN] > 0 and sharp > 0:
        grain = 1.0 + sharp * row[m.GRAIN] * (2.0 * value(table, lx * f, ly * f, lz * f, seed + 11) - 1.0)
        r, g, b = r * grain, g * grain, b * grain
    if row[m.BUMP] > 0 and sharp > 0:
        sx, sy, sz = slope(table, lx * f, ly * f * 0.6, lz * f, seed + 31)
        bump = 0.5 * sharp * row[m.BUMP]
        nx, ny, nz = nx - bump * sx, ny - bump * sy, nz - bump * sz
    if who == PERSON and slot == c.SKIN:
        r, g, b = face_paint(body.cuts, world.materials[c.HAIR], lx, ly, lz, r, g, b)
    scale = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    facing = nx * light[0] + ny * light[1] + nz * light[2]
    gloss = 0.0
    if facing > 0:
        wx, wy, wz = camera[9] + t * dx, camera[10] + t * dy, camera[11] + t * dz
        through = lit(wx + 0.02 * nx, wy + 0.02 * ny, wz + 0.02 * nz, world.shadow, world.shadow_frame)
        facing *= through
        if row[m.GLOSS] > 0:
            scale = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
            hx, hy, hz = light[0] - dx * scale, light[1] - dy * scale, light[2] - dz * scale
            scale = 1.0 / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
            gloss = row[m.GLOSS] * max(0.0, (nx * hx + ny * hy + nz * hz) * scale) ** 24 * through
    else:
        facing = 0.0
    up = 0.5 + 0.5 * ny
    fill = max(0.0, nx * light[12] + ny * light[13] + nz * light[14])
    return (
        r * (light[6] * up + light[9] * (1 - up) + light[3] * facing + light[15] * fill) + gloss * light[3],
        g * (light[7] * up + light[10] * (1 - up) + light[4] * facing + light[16] * fill) + gloss * light[4],
        b * (light[8] * up + light[11] * (1 - up) + light[5] * facing + light[17] * fill) + gloss * light[5],
    )


@kernel(fast=True)
def edges(
    coarse: Raster, dense: Raster, who: NDArray[np.int32], depth: Single, body: Person, fine: Flags
) -> None:
    """Mark the pixels to sample four times: outlines, seams of clothes, and the face.

    Args:
        coarse: z-buffer at pixel centres, (S, S).
        dense: z-buffer of twice the size.
        who: what is seen at pixel centres, (S, S).
        depth: of what is seen, metres, (S, S).
        body: the person.
        fine: receives the marks, (S, S).
    """
    size = who.shape[0]
    region = np.empty((size, size), np.int32)
    for y in range(size):
        for x in range(size):
            if who[y, x] != PERSON:
                region[y, x] = THINGS + who[y, x]
                continue
            f, w0, w1 = coarse.ids[y, x], coarse.bary[y, x, 0], coarse.bary[y, x, 1]
            w2 = 1.0 - w0 - w1
            i, j, k = body.faces[f, 0], body.faces[f, 1], body.faces[f, 2]
            lx = w0 * body.canon[i, 0] + w1 * body.canon[j, 0] + w2 * body.canon[k, 0]
            ly = w0 * body.canon[i, 1] + w1 * body.canon[j, 1] + w2 * body.canon[k, 1]
            lz = w0 * body.canon[i, 2] + w1 * body.canon[j, 2] + w2 * body.canon[k, 2]
            slot = slot_of(body.cuts, lx, ly, lz)
            face = slot == c.SKIN and ly > body.cuts[c.EYE_Y] - 0.13 and lz > body.cuts[c.EYE_Z] - 0.1
            region[y, x] = FACE if face else slot
    for y in range(size):
        for x in range(size):
            here, z = region[y, x], depth[y, x]
            mark = here == FACE
            for k in range(4):
                j = min(size - 1, max(0, y + (k - 1) * (1 - (k & 1))))  # up, right, down, left
                i = min(size - 1, max(0, x + (2 - k) * (k & 1)))
                mark = mark or region[j, i] != here or (here < THINGS and abs(depth[j, i] - z) > LEAP)
                mark = mark or (here >= THINGS and dense.ids[2 * y + (k >> 1), 2 * x + (k & 1)] >= 0)
            fine[y, x] = mark


@kernel(fast=True)
def paint(
    coarse: Raster, dense: Raster, fine: Flags, camera: Floats, body: Person, solids: Solids, bounds: Floats,
    world: World, out: Single,
) -> None:  # fmt: skip
    """Colour the picture.

    Args:
        coarse: z-buffer at pixel centres, (S, S).
        dense: z-buffer of twice the size.
        fine: pixels to sample four times, (S, S).
        camera: packed camera, (15,).
        body: the person.
        solids: primitives.
        bounds: pixels that they can touch, (P, 4).
        world: materials and light.
        out: receives linear colours, (S, S, 3).
    """
    size = fine.shape[0]
    for y in range(size):
        for x in range(size):
            if not fine[y, x]:
                r, g, b = radiance(
                    x + 0.5, y + 0.5, coarse.ids[y, x], coarse.bary[y, x, 0], coarse.bary[y, x, 1],
                    coarse.depth[y, x], camera, body, solids, bounds, world,
                )  # fmt: skip
            else:
                r, g, b = 0.0, 0.0, 0.0
                for k in range(4):
                    j, i = 2 * y + (k >> 1), 2 * x + (k & 1)
                    p, q, s = radiance(
                        0.5 * i + 0.25, 0.5 * j + 0.25, dense.ids[j, i], dense.bary[j, i, 0],
                        dense.bary[j, i, 1], dense.depth[j, i], camera, body, solids, bounds, world,
                    )  # fmt: skip
                    r, g, b = r + 0.25 * p, g + 0.25 * q, b + 0.25 * s
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = r, g, b
