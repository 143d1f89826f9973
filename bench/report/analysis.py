"""All that a report shows, computed from the records once: tables, savings, costs, comparisons over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report.cells import SCRATCH
from bench.report.costs import CostRow, cost_rows
from bench.report.doubts import doubts
from bench.report.frame import Loaded, split_curves
from bench.report.fronts import Point, fronts
from bench.report.overall import Overall, over_tasks
from bench.report.savings import Saving, savings
from bench.report.stats import Floats
from bench.report.tables import Table, TableKey, build_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Plain data; `grids` and `summary_grids` turn it into printed tables."""

    tables: tuple[Table, ...]
    savings: Mapping[TableKey, tuple[Saving, ...]]
    fronts: Mapping[TableKey, tuple[Point, ...]]  # quality beside cost
    overall: tuple[Overall, ...]
    costs: tuple[CostRow, ...]
    curves: Mapping[str, Floats]  # by record key, (P, 2): progress and validation metric
    problems: tuple[str, ...]  # records that were left out, and what cannot be compared


def analyse(loaded: Loaded, references: Sequence[str] = ()) -> Analysis:
    """Compute everything.

    Args:
        loaded: what `frame.load` read.
        references: methods to compare with, besides scratch.

    Raises:
        ConfigError: no record is of a method named in `references`.
    """
    tables, doubtful = build_tables(loaded, references)
    wanted = tuple(dict.fromkeys((SCRATCH, *references)))
    curves = split_curves(loaded)
    return Analysis(
        tables=tables,
        savings={table.key: savings(table, wanted, curves) for table in tables},
        fronts={table.key: fronts(table) for table in tables},
        overall=over_tasks(tables, wanted),
        costs=cost_rows(tables),
        curves=curves,
        problems=(*loaded.problems, *doubtful, *doubts(tables, wanted)),
    )
