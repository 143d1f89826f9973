"""Means over seeds and test units with their intervals; paired differences, and what may be said from them.

Arrays: S seeds, B bootstrap replicates. Column b of all replicates comes from the same resample of the test
units, for every seed and every method, so that differences of replicates are paired.

No library has this interval: a mean over two crossed samples of which one, the test units, is only known by
its bootstrap replicates. Its special cases are Student's: one seed gives the t interval of the test units,
equal replicates give the t interval (paired test) over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from bench.report.records import Floats

Kind = Literal["seeds and test units", "test units", "none"]
Verdict = Literal["better", "worse", "tie"]

LEVEL = 0.95
RISK = 0.05  # of an error that a verdict takes
SMALLEST_P = 1e-50  # below it a p value is 0


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

    The variance of the mean is a sum of two that are estimated on their own: that of the test units which
    all seeds share (`var_units - noise`), and that between seeds, which holds the noise of the units under
    single seeds. For such a sum the interval of Banerjee (Sankhya 22, 1960, p. 357) covers at least as often
    as it says, whatever the two variances are:

        half^2 = t(df_units)^2 * (var_units - noise) + max(t(S - 1)^2 * var_seeds, t(df_units)^2 * noise)

    where the maximum keeps seeds that agree by chance from hiding the noise that resampling shows under each
    of them. p is the level at which half of the width is the distance of the mean from 0.

    Args:
        values: the metric on the whole test set, (S,).
        replicates: the same on resampled test units, (S, B); None, or fewer than 2, or of a single unit: no
            interval.
        units: how many test units there are; 0 = not known, taken as many.
    """
    seeds, mean = len(values), float(values.mean())
    if replicates is None or replicates.shape[1] < 2 or units == 1:
        return Interval(mean=mean, error=None, low=None, high=None, p=None, kind="none")
    var_units, noise = (float(variance) for variance in unit_variances(replicates, units))
    var_seeds = float(values.var(ddof=1)) / seeds if seeds > 1 else 0.0
    df_units = 1 / (1 / (replicates.shape[1] - 1) + (1 / (units - 1) if units else 0))

    def half(risk: float) -> float:
        return float(half_width(var_units, noise, var_seeds, df_units, seeds - 1, risk))

    return Interval(
        mean=mean,
        error=sqrt(var_units + max(0.0, var_seeds - noise)),
        low=mean - half(RISK),
        high=mean + half(RISK),
        p=_p_value(abs(mean), half),
        kind="seeds and test units" if seeds > 1 else "test units",
    )


def unit_variances(replicates: Floats, units: int) -> tuple[Any, Any]:
    """Return the test-unit variance of the mean over seeds, and the noise under single seeds in it.

    Args:
        replicates: (..., S, B).
        units: how many test units there are, 0 = many.
    """
    seeds = replicates.shape[-2]
    bias = units / (units - 1) if units else 1.0  # a bootstrap of G units is too narrow by (G - 1) / G
    of_mean = bias * replicates.mean(axis=-2).var(axis=-1, ddof=1)
    per_seed = bias * replicates.var(axis=-1, ddof=1).mean(axis=-1)
    return of_mean, np.clip((per_seed - of_mean) / max(1, seeds - 1), 0, of_mean)  # one seed: 0


def half_width(
    var_units: Any, noise: Any, var_seeds: Any, df_units: float, df_seeds: int, risk: float
) -> Any:
    """Return half of the width of an interval that misses the mean with this risk.

    Args:
        var_units: test-unit variance of the mean, any shape.
        noise: part of it that lies under single seeds.
        var_seeds: variance of the mean that seeds add, with that noise in it; 0 from one seed.
        df_units: degrees of freedom.
        df_seeds: likewise.
        risk: of missing, on both sides together.
    """
    t_units = stdtrit(df_units, risk / 2) ** 2
    of_seeds = stdtrit(df_seeds, risk / 2) ** 2 * var_seeds if df_seeds else 0.0
    return np.sqrt(t_units * (var_units - noise) + np.maximum(of_seeds, t_units * noise))


def _p_value(gap: float, half: Callable[[float], float]) -> float:
    """Return the risk at which half of the interval's width is the gap between the mean and 0."""
    if gap == 0:
        return 1.0
    if half(SMALLEST_P) <= gap:
        return 0.0
    return exp(brentq(lambda log_p: half(exp(log_p)) - gap, log(SMALLEST_P), 0.0, xtol=1e-12))


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
    parts = ["Brackets: 95 % intervals (they hold the truth in at least 94 % of simulations)."]
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
