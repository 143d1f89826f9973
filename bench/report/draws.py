"""Joint draws of mean scores, for what is computed from several of them: S seeds, B replicates, K draws.

A draw takes seeds with replacement and one resample of the test units, the same for all scores: what they
share moves them together. All results are deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from bench.report.stats import LEVEL, Floats

DRAWS = 1_000  # K; records hold as many resamples
_STREAM = 20_240_601  # of the seed resampling; a constant, so that reports are reproducible


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """One score that is a mean over seeds."""

    values: Floats  # (S,)
    replicates: Floats | None  # (S, B); None: test units are taken as given


def draw_means(runs: Sequence[Runs], units: int = 0) -> list[Floats] | None:
    """Draw the means of several scores together.

    Deviations of seeds are widened by sqrt(S / (S - 1)), which makes their variance unbiased, and by the
    ratio of the quantiles of Student's t (S - 1 degrees of freedom) and the normal distribution, since few
    seeds are a poor sample of all seeds; those of test units likewise for G units. Seeds deviate partly by
    the noise of the units under them, which the resampled units hold already; the share of it in all runs
    together is taken out.

    Args:
        runs: scores; equal numbers of seeds are drawn alike, in the order of the values.
        units: G, how many test units there are; 0 = not known, taken as many.

    Returns:
        (K,) per score, or None where nothing varies: one seed and no replicates.
    """
    count = min((run.replicates.shape[1] for run in runs if run.replicates is not None), default=0)
    count = count if count > 1 else 0
    if not count and max(len(run.values) for run in runs) == 1:
        return None
    alike: dict[tuple[int, bool], list[int]] = {}
    for i, run in enumerate(runs):
        alike.setdefault((len(run.values), run.replicates is not None and count > 0), []).append(i)
    drawn = np.empty((len(runs), DRAWS))
    parts = []
    for (seeds, resampled), places in alike.items():
        values = np.stack([runs[i].values for i in places])  # (n, S)
        mean = values.mean(axis=1)
        of_units, noise = np.zeros((len(places), DRAWS)), 0.0
        if resampled:
            of_units, noise = _of_units([runs[i].replicates for i in places], count, units)
        drawn[places] = mean[:, None] + of_units
        if seeds > 1:
            parts.append((seeds, places, (values - mean[:, None]).T, noise))
    spread = sum(float((deviations**2).sum()) / (seeds - 1) for seeds, _, deviations, _ in parts)
    own = max(0.0, 1 - sum(part[3] for part in parts) / spread) if spread else 0.0
    for seeds, places, deviations, _ in parts:
        drawn[places] += sqrt(own) * draw_seeds(deviations, _shares(seeds)).T
    return list(drawn)


def _of_units(replicates: Sequence[Floats | None], count: int, units: int) -> tuple[Floats, float]:
    """Return deviations of resampled test units, (n, K), and the noise of units in the seeds' variances."""
    stacked = np.stack([drawn[:, :count] for drawn in replicates if drawn is not None])  # (n, S, B)
    stacked -= stacked.mean(axis=2, keepdims=True)
    seeds = stacked.shape[1]
    centre = stacked.mean(axis=1)
    alone, shared = float((stacked**2).sum()) / seeds, float((centre**2).sum())
    noise = max(0.0, alone - shared) / (count - 1) * seeds / (seeds - 1) if seeds > 1 else 0.0
    wider = sqrt(units / (units - 1)) * t_ratio(units - 1) if units > 1 else 1.0
    return wider * np.tile(centre, (1, -(-DRAWS // count)))[:, :DRAWS], noise


def draw_seeds(deviations: Floats, shares: Floats) -> Floats:
    """Return mean deviations of seeds drawn with replacement, widened as in `draw_means`.

    Args:
        deviations: from the mean over all seeds, (S, ...).
        shares: of each seed in every draw, (K, S).
    """
    seeds = len(deviations)
    drawn: Floats = np.tensordot(shares, deviations, axes=1)
    return sqrt(seeds / (seeds - 1)) * t_ratio(seeds - 1) * drawn


def interval(drawn: Floats) -> tuple[float, float]:
    """Return the 95 % percentile interval of draws, (K,), which may be infinite."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], method="nearest")
    return float(low), float(high)


def intervals(drawn: Floats, weights: Floats) -> tuple[list[float], list[float]]:
    """Return the ends of the 95 % percentile intervals of weighted draws, which may be infinite.

    Args:
        drawn: of R numbers, (K, R).
        weights: of the draws, (K,).
    """
    order = np.argsort(drawn, axis=0)
    below = np.cumsum(weights[order], axis=0)
    total, tail = weights.sum(), (1 - LEVEL) / 2
    ends = (below < [[tail * total]]).sum(axis=0), (below < [[(1 - tail) * total]]).sum(axis=0)
    low, high = (
        np.take_along_axis(drawn, np.take_along_axis(order, end[None], axis=0), axis=0)[0] for end in ends
    )
    return low.tolist(), high.tolist()


@lru_cache(maxsize=256)
def t_ratio(df: int) -> float:
    """Return the 97.5 % quantile of Student's t over that of the normal distribution."""
    return float(stdtrit(df, (1 + LEVEL) / 2) / ndtri((1 + LEVEL) / 2))


@lru_cache(maxsize=32)
def _shares(seeds: int) -> Floats:
    """Return the share of each seed in draws with replacement, (K, S)."""
    rng = np.random.default_rng([_STREAM, seeds])
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS) / seeds


@lru_cache(maxsize=32)
def all_draws(seeds: int) -> tuple[Floats, Floats]:
    """Return all ways to draw seeds with replacement, or `DRAWS` of them at random where there are more.

    Returns:
        The share of each seed in every draw, (K, S), and the weights of the draws, (K,).
    """
    if comb(2 * seeds - 1, seeds) > DRAWS:
        return _shares(seeds), np.ones(DRAWS)
    drawn = np.array(list(combinations_with_replacement(range(seeds), seeds)))
    counts: NDArray[np.int64] = (drawn[:, :, None] == np.arange(seeds)).sum(axis=1)
    ways = np.array([factorial(seeds) / np.prod([factorial(c) for c in row]) for row in counts.tolist()])
    return counts / seeds, ways
