"""Value noise on a periodic lattice, the same in numpy and in compiled code."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

CELLS = 32  # per axis, a power of two
SEEDS = CELLS**3  # lattice offsets, one per seed


@cache
def lattice() -> NDArray[np.float32]:
    """Random values in [0, 1) at the corners, (32, 32, 32); fixed for all data sets."""
    values = np.random.Generator(np.random.Philox(20240229)).random((CELLS, CELLS, CELLS), np.float32)
    values.flags.writeable = False
    return values


def value_noise(points: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Smooth noise in [0, 1] with one feature per unit length.

    Args:
        points: positions, (..., 3); noise repeats every 32 units.
        seed: chooses the part of the lattice, 0..32767.
    """
    cell = np.floor(points)
    f = points - cell
    f = f * f * (3 - 2 * f)
    base = cell.astype(np.int64) + np.array([seed, seed >> 5, seed >> 10])
    table, mask = lattice(), CELLS - 1
    x0, y0, z0 = (base[..., k] & mask for k in range(3))
    x1, y1, z1 = ((base[..., k] + 1) & mask for k in range(3))
    fx, fy, fz = (f[..., k] for k in range(3))

    def mix(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
        return a + (b - a) * t

    def at(x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.int64]) -> NDArray[np.float64]:
        return table[x, y, z].astype(np.float64)

    low = mix(mix(at(x0, y0, z0), at(x1, y0, z0), fx), mix(at(x0, y1, z0), at(x1, y1, z0), fx), fy)
    high = mix(mix(at(x0, y0, z1), at(x1, y0, z1), fx), mix(at(x0, y1, z1), at(x1, y1, z1), fx), fy)
    return mix(low, high, fz)
