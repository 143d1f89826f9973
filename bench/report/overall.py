"""Methods over tasks: which of them can be compared there, and what comes out.

One comparison per preset, track, mode, protocol and encoder. Nothing is imputed, nothing averages numbers of
unlike units: ranks, normalised scores, shares of won runs and ratios of errors are used, on the tasks that
all compared methods have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np

from bench.report.aggregate import Aggregate, improvement, interquartile_mean
from bench.report.budget import Budget
from bench.report.cells import SCRATCH, Cell, Identity, Row, names
from bench.report.ranks import MIN_PAIRED_TASKS, PairTest, Ranks, paired_tests, rank_methods
from bench.report.stats import Floats
from bench.report.tables import Table, TableKey
from bench.report.text import listed

FULL = "imagenet"  # the method whose normalised score is 1; scratch has 0
Setting = tuple[str, str, str, str]  # preset, track, mode, protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """How often one method's run beats one of the reference, over all tasks and pairs of seeds."""

    method: str
    reference: str
    share: Aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """What can be said over tasks about the methods of one encoder."""

    setting: Setting
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
    normalised: tuple[Aggregate, ...] | None  # by method: 0 = scratch, 1 = imagenet
    normalised_reason: str  # why there are none
    guarded: tuple[str, ...]  # cells where scratch and imagenet are too close to normalise by
    improvements: tuple[Improvement, ...]
    paired: tuple[PairTest, ...]  # Wilcoxon over tasks, of positions in `methods`
    paired_reason: str  # why there are none


Rows = dict[Identity, Row]  # by what identifies a method over tasks


def over_tasks(tables: Sequence[Table], references: Sequence[str]) -> tuple[Overall, ...]:
    """Compare the methods of every setting and encoder over tasks.

    Args:
        tables: all tables; of several about one task and data set, that of the newest record counts.
        references: methods to state the probability of improvement over, scratch first.
    """
    by_place: dict[tuple[Setting, str], dict[str, Table]] = defaultdict(dict)
    for table in sorted(tables, key=lambda t: max(r["created"] for r in t.records)):
        for group in table.groups:
            by_place[setting_of(table.key), group.encoder][_task(table.key)] = table
    return tuple(
        _overall(setting, encoder, by_place[setting, encoder], references)
        for setting, encoder in sorted(by_place)
    )


def setting_of(key: TableKey) -> Setting:
    """Return what tables must share to be looked at together."""
    return key.preset, key.track, key.mode, key.protocol


def _task(key: TableKey) -> str:
    return f"{key.task} on {key.dataset}"


def _overall(
    setting: Setting, encoder: str, tables: Mapping[str, Table], references: Sequence[str]
) -> Overall:
    complete, partial = _rows(encoder, tables)
    identities = dict.fromkeys(i for rows in (*complete.values(), *partial.values()) for i in rows)
    named = names(identities)
    why = {i: reason for i in identities if (reason := _unfit(i, complete, partial))}
    chosen = sorted((i for i in identities if i not in why), key=lambda i: (i.method != SCRATCH, named[i]))
    tasks = sorted(task for task, rows in complete.items() if chosen and all(i in rows for i in chosen))
    rows = [[complete[task][i] for i in chosen] for task in tasks]
    reason = _too_little(len(tasks), len(chosen))
    found = _Found(tables=[tables[task] for task in tasks], rows=rows, chosen=chosen) if not reason else None
    normalised, normalised_reason, guarded = _normalised(found) if found else (None, reason, ())
    paired, paired_reason = _paired(found) if found else ((), reason)
    cells = [cell for task in rows for row in task for cell in row.cells.values()]
    sizes = [cell.summary.n for cell in cells] or [0]
    return Overall(
        setting=setting,
        encoder=encoder,
        all_tasks=tuple(sorted(tables)),
        tasks=tuple(tasks),
        cells=sum(len(task[0].cells) for task in rows),
        seeds=(min(sizes), max(sizes)),
        methods=tuple(named[i] for i in chosen),
        left_out=tuple(sorted((named[i], text) for i, text in why.items())),
        exposed=tuple(
            named[i] for k, i in enumerate(chosen) if any(task[k].exposure != "none" for task in rows)
        ),
        ranks=rank_methods(found.means()) if found else None,
        ranks_reason=reason,
        normalised=normalised,
        normalised_reason=normalised_reason,
        guarded=guarded,
        improvements=_improvements(found, named, references) if found else (),
        paired=paired,
        paired_reason=paired_reason,
    )


def _rows(encoder: str, tables: Mapping[str, Table]) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Return complete and incomplete rows by task and by what identifies a method over tasks."""
    complete, partial = {}, {}
    for task, table in tables.items():
        group = next(g for g in table.groups if g.encoder == encoder)
        complete[task] = {_over_tasks(row.identity): row for row in group.rows}
        partial[task] = {_over_tasks(row.identity): row for row in group.incomplete}
    return complete, partial


def _over_tasks(identity: Identity) -> Identity:
    """Return the identity without the modality, which follows the task."""
    return replace(identity, encoder_modality="")


def _unfit(identity: Identity, complete: Mapping[str, Rows], partial: Mapping[str, Rows]) -> str:
    """Return why a method cannot be compared over tasks, "" where it can."""
    lacking = sorted(task for task, rows in partial.items() if identity in rows)
    if lacking:
        return f"incomplete in {listed(lacking)}"
    count = sum(identity in rows for rows in complete.values())
    if 2 * count <= len(complete):
        return f"only {count} of {len(complete)} tasks"
    return ""


def _too_little(tasks: int, methods: int) -> str:
    if methods < 2:
        return "fewer than two methods are complete"
    return "fewer than two tasks are common to all of them" if tasks < 2 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The complete grid: task x method, each a row with the same budgets."""

    tables: list[Table]
    rows: list[list[Row]]  # [task][method]
    chosen: list[Identity]

    def means(self) -> list[Floats]:
        """Return per task the mean scores, (budgets, k), higher is better."""
        return [
            np.array([[_sign(table) * row.cells[b].summary.mean for row in rows] for b in _budgets(rows)])
            for table, rows in zip(self.tables, self.rows, strict=True)
        ]

    def positions(self, method: str) -> list[int]:
        return [i for i, identity in enumerate(self.chosen) if identity.method == method]


