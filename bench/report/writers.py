"""The files of a leaderboard besides page and figures: CSV, JSON, Markdown, LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

import orjson
import pandas as pd
from jinja2 import Environment, StrictUndefined, Template

from bench.report import overview, tables, text
from bench.report.cost import COST_QUALITY
from bench.report.figures import Plot
from bench.report.leaderboard import CELLS, DIFFERENCES, Summaries, Task
from bench.report.over_tasks import OVER_TASKS
from bench.report.overview import Block
from bench.report.published import PublishedTable
from bench.report.records import grouped, provenance
from bench.report.savings import SAVINGS
from bench.report.tables import Entry, Table

SCHEMA = 2


def csv_files(found: Summaries) -> dict[str, str]:
    """Return the summaries as CSV, by name of the file."""
    return {
        "leaderboard.csv": csv_text(found.cells[[*CELLS]]),
        "differences.csv": csv_text(found.differences[[*DIFFERENCES]]),
        "savings.csv": csv_text(found.savings[[*SAVINGS]]),
        "cost_quality.csv": csv_text(found.cost_quality[[*COST_QUALITY]]),
        "over_tasks.csv": csv_text(found.over_tasks[[*OVER_TASKS]]),
    }


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: 6 significant digits, lists joined by `;`, empty where there is no value."""
    plain = [str(name) for name in frame if frame[name].dtype.kind not in "fiu"]
    texts = {name: frame[name].map(_field) for name in plain}
    return frame.assign(**texts).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _field(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ";".join(map(_field, value))
    if value is None or value != value:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def json_body(found: Summaries) -> dict[str, Any]:
    """Return all summaries as plain data; NaN where there is no value."""
    return {
        "schema": SCHEMA,
        "tables": [_table(task) for task in found.tasks],
        "over_tasks": [asdict(overall) for overall in found.overall],
        "cost": [_cost(row) for row in found.costs.to_dict("records")],
        "problems": found.problems,
    }


def json_text(body: Mapping[str, Any]) -> str:
    """Return plain data as JSON (UTF-8; null for NaN and infinity)."""
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE).decode()


def _table(task: Task) -> dict[str, Any]:
    said_once = [name for name in CELLS if name != "interval"]
    return {
        "key": task.key,
        "fractions": [budget.label for budget in task.budgets],
        "interval": task.interval,
        "bounds": tables.bound_lines(task.primary_cells),
        "cells": task.cells[said_once].to_dict("records"),
        "differences": task.differences[[*DIFFERENCES]].to_dict("records"),
        "savings": task.savings[[*SAVINGS]].to_dict("records"),
        "cost_quality": task.cost_quality[[*COST_QUALITY]].to_dict("records"),
        "incomplete": [
            {
                "encoder": encoder,
                "method": name,
                "missing": {
                    fraction: runs[["seed", "subset"]].to_dict("records")
                    for fraction, runs in rows.groupby("fraction", sort=False)
                },
            }
            for (encoder, name), rows in task.missing.groupby(["encoder", "name"], sort=False)
        ],
        "not_used": [
            {**row, "method": row.pop("name")}
            for row in task.further[
                ["encoder", "name", "fraction", "seed", "subset", "value", "key"]
            ].to_dict("records")
        ],
        "provenance": provenance(task.runs),
    }


def _cost(row: Mapping[Any, Any]) -> dict[str, Any]:
    setting = [row[name] for name in ("preset", "track", "mode", "protocol")]
    return {"setting": setting, **{name: row[name] for name in list(row)[4:]}}


def markdown(
    found: Summaries,
    published: Sequence[PublishedTable],
    blocks: Sequence[Block],
    plots: Sequence[Plot],
) -> str:
    """Return the whole leaderboard as Markdown.

    Args:
        found: what to show.
        published: numbers of the papers.
        blocks: of the overview, which comes first.
        plots: figures, by table or by setting and encoder.
    """
    images = grouped(plots, "subject")
    body = _template().render(
        t=tables,
        records=text.count(len(found.runs), "score record"),
        overview=[block.table for block in blocks],
        overview_note=overview.NOTE,
        tasks=[
            (task, tables.of_task(task), provenance(task.runs), images.get(tuple(task.key.values()), ()))
            for task in found.tasks
        ],
        over_tasks=[(part, images.get((*part.setting, part.encoder), ())) for part in found.overall],
        costs=tables.costs(found.costs),
        published=[tables.published(table) for table in published],
        problems=found.problems,
    )
    return body.rstrip("\n") + "\n"


@cache
def _template() -> Template:
    source = resources.files("bench.report").joinpath("leaderboard.md.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"md": text.markdown, "listed": lambda items: text.listed(list(items))}
    return environment.from_string(source)


_HEAD = """\
% Made by bodybench from score records alone. Use with \\usepackage{booktabs} and \\input{leaderboard},
% or copy single tables. Characters that plain pdfLaTeX may lack are written as [U+....].
"""
_TABLE = r"""
\begin{table}
\centering\small
\caption{%s}
\begin{tabular}{@{}%s@{}}
\toprule
%s
\midrule
%s
\bottomrule
\end{tabular}
\end{table}
"""
_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}", "`": r"\textasciigrave{}",
    text.TIE: r"$\approx$", text.OTHER_MODALITY: r"\dag{}", text.EXPOSED: r"\ddag{}",
    text.ON_FRONT: r"$\diamond$",
}  # fmt: skip
_LETTERS = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿČčŁłŠšŽž"  # in every text font


def latex(found: Summaries) -> str:
    """Return all tables, each a floating `table` with a caption that says n, interval and what varied."""
    parts = []
    for task in found.tasks:
        said = [f"{tables.setting(task.key)} {tables.metric(task.key)}"]
        lacking = [f"Incomplete, not ranked: {line}." for *_, line in tables.incomplete(task)]
        parts.append([_latex_table(t, [*said, *t.notes, *lacking]) for t in tables.of_task(task) if t.rows])
    parts.append([_latex_table(t, t.notes) for part in found.overall for t in tables.over_tasks(part)])
    clear = "\n\\clearpage % LaTeX holds few floats at a time\n"
    return _HEAD + "".join("".join(part) + clear for part in parts if part)


def _latex_table(table: Table, notes: Sequence[str]) -> str:
    rows = [" & ".join([*map(escape, names), *map(_latex_entry, entries)]) for names, entries in table.lines]
    numbers = len(table.columns)
    return _TABLE % (
        " ".join(map(escape, (f"{table.title}.", *dict.fromkeys(notes)))),
        "l" * (len(table.header) - numbers) + "r" * numbers,
        " & ".join(map(escape, table.header)) + r" \\",
        "\n".join(rf"{row} \\" for row in rows),
    )


def _latex_entry(entry: Entry) -> str:
    return rf"\textbf{{{escape(entry.text)}}}" if entry.bold else escape(entry.text)


@cache
def escape(words: str) -> str:
    """Return a text on one line that LaTeX prints as it is.

    >>> escape("50 % of a_b & +1.0")
    '50 \\\\% of a\\\\_b \\\\& +1.0'
    """
    escaped = "".join(map(_character, text.plain(words)))
    apart = re.sub(r"([-'!?,])(?=[-'`,])", r"\1{}", escaped)  # no ligatures
    return f"{{[}}{apart[1:]}" if apart.startswith("[") else apart  # else an argument of the row before


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii() or character in _LETTERS:
        return character
    return f"[U+{ord(character):04X}]"
