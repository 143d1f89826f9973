"""Floor and ceiling of records: below the tables, in the files of numbers, in figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from bench.errors import DataError
from bench.report.figures import RC, Plot, plots, render
from bench.report.records import load
from bench.report.write import report

Make = Callable[..., Any]
EFFECTS = {"scratch": 20.0, "cmc": 30.0}
BOUNDS = {"floor": {"miou": 10.0, "error": 90.0}, "ceiling": {"miou": 93.0, "error": 7.0}}


def test_a_report_tells_floor_and_ceiling_of_every_metric(
    make_world: Make, store: Callable[..., Path], tmp_path: Path
) -> None:
    coarse = {"floor": {"miou": 10.0}, "ceiling": {"miou": 71.26}}
    records = make_world(EFFECTS, bounds=BOUNDS)
    records += make_world(EFFECTS, bounds=coarse, labels={"encoder": "vit"})
    report(store(records), tmp_path)
    for name in ("leaderboard.md", "leaderboard.tex"):
        text = (tmp_path / name).read_text().replace("\\_", "_")
        assert "looks at no image, made of all training labels): 10.0." in text
        assert "decoding): resnet10 93.0, vit 71.3." in text
    rows = pd.read_csv(tmp_path / "leaderboard.csv").set_index(["encoder", "metric"])[["floor", "ceiling"]]
    assert (rows.loc[("resnet10", "error")] == [90, 7]).all(axis=None)
    assert (rows.loc[("vit", "miou")] == [10, 71.26]).all(axis=None)
    assert rows.loc[("vit", "error")].isna().all(axis=None)
    (table,) = json.loads((tmp_path / "leaderboard.json").read_text())["tables"]
    assert {(c["floor"], c["ceiling"]) for c in table["cells"]} == {
        (10, 93),
        (90, 7),
        (10, 71.26),
        (None, None),
    }


@pytest.mark.parametrize("bounds", [[1], {"floor": 3}, {"floor": {"miou": "1"}}, {"middle": {"miou": 1.0}}])
def test_bounds_that_are_no_numbers_are_refused(bounds: Any, make_record: Make) -> None:
    with pytest.raises(DataError, match='entry "bounds"'):
        make_record(np.arange(4.0), bounds=bounds)


def test_levels_are_drawn_in_range_alone_and_stretch_no_axis(
    make_world: Make, store: Callable[..., Path]
) -> None:
    def drawn(bounds: dict[str, dict[str, float]]) -> tuple[list[Plot], list[Any]]:
        from bench.report.leaderboard import analyse

        found = analyse(load(store(make_world(EFFECTS, bounds=bounds)), None))
        made = plots(found.cells, found.differences, found.cost_quality, found.over_tasks, found.curves)
        shown = [plot for plot in made if plot.kind in ("efficiency", "convergence")]
        with mpl.rc_context(RC):
            return shown, [render(plot).axes[0] for plot in shown]

    bare, plain = drawn({})
    told, lined = drawn({"floor": {"miou": 25.0}, "ceiling": {"miou": 93.0}})
    assert len(bare) == 2
    for before, after, plot, without in zip(plain, lined, told, bare, strict=True):
        assert after.get_ylim() == before.get_ylim()
        extra = {line.get_label() for line in after.lines} & {"floor", "ceiling"}
        assert extra == {"floor"} and not {line.get_label() for line in before.lines} & {"floor", "ceiling"}
        (line,) = [line for line in after.lines if line.get_label() == "floor"]
        assert set(line.get_ydata()) == {25.0}
        assert "dashed: floor and ceiling" in plot.caption and "dashed" not in without.caption
