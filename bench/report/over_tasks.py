"""Methods over tasks: which of them can be compared there, and what comes out.

One comparison per preset, track, mode, protocol and encoder. Nothing is imputed, nothing averages numbers of
unlike units: ranks, normalised scores, shares of won runs and ratios of errors are used, on the tasks that
all compared methods have.

Sources: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets" (JMLR 7, 2006); Benavoli,
Corani and Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?" (JMLR 17, 2016); Agarwal et
al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021), whose stratified
bootstrap resamples runs within each task and takes tasks as given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import inf, sqrt
from typing import Any

import numpy as np
import pandas as pd
import scipy  # loads `scipy.stats`, which takes longer than a small report, when it is first used

from bench.report.bootstrap import DRAWS, Aggregate, resamples, stratum_weights, widened
from bench.report.budget import parse
from bench.report.intervals import LEVEL, RISK, holm
from bench.report.records import SCRATCH, SETTING, Floats, grouped, tuples
from bench.report.text import listed

FULL = "imagenet"  # the method whose normalised score is 1 where there are no bounds; scratch has 0
MIN_METHODS = 3  # for a Friedman test
MIN_TASKS = 5
MIN_PAIRED_TASKS = 6  # with 5 tasks the smallest two-sided Wilcoxon p is 0.0625

OVER_TASKS = (
    *SETTING, "encoder", "method", "tasks", "n_tasks", "n_cells", "seeds_min", "seeds_max", "average_rank",
    "friedman_p", "critical_difference", "normalised", "normalised_low", "normalised_high", "references",
    "improvement", "improvement_low", "improvement_high", "not_compared",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Average ranks and what they allow to say; in the order of the methods."""

    average: tuple[float, ...]  # 1 is best
    tasks: int
    friedman: float | None = None  # F statistic (Iman and Davenport's correction); may be infinite
    friedman_p: float | None = None
    critical_difference: float | None = None  # Nemenyi, at 0.05
    reason: str  # why there is no critical difference; "" where there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """Wilcoxon signed-rank test of two methods over tasks."""

    first: int  # positions of the methods
    second: int
    p: float  # two-sided
    p_holm: float  # corrected for all pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """How often one method's run beats one of the reference, over all tasks and pairs of seeds."""

    method: str
    reference: str
    share: Aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """What can be said over tasks about the methods of one encoder."""

    setting: tuple[str, str, str, str]  # preset, track, mode, protocol
    encoder: str
    all_tasks: tuple[str, ...]  # with a record of this encoder
    tasks: tuple[str, ...]  # that all `methods` have completely: the common subset
    cells: int  # (task, budget) pairs in it
    seeds: tuple[int, int]  # fewest and most per cell
    methods: tuple[str, ...]  # scratch first
    left_out: tuple[tuple[str, str], ...]  # method, why
    exposed: tuple[str, ...]  # methods whose pretraining has seen test data of one of the tasks
    ranks: Ranks | None
    ranks_reason: str  # why there are none
    normalised: tuple[Aggregate, ...] | None  # by method
    normalised_ends: tuple[str, str]  # what 0 and 1 are: floor and ceiling, or scratch and imagenet
    normalised_reason: str  # why there are none
    guarded: tuple[str, ...]  # cells where scratch and imagenet are too close to normalise by
    improvements: tuple[Improvement, ...]
    paired: tuple[PairTest, ...]  # over tasks
    paired_reason: str  # why there are none

    @property
    def key(self) -> dict[str, str]:
        """Return the setting by name."""
        return dict(zip(SETTING, self.setting, strict=True))


def over_tasks(cells: pd.DataFrame, runs: pd.DataFrame, references: Sequence[str]) -> tuple[Overall, ...]:
    """Compare the methods of every setting and encoder over tasks.

    Args:
        cells: of `leaderboard`.
        runs: of `leaderboard`; of several tables about one task and data set, that of the newest record
            counts. A task has one table per kind of budget, which count as its budgets.
        references: methods to state the probability of improvement over, scratch first.
    """
    primary = cells[cells["primary"]].assign(place=lambda frame: frame["task"] + " on " + frame["dataset"])
    newest = runs.groupby("table")["created"].max()
    primary = primary.assign(newest=primary["table"].map(newest)).sort_values(
        ["newest", "table"], kind="stable"
    )
    last = primary.groupby([*SETTING, "encoder", "place", "budgets"])["table"].transform("last")
    primary = primary[primary["table"] == last].sort_index()
    places: list[tuple[Any, pd.DataFrame]] = list(primary.groupby([*SETTING, "encoder"]))
    return tuple(_overall(place, part, references) for place, part in places)


