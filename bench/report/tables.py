"""Summaries to tables of texts, which Markdown and LaTeX print alike, with notes that say what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import pandas as pd

from bench.report import bounds, text
from bench.report.bootstrap import Aggregate
from bench.report.budget import Budget, parse
from bench.report.leaderboard import Task
from bench.report.over_tasks import Overall
from bench.report.overview import Block, Tile
from bench.report.records import SCRATCH, grouped, tuples
from bench.report.text import EXPOSED, ON_FRONT, OTHER_MODALITY, TIE

SCOPE = "Tables never mix presets, tracks, modes or protocols; rows compare within one encoder."
COST = (
    "Means over records; a pretraining that several cells share is counted in each. Images read: from the "
    "data set, the budget. Forward passes: images through encoders. Device time: seconds times devices."
)
USES = "Uses: what pretraining had beyond colour pictures."
BETTER, WORSE = "▲", "▼"
OVERVIEW = (
    f"Bold: best of a column. {TIE}: tie with it. {BETTER} {WORSE}: better or worse than scratch (paired, "
    "p < 0.05 after Holm's correction). Average rank: 1 is best; over the tasks, for methods that have them "
    f"all. {USES} Missing: tasks that a method lacks, or where it lacks runs (in parentheses)."
)
NOT_COMPARABLE = "Published numbers (another protocol; not comparable)"
PUBLISHED = (
    "As printed in the papers: other data, budgets and recipes, one run each, no intervals. They stand here "
    "for orientation and take part in no comparison above."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One printed table. An entry that begins with `BOLD` is to be emphasised."""

    title: str
    frame: pd.DataFrame  # of texts, the header its columns
    names: int  # the first columns hold names that users chose; the others numbers with marks
    notes: Sequence[str]  # what n is, what varied, which interval, what marks mean; plain sentences


BOLD = "\0"


def setting(key: Mapping[str, Any]) -> str:
    """Return the setting that all numbers of a table share, as one sentence."""
    direction = "higher" if key["higher_is_better"] else "lower"
    least = f"; differences below {key['minimum_effect']:g} are ties" if key["minimum_effect"] else ""
    return (
        f"Preset {key['preset']}, track {key['track']}, mode {key['mode']}, protocol "
        f"{text.protocol_words(key['protocol'])}. "
        f"Metric: {key['metric']} ({text.unit_name(key['unit'])}, {direction} is better{least})."
    )


def overview(block: Block) -> Table:
    """Return the matrix of methods by tasks, best average rank first."""
    rows = [
        (
            line.method,
            line.uses,
            "-" if line.rank is None else f"{line.rank:.2f}",
            str(line.missing or ""),
            *(_tile(tile, task.unit) for tile, task in zip(line.tiles, block.tasks, strict=True)),
        )
        for line in block.lines
    ]
    heads = [f"{task.title} {'↑' if task.higher_is_better else '↓'}" for task in block.tasks]
    frame = pd.DataFrame(rows, columns=["method", "uses", "average rank", "missing", *heads])
    best = [f"Best: {block.answer}."] if block.answer else []
    return Table(title=block.title, frame=frame, names=2, notes=best)


def _tile(tile: Tile | None, unit: str) -> str:
    if tile is None:
        return "-"
    number = text.number(tile.mean, unit)
    mark = {"better": BETTER, "worse": WORSE}.get(tile.verdict, "")
    return f"{BOLD * tile.best}{number if tile.complete else f'({number})'}{mark}{TIE * tile.tie}"


def beside_scores(task: Task) -> list[Table]:
    """Return the tables of a task besides its scores."""
    made = (differences(task), labels_saved(task), epochs_saved(task), beside_cost(task))
    return [table for table in made if table is not None]


