from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.synth.camera import Camera, crop, look_at
from bench.synth.domains import DOMAINS


@given(st.integers(0, 1000))
def test_look_at_is_a_rotation_with_the_target_ahead(seed):
    rng = np.random.default_rng(seed)
    eye, target = rng.normal(size=(2, 3)) * 3
    rotation = look_at(eye, target, rng.normal() * 0.2)
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1)
    assert np.allclose(rotation @ (target - eye), [0, 0, np.linalg.norm(target - eye)])
    assert look_at(eye, target, 0.0)[1, 1] < 0  # image y points down


def test_projection_by_hand():
    eye = np.array([0.0, 0.0, 4.0])
    camera = Camera(rotation=look_at(eye, np.zeros(3), 0.0), eye=eye, focal=100.0, cx=32.0, cy=20.0)
    found = camera.project(np.array([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, -1.0, 2.0]]))
    # the camera looks along -z, so the left of a body that faces it (+x) is on the right of the image
    assert np.allclose(found, [[32, 20, 4], [57, 7.5, 4], [32, 70, 2]])
    record = camera.record()
    assert (
        record.shape == (16,) and np.allclose(record[12:15], eye) and np.allclose(record[:3], [100, 32, 20])
    )


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(32, 256))
def test_crops_are_full_and_keep_the_perspective(seed, size):
    rng = np.random.default_rng(seed)
    eye = np.array([0.0, 1.0, 4.0])
    camera = Camera(rotation=look_at(eye, np.array([0.0, 0.9, 0.0]), 0.0), eye=eye)
    points = rng.uniform([-0.4, 0.0, -0.3], [0.4, 1.8, 0.3], (200, 3))
    whole = dataclasses.replace(DOMAINS["wild_rgb"], truncation=0.0)
    view = crop(camera, camera.seen(points), size, rng, whole)
    found = view.project(points)[:, :2]
    box = np.ptp(found, axis=0).max() / size
    assert whole.fill[0] - 1e-9 <= box <= whole.fill[1] + 1e-9
    assert np.abs((found.min(0) + found.max(0)) / 2 - size / 2).max() < 0.05 * size
    full = camera.project(points)[:, :2]
    scale = view.focal / camera.focal
    assert np.allclose(found - found[0], scale * (full - full[0]))
    cut = dataclasses.replace(whole, truncation=1.0)
    assert np.ptp(crop(camera, camera.seen(points), size, rng, cut).project(points)[:, 1]) > 1.2 * size


def test_the_crop_does_not_depend_on_the_size():
    eye = np.array([2.0, 1.0, 3.0])
    camera = Camera(rotation=look_at(eye, np.array([0.0, 0.9, 0.0]), 0.0), eye=eye)
    points = np.random.default_rng(0).uniform([-0.4, 0, -0.4], [0.4, 1.8, 0.4], (50, 3))
    small, large = (
        crop(camera, camera.seen(points), size, np.random.default_rng(3), DOMAINS["lab_rgbd"])
        for size in (64, 192)
    )
    assert np.allclose(3 * small.project(points)[:, :2], large.project(points)[:, :2])