def _overall(place: Sequence[Any], cells: pd.DataFrame, references: Sequence[str]) -> Overall:
    methods = dict(zip(cells["name"], cells["method"], strict=True))
    why = {name: reason for name in methods if (reason := _unfit(name, cells))}
    chosen = sorted((name for name in methods if name not in why), key=lambda n: (methods[n] != SCRATCH, n))
    ranked = cells[cells["ranked"] & cells["name"].isin(chosen)]
    holders = ranked.groupby(["place", "budgets"])["name"].transform("nunique")
    ranked = ranked[holders == len(chosen)]
    tasks = sorted(set(map(str, ranked["place"])))
    reason = ""
    if len(chosen) < 2:
        reason = "fewer than two methods are complete"
    elif len(tasks) < 2:
        reason = "fewer than two tasks are common to all of them"
    grid = _Grid(ranked, chosen, methods)
    bounded = not reason and _bounded(grid)
    normalised, normalised_reason, guarded = (None, reason, ()) if reason else _normalised(grid, bounded)
    paired, paired_reason = ((), reason) if reason else _paired(grid)
    return Overall(
        setting=(place[0], place[1], place[2], place[3]),
        encoder=place[4],
        all_tasks=tuple(sorted(set(map(str, cells["place"])))),
        tasks=tuple(tasks),
        cells=len(ranked[["place", "fraction"]].drop_duplicates()),
        seeds=(int(ranked["n"].min()), int(ranked["n"].max())) if len(ranked) else (0, 0),
        methods=tuple(chosen),
        left_out=tuple(sorted(why.items())),
        exposed=tuple(n for n in chosen if (ranked["exposure"][ranked["name"] == n] != "none").any()),
        ranks=None if reason else rank_methods([part.to_numpy() for part in grid.means]),
        ranks_reason=reason,
        normalised=normalised,
        normalised_ends=("floor", "ceiling") if bounded else (SCRATCH, FULL),
        normalised_reason=normalised_reason,
        guarded=guarded,
        improvements=() if reason else tuple(_improvements(grid, references)),
        paired=paired,
        paired_reason=paired_reason,
    )


def _unfit(name: str, cells: pd.DataFrame) -> str:
    """Return why a method cannot be compared over tasks, "" where it can.

    It needs more than half of the tasks that more than half of the methods have.
    """
    own = cells[cells["name"] == name]
    lacking = sorted(set(own["place"][~own["complete"]]))
    if lacking:
        return f"incomplete in {listed(lacking)}"
    holders = cells[cells["complete"]].groupby("place")["name"].nunique()
    usual = set(holders.index[2 * holders > cells["name"].nunique()])
    count = len(usual & set(own["place"]))
    return f"only {count} of the {len(usual)} tasks that most methods have" if 2 * count <= len(usual) else ""


@dataclass(frozen=True)
class _Grid:
    """The complete grid: task x method, each with the same budgets; scores are higher where better."""

    cells: pd.DataFrame
    chosen: Sequence[str]  # names
    methods: Mapping[str, str]  # by name

    @cached_property
    def tasks(self) -> list[tuple[str, dict[str, list[Any]]]]:
        """Return the cells of each task by name, budgets ascending."""
        return [
            (task, {name: rows[name] for name in self.chosen})
            for task, cells in sorted(grouped(tuples(self.cells), "place").items())
            if (rows := grouped(cells, "name"))
        ]

    @cached_property
    def means(self) -> list[pd.DataFrame]:
        """Return the mean scores of each task, (budgets, methods)."""
        return [
            pd.DataFrame({name: [sign(cell) * cell.mean for cell in row] for name, row in rows.items()})
            for _, rows in self.tasks
        ]

    def of(self, method: str) -> list[str]:
        """Return the names of a method."""
        return [name for name in self.chosen if self.methods[name] == method]


