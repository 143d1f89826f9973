from __future__ import annotations

import numpy as np
import pytest
from numpy_kernels import patterned

from bench.synth import materials as m
from bench.synth.domains import PATTERNS
from bench.synth.materials_numba import pattern
from bench.synth.noise import lattice

POINTS = np.random.default_rng(0).uniform(-1, 1, (400, 3))


def row_of(kind: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return m.cloth(rng, [PATTERNS[kind]], 1.0)


@pytest.mark.parametrize("kind", [m.PLAIN, m.STRIPES, m.CHECKS, m.DOTS, m.PLAID, m.GRADIENT])
def test_regular_patterns_agree_with_numpy(kind):
    row = row_of(kind)
    assert int(row[m.PATTERN]) == kind
    compiled = [pattern(row[None], 0, lattice(), *point) for point in POINTS]
    assert (np.abs(patterned(row, POINTS) - compiled) < 1e-4).mean() > 0.99  # f32 rounding at borders


@pytest.mark.parametrize("kind", range(len(PATTERNS)))
def test_patterns_mix_two_colours(kind):
    row = row_of(kind, 3)[None]
    share = np.array([pattern(row, 0, lattice(), *point) for point in POINTS])
    assert share.min() >= 0 and share.max() <= 1
    assert (share.std() > 0.02) == (kind != m.PLAIN)


def test_a_wall_in_the_plane_of_the_lattice_does_not_flicker():
    flat = POINTS * [1, 1, 0]
    for kind in (m.CHECKS, m.DOTS):
        row = row_of(kind, 1)[None]
        shift = np.array([0, 0, 1e-12])
        below, above = flat - shift, flat + shift
        first, second = ([pattern(row, 0, lattice(), *p) for p in points] for points in (below, above))
        assert first == second


def test_gradients_do_not_tell_left_from_right():
    for seed in range(20):
        row = row_of(m.GRADIENT, seed)
        assert np.allclose(patterned(row, POINTS), patterned(row, POINTS * [-1, 1, 1]))


def test_colours_are_light_in_range():
    rng = np.random.default_rng(0)
    for make in (
        m.skin_colour,
        m.hair_colour,
        lambda r: m.cloth_colour(r, 1.0),
        lambda r: m.scene_colour(r, 1.0),
    ):
        colours = np.array([make(rng) for _ in range(200)])
        assert colours.min() >= 0 and colours.max() <= 1 and colours.std(0).min() > 0.05
    assert m.scene_colours(rng, 50, 1.0).shape == (50, 3)
    assert np.allclose(m.linear(np.array([0.0, 1.0, 0.5])), [0, 1, 0.5**2.2])


def test_resemblance():
    skin = np.array([0.8, 0.6, 0.5])
    assert m.resembles(m.solid(skin), skin)
    assert m.resembles(m.solid(0.8 * skin), skin)
    assert not m.resembles(m.solid(np.array([0.2, 0.3, 0.8])), skin)
