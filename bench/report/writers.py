"""The files of a leaderboard besides page and figures: CSV, JSON, Markdown, LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Any

import orjson
import pandas as pd
from jinja2 import Environment, StrictUndefined, Template

from bench.report import bounds, tables, text
from bench.report.cost import COST_QUALITY
from bench.report.figures import Plot
from bench.report.leaderboard import CELLS, DIFFERENCES, Summaries, Task
from bench.report.over_tasks import OVER_TASKS
from bench.report.overview import Block
from bench.report.published import LABELS, PublishedTable
from bench.report.records import TABLE, grouped, provenance
from bench.report.savings import SAVINGS
from bench.report.tables import BOLD, Table

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


def json_body(found: Summaries, published: Sequence[PublishedTable]) -> dict[str, Any]:
    """Return everything as plain data; NaN where there is no value.

    Args:
        found: what to show.
        published: numbers of the papers.
    """
    return {
        "schema": SCHEMA,
        "tables": [_table(task) for task in found.tasks],
        "over_tasks": [asdict(overall) for overall in found.overall],
        "cost": [_cost(row) for row in found.costs.to_dict("records")],
        "published_not_comparable": [_published(table) for table in published],
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
        "bounds": bounds.lines(task.primary_cells),
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


def _published(table: PublishedTable) -> dict[str, Any]:
    labels, metrics = table.frame[[*LABELS]], table.frame.drop(columns=[*LABELS])
    rows = zip(labels.itertuples(index=False, name=None), metrics.to_dict("records"), strict=True)
    return {
        "paper": table.paper,
        "task": table.task,
        "metrics": list(metrics.columns),
        "rows": [
            {"labels": words, "values": {name: v for name, v in values.items() if v != "-"}}
            for words, values in rows
        ],
    }


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
        records=text.count(len(found.runs), "score record"),
        scope=tables.SCOPE,
        overview=[tables.overview(block) for block in blocks],
        overview_note=tables.OVERVIEW,
        tasks=[_task(task, images) for task in found.tasks],
        over_tasks=[
            (setting, [_over_tasks(part, images) for part in parts])
            for setting, parts in groupby(found.overall, key=lambda overall: overall.setting)
        ],
        costs=tables.costs(found.costs),
        published=[_printed(table) for table in published],
        not_comparable=tables.NOT_COMPARABLE,
        published_note=tables.PUBLISHED,
        problems=found.problems,
    )
    return body.rstrip("\n") + "\n"


@cache
def _template() -> Template:
    source = resources.files("bench.report").joinpath("leaderboard.md.j2").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"md": text.markdown, "entry": _entry, "marks": _marks}
    return environment.from_string(source)


def _entry(entry: str, is_name: bool) -> str:
    shown = entry.removeprefix(BOLD)
    shown = text.markdown(shown) if is_name else shown
    return f"**{shown}**" if entry.startswith(BOLD) else shown


def _marks(columns: int, left: int) -> str:
    """Return the line below a header, which aligns names to the left and numbers to the right."""
    return " | ".join([":--"] * left + ["--:"] * (columns - left))


def _task(task: Task, images: Mapping[Any, Sequence[Plot]]) -> dict[str, Any]:
    facts = provenance(task.runs)
    keys = facts.pop("record keys")
    return {
        "scores": tables.scores(task),
        "setting": tables.setting(task.key),
        "incomplete": tables.incomplete(task),
        "no_differences": tables.no_differences(task),
        "more": tables.beside_scores(task),
        "images": images.get(tuple(task.key[name] for name in TABLE), ()),
        "facts": "; ".join(f"{n}: {text.markdown(text.listed(list(v)))}" for n, v in facts.items() if v),
        "count": text.count(len(keys), "record key"),
        "record_keys": keys,
    }


def _over_tasks(found: Any, images: Mapping[Any, Sequence[Plot]]) -> dict[str, Any]:
    return {
        "tables": [t for t in (tables.over_tasks(found), tables.pairs_over_tasks(found)) if t],
        "said": [tables.absent(found), tables.left_out(found)],
        "images": images.get((*found.setting, found.encoder), ()),
    }


def _printed(published: PublishedTable) -> Table:
    frame = published.frame.rename(columns={"pretrain_data": "pretraining data"})
    title = f"{published.task}, {published.paper}: {text.count(len(frame), 'row')}"
    return Table(title=title, frame=frame, names=len(LABELS), notes=[])


_HEAD = """\
% Made by bodybench from score records alone. Use with \\usepackage{booktabs} and \\input{leaderboard},
% or copy single tables. Characters that plain pdfLaTeX may lack are written as [U+....].
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
    parts = [
        [_with_setting(t, task) for t in (tables.scores(task), *tables.beside_scores(task)) if len(t.frame)]
        for task in found.tasks
    ]
    over = [(tables.over_tasks(part), tables.pairs_over_tasks(part)) for part in found.overall]
    parts.append([table for pair in over for table in pair if table])
    lines = [_HEAD]
    for part in parts:
        lines += map(_latex_table, part)
        lines += ["\\clearpage % LaTeX holds few floats at a time\n"] if part else []
    return "\n".join(lines)


def _with_setting(table: Table, task: Task) -> Table:
    lacking = [f"Incomplete, not ranked: {line}." for line in tables.incomplete(task)]
    return replace(table, notes=[tables.setting(task.key), *table.notes, *lacking])


def _latex_table(table: Table) -> str:
    frame = table.frame.map(_latex_entry).rename(columns=escape)
    numbers = len(frame.columns) - table.names
    source: str = frame.style.hide(axis="index").to_latex(
        column_format=f"@{{}}{'l' * table.names}{'r' * numbers}@{{}}",
        caption=" ".join(map(escape, (f"{table.title}.", *dict.fromkeys(table.notes)))),
        position_float="centering",
        hrules=True,
    )
    return source.replace("\\centering", "\\centering\\small", 1)


def _latex_entry(entry: str) -> str:
    shown = escape(entry.removeprefix(BOLD))
    return rf"\textbf{{{shown}}}" if entry.startswith(BOLD) else shown


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
