"""The leaderboard as Markdown. Names come from users, so all of them pass through `text.markdown`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report import grids, notes, saving_grids, summary_grids, text
from bench.report.analysis import Analysis
from bench.report.grids import Entry, Grid
from bench.report.notes import NOT_COMPARABLE
from bench.report.origin import provenance
from bench.report.overall import Overall, Setting
from bench.report.published import PublishedTable
from bench.report.tables import Table, TableKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A plot as Markdown and the HTML page refer to it."""

    path: str  # of the PNG, relative to the report; the SVG lies beside it
    title: str
    caption: str
    encoder: str = ""  # the one it shows, "" = all


Subject = TableKey | tuple[Setting, str]  # what a picture is of: a table, or an encoder over tasks


def document(
    found: Analysis, published: Sequence[PublishedTable], pictures: Mapping[Subject, Sequence[Picture]]
) -> str:
    """Return the whole leaderboard."""
    records = len({record["key"] for table in found.tables for record in table.records})
    lines = [
        "# Leaderboard",
        "",
        f"Made from {text.count(records, 'score record')} and nothing else. {notes.SCOPE}",
        "",
    ]
    for table in found.tables:
        lines += _table(table, found, pictures.get(table.key, ()))
    lines += _over_tasks(found.overall, pictures)
    for setting in dict.fromkeys(row.setting for row in found.costs):
        lines += _section(summary_grids.costs(found.costs, setting), "##")
    lines += _published(published)
    if found.problems:
        lines += ["## Problems", "", *(f"- {text.markdown(problem)}" for problem in found.problems), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(table: Table, found: Analysis, pictures: Sequence[Picture]) -> list[str]:
    scores = grids.scores(table)
    lines = [f"## {text.markdown(table.title)}", "", text.markdown(grids.setting(table.key)), ""]
    lines += [*(_grid(scores) if scores.rows else []), *_notes(scores), *_incomplete(table)]
    differences = grids.differences(table)
    if differences:
        lines += _section(differences, "###")
    elif grids.no_differences(table):
        lines += [grids.no_differences(table), ""]
    lines += [line for grid in saving_grids.of_table(table, found) for line in _section(grid, "###")]
    return [*lines, *_pictures(pictures), *_provenance(table)]


def _section(grid: Grid, level: str) -> list[str]:
    return [f"{level} {text.markdown(grid.title)}", "", *_grid(grid), *_notes(grid)]


def _grid(grid: Grid) -> list[str]:
    marks = [":--" if i < grid.left else "--:" for i in range(len(grid.header))]
    rows = ([_entry(entry) for entry in row] for row in grid.rows)
    return _lines([_entry(entry) for entry in grid.header], marks, *rows)


def _lines(*rows: Sequence[str]) -> list[str]:
    return [*(f"| {' | '.join(row)} |" for row in rows), ""]


def _entry(entry: Entry) -> str:
    shown = text.markdown(entry.text) if entry.name else entry.text
    return f"**{shown}**" if entry.strong else shown


def _notes(grid: Grid) -> list[str]:
    return [line for note in dict.fromkeys(grid.notes) for line in (text.markdown(note), "")]


def _pictures(pictures: Sequence[Picture]) -> list[str]:
    lines = []
    for picture in pictures:
        name = text.markdown(picture.title)
        lines += [f"![{name}]({picture.path})", "", f"{name}. {text.markdown(picture.caption)}", ""]
    return lines


def _incomplete(table: Table) -> list[str]:
    lines = [f"- {text.markdown(line)}" for line in grids.incomplete(table)]
    return ["Incomplete, not ranked:", "", *lines, ""] if lines else []


def _over_tasks(overall: Sequence[Overall], pictures: Mapping[Subject, Sequence[Picture]]) -> list[str]:
    lines = []
    for setting in dict.fromkeys(found.setting for found in overall):
        preset, track, mode, protocol = (text.markdown(word) for word in setting)
        lines += [
            "## Over tasks",
            "",
            f"Preset {preset}, track {track}, mode {mode}, protocol {protocol}.",
            "",
        ]
        for found in (o for o in overall if o.setting == setting):
            shown = (summary_grids.over_tasks(found), summary_grids.pairs_over_tasks(found))
            lines += [line for grid in shown if grid for line in _section(grid, "###")]
            said = ("" if found.ranks else summary_grids.absent(found), summary_grids.left_out(found))
            lines += [line for note in said if note for line in (text.markdown(note), "")]
            lines += _pictures(pictures.get((setting, found.encoder), ()))
    return lines


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


def _published(published: Sequence[PublishedTable]) -> list[str]:
    if not published:
        return []
    lines = [f"## {NOT_COMPARABLE}", "", notes.PUBLISHED, ""]
    for table in published:
        header = ["dataset", "method", "init", "pretraining data", "backbone", "setting", *table.metrics]
        rows = [[text.markdown(cell) for cell in (*r.labels, *r.cells(table.metrics))] for r in table.rows]
        marks = [":--"] * 6 + ["--:"] * len(table.metrics)
        name = f"{text.markdown(table.task)}, {text.markdown(table.paper)}: {text.count(len(rows), 'row')}"
        lines += [f"<details><summary>{name}</summary>", ""]
        lines += [*_lines([text.markdown(word) for word in header], marks, *rows), "</details>", ""]
    return lines
