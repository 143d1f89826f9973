"""Speed of reading, converting and augmenting batches; compare with a saved run (`--benchmark-compare`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench.data.people import People
from bench.data.spec import parse
from bench.data.synthetic import Synthetic

from bench.data import shards
from bench.data.augment import augment
from bench.data.batches import to_batch
from bench.data.build import stored_fields
from bench.data.loader import loader
from bench.data.shards import Span

BATCH, SAMPLES = 64, 1536
INPUTS = ("rgb", "depth", "kp_det")
AUGMENT = {"scale": [0.75, 1.25], "rotation": 30.0, "rotation_p": 0.6, "shift": 0.1, "flip": True}


@pytest.fixture(scope="module", params=[64, 128])
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> People:
    """Noise in the shape of people, in shards of 256."""
    root, size = tmp_path_factory.mktemp("speed"), int(request.param)
    spec: dict[str, Any] = {
        "adapter": "bench.data.people:People", "version": Synthetic().version, "seed": 0, "size": size,
        "parts": [{"domain": "d_dense", "split": "train", "samples": SAMPLES}],
    }  # fmt: skip
    place = parse(spec).parts[0].place
    random = np.random.default_rng(0)
    fields = stored_fields(Synthetic(), size)
    rows = {n: random.integers(0, 24, (256, *f.shape)).astype(f.dtype) for n, f in fields.items()}
    for first in range(0, SAMPLES, 256):
        shards.write(place.under(root), place, Span(first=first, count=256), fields, [rows])
    return People(spec, Path(root))


@pytest.fixture
def positions() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).permutation(SAMPLES)[:BATCH]


def test_read_a_batch(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    """The target is 0.11 ms per sample at 128 px (7 ms per batch)."""
    rows = benchmark(people.batch, positions, ("rgb", "depth", "fid", "uv"))
    assert rows["rgb"].shape[0] == BATCH


def test_read_labels(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    rows = benchmark(people.batch, positions, ("rgb", "parts"))
    assert rows["parts"].max() > 0


def test_convert_a_batch(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    raw = people.batch(positions, INPUTS)
    batch = benchmark(to_batch, raw, ("rgb", "depth", "kp2d"), (), "cpu")
    assert batch["rgb"].dtype == torch.float32


def test_augment_a_batch(benchmark: Any, people: People, positions: np.ndarray[Any, Any]) -> None:
    batch = to_batch(people.batch(positions, INPUTS), ("rgb", "depth", "kp2d"), (), "cpu")
    generator = torch.Generator().manual_seed(0)
    out = benchmark(augment, batch, AUGMENT, generator)
    assert out["rgb"].shape == batch["rgb"].shape


def test_load_twenty_batches(benchmark: Any, people: People) -> None:
    """Order, threads and reading together."""

    def run() -> int:
        return sum(1 for _ in loader(people, INPUTS, BATCH, 20, seed=0, workers=1))

    assert benchmark(run) == 20