def sign(cell: Any) -> int:
    """Return 1 where higher is better, else -1."""
    return 1 if cell.higher_is_better else -1


def rank_methods(scores: Sequence[Floats]) -> Ranks:
    """Rank methods per budget, average over the budgets of a task first, then over tasks.

    The Friedman test ranks these averages anew within each task. Averages of several budgets scatter less
    than the ranks that Nemenyi's critical difference assumes, so that it is conservative for them.

    Args:
        scores: per task, (budgets, k), higher is better.
    """
    per_task = np.stack([_ranks(table).mean(axis=0) for table in scores])  # (tasks, k)
    tasks, methods = per_task.shape
    average = tuple(per_task.mean(axis=0).tolist())
    lacks = [f"{MIN_METHODS} methods (here {methods})"] if methods < MIN_METHODS else []
    lacks += [f"{MIN_TASKS} tasks (here {tasks})"] if tasks < MIN_TASKS else []
    if lacks:
        return Ranks(average=average, tasks=tasks, reason=f"it needs at least {' and '.join(lacks)}")
    statistic, p = friedman(per_task)
    differs = p < RISK
    return Ranks(
        average=average,
        tasks=tasks,
        friedman=statistic,
        friedman_p=p,
        critical_difference=critical_difference(methods, tasks) if differs else None,
        reason="" if differs else f"the Friedman test finds no difference between the methods (p = {p:.2g})",
    )


def _ranks(scores: Floats) -> Floats:
    """Rank the scores of each row, 1 = highest, ties sharing the mean: `rankdata` without `scipy.stats`."""
    above, equal = (
        compare(scores[:, None], scores[:, :, None]).sum(-1) for compare in (np.greater, np.equal)
    )
    ranks: Floats = above + (equal + 1) / 2
    return ranks


def friedman(values: Floats) -> tuple[float, float]:
    """Return statistic and p of Friedman's test with Iman and Davenport's correction, (tasks, k)."""
    tasks, methods = values.shape
    if (values == values[:, :1]).all():
        return 0.0, 1.0
    chi2 = float(scipy.stats.friedmanchisquare(*values.T).statistic)
    rest = tasks * (methods - 1) - chi2
    if rest < 1e-9:  # all tasks agree
        return inf, 0.0
    statistic = (tasks - 1) * chi2 / rest
    return statistic, float(scipy.stats.f.sf(statistic, methods - 1, (methods - 1) * (tasks - 1)))


def critical_difference(methods: int, tasks: int) -> float:
    """Return the difference of average ranks from which two methods differ at 0.05 (Nemenyi).

    >>> round(critical_difference(8, 10), 2)
    3.32
    """
    quantile = float(scipy.stats.studentized_range.ppf(LEVEL, methods, inf)) / sqrt(2)
    return quantile * sqrt(methods * (methods + 1) / (6 * tasks))


def paired_tests(scores: Floats) -> tuple[PairTest, ...]:
    """Test all pairs of methods over tasks (Wilcoxon), with Holm's correction.

    Args:
        scores: one comparable number per task and method, (tasks, k).
    """
    pairs = list(combinations(range(scores.shape[1]), 2))
    p = []
    for i, j in pairs:
        differences = scores[:, i] - scores[:, j]
        kept = differences[differences != 0]
        p.append(float(scipy.stats.wilcoxon(kept).pvalue) if kept.size else 1.0)
    return tuple(
        PairTest(first=i, second=j, p=value, p_holm=corrected or 0.0)
        for (i, j), value, corrected in zip(pairs, p, holm(p), strict=True)
    )


