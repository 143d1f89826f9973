"""Numbers printed in the papers, kept apart from everything measured here.

They come from `leaderboards/paper_results.csv` (one number per row). Supplements repeat main tables; the
first printing counts. Of each paper and task, the metrics of its first table are shown.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from bench.errors import DataError

COLUMNS = (
    "paper", "table", "task", "dataset", "method", "init", "pretrain_data", "backbone", "setting", "metric",
    "value", "unit", "higher_is_better",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One model of a paper under one setting."""

    labels: tuple[str, ...]  # dataset, method, init, pretrain_data, backbone, setting
    values: dict[str, str]  # metric -> the number as printed

    def cells(self, metrics: Sequence[str]) -> list[str]:
        """Return the printed numbers of these metrics, `-` where there is none."""
        return [self.values.get(metric, "-") for metric in metrics]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """What one paper reports on one task."""

    paper: str
    task: str
    metrics: tuple[str, ...]  # with units, e.g. "GPS AP (%)"
    rows: tuple[PublishedRow, ...]


@lru_cache(maxsize=1)
def load_published() -> tuple[dict[str, str], ...]:
    """Read all published numbers, one dict per number with the keys `COLUMNS`; values stay text.

    Raises:
        DataError: the file has other columns.
    """
    file = resources.files("leaderboards").joinpath("paper_results.csv")
    reader = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise DataError(f"leaderboards/paper_results.csv: columns are not {', '.join(COLUMNS)}; reinstall")
    return tuple(reader)


def published_tables(tasks: Iterable[str]) -> tuple[PublishedTable, ...]:
    """Return the published numbers of these tasks (column `task`), one table per task and paper."""
    rows = load_published()
    return tuple(
        _pivot(paper, task, [row for row in rows if (row["paper"], row["task"]) == (paper, task)])
        for task in sorted(set(tasks))
        for paper in dict.fromkeys(row["paper"] for row in rows if row["task"] == task)
    )


def _pivot(paper: str, task: str, rows: Sequence[dict[str, str]]) -> PublishedTable:
    def metric(row: dict[str, str]) -> str:
        return f"{row['metric']} ({row['unit']})"

    metrics = tuple(dict.fromkeys(metric(row) for row in rows if row["table"] == rows[0]["table"]))
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        if metric(row) in metrics:
            labels = tuple(row[name] for name in COLUMNS[3:9])
            found.setdefault(labels, {}).setdefault(metric(row), row["value"])
    return PublishedTable(
        paper=paper,
        task=task,
        metrics=metrics,
        rows=tuple(PublishedRow(labels=labels, values=values) for labels, values in found.items()),
    )
