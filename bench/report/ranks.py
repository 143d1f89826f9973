"""Ranks over tasks: N tasks, k methods.

Sources: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets" (JMLR 7, 2006); Benavoli,
Corani and Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?" (JMLR 17, 2016).

The tests stand here, since importing `scipy.stats` takes longer than all they do; they agree with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, pi, sqrt

import numpy as np
from scipy.special import fdtrc, ndtr

from bench.report.comparisons import holm
from bench.report.stats import LEVEL, RISK, Floats

MIN_METHODS = 3  # for a Friedman test
MIN_TASKS = 5
MIN_PAIRED_TASKS = 6  # with 5 tasks the smallest two-sided Wilcoxon p is 0.0625


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Average ranks and what they allow to say; in the order of the methods."""

    average: tuple[float, ...]  # 1 is best
    tasks: int  # N
    friedman: float | None  # F statistic (Iman and Davenport's correction); may be infinite
    friedman_p: float | None
    critical_difference: float | None  # Nemenyi, at 0.05
    reason: str  # why there is no critical difference; "" where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """Wilcoxon signed-rank test of two methods over tasks."""

    first: int  # positions of the methods
    second: int
    p: float  # two-sided, exact
    p_holm: float  # corrected for all pairs


def rank_methods(scores: Sequence[Floats]) -> Ranks:
    """Rank methods per budget, average over the budgets of a task first, then over tasks.

    The Friedman test ranks these averages anew within each task. Averages of several budgets scatter less
    than the ranks that Nemenyi's critical difference assumes, so that it is conservative for them.

    Args:
        scores: per task, (budgets, k), higher is better.
    """
    per_task = np.stack([np.mean([_ranks(row) for row in table], axis=0) for table in scores])  # (N, k)
    tasks, methods = per_task.shape
    average = tuple(per_task.mean(axis=0).tolist())
    lacks = [
        f"{MIN_METHODS} methods (here {methods})" if methods < MIN_METHODS else "",
        f"{MIN_TASKS} tasks (here {tasks})" if tasks < MIN_TASKS else "",
    ]
    if any(lacks):
        reason = f"it needs at least {' and '.join(filter(None, lacks))}"
        return _ranked(average, tasks, None, None, None, reason)
    statistic, p = _friedman(per_task)
    if p >= RISK:
        reason = f"the Friedman test finds no difference between the methods (p = {p:.2g})"
        return _ranked(average, tasks, statistic, p, None, reason)
    return _ranked(average, tasks, statistic, p, critical_difference(methods, tasks), "")


def _ranked(
    average: tuple[float, ...],
    tasks: int,
    friedman: float | None,
    p: float | None,
    critical: float | None,
    reason: str,
) -> Ranks:
    return Ranks(
        average=average,
        tasks=tasks,
        friedman=friedman,
        friedman_p=p,
        critical_difference=critical,
        reason=reason,
    )


def _ranks(scores: Floats) -> Floats:
    """Rank from best = 1; ties get mean ranks, (k,)."""
    better = (scores > scores[:, None]).sum(axis=1)
    equal = (scores == scores[:, None]).sum(axis=1)
    ranks: Floats = better + (equal + 1) / 2
    return ranks


def _friedman(per_task: Floats) -> tuple[float, float]:
    tasks, methods = per_task.shape
    centred = np.stack([_ranks(row) for row in per_task]) - (methods + 1) / 2
    if not centred.any():
        return 0.0, 1.0  # all tied in every task
    chi2 = (methods - 1) * float((centred.sum(axis=0) ** 2).sum() / (centred**2).sum())  # ties included
    rest = tasks * (methods - 1) - chi2
    if rest <= 1e-9 * chi2:
        return inf, 0.0  # the same order in every task
    statistic = (tasks - 1) * chi2 / rest
    return statistic, float(fdtrc(methods - 1, (methods - 1) * (tasks - 1), statistic))


def critical_difference(methods: int, tasks: int) -> float:
    """Return the difference of average ranks from which two methods differ at 0.05 (Nemenyi).

    >>> round(critical_difference(8, 10), 2)
    3.32
    """
    return _range_quantile(methods) / sqrt(2) * sqrt(methods * (methods + 1) / (6 * tasks))


def _range_quantile(count: int) -> float:
    """Return which range `count` standard normal numbers stay within with probability `LEVEL`."""
    smallest = np.linspace(-9.0, 9.0, 1801)
    density = count * np.exp(-(smallest**2) / 2) / sqrt(2 * pi) * (smallest[1] - smallest[0])
    low, high = 0.0, 20.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        others = (ndtr(smallest + middle) - ndtr(smallest)) ** (count - 1)  # above it, by at most `middle`
        low, high = (middle, high) if float(density @ others) < LEVEL else (low, middle)
    return low


def cliques(average: Sequence[float], critical: float) -> list[tuple[float, float]]:
    """Return the widest ranges of average ranks within one critical difference that hold several methods.

    >>> cliques([1.0, 1.5, 2.2, 4.0], 1.0)
    [(1.0, 1.5), (1.5, 2.2)]
    """
    ranks = sorted(average)
    ends = [max(r for r in ranks if r - low <= critical) for low in ranks]
    spans = [(low, high) for low, high in zip(ranks, ends, strict=True) if high > low]
    kept: list[tuple[float, float]] = []
    for low, high in spans:
        if not kept or high > kept[-1][1]:
            kept.append((low, high))
    return kept


def paired_tests(scores: Floats) -> tuple[PairTest, ...]:
    """Test all pairs of methods over tasks.

    Args:
        scores: one comparable number per task and method, (N, k), N at least `MIN_PAIRED_TASKS`.
    """
    found = list(combinations(range(scores.shape[1]), 2))
    differences = [scores[:, i] - scores[:, j] for i, j in found]
    p = [_signed_rank_p(d) for d in differences]
    corrected = holm(p)
    return tuple(
        PairTest(first=i, second=j, p=value, p_holm=1.0 if c is None else c)
        for (i, j), value, c in zip(found, p, corrected, strict=True)
    )


def _signed_rank_p(differences: Floats) -> float:
    """Return the two-sided p of Wilcoxon's test, from all signs that the ranks could have; zeros are dropped.

    Twice the ranks are whole numbers also with ties, so that their sums can be counted.
    """
    kept = differences[differences != 0]
    twice = np.rint(2 * _ranks(-np.abs(kept))).astype(np.int64)
    chance = np.zeros(1 + int(twice.sum()))  # of each sum of the positive ones
    chance[0] = 1.0
    for rank in twice.tolist():
        chance[rank:] += chance[:-rank].copy()
        chance /= 2
    positive = int(twice[kept > 0].sum())
    tails = chance[: positive + 1].sum(), chance[positive:].sum()
    return min(1.0, 2 * float(min(tails)))
