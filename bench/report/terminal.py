"""Overview and scores as text in columns, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report import tables, text
from bench.report.budget import parse
from bench.report.leaderboard import Summaries, Task
from bench.report.overview import Block
from bench.report.records import grouped
from bench.report.tables import BOLD

WIDTH = 100  # columns of text, unless told otherwise
NAME, HEAD = 24, 16  # widest names of methods and of tasks

Column = tuple[str, Sequence[str]]  # header, and a text for each row


def terminal(found: Summaries, blocks: Sequence[Block], width: int = WIDTH) -> str:
    """Return overview and scores in some columns; what does not fit side by side follows below."""
    console = Console(file=StringIO(), width=width, color_system=None, highlight=False, markup=False)
    for block in blocks:
        for table in _block(block, width):
            console.print(table, Text(), sep="\n")
    console.print(Text(f"* best. {tables.OVERVIEW.partition('column. ')[2].replace(tables.USES + ' ', '')}"))
    for task in found.tasks:
        console.print()
        for part in _task(task, width):
            console.print(part)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _block(block: Block, width: int) -> Iterator[Table]:
    table = tables.overview(block)
    names, _, ranks, missing, *tasks = (
        [entry.removeprefix(BOLD) + "*" * entry.startswith(BOLD) for entry in table.frame.iloc[:, i]]
        for i in range(table.frame.shape[1])
    )
    left = [("method", [_cut(name, NAME) for name in names]), ("rank", ranks), ("missing", missing)]
    heads = [_cut(head, HEAD) for head in table.frame.columns[len(left) + 1 :]]
    for i, made in enumerate(_side_by_side(left, list(zip(heads, tasks, strict=True)), width)):
        made.title = Text(_cut(block.title, width), style="bold") if i == 0 else None
        yield made


def _task(task: Task, width: int) -> Iterator[Table | Text]:
    key = task.key
    arrow = "higher" if key["higher_is_better"] else "lower"
    unit = text.unit_name(key["unit"])
    where = "{preset} preset, {track}, {mode}, protocol {protocol}".format_map(key)
    yield Text(text.plain(f"{key['task']} on {key['dataset']}: {key['metric']} ({unit}, {arrow} is better)"))
    yield Text(text.plain(f"{where}{task.distinction}"))
    for encoder, cells in grouped(task.primary_cells, "encoder").items():
        rows = grouped((cell for cell in cells if cell.complete), "name")
        by_row = [{cell.fraction: cell for cell in row} for row in rows.values()]
        scores = [(b.header, [_score(row.get(b.label)) for row in by_row]) for b in task.budgets]
        if rows:
            names = [text.plain(name) for name in rows]
            yield from _side_by_side([(text.plain(encoder), names)], scores, width)
        for name in dict.fromkeys(cell.name for cell in cells if not cell.complete):
            lacks = task.missing[(task.missing["encoder"] == encoder) & (task.missing["name"] == name)]
            missing = "; ".join(
                f"{parse(label).title}: {text.count(len(runs), 'seed')}"
                for label, runs in lacks.groupby("fraction", sort=False)
            )
            yield Text(text.plain(f"{encoder}: {name} is incomplete (not ranked), missing {missing}"))
    yield Text(f"* best of its encoder; {text.TIE} a tie with it; n seeds; [95 % interval]")
    yield from (Text(text.plain(note)) for note in tables.not_ranked(task))


def _score(cell: Any) -> str:
    if cell is None:
        return "n/a  "
    return f"{tables.mean_text(cell)} n={cell.n}{'*' if cell.best else text.TIE if cell.tie else ' '}"


def _side_by_side(left: Sequence[Column], right: Sequence[Column], width: int) -> Iterator[Table]:
    """Yield as many tables as the columns to the right need to fit; each repeats those to the left."""

    def needed(column: Column) -> int:
        return max(map(len, [column[0], *column[1]])) + 2

    room = width - min(NAME + 2, needed(left[0])) - sum(map(needed, left[1:]))
    parts: list[list[Column]] = [[]]
    for column in right:
        if parts[-1] and sum(map(needed, [*parts[-1], column])) > room:
            parts.append([])
        parts[-1].append(column)
    for part in parts:
        table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
        table.add_column(Text(left[0][0]), max_width=NAME, overflow="fold")
        for head, _ in [*left[1:], *part]:
            table.add_column(Text(head), justify="right", no_wrap=True)
        for row in zip(*(words for _, words in [*left, *part]), strict=True):
            table.add_row(*map(Text, row))
        yield table


def _cut(name: str, width: int) -> str:
    name = text.plain(name)
    return name if len(name) <= width else f"{name[: width - 1]}…"
