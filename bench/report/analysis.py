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


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """The first part of an analysis, which takes half of its time: enough for most plots."""

    tables: tuple[Table, ...]
    curves: Mapping[str, Floats]  # as in `Analysis`
    references: tuple[str, ...]  # methods to compare with, scratch first
    problems: tuple[str, ...]  # records that were left out


def analyse(loaded: Loaded, references: Sequence[str] = ()) -> Analysis:
    """Compute everything.

    Args:
        loaded: what `frame.load` read.
        references: methods to compare with, besides scratch.

    Raises:
        ConfigError: no record is of a method named in `references`.
    """
    return complete(arrange(loaded, references))


def arrange(loaded: Loaded, references: Sequence[str] = ()) -> Arranged:
    """Begin an analysis, see `analyse`."""
    tables, doubtful = build_tables(loaded, references)
    return Arranged(
        tables=tables,
        curves=split_curves(loaded),
        references=tuple(dict.fromkeys((SCRATCH, *references))),
        problems=(*loaded.problems, *doubtful),
    )


def complete(begun: Arranged) -> Analysis:
    """Compute the rest of an analysis."""
    tables, wanted = begun.tables, begun.references
    return Analysis(
        tables=tables,
        savings={table.key: savings(table, wanted, begun.curves) for table in tables},
        fronts={table.key: fronts(table) for table in tables},
        overall=over_tasks(tables, wanted),
        costs=cost_rows(tables),
        curves=begun.curves,
        problems=(*begun.problems, *doubts(tables, wanted)),
    )
