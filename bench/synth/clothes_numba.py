"""Clothes and faces for compiled kernels: the rules of `clothes` for one canonical point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel
from bench.synth import cuts as c
from bench.synth.materials import FIRST
from bench.synth.noise_numba import value

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Rows = NDArray[np.int64]
Slots = NDArray[np.uint8]
Colour = tuple[float, float, float]


@kernel()
def slot_of(cuts: Floats, x: float, y: float, z: float) -> int:
    """Which garment covers a canonical point."""
    ax = abs(x)
    if y > cuts[c.HEAD_Y] and ax < cuts[c.HEAD_X]:
        if y > cuts[c.HAIR_Y] - cuts[c.HAIR_SLOPE] * max(0.0, z) and (
            z < cuts[c.HAIRLINE_Z] or y > cuts[c.HAIRLINE_Y]
        ):
            return c.ACCESSORY if cuts[c.HAT] > 0.5 else c.HAIR
        return c.SKIN
    if y > cuts[c.LONG_HAIR_Y] and z < -0.03 and ax < 0.12:
        return c.HAIR
    if ax > cuts[c.GLOVE_X]:
        return c.ACCESSORY
    if y < cuts[c.SHOE_Y]:
        return c.SHOES
    worn = cuts[c.JACKET_GAP] < c.NEVER
    if ax < cuts[c.TRUNK_X] or y < cuts[c.TRUNK_Y]:
        if y < cuts[c.HEM_Y]:
            return c.BOTTOM if y > cuts[c.TROUSER_Y] else c.SKIN
        if y > cuts[c.NECK_Y] - cuts[c.NECK_DROP] * (1.0 if z > 0 else 0.3) and ax < cuts[c.NECK_X]:
            return c.SKIN
        if worn and (z < 0.02 or ax > cuts[c.JACKET_GAP]):
            return c.JACKET
        return c.TOP
    if ax < cuts[c.SLEEVE_X]:
        return c.JACKET if worn else c.TOP
    return c.SKIN


@kernel()
def slots_at(points: Single, wearer: Rows, cuts: Floats, out: Slots) -> None:
    """Which garment covers each of some canonical points.

    Args:
        points: (N, 3).
        wearer: row of `cuts` for each point, (N,).
        cuts: of the clothes of several people, (P, 28).
        out: receives the slots, (N,).
    """
    for i in range(len(points)):
        out[i] = slot_of(cuts[wearer[i]], float(points[i, 0]), float(points[i, 1]), float(points[i, 2]))


@kernel(fast=True)
def face_paint(
    cuts: Floats, materials: Single, x: float, y: float, z: float, r: float, g: float, b: float
) -> Colour:
    """Eyes, brows, mouth and beard on skin of colour (r, g, b)."""
    ex, ey, ez = abs(x) - cuts[c.EYE_X], y - cuts[c.EYE_Y], z - cuts[c.EYE_Z]
    if ez > -0.055 and abs(ey) < 0.04:
        if (ex / 0.0165) ** 2 + (ey / 0.0085) ** 2 < 1.0:
            if ex * ex + ey * ey < 0.0000480:
                return cuts[c.IRIS] * 0.6, cuts[c.IRIS + 1] * 0.6, cuts[c.IRIS + 2] * 0.6
            return 0.80, 0.78, 0.76
        if ((ex + 0.002) / 0.023) ** 2 + ((ey - 0.023) / 0.005) ** 2 < 1.0:
            return (
                0.2 * r + 0.6 * materials[c.HAIR, FIRST],
                0.2 * g + 0.6 * materials[c.HAIR, FIRST + 1],
                0.2 * b + 0.6 * materials[c.HAIR, FIRST + 2],
            )
    my = y - cuts[c.MOUTH_Y]
    if ez > -0.045:
        if (x / 0.025) ** 2 + (my / 0.009) ** 2 < 1.0:
            return r * 0.75 + 0.06, g * 0.5, b * 0.55
        if cuts[c.BEARD] > 0.5 and -0.06 < my < 0.018 and (my < -0.012 or abs(x) > 0.02):
            return (
                0.35 * r + 0.6 * materials[c.HAIR, FIRST],
                0.35 * g + 0.6 * materials[c.HAIR, FIRST + 1],
                0.35 * b + 0.6 * materials[c.HAIR, FIRST + 2],
            )
    return r, g, b


@kernel()
def stand_off(
    points: Single, cuts: Floats, thickness: Floats, wrinkle: Floats, seed: int, table: Single, out: Single
) -> None:
    """How far cloth and hair lie above the skin; `clothes.stand_off` is the same rule on arrays.

    Args:
        points: canonical positions, (N, 3).
        cuts: of the clothes.
        thickness: by slot, metres, (7,).
        wrinkle: folds per metre, by slot, (7,).
        seed: of the folds.
        table: noise lattice.
        out: receives metres, (N,).
    """
    for i in range(points.shape[0]):
        x, y, z = float(points[i, 0]), float(points[i, 1]), float(points[i, 2])
        slot = slot_of(cuts, x, y, z)
        scale = wrinkle[slot]
        folds = value(table, x * scale, y * scale * 0.7, z * scale, (seed + 97 * slot) & 32767)
        out[i] = thickness[slot] * (0.45 + 1.1 * folds)
