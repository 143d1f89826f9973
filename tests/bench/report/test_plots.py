from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.figure import Band, Line, Panel, Strokes
from bench.report.frame import load, split_curves
from bench.report.palette import looks
from bench.report.plots import convergence, efficiency
from bench.report.tables import Table, build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]


def _table(root: Path) -> tuple[Table, dict[str, Any]]:
    (table,) = build_tables(load(root))[0]
    return table, looks(row.name for row in table.rows)


def _marks(panel: Panel, kind: type, colour: str) -> list[Any]:
    """Return the marks of one kind and colour."""
    return [
        mark
        for mark in panel.marks
        if isinstance(mark, kind) and (mark.look.colour if isinstance(mark, Line) else mark.colour) == colour  # type: ignore[attr-defined]
    ]


def test_convergence_draws_the_mean_and_the_range_over_seeds(make_world: Make, store: Store) -> None:
    root = store(make_world({"scratch": 25.0, "cmc": 35.0}, seeds=3))
    table, style = _table(root)
    curves = split_curves(load(root))
    plot = convergence(table, table.groups[0], curves, style)
    assert plot is not None
    assert [panel.title for panel in plot.panels] == ["10 % labels", "100 % labels"]
    cell = table.groups[0].rows[1].cells[table.budgets[1]]
    values = np.stack([curves[key][:, 1] for key in cell.keys])
    (line,) = _marks(plot.panels[1], Line, style["cmc"].colour)
    assert line.x == pytest.approx(100 * curves[cell.keys[0]][:, 0])
    assert line.y == pytest.approx(values.mean(axis=0))
    (band,) = _marks(plot.panels[1], Band, style["cmc"].colour)
    assert (band.low, band.high) == (pytest.approx(values.min(axis=0)), pytest.approx(values.max(axis=0)))
    assert "n = 3 seeds" in plot.caption and "smallest to largest seed" in plot.caption
    assert dict(plot.legend) == style and style["scratch"].line == "--"


def test_seeds_on_other_steps_meet_on_their_common_range(make_record: Make, store: Store) -> None:
    def curve(*points: tuple[float, float]) -> list[dict[str, float]]:
        return [{"progress": p, "step": round(100 * p), "value": v} for p, v in points]

    scores = np.linspace(0, 1, 80)
    root = store(
        [
            make_record(scores, seed=0, curve=curve((0.2, 0.0), (0.6, 4.0), (1.0, 8.0))),
            make_record(scores, seed=1, curve=curve((0.4, 4.0), (0.8, 8.0), (1.0, 8.0))),
        ]
    )
    table, style = _table(root)
    plot = convergence(table, table.groups[0], split_curves(load(root)), style)
    assert plot is not None
    (line,) = (mark for mark in plot.panels[0].marks if isinstance(mark, Line))
    assert line.x == pytest.approx([40, 60, 80, 100])
    assert line.y == pytest.approx([3, 5, 7, 8])


def test_efficiency_draws_means_and_intervals_on_a_log_axis(make_world: Make, store: Store) -> None:
    fractions = {"1/100": -10.0, "1/10": 0.0, "1": 8.0}
    root = store(make_world({"scratch": 25.0, "cmc": 35.0}, fractions=fractions))
    table, style = _table(root)
    plot = efficiency(table, style, fractions=True)
    assert plot is not None and efficiency(table, style, fractions=False) is None
    (panel,) = plot.panels
    assert panel.x.log and panel.x.labels == ("1 %", "10 %", "100 %")
    (line,) = _marks(panel, Line, style["cmc"].colour)
    assert line.x == pytest.approx([0.01, 0.1, 1.0], rel=0.1)  # moved sideways a little
    row = table.groups[0].rows[1]
    summaries = [row.cells[budget].summary for budget in table.budgets]
    assert line.y == pytest.approx([summary.mean for summary in summaries])
    (bars,) = _marks(panel, Strokes, style["cmc"].colour)
    assert bars.y == pytest.approx([summary.low for summary in summaries])
    assert bars.y_end == pytest.approx([summary.high for summary in summaries])
    assert "95 % interval over seeds and test units" in plot.caption


def test_shots_have_a_plot_of_their_own(make_record: Make, store: Store) -> None:
    scores = np.linspace(0, 100, 80)
    labels = [{"fraction": "", "setting": f"shots={n}"} for n in (16, 32)]
    root = store([make_record(scores + i, labels=found) for i, found in enumerate(labels)])
    table, style = _table(root)
    assert [budget.title for budget in table.budgets] == ["16 shots", "32 shots"]
    plot = efficiency(table, style, fractions=False)
    assert plot is not None and plot.name.startswith("shots_")
    assert plot.panels[0].x.name == "labelled examples per class (log scale)"
    assert efficiency(table, style, fractions=True) is None


def test_one_seed_has_no_band_and_no_curve_no_plot(make_record: Make, store: Store) -> None:
    scores = np.linspace(0, 100, 80)
    root = store([make_record(scores), make_record(scores, method="cmc", curve=[])])
    table, style = _table(root)
    plot = convergence(table, table.groups[0], split_curves(load(root)), style)
    assert plot is not None
    assert "n = 1 seed;" in plot.caption and "no bands" in plot.caption
    assert [type(mark) for mark in plot.panels[0].marks] == [Line]
    assert convergence(table, table.groups[0], {}, style) is None


def test_plots_of_tables_that_share_a_title_have_names_of_their_own(make_record: Make, store: Store) -> None:
    scores = np.linspace(0, 100, 80)
    root = store([make_record(scores), make_record(scores, labels={"minimum_effect": 0.5})])
    tables = build_tables(load(root))[0]
    plots = [efficiency(table, looks(["scratch"]), fractions=True) for table in tables]
    assert len({plot.name for plot in plots if plot}) == 2
