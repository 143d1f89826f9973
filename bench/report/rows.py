"""Flat rows for programs: one per cell and metric, difference, saving, cost, and method over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isinf
from typing import Any

from bench.report.aggregate import Aggregate
from bench.report.cells import Cell, Row
from bench.report.costs import mean
from bench.report.fronts import Point
from bench.report.origin import provenance
from bench.report.overall import Overall
from bench.report.reading import COSTS
from bench.report.savings import Saving
from bench.report.stats import Summary
from bench.report.tables import Group, Table, TableKey

_SETTING = ("preset", "track", "mode", "protocol", "task", "dataset", "test_set", "minimum_effect")
_SUMMARY = ("n", "mean", "sd", "minimum", "maximum", "error", "low", "high", "kind", "t_low", "t_high")


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
    """Return one flat dict per paired difference, to the references and then to the best of each cell."""
    return [
        {
            **_key(table.key, c.encoder),
            "method": c.row.name,
            "reference": c.reference.name,
            "against": against,
            "complete": c.row.complete and c.reference.complete,
            "fraction": c.budget.label,
            "metric": table.key.metric,
            "unit": table.key.unit,
            "higher_is_better": table.key.higher_is_better,
            "n": c.difference.n,
            "difference": c.difference.mean,
            "error": c.difference.error,
            "low": c.difference.low,
            "high": c.difference.high,
            "kind": c.difference.kind,
            "beyond": c.difference.beyond,
            "p": c.difference.p,
            "p_holm": c.p_holm,
            "family": c.family,
            "verdict": c.verdict,
        }
        for table in tables
        for against, c in (
            *(("reference", c) for c in table.comparisons),
            *(("best", c) for group in table.groups for c in group.behind),
        )
    ]


def _key(key: TableKey, encoder: str) -> dict[str, Any]:
    return {**{name: getattr(key, name) for name in _SETTING}, "encoder": encoder}


def saving_rows(savings: Mapping[TableKey, Sequence[Saving]]) -> list[dict[str, Any]]:
    """Return one flat dict per saving; a factor outside what was measured is empty, its state says which."""
    return [
        {
            **_key(key, s.encoder),
            "what": s.what,
            "method": s.row.name,
            "reference": s.reference.name,
            "fraction": s.budget.label if s.budget else "",
            "n": s.n,
            "share": s.share,
            "smallest_share": s.smallest,
            **_bound("factor", s.factor),
            **_bound("low", s.low),
            **_bound("high", s.high),
            "kind": s.kind,
        }
        for key, found in savings.items()
        for s in found
    ]


def _bound(name: str, factor: float | None) -> dict[str, Any]:
    """Return a factor and its state: reached, beyond (already with the least measured), not reached."""
    if factor is None:
        return {name: None, f"{name}_state": ""}
    outside = factor == 0 or isinf(factor)
    state = ("beyond" if factor else "not reached") if outside else "reached"
    return {name: None if outside else factor, f"{name}_state": state}


def cost_quality_rows(fronts: Mapping[TableKey, Sequence[Point]]) -> list[dict[str, Any]]:
    """Return one flat dict per complete row and budget: quality beside cost."""
    return [
        {
            **_key(key, p.encoder),
            "method": p.row.name,
            "fraction": p.budget.label,
            "metric": key.metric,
            "unit": key.unit,
            "higher_is_better": key.higher_is_better,
            "n": p.cell.summary.n,
            "mean": p.cell.summary.mean,
            "low": p.cell.summary.low,
            "high": p.cell.summary.high,
            "device_hours": p.device_hours,
            "samples_seen": p.samples_seen,
            "front_device_hours": p.front_hours,
            "front_samples_seen": p.front_samples,
        }
        for key, points in fronts.items()
        for p in points
    ]


def over_tasks_rows(overall: Sequence[Overall]) -> list[dict[str, Any]]:
    """Return one flat dict per encoder and method, those that are not compared included."""
    return [row for found in overall for row in _over_tasks(found)]


def _over_tasks(found: Overall) -> Iterator[dict[str, Any]]:
    won = {(i.method, i.reference): i.share for i in found.improvements}
    references = list(dict.fromkeys(i.reference for i in found.improvements))
    for i, method in enumerate((*found.methods, *(name for name, _ in found.left_out))):
        ranked = found.ranks is not None and i < len(found.methods)
        scores = found.normalised[i] if found.normalised and ranked else None
        shares = [won.get((method, name)) for name in references] if ranked else []
        why = dict(found.left_out).get(method, "") if i >= len(found.methods) else found.ranks_reason
        yield {
            **dict(zip(_SETTING[:4], found.setting, strict=True)),
            "encoder": found.encoder,
            "method": method,
            "tasks": list(found.tasks),
            "n_tasks": len(found.tasks),
            "n_cells": found.cells,
            "seeds_min": found.seeds[0],
            "seeds_max": found.seeds[1],
            "average_rank": found.ranks.average[i] if found.ranks and ranked else None,
            "friedman_p": found.ranks.friedman_p if found.ranks else None,
            "critical_difference": found.ranks.critical_difference if found.ranks else None,
            **_aggregate("normalised", scores),
            "references": references,
            "improvement": [None if s is None else s.value for s in shares],
            "improvement_low": [None if s is None else s.low for s in shares],
            "improvement_high": [None if s is None else s.high for s in shares],
            "not_compared": why,
        }


def _aggregate(name: str, found: Aggregate | None) -> dict[str, Any]:
    return {
        name: found.value if found else None,
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
    }
