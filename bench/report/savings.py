"""What pretraining saves: labels, and fine-tuning, until a method is as good as another one at the end.

Both ask where a rising curve reaches a target: the test score over the share of labels (on a log axis), the
validation score over the progress of fine-tuning. Curves are made monotone first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Literal

import numpy as np

from bench.report.budget import Budget
from bench.report.cells import Cell, Row
from bench.report.draws import Runs, all_draws, draw_means, draw_seeds, interval, intervals
from bench.report.stats import Floats, Kind
from bench.report.tables import Table

What = Literal["labels", "fine-tuning"]
Coverage = Kind | Literal["seeds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """How many times less a method needs than the reference, which uses everything.

    Factors are at least 1. `inf`: reached already with the least that was measured, `1 / smallest` times
    less, so more than that; 0: not reached with everything. None: no interval.
    """

    what: What
    encoder: str
    budget: Budget | None  # of fine-tuning; None for labels
    row: Row
    reference: Row
    factor: float
    low: float | None  # 95 % interval
    high: float | None
    smallest: float  # least share that was measured
    kind: Coverage  # what the interval covers
    n: int  # seeds of the method; the fewest over its budgets

    @property
    def share(self) -> float | None:
        """Return the share needed, None where it is outside what was measured."""
        return None if self.factor == 0 or isinf(self.factor) else 1 / self.factor


def first_reach(x: Floats, y: Floats, target: Floats) -> Floats:
    """Return where curves first reach their targets.

    Isotonic regression makes the curves rise; straight lines join the points. Its level sets follow from the
    prefix sums of y - target: it is below the target up to their first minimum, and the values on both sides
    are extreme means from there (Barlow and Brunk, J. Amer. Statist. Assoc. 67, 1972).

    Args:
        x: ascending, (M,).
        y: K curves, (K, M).
        target: (K,).

    Returns:
        (K,), in units of x; -inf where the first point is there already, inf where none is.

    >>> first_reach(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 3.0, 2.0]]), np.array([2.0])).tolist()
    [0.6666666666666666]
    """
    curves, points = y.shape
    sums = np.zeros((points + 1, curves))  # reducing the first axis is several times as fast as the last
    np.cumsum(y.T - target, axis=0, out=sums[1:])
    first = sums.argmin(axis=0)  # number of points below the target
    least, index = sums[first, np.arange(curves)], np.arange(points)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        after = (sums[1:] - least) / (index + 1 - first)
        before = (least - sums[:-1]) / (first - index)
    high = np.where(index >= first, after, inf).min(axis=0)
    low = np.where(index < first, before, -inf).max(axis=0)
    left = np.minimum(np.maximum(first - 1, 0), points - 2)
    with np.errstate(invalid="ignore"):
        found = x[left] - low / (high - low) * (x[left + 1] - x[left])
    return np.where(first == 0, -inf, np.where(first == points, inf, found))


def savings(table: Table, references: Sequence[str], curves: Mapping[str, Floats]) -> tuple[Saving, ...]:
    """Compare all complete rows of a table with the complete rows of the reference methods.

    Args:
        table: one task.
        references: methods, scratch first.
        curves: by record key, (P, 2): progress in (0, 1] and the validation metric.
    """
    found: list[Saving] = []
    for group in table.groups:
        pairs = list(_pairs(group.rows, references))
        found += labels_saved(pairs, table.key.higher_is_better)
        found += fine_tuning_saved(pairs, curves, table.key.higher_is_better)
    return tuple(found)


Pair = tuple[Row, Row]  # method, reference


def _pairs(rows: Sequence[Row], references: Sequence[str]) -> Iterator[Pair]:
    for position, name in enumerate(references):
        for reference in (row for row in rows if row.identity.method == name):
            for row in rows:
                if row is not reference and row.identity.method not in references[:position]:
                    yield row, reference


def labels_saved(pairs: Sequence[Pair], higher_is_better: bool) -> list[Saving]:
    """Compare methods at their label shares with references at 100 %; all rows are of one encoder.

    Pairs whose method has no share besides 100 %, or that lack 100 %, fall out.
    """
    fit = [(row, reference) for row, reference in pairs if _full(row) and _full(reference) and _more(row)]
    rows = {id(row): row for pair in fit for row in pair}
    places = [(key, budget) for key, row in rows.items() for budget in _fractions(row)]
    cells = [rows[key].cells[budget] for key, budget in places]
    if not cells:
        return []
    drawn = draw_means([Runs(values=c.values, replicates=c.replicates) for c in cells], cells[0].units)
    means = [np.array([cell.summary.mean]) for cell in cells]
    sign = 1 if higher_is_better else -1
    points = _reaches(fit, dict(zip(places, means, strict=True)), sign)
    spread = _reaches(fit, dict(zip(places, drawn, strict=True)), sign) if drawn else [None] * len(fit)
    return [_labels(*pair, float(at[0]), all_) for pair, at, all_ in zip(fit, points, spread, strict=True)]


def _fractions(row: Row) -> list[Budget]:
    return [budget for budget in row.cells if budget.is_fraction]


def _full(row: Row) -> bool:
    return any(budget.value == 1 for budget in _fractions(row))


def _more(row: Row) -> bool:
    return len(_fractions(row)) > 1


def _reaches(pairs: Sequence[Pair], scores: Mapping[tuple[int, Budget], Floats], sign: int) -> list[Floats]:
    """Return for each pair where the method reaches the reference, (K,), as logarithms of shares.

    Args:
        pairs: of one encoder.
        scores: by identity of the row and by budget, (K,).
        sign: 1 where higher is better, else -1.
    """
    found = []
    for row, reference in pairs:
        budgets = _fractions(row)
        y = sign * np.stack([scores[id(row), budget] for budget in budgets], axis=1)
        x = np.log([float(budget.value) for budget in budgets])
        found.append(first_reach(x, y, sign * scores[id(reference), budgets[-1]]))
    return found


def _labels(row: Row, reference: Row, point: float, drawn: Floats | None) -> Saving:
    budgets = _fractions(row)
    cells = [*(row.cells[budget] for budget in budgets), reference.cells[budgets[-1]]]
    low, high = None, None
    if drawn is not None:
        first, last = interval(drawn)
        low, high = _factor(last, np.exp), _factor(first, np.exp)  # a late reach is a small factor
    seeds = min(cell.summary.n for cell in cells)
    return Saving(
        what="labels",
        encoder=row.identity.encoder,
        budget=None,
        row=row,
        reference=reference,
        factor=_factor(point, np.exp),
        low=low,
        high=high,
        smallest=float(budgets[0].value),
        kind="none" if low is None else _kind(seeds, cells),
        n=seeds,
    )


def _kind(seeds: int, cells: Sequence[Cell]) -> Coverage:
    if any(cell.replicates is None for cell in cells):
        return "seeds"
    return "seeds and test units" if seeds > 1 else "test units"


def _factor(place: float, share: Callable[[float], float]) -> float:
    return inf if place == -inf else 0.0 if place == inf else 1 / float(share(place))


def fine_tuning_saved(
    pairs: Sequence[Pair], curves: Mapping[str, Floats], higher_is_better: bool
) -> list[Saving]:
    """Compare the validation curves of methods, budget by budget, with the references' last values."""
    rows = {id(row): row for pair in pairs for row in pair}
    bundles = {(key, b): bundle(cell, curves) for key, row in rows.items() for b, cell in row.cells.items()}
    races = []
    for row, reference in pairs:
        for budget in row.cells:
            curve, end = bundles[id(row), budget], bundles.get((id(reference), budget))
            begun = curve[0] > 0 if curve else np.zeros(0, bool)  # a factor needs a share above 0
            if curve and end and begun.sum() > 1:
                race = _Race(
                    row=row,
                    reference=reference,
                    budget=budget,
                    progress=curve[0][begun],
                    values=curve[1][:, begun],
                    end=end[1][:, -1],
                )
                races.append(race)
    alike: dict[tuple[bytes, int, int], list[_Race]] = {}
    for race in races:
        alike.setdefault((race.progress.tobytes(), len(race.values), len(race.end)), []).append(race)
    factors = {id(race): f for found in alike.values() for race, f in _factors(found, higher_is_better)}
    return [_fine_tuning(race, *factors[id(race)]) for race in races]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Race:
    """A curve, and the values that it is to reach."""

    row: Row
    reference: Row
    budget: Budget
    progress: Floats  # (P,)
    values: Floats  # (S, P)
    end: Floats  # (S,) last values of the reference


