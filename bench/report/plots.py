"""Convergence (validation metric over fine-tuning) and data efficiency (test metric over labels)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from bench.report import text
from bench.report.budget import Budget
from bench.report.canvas import canvas, drawable, label
from bench.report.cells import Cell, Row, row_order
from bench.report.palette import Look
from bench.report.stats import Floats
from bench.report.tables import Group, Table

Style = Mapping[str, Look]  # by row name


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A finished figure with what has to be said about it."""

    name: str  # of the files, without suffix
    title: str
    caption: str
    figure: Figure


def convergence(table: Table, group: Group, curves: Mapping[str, Floats], style: Style) -> Plot | None:
    """Plot the validation metric over fine-tuning progress, one panel per budget; None without curves.

    Args:
        table: the table the group belongs to.
        group: the rows of one encoder.
        curves: by record key, (P, 2): progress in (0, 1] and the metric.
        style: look of each row name.
    """
    rows = [*group.rows, *group.incomplete]
    bundles = {
        budget: {row.name: pair for row in rows if (pair := _bundle(row.cells.get(budget), curves))}
        for budget in table.budgets
    }
    bundles = {budget: found for budget, found in bundles.items() if found}
    if not bundles:
        return None
    drawn = [row for row in rows if any(row.name in found for found in bundles.values())]
    counts = [len(values) for found in bundles.values() for _, values in found.values()]
    band = "bands: smallest to largest seed" if max(counts) > 1 else "one seed, hence no bands"
    title = f"{table.key.task}, {group.encoder}: fine-tuning"
    caption = f"{_seeds(counts)}; lines: mean over seeds; {band}. {_setting(table, drawn)}"
    figure, axes = canvas(len(bundles), title, caption, _handles(drawn, style), share_y=False)
    for axis, (budget, found) in zip(axes, bundles.items(), strict=True):
        for place, name in enumerate(found):
            _draw_bundle(axis, *found[name], style[name], place)
        axis.set_title(budget.header)
        axis.set_xlim(0, 103)
        axis.set_xticks([0, 25, 50, 75, 100])
    label(axes, "fine-tuning progress (% of steps)", f"{_metric(table)}, validation")
    return Plot(name=_name("convergence", table, group.encoder), title=title, caption=caption, figure=figure)


def _bundle(cell: Cell | None, curves: Mapping[str, Floats]) -> tuple[Floats, Floats] | None:
    """Return progress (P,) and values (S, P) of a cell's seeds, on the points that all of them reach."""
    found = [curves[key] for key in cell.keys if key in curves] if cell else []
    if not found:
        return None
    low, high = max(curve[0, 0] for curve in found), min(curve[-1, 0] for curve in found)
    grid = np.unique(np.concatenate([curve[:, 0] for curve in found]))
    grid = grid[(grid >= low) & (grid <= high)]
    if not grid.size:
        return None
    return grid, np.stack([np.interp(grid, curve[:, 0], curve[:, 1]) for curve in found])


def _draw_bundle(axis: Axes, progress: Floats, values: Floats, look: Look, place: int) -> None:
    """Draw one method; its `place` among the others shifts the markers, which would hide each other."""
    percent = 100 * progress
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axis.fill_between(percent, low, high, color=look.colour, alpha=0.15, linewidth=0)
    every = max(1, len(percent) // 5)
    axis.plot(percent, values.mean(axis=0), markevery=(place % every, every), **_line(look))


def efficiency(table: Table, style: Style, fractions: bool) -> Plot | None:
    """Plot the test metric over the labels used, one panel per encoder.

    Args:
        table: one task.
        style: look of each row name.
        fractions: whether to plot the fractions of the labels, or else the few-shot budgets; None where the
            table has none of them.
    """
    budgets = [budget for budget in table.budgets if budget.is_fraction == fractions]
    cells = [cell for cell in table.cells if cell.budget in budgets]
    if not cells:
        return None
    covered = ", for one seed over ".join(sorted({cell.summary.kind for cell in cells} - {"none"}))
    bands = f"bands and bars: 95 % interval over {covered}" if covered else "no intervals recorded"
    title = f"{table.key.task}: data efficiency"
    counts = [cell.summary.n for cell in cells]
    caption = f"{_seeds(counts)}; lines: mean over seeds; {bands}. {_setting(table, table.rows)}"
    handles = _handles(table.rows, style)
    figure, axes = canvas(len(table.groups), title, caption, handles, share_y=True)
    for axis, group in zip(axes, table.groups, strict=True):
        rows = sorted((*group.rows, *group.incomplete), key=row_order)
        for i, row in enumerate(rows):
            _draw_row(axis, row, budgets, style[row.name], 2 * i / max(1, len(rows) - 1) - 1)
        axis.set_title(drawable(group.encoder))
        _budget_axis(axis, budgets)
    x = "share of the labels" if fractions else "labelled examples per class"
    label(axes, f"{x} (log scale)", f"{_metric(table)}, test")
    kind = "efficiency" if fractions else "shots"
    return Plot(name=_name(kind, table, ""), title=title, caption=caption, figure=figure)


def _draw_row(axis: Axes, row: Row, budgets: Sequence[Budget], look: Look, shift: float) -> None:
    """Draw one method; `shift` in [-1, 1] moves it sideways a little, so that intervals stay apart."""
    cells = [row.cells[budget] for budget in budgets if budget in row.cells]
    span = 2 * float(budgets[-1].value / budgets[0].value)
    x = np.array([float(cell.budget.value) for cell in cells]) * span ** (0.012 * shift)
    mean = np.array([cell.summary.mean for cell in cells])
    ends = [(cell.summary.low, cell.summary.high) for cell in cells]
    low = np.array([np.nan if end[0] is None else end[0] for end in ends])
    high = np.array([np.nan if end[1] is None else end[1] for end in ends])
    axis.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
    axis.vlines(x, low, high, color=look.colour, linewidth=0.9)
    axis.plot(x, mean, **_line(look))


def _budget_axis(axis: Axes, budgets: Sequence[Budget]) -> None:
    values = [float(budget.value) for budget in budgets]
    axis.set_xscale("log")
    axis.set_xlim(min(values) / 1.3, max(values) * 1.3)
    axis.xaxis.set_major_locator(FixedLocator(values))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([b.title if b.is_fraction else str(b.value) for b in budgets])


def _line(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "marker": look.marker,
        "linestyle": look.line,
        "markersize": look.size,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _handles(rows: Sequence[Row], style: Style) -> dict[str, Line2D]:
    """Return legend entries, scratch first, then by name."""
    names = dict.fromkeys(row.name for row in sorted(rows, key=row_order))
    return {drawable(name): Line2D([], [], **_line(style[name])) for name in names}


def _metric(table: Table) -> str:
    return f"{table.key.metric} ({text.unit_name(table.key.unit)})"


def _seeds(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"n = {low} to {high} seeds" if low < high else f"n = {text.count(low, 'seed')}"


def _setting(table: Table, rows: Sequence[Row]) -> str:
    """Say under which protocol a plot was made, and which of its rows lack runs."""
    key = table.key
    partial = sorted({f"{row.name} on {row.identity.encoder}" for row in rows if not row.complete})
    missing = f" Incomplete: {text.listed(partial)}." if partial else ""
    return f"Preset {key.preset}, {key.track} track, {key.mode} mode, protocol {key.protocol}.{missing}"


def _name(kind: str, table: Table, encoder: str) -> str:
    key = table.key
    test_set = key.test_set if table.several_test_sets else ""
    words = (kind, key.task, key.dataset, encoder, key.preset, key.track, key.mode, key.protocol, test_set)
    return text.slug(*words)
