"""The leaderboard for programs: CSV (one row per cell and metric; one per difference) and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.report.cells import Cell, Row
from bench.report.costs import CostRow, mean
from bench.report.frame import COSTS
from bench.report.origin import provenance
from bench.report.published import PublishedTable
from bench.report.stats import Difference, Summary
from bench.report.tables import Group, Table

SCHEMA = 1
_SETTING = ("preset", "track", "mode", "protocol", "task", "dataset", "test_set")
_SUMMARY = ("n", "mean", "sd", "minimum", "maximum", "low", "high", "kind", "t_low", "t_high")


def cell_rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return one flat dict per (cell, metric); primary metrics first within a cell."""
    return [
        line
        for table in tables
        for group in table.groups
        for row in (*group.rows, *group.incomplete)
        for cell in row.cells.values()
        for line in _cell_lines(table, group, row, cell)
    ]


def _cell_lines(table: Table, group: Group, row: Row, cell: Cell) -> list[dict[str, Any]]:
    key, budget = table.key, cell.budget
    place = _place(table, group, row, cell)
    best = {"best": group.best.get(budget) is row, "tie": row.identity in group.ties.get(budget, ())}
    end = _end(table, row, cell)
    first = {
        **_metric(key.metric, key.unit, key.higher_is_better, True),
        **_summary(cell.summary),
        "stride_mean": cell.stride_mean,
        "values": cell.values.tolist(),
    }
    lines = [{**place, **first, "complete": row.complete, **best, **end}]
    for other in cell.secondary:
        numbers = {
            **_metric(other.metric, other.unit, other.higher_is_better, False),
            **_summary(other.summary),
            "stride_mean": None,
            "values": other.values,
        }
        lines.append({**place, **numbers, "complete": row.complete, "best": None, "tie": None, **end})
    return lines


def _place(table: Table, group: Group, row: Row, cell: Cell) -> dict[str, Any]:
    """Return what says where in the tables a cell stands."""
    words = ("method", "init", "pretrain_data", "backbone", "config")
    return {
        **{name: getattr(table.key, name) for name in _SETTING},
        "encoder": group.encoder,
        "encoder_kind": row.encoder_kind,
        "encoder_modality": row.identity.encoder_modality,
        "modality": cell.records[0]["modality"],
        **{name: getattr(row.identity, name) for name in words},
        "name": row.name,
        "fraction": cell.budget.label,
    }


def _end(table: Table, row: Row, cell: Cell) -> dict[str, Any]:
    """Return what a cell cost and rests on."""
    made = provenance(cell.records)
    return {
        "exposure": row.exposure,
        **{name: mean(cell.records, name) for name in COSTS},
        "seeds": [seed for seed, _ in cell.runs],
        "subsets": [subset for _, subset in cell.runs],
        "interval": table.interval,
        "commits": made["commits"],
        "devices": made["devices"],
        "keys": cell.keys,
    }


def _metric(name: str, unit: str, higher_is_better: bool, primary: bool) -> dict[str, Any]:
    return {"metric": name, "unit": unit, "higher_is_better": higher_is_better, "primary": primary}


def _summary(summary: Summary) -> dict[str, Any]:
    return {name: getattr(summary, name) for name in _SUMMARY}


def difference_rows(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return one flat dict per paired difference."""
    return [
        {
            **{name: getattr(table.key, name) for name in _SETTING},
            "encoder": c.encoder,
            "method": c.row.name,
            "reference": c.reference.name,
            "complete": c.row.complete and c.reference.complete,
            "fraction": c.budget.label,
            "metric": table.key.metric,
            "unit": table.key.unit,
            "higher_is_better": table.key.higher_is_better,
            **_difference(c.difference),
        }
        for table in tables
        for c in table.comparisons
    ]


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "n": found.n,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "kind": found.kind,
        "beyond": found.beyond,
    }


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return flat dicts as CSV: 6 significant digits, lists joined by `;`, empty where there is no value."""
    stream = io.StringIO()
    if rows:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([_field(value) for value in row.values()] for row in rows)
    return stream.getvalue()


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ";".join(_field(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def json_text(
    tables: Sequence[Table],
    costs: Sequence[CostRow],
    published: Sequence[PublishedTable],
    problems: Sequence[str],
) -> str:
    """Return everything as JSON (UTF-8, no NaN; null where there is no value)."""
    body = {
        "schema": SCHEMA,
        "tables": [
            {
                "key": asdict(table.key),
                "fractions": [budget.label for budget in table.budgets],
                "interval": table.interval,
                "cells": [_without_interval(row) for row in cell_rows([table])],
                "differences": difference_rows([table]),
                "incomplete": _incomplete(table),
                "provenance": provenance(table.records),
            }
            for table in tables
        ],
        "cost": [asdict(row) for row in costs],
        "published_not_comparable": [asdict(table) for table in published],
        "problems": list(problems),
    }
    return json.dumps(body, allow_nan=False, ensure_ascii=False) + "\n"


def _without_interval(row: dict[str, Any]) -> dict[str, Any]:
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
