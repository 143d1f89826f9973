"""Compiled z-buffer and vertex normals; strict floating point, because labels follow from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.jit import kernel

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

NEAR = 0.05  # metres; faces with a corner closer than that are dropped
SLACK = -1e-6  # weights down to this count as inside, so that shared edges leave no holes


@kernel()
def fill(
    pixels: Floats,
    faces: Ints,
    among: Ints,
    factor: float,
    mask: Flags,
    depth: Single,
    ids: Ints,
    bary: Single,
    front: Ints,
) -> int:
    """Draw front faces into a z-buffer.

    Args:
        pixels: vertices as rows of pixel x, pixel y, depth > 0; (3, V).
        faces: (F, 3).
        among: numbers of the faces to draw, ascending, (M,).
        factor: multiplies x and y, to draw larger than `pixels` says.
        mask: (H / 2, W / 2), pixels of half the size to draw; empty = all.
        depth: (H, W), starts at infinity; receives the depth of the nearest face.
        ids: (H, W), starts at -1; receives its number.
        bary: (H, W, 2), receives the perspective-correct weights of its first two corners.
        front: receives the numbers of the faces that look this way and touch the frame, (M,).

    Returns:
        How many there are.
    """
    height, width = ids.shape
    masked = mask.shape[0] > 0
    count = 0
    for n in range(among.shape[0]):
        f = among[n]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = pixels[0, a] * factor, pixels[1, a] * factor
        bx, by = pixels[0, b] * factor, pixels[1, b] * factor
        cx, cy = pixels[0, c] * factor, pixels[1, c] * factor
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area >= 0.0:
            continue
        left, right = min(ax, min(bx, cx)), max(ax, max(bx, cx))
        top, bottom = min(ay, min(by, cy)), max(ay, max(by, cy))
        if right < 0.0 or bottom < 0.0 or left > width or top > height:
            continue
        az, bz, cz = pixels[2, a], pixels[2, b], pixels[2, c]
        if az < NEAR or bz < NEAR or cz < NEAR:
            continue
        front[count] = f
        count += 1
        x0, x1 = max(0, int(np.ceil(left - 0.5))), min(width - 1, int(np.floor(right - 0.5)))
        y0, y1 = max(0, int(np.ceil(top - 0.5))), min(height - 1, int(np.floor(bottom - 0.5)))
        if x0 > x1 or y0 > y1:
            continue
        scale, ia, ib, ic = 1.0 / area, 1.0 / az, 1.0 / bz, 1.0 / cz
        for y in range(y0, y1 + 1):
            py = y + 0.5
            for x in range(x0, x1 + 1):
                if masked and not mask[y >> 1, x >> 1]:
                    continue
                px = x + 0.5
                w0 = ((bx - px) * (cy - py) - (cx - px) * (by - py)) * scale
                w1 = ((cx - px) * (ay - py) - (ax - px) * (cy - py)) * scale
                w2 = 1.0 - w0 - w1
                if w0 < SLACK or w1 < SLACK or w2 < SLACK:
                    continue
                q0, q1 = w0 * ia, w1 * ib
                z = 1.0 / (q0 + q1 + w2 * ic)
                if np.float32(z) < depth[y, x]:
                    depth[y, x] = z
                    ids[y, x] = f
                    bary[y, x, 0] = q0 * z
                    bary[y, x, 1] = q1 * z
    return count


@kernel()
def normals(vertices: Single, faces: Ints, total: Floats, out: Single) -> None:
    """Area-weighted unit normals of vertices (V, 3) into `out` (V, 3); `total` (V, 3) starts at zero."""
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            v = faces[f, k]
            total[v, 0] += nx
            total[v, 1] += ny
            total[v, 2] += nz
    for v in range(vertices.shape[0]):
        x, y, z = total[v, 0], total[v, 1], total[v, 2]
        length = np.sqrt(x * x + y * y + z * z) + 1e-20
        out[v, 0] = x / length
        out[v, 1] = y / length
        out[v, 2] = z / length


@kernel()
def chart_uv(
    ids: NDArray[np.int16], bary: Single, corner: Single, first: Single, second: Single, uv: NDArray[np.uint8]
) -> None:
    """Chart coordinates at every pixel.

    Args:
        ids: face numbers, -1 = none, (H, W).
        bary: weights of the first two corners, (H, W, 2).
        corner: UV of the third corner of every face in 1/255, plus one half, (F, 2).
        first: step to the first corner, (F, 2).
        second: step to the second corner, (F, 2).
        uv: starts at zero, (H, W, 2); receives the coordinates.
    """
    for y in range(ids.shape[0]):
        for x in range(ids.shape[1]):
            f = ids[y, x]
            if f >= 0:
                for k in range(2):
                    value = corner[f, k] + bary[y, x, 0] * first[f, k] + bary[y, x, 1] * second[f, k]
                    uv[y, x, k] = np.uint8(value)
