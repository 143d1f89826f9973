"""Means, intervals and paired differences. Arrays: S seeds, B bootstrap replicates.

Column b of all replicates comes from the same resample of the test units, for every seed and every method, so
that differences of replicates are paired. All results are deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtridf, stdtrit

from bench.report.critical import critical

Floats = NDArray[np.float64]
Kind = Literal["seeds and test units", "test units", "none"]

LEVEL = 0.95
RISK = 0.05  # of an error that a verdict takes
T_SEEDS = 5  # fewest seeds for a t interval over seeds alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds with what is known about it; None = cannot be known from these runs."""

    mean: float
    error: float | None  # standard error
    low: float | None  # 95 % interval
    high: float | None
    p: float | None  # two-sided, of "the mean is 0"; below 0.05 exactly where the interval leaves out 0
    kind: Kind  # what the interval covers


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one cell over its seeds, in the metric's unit; None = cannot be known from these runs."""

    n: int
    mean: float
    sd: float | None  # sample deviation (n - 1) over seeds; None for one seed
    minimum: float
    maximum: float
    error: float | None  # standard error of the mean, as far as `kind` says
    low: float | None  # 95 % interval
    high: float | None
    kind: Kind  # what `low` and `high` cover
    t_low: float | None  # t interval over seeds alone, from `T_SEEDS` seeds on
    t_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of (method - other) over common seeds, with its interval."""

    n: int
    mean: float
    error: float | None
    low: float | None
    high: float | None
    p: float | None  # of "there is no difference", not corrected for the number of comparisons
    kind: Kind

    @property
    def beyond(self) -> bool:
        """Return whether the interval leaves out 0; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarise(values: Sequence[float], replicates: Floats | None, units: int = 0) -> Summary:
    """Summarise one cell.

    Args:
        values: the metric on the whole test set, S numbers, one per seed.
        replicates: the same metric on resampled test units, (S, B), or None where there are none.
        units: how many test units there are; 0 = not known.
    """
    found = estimate(values, replicates, units)
    sd = sqrt(_variance(values)) if len(values) > 1 else None
    half = None
    if sd is not None and len(values) >= T_SEEDS:
        half = _quantile(len(values) - 1) * sd / sqrt(len(values))
    return Summary(
        n=len(values),
        mean=found.mean,
        sd=sd,
        minimum=min(values),
        maximum=max(values),
        error=found.error,
        low=found.low,
        high=found.high,
        kind=found.kind,
        t_low=None if half is None else found.mean - half,
        t_high=None if half is None else found.mean + half,
    )


def difference(
    a: Floats, b: Floats, drawn_a: Floats | None, drawn_b: Floats | None, units: int = 0
) -> Difference:
    """Compare two methods on one cell; position i of `a` and `b` is the same seed, (S,) and (S, B) or None.

    What both share (test units, and whatever the seed fixes) cancels in the interval.
    """
    drawn = None
    if drawn_a is not None and drawn_b is not None:
        count = min(drawn_a.shape[1], drawn_b.shape[1])
        drawn = drawn_a[:, :count] - drawn_b[:, :count]
    found = estimate((a - b).tolist(), drawn, units)
    return Difference(
        n=len(a),
        mean=found.mean,
        error=found.error,
        low=found.low,
        high=found.high,
        p=found.p,
        kind=found.kind,
    )


