"""Which triangle is seen at each pixel: z-buffer with ids, weights and depth; vertex normals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.synth.jit import shading

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

NEAR = 0.05  # metres; faces with a corner closer than that are dropped
SLACK = -1e-6  # weights down to this count as inside, so that shared edges leave no holes


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
        size: height and width of the picture.
        factor: multiplies x and y.
        among: only these faces, numbers ascending, (M,); the numpy version draws all.
        mask: only these pixels of a picture of half the size, (size / 2, size / 2); likewise.
    """
    depth = np.full((size, size), np.inf, np.float32)
    ids = np.full((size, size), -1, np.int32)
    bary = np.zeros((size, size, 2), np.float32)
    if shading() == "full":
        from bench.synth.raster_numba import fill

        drawn = np.arange(len(faces), dtype=np.int32) if among is None else among
        where = np.empty((0, 0), np.bool_) if mask is None else mask
        front = np.empty(len(drawn), np.int32)
        front = front[: fill(pixels, faces, drawn, factor, where, depth, ids, bary, front)]
    else:
        front = _fill_numpy(pixels.T * np.array([factor, factor, 1.0]), faces, depth, ids, bary)
    return Raster(ids=ids, depth=depth, bary=bary, front=front)


def _fill_numpy(pixels: Floats, faces: Ints, depth: Single, ids: Ints, bary: Single) -> Ints:
    """The kernel `raster_numba.fill` on arrays: test all pixels of all bounding boxes at once."""
    height, width = ids.shape
    a, b, c = (pixels[faces[:, k]] for k in range(3))  # (F, 3)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    x0 = np.maximum(0, np.ceil(low[:, 0] - 0.5)).astype(np.int64)
    y0 = np.maximum(0, np.ceil(low[:, 1] - 0.5)).astype(np.int64)
    columns = np.minimum(width - 1, np.floor(high[:, 0] - 0.5)).astype(np.int64) - x0 + 1
    rows = np.minimum(height - 1, np.floor(high[:, 1] - 0.5)).astype(np.int64) - y0 + 1
    keep = np.flatnonzero((area < 0) & (low[:, 2] >= NEAR) & (columns > 0) & (rows > 0))
    boxes = columns[keep] * rows[keep]
    face = np.repeat(keep, boxes)  # (N,) candidates, face numbers ascending
    place = np.arange(len(face)) - np.repeat(np.cumsum(boxes) - boxes, boxes)
    x, y = x0[face] + place % columns[face], y0[face] + place // columns[face]
    px, py = x + 0.5, y + 0.5
    scale = 1.0 / area[face]
    a, b, c = a[face], b[face], c[face]
    w0 = ((b[:, 0] - px) * (c[:, 1] - py) - (c[:, 0] - px) * (b[:, 1] - py)) * scale
    w1 = ((c[:, 0] - px) * (a[:, 1] - py) - (a[:, 0] - px) * (c[:, 1] - py)) * scale
    w2 = 1.0 - w0 - w1
    inside = np.flatnonzero((w0 >= SLACK) & (w1 >= SLACK) & (w2 >= SLACK))
    face, place = face[inside], y[inside] * width + x[inside]
    q0, q1 = w0[inside] * (1.0 / a[inside, 2]), w1[inside] * (1.0 / b[inside, 2])
    z = 1.0 / (q0 + q1 + w2[inside] * (1.0 / c[inside, 2]))
    order = np.lexsort((face, z.astype(np.float32), place))
    first = order[np.r_[True, place[order][1:] != place[order][:-1]]] if len(order) else order
    depth.reshape(-1)[place[first]] = z[first]
    ids.reshape(-1)[place[first]] = face[first]
    bary.reshape(-1, 2)[place[first]] = np.stack([q0[first] * z[first], q1[first] * z[first]], 1)
    return keep.astype(np.int32)


def vertex_normals(vertices: Single, faces: Ints) -> Single:
    """Area-weighted unit normals of a mesh: vertices (V, 3), faces (F, 3) to (V, 3)."""
    out = np.empty_like(vertices)
    if shading() == "full":
        from bench.synth.raster_numba import normals

        normals(vertices, faces, np.zeros(vertices.shape), out)
        return out
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a).astype(np.float64)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, k], 3), len(vertices)) for k in range(3)], 1
    )
    out[:] = total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-20)
    return out
