"""A shaded mesh over a picture, for people to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.synth.raster import rasterize, vertex_normals

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

COLOUR = np.array([150.0, 190.0, 255.0])
AMBIENT = 0.35


def overlay(picture: Bytes, vertices: Floats, pixels: Floats, faces: Ints, zoom: int = 1) -> Bytes:
    """Draw a mesh over a picture, lit from the camera.

    Args:
        picture: (H, W, 3).
        vertices: camera frame, metres, in front of the camera, (V, 3).
        pixels: where they are in the picture, x and y, (V, 2).
        faces: (F, 3), counter-clockwise from outside.
        zoom: enlarges the picture.

    Returns:
        (zoom H, zoom W, 3).
    """
    out = picture.repeat(zoom, 0).repeat(zoom, 1)
    height, width = out.shape[:2]
    rows = np.ascontiguousarray(np.concatenate([pixels.T, vertices[:, 2:].T]).astype(np.float64))
    drawn = rasterize(rows, faces, max(height, width), float(zoom))
    ids, bary = drawn.ids[:height, :width], drawn.bary[:height, :width]
    normals = vertex_normals(np.ascontiguousarray(vertices, np.float32), faces)[faces[ids]]  # (H, W, 3, 3)
    weights = np.concatenate([bary, 1 - bary.sum(-1, keepdims=True)], -1)
    facing = np.clip(-(normals[..., 2] * weights).sum(-1), 0, 1)
    shade = COLOUR * (AMBIENT + (1 - AMBIENT) * facing)[..., None]
    return np.where((ids >= 0)[..., None], shade.astype(np.uint8), out)
