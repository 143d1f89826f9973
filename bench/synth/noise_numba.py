"""Value noise for compiled kernels; strict where the shape of clothes follows from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel

Table = NDArray[np.float32]
MASK = 31


@kernel()
def value(table: Table, x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in [0, 1] at one point."""
    xi, yi, zi = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - xi, y - yi, z - zi
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    x0, y0, z0 = (int(xi) + seed) & MASK, (int(yi) + (seed >> 5)) & MASK, (int(zi) + (seed >> 10)) & MASK
    x1, y1, z1 = (x0 + 1) & MASK, (y0 + 1) & MASK, (z0 + 1) & MASK
    a, b = float(table[x0, y0, z0]), float(table[x1, y0, z0])
    c, d = float(table[x0, y1, z0]), float(table[x1, y1, z0])
    p, q = a + (b - a) * fx, c + (d - c) * fx
    low = p + (q - p) * fy
    a, b = float(table[x0, y0, z1]), float(table[x1, y0, z1])
    c, d = float(table[x0, y1, z1]), float(table[x1, y1, z1])
    p, q = a + (b - a) * fx, c + (d - c) * fx
    high = p + (q - p) * fy
    return low + (high - low) * fz


@kernel(fast=True)
def slope(table: Table, x: float, y: float, z: float, seed: int) -> tuple[float, float, float, float]:
    """The noise at one point and its three derivatives, each about -2..2: the bumps of a surface."""
    xi, yi, zi = math.floor(x), math.floor(y), math.floor(z)
    gx, gy, gz = x - xi, y - yi, z - zi
    fx, fy, fz = gx * gx * (3 - 2 * gx), gy * gy * (3 - 2 * gy), gz * gz * (3 - 2 * gz)
    gx, gy, gz = 6 * gx * (1 - gx), 6 * gy * (1 - gy), 6 * gz * (1 - gz)
    x0, y0, z0 = (int(xi) + seed) & MASK, (int(yi) + (seed >> 5)) & MASK, (int(zi) + (seed >> 10)) & MASK
    x1, y1, z1 = (x0 + 1) & MASK, (y0 + 1) & MASK, (z0 + 1) & MASK
    a, b, c, d = table[x0, y0, z0], table[x1, y0, z0], table[x0, y1, z0], table[x1, y1, z0]
    e, f, g, h = table[x0, y0, z1], table[x1, y0, z1], table[x0, y1, z1], table[x1, y1, z1]
    ab, cd, ef, gh = a + (b - a) * fx, c + (d - c) * fx, e + (f - e) * fx, g + (h - g) * fx
    low, high = ab + (cd - ab) * fy, ef + (gh - ef) * fy
    dx = ((b - a) * (1 - fy) + (d - c) * fy) * (1 - fz) + ((f - e) * (1 - fy) + (h - g) * fy) * fz
    dy = (cd - ab) * (1 - fz) + (gh - ef) * fz
    return low + (high - low) * fz, dx * gx, dy * gy, (high - low) * gz
