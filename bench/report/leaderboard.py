"""Records to summaries: everything that a report shows, as data frames.

A table is one combination of `TABLE`: preset, track, mode, protocol, task and kind of budget (shares of the
labels or shots per class); never several of them. Its rows are grouped by encoder and compared within it, on
the same seeds and test units. What is ranked rests on the *common runs*: the runs (seed and label subset)
that most rows of the encoder have. A row that lacks one of them is incomplete, listed and not ranked; runs
that a row has beyond them are listed and not used.

The columns of `cells`, `differences`, `savings`, `cost_quality` and `over_tasks` are those of the CSV files
(`cells`: leaderboard.csv) and `EXTRA`; empty frames have their columns, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from bench.errors import ConfigError, nearest
from bench.report import cost, intervals, over_tasks, savings
from bench.report.budget import EACH, SHOTS, Budget, parse
from bench.report.intervals import LEVEL, Interval
from bench.report.over_tasks import Overall
from bench.report.records import (
    COSTS,
    PLACE,
    SCRATCH,
    SETTING,
    TABLE,
    Floats,
    Records,
    commits,
    grouped,
    stack,
    tuples,
)
from bench.report.text import listed

ROW = ("encoder", "method", "init", "pretrain_data", "backbone", "config", "encoder_modality")
EXTRA = ("table", "budgets", "n_units", "ranked")  # no CSV has them: number of the table, test units, ...
T_SEEDS = 5  # fewest seeds for a t interval over seeds alone

CELLS = (
    *PLACE, "encoder_kind", "encoder_modality", "modality", "method", "init", "pretrain_data", "backbone",
    "config", "uses", "name", "fraction", "metric", "unit", "higher_is_better", "primary", "n", "mean", "sd",
    "minimum", "maximum", "error", "low", "high", "kind", "t_low", "t_high", "stride_mean", "floor",
    "ceiling", "values", "complete", "best", "tie", "exposure", *COSTS, "seeds", "subsets", "interval",
    "commits", "devices", "keys",
)  # fmt: skip
DIFFERENCES = (
    *PLACE, "method", "reference", "against", "complete", "fraction", "metric", "unit", "higher_is_better",
    "n", "difference", "error", "low", "high", "kind", "beyond", "p", "p_holm", "family", "verdict",
)  # fmt: skip
RUNS = ("table", "encoder", "name", "method", "fraction", "seed", "subset")  # of `missing`


@dataclass(frozen=True, kw_only=True)
class Task:
    """One table with all that belongs to it."""

    key: Mapping[str, Any]  # by `TABLE`
    several: bool  # another table has the same task and data set, so that titles must tell them apart
    budgets: tuple[Budget, ...]  # of one kind, ascending
    interval: str  # what the brackets mean and cover
    published: str  # name of this task in the published numbers
    runs: pd.DataFrame  # one row per record in the table, with `name`
    cells: pd.DataFrame
    differences: pd.DataFrame
    savings: pd.DataFrame
    cost_quality: pd.DataFrame
    missing: pd.DataFrame  # `RUNS`: common runs that rows lack
    further: pd.DataFrame  # columns of `runs`: what rows have beyond the common runs

    @property
    def title(self) -> str:
        """Return task and data set, with what tells apart tables that share them."""
        return f"{self.key['task']} on {self.key['dataset']}{self.distinction}"

    @property
    def distinction(self) -> str:
        """Return what tells this table apart from others of its task and data set, "" where it is alone."""
        at = ", {metric}, test set {test_set}, minimum effect {minimum_effect:g}".format_map(self.key)
        few = ", few-shot" if self.key["budgets"] == SHOTS else ""
        return few + at * self.several

    @property
    def each(self) -> str:
        """Return what its columns are: "label share" or "shot count"."""
        return EACH[str(self.key["budgets"])]

    @cached_property
    def primary(self) -> pd.DataFrame:
        """Return the cells of the primary metric."""
        return self.cells[self.cells["primary"]]

    @cached_property
    def primary_cells(self) -> list[Any]:
        """Return the cells of the primary metric as named tuples."""
        return tuples(self.primary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """Plain data; `tables`, `figures`, `page` and `writers` show it."""

    cells: pd.DataFrame  # one row per cell and metric, the primary metric first; list columns hold tuples
    differences: pd.DataFrame  # paired, to the references ("against" reference) and to the best row
    savings: pd.DataFrame  # labels and epochs
    cost_quality: pd.DataFrame  # quality beside device-hours and samples seen, with Pareto fronts
    over_tasks: pd.DataFrame  # one row per encoder and method
    overall: tuple[Overall, ...]  # the same with all that does not fit into rows
    costs: pd.DataFrame  # means per setting, encoder and method
    tasks: tuple[Task, ...]  # the tables, in a fixed order
    runs: pd.DataFrame  # one row per record in the tables; columns of `records`, and `name`
    curves: Mapping[str, Floats]  # by record key, (P, 2): progress and validation metric
    details: Mapping[str, Mapping[str, Any]]  # by record key: selection, manifests, inputs, ...
    problems: tuple[str, ...]  # records that were left out, and what cannot be compared


def analyse(records: Records, references: Sequence[str] = ()) -> Summaries:
    """Compute everything.

    Args:
        records: what `records.load` read.
        references: methods to compare with, besides scratch.

    Raises:
        ConfigError: no record is of a method named in `references`.
    """
    known = set(records.runs["method"])
    for name in references:
        if name not in known:
            raise ConfigError(f'--reference: no record of method "{name}".{nearest(name, known)}')
    wanted = list(dict.fromkeys((SCRATCH, *references)))
    newest, repeated = _newest(records.runs[records.runs["primary"].astype(bool)])
    every, missing = _find_common(_arrange(newest))
    runs, further = every[~every["further"]], every[every["further"]]
    cells = _cells(runs, records)
    differences = _differences(cells, wanted, records.replicates)
    cells = _mark_best(cells, differences)
    saved = savings.savings(cells, wanted, records)
    quality = cost.cost_quality(cells, runs)
    overall = over_tasks.over_tasks(cells, runs, wanted)
    tasks = _tasks(every, {
        "runs": runs, "further": further, "missing": missing, "cells": cells, "differences": differences,
        "savings": saved, "cost_quality": quality,
    })  # fmt: skip
    return Summaries(
        cells=cells,
        differences=differences,
        savings=saved,
        cost_quality=quality,
        over_tasks=over_tasks.frame(overall),
        overall=overall,
        costs=cost.costs(runs),
        tasks=tasks,
        runs=runs,
        curves=records.curves,
        details=records.details,
        problems=(*records.problems, *repeated, *comparability_warnings(tasks, wanted)),
    )


def _newest(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return one record per run, and lines that name those which a newer one replaces."""
    place = [*TABLE, *ROW, "fraction", "seed", "subset"]
    runs = runs.sort_values(["created", "key"], kind="stable")
    newer = runs.groupby(place, sort=False, dropna=False)["key"].shift(-1)
    said = [
        f"record {old.key} ({old.method}, {old.encoder}, {old.task}, {old.fraction}, seed {old.seed}) has "
        f"the same labels as the newer {new}; the newer one is shown, so this cell may mix configurations"
        for old, new in zip(tuples(runs[newer.notna()]), newer[newer.notna()], strict=True)
    ]
    return runs[newer.isna()], said


