"""Numbers printed in the papers, kept apart from everything measured here.

They come from `leaderboards/paper_results.csv` (one number per row). Supplements repeat main tables; the
first printing counts. Of each paper and task, the metrics of its first table are shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pandas as pd

from bench.errors import DataError

LABELS = ("dataset", "method", "init", "pretrain_data", "backbone", "setting")
COLUMNS = ("paper", "table", "task", *LABELS, "metric", "value", "unit", "higher_is_better")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """What one paper reports on one task."""

    paper: str
    task: str
    frame: pd.DataFrame  # `LABELS` and metrics with units, e.g. "GPS AP (%)"; numbers as printed, else `-`


@cache
def load_published() -> pd.DataFrame:
    """Read all published numbers, `COLUMNS`; values stay text.

    Raises:
        DataError: the file has other columns.
    """
    with resources.files("leaderboards").joinpath("paper_results.csv").open(encoding="utf-8") as file:
        found = pd.read_csv(file, dtype=str, keep_default_na=False)
    if tuple(found.columns) != COLUMNS:
        raise DataError(f"leaderboards/paper_results.csv: columns are not {', '.join(COLUMNS)}; reinstall")
    return found


def published_tables(tasks: Iterable[str]) -> list[PublishedTable]:
    """Return the published numbers of these tasks (column `task`), one table per task and paper."""
    rows = load_published()
    chosen = rows[rows["task"].isin(set(tasks))]
    return [
        PublishedTable(paper=str(paper), task=str(task), frame=_pivot(part))
        for task, by_paper in chosen.groupby("task")
        for paper, part in by_paper.groupby("paper", sort=False)
    ]


def _pivot(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(column=rows["metric"] + " (" + rows["unit"] + ")")
    metrics = rows["column"][rows["table"] == rows["table"].iloc[0]].unique()
    rows = rows[rows["column"].isin(metrics)]
    values = rows.groupby([*LABELS, "column"], sort=False)["value"].first().unstack("column")
    order = rows[[*LABELS]].drop_duplicates()
    return order.join(values[[*metrics]].fillna("-"), on=[*LABELS]).reset_index(drop=True)
