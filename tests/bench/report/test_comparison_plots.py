from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.comparison_plots import bars, front
from bench.report.figure import Band, Line, Strokes
from bench.report.frame import load
from bench.report.fronts import fronts
from bench.report.palette import looks
from bench.report.tables import Table, build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]

SCORES = np.linspace(10, 60, 80)


def _table(root: Path, *references: str) -> tuple[Table, dict[str, Any]]:
    (table,) = build_tables(load(root), references)[0]
    return table, looks(row.name for row in table.rows)


def test_bars_show_paired_differences_with_intervals(make_world: Make, store: Store) -> None:
    effects = {"scratch": 25.0, "cmc": 35.0, "equal": 25.0}
    table, style = _table(store(make_world(effects, seeds=4)), "cmc")
    plot = bars(table, "scratch", style)
    assert plot is not None and "full colour: better or worse (p < 0.05" in plot.caption
    (panel,) = plot.panels
    assert panel.x.labels == ("10 %", "100 %")
    found = [c for c in table.comparisons if c.reference.name == "scratch"]
    boxes = [mark for mark in panel.marks if isinstance(mark, Band)]
    assert [low + high for low, high in ((b.low[0], b.high[0]) for b in boxes)] == pytest.approx(
        [c.difference.mean for c in found]
    )
    assert [box.alpha > 0.5 for box in boxes] == [c.verdict != "tie" for c in found]
    assert {c.row.name for c in found if c.verdict == "tie"} == {"equal"}
    ends = [(m.y[0], m.y_end[0]) for m in panel.marks if isinstance(m, Strokes)][:-1]  # the last one is 0
    assert ends == [(c.difference.low, c.difference.high) for c in found]
    places = [(box.x[0], box.x[-1]) for box in boxes]
    assert all(a[1] < b[0] or b[1] < a[0] for i, a in enumerate(places) for b in places[:i])  # side by side
    other = bars(table, "cmc", style)
    assert other is not None and dict(other.legend) == {"equal": style["equal"]}
    assert bars(table, "mae", style) is None


def test_lower_is_better_is_said(make_record: Make, store: Store) -> None:
    metric = {"name": "mpjpe", "value": 50.0, "unit": "mm", "higher_is_better": False}
    records = [make_record(SCORES, metrics=[metric]), make_record(SCORES, method="cmc", metrics=[metric])]
    table, style = _table(store(records))
    plot = bars(table, "scratch", style)
    assert plot is not None and "down is better" in plot.caption
    assert plot.panels[0].y.name == "difference in mpjpe (mm)"


def test_the_front_is_a_staircase_of_undominated_means(make_record: Make, store: Store) -> None:
    records = [
        make_record(SCORES + gain, method=method, cost={"wall_s": hours * 3600, "pretrain_wall_s": 0.0})
        for method, gain, hours in (("scratch", 0, 1), ("worse", -3, 2), ("cmc", 5, 4), ("mae", 9, 10))
    ]
    table, style = _table(store(records))
    plot = front(table, fronts(table), style)
    assert plot is not None
    (panel,) = plot.panels
    assert panel.x.log
    steps = [
        (m.x[0], m.y[0], m.x_end[0], m.y_end[0]) for m in panel.marks if isinstance(m, Strokes) and m.dashed
    ]
    assert np.array(steps) == pytest.approx(
        np.array([(1, 35, 4, 35), (4, 35, 4, 40), (4, 40, 10, 40), (10, 40, 10, 44)])
    )
    points = {(m.x[0], m.y[0]) for m in panel.marks if isinstance(m, Line)}
    assert points == {(1, 35), (2, 32), (4, 40), (10, 44)}


def test_a_front_needs_two_methods_with_known_costs(make_record: Make, store: Store) -> None:
    table, style = _table(store([make_record(SCORES), make_record(SCORES, method="cmc", cost={})]))
    assert front(table, fronts(table), style) is None