def _by_budget(task: Task, rows: Iterable[Any], left: Sequence[str], head: Any, entry: Any) -> pd.DataFrame:
    """Return a table with one column per budget.

    Args:
        task: knows the budgets.
        rows: named tuples with a fraction.
        left: headers of the names.
        head: makes the names of a named tuple's row.
        entry: makes the text of a number from a named tuple.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        found.setdefault(head(row), {})[row.fraction] = entry(row)
    return pd.DataFrame(
        [[*names, *(by.get(b.label, "n/a") for b in task.budgets)] for names, by in found.items()],
        columns=[*left, *(budget.header for budget in task.budgets)],
    )


def scores(task: Task) -> Table:
    """Return means with intervals: complete rows by encoder, one column per budget."""
    primary = task.primary

    def entry(cell: Any) -> str:
        return f"{BOLD * cell.best}{cell_text(cell)}{f' {TIE}' * cell.tie}"

    def head(cell: Any) -> tuple[str, str, str]:
        return cell.encoder, marked(cell), text.known(cell.uses)

    frame = _by_budget(
        task,
        (cell for cell in task.primary_cells if cell.complete),
        ("encoder", "method", "uses"),
        head,
        entry,
    )
    frame["encoder"] = frame["encoder"].where(~frame["encoder"].duplicated(), "")
    return Table(title=task.title, frame=frame, names=3, notes=_score_notes(task, primary))


def _score_notes(task: Task, primary: pd.DataFrame) -> list[str]:
    notes = [f"n = number of seeds. {USES} {task.interval}"]
    if ((primary["n"] > 1) & primary["low"].isna()).any():
        notes.append("Braces: smallest to largest seed; these cells have no interval.")
    if primary["best"].any():
        families = task.differences[task.differences["against"] == "best"]
        notes.append(
            f"Bold: best mean of its encoder and label share. {TIE}: a tie with it: the paired difference is "
            f"{_not_beyond(task.key['minimum_effect'])} "
            f"({_family(families.drop_duplicates('encoder')['family'])} of an encoder with its best ones)."
        )
    notes += bounds.lines(task.primary_cells)
    notes += not_ranked(task)
    if any(map(other_modality, task.primary_cells)):
        shown = sorted(set(task.runs["modality"]) - {""})
        notes.append(
            f"{OTHER_MODALITY}: the encoder was pretrained on another modality than this task's input "
            f"({text.listed(shown)})."
        )
    seen = primary[primary["exposure"] != "none"].drop_duplicates("name", keep="last")
    exposed = zip(seen["name"], seen["exposure"], strict=True)
    notes += given_weights(task)
    return notes + [f"{EXPOSED} {name}: pretraining has seen test data ({what})." for name, what in exposed]


def given_weights(task: Task) -> list[str]:
    """Say what rows of given weights have loaded."""
    rows = task.runs[task.runs["weights"] != ""].drop_duplicates(["encoder", "name", "weights"])
    return [f"{row.name}: {row.weights}." for row in rows.itertuples()]


def not_ranked(task: Task) -> list[str]:
    """Name runs and budgets that only few rows have, which no ranking uses."""
    notes, primary = [], task.primary
    further = [
        f"{encoder}, {name}: {parse(label).title}: {_seeds(runs)}"
        for (encoder, name, label), runs in grouped(
            tuples(task.further), "encoder", "name", "fraction"
        ).items()
    ]
    if further:
        notes.append(
            "Means are over the runs that most methods of an encoder have. Further runs, not used: "
            f"{text.listed(further, limit=30)}."
        )
    alone = primary[primary["complete"] & ~primary["ranked"]]
    places = grouped(tuples(alone), "encoder", "fraction").items()
    few = [
        f"{encoder} at {parse(label).header} ({text.listed([cell.name for cell in cells])})"
        for (encoder, label), cells in places
    ]
    if few:
        notes.append(
            f"Not ranked, since no run (seed) is common to most methods there: {text.listed(few, limit=30)}."
        )
    return notes


def _not_beyond(least: float) -> str:
    small = f", or below the minimum effect ({least:g})" if least else ""
    return f"not beyond p < 0.05 after Holm's correction{small}, or has no interval"


def _family(tests: Sequence[int] | pd.Series[int]) -> str:
    if not len(tests):
        return "no comparisons"
    low, high = min(tests), max(tests)
    return text.count(high, "comparison") if low == high else f"{low} to {high} comparisons"


def other_modality(cell: Any) -> bool:
    """Say whether the encoder was pretrained on another modality than the task's input."""
    return bool(cell.encoder_modality and cell.modality and cell.encoder_modality != cell.modality)


def marked(cell: Any) -> str:
    """Return the name of a row with its marks."""
    marks = f" {OTHER_MODALITY}" * other_modality(cell) + f" {EXPOSED}" * (cell.exposure != "none")
    return f"{cell.name}{marks}"