def estimate(values: Sequence[float], replicates: Floats | None, units: int = 0) -> Estimate:
    """Estimate a mean over seeds and test units: 95 % interval and p value.

    A value is mean + seed + test units + (noise of these units under this seed). The replicates of the mean
    over seeds give the variance K of its test-unit part (times G / (G - 1) for G units, which a bootstrap
    lacks), those of single seeds how much of it is noise under single seeds. What seeds add shows in the
    spread of the values over seeds, less the noise in it. The interval is symmetric about the mean: c times
    sqrt(K + spread), with c from `critical`, which covers evenly whatever seeds add, also for two seeds
    (Satterthwaite's rule covers 86 to 95 % then). K itself is estimated from few units: c is widened by the
    quantile of Student's t for them (G - 1, together with B - 1 degrees of freedom) as far as K is what
    counts (design choice). One seed: test units alone.

    Measured coverage in % (`tests/bench/report/test_coverage.py`, 3,000 trials each, hence within 0.9; 16 to
    200 units; seed spread 0 to 32 times that of the test units). The noise of units under single seeds is a:
    none, as for a test set that all runs find equally hard; b: as large as what units share; c: 3 to 10 times
    as large, as in differences between much alike methods.

    | seeds | a            | b            | c            |                                               |
    |-------|--------------|--------------|--------------|-----------------------------------------------|
    | 1     | 94.7 to 95.3 | 94.8 to 94.9 | 94.0 to 95.1 | of the truth for this seed; no other is meant |
    | 2     | 93.9 to 96.7 | 93.2 to 97.0 | 93.6 to 97.4 |                                               |
    | 3     | 94.2 to 96.4 | 94.1 to 96.0 | 94.2 to 97.1 |                                               |
    | 5     | 93.9 to 96.0 | 93.9 to 95.8 | 93.8 to 96.8 |                                               |
    | 10    | 94.1 to 95.6 | 93.9 to 95.6 | 93.9 to 96.7 |                                               |

    mIoU from 16 or 200 units: 93.3 to 96.5 (percentiles of the replicates: 88 to 95). Classes that a small
    test set lacks move the metric itself; no interval covers that.

    Args:
        values: S numbers.
        replicates: (S, B); None, or fewer than 2, or of a single unit: no interval.
        units: G; 0 = not known, taken as many.
    """
    seeds, mean = len(values), sum(values) / len(values)
    if replicates is None or replicates.shape[1] < 2 or units == 1:
        return Estimate(mean=mean, error=None, low=None, high=None, p=None, kind="none")
    shared, alone = _test_unit_variance(replicates, units)
    freedom = 1 / (1 / (replicates.shape[1] - 1) + (1 / (units - 1) if units else 0))
    error, quantile = sqrt(shared), _quantile(freedom)
    spread = _variance(values) / seeds if seeds > 1 else 0.0
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
    return Estimate(
        mean=mean,
        error=error,
        low=mean - half,
        high=mean + half,
        p=p,
        kind="seeds and test units" if seeds > 1 else "test units",
    )


def _p_value(gap: float, half: float, error: float, seeds: int, of_units: tuple[float, float]) -> float:
    """Return the p value of a mean over several seeds.

    Within the interval it is that of the Student t whose quantile the interval has. Outside, where
    corrections for many tests look, it is that of Student's t for the seeds, the safest shape, and not below
    that of the test units alone: it errs at most 1.3 times as often as it says, at 0.01 and at 0.002.

    Args:
        gap: between the mean and 0.
        half: of the interval's width.
        error: standard error.
        seeds: S.
        of_units: standard error and degrees of freedom of the test units alone.
    """
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
    scale = (units / (units - 1) if units else 1) / (replicates.shape[1] - 1)
    seeds, count = replicates.shape
    centred = replicates - replicates.sum(axis=1, keepdims=True) / count
    total = centred.sum(axis=0)
    shared, alone = float(total @ total) / seeds**2, float(np.vdot(centred, centred)) / seeds
    return scale * shared, scale * alone


@lru_cache(maxsize=256)
def _quantile(df: float) -> float:
    return float(stdtrit(df, (1 + LEVEL) / 2))


def _freedom(quantile: float) -> float:
    """Return the degrees of freedom of the Student t with this quantile."""
    return float(stdtridf((1 + LEVEL) / 2, quantile)) if quantile > _quantile(inf) else inf


def _variance(values: Sequence[float]) -> float:
    """Return the sample variance (n - 1); for the few numbers there are, plain Python is the fastest."""
    mean = sum(values) / len(values)
    return sum([(value - mean) ** 2 for value in values]) / (len(values) - 1)


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
