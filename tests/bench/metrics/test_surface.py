from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.bodymodels.geodesics import STEP_M
from bench.bodymodels.model import surrogate_body
from bench.bodymodels.surface import ChartLookup, surrogate_labels
from bench.metrics.surface import SurfaceDistance, face_atlas

RADIUS = 0.5
SECTORS, BANDS = 8, 3  # 24 charts: longitudes times latitudes
CELLS = 6  # of a chart, per side
Floats = NDArray[np.float64]


def on_sphere(chart: Floats, u: Floats, v: Floats) -> Floats:
    """Point of the sphere at a chart point, (N, 3); latitudes from -60 to 60 degrees."""
    sector, band = np.divmod(np.asarray(chart) - 1, BANDS)
    lon = 2 * np.pi * (sector + u) / SECTORS
    lat = np.deg2rad(-60 + 120 * (band + v) / BANDS)
    return RADIUS * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


def arc(a: Floats, b: Floats) -> Floats:
    return 2 * RADIUS * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / (2 * RADIUS), 0, 1))


def sphere(reach: float = np.inf, step: float = 0.0) -> SurfaceDistance:
    """Sphere whose vertex distances are great circles, rounded to `step`, unknown beyond `reach`."""
    grid = np.arange(CELLS + 1) / CELLS
    u, v = (g.reshape(-1) for g in np.meshgrid(grid, grid, indexing="ij"))
    corner = (np.arange(CELLS)[:, None] * (CELLS + 1) + np.arange(CELLS)).reshape(-1)
    a, b, c, d = corner, corner + CELLS + 1, corner + CELLS + 2, corner + 1
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    charts = np.arange(1, 25)
    vertices = np.concatenate([on_sphere(np.full(len(u), k), u, v) for k in charts])
    faces = np.concatenate([triangles + (k - 1) * len(u) for k in charts])
    uv = np.stack([u, v], 1)[np.tile(triangles, (24, 1))]

    def distance(first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
        metres = arc(vertices[first], vertices[second])
        metres = np.rint(metres / step) * step if step else metres
        return np.where(metres > reach, np.inf, metres)

    return SurfaceDistance(vertices, faces, np.repeat(charts, len(triangles)), uv, distance)


def random_points(n: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(1, 25, n), rng.integers(0, 256, n), rng.integers(0, 256, n)], 1)


def true_arc(first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    a, b = (on_sphere(p[:, 0], p[:, 1] / 255, p[:, 2] / 255) for p in (first, second))
    return arc(a, b)


@pytest.mark.parametrize(("step", "tolerance"), [(0.0, 0.004), (STEP_M, 0.006)])
def test_agrees_with_great_circles(step: float, tolerance: float) -> None:
    first, second = random_points(2000, 0), random_points(2000, 1)
    truth = true_arc(first, second)
    first, second, truth = (x[truth < 1.0] for x in (first, second, truth))  # the reach of the real table
    error = sphere(step=step).between(first, second) - truth
    assert np.abs(error).max() < tolerance  # edges are 4 to 7 cm long
    assert np.abs(error).mean() < 0.002


def test_short_distances_are_exact_in_spite_of_the_rounded_table() -> None:
    first = random_points(2000, 0)
    second = np.clip(first + np.random.default_rng(1).integers(-9, 10, first.shape) * [0, 1, 1], 0, 255)
    error = sphere(step=STEP_M).between(first, second) - true_arc(first, second)
    assert np.abs(error).max() < 0.001


def test_is_a_symmetric_distance() -> None:
    surface, first, second = sphere(step=STEP_M), random_points(500, 2), random_points(500, 3)
    assert surface.between(first, first).max() < 1e-7
    forth, back = surface.between(first, second), surface.between(second, first)
    np.testing.assert_allclose(forth, back, atol=1e-9)
    third = random_points(500, 4)
    detour = surface.between(first, third) + surface.between(third, second)
    assert (forth <= detour + 0.005).all()


def test_points_out_of_reach_are_infinitely_far() -> None:
    first, second = random_points(500, 5), random_points(500, 6)
    near, far = (true_arc(first, second) < 0.3), (true_arc(first, second) > 0.6)
    found = sphere(reach=0.45).between(first, second)
    assert np.isfinite(found[near]).all()
    assert np.isinf(found[far]).all()


def test_missing_charts_are_infinitely_far() -> None:
    surface = SurfaceDistance(
        np.eye(3), np.array([[0, 1, 2]]), [1], [[[0, 0], [1, 0], [0, 1]]], lambda a, b: np.zeros(len(a))
    )
    assert surface.atlas[1:].max() == -1
    assert np.isinf(surface.between([[1, 0, 0]], [[2, 0, 0]])).all()


def test_atlas_finds_the_faces_that_the_chart_lookup_finds() -> None:
    body, labels = surrogate_body(), surrogate_labels()
    atlas = face_atlas(labels.dp24, labels.uv)
    assert atlas.min() >= 0
    assert (labels.dp24[atlas] == np.arange(1, 25)[:, None, None]).all()
    points = random_points(1500, 7)
    chart, uv = points[:, 0], points[:, 1:] / 255
    face, weights = ChartLookup(body, labels).locate(chart, *uv.T)
    gap = np.abs(np.einsum("nk,nkd->nd", weights, labels.uv[face]) - uv).max(1)
    covered = gap < 1e-4
    assert covered.mean() > 0.8
    same = atlas[chart - 1, points[:, 1], points[:, 2]] == face
    assert same[covered].mean() > 0.99  # the rest lies on edges between faces
