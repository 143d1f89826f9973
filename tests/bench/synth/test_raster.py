from __future__ import annotations

import numpy as np
import numpy_kernels as plain
import pytest

from bench.bodymodels.model import surrogate_body
from bench.synth.camera import Camera, look_at
from bench.synth.raster import rasterize, vertex_normals

MODEL = surrogate_body()


def view(eye: tuple[float, float, float], focal: float) -> Camera:
    place = np.array(eye)
    return Camera(rotation=look_at(place, np.zeros(3), 0.1), eye=place, focal=focal, cx=33.0, cy=30.5)


def test_one_triangle_by_hand():
    # corners at depth 2, 4, 4; clockwise on the screen (y down) is a front face
    pixels = np.array([[0.0, 0.0, 8.0], [0.0, 8.0, 0.0], [2.0, 4.0, 4.0]])
    face = np.array([[0, 1, 2]], np.int32)
    found = rasterize(pixels, face, 8)
    inside = np.add.outer(np.arange(8) + 0.5, np.arange(8) + 0.5) <= 8
    assert np.array_equal(found.ids >= 0, inside)
    w = 1 - 3 / 8  # screen weight of the first corner at the centre of pixel (row 1, column 1)
    depth = 1 / (w / 2 + (1 - w) / 4)
    assert found.depth[1, 1] == pytest.approx(depth)
    assert found.bary[1, 1, 0] == pytest.approx(w / 2 * depth)
    assert (rasterize(pixels, face[:, ::-1].copy(), 8).ids == -1).all()  # seen from behind


def test_near_faces_hide_far_ones_in_any_order():
    far = np.array([[0.0, 0.0, 9.0], [0.0, 9.0, 0.0], [5.0, 5.0, 5.0]])
    pixels = np.concatenate([far, far * [[1], [1], [0.4]]], 1)
    faces = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    first, second = rasterize(pixels, faces, 8), rasterize(pixels, faces[::-1].copy(), 8)
    assert set(np.unique(first.ids)) == {-1, 1} and set(np.unique(second.ids)) == {-1, 0}
    assert np.array_equal(first.depth, second.depth)


@pytest.mark.parametrize("size", [48, 96])
@pytest.mark.parametrize("eye", [(1.0, 1.0, 3.0), (-2.0, 0.2, 0.5), (0.3, -0.5, -1.5), (0.0, 0.4, 0.9)])
def test_numpy_and_compiled_agree_bit_for_bit(size, eye):
    pixels = view(eye, 0.9 * size).pixels(view(eye, 0.9 * size).seen(MODEL.v_template))
    compiled = rasterize(pixels, MODEL.faces, size)
    expected = plain.rasterize(pixels, MODEL.faces, size)
    assert (compiled.ids >= 0).mean() > 0.03
    for name in ("ids", "depth", "bary"):
        assert np.array_equal(getattr(compiled, name), getattr(expected, name)), name


def test_double_size_refines_the_same_picture():
    camera = view((1.0, 1.0, 3.0), 80.0)
    pixels = camera.pixels(camera.seen(MODEL.v_template))
    coarse, dense = rasterize(pixels, MODEL.faces, 64), rasterize(pixels, MODEL.faces, 128, 2.0)
    share = (dense.ids >= 0).reshape(64, 2, 64, 2).mean((1, 3))
    assert (share[coarse.ids >= 0] > 0).mean() > 0.99 and share[coarse.ids < 0].mean() < 0.02


def test_normals_of_the_body_point_out_and_agree():
    compiled = vertex_normals(MODEL.v_template, MODEL.faces)
    assert np.allclose(compiled, plain.vertex_normals(MODEL.v_template, MODEL.faces), atol=1e-6)
    assert np.allclose(np.linalg.norm(compiled, axis=1), 1, atol=1e-5)
    # divergence theorem: the flux of x through a closed surface is three times its volume
    a, b, c = (MODEL.v_template[MODEL.faces[:, k]].astype(np.float64) for k in range(3))
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    shares = np.bincount(MODEL.faces.ravel(), np.repeat(area / 3, 3))
    flux = (shares * (compiled * MODEL.v_template).sum(1)).sum()
    assert 0.05 < volume < 0.12 and flux == pytest.approx(3 * volume, rel=0.05)
