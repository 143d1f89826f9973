from __future__ import annotations

import numpy as np
import pytest
from numpy_kernels import value_noise

from bench.synth.noise import CELLS, SEEDS, lattice
from bench.synth.noise_numba import slope, value

POINTS = np.random.default_rng(0).uniform(-40, 40, (200, 3))


@pytest.mark.parametrize("seed", [0, 77, SEEDS - 1])
def test_compiled_noise_equals_numpy_bit_for_bit(seed):
    compiled = [value(lattice(), *point, seed) for point in POINTS]
    assert np.array_equal(compiled, value_noise(POINTS, seed))


def test_noise_is_continuous_bounded_and_periodic():
    noise = value_noise(POINTS, 5)
    assert noise.min() >= 0 and noise.max() <= 1 and noise.std() > 0.1
    assert np.abs(value_noise(POINTS + 1e-6, 5) - noise).max() < 1e-5
    assert np.allclose(value_noise(POINTS + CELLS, 5), noise)
    assert not np.allclose(value_noise(POINTS, 6), noise)


def test_slopes_are_derivatives():
    step = 1e-5
    for point in POINTS[:40]:
        mean, *found = slope(lattice(), *point, 3)
        assert mean == pytest.approx(value_noise(point, 3), abs=1e-6)
        for axis in range(3):
            shift = step * np.eye(3)[axis]
            numeric = (value_noise(point + shift, 3) - value_noise(point - shift, 3)) / (2 * step)
            assert found[axis] == pytest.approx(numeric, abs=1e-3)
