"""Patterns of materials for compiled kernels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel
from bench.synth import materials as m
from bench.synth.noise_numba import value

Single = NDArray[np.float32]


@kernel(fast=True)
def pattern(rows: Single, slot: int, table: Single, x: float, y: float, z: float) -> float:
    """Share of the second colour of a material at a point, 0..1."""
    kind, f, seed = int(rows[slot, m.PATTERN]), rows[slot, m.FREQUENCY], int(rows[slot, m.SEED])
    if kind == m.PLAIN:
        return 0.0
    u = (
        rows[slot, m.DIRECTION] * x + rows[slot, m.DIRECTION + 1] * y + rows[slot, m.DIRECTION + 2] * z
    ) * f + rows[slot, m.PHASE]
    if kind == m.STRIPES:
        return 1.0 if u - math.floor(u) < rows[slot, m.DUTY] else 0.0
    if kind == m.CHECKS:
        p = rows[slot, m.PHASE]  # on all axes: no border of cells may lie in the plane of a wall
        return float((math.floor(x * f + p) + math.floor(y * f + p) + math.floor(z * f + p)) & 1)
    if kind == m.DOTS:
        a, b, c = x * f + rows[slot, m.PHASE], y * f + rows[slot, m.PHASE], z * f + rows[slot, m.PHASE]
        a, b, c = a - math.floor(a) - 0.5, b - math.floor(b) - 0.5, c - math.floor(c) - 0.5
        return 1.0 if a * a + b * b + c * c < 0.3 * rows[slot, m.DUTY] else 0.0
    if kind == m.NOISE or kind == m.CAMOUFLAGE:
        w = 2.5 * f
        mixed = 0.62 * value(table, x * f, y * f, z * f, seed) + 0.38 * value(
            table, x * w, y * w, z * w, seed + 7
        )
        if kind == m.NOISE:
            return mixed
        return 1.0 if mixed > 0.5 else 0.0
    if kind == m.PLAID:
        a, b = x * f + rows[slot, m.PHASE], y * f + rows[slot, m.PHASE]
        share = 0.5 if a - math.floor(a) < rows[slot, m.DUTY] else 0.0
        return share + (0.5 if b - math.floor(b) < rows[slot, m.DUTY] else 0.0)
    if kind == m.BRICKS:
        course = math.floor(u)
        across = (
            rows[slot, m.DIRECTION + 2] * x
            + rows[slot, m.DIRECTION] * z
            + rows[slot, m.DIRECTION + 1] * (x + z)
        )
        v = across * f * 0.33 + 0.5 * (int(course) & 1)
        joint = u - course < 0.06 or v - math.floor(v) < 0.02
        return 1.0 if joint else 0.3 * value(table, math.floor(v), course, 0.0, seed)
    return float(min(1.0, max(0.0, u + 0.5)))
