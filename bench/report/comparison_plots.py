"""Paired differences as bars, and quality beside cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bench.report import text
from bench.report.comparisons import Comparison
from bench.report.figure import INK, PALE, Axis, Band, Line, Look, Mark, Panel, Plot, Strokes
from bench.report.fronts import Point
from bench.report.plots import Style, file_name, legend, metric_name, seeds_text, setting_text
from bench.report.tables import Group, Table

_WIDTH = 0.8  # of the bars of one budget, which has the width 1


def bars(table: Table, reference: str, style: Style) -> Plot | None:
    """Plot the paired differences of all methods to one reference, by budget, one panel per encoder.

    Args:
        table: one task.
        reference: name of the reference row.
        style: look of each row name.
    """
    found = [c for c in table.comparisons if c.reference.name == reference]
    if not found:
        return None
    key = table.key
    least = f" and at least {key.minimum_effect:g}" if key.minimum_effect else ""
    better = "up" if key.higher_is_better else "down"
    rows = list({c.row.name: c.row for c in found}.values())
    by_group = [(group, [c for c in found if c.encoder == group.encoder]) for group in table.groups]
    return Plot(
        name=file_name(f"differences_{reference}", table, ""),
        title=f"{key.task}: difference to {reference}",
        caption=(
            f"{seeds_text([c.difference.n for c in found])}; bars: mean paired difference over common seeds "
            f"and test units, with 95 % interval; {better} is better; full colour: better or worse (p < 0.05 "
            f"after Holm's correction{least}), pale: tie. {setting_text(table, rows)}"
        ),
        panels=tuple(_bar_panel(table, group, own, style) for group, own in by_group if own),
        legend=legend(rows, style),
        share_y=True,
    )


def _bar_panel(table: Table, group: Group, found: Sequence[Comparison], style: Style) -> Panel:
    budgets = [budget for budget in table.budgets if any(c.budget == budget for c in found)]
    rows = [row for row in (*group.rows, *group.incomplete) if any(c.row is row for c in found)]
    names = list(dict.fromkeys(row.name for row in rows))
    wide = _WIDTH / len(names)
    limits = (-0.5, len(budgets) - 0.5)
    marks: list[Mark] = []
    for c in found:
        left = budgets.index(c.budget) - _WIDTH / 2 + wide * names.index(c.row.name)
        marks += _bar(c, left, wide, style[c.row.name])
    marks.append(Strokes(x=(limits[0],), y=(0.0,), x_end=(limits[1],), y_end=(0.0,), colour=INK, width=0.6))
    unit = {"%": "% points"}.get(table.key.unit, text.unit_name(table.key.unit))
    labels = tuple(budget.title for budget in budgets)
    return Panel(
        title=group.encoder,
        x=Axis(name="labels", ticks=tuple(map(float, range(len(budgets)))), labels=labels, limits=limits),
        y=Axis(name=f"difference in {table.key.metric} ({unit})"),
        marks=tuple(marks),
    )


def _bar(c: Comparison, left: float, wide: float, look: Look) -> list[Mark]:
    mean, middle = c.difference.mean, left + wide / 2
    marks: list[Mark] = [
        Band(
            x=(left + 0.06 * wide, left + 0.94 * wide),
            low=(min(0.0, mean),) * 2,
            high=(max(0.0, mean),) * 2,
            colour=look.colour,
            alpha=0.2 if c.verdict == "tie" else 0.6,
        )
    ]
    if c.difference.low is not None and c.difference.high is not None:
        ends = (c.difference.low,), (c.difference.high,)
        marks.append(Strokes(x=(middle,), y=ends[0], x_end=(middle,), y_end=ends[1], colour=INK))
    return [*marks, Line(x=(middle,), y=(mean,), look=look, joined=False)]


def front(table: Table, points: Sequence[Point], style: Style) -> Plot | None:
    """Plot the test metric over device-hours at the largest budget, one panel per encoder.

    None where no encoder has two methods with known costs.
    """
    budget = table.budgets[-1]
    found = [p for p in points if p.budget == budget and p.device_hours]
    by_group = [(group, [p for p in found if p.encoder == group.encoder]) for group in table.groups]
    by_group = [(group, own) for group, own in by_group if len(own) > 1]
    shown = [p for _, own in by_group for p in own]
    if not shown:
        return None
    rows = [p.row for p in shown]
    x, y = Axis(name="device-hours (log scale)", log=True), Axis(name=f"{metric_name(table)}, test")
    return Plot(
        name=file_name("cost", table, ""),
        title=f"{table.key.task}, {budget.header}: quality beside cost",
        caption=(
            f"{seeds_text([p.cell.summary.n for p in shown])}; points: means over seeds with 95 % intervals; "
            "device-hours: pretraining and fine-tuning of one run; dashed: Pareto front of the means (no "
            f"method is better at no more cost). {setting_text(table, rows)}"
        ),
        panels=tuple(
            Panel(title=group.encoder, x=x, y=y, marks=tuple(_front_marks(own, style)))
            for group, own in by_group
        ),
        legend=legend(rows, style),
        share_y=True,
    )


def _front_marks(points: Sequence[Point], style: Style) -> list[Mark]:
    placed = [(p, p.device_hours) for p in points if p.device_hours]
    corners: list[tuple[float, float]] = []
    for hours, mean in sorted((hours, p.cell.summary.mean) for p, hours in placed if p.front_hours):
        corners += [(hours, corners[-1][1])] if corners else []  # a front is a staircase
        corners.append((hours, mean))
    marks: list[Mark] = [
        Strokes(x=(x,), y=(y,), x_end=(x_end,), y_end=(y_end,), colour=PALE, dashed=True)
        for (x, y), (x_end, y_end) in pairwise(corners)
    ]
    for p, hours in placed:
        summary, look = p.cell.summary, style[p.row.name]
        if summary.low is not None and summary.high is not None:
            ends = (summary.low,), (summary.high,)
            marks.append(Strokes(x=(hours,), y=ends[0], x_end=(hours,), y_end=ends[1], colour=look.colour))
        marks.append(Line(x=(hours,), y=(summary.mean,), look=look, joined=False))
    return marks
