"""The main tables as plain text, as wide as a terminal, or as wide as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.console import UNLIMITED
from bench.report import text
from bench.report.budget import Budget
from bench.report.cells import Row
from bench.report.grids import summary_text
from bench.report.notes import TIE
from bench.report.tables import Group, Table

NAME = 26  # widest name column where the width is limited


def terminal(tables: Sequence[Table], width: int) -> str:
    """Render the tables in lines of at most `width`; budgets that do not fit side by side follow below."""
    return "\n".join(line for table in tables for line in _table(table, width)).rstrip("\n") + "\n"


def _table(table: Table, width: int) -> Iterator[str]:
    key = table.key
    arrow = "higher" if key.higher_is_better else "lower"
    yield _fit(
        f"{key.task} on {key.dataset}: {key.metric} ({text.unit_name(key.unit)}, {arrow} is better)", width
    )
    yield _fit(
        f"{key.preset} preset, {key.track}, {key.mode}, protocol {key.protocol}{table.distinction}", width
    )
    for group in table.groups:
        yield from _group(table, group, width)
    yield f"* best of its encoder; {TIE} a tie with it; n seeds; [95 % interval]"
    yield ""


def _group(table: Table, group: Group, width: int) -> Iterator[str]:
    widest = NAME if width < UNLIMITED else width
    rows = [
        (_fit(row.name, widest), [_cell(table, group, row, b) for b in table.budgets]) for row in group.rows
    ]
    first = _fit(group.encoder, widest)
    heads = [budget.header for budget in table.budgets]
    name_width = max(len(first), *(len(name) for name, _ in rows)) if rows else len(first)
    widths = [max(len(head), *(len(cells[i]) for _, cells in rows), 0) for i, head in enumerate(heads)]
    for block in _blocks(widths, width - name_width):
        if rows:
            yield _line(first, name_width, [heads[i].rjust(widths[i]) for i in block])
        for name, cells in rows:
            yield _line(name, name_width, [cells[i].rjust(widths[i]) for i in block])
    for row in group.incomplete:
        yield _fit(f"{group.encoder}: {row.name} is incomplete (not ranked), missing {_missing(row)}", width)


def _cell(table: Table, group: Group, row: Row, budget: Budget) -> str:
    cell = row.cells.get(budget)
    if cell is None:
        return "n/a  "
    mark = " "
    if budget in group.best:
        mark = "*" if group.best[budget] is row else TIE if row.identity in group.ties[budget] else " "
    return f"{summary_text(cell.summary, table.key.unit)} n={cell.summary.n}{mark}"


def _missing(row: Row) -> str:
    return "; ".join(f"{b.title}: {text.count(len(runs), 'seed')}" for b, runs in row.missing.items())


def _blocks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Split columns into runs that fit into `room`, at least one column each."""
    block: list[int] = []
    for i, width in enumerate(widths):
        if block and sum(widths[j] + 2 for j in block) + width + 2 > room:
            yield block
            block = []
        block.append(i)
    yield block


def _line(name: str, width: int, cells: Sequence[str]) -> str:
    return "  ".join([name.ljust(width), *cells]).rstrip()


def _fit(name: str, width: int) -> str:
    name = text.plain(name)
    return name if len(name) <= width else name[: width - 1] + "…"
