"""Cells and rows of the tables: the runs of one method on one label budget, summarised over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report.budget import Budget, parse
from bench.report.stats import Floats, Summary, summarise

SCRATCH = "scratch"
Run = tuple[int, int]  # (seed, subset)
Record = Mapping[str, Any]  # one primary row of the frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Secondary:
    """A metric that is not the primary one: no replicates, hence no bootstrap interval."""

    metric: str
    unit: str
    higher_is_better: bool
    summary: Summary
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All runs of one method, encoder, task and budget."""

    budget: Budget
    runs: tuple[Run, ...]  # ascending; the order of `values`, `replicates`, `keys`
    values: Floats  # (S,) primary metric
    replicates: NDArray[np.float64] | None  # (S, B)
    summary: Summary
    secondary: tuple[Secondary, ...]
    records: tuple[Record, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the score steps."""
        return tuple(record["key"] for record in self.records)

    @property
    def units(self) -> int:
        """Return the number of test units, 0 where it is not recorded."""
        return int(self.records[0]["n_units"])

    @property
    def stride_mean(self) -> float | None:
        """Return the mean over the runs on the stride subset (subset 0), where others take part too."""
        stride = [v for v, (_, subset) in zip(self.values, self.runs, strict=True) if subset == 0]
        return float(np.mean(stride)) if stride and len(stride) < len(self.runs) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells rows of one table apart."""

    encoder: str
    method: str
    init: str
    pretrain_data: str
    backbone: str
    config: str
    encoder_modality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method on one encoder, over all budgets."""

    identity: Identity
    name: str  # the method's name, with more where that is not unique
    encoder_kind: str
    cells: Mapping[Budget, Cell]  # budgets ascending
    missing: Mapping[Budget, tuple[Run, ...]]  # runs that other rows of the same encoder have
    exposure: str  # "none", or what test data pretraining has seen
    other_modality: bool  # the encoder was pretrained on another modality than the task's input

    @property
    def units(self) -> int:
        """Return the number of test units, 0 where it is not recorded."""
        return next(iter(self.cells.values())).units

    @property
    def complete(self) -> bool:
        """Return whether the row has every run that another row of its encoder has."""
        return not self.missing


def make_cell(
    records: Sequence[Record], replicates: Mapping[str, Floats], others: Mapping[str, Sequence[Record]]
) -> Cell:
    """Summarise records of one cell.

    Args:
        records: primary rows, one per run.
        replicates: by key, (B,).
        others: by key, the rows of the secondary metrics.
    """
    records = sorted(records, key=lambda r: (r["seed"], r["subset"]))
    values = np.array([r["value"] for r in records])
    drawn = [replicates[r["key"]] for r in records]
    size = min(len(d) for d in drawn)
    matrix = np.stack([d[:size] for d in drawn]) if size else None
    return Cell(
        budget=parse(records[0]["fraction"]),
        runs=tuple((r["seed"], r["subset"]) for r in records),
        values=values,
        replicates=matrix,
        summary=summarise(values.tolist(), matrix, records[0]["n_units"]),
        secondary=_secondary([others.get(r["key"], ()) for r in records]),
        records=tuple(records),
    )


def _secondary(per_record: Sequence[Sequence[Record]]) -> tuple[Secondary, ...]:
    """Summarise the metrics that every record of a cell has; order of the first record."""
    tables = [{row["metric"]: row for row in rows} for rows in per_record]
    found = []
    for name, first in tables[0].items():
        if all(name in table for table in tables):
            values = tuple(table[name]["value"] for table in tables)
            found.append(
                Secondary(
                    metric=name,
                    unit=first["unit"],
                    higher_is_better=first["higher_is_better"],
                    summary=summarise(values, None),
                    values=values,
                )
            )
    return tuple(found)


def names(identities: Iterable[Identity]) -> dict[Identity, str]:
    """Name the rows of one encoder: the method, and what differs between rows of the same method."""
    rows = list(identities)
    named = {}
    for row in rows:
        twins = [other for other in rows if other.method == row.method]
        details = [
            f"{field} {getattr(row, field) or 'none'}"
            for field in ("init", "pretrain_data", "backbone", "config", "encoder_modality")
            if len({getattr(twin, field) for twin in twins}) > 1
        ]
        named[row] = f"{row.method} ({', '.join(details)})" if details else row.method
    return named


def row_order(row: Row) -> tuple[bool, str, str]:
    """Sort scratch first, then by name."""
    return row.identity.method != SCRATCH, row.identity.method, row.name