def _arrange(runs: pd.DataFrame) -> pd.DataFrame:
    """Name the rows and number the tables; sort by table, encoder, method (scratch first), budget, run."""
    budgets = sorted(set(map(parse, runs["fraction"])))
    order = {budget.label: i for i, budget in enumerate(budgets)}
    runs = runs.assign(
        name=names(runs),
        budget=runs["fraction"].map(order),
        trained=runs["method"] != SCRATCH,
    )
    by = [*TABLE, "encoder", "trained", "method", "name", "budget", "seed", "subset"]
    runs = runs.sort_values(by, kind="stable", ignore_index=True)
    return runs.assign(table=runs.groupby([*TABLE], sort=False).ngroup())


def names(runs: pd.DataFrame) -> pd.Series[str]:
    """Return the name of each run's row: the method, and what was overridden in it.

    A name does not depend on other rows, but for those that differ in nothing else, which must not share it.
    It is the same in all tables of a setting.
    """
    label = runs["method"] + (" (" + runs["config"] + ")").where(runs["config"] != "", "")
    details = pd.Series("", index=runs.index)
    for field in ("method", "config", "init", "pretrain_data", "backbone", "encoder_modality"):
        within = TABLE if field == "encoder_modality" else SETTING  # an encoder's modality follows the task
        alike = [*(runs[name] for name in within), runs["encoder"], label]
        differs = runs[field].groupby(alike).transform("nunique") > 1
        details += (", " + field + " " + runs[field].replace("", "none")).where(differs, "")
    return label + (" (" + details.str[2:] + ")").where(details != "", "")


