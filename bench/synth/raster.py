"""Which triangle is seen at each pixel: z-buffer with ids, weights and depth; vertex normals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.synth.raster_numba import fill, normals

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


class Raster(NamedTuple):
    """What the z-buffer holds at pixel centres."""

    ids: Ints  # (H, W), face number; -1 = nothing
    depth: Single  # (H, W), metres along the axis; infinite = nothing
    bary: Single  # (H, W, 2), weights of the first two corners, perspective-correct
    front: Ints  # (M,), numbers of the faces that look this way and touch the frame


def rasterize(
    pixels: Floats,
    faces: Ints,
    size: int,
    factor: float = 1.0,
    *,
    among: Ints | None = None,
    mask: Flags | None = None,
) -> Raster:
    """Draw the front faces of a mesh; of equal depths the lower face number wins.

    Args:
        pixels: vertices as rows of pixel x, pixel y, depth in metres; (3, V). Pixel centres are at .5.
        faces: corners, counter-clockwise from outside, (F, 3).
        size: height and width of the image.
        factor: multiplies x and y.
        among: only these faces, numbers ascending, (M,).
        mask: only these pixels of an image of half the size, (size / 2, size / 2).
    """
    depth = np.full((size, size), np.inf, np.float32)
    ids = np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 2), np.float32)
    drawn = np.arange(len(faces), dtype=np.int32) if among is None else among
    where = np.empty((0, 0), np.bool_) if mask is None else mask
    front = np.empty(len(drawn), np.int32)
    count = fill(pixels, faces, drawn, factor, where, depth, ids, bary, front)
    return Raster(ids=ids, depth=depth, bary=bary, front=front[:count])


def vertex_normals(vertices: Single, faces: Ints) -> Single:
    """Area-weighted unit normals of a mesh: vertices (V, 3), faces (F, 3) to (V, 3)."""
    out = np.empty_like(vertices)
    normals(vertices, faces, np.zeros(vertices.shape), out)
    return out
