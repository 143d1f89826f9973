"""Overview and scores as text in columns, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report import overview, tables, text
from bench.report.leaderboard import Summaries
from bench.report.records import grouped

WIDTH = 100  # columns of text, unless told otherwise
NAME, HEAD = 24, 16  # widest names of methods and of columns


def terminal(found: Summaries, blocks: Sequence[overview.Block], width: int = WIDTH) -> str:
    """Return overview and scores in some columns; what does not fit side by side follows below."""
    console = Console(file=StringIO(), width=width, color_system=None, highlight=False, markup=False)
    for block in blocks:
        console.print(Text(_cut(block.table.title, width)))
        console.print(*_parts(block.table, width), Text(), sep="\n")
    console.print(Text(f"* {overview.NOTE.replace(tables.USES + ' ', '')}"))
    for task in found.tasks:
        lines = [task.title, tables.setting(task.key), tables.metric(task.key)]
        console.print(Text(), *(Text(text.plain(line)) for line in lines), sep="\n")
        console.print(*_parts(tables.scores(task), width), sep="\n")
        notes = [f"* best of its encoder; {text.TIE} a tie with it; n seeds; [95 % interval]"]
        notes += [f"Incomplete, not ranked: {line}" for *_, line in tables.incomplete(task)]
        for note in [*notes, *tables.not_ranked(task)]:
            console.print(Text(text.plain(note)))
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _parts(table: tables.Table, width: int) -> Iterator[Table]:
    """Yield tables for each encoder, as many as the columns need to fit; each repeats the names."""
    for encoder, rows in grouped(table.rows, "encoder").items():
        texts = [[f"{entry.text}{'*' * entry.bold}" for entry in row.entries] for row in rows]
        heads = [_cut(column.title, HEAD) for column in table.columns]
        needed = [max(map(len, column)) + 2 for column in zip(heads, *texts, strict=True)]
        first, room = 0, width - NAME - 2
        while first < len(heads):
            end = first + 1
            while end < len(heads) and sum(needed[first : end + 1]) <= room:
                end += 1
            part = Table(box=None, padding=(0, 2, 0, 0))
            part.add_column(Text(text.plain(encoder or "method")), max_width=NAME, overflow="fold")
            for head in heads[first:end]:
                part.add_column(Text(head), justify="right", no_wrap=True)
            for row, words in zip(rows, texts, strict=True):
                part.add_row(*map(Text, (text.plain(row.names[0]), *words[first:end])))
            yield part
            first = end


def _cut(name: str, width: int) -> str:
    name = text.plain(name)
    return name if len(name) <= width else f"{name[: width - 1]}…"