def _find_common(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the runs that comparisons rest on.

    Common runs are those that more than half of an encoder's rows have. Where fewer than two rows have all of
    them, they are those that all rows have.

    Returns:
        The runs with the columns complete (of the row), common (whether its budget has common runs at all)
        and further (beyond them); and what rows lack.
    """
    group = ["table", "encoder"]
    rows = runs.groupby(group)["name"].transform("nunique")
    holders = runs.groupby([*group, "fraction", "seed", "subset"])["name"].transform("nunique")
    majority, shared = 2 * holders > rows, holders == rows
    complete = _complete(runs, majority)
    enough = runs["name"].where(complete).groupby([runs[n] for n in group]).transform("nunique") > 1
    common = majority.where(enough, shared)
    complete = _complete(runs, common)
    any_common = common.groupby([runs[n] for n in [*group, "fraction"]]).transform("any")
    found = runs.assign(complete=complete, common=any_common, further=complete & any_common & ~common)
    wanted = runs.loc[common, [*group, "fraction", "budget", "seed", "subset"]].drop_duplicates()
    partial_rows = found.loc[~complete, [*group, "name", "method"]].drop_duplicates()
    have = runs[[*group, "name", "fraction", "seed", "subset"]]
    lacks = partial_rows.merge(wanted, on=group).merge(have, how="left", indicator=True)
    missing = lacks[lacks["_merge"] == "left_only"]
    found = found.sort_values(["table", "encoder", "complete"], ascending=[True, True, False], kind="stable")
    return found.reset_index(drop=True), missing[[*RUNS]].reset_index(drop=True)


def _complete(runs: pd.DataFrame, common: pd.Series[bool]) -> pd.Series[bool]:
    """Say for each run whether its row has all common runs of its encoder."""
    run = ["table", "encoder", "fraction", "seed", "subset"]
    wanted = runs.loc[common, run].drop_duplicates().groupby(["table", "encoder"]).size()
    have = common.groupby([runs[n] for n in ("table", "encoder", "name")]).transform("sum")
    index = pd.MultiIndex.from_frame(runs[["table", "encoder"]])
    return pd.Series(have.to_numpy() == wanted.reindex(index, fill_value=0).to_numpy(), index=runs.index)


def _cells(runs: pd.DataFrame, records: Records) -> pd.DataFrame:
    """Summarise every metric of every cell over its runs."""
    runs = runs.assign(cell=runs.groupby(["table", *ROW, "name", "fraction"], sort=False).ngroup())
    place = runs[["key", "cell"]].assign(run=range(len(runs)))
    long = records.runs[["key", "metric", "value", "unit", "higher_is_better", "primary", "floor", "ceiling"]]
    long = place.merge(long.assign(order=range(len(long))), on="key").sort_values(["run", "order"])
    of_metrics = long.groupby(["cell", "metric", "primary"], sort=False)
    metrics = of_metrics.agg(
        unit=("unit", "first"),
        higher_is_better=("higher_is_better", "first"),
        n=("value", "size"),
        mean=("value", "mean"),
        sd=("value", "std"),
        minimum=("value", "min"),
        maximum=("value", "max"),
        floor=("floor", "first"),
        ceiling=("ceiling", "first"),
        values=("value", tuple),
    ).reset_index()  # fmt: skip
    first = dict.fromkeys((
        "table", "name", "fraction", "n_units", "complete", *PLACE, "budgets", "encoder_kind", "modality",
        "uses", *ROW,
    ))  # fmt: skip
    stride = runs["value"].where((runs["subset"] == 0) & (runs["budgets"] != SHOTS))
    of_cells = runs.assign(stride=stride, commits=commits(runs)).groupby("cell", sort=False)
    cells = of_cells.agg(
        **{name: (name, "first") for name in first},
        ranked=("common", "first"),
        runs=("key", "size"),
        on_stride=("stride", "count"),
        stride_mean=("stride", "mean"),
        **{name: (name, "mean") for name in COSTS},
        seeds=("seed", tuple),
        subsets=("subset", tuple),
        commits=("commits", _distinct),
        devices=("device", _distinct),
        keys=("key", tuple),
    )
    found = metrics.merge(cells, left_on="cell", right_index=True)
    found = found[found["n"] == found["runs"]].sort_values("cell", kind="stable", ignore_index=True)
    mixed = found["primary"] & found["on_stride"].between(1, found["runs"] - 1)
    half = stdtrit(np.maximum(found["n"] - 1, 1), (1 + LEVEL) / 2) * found["sd"] / np.sqrt(found["n"])
    half = half.where(found["n"] >= T_SEEDS)
    exposure = {row: listed(sorted(set(e) - {"none"})) for row, e in runs.groupby(_ROW_OF)["exposure"]}
    text = {table: _interval(part) for table, part in runs.groupby("table", sort=False)}
    estimates = [
        intervals.mean_interval(np.array(cell.values), stack(cell.keys, records.replicates), cell.n_units)
        if cell.primary
        else Interval(mean=cell.mean, error=None, low=None, high=None, p=None, kind="none")
        for cell in tuples(found[["values", "keys", "n_units", "primary", "mean"]])
    ]
    return found.assign(
        stride_mean=found["stride_mean"].where(mixed),
        t_low=found["mean"] - half,
        t_high=found["mean"] + half,
        kind=[e.kind for e in estimates],
        **{n: np.array([getattr(e, n) for e in estimates], dtype=float) for n in ("error", "low", "high")},
        exposure=[exposure[row] for row in found[_ROW_OF].itertuples(index=False, name=None)],
        interval=found["table"].map(text),
        ranked=found["ranked"] & found["complete"],
        best=None,
        tie=None,
    )[[*CELLS, *EXTRA]]


_ROW_OF = ["table", "encoder", "name"]


def _distinct(words: pd.Series[str]) -> tuple[str, ...]:
    return tuple(sorted(set(words) - {""}))


def _interval(runs: pd.DataFrame) -> str:
    """Describe what the intervals of a table cover, as far as its records tell."""
    cells = runs.groupby(["encoder", "name", "fraction"], sort=False).agg(
        n=("key", "size"),
        method=("method", "first"),
        first=("pretrain_seed", "first"),
        pretrained=("pretrain_seed", "nunique"),
        subsets=("subset", "nunique"),
    ).reset_index()  # fmt: skip
    several = cells[(cells["n"] > 1) & (cells["method"] != SCRATCH) & (cells["first"] >= 0)]["pretrained"]
    budgets = set(map(parse, cells["fraction"]))
    varying = set(map(parse, cells["fraction"][cells["subsets"] > 1]))
    same = {budget for budget in budgets if not budget.whole} - varying
    varies = "seeds of fine-tuning" + (", of pretraining" if several.min() > 1 else "")
    varies += f", the label subset ({_titles(varying)})" if varying else ""
    fixed = ["other data sets and recipes"]
    fixed += ["other pretraining runs (one checkpoint per method)"] if several.min() == 1 else []
    fixed += [f"other label subsets ({_titles(same)})"] if same else []
    return intervals.interval_text(
        set(cells["n"]),
        unit=runs["interval_unit"].iloc[0],
        n_units=runs["n_units"].iloc[0],
        replicates=runs["n_replicates"].min(),
        varies=varies,
        fixed="; ".join(fixed),
    )


def _titles(budgets: set[Budget]) -> str:
    return listed([budget.title for budget in sorted(budgets)])


def _find_best(cells: pd.DataFrame) -> pd.Series[bool]:
    """Say which cells are the best ones of their encoder and budget, where at least two rows are ranked."""
    ranked = cells[cells["primary"] & cells["ranked"]]
    ranked = ranked[ranked.groupby(["table", "encoder"])["name"].transform("nunique") > 1]
    sign = ranked["higher_is_better"].map({True: 1, False: -1})
    first = (sign * ranked["mean"]).groupby([ranked[n] for n in ("table", "encoder", "fraction")]).idxmax()
    return pd.Series(cells.index.isin(first), index=cells.index)


def _differences(
    cells: pd.DataFrame, references: Sequence[str], replicates: Mapping[str, Floats]
) -> pd.DataFrame:
    """Pair the rows of each encoder with those of the references, then with the best ones."""
    compare = partial(_compared, replicates=replicates)
    found: list[dict[str, Any]] = []
    primary = cells[cells["primary"]].assign(best=_find_best(cells))
    for table in grouped(tuples(primary), "table").values():
        groups = grouped(table, "encoder").values()
        for group in groups:
            for pairs in _to_references(group, references):
                found += compare(pairs, "reference")
        for group in groups:
            best = {cell.fraction: cell for cell in group if cell.best}
            behind = [c for c in group if c.ranked and not c.best and c.fraction in best]
            found += compare([(cell, best[cell.fraction]) for cell in behind], "best")
    frame = pd.DataFrame(found, columns=[*DIFFERENCES, "table"])
    numbers = ["error", "low", "high", "p", "p_holm"]
    return frame.astype(dict.fromkeys(numbers, float))


Pair = tuple[Any, Any]  # two cells: of a row, and of what it is compared with


def _to_references(group: Sequence[Any], references: Sequence[str]) -> Iterator[list[Pair]]:
    """Yield the pairs of cells with each row of the reference methods: one family for Holm's correction."""
    for position, method in enumerate(references):
        for name in dict.fromkeys(cell.name for cell in group if cell.method == method):
            ends = {cell.fraction: cell for cell in group if cell.name == name}
            # rows of an earlier reference: the same pair the other way round
            others = [c for c in group if c.name != name and c.method not in references[:position]]
            yield [(cell, ends[cell.fraction]) for cell in others if cell.fraction in ends]


def _compared(
    pairs: Sequence[Pair], against: str, *, replicates: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    """Return rows of differences of one family; pairs without common runs fall out."""
    found = [(a, b, *paired) for a, b in pairs if (paired := _paired(a, b, replicates))]
    corrected = intervals.holm([interval.p for *_, interval in found])
    family = sum(p is not None for p in corrected)
    return [
        {name: getattr(a, name) for name in (*PLACE, "fraction", "metric", "unit", "higher_is_better")}
        | {name: getattr(interval, name) for name in ("error", "low", "high", "kind", "beyond", "p")}
        | {
            "method": a.name, "reference": b.name, "against": against, "complete": a.complete and b.complete,
            "n": n, "difference": interval.mean, "p_holm": p, "family": family, "table": a.table,
            "verdict": intervals.verdict(
                interval.mean, p, higher_is_better=a.higher_is_better, minimum_effect=a.minimum_effect
            ),
        }
        for (a, b, n, interval), p in zip(found, corrected, strict=True)
    ]  # fmt: skip


def _paired(a: Any, b: Any, replicates: Mapping[str, Floats]) -> tuple[int, Interval] | None:
    """Return the number of common runs and the difference over them; None where there are none."""
    runs = [list(zip(cell.seeds, cell.subsets, strict=True)) for cell in (a, b)]
    places = [(runs[0].index(run), runs[1].index(run)) for run in runs[0] if run in runs[1]]
    if not places:
        return None
    ours, theirs = zip(*places, strict=True)
    values = [np.array(cell.values)[[*at]] for cell, at in ((a, ours), (b, theirs))]
    drawn = [stack([c.keys[i] for i in at], replicates) for c, at in ((a, ours), (b, theirs))]
    return len(places), intervals.paired_interval(values[0], values[1], drawn[0], drawn[1], a.n_units)


def _mark_best(cells: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Say which cells are the best ones, and which cannot be told from them."""
    behind = differences[(differences["against"] == "best") & (differences["verdict"] == "tie")]
    tied = set(behind[["table", "encoder", "method", "fraction"]].itertuples(index=False, name=None))
    places = cells[["table", "encoder", "name", "fraction"]].itertuples(index=False, name=None)
    tie = pd.Series([place in tied for place in places], index=cells.index)
    marks = {"best": _find_best(cells), "tie": tie}
    return cells.assign(**{n: mark.astype(object).where(cells["primary"], None) for n, mark in marks.items()})


def _tasks(runs: pd.DataFrame, frames: Mapping[str, pd.DataFrame]) -> tuple[Task, ...]:
    """Split the summaries by table."""
    heads = runs[["table", *TABLE]].drop_duplicates(ignore_index=True)
    several = heads.duplicated([*SETTING, "task", "dataset", "budgets"], keep=False)
    budgets = {number: set(map(parse, part)) for number, part in runs.groupby("table")["fraction"]}
    split = {name: dict(list(frame.groupby("table", sort=False))) for name, frame in frames.items()}
    empty = {name: frame.iloc[:0] for name, frame in frames.items()}
    found = []
    for number, (key, twin) in enumerate(zip(heads[[*TABLE]].to_dict("records"), several, strict=True)):
        parts = {name: split[name].get(number, empty[name]) for name in frames}
        task = Task(
            key={str(name): value for name, value in key.items()},
            several=bool(twin),
            budgets=tuple(sorted(budgets[number])),
            interval=parts["cells"]["interval"].iloc[0],
            published=next(filter(None, parts["runs"]["published"]), ""),
            **parts,
        )
        found.append(task)
    return tuple(found)


def comparability_warnings(tasks: Sequence[Task], references: Sequence[str]) -> list[str]:
    """Name what is shown apart or not compared, though it looks alike.

    Args:
        tasks: all tables.
        references: methods that the others are compared with.
    """
    found = [*_apart(tasks)]
    for task in tasks:
        places = grouped(task.primary_cells, "encoder", "fraction")
        for (encoder, fraction), cells in places.items():
            where = f"{task.title}, {encoder}, {parse(fraction).header}"
            runs = {cell.name: set(zip(cell.seeds, cell.subsets, strict=True)) for cell in cells}
            if len(runs) > 1 and not any(cell.ranked for cell in cells):
                found.append(f"{where}: no run (seed) is common to most methods, so none is ranked there")
            for name in (cell.name for cell in cells if cell.method in references):
                found += [
                    f"{where}: {other} and {name} share no seed, so there is no difference between them"
                    for other in runs
                    if not runs[other] & runs[name]
                ]
    return list(dict.fromkeys(found))


def _apart(tasks: Sequence[Task]) -> Iterator[str]:
    """Name tables of one task that differ in protocol, minimum effect, metric or test set alone."""
    keys = pd.DataFrame([task.key for task in tasks])
    keys["effect"] = keys["minimum_effect"].map("{:g}".format)
    keys["measure"] = keys["metric"] + " (" + keys["unit"].replace("", "ratio") + ")"
    place = ["preset", "track", "mode", "task", "dataset"]
    for (preset, track, mode, task, dataset), alike in keys.groupby(place, sort=False):
        said = f"{task} on {dataset} (preset {preset}, {track}, {mode}) has records of several"
        apart = "they stand in tables of their own, not compared"
        if alike["protocol"].nunique() > 1:
            yield f"{said} protocols: {_values(alike['protocol'])}; {apart}"
        for _, same in alike.groupby("protocol"):
            for column, what in {
                "effect": "minimum effects", "measure": "metrics", "test_set": "test sets",
            }.items():  # fmt: skip
                if same[column].nunique() > 1:
                    yield (
                        f"{said} {what}: {_values(same[column])}; {apart}; over tasks the table with the "
                        "newest record counts"
                    )


def _values(values: pd.Series[str]) -> str:
    return listed(sorted(set(values)))