def cell_text(cell: Any) -> str:
    """Return mean, interval and number of seeds."""
    return f"{mean_text(cell)} (n={cell.n})"


def mean_text(cell: Any) -> str:
    """Return `mean [low, high]`, or `mean {min to max}` where there is no interval but several seeds."""
    mean, low, high, smallest, largest = (
        text.number(value, cell.unit)
        for value in (cell.mean, cell.low, cell.high, cell.minimum, cell.maximum)
    )
    if cell.low == cell.low:
        return f"{mean} [{low}, {high}]"
    return f"{mean} {{{smallest} to {largest}}}" if cell.n > 1 else mean


def incomplete(task: Task) -> list[str]:
    """Return one line per row that lacks runs: which, and what is there."""
    rows = grouped((cell for cell in task.primary_cells if not cell.complete), "encoder", "name")
    lacks = grouped(tuples(task.missing), "encoder", "name")
    lines = []
    for place, cells in rows.items():
        missing = grouped(lacks[place], "fraction").items()
        lacking = "; ".join(f"{parse(label).title}: {_seeds(runs)}" for label, runs in missing)
        there = "; ".join(f"{parse(cell.fraction).title}: {cell_text(cell)}" for cell in cells)
        lines.append(f"{place[0]}, {marked(cells[0])}: missing {lacking}. Present: {there}")
    return lines


def _seeds(runs: Sequence[Any]) -> str:
    return f"{'seed' if len(runs) == 1 else 'seeds'} {text.listed([str(run.seed) for run in runs])}"


def differences(task: Task) -> Table | None:
    """Return paired differences to scratch and to the other references, one column per budget."""
    found = task.differences[task.differences["against"] == "reference"]
    if found.empty:
        return None
    heads = {(cell.encoder, cell.name): cell for cell in task.primary_cells}

    def head(d: Any) -> tuple[str, str, str]:
        cell = heads[d.encoder, d.method]
        return d.encoder, marked(cell) + " (incomplete)" * (not cell.complete), d.reference

    def entry(d: Any) -> str:
        after = ", ".join(filter(None, (f"n={d.n}", "" if d.p_holm != d.p_holm else text.p_value(d.p_holm))))
        return f"{BOLD * (d.verdict != 'tie')}{difference_text(d)} ({after})"

    better = "positive" if task.key["higher_is_better"] else "negative"
    unit = {"%": "% points"}.get(task.key["unit"], text.unit_name(task.key["unit"]))
    least = f" and at least {task.key['minimum_effect']:g}" if task.key["minimum_effect"] else ""
    return Table(
        title=f"{task.title}: paired differences",
        frame=_by_budget(task, tuples(found), ("encoder", "method", "minus"), head, entry),
        names=3,
        notes=[
            f"Paired differences over common seeds and test units ({unit}; {better} is better) with 95 % "
            "intervals; n = number of common seeds. p: two-sided, after Holm's correction within a family "
            "(one encoder and reference, all methods and label shares: "
            f"{_family(found['family'])}). Bold: better or worse: p < 0.05{least}; all others are ties."
        ],
    )


def no_differences(task: Task) -> str:
    """Say why a table has no differences; "" where there are some, or nothing to compare."""
    if (task.differences["against"] == "reference").any() or (task.runs["method"] == SCRATCH).all():
        return ""
    return "No differences: no scratch or reference row of the same encoder shares seeds."


def difference_text(d: Any) -> str:
    """Return `+mean [low, high]`, all signed; a bound beyond 0 gets the decimals that show it."""
    if d.low != d.low:
        return text.signed(d.difference, d.unit)
    more = 0
    near = min(abs(d.low), abs(d.high))
    while d.beyond and more < 3 and not text.signed(near, d.unit, more).startswith("+"):
        more += 1
    mean, low, high = (text.signed(value, d.unit, more) for value in (d.difference, d.low, d.high))
    return f"{mean} [{low}, {high}]"


def _names(task: Task) -> dict[tuple[str, str], str]:
    """Return the names of rows with their marks, by encoder and name."""
    return {(cell.encoder, cell.name): marked(cell) for cell in task.primary_cells}


