"""The leaderboard for programs: CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.report.analysis import Analysis
from bench.report.origin import provenance
from bench.report.overall import Overall
from bench.report.published import PublishedTable
from bench.report.rows import cost_quality_rows, difference_rows, saving_rows
from bench.report.tables import Table, TableKey

SCHEMA = 2
Row = Mapping[str, Any]


def csv_text(rows: Sequence[Row]) -> str:
    """Return flat dicts as CSV: 6 significant digits, lists joined by `;`, empty where there is no value."""
    stream = io.StringIO()
    if rows:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows[0])
        known: dict[int, str] = {}  # fields by identity: the lines of one cell share many of them
        writer.writerows(
            [v if type(v) is str or v is None else _field(v, known) for v in row.values()] for row in rows
        )
    return stream.getvalue()


def _field(value: Any, known: dict[int, str]) -> str:
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    place = id(value)
    if place not in known:
        kind = type(value)
        if kind is float:
            known[place] = f"{value:.6g}"
        elif kind is list or kind is tuple:
            known[place] = ";".join([v if type(v) is str else _field(v, known) for v in value])
        else:
            known[place] = str(value)
    return known[place]


def json_text(
    found: Analysis, cells: Mapping[TableKey, Sequence[Row]], published: Sequence[PublishedTable]
) -> str:
    """Return everything as JSON (UTF-8, no NaN; null where there is no value).

    Args:
        found: what to show.
        cells: `cell_rows` of each of its tables.
        published: numbers of the papers.
    """
    body = {
        "schema": SCHEMA,
        "tables": [_table(table, found, cells[table.key]) for table in found.tables],
        "over_tasks": [_over_tasks(overall) for overall in found.overall],
        "cost": [asdict(row) for row in found.costs],
        "published_not_comparable": [asdict(table) for table in published],
        "problems": list(found.problems),
    }
    return json.dumps(body, allow_nan=False, ensure_ascii=False) + "\n"


def _table(table: Table, found: Analysis, cells: Sequence[Row]) -> dict[str, Any]:
    return {
        "key": asdict(table.key),
        "fractions": [budget.label for budget in table.budgets],
        "interval": table.interval,
        "cells": [_without_interval(row) for row in cells],
        "differences": difference_rows([table]),
        "savings": saving_rows({table.key: found.savings[table.key]}),
        "cost_quality": cost_quality_rows({table.key: found.fronts[table.key]}),
        "incomplete": _incomplete(table),
        "provenance": provenance(table.records),
    }


def _over_tasks(found: Overall) -> dict[str, Any]:
    body = asdict(found)
    if found.ranks and found.ranks.friedman == float("inf"):
        body["ranks"]["friedman"] = None  # perfect agreement; its p is 0
    return body


def _without_interval(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "interval"}  # said once per table


def _incomplete(table: Table) -> list[dict[str, Any]]:
    return [
        {
            "encoder": group.encoder,
            "method": row.name,
            "missing": {
                b.label: [{"seed": s, "subset": k} for s, k in runs] for b, runs in row.missing.items()
            },
        }
        for group in table.groups
        for row in group.incomplete
    ]
