"""Labels of the body surface: part tables, charts with UV, their flips, and the way back to the surface."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from bench.bodymodels.model import BodyModel
from bench.errors import AssetError, DataError

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]

LABELS_FILE = "surrogate_labels.npz"
UV_STEPS = 65534  # UV are stored in these steps: even, so that u = 1 - u exists
CHARTS = 24
TORSO_CHARTS = (1, 2)  # the only charts that mirror onto themselves
LATTICE = 5  # divisions of a face edge for the nearest-face search
CANDIDATES = 8

P25_NAMES = (
    "background", "right hip", "right knee", "right foot", "left hip", "left knee", "left foot",
    "left shoulder", "left elbow", "left hand", "right shoulder", "right elbow", "right hand", "crotch",
    "right thigh", "right calf", "left thigh", "left calf", "lower spine", "upper spine", "head",
    "left arm", "left forearm", "right arm", "right forearm",
)  # fmt: skip
P25_FLIP: NDArray[np.uint8] = np.array(
    [0, 4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9, 13, 16, 17, 14, 15, 18, 19, 20, 23, 24, 21, 22], np.uint8
)  # fmt: skip
GARMENT_NAMES = (  # what covers the body, in the spirit of LIP (arXiv:1703.05446)
    "background", "hat", "hair", "gloves", "face and neck", "top", "left sleeve", "right sleeve", "jacket",
    "left jacket sleeve", "right jacket sleeve", "trousers", "left trouser leg", "right trouser leg",
    "left arm", "right arm", "left leg", "right leg", "left shoe", "right shoe",
)  # fmt: skip
GARMENT_FLIP: NDArray[np.uint8] = np.array(
    [0, 1, 2, 3, 4, 5, 7, 6, 8, 10, 9, 11, 13, 12, 15, 14, 17, 16, 19, 18], np.uint8
)
LIP_NAMES = (  # of LIP itself, in the order of its files
    "background", "hat", "hair", "glove", "sunglasses", "upper clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left arm", "right arm", "left leg", "right leg", "left shoe",
    "right shoe",
)  # fmt: skip
LIP_FLIP: NDArray[np.uint8] = np.array([*range(14), 15, 14, 17, 16, 19, 18], np.uint8)
DP24_NAMES = (
    "background", "torso back", "torso front", "right hand", "left hand", "left foot", "right foot",
    "right upper leg back", "left upper leg back", "right upper leg front", "left upper leg front",
    "right lower leg back", "left lower leg back", "right lower leg front", "left lower leg front",
    "left upper arm back", "right upper arm back", "left upper arm front", "right upper arm front",
    "left lower arm back", "right lower arm back", "left lower arm front", "right lower arm front",
    "right head", "left head",
)  # fmt: skip
DP24_FLIP: NDArray[np.uint8] = np.array(
    [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23], np.uint8
)  # fmt: skip
DP_COARSE_NAMES = (
    "background",
    "torso",
    "hands",
    "feet",
    "upper legs",
    "lower legs",
    "upper arms",
    "lower arms",
    "head",
)
DP_COARSE: NDArray[np.uint8] = np.array(
    [0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8, 8], np.uint8
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceLabels:
    """Tables over the faces of one mesh. Charts follow the 24 of DensePose (arXiv:1802.00434, Sec. 3)."""

    model_name: str  # the mesh that the tables belong to
    dp24: Bytes  # (F,), chart 1..24
    p25: Bytes  # (F,), class 1..24 of `P25_NAMES`
    smpl24: Bytes  # (F,), joint 0..23 with the largest skin weight
    uv: NDArray[np.float32]  # (F, 3, 2), chart coordinates in [0, 1] of the face corners
    face_mirror: Ints  # (F,), face on the other side of the body


@cache
def surrogate_labels() -> SurfaceLabels:
    """The tables of the surrogate body; loaded once."""
    with resources.as_file(resources.files("bench.bodymodels") / "assets" / LABELS_FILE) as path:
        return load_labels(path)


def load_labels(path: Path) -> SurfaceLabels:
    """Read the tables from an npz file.

    Raises:
        AssetError: the file is missing.
        DataError: it is damaged.
    """
    if not path.is_file():
        raise AssetError(f"no surface labels at {path}: reinstall the package")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return SurfaceLabels(
                model_name=str(archive["model_name"]),
                dp24=archive["dp24"],
                p25=archive["p25"],
                smpl24=archive["smpl24"],
                uv=(archive["uv"] / np.float64(UV_STEPS)).astype(np.float32),
                face_mirror=archive["face_mirror"].astype(np.int32),
            )
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{path} does not hold surface labels: {error}") from error


def flip_uv(
    chart: ArrayLike, u: ArrayLike, v: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Chart coordinates of the mirror image of surface points; their chart becomes `DP24_FLIP[chart]`.

    Args:
        chart: chart 0..24, any shape.
        u: first coordinate in [0, 1], same shape.
        v: second coordinate in [0, 1], same shape.

    Returns:
        New u and v. Paired charts are mirror images of each other, so only the torso changes: u -> 1 - u.
    """
    first, second = np.asarray(u), np.asarray(v)
    return np.where(np.isin(chart, TORSO_CHARTS), 1 - first, first), second


