"""Paired differences between rows, corrected for their number, and what may be said from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.report.budget import Budget
from bench.report.cells import Cell, Row
from bench.report.stats import RISK, Difference, difference

Verdict = Literal["better", "worse", "tie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A paired difference row - reference on one budget."""

    encoder: str
    budget: Budget
    row: Row
    reference: Row
    difference: Difference
    p_holm: float | None  # corrected for all comparisons of the family; None = no interval, hence no test
    family: int  # comparisons in the family that have a p value
    verdict: Verdict  # of the row


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How differences of one primary metric are read."""

    higher_is_better: bool
    minimum_effect: float  # differences below it are ties, whatever their interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two rows on one budget, and their difference; None where they share no run."""

    row: Row
    reference: Row
    budget: Budget
    difference: Difference | None


def against_references(rows: Sequence[Row], references: Sequence[str], scale: Scale) -> list[Comparison]:
    """Compare every row with every row of the reference methods; the rows are of one encoder.

    One family for Holm's correction: all methods at all budgets against one reference.
    """
    found = []
    for name in references:
        for reference in (row for row in rows if row.identity.method == name):
            others = [row for row in rows if row is not reference]
            # rows of an earlier reference: the same pair the other way round
            others = [r for r in others if r.identity.method not in references[: references.index(name)]]
            found += judge([pair for row in others for pair in pairs(row, reference)], scale)
    return found


def against_best(rows: Sequence[Row], best: Mapping[Budget, Row], scale: Scale) -> list[Comparison]:
    """Compare rows of one encoder with the best row of each budget; all of it is one family."""
    found = [p for row in rows for b, top in best.items() if row is not top for p in pairs(row, top, b)]
    return judge(found, scale)


def pairs(row: Row, reference: Row, budget: Budget | None = None) -> list[Pair]:
    """Pair two rows on the budgets that both have, or on one of them."""
    budgets = [b for b in row.cells if b in reference.cells and budget in (None, b)]
    return [
        Pair(row=row, reference=reference, budget=b, difference=compare(row.cells[b], reference.cells[b]))
        for b in budgets
    ]


def compare(a: Cell, b: Cell) -> Difference | None:
    """Return the paired difference a - b over common runs; None where there are none."""
    if a.runs == b.runs:
        return difference(a.values, b.values, a.replicates, b.replicates, a.units)
    common = [run for run in a.runs if run in b.runs]
    if not common:
        return None
    rows_a, rows_b = ([cell.runs.index(run) for run in common] for cell in (a, b))
    drawn_a = None if a.replicates is None else a.replicates[rows_a]
    drawn_b = None if b.replicates is None else b.replicates[rows_b]
    return difference(a.values[rows_a], b.values[rows_b], drawn_a, drawn_b, a.units)


def judge(found: Sequence[Pair], scale: Scale) -> list[Comparison]:
    """Correct the p values of one family and say who is better; pairs without common runs fall out."""
    known = [(pair, pair.difference) for pair in found if pair.difference is not None]
    corrected = holm([difference.p for _, difference in known])
    tests = sum(p is not None for p in corrected)
    return [
        Comparison(
            encoder=pair.row.identity.encoder,
            budget=pair.budget,
            row=pair.row,
            reference=pair.reference,
            difference=difference,
            p_holm=p,
            family=tests,
            verdict=verdict(difference.mean, p, scale),
        )
        for (pair, difference), p in zip(known, corrected, strict=True)
    ]


def verdict(mean: float, p: float | None, scale: Scale) -> Verdict:
    """Judge a difference by its corrected p value, at 0.05; what is too small to matter is a tie."""
    if p is None or p >= RISK or abs(mean) < scale.minimum_effect:
        return "tie"
    return "better" if (mean > 0) == scale.higher_is_better else "worse"


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number (Holm, Scand. J. Statist. 6, 1979); None stays None, uncounted.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = sorted((value, i) for i, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        corrected[i] = largest
    return corrected
