"""Far backgrounds: dead-leaves images, whose edges and sizes are statistically close to photographs.

Lee, Mumford & Huang, Occlusion models for natural images, IJCV 41 (2001).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.synth.materials import linear, scene_colours
from bench.synth.rng import Stream, generator

Floats = NDArray[np.float64]

SIDE = 160  # pixels
BANK = 12  # images per (domain, split); each scene turns and tints the one it takes
LEAVES = 150


@lru_cache(maxsize=8 * BANK)
def backdrop(seed: int, block: int, number: int) -> NDArray[np.float32]:
    """Image `number` of the bank of a (domain, split), linear colours, (160, 160, 3)."""
    rng = generator(seed, Stream.BACKDROP, block, number)
    colours = scene_colours(rng, LEAVES + 1, 1.0)
    base, colours = colours[0], colours[1:]
    shared = rng.random((LEAVES, 1)) < 0.5  # most leaves resemble each other
    colours = np.where(shared, 0.55 * base + 0.45 * colours, colours)
    sky = np.array([0.62, 0.76, 0.92]) * rng.uniform(0.7, 1.08)
    height = np.linspace(0, 1, SIDE)[:, None, None]
    far = sky + (0.9 - sky) * height if rng.random() < 0.5 else base * (1.15 - 0.4 * height)
    image = np.repeat(far, SIDE, 1)
    u = rng.random((LEAVES, 8))
    radii = rng.uniform(0.12, 0.4) * SIDE / (1 + (6 * u[:, 0]) ** 1.6)
    for colour, radius, row in zip(colours, radii.tolist(), u.tolist(), strict=True):
        _leaf(image, colour, radius, row)
    return linear(image).astype(np.float32)


def _leaf(image: Floats, colour: Floats, radius: float, u: list[float]) -> None:
    """Paint one ellipse, rectangle or triangle over the image, lit from one side, sometimes striped."""
    x, y = u[1] * SIDE, (0.12 + 0.88 * u[2]) * SIDE
    left, right = max(0, int(x - radius)), min(SIDE, int(x + radius) + 1)
    top, bottom = max(0, int(y - radius)), min(SIDE, int(y + radius) + 1)
    dx, dy = np.arange(left, right)[None] - x, np.arange(top, bottom)[:, None] - y
    cosine, sine = np.cos(np.pi * u[3]), np.sin(np.pi * u[3])
    across = dx * cosine + dy * sine
    along = (dy * cosine - dx * sine) / (0.35 + 0.65 * u[4])
    if u[5] < 0.4:
        inside = across**2 + along**2 < radius**2
    elif u[5] < 0.8:
        inside = np.maximum(np.abs(across), np.abs(along)) < 0.75 * radius
    else:
        inside = (along > -0.6 * radius) & (1.7 * np.abs(across) + along < 0.8 * radius)
    light = 1 + (u[6] - 0.5) * 0.9 / radius * along[inside]
    if u[7] < 0.3:
        light += 0.12 * np.sin(across[inside] * (0.4 + 2 * u[7]))
    image[top:bottom, left:right][inside] = np.minimum(colour * light[:, None], 1)