class ChartLookup:
    """From (chart, u, v) back to the surface: the face and the place in it, or the nearest vertex."""

    def __init__(self, model: BodyModel, labels: SurfaceLabels) -> None:
        """Index the charts.

        Raises:
            DataError: the labels belong to another mesh.
        """
        if labels.model_name != model.name or len(labels.dp24) != len(model.faces):
            raise DataError(f"the labels of {labels.model_name} do not fit the mesh {model.name}")
        self.uv = labels.uv.astype(np.float64)  # (F, 3, 2)
        lattice = _lattice(LATTICE)  # (S, 3)
        self._faces: list[Ints] = []
        self._face_trees: list[cKDTree] = []
        self._vertices: list[Ints] = []
        self._vertex_trees: list[cKDTree] = []
        for chart in range(1, CHARTS + 1):
            faces = np.flatnonzero(labels.dp24 == chart).astype(np.int32)
            samples = np.einsum("sk,fkd->fsd", lattice, self.uv[faces])  # (f, S, 2)
            self._faces.append(np.repeat(faces, len(lattice)))
            self._face_trees.append(cKDTree(samples.reshape(-1, 2)))
            self._vertices.append(model.faces[faces].reshape(-1))
            self._vertex_trees.append(cKDTree(self.uv[faces].reshape(-1, 2)))

    def nearest_vertex(self, chart: ArrayLike, u: ArrayLike, v: ArrayLike) -> Ints:
        """Among the vertices of the chart, the nearest in the UV plane.

        Args:
            chart: chart 1..24, (N,).
            u: first coordinate in [0, 1], (N,).
            v: second coordinate in [0, 1], (N,).

        Returns:
            Vertex ids, (N,).

        Raises:
            DataError: a chart outside 1..24.
        """
        charts, points = _checked(chart, u, v)
        found = np.empty(len(charts), np.int32)
        for wanted in np.unique(charts):
            rows = np.flatnonzero(charts == wanted)
            _, index = self._vertex_trees[wanted - 1].query(points[rows])
            found[rows] = self._vertices[wanted - 1][index]
        return found

    def locate(self, chart: ArrayLike, u: ArrayLike, v: ArrayLike) -> tuple[Ints, Floats]:
        """Face that holds a chart point, and where in it; a point beyond the border goes to the nearest face.

        Args:
            chart: chart 1..24, (N,).
            u: first coordinate in [0, 1], (N,).
            v: second coordinate in [0, 1], (N,).

        Returns:
            Face ids (N,) and barycentric coordinates of the corners (N, 3), >= 0 with sum 1.

        Raises:
            DataError: a chart outside 1..24.
        """
        charts, points = _checked(chart, u, v)
        face, bary = np.empty(len(charts), np.int32), np.empty((len(charts), 3))
        for wanted in np.unique(charts):
            rows = np.flatnonzero(charts == wanted)
            _, index = self._face_trees[wanted - 1].query(points[rows], k=CANDIDATES)
            faces = self._faces[wanted - 1][index]  # (n, C)
            weights, gap = closest_in_triangle(points[rows, None], self.uv[faces])
            best = gap.argmin(1)
            face[rows] = faces[np.arange(len(rows)), best]
            bary[rows] = weights[np.arange(len(rows)), best]
        return face, bary


def _checked(chart: ArrayLike, u: ArrayLike, v: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
    charts = np.asarray(chart).astype(np.intp)
    if charts.size and (charts.min() < 1 or charts.max() > CHARTS):
        raise DataError(
            f"charts run from 1 to {CHARTS}, got {charts.min()}..{charts.max()}; drop background first"
        )
    return charts, np.stack([np.asarray(u, np.float64), np.asarray(v, np.float64)], -1)


def _lattice(steps: int) -> Floats:
    """Barycentric points spread evenly over a triangle, corners included, (S, 3)."""
    first, second = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    inside = first + second <= steps
    a, b = first[inside], second[inside]
    return np.stack([a, b, steps - a - b], 1) / steps


def closest_in_triangle(point: Floats, triangle: Floats) -> tuple[Floats, Floats]:
    """Nearest point of plane triangles.

    Args:
        point: (..., 2).
        triangle: corners, (..., 3, 2); flat ones are allowed.

    Returns:
        Barycentric coordinates (..., 3) of the nearest point and its distance (...).
    """
    a, b, c = (triangle[..., k, :] for k in range(3))
    options = [_plane_weights(point, a, b, c)]
    for start, end, corners in ((a, b, (0, 1)), (b, c, (1, 2)), (c, a, (2, 0))):
        edge = end - start
        length = np.maximum((edge * edge).sum(-1), 1e-18)
        along = np.clip(((point - start) * edge).sum(-1) / length, 0, 1)
        weights = np.zeros((*along.shape, 3))
        weights[..., corners[0]], weights[..., corners[1]] = 1 - along, along
        options.append(weights)
    stacked = np.stack(options, -2)  # (..., 4, 3)
    gaps = np.linalg.norm(stacked @ triangle - point[..., None, :], axis=-1)
    gaps[..., 0] = np.where((stacked[..., 0, :] >= 0).all(-1), gaps[..., 0], np.inf)
    best = gaps.argmin(-1)[..., None]
    nearest: Floats = np.take_along_axis(stacked, best[..., None], -2)[..., 0, :]
    return nearest, np.take_along_axis(gaps, best, -1)[..., 0]


def _plane_weights(point: Floats, a: Floats, b: Floats, c: Floats) -> Floats:
    """Barycentric coordinates of points in the plane, (..., 3); negative outside."""
    area = _cross(b - a, c - a)
    safe = np.where(np.abs(area) < 1e-15, np.inf, area)
    second, third = _cross(point - a, c - a) / safe, _cross(b - a, point - a) / safe
    weights = np.stack([1 - second - third, second, third], -1)
    return np.where(np.isinf(safe)[..., None], -1.0, weights)  # a flat triangle has its edges alone


def _cross(first: Floats, second: Floats) -> Floats:
    product: Floats = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return product
