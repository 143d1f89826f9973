from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import DataError
from bench.report import drawing
from bench.report.frame import load
from bench.report.palette import looks
from bench.report.tables import build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]


@pytest.fixture
def jobs(make_world: Make, store: Store) -> list[drawing.Job]:
    records = make_world({"scratch": 25.0, "cmc": 35.0}, fractions={"1": 0.0})
    records += make_world({"scratch": 25.0, "cmc": 35.0}, fractions={"1": 0.0}, labels={"task": "pose"})
    loaded = load(store(records))
    tables, _ = build_tables(loaded)
    curves = {key: part[["progress", "value"]].to_numpy() for key, part in loaded.curves.groupby("key")}
    return list(drawing.plan(tables, curves, looks(["scratch", "cmc"])))


def test_processes_draw_the_same_files_in_the_same_order(jobs: list[drawing.Job], tmp_path: Path) -> None:
    alone = drawing.draw_all(jobs, tmp_path / "alone", processes=1)
    shared = drawing.draw_all(jobs, tmp_path / "shared", processes=2)
    assert alone == shared
    assert len(alone) == 4  # per task: data efficiency, convergence; no shots
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(files) == 8
    for name in files:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()


def test_a_process_that_fails_leaves_a_clear_error(jobs: list[drawing.Job], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        drawing.draw_all(jobs, tmp_path / "file", processes=2)


def test_small_reports_start_no_process(
    jobs: list[drawing.Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "_start", lambda folder: pytest.fail("started a process"))
    assert len(drawing.draw_all(jobs, tmp_path)) == 4


def test_jobs_carry_no_replicates(jobs: list[drawing.Job]) -> None:
    assert all(cell.replicates is None for job in jobs for cell in job.table.cells)
    assert all(job.curves is None or len(job.curves) == 6 for job in jobs)