def labels_saved(task: Task) -> Table | None:
    """Return how many times fewer labels each method needs."""
    found = task.savings[task.savings["what"] == "labels"]
    if found.empty:
        return None
    shown = _names(task)
    header = ("encoder", "method", "as good as 100 % labels of", "labels needed", "times fewer")
    rows = [
        (s.encoder, shown[s.encoder, s.method], s.reference, _share(s), f"{factor_text(s)} (n={s.n})")
        for s in tuples(found)
    ]
    return Table(
        title=f"{task.title}: labels saved",
        frame=pd.DataFrame(rows, columns=[*header]),
        names=3,
        notes=[
            "Labels with which a method is as good as the reference with all of them: monotone "
            "interpolation over its label shares (isotonic, then straight on a log axis), nothing beyond "
            f"what was measured. Brackets: 95 % interval over {_varied(found)}, from joint draws of all "
            "scores. n = number of seeds."
        ],
    )


def _share(saving: Any) -> str:
    if saving.factor_state == "reached":
        return f"{100 * saving.share:.2g} %" if saving.share < 0.995 else "100 %"
    beyond = saving.factor_state == "beyond"
    return f"less than {100 * saving.smallest_share:.3g} %" if beyond else "not reached"


def factor_text(saving: Any) -> str:
    """Return the factor with its interval in words."""
    point, low, high = (
        text.factor(getattr(saving, name), getattr(saving, f"{name}_state"), saving.smallest_share)
        for name in ("factor", "low", "high")
    )
    return f"{point} [{low}, {high}]" if saving.low_state else point


def _varied(found: pd.DataFrame) -> str:
    return " or ".join(sorted(set(found["kind"]) - {"none"})) or "nothing (no interval)"


def epochs_saved(task: Task) -> Table | None:
    """Return how many times less fine-tuning each method needs, one column per budget."""
    found = task.savings[task.savings["what"] == "fine-tuning"]
    if found.empty:
        return None
    shown = _names(task)
    frame = _by_budget(
        task,
        tuples(found),
        ("encoder", "method", "as good as"),
        lambda s: (s.encoder, shown[s.encoder, s.method], s.reference),
        lambda s: f"{factor_text(s)} (n={s.n})",
    )
    return Table(
        title=f"{task.title}: epochs saved",
        frame=frame,
        names=3,
        notes=[
            "How many times fewer epochs of fine-tuning a method needs to reach the last validation value of "
            "the reference at the same label share: monotone interpolation of its mean curve, nothing beyond "
            "what was measured. The schedule is that of the whole training; a shorter one would end sooner. "
            f"Brackets: 95 % interval over {_varied(found)}; the validation part is taken as given. n = "
            "number of seeds."
        ],
    )


def beside_cost(task: Task) -> Table | None:
    """Return quality beside cost at the largest budget."""
    budget: Budget = task.budgets[-1]
    found = task.cost_quality[task.cost_quality["fraction"] == budget.label]
    if found[["device_hours", "samples_seen"]].isna().all(axis=None):
        return None
    cells = {(c.encoder, c.name): c for c in task.primary_cells if c.fraction == budget.label}
    rows = [
        (
            p.encoder,
            marked(cells[p.encoder, p.method]),
            cell_text(cells[p.encoder, p.method]),
            _cost(p.device_hours, "{:,.3g}", p.front_device_hours),
            _cost(p.samples_seen, "{:,.0f}", p.front_samples_seen),
        )
        for p in tuples(found)
    ]
    devices = text.listed(sorted(set(task.runs["device"]) - {""}))
    return Table(
        title=f"{task.title}: quality beside cost",
        frame=pd.DataFrame(
            rows, columns=["encoder", "method", budget.header, "device-hours", "samples seen"]
        ),
        names=2,
        notes=[
            "n = number of seeds. Cost of one run, pretraining and fine-tuning together (mean over seeds; a "
            f"pretraining that several runs share is counted in each). {ON_FRONT}: on the Pareto front of "
            "its encoder: no method has a better mean at no more cost. Device-hours count wall time times "
            f"devices (devices: {devices}); they compare on equal devices only."
        ],
    )


def _cost(value: float, form: str, on_front: bool) -> str:
    return "not recorded" if value != value else form.format(value) + f" {ON_FRONT}" * on_front


