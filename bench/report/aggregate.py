"""Scores over tasks without units: interquartile means, and how often one method beats another.

As in "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021): runs are
resampled within each task (stratified bootstrap), tasks are taken as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from bench.report.draws import interval, t_ratio
from bench.report.stats import Floats

DRAWS = 1_000
_STREAM = 20_240_602  # a constant, so that reports are reproducible


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One number over tasks and seeds; no interval from single seeds."""

    value: float
    low: float | None  # 95 % interval over seeds
    high: float | None


def interquartile_mean(scores: Sequence[Floats]) -> Aggregate:
    """Return the mean of the middle half of all runs of all tasks.

    The deviations of resampled means from their centre are widened by sqrt(S / (S - 1)) for S seeds (the
    fewest of any task) and by the quantile of Student's t with one degree of freedom less than there are runs
    in each task, without which a bootstrap of few runs is too narrow (design choice).

    Args:
        scores: per task, one per seed, (S,); comparable between tasks.
    """
    point = round(float(_middle(np.concatenate(scores)[None])[0]), 12) + 0.0  # no -8e-17 for scratch
    seeds = min(map(len, scores))
    if seeds < 2:
        return Aggregate(value=point, low=None, high=None)
    drawn = [task[_resamples(i, len(task))] for i, task in enumerate(scores)]
    return _widened(point, _middle(np.concatenate(drawn, axis=1)), list(map(len, scores)))


def _middle(values: Floats) -> Floats:
    """Return 25 % trimmed means along the last axis, (K, N) to (K,)."""
    count = values.shape[-1]
    cut = count // 4
    middle: Floats = np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1)
    return middle


def improvement(first: Sequence[Sequence[Floats]], second: Sequence[Sequence[Floats]]) -> Aggregate:
    """Return the share of pairs of runs in which the first method beats the second; ties count half.

    Args:
        first: per task, per budget, one score per seed, higher is better; averaged over budgets first.
        second: the same tasks and budgets.
    """
    shares, drawn, stratum = [], np.zeros(DRAWS), 0
    for ours, theirs in zip(first, second, strict=True):
        wins = [(a[:, None] > b) + (a[:, None] == b) / 2 for a, b in zip(ours, theirs, strict=True)]  # (S, S)
        shares.append(sum(float(won.mean()) for won in wins) / len(wins))
        for won in wins:
            weights = _shares(stratum, len(won)), _shares(stratum + 1, won.shape[1])
            drawn += np.einsum("ks,ks->k", weights[0] @ won, weights[1]) / (len(first) * len(wins))
            stratum += 2
    total = sum(shares) / len(shares)
    seeds = [len(scores) for method in (first, second) for task in method for scores in task]
    if min(seeds) < 2:
        return Aggregate(value=total, low=None, high=None)
    found = _widened(total, drawn, seeds)
    assert found.low is not None and found.high is not None
    return Aggregate(value=total, low=max(0.0, found.low), high=min(1.0, found.high))


def _widened(point: float, drawn: Floats, seeds: Sequence[int]) -> Aggregate:
    wider = sqrt(min(seeds) / (min(seeds) - 1)) * t_ratio(sum(seeds) - len(seeds))
    centre = drawn.mean()
    low, high = interval(centre + wider * (drawn - centre))
    return Aggregate(value=point, low=min(low, point), high=max(high, point))


@lru_cache(maxsize=512)
def _resamples(stratum: int, seeds: int) -> NDArray[np.intp]:
    """Return positions of runs drawn with replacement, (K, S); each stratum has draws of its own."""
    rng = np.random.default_rng([_STREAM, stratum, seeds])
    return rng.integers(0, seeds, (DRAWS, seeds))


@lru_cache(maxsize=512)
def _shares(stratum: int, seeds: int) -> Floats:
    """Return the share of each run in every draw, (K, S)."""
    shares: Floats = (_resamples(stratum, seeds)[:, :, None] == np.arange(seeds)).mean(axis=1)
    return shares
