"""Records to summaries: everything that a report shows, as data frames.

The columns of `cells`, `differences`, `savings`, `cost_quality` and `over_tasks` are those of the CSV files
(`cells`: leaderboard.csv). A table is one combination of `TABLE`; empty frames have their columns, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report import rows
from bench.report.analysis import analyse as old
from bench.report.frame import Loaded
from bench.report.overall import Overall

SETTING = ("preset", "track", "mode", "protocol")
TABLE = (
    *SETTING, "task", "dataset", "metric", "unit", "higher_is_better", "minimum_effect", "test_set",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """Plain data; `tables`, `figures`, `page` and `writers` show it."""

    cells: pd.DataFrame  # one row per cell and metric, the primary metric first; list columns hold tuples
    differences: pd.DataFrame  # paired, to the references ("against" reference) and to the best row
    savings: pd.DataFrame  # labels and epochs; besides the columns of the CSV also the rest of `TABLE`
    cost_quality: pd.DataFrame  # quality beside device-hours and samples seen, with Pareto fronts
    over_tasks: pd.DataFrame  # one row per encoder and method
    overall: tuple[Overall, ...]  # the same with all that does not fit into rows
    runs: pd.DataFrame  # one row per record in the tables, index: its key; columns of `records`
    curves: Mapping[str, NDArray[np.float64]]  # by record key, (P, 2): progress and validation metric
    details: Mapping[str, Mapping[str, Any]]  # by record key: selection, manifests, inputs, provenance, spec
    problems: tuple[str, ...]  # records that were left out, and what cannot be compared


def analyse(loaded: Loaded, references: Sequence[str] = ()) -> Summaries:
    """Compute everything.

    Args:
        loaded: what `frame.load` read.
        references: methods to compare with, besides scratch.

    Raises:
        ConfigError: no record is of a method named in `references`.
    """
    found = old(loaded, references)
    keys = [key for table in found.tables for key in (r["key"] for r in table.records)]
    primary = loaded.frame[loaded.frame["primary"].astype(bool)].set_index("key", drop=False)
    savings = [
        {**row, "metric": key.metric, "unit": key.unit, "higher_is_better": key.higher_is_better}
        for key, part in found.savings.items()
        for row in rows.saving_rows({key: part})
    ]
    return Summaries(
        cells=pd.DataFrame(rows.cell_rows(found.tables)),
        differences=pd.DataFrame(rows.difference_rows(found.tables)),
        savings=pd.DataFrame(savings),
        cost_quality=pd.DataFrame(rows.cost_quality_rows(found.fronts)),
        over_tasks=pd.DataFrame(rows.over_tasks_rows(found.overall)),
        overall=found.overall,
        runs=primary.loc[keys],
        curves=found.curves,
        details=loaded.details,
        problems=found.problems,
    )
