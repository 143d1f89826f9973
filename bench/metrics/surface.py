"""Distances along a surface between points given as 8-bit chart coordinates."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from bench import caches
from bench.bodymodels.geodesics import STEP_M, distance_m, geodesic_matrix
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import CHARTS, closest_in_triangle, surrogate_labels

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
VertexDistance = Callable[[Ints, Ints], Floats]

TEXELS = 256  # values of an 8-bit coordinate; u = texel / 255
SLACK = 1e-6  # so that points on shared edges and borders are covered


def face_atlas(dp24: ArrayLike, uv: ArrayLike) -> NDArray[np.int32]:
    """Face that holds each of the 256 x 256 chart points of 8-bit coordinates.

    Chart points that no face covers take the face of the nearest covered one.

    Args:
        dp24: chart 1..24 of each face, (F,).
        uv: chart coordinates in [0, 1] of the face corners, (F, 3, 2).

    Returns:
        Face ids by chart - 1, u and v, (24, 256, 256); -1 where a chart has no faces.
    """
    charts, corners = np.asarray(dp24), np.asarray(uv, np.float64) * (TEXELS - 1)
    atlas = np.full((CHARTS, TEXELS, TEXELS), -1, np.int32)
    for chart in np.unique(charts):
        faces, texels = np.flatnonzero(charts == chart), atlas[chart - 1]
        row, u, v = _covered(corners[faces])
        texels[u, v] = faces[row]
        if len(row):
            nearest_u, nearest_v = distance_transform_edt(
                texels < 0, return_distances=False, return_indices=True
            )
            texels[:] = texels[nearest_u, nearest_v]
    return atlas


def _covered(corners: Floats) -> tuple[Ints, Ints, Ints]:
    """Chart points inside triangles (f, 3, 2): triangle, u and v of each, (n,).

    Scans the columns of each triangle: at a given u the conditions "barycentric coordinate >= 0" bound v.
    """
    low = np.clip(np.ceil(corners[..., 0].min(1) - SLACK), 0, TEXELS - 1).astype(np.int64)
    high = np.clip(np.floor(corners[..., 0].max(1) + SLACK), 0, TEXELS - 1).astype(np.int64)
    row, u = _ranges(low, high)
    maps = _barycentric_maps(corners)[row]  # (n, 3, 3)
    slope = maps[:, :, 1]
    constant = maps[:, :, 0] * u[:, None] + maps[:, :, 2] + SLACK  # slope * v + constant >= 0
    level = np.abs(slope) < 1e-12
    bound = -constant / np.where(level, 1, slope)
    first = np.where(slope > 0, bound, -np.inf).max(1, where=~level, initial=0)
    last = np.where(slope < 0, bound, np.inf).min(1, where=~level, initial=TEXELS - 1)
    last[(level & (constant < 0)).any(1)] = -1
    column, v = _ranges(
        np.ceil(np.minimum(first, TEXELS)).astype(np.int64), np.floor(np.maximum(last, -1)).astype(np.int64)
    )
    return row[column], u[column], v


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All whole numbers from low to high of each row: row and number, (n,); none where high < low."""
    sizes = np.maximum(high - low + 1, 0)
    row = np.repeat(np.arange(len(low)), sizes)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes - low, sizes)


def _barycentric_maps(corners: Floats) -> Floats:
    """Affine maps from (x, y, 1) to barycentric coordinates, (f, 3, 3); flat faces reject all points."""
    homogeneous = np.concatenate([corners, np.ones((*corners.shape[:2], 1))], 2).transpose(0, 2, 1)
    flat = np.abs(np.linalg.det(homogeneous)) < 1e-9
    homogeneous[flat] = np.eye(3)
    maps: Floats = np.linalg.inv(homogeneous)
    maps[flat] = [[0, 0, -1]] * 3
    return maps


class SurfaceDistance:
    """Geodesic distances between surface points, finer than the vertices.

    For points with barycentric weights w, w' in faces with corners i, j, the squared distance is taken as
    sum_ij w_i w'_j D_ij^2 - spread - spread', where spread = sum_i w_i |v_i - p|^2 is that of the corners
    around the point. On a plane this is exact for any two points (design choice; a snap to the nearest
    vertices is off by up to an edge). Corner distances within one table step of the straight line are taken
    as straight, so that equal points are at distance 0 in spite of the rounded table.
    """

    def __init__(
        self,
        vertices: ArrayLike,
        faces: NDArray[np.integer],
        dp24: ArrayLike,
        uv: ArrayLike,
        distance: VertexDistance,
    ) -> None:
        """Index the charts.

        Args:
            vertices: rest shape in metres, (V, 3).
            faces: vertex ids, (F, 3).
            dp24: chart 1..24 of each face, (F,).
            uv: chart coordinates in [0, 1] of the face corners, (F, 3, 2).
            distance: geodesic distance in metres of vertex pairs, inf where unknown: (n,), (n,) -> (n,).
        """
        self.vertices = np.asarray(vertices, np.float64)
        self.faces = faces.astype(np.int64)
        self.uv = np.asarray(uv, np.float64)
        self.atlas = face_atlas(dp24, uv)
        self.distance = distance

    def between(self, first: ArrayLike, second: ArrayLike) -> Floats:
        """Distance of pairs of chart points.

        Args:
            first: chart 1..24, u and v in 0..255, (N, 3) integers.
            second: as `first`.

        Returns:
            Metres, (N,); inf beyond the reach of the vertex distances and for charts that the mesh lacks.
        """
        (a, wa, spread_a, on_a), (b, wb, spread_b, on_b) = self._place(first), self._place(second)
        i, j = np.broadcast_arrays(a[:, :, None], b[:, None, :])  # (N, 3, 3)
        straight = np.linalg.norm(self.vertices[i] - self.vertices[j], axis=-1)
        along = self.distance(i.reshape(-1), j.reshape(-1)).reshape(i.shape)
        reached = np.isfinite(along)
        along = np.where(reached & (along > straight + STEP_M), along, straight)
        squared = np.einsum("ni,nij,nj->n", wa, along**2, wb) - spread_a - spread_b
        known = reached.all((1, 2)) & on_a & on_b
        return np.where(known, np.sqrt(np.maximum(squared, 0)), np.inf)

    def _place(self, points: ArrayLike) -> tuple[Ints, Floats, Floats, NDArray[np.bool_]]:
        """Corners (N, 3), weights (N, 3), spread (N,) in square metres, and whether there is such a place."""
        chart, u, v = np.asarray(points, np.int64).T
        face = self.atlas[chart - 1, u, v]
        corners = self.faces[face]
        weights, _ = closest_in_triangle(np.stack([u, v], 1) / (TEXELS - 1), self.uv[face])
        position = np.einsum("nk,nkd->nd", weights, self.vertices[corners])
        offset = self.vertices[corners] - position[:, None]
        return corners, weights, np.einsum("nk,nkd,nkd->n", weights, offset, offset), face >= 0


@cache
def surrogate_surface() -> SurfaceDistance:
    """Distances on the body that ships with the package, made once.

    The table of vertex distances is kept in the folder of `bench.caches`.
    """
    body, labels = surrogate_body(), surrogate_labels()
    table = geodesic_matrix(caches.folder(), body)
    return SurfaceDistance(body.v_template, body.faces, labels.dp24, labels.uv, partial(distance_m, table))
