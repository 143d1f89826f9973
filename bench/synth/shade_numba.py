"""The compiled shading loop: materials, light, shadow, and finer sampling where it shows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel
from bench.synth import cuts as c
from bench.synth import materials as m
from bench.synth.cast_numba import MATERIAL, PERSON, SKY, locate, nearest
from bench.synth.clothes_numba import face_paint, slot_of
from bench.synth.materials_numba import pattern
from bench.synth.noise_numba import slope

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]
Colour = tuple[float, float, float]

FACE = 16  # region of the face, which is always sampled finely
THINGS = 64  # first region that is not the person
LEAP = 0.06  # metres; a larger step of depth between neighbours is an outline
SHADOW_BIAS = 0.03  # metres


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
    r = backdrop[y, x0, 0] * w00 + backdrop[y, x1, 0] * w01
    g = backdrop[y, x0, 1] * w00 + backdrop[y, x1, 1] * w01
    b = backdrop[y, x0, 2] * w00 + backdrop[y, x1, 2] * w01
    r += backdrop[y1, x0, 0] * w10 + backdrop[y1, x1, 0] * w11
    g += backdrop[y1, x0, 1] * w10 + backdrop[y1, x1, 1] * w11
    return r, g, b + backdrop[y1, x0, 2] * w10 + backdrop[y1, x1, 2] * w11


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
    return float(a * (1 - fv) + b * fv)


@kernel(fast=True)
def radiance(
    t: float, who: int, face: int, w0: float, w1: float, dx: float, dy: float, dz: float, camera: Floats,
    faces: Ints, normals: Single, canon: Single, cuts: Floats, solids: Floats, materials: Single,
    light: Floats, shadow: Single, shadow_frame: Floats, backdrop: Single, turn: float, table: Single,
) -> Colour:  # fmt: skip
    """Linear colour of what a ray meets at depth t: the sky, a primitive, or a face of the person.

    Args:
        t: depth, metres.
        who: SKY, PERSON or the number of a primitive.
        face: of the person.
        w0: weight of its first corner.
        w1: weight of its second corner.
        dx: direction of the ray with unit depth, likewise dy and dz.
        dy: y.
        dz: z.
        camera: packed; this and the rest as for `paint`.
        faces: (F, 3).
        normals: (V, 3).
        canon: (V, 3).
        cuts: of the clothes.
        solids: (P, 21).
        materials: (M, 18).
        light: (18,).
        shadow: (L, L).
        shadow_frame: (14,).
        backdrop: (B, B, 3).
        turn: of the backdrop.
        table: noise lattice.
    """
    if who == SKY:
        return sky_colour(dx, dy, dz, backdrop, turn)
    wx, wy, wz = camera[9] + t * dx, camera[10] + t * dy, camera[11] + t * dz
    if who == PERSON:
        w2 = 1.0 - w0 - w1
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        nx = w0 * normals[i, 0] + w1 * normals[j, 0] + w2 * normals[k, 0]
        ny = w0 * normals[i, 1] + w1 * normals[j, 1] + w2 * normals[k, 1]
        nz = w0 * normals[i, 2] + w1 * normals[j, 2] + w2 * normals[k, 2]
        lx = w0 * canon[i, 0] + w1 * canon[j, 0] + w2 * canon[k, 0]
        ly = w0 * canon[i, 1] + w1 * canon[j, 1] + w2 * canon[k, 1]
        lz = w0 * canon[i, 2] + w1 * canon[j, 2] + w2 * canon[k, 2]
        slot = slot_of(cuts, lx, ly, lz)
    else:
        nx, ny, nz, lx, ly, lz = locate(solids, who, wx, wy, wz)
        slot = int(solids[who, MATERIAL])
    share = pattern(materials, slot, table, lx, ly, lz)
    footprint = t / camera[12]
    if materials[slot, m.PATTERN] > 0:  # patterns finer than the pixel fade to their mean
        share += (0.45 - share) * min(1.0, max(0.0, footprint * materials[slot, m.FREQUENCY] - 0.25) * 2.5)
    r = materials[slot, m.FIRST] + (materials[slot, m.SECOND] - materials[slot, m.FIRST]) * share
    g = materials[slot, m.FIRST + 1] + (materials[slot, m.SECOND + 1] - materials[slot, m.FIRST + 1]) * share
    b = materials[slot, m.FIRST + 2] + (materials[slot, m.SECOND + 2] - materials[slot, m.FIRST + 2]) * share
    f, seed = materials[slot, m.GRAIN_FREQUENCY], int(materials[slot, m.SEED])
    sharp = 1.0 - min(1.0, max(0.0, footprint * f - 0.25) * 2.5)
    if sharp > 0 and (materials[slot, m.GRAIN] > 0.02 or materials[slot, m.BUMP] > 0.02):
        mean, sx, sy, sz = slope(table, lx * f, ly * f * 0.6, lz * f, seed + 31)
        grain = 1.0 + sharp * materials[slot, m.GRAIN] * (2.0 * mean - 1.0)
        bump = 0.5 * sharp * materials[slot, m.BUMP]
        r, g, b = r * grain, g * grain, b * grain
        nx, ny, nz = nx - bump * sx, ny - bump * sy, nz - bump * sz
    if who == PERSON and slot == c.SKIN:
        r, g, b = face_paint(cuts, materials, lx, ly, lz, r, g, b)
    scale = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    facing = nx * light[0] + ny * light[1] + nz * light[2]
    gloss = 0.0
    if facing > 0:
        through = lit(wx + 0.02 * nx, wy + 0.02 * ny, wz + 0.02 * nz, shadow, shadow_frame)
        facing *= through
        if materials[slot, m.GLOSS] > 0.01 and through > 0:
            scale = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
            hx, hy, hz = light[0] - dx * scale, light[1] - dy * scale, light[2] - dz * scale
            half = nx * hx + ny * hy + nz * hz
            if half > 0:
                squared = half * half / (hx * hx + hy * hy + hz * hz + 1e-12)
                squared *= squared * squared  # to the power of 24 in all
                squared *= squared
                gloss = materials[slot, m.GLOSS] * squared * squared * through
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
    ids: Ints, person: Single, bary: Single, who: Ints, depth: Single, faces: Ints,
    canon: Single, cuts: Floats, region: Ints, fine: Flags,
) -> None:  # fmt: skip
    """Mark the pixels to sample four times: outlines, seams of clothes, and the face.

    Args:
        ids: z-buffer of the person at pixel centres, (S, S), likewise the next two.
        person: its depth.
        bary: its weights, (S, S, 2).
        who: what is seen at pixel centres, (S, S).
        depth: of what is seen, metres, (S, S).
        faces: (F, 3).
        canon: (V, 3).
        cuts: of the clothes.
        region: work space, (S, S).
        fine: receives the marks, (S, S).
    """
    size = who.shape[0]
    for y in range(size):
        for x in range(size):
            if who[y, x] != PERSON:
                region[y, x] = THINGS + who[y, x]
                continue
            f, w0, w1 = ids[y, x], bary[y, x, 0], bary[y, x, 1]
            w2 = 1.0 - w0 - w1
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            lx = w0 * canon[i, 0] + w1 * canon[j, 0] + w2 * canon[k, 0]
            ly = w0 * canon[i, 1] + w1 * canon[j, 1] + w2 * canon[k, 1]
            lz = w0 * canon[i, 2] + w1 * canon[j, 2] + w2 * canon[k, 2]
            slot = slot_of(cuts, lx, ly, lz)
            face = slot == c.SKIN and ly > cuts[c.EYE_Y] - 0.13 and lz > cuts[c.EYE_Z] - 0.1
            region[y, x] = FACE if face else slot
    for y in range(size):
        for x in range(size):
            here, z = region[y, x], depth[y, x]
            mark = here == FACE
            for k in range(4):
                j = min(size - 1, max(0, y + (k - 1) * (1 - (k & 1))))  # up, right, down, left
                i = min(size - 1, max(0, x + (2 - k) * (k & 1)))
                mark = mark or region[j, i] != here or (here < THINGS and abs(depth[j, i] - z) > LEAP)
            fine[y, x] = mark


@kernel(fast=True)
def paint(
    ids: Ints, person: Single, bary: Single, dense_ids: Ints, dense_person: Single, dense_bary: Single,
    fine: Flags, who: Ints, depth: Single, camera: Floats, faces: Ints, normals: Single, canon: Single,
    cuts: Floats, solids: Floats, materials: Single, light: Floats, shadow: Single, shadow_frame: Floats,
    backdrop: Single, turn: float, table: Single, out: Single,
) -> None:  # fmt: skip
    """Colour the image. The arguments are the fields of `Raster` (twice), `Person` and `World` in order.

    Args:
        ids: z-buffer of the person at pixel centres, (S, S), likewise the next two.
        person: its depth.
        bary: its weights, (S, S, 2).
        dense_ids: the same in twice the size, likewise the next two.
        dense_person: depth.
        dense_bary: weights.
        fine: pixels to sample four times, (S, S).
        who: what is seen at pixel centres, (S, S).
        depth: of what is seen, metres, (S, S).
        camera: packed camera, (15,).
        faces: (F, 3).
        normals: (V, 3).
        canon: (V, 3).
        cuts: of the clothes.
        solids: table of primitives, (P, 21).
        materials: (M, 18).
        light: packed light, (18,).
        shadow: depth from the light, (L, L).
        shadow_frame: world to shadow map, (14,).
        backdrop: (B, B, 3).
        turn: of the backdrop.
        table: noise lattice.
        out: receives linear colours, (S, S, 3).
    """
    size = fine.shape[0]
    for y in range(size):
        for x in range(size):
            samples = 4 if fine[y, x] else 1
            share = 1.0 / samples
            red, green, blue = 0.0, 0.0, 0.0
            for k in range(samples):
                px, py, t, seen = x + 0.5, y + 0.5, float(depth[y, x]), who[y, x]
                face, w0, w1 = ids[y, x], bary[y, x, 0], bary[y, x, 1]
                if samples > 1:
                    j, i = 2 * y + (k >> 1), 2 * x + (k & 1)
                    px, py, t = 0.5 * i + 0.25, 0.5 * j + 0.25, float(dense_person[j, i])
                    face, w0, w1 = dense_ids[j, i], dense_bary[j, i, 0], dense_bary[j, i, 1]
                    seen = PERSON if face >= 0 else SKY
                p, q = (px - camera[13]) / camera[12], (py - camera[14]) / camera[12]
                dx = camera[0] * p + camera[3] * q + camera[6]
                dy = camera[1] * p + camera[4] * q + camera[7]
                dz = camera[2] * p + camera[5] * q + camera[8]
                if samples > 1:
                    t, seen = nearest(solids, px, py, camera, dx, dy, dz, t, seen)
                r, g, b = radiance(
                    t, seen, face, w0, w1, dx, dy, dz, camera, faces, normals, canon, cuts, solids, materials,
                    light, shadow, shadow_frame, backdrop, turn, table,
                )  # fmt: skip
                red, green, blue = red + share * r, green + share * g, blue + share * b
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red, green, blue
