"""Charts: a one-to-one map of every part onto the unit square, mirror images of each other left and right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from bench.bodymodels.build.flattening import flatten
from bench.bodymodels.build.labels import tidy
from bench.bodymodels.build.mesh import (
    boundary_loops,
    euler_number,
    face_normals,
    neighbour_pairs,
)
from bench.bodymodels.surface import DP24_NAMES, TORSO_CHARTS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BULGE = 0.12  # of the sides of the square: strictly convex outlines make the map one-to-one
GUTTER = 0.005  # between the two halves of a hand or foot
STEEP = 0.5  # normals with |y| above are surely on the upper or lower side

# Directions whose extremal boundary vertices become the corners (0,0), (1,0), (1,1), (0,1).
CORNERS = {
    "torso": ((1, -1.2, 0), (-1, -1.2, 0), (-1, 1.2, 0), (1, 1.2, 0)),
    "leg": ((-1, -3, 0), (1, -3, 0), (3, 1, 0), (-1, 3, 0)),
    "arm": ((1, -1, 0), (1, 1, 0), (-1, 1, 0), (-1, -1, 0)),
    "head": ((0, -2, -1), (0, -2, 1), (0, 2, 1), (0, 2, -1)),
}
# Where the outline of the halves of a hand or foot starts: at the wrist, at the heel.
START = {"hand": (1, 0, 0), "foot": (0, 0, -1)}


def chart_coordinates(
    vertices: Floats, faces: Ints, dp24: NDArray[np.uint8], mirror: Ints, face_mirror: Ints
) -> Floats:
    """Chart coordinates of all face corners, (F, 3, 2), in [0, 1].

    Charts other than hands and feet are discs, mapped harmonically onto a square with slightly bulging
    sides (Floater 1997, with the mean value weights of Floater 2003): the map has no overlaps. Hands and feet
    are cut along their silhouette, and both sides are laid flat in one square: the upper side at v < 0.5, the
    lower side at v > 0.5.

    Args:
        vertices: mean shape, (V, 3), exactly symmetric.
        faces: (F, 3).
        dp24: chart of every face, (F,).
        mirror: vertex on the other side, (V,).
        face_mirror: face on the other side, (F,).
    """
    uv = np.full((len(faces), 3, 2), np.nan)
    for chart, name in enumerate(DP24_NAMES):
        if chart == 0 or name.startswith("left "):
            continue
        chosen = np.flatnonzero(dp24 == chart)
        kind = next(kind for kind in (*CORNERS, *START) if kind in name.split())
        if kind in START:
            uv[chosen] = _two_sides(vertices, faces[chosen], np.array(START[kind]))
            continue
        uv[chosen] = _spread(faces[chosen], disc_map(vertices, faces[chosen], np.array(CORNERS[kind])))
        if chart in TORSO_CHARTS:
            there = _mirrored_corners(uv, faces, mirror, face_mirror, chosen)
            uv[chosen] = (uv[chosen] + there * [-1, 1] + [1, 0]) / 2
    left = np.flatnonzero(np.isnan(uv).any((1, 2)))
    uv[left] = _mirrored_corners(uv, faces, mirror, face_mirror, left)
    return uv


def _mirrored_corners(uv: Floats, faces: Ints, mirror: Ints, face_mirror: Ints, chosen: Ints) -> Floats:
    """Coordinates that the mirror faces have at the corners of the chosen faces, (n, 3, 2)."""
    wanted = mirror[faces[chosen]]  # (n, 3)
    there = faces[face_mirror[chosen]]  # (n, 3)
    corner = (there[:, None] == wanted[:, :, None]).argmax(2)
    return np.take_along_axis(uv[face_mirror[chosen]], corner[..., None], 1)


def _spread(faces: Ints, values: dict[int, Floats]) -> Floats:
    return np.array([[values[vertex] for vertex in face] for face in faces.tolist()])


def _two_sides(vertices: Floats, faces: Ints, start: Floats) -> Floats:
    """Cut a hand or foot along its silhouette and put both sides into one square, (f, 3, 2)."""
    upper = upper_side(vertices, faces)
    uv = np.empty((len(faces), 3, 2))
    for side, offset in ((upper, 0.0), (~upper, 0.5)):
        square = _spread(faces[side], _flat_side(vertices, faces[side], start))
        uv[side] = square * [1, 0.5 - 2 * GUTTER] + [0, offset + GUTTER]
    return uv


def _flat_side(vertices: Floats, faces: Ints, start: Floats) -> dict[int, Floats]:
    """Lay one side of a hand or foot flat, u along the limb, and scale it to the unit square."""
    ids = np.unique(faces)
    rough = disc_map(vertices, faces, start[None])
    local = np.searchsorted(ids, faces)
    uv = flatten(vertices[ids], local, np.array([rough[int(vertex)] for vertex in ids]))
    away = -(vertices[ids] @ start)
    along = (uv - uv.mean(0)).T @ (away - away.mean())
    cosine, sine = along / np.linalg.norm(along)
    uv = uv @ np.array([[cosine, -sine], [sine, cosine]])
    uv = (uv - uv.min(0)) / np.ptp(uv, axis=0)
    return dict(zip(ids.tolist(), uv, strict=True))


def upper_side(vertices: Floats, faces: Ints) -> NDArray[np.bool_]:
    """Mask (f,) of the faces that look up; a smooth field decides between the clear cases."""
    ids, flat = np.unique(faces, return_inverse=True)
    local = flat.reshape(-1, 3)
    normals = face_normals(vertices, faces)
    height = np.zeros(len(ids))
    np.add.at(height, local, normals[:, 1:2])
    height /= np.bincount(local.ravel())
    fixed = np.abs(height) > STEEP
    laplacian = mean_value_laplacian(vertices[ids], local)
    field = np.sign(height)
    free = np.flatnonzero(~fixed)
    field[free] = spsolve(laplacian[free][:, free].tocsc(), -(laplacian[free][:, fixed] @ field[fixed]))
    up = field[local].mean(1) > 0
    mask: NDArray[np.bool_] = tidy(np.where(up, "up", "down"), _patch_neighbours(faces)) == "up"
    return mask


def _patch_neighbours(faces: Ints) -> Ints:
    """Faces across the three edges, (f, 3); the face itself where the patch ends."""
    around = [[face] * 3 for face in range(len(faces))]
    used = [0] * len(faces)
    for a, b in neighbour_pairs(faces).tolist():
        for here, there in ((a, b), (b, a)):
            around[here][used[here]] = there
            used[here] += 1
    return np.array(around)


def disc_map(vertices: Floats, faces: Ints, corners: Floats) -> dict[int, Floats]:
    """Map a disc onto the unit square without overlaps.

    Args:
        vertices: positions, (V, 3).
        faces: the disc, (f, 3).
        corners: four directions whose extremal boundary vertices become the corners of the square, (4, 3);
            or one direction, (1, 3), where an outline of even speed starts.

    Returns:
        Vertex -> (u, v).

    Raises:
        ValueError: the patch is not a disc, or the corners are out of order.
    """
    if euler_number(faces) != 1:
        raise ValueError(
            f"a patch of {len(faces)} faces has Euler number {euler_number(faces)}, wanted a disc"
        )
    ids = np.unique(faces)
    place = {int(vertex): index for index, vertex in enumerate(ids)}
    loop = boundary_loops(faces)[0]
    outline = _outline(vertices[loop], corners)
    laplacian = mean_value_laplacian(vertices[ids], np.searchsorted(ids, faces))
    border = np.array([place[vertex] for vertex in loop])
    inner = np.setdiff1d(np.arange(len(ids)), border)
    uv = np.empty((len(ids), 2))
    uv[border] = outline
    uv[inner] = spsolve(laplacian[inner][:, inner].tocsc(), -(laplacian[inner][:, border] @ outline))
    return {int(vertex): uv[index] for index, vertex in enumerate(ids)}


def _outline(points: Floats, corners: Floats) -> Floats:
    """Place a boundary loop (n, 3) on the outline of the square, (n, 2)."""
    length = np.linalg.norm(np.roll(points, -1, 0) - points, axis=1)
    along = np.append(0, np.cumsum(length))  # arc length at every vertex, and round to the first
    if len(corners) == 1:
        first = int((points @ corners[0]).argmax())
        return _bulging_square(((along[:-1] - along[first]) / along[-1] * 4) % 4)
    at = [int((points @ direction).argmax()) for direction in corners]
    order = np.argsort(at)
    steps = np.diff(np.append(order, order[0])) % 4
    if len(set(at)) < 4 or not (np.all(steps == 1) or np.all(steps == 3)):
        raise ValueError(f"the corners of a chart come in the order {order.tolist()} along its outline")
    knots = along[np.append(np.sort(at), np.sort(at)[0])] + [0, 0, 0, 0, along[-1]]
    turn = 1 if steps[0] == 1 else -1
    position = np.where(along[:-1] < knots[0], along[:-1] + along[-1], along[:-1])
    side = np.interp(position, knots, np.arange(5.0))
    return _bulging_square((order[0] + turn * side) % 4)


def _bulging_square(position: Floats) -> Floats:
    """Outline at positions in [0, 4): corners at 0, 1, 2, 3 from (0,0) counter-clockwise; parabolic sides."""
    side = np.floor(position).astype(int) % 4
    across = 2 * (position - np.floor(position)) - 1  # -1..1 along the side
    x, y = across * (1 - BULGE), -(1 - BULGE * across**2)
    turned = np.array([[x, y], [-y, x], [-x, -y], [y, -x]])  # (side, 2, n)
    point: Floats = turned[side, :, np.arange(len(position))]
    return (point + 1) / 2


def mean_value_laplacian(vertices: Floats, faces: Ints) -> sparse.csr_array:
    """Matrix (n, n) with minus the mean value weights of the neighbours; rows sum to zero."""
    rows, columns, values = [], [], []
    for k in range(3):
        a, b, c = (faces[:, (k + i) % 3] for i in range(3))
        first, second = vertices[b] - vertices[a], vertices[c] - vertices[a]
        long, wide = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
        cosine = np.clip((first * second).sum(1) / (long * wide), -1, 1)
        tangent = np.tan(np.arccos(cosine) / 2)
        rows += [a, a]
        columns += [b, c]
        values += [tangent / long, tangent / wide]
    shape = (len(vertices), len(vertices))
    weights = sparse.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    )
    return (sparse.diags_array(weights.sum(1)) - weights).tocsr()
