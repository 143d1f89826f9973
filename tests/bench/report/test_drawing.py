from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.report import drawing
from bench.report import drawn as drawn_module
from bench.report.analysis import arrange, complete
from bench.report.figure import Plot
from bench.report.frame import load
from bench.report.gallery import plan, plan_rest
from bench.report.workers import Workers

Make = Callable[..., Any]
Store = Callable[..., Path]


@pytest.fixture
def plots(make_world: Make, store: Store) -> list[Plot]:
    records = make_world({"scratch": 25.0, "cmc": 35.0}, fractions={"1": 0.0})
    records += make_world({"scratch": 25.0, "cmc": 35.0}, fractions={"1": 0.0}, labels={"task": "pose"})
    begun = arrange(load(store(records)))
    return [planned.plot for planned in (*plan(begun), *plan_rest(complete(begun)))]


def test_a_report_has_plots_of_each_task_and_over_tasks(plots: list[Plot]) -> None:
    kinds = [plot.name.partition("_")[0] for plot in plots]
    assert kinds == ["efficiency", "differences", "convergence"] * 2 + ["cost"] * 2 + ["ranks"]
    assert len({plot.name for plot in plots}) == len(plots)


def test_processes_draw_the_same_files_in_the_same_order(
    plots: list[Plot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = drawing.draw_all(plots, tmp_path / "alone")
    monkeypatch.setattr(drawing, "CHUNK", 1)
    with Workers(2) as workers:
        shared = drawing.draw_all(plots, tmp_path / "shared", workers)
    assert alone == shared
    assert [drawn.name for drawn in alone] == [plot.name for plot in plots]
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(files) == 2 * len(plots) + 1 and drawn_module.INDEX in files
    for name in files:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()


def test_only_what_changed_is_drawn_again(
    plots: list[Plot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = drawing.draw_all(plots, tmp_path)
    efficiency = first[0].paths(tmp_path)["svg"]
    whole = efficiency.read_bytes()
    drawn: list[Plot] = []
    draw = drawing.draw

    def counted(plot: Plot, folder: Path) -> drawn_module.Drawn:
        drawn.append(plot)
        return draw(plot, folder)

    monkeypatch.setattr(drawing, "draw", counted)
    assert drawing.draw_all(pickle.loads(pickle.dumps(plots)), tmp_path) == first and not drawn
    efficiency.write_text("edited")
    panel = plots[2].panels[0]
    fewer = replace(plots[2], panels=(replace(panel, marks=panel.marks[:-1]),))
    assert drawing.draw_all([*plots[:2], fewer, *plots[3:]], tmp_path) == first
    assert drawn == [plots[0], fewer] and efficiency.read_bytes() == whole


def test_plots_of_earlier_reports_are_removed(plots: list[Plot], tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    drawing.draw_all(plots, folder)
    (folder / "mine.png").write_text("the user's")
    kept = drawing.draw_all(plots[:2], folder)
    assert len(kept) == 2
    names = {path.name for drawn in kept for path in drawn.paths(folder).values()}
    assert {path.name for path in folder.iterdir()} == {*names, drawn_module.INDEX, "mine.png"}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"plot": {"x": 1}, "sha256": {}}}'])
def test_a_damaged_index_is_drawn_anew(content: str, plots: list[Plot], tmp_path: Path) -> None:
    (tmp_path / drawn_module.INDEX).write_text(content)
    first = drawing.draw_all(plots[:1], tmp_path)
    assert drawn_module.read_index(tmp_path) == {drawn_module.digest(plots[0]): first[0]}
    outside = {"plot": {"name": "../x", "title": "", "caption": ""}, "sha256": {}}
    (tmp_path / drawn_module.INDEX).write_text(json.dumps({drawn_module.digest(plots[0]): outside}))
    assert drawing.draw_all(plots[:1], tmp_path) == first
