"""How long a report takes: 5,000 records of about 15 kB each, read, checked, arranged into tables and drawn.

Compare with a saved run: `pytest tests/speed -m slow --benchmark-autosave --benchmark-compare`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.records.record import seal
from bench.report.leaderboard import analyse
from bench.report.overview import overview
from bench.report.records import Records, load
from bench.report.terminal import terminal
from bench.report.write import report
from bench.report.writers import csv_files, json_body, json_text, latex, markdown

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
            "inputs": [], "files": {}, "provenance": {"commit": "abc"}, "spec": {},
            "cost": {
                "wall_s": 60.0, "samples_seen": 6400, "pretrain_wall_s": 0.0 if method == "scratch" else 90.0,
                "pretrain_samples_seen": 0 if method == "scratch" else 20000,
            },
        }  # fmt: skip
        folder = root / "score" / f"cell-{i:016x}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(seal(body), sort_keys=True, separators=(",\n", ": ")))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    _write(root, RECORDS)
    return root


def _tables(records: Records) -> str:
    """Return all statistics as all files but figures and page."""
    found = analyse(records)
    blocks = overview(found.cells, found.differences)
    files = [*csv_files(found).values(), json_text(json_body(found))]
    return "".join([*files, markdown(found, [], blocks, []), latex(found), terminal(found, blocks)])


@pytest.mark.slow
def test_loading(store: Path, benchmark: BenchmarkFixture) -> None:
    loaded = benchmark.pedantic(load, args=(store,), rounds=3)
    assert len(loaded.runs) == 5 * RECORDS
    assert loaded.problems == ()


@pytest.mark.slow
def test_tables_from_loaded_records(store: Path, benchmark: BenchmarkFixture) -> None:
    """5 seconds on one core."""
    text = benchmark.pedantic(_tables, args=(load(store),), rounds=3, warmup_rounds=1)
    assert text.count("encoder_0") > 1000


@pytest.mark.slow
def test_whole_report_with_plots_drawn_for_the_first_time(
    store: Path, tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    """90 seconds."""
    folders = iter(tmp_path / f"out{i}" for i in range(9))
    made = benchmark.pedantic(lambda: report(store, next(folders)), rounds=1)
    assert len(made.paths) > 150


@pytest.mark.slow
def test_whole_report_whose_plots_are_there_already(
    store: Path, tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    """20 seconds."""
    report(store, tmp_path)
    made = benchmark.pedantic(lambda: report(store, tmp_path), rounds=2)
    assert len(made.paths) > 150
