"""What a reader of the tables should know about the records behind them, one line each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bench.report.cells import Row
from bench.report.tables import Table
from bench.report.text import listed


def doubts(tables: Sequence[Table], references: Sequence[str]) -> list[str]:
    """Name what is shown apart or not compared, though it looks alike.

    Args:
        tables: all tables.
        references: methods that the others are compared with.
    """
    found = [*_apart(tables)]
    for table in tables:
        for group in table.groups:
            rows = (*group.rows, *group.incomplete)
            for name in references:
                for reference in (row for row in rows if row.identity.method == name):
                    found += _strangers(table, reference, rows)
    return list(dict.fromkeys(found))


def _apart(tables: Sequence[Table]) -> Iterator[str]:
    """Name tables of one task that differ in protocol, minimum effect, metric or test set alone."""
    alike: dict[tuple[str, ...], list[Table]] = defaultdict(list)
    for table in tables:
        key = table.key
        alike[key.preset, key.track, key.mode, key.task, key.dataset].append(table)
    for place, several in alike.items():
        for what, values in _differences(several):
            if len(values) > 1:
                newest = "" if what == "protocols" else "; over tasks the table with the newest record counts"
                yield (
                    f"{place[3]} on {place[4]} (preset {place[0]}, {place[1]}, {place[2]}) has records of "
                    f"several {what}: {listed(values)}; they stand in tables of their own, not compared"
                    f"{newest}"
                )


def _differences(tables: Sequence[Table]) -> Iterator[tuple[str, list[str]]]:
    keys = [table.key for table in tables]
    yield "protocols", _values(key.protocol for key in keys)
    for protocol in _values(key.protocol for key in keys):
        same = [key for key in keys if key.protocol == protocol]
        yield "minimum effects", _values(f"{key.minimum_effect:g}" for key in same)
        yield "metrics", _values(f"{key.metric} ({key.unit or 'ratio'})" for key in same)
        yield "test sets", _values(key.test_set for key in same)


def _values(values: Iterable[str]) -> list[str]:
    return sorted(set(values))


def _strangers(table: Table, reference: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Name rows that cannot be compared with a reference for want of common runs."""
    for row in rows:
        for budget, cell in row.cells.items():
            other = reference.cells.get(budget)
            if other and not set(cell.runs) & set(other.runs):
                yield (
                    f"{table.title}, {reference.identity.encoder}, {budget.header}: {row.name} and "
                    f"{reference.name} share no seed, so there is no difference between them"
                )
