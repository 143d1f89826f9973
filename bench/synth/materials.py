"""Materials: a pattern of two colours with gloss, grain and bumps, packed into one row of numbers."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth.domains import PATTERNS
from bench.synth.noise import SEEDS

Floats = NDArray[np.float64]
Row = NDArray[np.float32]

# Columns of a material row. Lengths are in metres of the canonical body or of the scene.
PATTERN, FREQUENCY, DIRECTION, PHASE = 0, 1, 2, 5  # DIRECTION takes three columns
FIRST, SECOND = 6, 9  # linear colours, three columns each
GLOSS, BUMP, GRAIN_FREQUENCY, GRAIN, SEED, DUTY = 12, 13, 14, 15, 16, 17
WIDTH = 18

PLAIN, STRIPES, CHECKS, DOTS, NOISE, CAMOUFLAGE, PLAID, BRICKS, GRADIENT = range(len(PATTERNS))
_CLOTH_SHARES = (0.34, 0.14, 0.08, 0.08, 0.12, 0.07, 0.08, 0.03, 0.06)
_SCENE_SHARES = (0.26, 0.08, 0.08, 0.02, 0.26, 0.03, 0.04, 0.17, 0.06)
_COARSER = {NOISE: 0.35, CAMOUFLAGE: 0.35, GRADIENT: 0.1}  # factors of the frequency
_CLOTH_DIRECTIONS = ((0, 1, 0), (1, 0, 0), (0.7, 0.7, 0), (0, 0.3, 1))
_SCENE_DIRECTIONS = ((0, 1, 0), (1, 0, 0), (1, 0, 1))
_SKIN = np.array([[0.94, 0.79, 0.70], [0.76, 0.56, 0.43], [0.34, 0.22, 0.17]])  # sRGB, light to dark
_NEUTRALS = np.array(
    [
        (0.10, 0.10, 0.11), (0.28, 0.28, 0.30), (0.52, 0.52, 0.53), (0.78, 0.78, 0.77), (0.95, 0.94, 0.92),
        (0.14, 0.18, 0.32), (0.27, 0.37, 0.53), (0.76, 0.68, 0.55), (0.46, 0.35, 0.26), (0.87, 0.83, 0.74),
    ]
)  # fmt: skip
_HAIR = np.array(
    [
        (0.11, 0.09, 0.08), (0.27, 0.18, 0.12), (0.45, 0.32, 0.20), (0.80, 0.67, 0.44), (0.62, 0.62, 0.63),
        (0.55, 0.27, 0.14),
    ]
)  # fmt: skip
_HAIR_SHARES = (0.38, 0.25, 0.14, 0.10, 0.09, 0.04)


def linear(srgb: Floats) -> Floats:
    """Display colours in [0, 1] as light (gamma 2.2)."""
    light: Floats = np.clip(srgb, 0.0, 1.0) ** 2.2
    return light


def skin_colour(rng: Generator) -> Floats:
    """A skin tone between light and dark, uniform along the ramp; sRGB, (3,)."""
    place = 2 * rng.random()
    tone = _SKIN[0] + (_SKIN[1] - _SKIN[0]) * min(place, 1) + (_SKIN[2] - _SKIN[1]) * max(place - 1, 0)
    return _clipped(tone * (1 + 0.04 * rng.normal(size=3)))


def hair_colour(rng: Generator) -> Floats:
    """A hair colour, sRGB, (3,)."""
    return _clipped(_HAIR[rng.choice(len(_HAIR), p=_HAIR_SHARES)] * rng.uniform(0.85, 1.15))


def cloth_colour(rng: Generator, colourfulness: float, palette: Sequence[Floats] = ()) -> Floats:
    """A colour of a garment, often from the palette of the person; sRGB, (3,)."""
    if palette and rng.random() < 0.6:
        return _clipped(palette[int(rng.integers(len(palette)))] + 0.03 * rng.normal(size=3))
    if rng.random() < 0.4:
        return _clipped(_NEUTRALS[rng.integers(len(_NEUTRALS))] * (1 + 0.06 * rng.normal(size=3)))
    return _hsv(rng.random(), rng.beta(2.2, 2) * colourfulness, rng.beta(3, 1.5))


def scene_colour(rng: Generator, colourfulness: float) -> Floats:
    """A colour of a wall, floor or thing: mostly muted; sRGB, (3,)."""
    if rng.random() < 0.4:
        return _clipped(_NEUTRALS[rng.integers(len(_NEUTRALS))] * (1 + 0.06 * rng.normal(size=3)))
    return _hsv(rng.random(), rng.beta(1.5, 3.8) * colourfulness, rng.beta(3.2, 1.6))


def scene_colours(rng: Generator, count: int, colourfulness: float) -> Floats:
    """Many such colours at once; sRGB, (N, 3)."""
    neutral = _NEUTRALS[rng.integers(len(_NEUTRALS), size=count)] * (1 + 0.06 * rng.normal(size=(count, 3)))
    hue, saturation = rng.random(count), np.minimum(rng.beta(1.5, 3.8, count) * colourfulness, 1)
    value = rng.beta(3.2, 1.6, count)
    wheel = np.abs((hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    vivid = value[:, None] * (1 - saturation[:, None] * (1 - np.clip(wheel, 0, 1)))
    return _clipped(np.where(rng.random((count, 1)) < 0.4, neutral, vivid))


def _clipped(colour: Floats) -> Floats:
    inside: Floats = np.minimum(np.maximum(colour, 0.03), 1)
    return inside


def _hsv(hue: float, saturation: float, value: float) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue, min(saturation, 1.0), value))


def solid(colour: Floats, *, gloss: float = 0.0, bump: float = 0.0, grain: float = 0.0, size: float = 0.05,
          seed: int = 0) -> Row:  # fmt: skip
    """A material of one colour; `size` is the scale of bumps and grain in metres, colour in sRGB."""
    row = np.zeros(WIDTH, np.float32)
    row[FIRST : FIRST + 3] = row[SECOND : SECOND + 3] = linear(colour)
    row[[GLOSS, BUMP, GRAIN, GRAIN_FREQUENCY, SEED, FREQUENCY]] = gloss, bump, grain, 1 / size, seed, 8
    return row


def cloth(
    rng: Generator, patterns: Sequence[str], colourfulness: float, palette: Sequence[Floats] = ()
) -> Row:
    """A random textile with one of the allowed patterns."""
    first = cloth_colour(rng, colourfulness, palette)
    second = cloth_colour(rng, colourfulness, palette)
    row = _pattern(rng, first, second, _shares(_CLOTH_SHARES, patterns), _CLOTH_DIRECTIONS)
    u = rng.random(6)
    row[FREQUENCY] = (6 + 30 * u[0]) * _COARSER.get(int(row[PATTERN]), 1.0)
    row[GLOSS] = 0.12 * u[2] if u[1] < 0.4 else 0.0
    row[BUMP], row[GRAIN_FREQUENCY], row[GRAIN] = 0.08 + 0.22 * u[3], 9 + 17 * u[4], 0.18 * u[5]
    return row


def resembles(row: Row, colour: Floats) -> bool:
    """Whether the first colour of a material has the hue and saturation of `colour` (sRGB, (3,))."""
    found = row[FIRST : FIRST + 3].astype(np.float64) ** (1 / 2.2)
    distance = np.abs(found / found.sum() - colour / colour.sum()).max()
    return bool(distance < 0.05 and np.abs(found - colour).max() < 0.35)


def surface(rng: Generator, colourfulness: float) -> Row:
    """A random material of the scene."""
    first, second = scene_colour(rng, colourfulness), scene_colour(rng, colourfulness)
    row = _pattern(rng, first, second, _shares(_SCENE_SHARES, PATTERNS), _SCENE_DIRECTIONS)
    u = rng.random(6)
    row[FREQUENCY] = (1 + 6 * u[0]) * _COARSER.get(int(row[PATTERN]), 1.0)
    row[GLOSS] = 0.12 * u[2] if u[1] < 0.3 else 0.0
    row[BUMP], row[GRAIN_FREQUENCY], row[GRAIN] = 0.06 * u[3], 2 + 7 * u[4], 0.2 * u[5]
    return row


def _shares(shares: Sequence[float], allowed: Sequence[str]) -> Floats:
    kept = [s if name in allowed else 0.0 for s, name in zip(shares, PATTERNS, strict=True)]
    return np.array(kept) / sum(kept)


def _pattern(
    rng: Generator,
    first: Floats,
    second: Floats,
    shares: Floats,
    directions: Sequence[tuple[float, float, float]],
) -> Row:
    row = np.zeros(WIDTH, np.float32)
    u = rng.random(5)
    row[PATTERN] = np.searchsorted(np.cumsum(shares), u[0] * 0.999999)
    row[DIRECTION : DIRECTION + 3] = directions[int(u[1] * len(directions))]
    if u[2] < 0.45:  # two shades of one colour
        second = np.clip(first * (0.55 + 2 * u[2]), 0.03, 1)
    row[FIRST : FIRST + 3], row[SECOND : SECOND + 3] = linear(first), linear(second)
    row[PHASE], row[DUTY], row[SEED] = u[3], 0.2 + 0.6 * u[4], rng.integers(SEEDS)
    if row[PATTERN] == GRADIENT:  # downwards: across the body it would tell left from right
        row[DIRECTION : DIRECTION + 3] = (0, 1, 0)
    return row
