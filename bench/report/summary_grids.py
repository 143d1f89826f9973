"""Grids of texts about all tasks together: ranks and normalised scores, tests of pairs, costs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report import text
from bench.report.aggregate import Aggregate
from bench.report.cells import SCRATCH
from bench.report.costs import CostRow, shown
from bench.report.grids import Entry, Grid, words
from bench.report.notes import EXPOSED
from bench.report.overall import FULL, Overall, Setting

COST = "Means over records; a pretraining that several cells share is counted in each."


def over_tasks(found: Overall) -> Grid | None:
    """Return average rank, normalised score and probability of improvement of each method."""
    if found.ranks is None:
        return None
    references = list(dict.fromkeys(i.reference for i in found.improvements))
    won = {(i.method, i.reference): i.share for i in found.improvements}
    header = [Entry(text="method"), Entry(text="average rank")]
    header += [Entry(text="normalised score")] if found.normalised else []
    header += [Entry(text=f"P(better than {name})", name=True) for name in references]
    rows = []
    for i, method in enumerate(found.methods):
        mark = f" {EXPOSED}" if method in found.exposed else ""
        fields = [Entry(text=method + mark, name=True), Entry(text=f"{found.ranks.average[i]:.2f}")]
        fields += [Entry(text=_aggregate(found.normalised[i]))] if found.normalised else []
        pairs = (won.get((method, name)) for name in references)
        fields += [Entry(text="-" if share is None else _aggregate(share)) for share in pairs]
        rows.append(tuple(fields))
    return Grid(
        title=f"{found.encoder}: methods over {len(found.tasks)} tasks",
        header=tuple(header),
        rows=tuple(rows),
        left=1,
        notes=tuple(_notes(found)),
    )


def _aggregate(found: Aggregate) -> str:
    if found.low is None or found.high is None:
        return _two(found.value)
    return f"{_two(found.value)} [{_two(found.low)}, {_two(found.high)}]"


def _two(value: float) -> str:
    shown = f"{value:.2f}"
    return shown.removeprefix("-") if float(shown) == 0 else shown


def _notes(found: Overall) -> list[str]:
    assert found.ranks is not None
    low, high = found.seeds
    seeds = text.count(low, "seed") if low == high else f"{low} to {high} seeds"
    notes = [
        f"Common to all of them: {len(found.tasks)} of {text.count(len(found.all_tasks), 'task')}, "
        f"{text.count(found.cells, 'cell')} (task and label share), n = {seeds} each: "
        f"{text.listed(list(found.tasks), limit=30)}.",
        "Average rank: 1 is best; by mean score per cell, averaged over the label shares of a task, then "
        f"over tasks. {critical_text(found)}",
    ]
    if found.normalised:
        left = text.listed(list(found.guarded), limit=30)
        guard = f" Left out, since {SCRATCH} and {FULL} are less than two seed deviations apart: {left}."
        notes.append(
            f"Normalised score: {SCRATCH} = 0, {FULL} = 1 per cell, averaged over label shares; "
            "interquartile mean over tasks and seeds. Brackets: 95 % stratified bootstrap interval over "
            "seeds; tasks, test units and both ends of the scale are taken as given."
            f"{guard if found.guarded else ''}"
        )
    else:
        notes.append(f"No normalised scores: {found.normalised_reason}.")
    if found.improvements:
        notes.append(
            "P(better than ...): share of pairs of runs that the method wins, per cell, averaged as the "
            "ranks; 0.5 = no difference. Brackets: 95 % stratified bootstrap interval over seeds; one "
            "without width says that resampled seeds do not differ, not that more seeds would not."
        )
    if found.exposed:
        notes.append(f"{EXPOSED}: pretraining has seen test data of one of the tasks.")
    if not found.paired:
        notes.append(f"No tests of pairs over tasks (Wilcoxon): {found.paired_reason}.")
    return notes


def critical_text(found: Overall) -> str:
    """Say what the Friedman test and the critical difference are, or why there is none."""
    ranks = found.ranks
    assert ranks is not None
    tested = ""
    if ranks.friedman_p is not None:
        p = text.p_value(ranks.friedman_p)
        tested = f"Friedman test (F-shaped correction) over {ranks.tasks} tasks: {p}. "
    if ranks.critical_difference is None:
        return f"{tested}No critical difference: {ranks.reason}."
    return (
        f"{tested}Critical difference (Nemenyi, 0.05): {ranks.critical_difference:.2f}; its power is low "
        "with few tasks."
    )


def pairs_over_tasks(found: Overall) -> Grid | None:
    """Return the tests of all pairs of methods over tasks."""
    if not found.paired:
        return None
    tasks, pairs = len(found.tasks), len(found.paired)
    least = min(1.0, 2.0 ** (1 - tasks) * pairs)
    never = f" With {tasks} tasks and {pairs} pairs no corrected p can be below {least:.2g}."
    return Grid(
        title=f"{found.encoder}: pairs of methods over {len(found.tasks)} tasks",
        header=words("method", "and", "p", "p (Holm)"),
        rows=tuple(
            (
                Entry(text=found.methods[pair.first], name=True),
                Entry(text=found.methods[pair.second], name=True),
                Entry(text=f"{pair.p:.2g}"),
                Entry(text=f"{pair.p_holm:.2g}", strong=pair.p_holm < 0.05),
            )
            for pair in found.paired
        ),
        left=2,
        notes=(
            f"Wilcoxon signed-rank tests over tasks (n = {tasks}) of the log ratio of errors, which has no "
            "unit (error: the metric itself where lower is better, else what lacks to 100 % or 1), averaged "
            f"over label shares; Holm's correction over {text.count(pairs, 'pair')}. Bold: p < 0.05."
            f"{never if least >= 0.05 else ''}",
        ),
    )


def absent(found: Overall) -> str:
    """Say why the methods of an encoder are not compared over tasks."""
    tasks = text.listed(list(found.all_tasks))
    return f"{found.encoder}: no comparison over tasks ({tasks}): {found.ranks_reason}."


def left_out(found: Overall) -> str:
    """Name the methods that are not compared over tasks; "" where there are none."""
    named = "; ".join(f"{method} ({why})" for method, why in found.left_out)
    return f"{found.encoder}: not compared over tasks: {named}." if named else ""


def costs(rows: Sequence[CostRow], setting: Setting) -> Grid:
    """Return what the runs of one setting cost."""
    preset, track, mode, protocol = setting
    chosen = [row for row in rows if row.setting == setting]
    return Grid(
        title=f"Cost: preset {preset}, track {track}, mode {mode}, protocol {protocol}",
        header=words("encoder", "method", *shown(chosen[0])),
        rows=tuple(
            (
                Entry(text=row.encoder, name=True),
                Entry(text=row.method, name=True),
                *words(*shown(row).values()),
            )
            for row in chosen
        ),
        left=2,
        notes=(COST,),
    )
