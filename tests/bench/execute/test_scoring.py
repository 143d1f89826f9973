from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Dataset, Task
from bench.execute.predictions import write_chunks
from bench.execute.scoring import score_chunks

MESHES, CHUNK, VERTICES = 10_000, 64, 6890
WHOLE = MESHES * VERTICES * 3 * 4 / 2**20  # MB


def mesh(row: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(row % 7).random((VERTICES, 3), np.float32)


class Meshes(Dataset):
    """Meshes that are made when they are read."""

    def __init__(self) -> None:
        self.ids = [str(row) for row in range(MESHES)]

    def batch(self, rows: Any, fields: Any) -> dict[str, Any]:
        return {"vertices": np.stack([mesh(row) for row in rows])}


class VertexError(Task):
    targets = ("vertices",)

    def __init__(self) -> None:
        pass

    def score_samples(self, predicted: Any, truth: Any) -> dict[str, Any]:
        return {"error": np.linalg.norm(predicted["vertices"] - truth["vertices"], axis=-1).mean(1)}


@pytest.mark.slow
def test_ten_thousand_meshes_are_scored_in_the_memory_of_a_few_chunks(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    starts = range(0, MESHES, CHUNK)
    tracemalloc.start()
    write_chunks(
        path,
        (
            {"vertices": np.stack([mesh(row) + row / MESHES for row in range(at, min(at + CHUNK, MESHES))])}
            for at in starts
        ),
    )
    rows = score_chunks(VertexError(), Meshes(), path)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert rows["error"] == pytest.approx(np.arange(MESHES) / MESHES * 3**0.5, abs=1e-6)
    assert WHOLE > 750 and peak < 60, f"{peak:.0f} MB of {WHOLE:.0f}"
    print(f"{peak:.1f} MB of {WHOLE:.0f}")
