"""The periodic lattice of value noise."""

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
