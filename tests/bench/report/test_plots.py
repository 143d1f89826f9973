from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from bench.report import canvas
from bench.report.frame import load
from bench.report.palette import looks
from bench.report.plots import Plot, convergence, efficiency
from bench.report.tables import Table, build_tables

Make = Callable[..., Any]
Store = Callable[..., Path]


def _table(root: Path) -> tuple[Table, dict[str, Any]]:
    (table,) = build_tables(load(root))[0]
    return table, {row.name: look for row in table.rows for look in [looks([row.name])[row.name]]}


def _curves(root: Path) -> dict[str, Any]:
    frame = load(root).curves
    return {key: part[["progress", "value"]].to_numpy() for key, part in frame.groupby("key")}


def _lines(plot: Plot, panel: int) -> dict[str, Any]:
    """Return the drawn lines of a panel by colour."""
    return {line.get_color(): line for line in plot.figure.axes[panel].get_lines()}


def test_convergence_draws_the_mean_and_the_range_over_seeds(make_world: Make, store: Store) -> None:
    root = store(make_world({"scratch": 25.0, "cmc": 35.0}, seeds=3))
    table, style = _table(root)
    curves = _curves(root)
    plot = convergence(table, table.groups[0], curves, style)
    assert plot is not None
    assert [axis.get_title() for axis in plot.figure.axes] == ["10 % labels", "100 % labels"]
    cell = table.groups[0].rows[1].cells[table.budgets[1]]
    values = np.stack([curves[key][:, 1] for key in cell.keys])
    line = _lines(plot, 1)[style["cmc"].colour]
    assert line.get_xdata() == pytest.approx(100 * curves[cell.keys[0]][:, 0])
    assert line.get_ydata() == pytest.approx(values.mean(axis=0))
    band = plot.figure.axes[1].collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((values.min(), values.max()))
    assert "n = 3 seeds" in plot.caption and "smallest to largest seed" in plot.caption
    assert _lines(plot, 0)["#7A7A7A"].get_linestyle() == "--"  # scratch


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
    plot = convergence(table, table.groups[0], _curves(root), style)
    assert plot is not None
    (line,) = plot.figure.axes[0].get_lines()
    assert line.get_xdata() == pytest.approx([40, 60, 80, 100])
    assert line.get_ydata() == pytest.approx([3, 5, 7, 8])


def test_efficiency_draws_means_and_intervals_on_a_log_axis(make_world: Make, store: Store) -> None:
    fractions = {"1/100": -10.0, "1/10": 0.0, "1": 8.0}
    root = store(make_world({"scratch": 25.0, "cmc": 35.0}, fractions=fractions))
    table, style = _table(root)
    plot = efficiency(table, style, fractions=True)
    assert plot is not None and efficiency(table, style, fractions=False) is None
    (axis,) = plot.figure.axes
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1 %", "10 %", "100 %"]
    line = _lines(plot, 0)[style["cmc"].colour]
    assert line.get_xdata() == pytest.approx([0.01, 0.1, 1.0], rel=0.1)  # moved sideways a little
    row = table.groups[0].rows[1]
    summaries = [row.cells[budget].summary for budget in table.budgets]
    assert line.get_ydata() == pytest.approx([summary.mean for summary in summaries])
    bars = axis.collections[3].get_segments()  # band and bars of scratch, then of cmc
    assert [bar[0][1] for bar in bars] == pytest.approx([summary.low for summary in summaries])
    assert "95 % interval over seeds and test units" in plot.caption


def test_shots_have_a_plot_of_their_own(make_record: Make, store: Store) -> None:
    scores = np.linspace(0, 100, 80)
    labels = [{"fraction": "", "setting": f"shots={n}"} for n in (16, 32)]
    root = store([make_record(scores + i, labels=found) for i, found in enumerate(labels)])
    table, style = _table(root)
    assert [budget.title for budget in table.budgets] == ["16 shots", "32 shots"]
    plot = efficiency(table, style, fractions=False)
    assert plot is not None and plot.name.startswith("shots_")
    assert plot.figure.axes[0].get_xlabel() == "labelled examples per class (log scale)"
    assert efficiency(table, style, fractions=True) is None


def test_one_seed_has_no_band_and_no_curve_no_plot(make_record: Make, store: Store) -> None:
    scores = np.linspace(0, 100, 80)
    root = store([make_record(scores), make_record(scores, method="cmc", curve=[])])
    table, style = _table(root)
    plot = convergence(table, table.groups[0], _curves(root), style)
    assert plot is not None
    assert "n = 1 seed;" in plot.caption and "no bands" in plot.caption
    assert len(plot.figure.axes[0].get_lines()) == 1
    assert not plot.figure.axes[0].collections
    assert convergence(table, table.groups[0], {}, style) is None


def test_files_hold_no_dates_and_settings_do_not_leak(make_record: Make, store: Store) -> None:
    before = dict(matplotlib.rcParams)
    root = store([make_record(np.linspace(0, 100, 80))])
    table, style = _table(root)
    with canvas.settings():
        plot = efficiency(table, style, fractions=True)
        assert plot is not None
        file = io.BytesIO()
        canvas.save(plot.figure, file, "svg")
    assert dict(matplotlib.rcParams) == before
    svg = file.getvalue().decode()
    assert "<dc:date>" not in svg and not re.search(r"20\d\d-\d\d-\d\d", svg)
    assert plot.figure.get_figwidth() == canvas.COLUMN
