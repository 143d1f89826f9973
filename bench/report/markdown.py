"""The leaderboard as Markdown. Names come from users, so all of them pass through `text.markdown`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.report import notes, text
from bench.report.cells import SCRATCH, Cell, Row
from bench.report.costs import CostRow, shown
from bench.report.notes import NOT_COMPARABLE, TIE, Note
from bench.report.origin import provenance
from bench.report.published import PublishedTable
from bench.report.stats import Difference, Summary
from bench.report.tables import Comparison, Group, Table, TableKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A plot as Markdown and the HTML page refer to it."""

    path: str  # of the PNG, relative to the report; the SVG lies beside it
    title: str
    caption: str
    encoder: str = ""  # the one it shows, "" = all


def document(
    tables: Sequence[Table],
    costs: Sequence[CostRow],
    published: Sequence[PublishedTable],
    pictures: Mapping[TableKey, Sequence[Picture]],
    problems: Sequence[str],
) -> str:
    """Return the whole leaderboard."""
    records = len({record["key"] for table in tables for record in table.records})
    lines = [
        "# Leaderboard",
        "",
        f"Made from {text.count(records, 'score record')} and nothing else. {notes.SCOPE}",
        "",
    ]
    for table in tables:
        lines += _table(table, pictures.get(table.key, ()))
    lines += _costs(costs)
    lines += _published(published)
    if problems:
        lines += ["## Problems", "", *(f"- {text.markdown(problem)}" for problem in problems), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """Return a Markdown table of escaped cells whose first `left` columns are aligned to the left."""
    marks = [":--" if i < left else "--:" for i in range(len(header))]
    return [f"| {' | '.join(row)} |" for row in (header, marks, *rows)] + [""]


def _table(table: Table, pictures: Sequence[Picture]) -> list[str]:
    key = table.key
    title = f"## {text.markdown(key.task)} on {text.markdown(key.dataset)}"
    if table.several_test_sets:
        title += f", test set {text.markdown(key.test_set)}"
    header = ["encoder", "method", *(budget.header for budget in table.budgets)]
    rows = [line for group in table.groups for line in _rows(table, group)]
    lines = [title, "", text.markdown(notes.setting(key)), ""]
    if rows:
        lines += grid(header, rows, left=2)
    lines += [*_legend(table), *_incomplete(table), *_differences(table)]
    for picture in pictures:
        name = text.markdown(picture.title)
        lines += [f"![{name}]({picture.path})", "", f"{name}. {text.markdown(picture.caption)}", ""]
    return lines + _provenance(table)


def _rows(table: Table, group: Group) -> Iterable[list[str]]:
    for i, row in enumerate(group.rows):
        cells = []
        for budget in table.budgets:
            shown = _cell(row.cells.get(budget), table.key.unit)
            if budget in group.best and group.best[budget] is row:
                shown = f"**{shown}**"
            elif row.identity in group.ties.get(budget, ()):
                shown = f"{shown} {TIE}"
            cells.append(shown)
        yield [text.markdown(group.encoder) if i == 0 else "", _name(row), *cells]


def _name(row: Row) -> str:
    return " ".join([text.markdown(row.name), *notes.marks(row)])


def _cell(cell: Cell | None, unit: str) -> str:
    if cell is None:
        return "n/a"
    return f"{summary_text(cell.summary, unit)} (n={cell.summary.n})"


def summary_text(summary: Summary, unit: str) -> str:
    """Return `mean [low, high]`, or `mean {min to max}` where there is no interval but several seeds."""
    mean = text.number(summary.mean, unit)
    if summary.low is not None and summary.high is not None:
        return f"{mean} [{text.number(summary.low, unit)}, {text.number(summary.high, unit)}]"
    if summary.n > 1:
        return f"{mean} {{{text.number(summary.minimum, unit)} to {text.number(summary.maximum, unit)}}}"
    return mean


def _legend(table: Table) -> list[str]:
    return [line for note in notes.legend(table) for line in (_note(note), "")]


def _note(note: Note) -> str:
    parts = [text.markdown(note.text), note.bold and f"**Bold**: {text.markdown(note.bold)}"]
    return " ".join(filter(None, parts))


def _incomplete(table: Table) -> list[str]:
    lines = []
    for group in table.groups:
        for row in group.incomplete:
            there = "; ".join(f"{b.title}: {_cell(c, table.key.unit)}" for b, c in row.cells.items())
            name = f"{text.markdown(group.encoder)}, {_name(row)}"
            lines.append(f"- {name}: missing {notes.missing(row)}. Present: {there}")
    return ["Incomplete, not ranked:", "", *lines, ""] if lines else []


def _differences(table: Table) -> list[str]:
    if not table.comparisons:
        if any(row.identity.method != SCRATCH for row in table.rows):
            return [notes.NO_DIFFERENCES, ""]
        return []
    by_pair: dict[tuple[str, str, str], dict[str, Comparison]] = {}
    for c in table.comparisons:
        pair = (c.encoder, c.reference.name, _name(c.row) + ("" if c.row.complete else " (incomplete)"))
        by_pair.setdefault(pair, {})[c.budget.label] = c
    header = ["encoder", "method", "minus", *(budget.header for budget in table.budgets)]
    rows = []
    for (encoder, reference, name), found in by_pair.items():
        cells = [_difference(found.get(b.label), table.key.unit) for b in table.budgets]
        rows.append([text.markdown(encoder), name, text.markdown(reference), *cells])
    return [_note(notes.differences(table.key)), "", *grid(header, rows, left=3)]


def _difference(comparison: Comparison | None, unit: str) -> str:
    if comparison is None:
        return "n/a"
    found = comparison.difference
    shown = difference_text(found, unit)
    return f"**{shown}** (n={found.n})" if found.beyond else f"{shown} (n={found.n})"


def difference_text(found: Difference, unit: str) -> str:
    """Return `+mean [low, high]`, all signed; a bound beyond 0 gets the decimals that show it."""
    if found.low is None or found.high is None:
        return text.signed(found.mean, unit)
    more = 0
    near = min(abs(found.low), abs(found.high))
    while found.beyond and more < 3 and not text.signed(near, unit, more).startswith("+"):
        more += 1
    mean, low, high = (text.signed(value, unit, more) for value in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _provenance(table: Table) -> list[str]:
    shown = provenance(table.records)
    keys = ", ".join(text.markdown(key) for key in shown.pop("record keys"))
    facts = "; ".join(f"{name}: {text.markdown(text.listed(list(v)))}" for name, v in shown.items() if v)
    n = len(table.records)
    return [
        f"Provenance: {facts}.",
        "",
        f"<details><summary>{text.count(n, 'record key')}</summary>",
        "",
        keys,
        "",
        "</details>",
        "",
    ]


def _costs(costs: Sequence[CostRow]) -> list[str]:
    if not costs:
        return []
    settings = dict.fromkeys(row.setting for row in costs)
    header = ["encoder", "method", *shown(costs[0])]
    lines = ["## Cost", "", notes.COST, ""]
    for setting in settings:
        rows = [
            [text.markdown(row.encoder), text.markdown(row.method), *shown(row).values()]
            for row in costs
            if row.setting == setting
        ]
        preset, track, mode, protocol = (text.markdown(word) for word in setting)
        lines += [f"Preset {preset}, track {track}, mode {mode}, protocol {protocol}:", ""]
        lines += grid(header, rows, left=2)
    return lines


def _published(published: Sequence[PublishedTable]) -> list[str]:
    if not published:
        return []
    lines = [f"## {NOT_COMPARABLE}", "", notes.PUBLISHED, ""]
    for table in published:
        header = ["dataset", "method", "init", "pretraining data", "backbone", "setting", *table.metrics]
        rows = [
            [text.markdown(cell) for cell in (*row.labels, *row.cells(table.metrics))] for row in table.rows
        ]
        name = f"{text.markdown(table.task)}, {text.markdown(table.paper)}: {text.count(len(rows), 'row')}"
        lines += [f"<details><summary>{name}</summary>", ""]
        lines += [*grid([text.markdown(word) for word in header], rows, left=6), "</details>", ""]
    return lines
