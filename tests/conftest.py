"""A grid so small that it runs in seconds, and a store in which it has run once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent

SMALL = (
    "preset.size=32",
    "preset.encoders.pyramid=resnet10_w24",
    "preset.pretrain.mixes.body.samples={lab_rgbd: 48, wild_rgb: 32}",
    "preset.pretrain.samples_seen=192",
    "preset.pretrain.batch=16",
    "preset.finetune.samples={train: 80, val: 52, test: 48}",
    "preset.finetune.steps=6",
    "preset.finetune.batch=8",
    "preset.finetune.evaluations=2",
)

Bench = Callable[..., subprocess.CompletedProcess[str]]
Metrics = Callable[[Path], dict[str, list[float]]]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "bench.cli", *words]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what all workers of a run of the tests have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def data_cache(shared: Path) -> Path:
    """Rendered images, shared by all tests; those of the data sets themselves have their own."""
    return shared / "data"


@pytest.fixture(scope="session")
def environment(data_cache: Path) -> dict[str, str]:
    return {**os.environ, "BENCH_DATA": str(data_cache), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Overrides that make any grid small."""
    return SMALL


@pytest.fixture(scope="session")
def bench(environment: dict[str, str]) -> Bench:
    """Run a command line in a process of its own."""

    def run(
        *words: str, timeout: float = 300, cwd: Path = ROOT, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words),
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**environment, **extra},
            check=False,
            cwd=cwd,
        )

    return run


@pytest.fixture(scope="session")
def finished(shared: Path, bench: Bench, small: tuple[str, ...]) -> Path:
    """A store in which a grid of two methods has run without interruption; one for all workers."""
    store = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not (store / "leaderboard").is_dir():
            done = bench("run", *GRID, "--store", str(store), "--jobs", "2", *small)
            assert done.returncode == 0, done.stderr
    return store


@pytest.fixture(scope="session")
def metrics() -> Metrics:
    """Return all metrics and replicates of a store by key, to be compared bit for bit."""

    def read(store: Path) -> dict[str, list[float]]:
        found = {}
        for path in sorted(store.glob("score/*/record.json")):
            record = json.loads(path.read_text())
            found[record["key"]] = [m["value"] for m in record["metrics"]] + record["interval"]["replicates"]
        return found

    return read


GRID = ("--methods", "hcmoco,cmc", "--tasks", "densepose", "--fractions", "0.1,1.0")


@pytest.fixture(scope="session")
def grid() -> tuple[str, ...]:
    """The README's grid."""
    return GRID
