"""Quality beside cost: device-hours and samples seen, and which methods no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.budget import Budget
from bench.report.cells import Cell, Record, Row
from bench.report.tables import Group, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One complete row at one budget; costs are means over its runs, None where a record lacks them."""

    encoder: str
    row: Row
    budget: Budget
    cell: Cell
    device_hours: float | None  # pretraining and fine-tuning
    samples_seen: float | None  # likewise
    front_hours: bool  # no other row of the encoder is better and needs no more device-hours
    front_samples: bool


def fronts(table: Table) -> tuple[Point, ...]:
    """Return the complete rows of a table with their costs, by encoder and budget.

    Fronts are of means: rows on them may be ties. Each is of one encoder.
    """
    return tuple(
        point for group in table.groups for budget in table.budgets for point in _points(table, group, budget)
    )


def _points(table: Table, group: Group, budget: Budget) -> list[Point]:
    rows = [row for row in group.rows if budget in row.cells]
    cells = [row.cells[budget] for row in rows]
    sign = 1 if table.key.higher_is_better else -1
    quality = [sign * cell.summary.mean for cell in cells]
    hours = [_mean([device_hours(record) for record in cell.records]) for cell in cells]
    samples = [_mean([samples_seen(record) for record in cell.records]) for cell in cells]
    marks = zip(_front(quality, hours), _front(quality, samples), strict=True)
    return [
        Point(
            encoder=group.encoder,
            row=row,
            budget=budget,
            cell=cell,
            device_hours=hours[i],
            samples_seen=samples[i],
            front_hours=in_hours,
            front_samples=in_samples,
        )
        for i, (row, cell, (in_hours, in_samples)) in enumerate(zip(rows, cells, marks, strict=True))
    ]


def device_hours(record: Record) -> float:
    """Return hours times devices of one run, pretraining included; NaN where not recorded.

    Records without device times count their wall time, as of one device.
    """
    own, before = record["device_s"], record["pretrain_device_s"]
    own = record["wall_s"] if np.isnan(own) else own
    before = record["pretrain_wall_s"] if np.isnan(before) else before
    return float(own + before) / 3600


def samples_seen(record: Record) -> float:
    """Return the samples that one run has seen, pretraining included; NaN where not recorded."""
    return float(record["samples_seen"] + record["pretrain_samples_seen"])


def _mean(values: Sequence[float]) -> float | None:
    mean = sum(values) / len(values)
    return None if np.isnan(mean) else mean


def _front(quality: Sequence[float], cost: Sequence[float | None]) -> list[bool]:
    """Say which points no other one beats: at least as good at no more cost, and better in one of them.

    >>> _front([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 3.0, None])
    [True, True, False, False]
    """
    known = [(q, c) for q, c in zip(quality, cost, strict=True) if c is not None]
    return [
        c is not None and not any(a >= q and b <= c and (a > q or b < c) for a, b in known)
        for q, c in zip(quality, cost, strict=True)
    ]
