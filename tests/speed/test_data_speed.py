"""Speed of reading, converting and augmenting batches; compare with a saved run (`--benchmark-compare`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.api import Draws
from bench.data import shards
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.build import place_of, stored_fields
from bench.data.loader import loader
from bench.data.shards import Span
from bench.dataset import DataSpec
from bench.datasets.people import People, Renderer

BATCH, SAMPLES = 64, 1536
INPUTS = ("rgb", "depth", "keypoints_detected")
MODALITIES = ("rgb", "depth", "kp2d")
AUGMENT = {"zoom": [0.75, 1.25], "rotation": 30.0, "rotation_p": 0.6, "shift": 0.1, "flip": True}


@pytest.fixture(scope="module", params=[64, 128])
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> People:
    """Noise in the shape of people, in shards of 252."""
    root, size = tmp_path_factory.mktemp("speed"), int(request.param)
    producer = Renderer()
    spec = DataSpec.of(
        {
            "name": "people", "adapter": "bench.datasets.people:People", "version": producer.version,
            "config": {"seed": 0}, "size": [size, size],
            "parts": [{"source": "lab_rgbd", "split": "pretrain", "samples": SAMPLES}],
        }
    )  # fmt: skip
    place = place_of(spec, spec.parts[0], producer)
    random = np.random.default_rng(0)
    fields = stored_fields(producer, place)
    rows = {n: random.integers(0, 24, (252, *f.shape)).astype(f.dtype) for n, f in fields.items()}
    for first in range(0, SAMPLES, 252):
        count = min(252, SAMPLES - first)
        part = {name: values[:count] for name, values in rows.items()}
        shards.write(place.under(root), place, Span(first=first, count=count), fields, [part])
    return People(spec, root)


@pytest.fixture
def positions() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).permutation(SAMPLES)[:BATCH]


def test_read_a_batch(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    """The target is 0.11 ms per sample at 128 px (7 ms per batch)."""
    rows = benchmark(people.batch, positions, ("rgb", "depth", "keypoints", "uv"))
    assert rows["rgb"].shape[0] == BATCH


def test_read_labels(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    rows = benchmark(people.batch, positions, ("rgb", "parts"))
    assert rows["parts"].max() > 0


def test_convert_a_batch(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    raw = people.batch(positions, INPUTS)
    batch = benchmark(to_batch, raw, MODALITIES, (), people.fields, "cpu", joint_set="smpl24")
    assert batch["rgb"].dtype == torch.float32


def test_augment_a_batch(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    raw = people.batch(positions, INPUTS)
    batch = to_batch(raw, MODALITIES, (), people.fields, "cpu", joint_set="smpl24")
    draws = Draws(generator=torch.Generator().manual_seed(0))
    out = benchmark(augment, batch, people.fields, AUGMENT, draws, joint_set="smpl24")
    assert out["rgb"].shape == batch["rgb"].shape


def test_load_twenty_batches(benchmark: Any, people: People) -> None:
    """Order, threads and reading together."""

    def run() -> int:
        return sum(1 for _ in loader(people, INPUTS, BATCH, 20, seed=0, workers=1))

    assert benchmark(run) == 20
