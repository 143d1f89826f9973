"""Means over seeds and test units with their intervals; paired differences, and what may be said from them.

Arrays: S seeds, B bootstrap replicates. Column b of all replicates comes from the same resample of the test
units, for every seed and every method, so that differences of replicates are paired.

No library has this interval: a mean over two crossed samples of which one, the test units, is only known by
its bootstrap replicates. Its special cases are Student's: one seed gives the t interval of the test units,
equal replicates give the t interval (paired test) over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from typing import Literal

from scipy.special import stdtr, stdtridf, stdtrit

from bench.report.critical import critical
from bench.report.records import Floats

Kind = Literal["seeds and test units", "test units", "none"]
Verdict = Literal["better", "worse", "tie"]

LEVEL = 0.95
RISK = 0.05  # of an error that a verdict takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean over seeds with what is known about it; None = cannot be known from these runs."""

    mean: float
    error: float | None  # standard error
    low: float | None  # 95 % interval
    high: float | None
    p: float | None  # two-sided, of "the mean is 0"; below 0.05 exactly where the interval leaves out 0
    kind: Kind  # what the interval covers

    @property
    def beyond(self) -> bool:
        """Return whether the interval leaves out 0; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_interval(values: Floats, replicates: Floats | None, units: int = 0) -> Interval:
    """Estimate a mean over seeds and test units: 95 % interval and p value.

    Args:
        values: the metric on the whole test set, (S,).
        replicates: the same on resampled test units, (S, B); None, or fewer than 2, or of a single unit: no
            interval.
        units: how many test units there are; 0 = not known, taken as many.
    """
    seeds, mean = len(values), float(values.mean())
    if replicates is None or replicates.shape[1] < 2 or units == 1:
        return Interval(mean=mean, error=None, low=None, high=None, p=None, kind="none")
    shared, alone = _test_unit_variance(replicates, units)
    freedom = 1 / (1 / (replicates.shape[1] - 1) + (1 / (units - 1) if units else 0))
    error, quantile = sqrt(shared), _quantile(freedom)
    spread = float(values.var(ddof=1)) / seeds if seeds > 1 else 0.0
    if spread:
        noise = min(shared, max(0.0, alone - shared) / (seeds - 1))  # of one seed's units, over S
        share = spread / (shared + spread)
        few = 1 + (quantile / _quantile(inf) - 1) * (1 - share) ** 2
        half = few * critical(seeds, noise / shared if shared else 0.0, share) * sqrt(shared + spread)
        error = sqrt(shared + max(0.0, spread - noise))
        p = _p_value(abs(mean), half, error, seeds, (sqrt(shared), freedom))
    else:
        half = quantile * error
        p = _student(abs(mean), error, freedom)
    kind: Kind = "seeds and test units" if seeds > 1 else "test units"
    return Interval(mean=mean, error=error, low=mean - half, high=mean + half, p=p, kind=kind)


def _p_value(gap: float, half: float, error: float, seeds: int, of_units: tuple[float, float]) -> float:
    if gap < half:
        quantile = max(half / error, _quantile(inf))
        return _student(gap * quantile, half, _freedom(quantile))
    of_seeds = _student(gap * _quantile(seeds - 1), half, seeds - 1)
    return max(of_seeds, _student(gap, *of_units) * RISK / max(RISK, _student(half, *of_units)))


def _student(gap: float, error: float, freedom: float) -> float:
    """Return the two-sided p value of Student's t."""
    return 2 * float(stdtr(freedom, -gap / error)) if error else float(gap == 0)


def _test_unit_variance(replicates: Floats, units: int) -> tuple[float, float]:
    """Return the test-unit variance of the mean over seeds, and the mean of that of single seeds."""
    bias = units / (units - 1) if units else 1  # a bootstrap of G units is too narrow by (G - 1) / G
    return bias * float(replicates.mean(axis=0).var(ddof=1)), bias * float(
        replicates.var(axis=1, ddof=1).mean()
    )


@lru_cache(maxsize=256)
def _quantile(df: float) -> float:
    return float(stdtrit(df, (1 + LEVEL) / 2))


def _freedom(quantile: float) -> float:
    """Return the degrees of freedom of the Student t with this quantile."""
    return float(stdtridf((1 + LEVEL) / 2, quantile)) if quantile > _quantile(inf) else inf


def paired_interval(
    a: Floats, b: Floats, drawn_a: Floats | None, drawn_b: Floats | None, units: int = 0
) -> Interval:
    """Compare two methods on one cell; position i of `a` and `b` is the same seed, (S,) and (S, B) or None.

    What both share (test units, and whatever the seed fixes) cancels in the interval.
    """
    if drawn_a is None or drawn_b is None:
        return mean_interval(a - b, None, units)
    count = min(drawn_a.shape[1], drawn_b.shape[1])
    return mean_interval(a - b, drawn_a[:, :count] - drawn_b[:, :count], units)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number (Holm, Scand. J. Statist. 6, 1979); None stays None, uncounted.

    `statsmodels` has it, too, but takes longer to import than a whole small report.

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


def verdict(mean: float, p: float | None, *, higher_is_better: bool, minimum_effect: float) -> Verdict:
    """Judge a difference by its corrected p value, at 0.05; what is too small to matter is a tie."""
    if p is None or p >= RISK or abs(mean) < minimum_effect:
        return "tie"
    return "better" if (mean > 0) == higher_is_better else "worse"


def interval_text(
    seeds: set[int], *, unit: str, n_units: int, replicates: int, varies: str, fixed: str
) -> str:
    """Say what the intervals of a table are and what they cover.

    Args:
        seeds: the numbers of seeds that occur in its cells.
        unit: what is resampled, e.g. "person"; "" = not recorded.
        n_units: how many there are in the test set.
        replicates: resamples per record; 0 = none, so no interval.
        varies: what differs between seeds.
        fixed: what no interval of this table covers, though it may matter.
    """
    if not replicates:
        return "No interval: the records hold no bootstrap replicates."
    pool = f"{n_units:,} test units" + (f" (unit: {unit})" if unit else "")
    parts = ["Brackets: 95 % intervals (they hold the truth in 93 to 97 % of simulations)."]
    if max(seeds) > 1:
        parts.append(
            f"n > 1: two levels, variance over seeds plus variance over {replicates:,} resamples of the "
            f"{pool} shared by all methods; covers {varies} and the choice of test units."
        )
    if min(seeds) == 1:
        parts.append(
            f"n = 1: {replicates:,} resamples of the {pool}; covers the choice of test units alone, "
            "not seeds."
        )
    parts.append(f"Not covered: {fixed}.")
    return " ".join(parts)
