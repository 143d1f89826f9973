"""How long a report takes: 5,000 records of about 15 kB each, read, checked, and arranged into tables.

Compare with a saved run: `pytest tests/speed -m slow --benchmark-autosave --benchmark-compare`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.record import seal
from bench.report.exports import cell_rows, csv_text
from bench.report.frame import Loaded, load
from bench.report.markdown import document
from bench.report.tables import build_tables

RECORDS = 5000
SEEDS, FRACTIONS = 5, ("1/100", "1/10", "1/2", "1")


def _write(root: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1.5, 1000)
    for i in range(count):
        seed, rest = i % SEEDS, i // SEEDS
        fraction, rest = FRACTIONS[rest % 4], rest // 4
        method, rest = ("scratch", "a", "b", "c", "d")[rest % 5], rest // 5
        encoder, task = f"encoder_{rest % 5}", f"task_{rest // 5}"
        value = float(rng.normal(40, 3))
        body = {
            "kind": "score",
            "key": f"{i:016x}",
            "labels": {
                "preset": "small", "track": "controlled", "mode": "strict", "protocol": 1, "task": task,
                "dataset": "people", "method": method, "encoder": encoder, "fraction": fraction,
                "seed": seed, "subset": 0,
            },
            "metrics": [
                {"name": f"m{k}", "value": value + k, "unit": "%", "higher_is_better": True} for k in range(5)
            ],
            "interval": {
                "unit": "person", "n_units": 400, "n_samples": 1200,
                "replicates": np.round(value + shared + rng.normal(0, 0.3, 1000), 6).tolist(),
            },
            "curve": [{"progress": k / 20, "step": 50 * k, "value": value - 20 / k} for k in range(1, 21)],
            "selection": {}, "manifests": {"test": {"n": 1200, "sha256": "ab" * 32}}, "exposure": "none",
            "inputs": [], "files": {}, "cost": {"wall_s": 60.0}, "provenance": {"commit": "abc"}, "spec": {},
        }  # fmt: skip
        folder = root / "score" / f"cell-{i:016x}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(seal(body), sort_keys=True, separators=(",\n", ": ")))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    _write(root, RECORDS)
    return root


@pytest.mark.slow
def test_loading(store: Path, benchmark: BenchmarkFixture) -> None:
    loaded = benchmark.pedantic(load, args=(store,), rounds=3)
    assert len(loaded.frame) == 5 * RECORDS
    assert loaded.problems == ()


@pytest.mark.slow
def test_tables(store: Path, benchmark: BenchmarkFixture) -> None:
    loaded = load(store)

    def tables(found: Loaded) -> str:
        made = build_tables(found)[0]
        return document(made, [], [], {}, []) + csv_text(cell_rows(made))

    text = benchmark.pedantic(tables, args=(loaded,), rounds=3)
    assert text.count("encoder_0") > 100