def _fine_tuning(race: _Race, factor: float, low: float | None, high: float | None) -> Saving:
    return Saving(
        what="fine-tuning",
        encoder=race.row.identity.encoder,
        budget=race.budget,
        row=race.row,
        reference=race.reference,
        factor=factor,
        low=low,
        high=high,
        smallest=float(race.progress[0]),
        kind="none" if low is None else "seeds",
        n=min(len(race.values), len(race.end)),
    )


def _factors(
    races: Sequence[_Race], higher_is_better: bool
) -> Iterator[tuple[_Race, tuple[float, float | None, float | None]]]:
    """Yield the factors with their intervals over seeds; seeds of both methods are drawn alike.

    Args:
        races: of equal progress and numbers of seeds.
        higher_is_better: direction of the metric.
    """
    sign = 1 if higher_is_better else -1
    x = races[0].progress
    values = sign * np.stack([race.values for race in races], axis=1)  # (S, R, P)
    ends = sign * np.stack([race.end for race in races], axis=1)  # (S, R)
    mean, goal = values.mean(axis=0), ends.mean(axis=0)
    points = [_factor(place, float) for place in first_reach(x, mean, goal).tolist()]
    seeds = min(len(values), len(ends))
    if seeds == 1:
        yield from ((race, (point, None, None)) for race, point in zip(races, points, strict=True))
        return
    shares, ways = all_draws(seeds)
    values, ends = values[:seeds], ends[:seeds]
    y = mean + draw_seeds(values - values.mean(axis=0), shares)  # (K, R, P)
    target = goal + draw_seeds(ends - ends.mean(axis=0), shares)
    places = first_reach(x, y.reshape(-1, len(x)), target.reshape(-1)).reshape(target.shape)
    for race, point, first, last in zip(races, points, *intervals(places, ways), strict=True):
        yield race, (point, _factor(last, float), _factor(first, float))


def bundle(cell: Cell | None, curves: Mapping[str, Floats]) -> tuple[Floats, Floats] | None:
    """Return progress (P,) and values (S, P) of a cell's seeds, on the points that all of them reach."""
    found = [curves[key] for key in cell.keys if key in curves] if cell else []
    if not found:
        return None
    first = found[0][:, 0]
    if all(len(curve) == len(first) for curve in found):
        stacked = np.stack(found)
        if (stacked[:, :, 0] == first).all():
            return first, stacked[:, :, 1]
    low, high = max(curve[0, 0] for curve in found), min(curve[-1, 0] for curve in found)
    grid = np.unique(np.concatenate([curve[:, 0] for curve in found]))
    grid = grid[(grid >= low) & (grid <= high)]
    if not grid.size:
        return None
    return grid, np.stack([np.interp(grid, curve[:, 0], curve[:, 1]) for curve in found])
