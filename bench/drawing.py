"""Pictures for people to look at: skeletons over images, depth in grey. Nothing here is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from bench.bodymodels.joints import JointSet

Tiles = NDArray[np.uint8]

SIDE = 192  # pixels; smaller images are enlarged by a whole factor
LEFT, RIGHT, MIDDLE = (255, 140, 40), (70, 170, 255), (235, 235, 235)  # colours of the person's own sides
DARK = 0.5  # of the image under a skeleton


def skeletons(
    images: NDArray[Any], joints: ArrayLike, names: JointSet, shown: ArrayLike | None = None
) -> Tiles:
    """Draw skeletons over darkened images: left limbs orange, right ones blue.

    Args:
        images: (n, H, W, 3) uint8.
        joints: x, y in pixels, (n, J, 2).
        names: the joint set.
        shown: which joints, (n, J) bool; None = all.

    Returns:
        (n, f H, f W, 3), f whole, at least 192 pixels wide or high.
    """
    places = np.asarray(joints, np.float64)
    drawn: NDArray[np.bool_] = np.all(np.isfinite(places), axis=-1, keepdims=True)[..., 0]
    if shown is not None:
        drawn = drawn & np.asarray(shown, bool)
    factor = enlargement(images.shape[1:3])
    tiles = [
        _skeleton(image, np.where(seen[:, None], place, 0) * factor, seen, names, factor)
        for image, place, seen in zip(images, places, drawn, strict=True)
    ]
    return np.stack(tiles) if tiles else np.empty((0, *(factor * s for s in images.shape[1:3]), 3), np.uint8)


def depth_images(depth: NDArray[np.uint16]) -> Tiles:
    """Grey images (n, H, W, 3) of depth in millimetres (n, H, W): near is bright, 0 is black."""
    out = np.zeros((*depth.shape, 3), np.uint8)
    for tile, values in zip(out, depth.astype(np.float64), strict=True):
        seen = values > 0
        if seen.any():
            near, far = np.percentile(values[seen], (1, 97))
            grey = 255 - 215 * np.clip((values - near) / max(far - near, 1.0), 0, 1)
            tile[:] = np.where(seen, grey, 0)[..., None]
    return out


def enlargement(size: tuple[int, ...], side: int = SIDE) -> int:
    """Whole factor that brings the longer side of (H, W) to `side` or beyond."""
    return max(1, -(-side // max(size)))


def _skeleton(
    image: NDArray[Any], joints: NDArray[np.float64], shown: NDArray[np.bool_], names: JointSet, factor: int
) -> Tiles:
    dark = (DARK * image).astype(np.uint8).repeat(factor, 0).repeat(factor, 1)
    picture = Image.fromarray(dark)
    pen, thick = ImageDraw.Draw(picture), max(1, max(dark.shape) // 96)
    for child, parent in enumerate(names.parents):
        if parent >= 0 and shown[child] and shown[parent]:
            ends = [tuple(joints[j].tolist()) for j in (parent, child)]
            pen.line(ends, fill=_colour(names.names[child]), width=thick)
    for (x, y), seen, name in zip(joints.tolist(), shown, names.names, strict=True):
        if seen:
            pen.ellipse([x - thick, y - thick, x + thick, y + thick], fill=_colour(name))
    return np.asarray(picture)


def _colour(name: str) -> tuple[int, int, int]:
    return {"left": LEFT, "right": RIGHT}.get(name.split()[0], MIDDLE)