def _paired(grid: _Grid) -> tuple[tuple[PairTest, ...], str]:
    """Test all pairs over tasks by the mean log error over budgets, which has no unit."""
    if len(grid.tasks) < MIN_PAIRED_TASKS:
        few = f"{MIN_PAIRED_TASKS} tasks (here {len(grid.tasks)}): with 5 the smallest p is 0.0625"
        return (), f"it needs at least {few}"
    rows = []
    for task, cells in grid.tasks:
        first = cells[grid.chosen[0]][0]
        ceiling = {"%": 100.0, "": 1.0}.get(first.unit, 0.0)  # an error is what lacks to it
        errors = np.array([
            [ceiling - cell.mean if first.higher_is_better else cell.mean for cell in row]
            for row in cells.values()
        ])  # fmt: skip
        if errors.min() <= 0:
            return (), f"{first.metric} of {task} cannot be read as an error above 0"
        rows.append(-np.log(errors).mean(axis=1))
    return paired_tests(np.array(rows)), ""


def _bounded(grid: _Grid) -> bool:
    """Say whether floor and ceiling of all cells are known and apart."""
    cells = (cell for _, rows in grid.tasks for row in rows.values() for cell in row)
    return all(sign(cell) * (cell.ceiling - cell.floor) > 0 for cell in cells)


def _normalised(grid: _Grid, bounded: bool) -> tuple[tuple[Aggregate, ...] | None, str, tuple[str, ...]]:
    """Return scores that are 0 at the low and 1 at the high end of each cell.

    The ends are floor and ceiling of `bounded` cells, else the means of scratch and imagenet; cells where
    these two are close are left out.

    Returns:
        The scores, or None and why there are none; and the cells that are left out.
    """
    none = "the methods have no seed in common in any task"
    if not bounded:
        none = f"{SCRATCH} and {FULL} differ by less than twice the seed deviation in all cells"
        for name in (SCRATCH, FULL):
            found = len(grid.of(name))
            if found != 1:
                number = f"{found} rows" if found else "no complete row"
                needs = f"it needs one row of {SCRATCH} (0) and one of {FULL} (1)"
                return None, f"{needs}; {name} has {number}", ()
    scores: dict[str, list[Floats]] = {name: [] for name in grid.chosen}  # per task, (S,)
    guarded = []
    for task, rows in grid.tasks:
        kept: list[dict[str, tuple[Any, float, float]]] = []  # by budget and name: a cell and its ends
        for cells in zip(*rows.values(), strict=True):
            own = dict(zip(rows, cells, strict=True))
            if bounded:
                kept.append({name: (cell, cell.floor, cell.ceiling) for name, cell in own.items()})
                continue
            low, high = (own[grid.of(name)[0]] for name in (SCRATCH, FULL))
            if _apart(low, high):
                kept.append({name: (cell, low.mean, high.mean) for name, cell in own.items()})
            else:
                guarded.append(f"{task}, {parse(low.fraction).header}")
        seeds = [set(cell.seeds) for budget in kept for cell, *_ in budget.values()]
        if common := sorted(set.intersection(*seeds)) if seeds else []:
            for name in grid.chosen:
                ends = [budget[name] for budget in kept]
                by_budget = [(_by_seed(cell, common) - low) / (high - low) for cell, low, high in ends]
                scores[name].append(np.mean(by_budget, axis=0))
    if not scores[grid.chosen[0]]:
        return None, none, ()
    return tuple(interquartile_mean(tasks) for tasks in scores.values()), "", tuple(guarded)


def _apart(scratch: Any, full: Any) -> bool:
    """Say whether the ends are at least two pooled seed deviations apart; without deviations they are not."""
    gap = abs(full.mean - scratch.mean)
    return bool(gap > 0 and gap >= 2 * np.sqrt((scratch.sd**2 + full.sd**2) / 2))  # one seed: NaN


def _by_seed(cell: Any, seeds: Sequence[int]) -> Floats:
    """Return one value per seed, the mean where a seed has several subsets."""
    by_seed = pd.Series(cell.values).groupby(np.array(cell.seeds)).mean()
    values: Floats = by_seed.loc[[*seeds]].to_numpy()
    return values


