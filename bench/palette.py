"""Colours for label maps and depth, for people to look at."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

# black, then hues a golden angle apart, in turns strong and pale
CLASS_COLOURS: Picture = np.array(
    [[0, 0, 0]]
    + [
        [int(255 * c) for c in colorsys.hsv_to_rgb(i * 0.381966 % 1, 0.8 if i % 2 else 0.5, 0.95)]
        for i in range(31)
    ],
    np.uint8,
)
UNLABELLED = (128, 128, 128)
RIGHT, WRONG = (40, 170, 70), (210, 50, 50)


def paint_classes(classes: NDArray[np.integer[Any]]) -> Picture:
    """Colours of label maps (..., H, W): black is class 0, grey what is no class; (..., H, W, 3)."""
    table = np.full((256, 3), UNLABELLED, np.uint8)
    table[: len(CLASS_COLOURS)] = CLASS_COLOURS
    painted: Picture = table[classes]
    return painted


def shown(images: Mapping[str, NDArray[Any]]) -> Picture:
    """Return pictures of inputs as stored: colour if it is there, or depth in grey, near is bright.

    Args:
        images: `rgb` (N, H, W, 3) uint8 or `depth` (N, H, W) millimetres.
    """
    if "rgb" in images:
        return np.asarray(images["rgb"])
    depth = images["depth"].astype(np.float64)
    measured = depth > 0
    axes = (1, 2)
    near = np.where(measured, depth, np.inf).min(axes, keepdims=True)
    far = depth.max(axes, keepdims=True)
    with np.errstate(invalid="ignore"):  # nothing was measured
        bright = 255 - 175 * (depth - near) / np.maximum(far - near, 1)
    grey = np.where(measured, bright, 0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1)


def framed(pictures: Picture, right: NDArray[np.bool_]) -> Picture:
    """Return pictures (N, H, W, 3) with a green frame where something is right (N,), a red one elsewhere."""
    out = pictures.copy()
    edge = max(1, pictures.shape[1] // 24)
    inner = np.zeros(pictures.shape[1:3], bool)
    inner[edge:-edge, edge:-edge] = True
    colours = np.where(right[:, None], RIGHT, WRONG).astype(np.uint8)  # (N, 3)
    out[:, ~inner] = colours[:, None]
    return out
