from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import DataError
from bench.report import drawing
from bench.report import drawn as drawn_module
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
    assert [drawn is None for drawn in alone] == [False, True, False] * 2  # no task has shots
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(files) == 8 + 1 and drawn_module.INDEX in files
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
    assert len(list(filter(None, drawing.draw_all(jobs, tmp_path)))) == 4


def test_only_what_changed_is_drawn_again(
    jobs: list[drawing.Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drawing.draw_all(jobs, tmp_path)
    assert first[0]
    efficiency = first[0].paths(tmp_path)["svg"]
    whole = efficiency.read_bytes()
    drawn: list[drawing.Job] = []
    draw = drawing.draw

    def counted(job: drawing.Job, folder: Path) -> drawn_module.Drawn | None:
        drawn.append(job)
        return draw(job, folder)

    monkeypatch.setattr(drawing, "draw", counted)
    assert drawing.draw_all(pickle.loads(pickle.dumps(jobs)), tmp_path) == first and not drawn
    efficiency.write_text("edited")
    higher = replace(jobs[2], curves={key: curve + 0.5 for key, curve in (jobs[2].curves or {}).items()})
    assert drawing.draw_all([*jobs[:2], higher, *jobs[3:]], tmp_path) == first
    assert drawn == [jobs[0], higher] and efficiency.read_bytes() == whole


def test_plots_of_earlier_reports_are_removed(jobs: list[drawing.Job], tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    drawing.draw_all(jobs, folder)
    (folder / "mine.png").write_text("the user's")
    kept = [drawn for drawn in drawing.draw_all(jobs[:3], folder) if drawn]
    assert len(kept) == 2
    names = {path.name for drawn in kept for path in drawn.paths(folder).values()}
    assert {path.name for path in folder.iterdir()} == {*names, drawn_module.INDEX, "mine.png"}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"plot": {"x": 1}, "sha256": {}}}'])
def test_a_damaged_index_is_drawn_anew(content: str, jobs: list[drawing.Job], tmp_path: Path) -> None:
    (tmp_path / drawn_module.INDEX).write_text(content)
    first = drawing.draw_all(jobs[:1], tmp_path)
    assert first[0] and drawn_module.read_index(tmp_path) == {drawn_module.digest(jobs[0]): first[0]}
    outside = {"plot": {"name": "../x", "title": "", "caption": ""}, "sha256": {}}
    (tmp_path / drawn_module.INDEX).write_text(json.dumps({drawn_module.digest(jobs[0]): outside}))
    assert drawing.draw_all(jobs[:1], tmp_path) == first


def test_jobs_carry_no_replicates(jobs: list[drawing.Job]) -> None:
    assert all(cell.replicates is None for job in jobs for cell in job.table.cells)
    assert all(job.curves is None or len(job.curves) == 6 for job in jobs)
