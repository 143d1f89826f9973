"""Resampled seeds and test units, for what is no plain mean: savings, and scores over tasks.

S seeds, B replicates, K draws. All results are deterministic. A bootstrap of few seeds is too narrow; here
deviations are widened by sqrt(S / (S - 1)), which makes their variance unbiased, and by the ratio of the
quantiles of Student's t and the normal distribution (design choice; `tests` check the coverage). That, and
one resample of test units for all scores of a draw, is what `scipy.stats.bootstrap` and `arch` lack.
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

from bench.report.intervals import LEVEL
from bench.report.records import Floats

DRAWS = 1_000  # K; records hold as many resamples
_JOINT, _STRATA = 20_240_601, 20_240_602  # random streams; constants, so that reports are reproducible


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """One score that is a mean over seeds."""

    values: Floats  # (S,)
    replicates: Floats | None  # (S, B); None: test units are taken as given


def t_ratio(df: int) -> float:
    """Return the 97.5 % quantile of Student's t over that of the normal distribution."""
    return float(stdtrit(df, (1 + LEVEL) / 2) / ndtri((1 + LEVEL) / 2))


def joint_draws(runs: Sequence[Runs], units: int = 0) -> list[Floats] | None:
    """Draw the means of several scores together: what they share, seeds and test units, moves them alike.

    Seeds deviate partly by the noise of the units under them, which the resampled units hold already; the
    share of it in all runs together is taken out.

    Args:
        runs: scores; equal numbers of seeds are drawn alike, in the order of the values.
        units: how many test units there are; 0 = not known, taken as many.

    Returns:
        (K,) per score, or None where nothing varies: one seed and no replicates.
    """
    count = min((run.replicates.shape[1] for run in runs if run.replicates is not None), default=0)
    count = count if count > 1 else 0
    if not count and max(len(run.values) for run in runs) == 1:
        return None
    drawn, spread, noise = [], 0.0, 0.0
    for run in runs:
        of_units = np.zeros(DRAWS)
        if count and run.replicates is not None:
            of_units, alone = _unit_draws(run.replicates[:, :count], units)
            noise += alone
        drawn.append(run.values.mean() + of_units)
        spread += float(run.values.var(ddof=1)) if len(run.values) > 1 else 0.0
    own = sqrt(max(0.0, 1 - noise / spread)) if spread else 0.0
    for i, run in enumerate(runs):
        if len(run.values) > 1:
            weights = _seed_weights(len(run.values))
            drawn[i] = drawn[i] + own * seed_draws(run.values - run.values.mean(), weights)
    return drawn


def _unit_draws(replicates: Floats, units: int) -> tuple[Floats, float]:
    """Return deviations of the mean on resampled test units, (K,), and their noise in the seeds' variance."""
    seeds, count = replicates.shape
    centre = replicates.mean(axis=0) - replicates.mean()
    noise = 0.0
    if seeds > 1:
        alone, shared = replicates.var(axis=1, ddof=1).mean(), centre @ centre / (count - 1)
        noise = (alone - shared) * seeds / (seeds - 1)
    wider = sqrt(units / (units - 1)) * t_ratio(units - 1) if units > 1 else 1.0
    return wider * np.resize(centre, DRAWS), float(noise)


def seed_draws(deviations: Floats, weights: Floats) -> Floats:
    """Return mean deviations of seeds drawn with replacement, widened.

    Args:
        deviations: from the mean over all seeds, (S, ...).
        weights: of each seed in every draw, (K, S).
    """
    seeds = len(deviations)
    drawn: Floats = np.tensordot(weights, deviations, axes=1)
    return sqrt(seeds / (seeds - 1)) * t_ratio(seeds - 1) * drawn


@lru_cache(maxsize=32)
def _seed_weights(seeds: int) -> Floats:
    """Return the share of each seed in draws with replacement, (K, S)."""
    rng = np.random.default_rng([_JOINT, seeds])
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS) / seeds


@lru_cache(maxsize=32)
def all_seed_weights(seeds: int) -> tuple[Floats, Floats]:
    """Return all ways to draw seeds with replacement, or `DRAWS` of them at random where there are more.

    Returns:
        The share of each seed in every draw, (K, S), and how often each draw occurs, (K,).
    """
    if comb(2 * seeds - 1, seeds) > DRAWS:
        return _seed_weights(seeds), np.ones(DRAWS)
    drawn = np.array(list(combinations_with_replacement(range(seeds), seeds)))
    counts: NDArray[np.int64] = (drawn[:, :, None] == np.arange(seeds)).sum(axis=1)
    ways = np.array([factorial(seeds) / np.prod([factorial(c) for c in row]) for row in counts.tolist()])
    return counts / seeds, ways


def percentiles(drawn: Floats, ways: Floats | None = None) -> tuple[float, float]:
    """Return the 95 % percentile interval of draws, which may be infinite.

    Args:
        drawn: (K,).
        ways: how often each occurs, (K,); None = equally often.
    """
    tail = (1 - LEVEL) / 2
    if ways is None:
        low, high = np.quantile(drawn, [tail, 1 - tail], method="nearest")
        return float(low), float(high)
    order = np.argsort(drawn)
    below = np.cumsum(ways[order])
    low, high = drawn[order][np.searchsorted(below, [tail * ways.sum(), (1 - tail) * ways.sum()])]
    return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One number over tasks and seeds; no interval from single seeds."""

    value: float
    low: float | None  # 95 % interval over seeds
    high: float | None


def widened(point: float, drawn: Floats, seeds: Sequence[int]) -> Aggregate:
    """Return the percentile interval of stratified draws, widened about their mean; it holds the point.

    Args:
        point: the estimate.
        drawn: (K,).
        seeds: how many there are in each stratum, at least 2.
    """
    wider = sqrt(min(seeds) / (min(seeds) - 1)) * t_ratio(sum(seeds) - len(seeds))
    low, high = percentiles(drawn.mean() + wider * (drawn - drawn.mean()))
    return Aggregate(value=point, low=min(low, point), high=max(high, point))


@lru_cache(maxsize=512)
def resamples(stratum: int, seeds: int) -> NDArray[np.intp]:
    """Return positions of runs drawn with replacement, (K, S); each stratum has draws of its own."""
    rng = np.random.default_rng([_STRATA, stratum, seeds])
    return rng.integers(0, seeds, (DRAWS, seeds))


@lru_cache(maxsize=512)
def stratum_weights(stratum: int, seeds: int) -> Floats:
    """Return the share of each run in every draw, (K, S)."""
    weights: Floats = (resamples(stratum, seeds)[:, :, None] == np.arange(seeds)).mean(axis=1)
    return weights
