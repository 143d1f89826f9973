"""Convergence (validation metric over fine-tuning) and data efficiency (test metric over labels)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.report import text
from bench.report.budget import Budget
from bench.report.cells import Row, row_order
from bench.report.figure import Axis, Band, Line, Look, Mark, Panel, Plot, Strokes, numbers
from bench.report.savings import bundle
from bench.report.stats import Floats
from bench.report.tables import Group, Table

Style = Mapping[str, Look]  # by row name

_PROGRESS = Axis(
    name="fine-tuning progress (% of steps)", ticks=(0.0, 25.0, 50.0, 75.0, 100.0), limits=(0.0, 103.0)
)


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
        budget: {row.name: pair for row in rows if (pair := bundle(row.cells.get(budget), curves))}
        for budget in table.budgets
    }
    bundles = {budget: found for budget, found in bundles.items() if found}
    if not bundles:
        return None
    drawn = [row for row in rows if any(row.name in found for found in bundles.values())]
    counts = [len(values) for found in bundles.values() for _, values in found.values()]
    band = "bands: smallest to largest seed" if max(counts) > 1 else "one seed, hence no bands"
    y = Axis(name=f"{metric_name(table)}, validation")
    panels = [
        Panel(title=budget.header, x=_PROGRESS, y=y, marks=tuple(_bundles_marks(found, style)))
        for budget, found in bundles.items()
    ]
    return Plot(
        name=file_name("convergence", table, group.encoder),
        title=f"{table.key.task}, {group.encoder}: fine-tuning",
        caption=f"{seeds_text(counts)}; lines: mean over seeds; {band}. {setting_text(table, drawn)}",
        panels=tuple(panels),
        legend=legend(drawn, style),
        share_y=False,
    )


def _bundles_marks(found: Mapping[str, tuple[Floats, Floats]], style: Style) -> list[Mark]:
    """Return the marks of several methods; their place shifts the markers, which would hide each other."""
    marks: list[Mark] = []
    for place, (name, (progress, values)) in enumerate(found.items()):
        percent, look = numbers(100 * progress), style[name]
        every = max(1, len(percent) // 5)
        if len(values) > 1:
            low, high = numbers(values.min(axis=0)), numbers(values.max(axis=0))
            marks.append(Band(x=percent, low=low, high=high, colour=look.colour, alpha=0.15))
        mean = numbers(values.mean(axis=0))
        marks.append(Line(x=percent, y=mean, look=look, first=place % every, every=every))
    return marks


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
    seeds = seeds_text([cell.summary.n for cell in cells])
    x, y = _budget_axis(budgets), Axis(name=f"{metric_name(table)}, test")
    return Plot(
        name=file_name("efficiency" if fractions else "shots", table, ""),
        title=f"{table.key.task}: data efficiency",
        caption=f"{seeds}; lines: mean over seeds; {bands}. {setting_text(table, table.rows)}",
        panels=tuple(
            Panel(title=group.encoder, x=x, y=y, marks=tuple(_group_marks(group, budgets, style)))
            for group in table.groups
        ),
        legend=legend(table.rows, style),
        share_y=True,
    )


def _budget_axis(budgets: Sequence[Budget]) -> Axis:
    values = [float(budget.value) for budget in budgets]
    name = "share of the labels" if budgets[0].is_fraction else "labelled examples per class"
    return Axis(
        name=f"{name} (log scale)",
        log=True,
        ticks=numbers(values),
        labels=tuple(b.title if b.is_fraction else str(b.value) for b in budgets),
        limits=(min(values) / 1.3, max(values) * 1.3),
    )


def _group_marks(group: Group, budgets: Sequence[Budget], style: Style) -> list[Mark]:
    rows = sorted((*group.rows, *group.incomplete), key=row_order)
    last = max(1, len(rows) - 1)
    return [
        mark
        for i, row in enumerate(rows)
        for mark in _row_marks(row, budgets, style[row.name], 2 * i / last - 1)
    ]


def _row_marks(row: Row, budgets: Sequence[Budget], look: Look, shift: float) -> list[Mark]:
    """Return the marks of one method; `shift` in [-1, 1] moves it sideways, so that intervals stay apart."""
    cells = [row.cells[budget] for budget in budgets if budget in row.cells]
    span = 2 * float(budgets[-1].value / budgets[0].value)
    x = [float(cell.budget.value) * span ** (0.012 * shift) for cell in cells]
    known = [
        (place, cell.summary.low, cell.summary.high)
        for place, cell in zip(x, cells, strict=True)
        if cell.summary.low is not None and cell.summary.high is not None
    ]
    marks: list[Mark] = [Line(x=numbers(x), y=numbers([c.summary.mean for c in cells]), look=look)]
    if known:
        places, low, high = map(numbers, zip(*known, strict=True))
        band = Band(x=places, low=low, high=high, colour=look.colour, alpha=0.12)
        marks = [band, Strokes(x=places, y=low, x_end=places, y_end=high, colour=look.colour), *marks]
    return marks


def legend(rows: Sequence[Row], style: Style) -> tuple[tuple[str, Look], ...]:
    """Return legend entries, scratch first, then by name."""
    return tuple((name, style[name]) for name in dict.fromkeys(r.name for r in sorted(rows, key=row_order)))


def metric_name(table: Table) -> str:
    """Return the primary metric with its unit."""
    return f"{table.key.metric} ({text.unit_name(table.key.unit)})"


def seeds_text(counts: Sequence[int]) -> str:
    """Say how many seeds there are: `n = 3 seeds`, `n = 1 to 3 seeds`."""
    low, high = min(counts), max(counts)
    return f"n = {low} to {high} seeds" if low < high else f"n = {text.count(low, 'seed')}"


def setting_text(table: Table, rows: Sequence[Row]) -> str:
    """Say under which protocol a plot was made, and which of its rows lack runs."""
    key = table.key
    partial = sorted({f"{row.name} on {row.identity.encoder}" for row in rows if not row.complete})
    missing = f" Incomplete: {text.listed(partial)}." if partial else ""
    return f"Preset {key.preset}, {key.track} track, {key.mode} mode, protocol {key.protocol}.{missing}"


def file_name(kind: str, table: Table, encoder: str) -> str:
    """Return the name of a plot's files, without suffix."""
    key = table.key
    words = (kind, key.task, key.dataset, encoder, key.preset, key.track, key.mode, key.protocol)
    return text.slug(*words, table.distinction)