def _budgets(rows: Sequence[Row]) -> list[Budget]:
    return sorted(rows[0].cells)


def _sign(table: Table) -> int:
    return 1 if table.key.higher_is_better else -1


def _improvements(
    found: _Found, named: Mapping[Identity, str], references: Sequence[str]
) -> tuple[Improvement, ...]:
    def scores(method: int) -> list[list[Floats]]:
        return [
            [_sign(table) * rows[method].cells[b].values for b in _budgets(rows)]
            for table, rows in zip(found.tables, found.rows, strict=True)
        ]

    of = [scores(i) for i in range(len(found.chosen))]
    pairs = [(i, j) for name in references for j in found.positions(name) for i in range(len(of)) if i != j]
    return tuple(
        Improvement(
            method=named[found.chosen[i]],
            reference=named[found.chosen[j]],
            share=improvement(of[i], of[j]),
        )
        for i, j in pairs
    )


def _normalised(found: _Found) -> tuple[tuple[Aggregate, ...] | None, str, tuple[str, ...]]:
    """Return the normalised scores, or why there are none, and the cells that the guard leaves out."""
    ends = found.positions(SCRATCH), found.positions(FULL)
    for name, places in zip((SCRATCH, FULL), ends, strict=True):
        if len(places) != 1:
            number = "no complete row" if not places else f"{len(places)} rows"
            return None, f"it needs one row of {SCRATCH} (0) and one of {FULL} (1); {name} has {number}", ()
    low, high = ends[0][0], ends[1][0]
    scores: list[list[Floats]] = [[] for _ in found.chosen]  # [method][task] -> (S,)
    guarded = []
    for table, rows in zip(found.tables, found.rows, strict=True):
        kept = [b for b in _budgets(rows) if _apart(rows[low].cells[b], rows[high].cells[b])]
        guarded += [f"{_task(table.key)}, {b.header}" for b in _budgets(rows) if b not in kept]
        runs = _common_runs(row.cells[b] for row in rows for b in kept)
        if kept and runs:
            for method, row in enumerate(rows):
                by_budget = [_scaled(row.cells[b], rows[low].cells[b], rows[high].cells[b]) for b in kept]
                pairs = zip(by_budget, (row.cells[b] for b in kept), strict=True)
                scores[method].append(np.mean([_of_seeds(s, cell, runs) for s, cell in pairs], axis=0))
    if not scores[0]:
        return None, f"{SCRATCH} and {FULL} differ by less than twice the seed deviation in all cells", ()
    return tuple(interquartile_mean(tasks) for tasks in scores), "", tuple(guarded)


def _apart(scratch: Cell, full: Cell) -> bool:
    """Say whether the ends are at least two pooled seed deviations apart; without deviations they are not."""
    a, b = scratch.summary, full.summary
    if a.sd is None or b.sd is None:
        return False
    return abs(b.mean - a.mean) >= 2 * sqrt((a.sd**2 + b.sd**2) / 2) and a.mean != b.mean


def _scaled(cell: Cell, scratch: Cell, full: Cell) -> Floats:
    low, high = scratch.summary.mean, full.summary.mean
    scaled: Floats = (cell.values - low) / (high - low)
    return scaled


def _common_runs(cells: Iterable[Cell]) -> list[int]:
    """Return the seeds that all cells have."""
    sets = [{seed for seed, _ in cell.runs} for cell in cells]
    return sorted(set.intersection(*sets)) if sets else []


def _of_seeds(values: Floats, cell: Cell, seeds: Sequence[int]) -> Floats:
    """Return one value per seed, the mean where a seed has several subsets."""
    own = np.array([seed for seed, _ in cell.runs])
    return np.array([values[own == seed].mean() for seed in seeds])


def _paired(found: _Found) -> tuple[tuple[PairTest, ...], str]:
    """Test all pairs over tasks by the mean log error over budgets, which has no unit."""
    if len(found.tables) < MIN_PAIRED_TASKS:
        few = f"{MIN_PAIRED_TASKS} tasks (here {len(found.tables)}): with 5 the smallest p is 0.0625"
        return (), f"it needs at least {few}"
    rows = []
    for table, task in zip(found.tables, found.rows, strict=True):
        errors = [[_error(table.key, row.cells[b].summary.mean) for b in _budgets(task)] for row in task]
        if min(e for method in errors for e in method) <= 0:
            return (), f"{table.key.metric} of {_task(table.key)} cannot be read as an error above 0"
        rows.append([-np.mean([log(e) for e in method]) for method in errors])
    return paired_tests(np.array(rows)), ""


def _error(key: TableKey, mean: float) -> float:
    """Return an error: itself where lower is better, else what lacks to 100 % or to a ratio of 1."""
    if not key.higher_is_better:
        return mean
    return {"%": 100.0, "": 1.0}.get(key.unit, 0.0) - mean
