from __future__ import annotations

import numpy as np
import numpy_kernels
import pytest

from bench.synth import cast, cast_numba
from bench.synth.camera import Camera, look_at
from bench.synth.scene import box, capsule, plane, sphere, stack

EYE = np.array([0.3, 1.2, 4.0])
CAMERA = Camera(rotation=look_at(EYE, np.array([0.0, 0.8, 0.0]), 0.05), eye=EYE, focal=70.0, cx=32.0, cy=30.0)
SOLIDS = stack(
    [
        plane(np.zeros(3), np.array([0.0, 1.0, 0.0]), 7),
        plane(np.array([0.0, 0.0, 3.0]), np.array([0.0, 0.0, 1.0]), 8),  # turned towards the camera
        box(np.array([0.6, 0.5, 0.2]), np.array([0.3, 0.5, 0.2]), 0.7, 9),
        capsule(np.array([-0.9, 0.2, 0.0]), np.array([0.3, 1.2, 0.4]), 0.15, 10),
        sphere(np.array([0.0, 1.6, -1.0]), 0.4, 11),
    ]
)
HIDDEN = stack([plane(np.array([0.0, 0.0, -3.0]), np.array([0.0, 0.0, -1.0]), 7)])  # seen from behind


def both(solids, ids, person):
    table = cast.packed(CAMERA, solids, len(ids))
    compiled = cast.resolve(CAMERA, solids, table, ids, person)
    return compiled, numpy_kernels.resolve(CAMERA, solids, ids, person)


def test_compiled_and_numpy_rays_agree():
    nothing = np.full((64, 64), -1, np.int32), np.full((64, 64), np.inf, np.float32)
    (depth, who), (plain_depth, plain_who) = both(SOLIDS.take(np.array([1, 0, 1, 1, 1], bool)), *nothing)
    assert set(np.unique(who)) == {-1, 0, 1, 2, 3}
    assert np.array_equal(who, plain_who)
    assert np.allclose(depth, plain_depth, rtol=1e-6)
    assert np.array_equal(np.isinf(depth), who == cast_numba.SKY)


def test_hits_lie_on_the_surfaces():
    rays = numpy_kernels.pixel_rays(CAMERA, 64).reshape(-1, 3)
    table = cast.packed(CAMERA, SOLIDS, 64)
    for p in range(len(SOLIDS.kind)):
        t, hit, normal, local = numpy_kernels.strike(EYE, rays, SOLIDS, p)
        assert hit.sum() > 50
        rows = np.flatnonzero(hit)[:: max(1, hit.sum() // 60)]
        points = EYE + t[rows, None] * rays[rows]
        distance = np.linalg.norm(points - SOLIDS.centre[p], axis=1)
        if p < 2:
            assert np.allclose((points - SOLIDS.centre[p]) @ SOLIDS.axes[p, 0], 0, atol=1e-9)
        elif p == 2:
            inside = SOLIDS.half[p] - np.abs((points - SOLIDS.centre[p]) @ SOLIDS.axes[p].T)
            assert np.allclose(inside.min(1), 0, atol=1e-9)
        elif p == 3:
            link = SOLIDS.axes[p, 0]
            share = np.clip((points - SOLIDS.centre[p]) @ link / (link @ link), 0, 1)
            gap = np.linalg.norm(points - SOLIDS.centre[p] - share[:, None] * link, axis=1)
            assert np.allclose(gap, 0.15, atol=1e-9)
        else:
            assert np.allclose(distance, 0.4, atol=1e-9)
        assert np.allclose(np.linalg.norm(normal[rows], axis=1), 1)
        assert ((normal[rows] * rays[rows]).sum(1) < 1e-9).all()  # they face the camera
        for row, point in zip(rows, points, strict=True):
            assert cast_numba.strike(table, p, *EYE, *rays[row]) == pytest.approx(t[row])
            assert np.allclose(cast_numba.locate(table, p, *point), [*normal[row], *local[row]], atol=1e-7)


def test_the_person_hides_what_is_behind_it_and_walls_have_one_side():
    ids, person = np.full((64, 64), -1, np.int32), np.full((64, 64), np.inf, np.float32)
    ids[20:40, 20:40], person[20:40, 20:40] = 5, 3.0
    (depth, who), (_, plain_who) = both(SOLIDS, ids, person)
    assert np.array_equal(who, plain_who)
    assert (who[20:40, 20:40] == 1).all() and (depth[20:40, 20:40] < 1.5).all()  # the wall in front
    (depth, who), _ = both(HIDDEN, ids, person)
    assert (who[20:40, 20:40] == cast_numba.PERSON).all() and (who == cast_numba.SKY).sum() == 64 * 64 - 400


def test_bounds_never_cut_a_primitive():
    rng = np.random.default_rng(0)
    ids, person = np.full((48, 48), -1, np.int32), np.full((48, 48), np.inf, np.float32)
    for _ in range(30):
        thing = [
            box(rng.normal(size=3) * 2, rng.uniform(0.05, 0.8, 3), rng.uniform(0, 3), 7),
            capsule(rng.normal(size=3) * 2, rng.normal(size=3), rng.uniform(0.02, 0.3), 7),
            sphere(rng.normal(size=3) * 2, rng.uniform(0.05, 0.6), 7),
        ]
        (_, who), (_, plain_who) = both(stack(thing), ids, person)  # numpy ignores the bounds
        assert np.array_equal(who, plain_who)
