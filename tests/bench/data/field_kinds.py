"""Batches with every kind of field, for tests of decoding and augmentation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.api import Draws
from bench.data.batches import to_batch
from bench.dataset import Arrays, Field

H, W = 32, 24
J, P = 24, 20
MODALITIES = ("rgb", "depth", "kp2d")


def fields_of(height: int = H, width: int = W) -> dict[str, Field]:
    size = (height, width)
    return {
        "rgb": Field(dtype="uint8", shape=(*size, 3), kind="image"),
        "depth": Field(dtype="uint16", shape=size, kind="depth"),
        "keypoints_detected": Field(dtype="float32", shape=(J, 3), kind="joints2d", flip="smpl24"),
        "keypoints": Field(dtype="float32", shape=(J, 4), kind="joints2d", flip="smpl24"),
        "parts": Field(dtype="uint8", shape=size, kind="classes", flip="p25", absent=255),
        "chart": Field(dtype="uint8", shape=size, kind="classes", flip="dp24"),
        "garment": Field(dtype="uint8", shape=size, kind="classes"),
        "mask": Field(dtype="bool", shape=size, kind="mask"),
        "uv": Field(dtype="uint8", shape=(*size, 2), kind="uv", of="chart"),
        "points": Field(dtype="int16", shape=(P, 2), kind="pixels", absent=-1),
        "point_chart": Field(dtype="uint8", shape=(P,), kind="point_classes", flip="dp24", of="points"),
        "point_uv": Field(dtype="uint8", shape=(P, 2), kind="point_uv", of="points"),
        "boxes": Field(dtype="float32", shape=(3, 4), kind="boxes"),
        "joints3d": Field(dtype="float32", shape=(J, 3), kind="joints3d", flip="smpl24"),
        "vertices": Field(dtype="float32", shape=(6890, 3), kind="vertices", flip="surrogate-v1"),
        "rotations": Field(dtype="float32", shape=(J, 3), kind="rotations", flip="smpl24"),
        "camera": Field(dtype="float32", shape=(3, 3), kind="camera"),
        "betas": Field(dtype="float32", shape=(10,)),
        "action": Field(dtype="int32", shape=()),
        "indoors": Field(dtype="bool", shape=()),
    }


FIELDS = fields_of()
LABELS = tuple(name for name in FIELDS if name not in ("rgb", "depth", "keypoints_detected"))


def raw_rows(seed: int = 0, count: int = 6, height: int = H, width: int = W) -> Arrays:
    """Random rows; colour says the class of its pixel and points read the maps, which tests rely on."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 25, (count, -(-height // 4), -(-width // 4)))
    chart = blocks.repeat(4, 1).repeat(4, 2)[:, :height, :width].astype(np.uint8)
    points = np.stack([random.integers(0, side, (count, P)) for side in (height, width)], -1).astype(np.int16)
    here = np.arange(count)[:, None]
    point_chart = chart[here, points[..., 0], points[..., 1]]
    uv = random.integers(0, 256, (count, height, width, 2)).astype(np.uint8) * (chart > 0)[..., None]
    point_uv = uv[here, points[..., 0], points[..., 1]]
    points[point_chart == 0] = -1
    places = random.random((count, J, 2)) * (width, height)
    depth = random.uniform(2, 4, (count, J, 1))
    edges = np.sort(random.integers(1, min(height, width), (count, 3, 2, 2)), 2).reshape(count, 3, 4)
    edges[..., 2:] += 1
    edges[:, 2] = 0  # nobody
    camera = np.tile(np.array([[60.0, 0, width / 2 + 1], [0, 60, height / 2 - 2], [0, 0, 1]]), (count, 1, 1))
    rays = (places - camera[:, None, :2, 2]) / 60.0
    single = np.float32
    return {
        "sample_id": np.arange(count),
        "valid.rgb": np.ones(count, bool),
        "rgb": np.stack([chart * 10, chart, 255 - chart], -1),
        "depth": chart.astype(np.uint16) * 100,
        "keypoints_detected": np.concatenate([places, random.random((count, J, 1)) < 0.9], -1).astype(single),
        "keypoints": np.concatenate([places, depth, np.full_like(depth, 2)], -1).astype(single),
        "parts": chart.copy(),
        "chart": chart,
        "garment": chart.copy(),
        "mask": chart > 0,
        "uv": uv,
        "points": points,
        "point_chart": point_chart,
        "point_uv": point_uv,
        "boxes": edges.astype(single),
        "joints3d": np.concatenate([rays * depth, depth], -1).astype(single),
        "vertices": random.normal(size=(count, 6890, 3)).astype(single),
        "rotations": random.normal(size=(count, J, 3)).astype(single),
        "camera": camera.astype(single),
        "betas": random.normal(size=(count, 10)).astype(single),
        "action": random.integers(0, 9, count).astype(np.int32),
        "indoors": random.random(count) < 0.5,
    }


def make_batch(seed: int = 0, count: int = 6, height: int = H, width: int = W) -> dict[str, Tensor]:
    raw = raw_rows(seed, count, height, width)
    return to_batch(raw, MODALITIES, LABELS, fields_of(height, width), "cpu", joint_set="smpl24")


def draws(seed: int = 0) -> Draws:
    return Draws(generator=torch.Generator().manual_seed(seed))