def over_tasks(found: Overall) -> Table | None:
    """Return average rank, normalised score and probability of improvement of each method."""
    if found.ranks is None:
        return None
    marks = [f" {EXPOSED}" * (name in found.exposed) for name in found.methods]
    frame = pd.DataFrame({
        "method": [f"{name}{mark}" for name, mark in zip(found.methods, marks, strict=True)],
        "average rank": [f"{rank:.2f}" for rank in found.ranks.average],
    })  # fmt: skip
    if found.normalised:
        frame["normalised score"] = [_aggregate(score) for score in found.normalised]
    won = {(i.method, i.reference): _aggregate(i.share) for i in found.improvements}
    for reference in dict.fromkeys(i.reference for i in found.improvements):
        frame[f"P(better than {reference})"] = [won.get((name, reference), "-") for name in found.methods]
    title = f"{found.encoder}: methods over {len(found.tasks)} tasks"
    return Table(title=title, frame=frame, names=1, notes=_over_tasks_notes(found))


def _aggregate(found: Aggregate) -> str:
    point, low, high = (f"{nan if v is None else v:.2f}" for v in (found.value, found.low, found.high))
    return (point if found.low is None else f"{point} [{low}, {high}]").replace("-0.00", "0.00")


def _over_tasks_notes(found: Overall) -> list[str]:
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
        low_end, high_end = found.normalised_ends
        guard = f" Left out, since {low_end} and {high_end} are less than two seed deviations apart: {left}."
        notes.append(
            f"Normalised score: {low_end} = 0, {high_end} = 1 per cell, averaged over label shares; "
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


def pairs_over_tasks(found: Overall) -> Table | None:
    """Return the tests of all pairs of methods over tasks."""
    if not found.paired:
        return None
    tasks, pairs = len(found.tasks), len(found.paired)
    least = min(1.0, 2.0 ** (1 - tasks) * pairs)
    never = f" With {tasks} tasks and {pairs} pairs no corrected p can be below {least:.2g}."
    rows = [
        (
            found.methods[pair.first],
            found.methods[pair.second],
            f"{pair.p:.2g}",
            f"{BOLD * (pair.p_holm < 0.05)}{pair.p_holm:.2g}",
        )
        for pair in found.paired
    ]
    return Table(
        title=f"{found.encoder}: pairs of methods over {len(found.tasks)} tasks",
        frame=pd.DataFrame(rows, columns=["method", "and", "p", "p (Holm)"]),
        names=2,
        notes=[
            f"Wilcoxon signed-rank tests over tasks (n = {tasks}) of the log ratio of errors, which has no "
            "unit (error: the metric itself where lower is better, else what lacks to 100 % or 1), averaged "
            f"over label shares; Holm's correction over {text.count(pairs, 'pair')}. Bold: p < 0.05."
            f"{never if least >= 0.05 else ''}"
        ],
    )


def absent(found: Overall) -> str:
    """Say why the methods of an encoder are not compared over tasks; "" where they are."""
    if found.ranks is not None:
        return ""
    tasks = text.listed(list(found.all_tasks))
    return f"{found.encoder}: no comparison over tasks ({tasks}): {found.ranks_reason}."


def left_out(found: Overall) -> str:
    """Name the methods that are not compared over tasks; "" where there are none."""
    named = "; ".join(f"{method} ({why})" for method, why in found.left_out)
    return f"{found.encoder}: not compared over tasks: {named}." if named else ""


def costs(found: pd.DataFrame) -> list[Table]:
    """Return what runs cost, one table per setting."""
    tables = []
    for (preset, track, mode, protocol), rows in found.groupby(list(found.columns[:4]), sort=False):
        work = "probe" if text.is_frozen(str(protocol)) else "fine-tuning"
        frame = pd.DataFrame({
            "encoder": rows["encoder"],
            "method": rows["method"],
            "pretraining images read": rows["pretrain_samples_seen"].map(text.amount),
            "pretraining forward passes": rows["pretrain_forward_passes"].map(text.amount),
            "pretraining device time": rows["pretrain_device_s"].map(text.duration),
            f"{work} runs": rows["runs"].astype(str),
            "time per run": rows["wall_s"].map(text.duration),
            f"{work} samples/s": rows["samples_per_s"].map(text.amount),
            "peak memory": (rows["peak_memory_mb"].map(text.amount) + " MB").replace("- MB", "-"),
        })  # fmt: skip
        title = f"Cost: preset {preset}, track {track}, mode {mode}, protocol {protocol}"
        tables.append(Table(title=title, frame=frame, names=2, notes=[COST]))
    return tables
