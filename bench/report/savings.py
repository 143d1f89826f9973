"""What pretraining saves: labels, and fine-tuning, until a method is as good as another one at the end.

Both ask where a rising curve reaches a target: the test score over the share of labels (on a log axis), the
validation score over the progress of fine-tuning. Curves are made monotone first. Ours, since no library has
it: isotonic regression is scipy's, vectorised, as a large report has 300,000 curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, inf, isinf
from typing import Any

import numpy as np
import pandas as pd

from bench.report.bootstrap import Runs, all_seed_weights, joint_draws, percentiles, seed_draws
from bench.report.budget import parse
from bench.report.records import PLACE, Floats, Records, common_curves, grouped, stack, tuples

SAVINGS = (
    *PLACE, "what", "method", "reference", "fraction", "n", "share", "smallest_share", "factor",
    "factor_state", "low", "low_state", "high", "high_state", "kind",
)  # fmt: skip
Pair = tuple[str, str]  # names of a row and of the reference


def savings(cells: pd.DataFrame, references: Sequence[str], records: Records) -> pd.DataFrame:
    """Compare the ranked rows with the ranked rows of the reference methods.

    Factors say how many times less a method needs, at least 1. What lies outside of what was measured has no
    number but a state: `beyond`, reached already with the least; `not reached` with everything.

    Args:
        cells: of `leaderboard`.
        references: methods, scratch first.
        records: replicates and curves by record key.

    Returns:
        `SAVINGS`, and the columns of a table's key that are not among them.
    """
    found: list[dict[str, Any]] = []
    ranked = cells[cells["primary"] & cells["ranked"]]
    for group in grouped(tuples(ranked), "table", "encoder").values():
        rows = grouped(group, "name")
        pairs = [*_pairs({name: row[0].method for name, row in rows.items()}, references)]
        found += _labels_saved(rows, pairs, records.replicates)
        found += _fine_tuning_saved(rows, pairs, records.curves)
    columns = [*SAVINGS, "table", "metric", "unit", "higher_is_better"]
    return pd.DataFrame(found, columns=columns).astype(
        dict.fromkeys(["share", "factor", "low", "high"], float)
    )


def _pairs(methods: Mapping[str, str], references: Sequence[str]) -> Iterator[Pair]:
    """Yield names of rows and references; a pair of two references occurs once."""
    for position, reference in enumerate(references):
        for name in (name for name, method in methods.items() if method == reference):
            for other, method in methods.items():
                if other != name and method not in references[:position]:
                    yield other, name


def isotonic(y: Floats) -> Floats:
    """Return the rising curves nearest to these, (K, M), by the max-min formula.

    At i it is the largest, over starts j <= i, of the smallest mean of y[j..k] over ends k >= i (Robertson,
    Wright and Dykstra, Order Restricted Statistical Inference, 1988).
    """
    points = y.shape[1]
    sums = np.concatenate([np.zeros((len(y), 1)), y.cumsum(axis=1)], axis=1)
    start, end = np.arange(points)[:, None], np.arange(points)
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / np.maximum(end - start + 1, 1)  # (K, start, end)
    means = np.where(end >= start, means, inf)
    smallest = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]  # over ends from i on
    rising: Floats = np.where(start <= end, smallest, -inf).max(axis=1)
    return rising


def first_reach(x: Floats, y: Floats, target: Floats) -> Floats:
    """Return where curves, made to rise, first reach their targets; straight lines join the points.

    Args:
        x: ascending, (M,).
        y: K curves, (K, M).
        target: (K,).

    Returns:
        (K,), in units of x; -inf where the first point is there already, inf where none is.

    >>> first_reach(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 3.0, 2.0]]), np.array([2.0])).tolist()
    [0.6666666666666666]
    """
    above, curves = isotonic(y - target[:, None]), np.arange(len(y))  # exactly 0 where y equals its target
    after = (above < 0).sum(axis=1)  # the first point that is there
    right = np.clip(after, 1, len(x) - 1)
    low, high = above[curves, right - 1], above[curves, right]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = x[right - 1] - low / (high - low) * (x[right] - x[right - 1])
    return np.where(after == 0, -inf, np.where(after == len(x), inf, found))


def _labels_saved(
    rows: Mapping[str, Sequence[Any]], pairs: Sequence[Pair], replicates: Mapping[str, Floats]
) -> Iterator[dict[str, Any]]:
    """Compare methods at their label shares with references at 100 %; all rows are of one encoder.

    Pairs whose method has no share besides 100 %, or that lack 100 %, fall out.
    """
    shares = {name: [cell for cell in row if parse(cell.fraction).is_fraction] for name, row in rows.items()}
    full = {name for name, row in shares.items() if row and row[-1].fraction == "1"}
    fit = [pair for pair in pairs if full.issuperset(pair) and len(shares[pair[0]]) > 1]
    used = list(dict.fromkeys(name for pair in fit for name in pair))
    cells = [cell for name in used for cell in shares[name]]
    if not cells:
        return
    runs = [Runs(values=np.array(c.values), replicates=stack(c.keys, replicates)) for c in cells]
    drawn = joint_draws(runs, cells[0].n_units)
    at = {(c.name, c.fraction): i for i, c in enumerate(cells)}
    sign = 1 if cells[0].higher_is_better else -1
    for name, reference in fit:
        places = [at[name, cell.fraction] for cell in shares[name]]
        goal = at[reference, "1"]
        x = np.log([float(parse(cell.fraction).value) for cell in shares[name]])
        means = np.array([[cells[i].mean for i in (*places, goal)]])
        factors: list[float | None] = [
            _factor(exp(first_reach(x, sign * means[:, :-1], sign * means[:, -1])[0]))
        ]
        if drawn:
            y = np.stack([drawn[i] for i in places], axis=1)
            ends = percentiles(first_reach(x, sign * y, sign * drawn[goal]))
            factors += [_factor(exp(end)) for end in reversed(ends)]  # a late reach is a small factor
        involved = [*(cells[i] for i in places), cells[goal]]
        seeds = min(cell.n for cell in involved)
        kind = "seeds and test units" if seeds > 1 else "test units"
        if any(cell.kind == "none" for cell in involved):
            kind = "seeds"
        yield _row(cells[places[0]], reference, "labels", "", seeds, float(np.exp(x[0])), factors, kind)


def _factor(share: float) -> float:
    """Return the factor that belongs to a share: inf below what was measured (0 or -inf), 0 for inf."""
    return 1 / share if share > 0 else inf


def _row(
    cell: Any, reference: str, what: str, fraction: str, seeds: int, smallest: float,
    factors: Sequence[float | None], kind: str,
) -> dict[str, Any]:  # fmt: skip
    """Return a saving: its factor, and the ends of the interval where there are any."""
    bounds = dict(zip(("factor", "low", "high"), (*factors, None, None), strict=False))
    point = factors[0]
    assert point is not None
    return {
        **{name: getattr(cell, name) for name in (*PLACE, "table", "metric", "unit", "higher_is_better")},
        "what": what, "method": cell.name, "reference": reference, "fraction": fraction, "n": seeds,
        "share": 1 / point if _measured(point) else None, "smallest_share": smallest,
        "kind": kind if len(factors) > 1 else "none",
        **{name: value if _measured(value) else None for name, value in bounds.items()},
        **{f"{name}_state": _state(value) for name, value in bounds.items()},
    }  # fmt: skip


def _measured(factor: float | None) -> bool:
    return factor is not None and factor != 0 and not isinf(factor)


def _state(factor: float | None) -> str:
    if factor is None:
        return ""
    return "reached" if _measured(factor) else "beyond" if factor else "not reached"


def _fine_tuning_saved(
    rows: Mapping[str, Sequence[Any]], pairs: Sequence[Pair], curves: Mapping[str, Floats]
) -> Iterator[dict[str, Any]]:
    """Compare the validation curves of methods, budget by budget, with the references' last values."""
    bundles = {
        (cell.name, cell.fraction): common_curves([curves[key] for key in cell.keys if key in curves])
        for row in rows.values()
        for cell in row
    }
    for name, reference in pairs:
        for cell in rows[name]:
            own, other = bundles[name, cell.fraction], bundles.get((reference, cell.fraction))
            if own is None or other is None or (own[0] > 0).sum() < 2:
                continue  # a factor needs shares above 0
            begun = own[0] > 0
            progress, values, ends = own[0][begun], own[1][:, begun], other[1][:, -1]
            sign = 1 if cell.higher_is_better else -1
            factors = _factors(progress, sign * values, sign * ends)
            n = min(len(values), len(ends))
            yield _row(cell, reference, "fine-tuning", cell.fraction, n, float(progress[0]), factors, "seeds")


def _factors(x: Floats, values: Floats, ends: Floats) -> list[float | None]:
    """Return the factor, with its interval over seeds where there are several; both draw the same seeds.

    Args:
        x: progress, (P,).
        values: of the method, (S, P).
        ends: last values of the reference, (S,).
    """
    mean, goal = values.mean(axis=0), ends.mean()
    found = [float(first_reach(x, mean[None], goal[None])[0])]
    seeds = min(len(values), len(ends))
    if seeds > 1:
        weights, ways = all_seed_weights(seeds)
        y = mean + seed_draws(values[:seeds] - values[:seeds].mean(axis=0), weights)
        target = goal + seed_draws(ends[:seeds] - ends[:seeds].mean(), weights)
        found += reversed(percentiles(first_reach(x, y, target), ways))
    return [_factor(place) for place in found]
