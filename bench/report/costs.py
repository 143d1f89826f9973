"""What the numbers cost: pretraining and fine-tuning, per encoder and method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isnan

from bench.report.cells import SCRATCH, Record
from bench.report.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Means over the records of one method on one encoder; None = not recorded."""

    setting: tuple[str, str, str, str]  # preset, track, mode, protocol
    encoder: str
    method: str
    runs: int
    pretrain_samples_seen: float | None
    pretrain_wall_s: float | None
    pretrain_samples_per_s: float | None
    wall_s: float | None  # of one cell, without pretraining
    train_wall_s: float | None
    samples_seen: float | None
    samples_per_s: float | None
    data_wait_share: float | None
    peak_memory_mb: float | None


def cost_rows(tables: Sequence[Table]) -> tuple[CostRow, ...]:
    """Average the cost of the records behind the tables."""
    found: dict[tuple[tuple[str, str, str, str], str, str], list[Record]] = {}
    for table in tables:
        key = table.key
        setting = (key.preset, key.track, key.mode, key.protocol)
        for record in table.records:
            found.setdefault((setting, record["encoder"], record["method"]), []).append(record)
    names = [f.name for f in fields(CostRow)][4:]
    order = sorted(found, key=lambda k: (k[0], k[1], k[2] != SCRATCH, k[2]))
    return tuple(
        CostRow(
            setting=place[0],
            encoder=place[1],
            method=place[2],
            runs=len(found[place]),
            **{name: mean(found[place], name) for name in names},
        )
        for place in order
    )


def mean(records: Sequence[Record], name: str) -> float | None:
    """Return the mean of a cost over the records that have it; None where none has."""
    known = [value for record in records if not isnan(value := record[name])]
    return sum(known) / len(known) if known else None


def shown(row: CostRow) -> dict[str, str]:
    """Return what tables show of a row, for people, by column."""
    return {
        "pretraining samples": amount(row.pretrain_samples_seen),
        "pretraining time": duration(row.pretrain_wall_s),
        "pretraining samples/s": amount(row.pretrain_samples_per_s),
        "fine-tuning runs": str(row.runs),
        "time per run": duration(row.wall_s),
        "fine-tuning samples/s": amount(row.samples_per_s),
        "peak memory": memory(row.peak_memory_mb),
    }


def amount(value: float | None) -> str:
    """Return a number of things for people: `20,480`; `-` where unknown."""
    return "-" if value is None else f"{value:,.0f}"


def memory(megabytes: float | None) -> str:
    """Return an amount of memory for people: `1,126 MB`; `-` where unknown."""
    return "-" if megabytes is None else f"{megabytes:,.0f} MB"


def duration(seconds: float | None) -> str:
    """Return a time for people: `12 s`, `3.4 min`, `1.2 h`; `-` where unknown."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
