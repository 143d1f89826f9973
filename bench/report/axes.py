"""Limits and ticks of the axes of a figure."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.report.figure import Axis, Band, Label, Line, Mark, Numbers, Strokes


def limits(marks: tuple[Mark, ...], axis: Axis, which: Literal[0, 1]) -> tuple[float, float]:
    """Return the ends of an axis, as `scaled` has them: those given, or what the marks take and 5 % more.

    Args:
        marks: of the panel.
        axis: the x or the y axis.
        which: 0 for x, 1 for y.
    """
    if axis.limits:
        low, high = axis.limits
        return (math.log10(low), math.log10(high)) if axis.log else (low, high)
    taken = [_extent(mark, which) for mark in marks]
    values = np.array([v for part in taken for v in part], dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    values = np.log10(values) if axis.log else values
    low, high = float(values.min()), float(values.max())
    spare = 0.05 * (high - low) or abs(low) * 0.05 or 0.5
    return low - spare, high + spare


def _extent(mark: Mark, which: int) -> Numbers:
    match mark:
        case Line():
            return (mark.x, mark.y)[which]
        case Band():
            return (mark.x, mark.low + mark.high)[which]
        case Strokes():
            return (mark.x + mark.x_end, mark.y + mark.y_end)[which]
        case Label():
            return ()


def ticks(axis: Axis, span: tuple[float, float], most: int) -> list[tuple[float, str]]:
    """Return about `most` places within a span, as `scaled` has them, with their labels."""
    if axis.ticks is not None:
        labels = axis.labels or tuple(f"{tick:g}" for tick in axis.ticks)
        return [(scaled(axis, tick), label) for tick, label in zip(axis.ticks, labels, strict=True)]
    low, high = span
    if axis.log:
        return _log_ticks(low, high, most)
    places = [float(v) for v in MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    step = places[1] - places[0]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) + (
        f"{step:.0e}"[0] == "2" and f"{step:.1e}"[2] == "5"
    )
    within = [p for p in places if low <= p <= high]
    return [(p, f"{p + 0.0:.{min(decimals, 8)}f}" if abs(p) > 1e-12 else "0") for p in within]


def _log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return 1, 2, 5 times powers of ten, or fewer of them, or more where there would be one."""
    powers = range(math.floor(low) - 1, math.ceil(high) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**p for p in powers for f in factors if low <= math.log10(f * 10.0**p) <= high]
        if len(found) <= most:
            break
    if len(found) < 2:
        found = [float(v) for v in MaxNLocator(3).tick_values(10**low, 10**high) if v > 0]
        found = [v for v in found if low <= math.log10(v) <= high]
    return [(math.log10(v), f"{v:.4g}") for v in found]


def scaled(axis: Axis, value: float) -> float:
    """Return a value, or its logarithm on a logarithmic axis."""
    return math.log10(value) if axis.log else value
