"""The files of a leaderboard besides page and figures: CSV, JSON, Markdown, LaTeX, and text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
import pandas as pd

from bench.report.leaderboard import CELLS, DIFFERENCES, Summaries, Task
from bench.report.cost import COST_QUALITY
from bench.report.over_tasks import OVER_TASKS
from bench.report.savings import SAVINGS
from bench.report.published import PublishedTable
from bench.report.records import provenance

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
    plain = [name for name in frame if frame[name].dtype.kind not in "fiu"]
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
        "published_not_comparable": [asdict(table) for table in published],
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


def _cost(row: Mapping[str, Any]) -> dict[str, Any]:
    setting = [row[name] for name in ("preset", "track", "mode", "protocol")]
    return {"setting": setting, **{name: row[name] for name in list(row)[4:]}}
