"""Means, intervals and paired differences. Arrays: S seeds, B bootstrap replicates, K draws.

Column b of all replicates comes from the same resample of the test units, for every seed and every method, so
that differences of replicates are paired. All results are deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Floats = NDArray[np.float64]
Kind = Literal["seeds and test units", "test units", "none"]

LEVEL = 0.95
DRAWS = 5_000  # at least, of (seeds, test units)
T_SEEDS = 5  # fewest seeds for a t interval
_STREAM = 20_240_601  # of the seed resampling; a constant, so that reports are reproducible


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric of one cell over its seeds, in the metric's unit; None = cannot be known from these runs."""

    n: int
    mean: float
    sd: float | None  # sample deviation (n - 1) over seeds; None for one seed
    minimum: float
    maximum: float
    low: float | None  # bootstrap interval
    high: float | None
    kind: Kind  # what `low` and `high` cover
    t_low: float | None  # t interval over seeds alone, from `T_SEEDS` seeds on
    t_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of (method - other) over common seeds, with its interval."""

    n: int
    mean: float
    low: float | None
    high: float | None
    kind: Kind

    @property
    def beyond(self) -> bool:
        """Return whether the interval leaves out 0; False where there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarise(values: Floats, replicates: Floats | None) -> Summary:
    """Summarise one cell.

    Args:
        values: the metric on the whole test set, (S,), one per seed.
        replicates: the same metric on resampled test units, (S, B), or None where there are none.
    """
    low, high, kind = bootstrap(replicates)
    t_low, t_high = t_interval(values)
    return Summary(
        n=len(values),
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        minimum=float(values.min()),
        maximum=float(values.max()),
        low=low,
        high=high,
        kind=kind,
        t_low=t_low,
        t_high=t_high,
    )


def difference(a: Floats, b: Floats, drawn_a: Floats | None, drawn_b: Floats | None) -> Difference:
    """Compare two methods on one cell; position i of `a` and `b` is the same seed, (S,) and (S, B) or None.

    What both share (test units, and whatever the seed fixes) cancels in the interval.
    """
    drawn = None
    if drawn_a is not None and drawn_b is not None:
        count = min(drawn_a.shape[1], drawn_b.shape[1])
        drawn = drawn_a[:, :count] - drawn_b[:, :count]
    low, high, kind = bootstrap(drawn)
    return Difference(n=len(a), mean=float((a - b).mean()), low=low, high=high, kind=kind)


def bootstrap(replicates: Floats | None) -> tuple[float | None, float | None, Kind]:
    """Return the 95 % percentile interval of a mean over seeds, and what it covers.

    Two levels: seeds are drawn with replacement, then one resample b of the test units, the same for all
    seeds drawn. Few seeds are a poor sample of all seeds, so the deviation of a draw from the mean of all
    S seeds is widened by sqrt(S / (S - 1)), which makes its variance unbiased, and by the ratio of the
    quantiles of Student's t (S - 1 degrees of freedom) and the normal distribution (design choice; in
    simulations 92 to 98 % coverage from 2 seeds on, against 52 to 82 % for 2 to 5 seeds without it where
    seeds matter most). One seed: test units alone.

    Args:
        replicates: (S, B), or None or B = 0 for "no interval".
    """
    if replicates is None or replicates.size == 0:
        return None, None, "none"
    seeds, units = replicates.shape
    tail = (1 - LEVEL) / 2
    centre = replicates.mean(axis=0)  # (B,)
    drawn = centre
    if seeds > 1:
        means = np.einsum("kbs,sb->kb", _weights(seeds, units), replicates)
        wider = np.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, 1 - tail) / ndtri(1 - tail)
        drawn = centre + wider * (means - centre)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high), "seeds and test units" if seeds > 1 else "test units"


@lru_cache(maxsize=8)
def _weights(seeds: int, units: int) -> Floats:
    """Return shares of each seed in draws with replacement, (K, B, S); K * B is at least `DRAWS`."""
    rng = np.random.default_rng([_STREAM, seeds])
    draws = -(-DRAWS // units)
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=(draws, units)) / seeds


def t_interval(values: Floats) -> tuple[float | None, float | None]:
    """Return the 95 % t interval of the mean over seeds, (S,); None below `T_SEEDS` seeds.

    It covers the seeds alone: the test set is taken as given.
    """
    if len(values) < T_SEEDS:
        return None, None
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error  # the quantile of Student's t
    return float(values.mean()) - half, float(values.mean()) + half


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
    parts = ["Brackets: 95 % percentile bootstrap intervals."]
    if max(seeds) > 1:
        parts.append(
            "n > 1: two levels, seeds drawn with replacement (their spread widened by Student's t for n "
            f"seeds), then one of {replicates:,} resamples of the {pool} shared by all methods; covers "
            f"{varies} and the choice of test units."
        )
    if min(seeds) == 1:
        parts.append(
            f"n = 1: {replicates:,} resamples of the {pool}; covers the choice of test units alone, "
            "not seeds."
        )
    parts.append(f"Not covered: {fixed}.")
    return " ".join(parts)