def interquartile_mean(scores: Sequence[Floats]) -> Aggregate:
    """Return the mean of the middle half of all runs of all tasks.

    Args:
        scores: per task, one per seed, (S,); comparable between tasks.
    """
    point = round(float(scipy.stats.trim_mean(np.concatenate(scores), 0.25)), 12) + 0.0  # no -8e-17
    sizes = [len(task) for task in scores]
    if min(sizes) < 2:
        return Aggregate(value=point, low=None, high=None)
    drawn = [task[resamples(i, len(task))] for i, task in enumerate(scores)]
    return widened(point, scipy.stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1), sizes)


def improvement(first: Sequence[Sequence[Floats]], second: Sequence[Sequence[Floats]]) -> Aggregate:
    """Return the share of pairs of runs in which the first method beats the second; ties count half.

    Args:
        first: per task, per budget, one score per seed, higher is better; averaged over budgets first.
        second: the same tasks and budgets.
    """
    shares, drawn, stratum = [], np.zeros(DRAWS), 0
    for ours, theirs in zip(first, second, strict=True):
        wins = [(a[:, None] > b) + (a[:, None] == b) / 2 for a, b in zip(ours, theirs, strict=True)]  # (S, S)
        shares.append(np.mean([won.mean() for won in wins]))
        for won in wins:
            weights = stratum_weights(stratum, len(won)), stratum_weights(stratum + 1, won.shape[1])
            drawn += np.einsum("ks,ks->k", weights[0] @ won, weights[1]) / (len(first) * len(wins))
            stratum += 2
    total = float(np.mean(shares))
    seeds = [len(scores) for method in (first, second) for task in method for scores in task]
    if min(seeds) < 2:
        return Aggregate(value=total, low=None, high=None)
    found = widened(total, drawn, seeds)
    assert found.low is not None and found.high is not None
    return Aggregate(value=total, low=max(0.0, found.low), high=min(1.0, found.high))


def _improvements(grid: _Grid, references: Sequence[str]) -> Iterator[Improvement]:
    scores = {
        name: [[sign(cell) * np.array(cell.values) for cell in rows[name]] for _, rows in grid.tasks]
        for name in grid.chosen
    }
    for reference in (name for method in references for name in grid.of(method)):
        for name in grid.chosen:
            if name != reference:
                share = improvement(scores[name], scores[reference])
                yield Improvement(method=name, reference=reference, share=share)


def frame(overall: Sequence[Overall]) -> pd.DataFrame:
    """Return one row per encoder and method, those that are not compared included."""
    found = pd.DataFrame([row for part in overall for row in _rows(part)], columns=[*OVER_TASKS])
    numbers = ["average_rank", "friedman_p", "critical_difference"]
    numbers += ["normalised", "normalised_low", "normalised_high"]
    return found.astype(dict.fromkeys(numbers, float))


def _rows(found: Overall) -> Iterator[dict[str, Any]]:
    won = {(i.method, i.reference): i.share for i in found.improvements}
    references = list(dict.fromkeys(i.reference for i in found.improvements))
    nothing = Aggregate(value=np.nan, low=None, high=None)
    for i, name in enumerate((*found.methods, *(name for name, _ in found.left_out))):
        ranked = found.ranks is not None and i < len(found.methods)
        scores = found.normalised[i] if found.normalised and ranked else nothing
        shares = [won.get((name, reference)) for reference in references] if ranked else []
        yield {
            **dict(zip(SETTING, found.setting, strict=True)),
            "encoder": found.encoder,
            "method": name,
            "tasks": found.tasks,
            "n_tasks": len(found.tasks),
            "n_cells": found.cells,
            "seeds_min": found.seeds[0],
            "seeds_max": found.seeds[1],
            "average_rank": found.ranks.average[i] if found.ranks and ranked else None,
            "friedman_p": found.ranks.friedman_p if found.ranks else None,
            "critical_difference": found.ranks.critical_difference if found.ranks else None,
            "normalised": scores.value,
            "normalised_low": scores.low,
            "normalised_high": scores.high,
            "references": tuple(references),
            "improvement": tuple(share.value if share else None for share in shares),
            "improvement_low": tuple(share.low if share else None for share in shares),
            "improvement_high": tuple(share.high if share else None for share in shares),
            "not_compared": dict(found.left_out).get(name, found.ranks_reason),
        }
