"""Far backgrounds: dead-leaves pictures, whose edges and sizes are statistically close to photographs.

Lee, Mumford & Huang, Occlusion models for natural images, IJCV 41 (2001).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.synth.materials import linear, scene_colour
from bench.synth.rng import Stream, generator

Floats = NDArray[np.float64]

SIDE = 160  # pixels
BANK = 24  # pictures per (domain, split)
LEAVES = 170


@lru_cache(maxsize=2 * BANK)
def backdrop(seed: int, block: int, number: int) -> NDArray[np.float32]:
    """Picture `number` of the bank of a (domain, split), linear colours, (160, 160, 3)."""
    rng = generator(seed, Stream.BACKDROP, block, number)
    base = scene_colour(rng, 0.8)
    sky = np.array([0.62, 0.76, 0.92]) * rng.uniform(0.7, 1.08)
    height = np.linspace(0, 1, SIDE)[:, None, None]
    picture = np.where(rng.random() < 0.5, sky + (0.9 - sky) * height, base * (1.15 - 0.4 * height))
    picture = np.repeat(picture, SIDE, 1)
    largest = rng.uniform(0.12, 0.4) * SIDE
    for _ in range(LEAVES):
        _leaf(rng, picture, base, largest / (1 + (6 * rng.random()) ** 1.6))
    return linear(picture).astype(np.float32)


def _leaf(rng: Generator, picture: Floats, base: Floats, radius: float) -> None:
    """Paint one shape over the picture; most leaves share the base colour of their picture."""
    u = rng.random(8)
    x, y = u[0] * SIDE, (0.12 + 0.88 * u[1]) * SIDE
    left, right = max(0, int(x - radius)), min(SIDE, int(x + radius) + 1)
    top, bottom = max(0, int(y - radius)), min(SIDE, int(y + radius) + 1)
    colour = scene_colour(rng, 1.0)
    if u[2] < 0.5:
        colour = 0.55 * base + 0.45 * colour
    dx, dy = np.arange(left, right)[None] - x, np.arange(top, bottom)[:, None] - y
    angle, aspect = np.pi * u[3], 0.35 + 0.65 * u[4]
    across = dx * np.cos(angle) + dy * np.sin(angle)
    along = (dy * np.cos(angle) - dx * np.sin(angle)) / aspect
    if u[5] < 0.4:
        inside = across**2 + along**2 < radius**2
    elif u[5] < 0.8:
        inside = (np.abs(across) < 0.75 * radius) & (np.abs(along) < 0.75 * radius)
    else:
        inside = (along > -0.6 * radius) & (1.7 * np.abs(across) + along < 0.8 * radius)
    light = 1 + (u[6] - 0.5) * 0.9 * along / radius + 0.12 * (u[7] < 0.3) * np.sin(across * (0.4 + 2 * u[7]))
    patch = picture[top:bottom, left:right]
    patch[inside] = np.clip(colour * light[inside, None], 0, 1)
