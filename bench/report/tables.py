"""Summaries to tables of texts with notes that say what is shown; all writers and the page show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any

import pandas as pd

from bench.report import text
from bench.report.bootstrap import Aggregate
from bench.report.budget import SHOTS, Budget, parse
from bench.report.leaderboard import Task
from bench.report.over_tasks import Overall
from bench.report.published import LABELS, PublishedTable
from bench.report.records import SCRATCH, SETTING, grouped, tuples
from bench.report.text import EXPOSED, ON_FRONT, OTHER_MODALITY, TIE

SCOPE = "Tables never mix presets, tracks, modes or protocols; rows compare within one encoder."
COST = (
    "Means over records; a pretraining that several cells share is counted in each. Images read: from the "
    "data set, the budget. Forward passes: images through encoders. Device time: seconds times devices."
)
ORIGIN = "pretrained on"
USES = "Uses: what pretraining had beyond colour pictures."
BOUNDS = {
    "floor": "the best prediction that looks at no image, made of all training labels",
    "ceiling": "a flawless network through the task's output grid and decoding",
}
NOT_COMPARABLE = "Published numbers (another protocol; not comparable)"
PUBLISHED = (
    "As printed in the papers: other data, budgets and recipes, one run each, no intervals. They stand here "
    "for orientation and take part in no comparison above."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One number of a table with its marks."""

    text: str
    bold: bool = False
    value: float | None = None  # to sort by
    sheet: str = ""  # what opens on the page: the first record key of a cell, or of both that are compared
    shade: int = 0  # -3 (much worse than scratch) to 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """The head of a column of numbers."""

    title: str
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what it shows, as filters name it
    section: str = ""  # of the page, which its title leads to


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Names that users chose, and numbers."""

    method: str  # without marks
    names: Sequence[str]  # the method's first
    entries: Sequence[Entry]
    encoder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table; the rows of an encoder stand together."""

    kind: str  # scores, differences, ...
    title: str
    heading: str = ""  # within the section of a task
    left: Sequence[str] = ("method",)  # heads of the names
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()  # what n is, what varied, which interval, what marks mean; plain sentences
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def header(self) -> list[str]:
        """Return all heads; the encoder comes first where there is one."""
        return [*self._encoder("encoder"), *self.left, *(column.title for column in self.columns)]

    @property
    def lines(self) -> list[tuple[list[str], Sequence[Entry]]]:
        """Return names and numbers of all rows."""
        return [([*self._encoder(row.encoder), *row.names], row.entries) for row in self.rows]

    def _encoder(self, word: str) -> list[str]:
        return [word] if any(row.encoder for row in self.rows) else []


def _facets(b: Budget) -> dict[str, list[str]]:
    return {"share": [b.label]}


def _pivot(
    task: Task, rows: Iterable[Any], names: Callable[[Any], Sequence[str]], entry: Callable[[Any], Entry],
    **more: Any,
) -> Table:  # fmt: skip
    """Return a table with one column per budget.

    Args:
        task: knows the budgets.
        rows: named tuples with encoder, method and fraction.
        names: makes the names of a named tuple's row.
        entry: makes the number of a named tuple.
        more: fields of the table.
    """
    found: dict[tuple[str, ...], dict[str, Entry]] = {}
    for row in rows:
        method = getattr(row, "name", row.method)
        found.setdefault((row.encoder, method, *names(row)), {})[row.fraction] = entry(row)
    nothing = Entry(text="n/a")
    return Table(
        columns=[Column(title=b.header, facets=_facets(b)) for b in task.budgets],
        rows=[
            Row(encoder=e, method=m, names=words, entries=[by.get(b.label, nothing) for b in task.budgets])
            for (e, m, *words), by in found.items()
        ],
        **more,
    )


def setting(key: Mapping[str, Any]) -> str:
    """Return the setting that all numbers of a table share, as one sentence."""
    return (
        f"Preset {key['preset']}, track {key['track']}, mode {key['mode']}, protocol "
        f"{text.protocol_words(key['protocol'])}."
    )


def metric(key: Mapping[str, Any]) -> str:
    """Return the metric of a table and when it is better, as one sentence."""
    direction = "higher" if key["higher_is_better"] else "lower"
    least = f"; differences below {key['minimum_effect']:g} are ties" if key["minimum_effect"] else ""
    return f"Metric: {key['metric']} ({text.unit_name(key['unit'])}, {direction} is better{least})."


def of_task(task: Task) -> list[Table]:
    """Return the scores of a task, then its other tables that have rows."""
    more = (differences(task), labels_saved(task), epochs_saved(task), beside_cost(task))
    return [scores(task), *(table for table in more if table.rows)]


def several_origins(data: Iterable[str]) -> bool:
    """Return whether methods were pretrained on different data, which a column of its own then tells."""
    return len({*data} - {"none", ""}) > 1


def scores(task: Task) -> Table:
    """Return means with intervals of complete rows."""
    cells = [cell for cell in task.primary_cells if cell.complete]
    origins = several_origins(cell.pretrain_data for cell in cells)
    return _pivot(
        task,
        cells,
        lambda cell: (marked(cell), *[cell.pretrain_data] * origins, text.known(cell.uses)),
        lambda cell: Entry(
            text=f"{cell_text(cell)}{f' {TIE}' * cell.tie}",
            bold=cell.best,
            value=cell.mean,
            sheet=cell.keys[0],
        ),
        kind="scores",
        title=task.title,
        left=("method", *[ORIGIN] * origins, "uses"),
        notes=_score_notes(task),
    )


def _score_notes(task: Task) -> list[str]:
    primary = task.primary
    notes = [f"n = number of seeds. {USES} {task.interval}"]
    if task.key["budgets"] == SHOTS:
        notes.insert(0, "Shots: labelled training samples of each class.")
    if ((primary["n"] > 1) & primary["low"].isna()).any():
        notes.append("Braces: smallest to largest seed; these cells have no interval.")
    if primary["best"].any():
        families = task.differences[task.differences["against"] == "best"].drop_duplicates("encoder")
        least = task.key["minimum_effect"]
        small = f", or below the minimum effect ({least:g})" if least else ""
        notes.append(
            f"Bold: best mean of its encoder and {task.each}. {TIE}: a tie with it: the paired difference is "
            f"not beyond p < 0.05 after Holm's correction{small}, or has no interval "
            f"({_family(families['family'])} of an encoder with its best ones)."
        )
    notes += bound_lines(task.primary_cells)
    notes += not_ranked(task)
    if any(map(other_modality, task.primary_cells)):
        shown = sorted(set(task.runs["modality"]) - {""})
        notes.append(
            f"{OTHER_MODALITY}: the encoder was pretrained on another modality than this task's input "
            f"({text.listed(shown)})."
        )
    given = task.runs[task.runs["weights"] != ""].drop_duplicates(["encoder", "name", "weights"])
    notes += [f"{row.name}: {row.weights}." for row in tuples(given)]
    seen = primary[primary["exposure"] != "none"].drop_duplicates("name", keep="last")
    return notes + [
        f"{EXPOSED} {row.name}: pretraining has seen test data ({row.exposure})." for row in tuples(seen)
    ]


def bound_lines(cells: Sequence[Any]) -> list[str]:
    """Return a line for the floor and one for the ceiling, as far as records tell them.

    Args:
        cells: of the primary metric, as named tuples. Encoders of other strides have other ceilings.
    """
    found = []
    for end, meaning in BOUNDS.items():
        ends = {c.encoder: getattr(c, end) for c in cells if isfinite(getattr(c, end))}
        known = {encoder: text.number(value, cells[0].unit) for encoder, value in ends.items()}
        if known:
            alike = len(set(known.values())) == 1
            shown = next(iter(known.values())) if alike else ", ".join(f"{e} {v}" for e, v in known.items())
            found.append(f"{end.capitalize()} ({meaning}): {shown}.")
    return found


def not_ranked(task: Task) -> list[str]:
    """Name runs and budgets that only few rows have, which no ranking uses."""
    notes, primary = [], task.primary
    places = grouped(tuples(task.further), "encoder", "name", "fraction").items()
    further = [f"{encoder}, {name}: {parse(b).title}: {_seeds(runs)}" for (encoder, name, b), runs in places]
    if further:
        notes.append(
            "Means are over the runs that most methods of an encoder have. Further runs, not used: "
            f"{text.listed(further, limit=30)}."
        )
    alone = tuples(primary[primary["complete"] & ~primary["ranked"]])
    few = [
        f"{encoder} at {parse(label).header} ({text.listed([cell.name for cell in cells])})"
        for (encoder, label), cells in grouped(alone, "encoder", "fraction").items()
    ]
    if few:
        notes.append(
            f"Not ranked, since no run (seed) is common to most methods there: {text.listed(few, limit=30)}."
        )
    return notes


def _family(tests: pd.Series[int]) -> str:
    if tests.empty:
        return "no comparisons"
    low, high = tests.min(), tests.max()
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


def incomplete(task: Task) -> list[tuple[str, str, str]]:
    """Return encoder and method of each row that lacks runs, and what it lacks and has, as a line."""
    rows = grouped((cell for cell in task.primary_cells if not cell.complete), "encoder", "name")
    lacks = grouped(tuples(task.missing), "encoder", "name")
    lines = []
    for (encoder, name), cells in rows.items():
        missing = grouped(lacks[encoder, name], "fraction").items()
        lacking = "; ".join(f"{parse(label).title}: {_seeds(runs)}" for label, runs in missing)
        there = "; ".join(f"{parse(cell.fraction).title}: {cell_text(cell)}" for cell in cells)
        line = f"{encoder}, {marked(cells[0])}: missing {lacking}. Present: {there}"
        lines.append((encoder, name, line))
    return lines


def _seeds(runs: Sequence[Any]) -> str:
    return f"{'seed' if len(runs) == 1 else 'seeds'} {text.listed([str(run.seed) for run in runs])}"


def differences(task: Task) -> Table:
    """Return paired differences to scratch and to the other references."""
    found = task.differences[task.differences["against"] == "reference"]
    cells = {(cell.encoder, cell.name, cell.fraction): cell for cell in task.primary_cells}
    whole = {(cell.encoder, cell.name): cell.complete for cell in task.primary_cells}
    shown = _marked(task)

    def names(d: Any) -> tuple[str, str]:
        lacking = " (incomplete)" * (not whole[d.encoder, d.method])
        return shown[d.encoder, d.method] + lacking, d.reference

    def entry(d: Any) -> Entry:
        after = f"n={d.n}" + ("" if d.p_holm != d.p_holm else f", {text.p_value(d.p_holm)}")
        both = [cells[d.encoder, name, d.fraction].keys[0] for name in (d.method, d.reference)]
        return Entry(
            text=f"{difference_text(d)} ({after})",
            bold=d.verdict != "tie",
            value=d.difference,
            sheet=" ".join(both),
        )

    better = "positive" if task.key["higher_is_better"] else "negative"
    unit = {"%": "% points"}.get(task.key["unit"], text.unit_name(task.key["unit"]))
    least = f" and at least {task.key['minimum_effect']:g}" if task.key["minimum_effect"] else ""
    return _pivot(
        task,
        tuples(found),
        names,
        entry,
        kind="differences",
        title=f"{task.title}: paired differences",
        heading="Paired differences",
        left=("method", "minus"),
        notes=[
            f"Paired differences over common seeds and test units ({unit}; {better} is better) with 95 % "
            "intervals; n = number of common seeds. p: two-sided, after Holm's correction within a family "
            f"(one encoder and reference, all methods and {task.each}s: "
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


def _marked(task: Task) -> dict[tuple[str, str], str]:
    """Return the names of rows with their marks, by encoder and name."""
    return {(cell.encoder, cell.name): marked(cell) for cell in task.primary_cells}


def labels_saved(task: Task) -> Table:
    """Return how many times fewer labels each method needs."""
    found = task.savings[task.savings["what"] == "labels"]
    shown = _marked(task)
    rows = [
        Row(
            encoder=s.encoder,
            method=s.method,
            names=(shown[s.encoder, s.method], s.reference),
            entries=(Entry(text=_share(s)), Entry(text=factor_text(s), value=s.factor)),
        )
        for s in tuples(found)
    ]
    return Table(
        kind="labels",
        title=f"{task.title}: labels saved",
        heading="Labels saved",
        left=("method", "as good as 100 % labels of"),
        columns=(Column(title="labels needed"), Column(title="times fewer")),
        rows=rows,
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
    """Return the factor with its interval in words, and the number of seeds."""
    point, low, high = (
        text.factor(getattr(saving, name), getattr(saving, f"{name}_state"), saving.smallest_share)
        for name in ("factor", "low", "high")
    )
    return f"{point}{f' [{low}, {high}]' if saving.low_state else ''} (n={saving.n})"


def _varied(found: pd.DataFrame) -> str:
    return " or ".join(sorted(set(found["kind"]) - {"none"})) or "nothing (no interval)"


def epochs_saved(task: Task) -> Table:
    """Return how many times less fine-tuning each method needs."""
    found = task.savings[task.savings["what"] == "fine-tuning"]
    shown = _marked(task)
    return _pivot(
        task,
        tuples(found),
        lambda s: (shown[s.encoder, s.method], s.reference),
        lambda s: Entry(text=factor_text(s), value=s.factor),
        kind="epochs",
        title=f"{task.title}: epochs saved",
        heading="Epochs saved",
        left=("method", "as good as"),
        notes=[
            "How many times fewer epochs of fine-tuning a method needs to reach the last validation value of "
            f"the reference at the same {task.each}: monotone interpolation of its mean curve, nothing "
            "beyond what was measured. The schedule is that of the whole training; a shorter one would end "
            "sooner. "
            f"Brackets: 95 % interval over {_varied(found)}; the validation part is taken as given. n = "
            "number of seeds."
        ],
    )


def beside_cost(task: Task) -> Table:
    """Return quality beside cost at the largest budget; no rows where no cost is known."""
    budget: Budget = task.budgets[-1]
    found = task.cost_quality[task.cost_quality["fraction"] == budget.label]
    found = found if found[["device_hours", "samples_seen"]].notna().any(axis=None) else found.iloc[:0]
    cells = {(c.encoder, c.name): c for c in task.primary_cells if c.fraction == budget.label}
    rows = [
        Row(
            encoder=p.encoder,
            method=p.method,
            names=(marked(cells[p.encoder, p.method]),),
            entries=(
                Entry(text=cell_text(cells[p.encoder, p.method]), value=p.mean),
                _cost(p.device_hours, "{:,.3g}", p.front_device_hours),
                _cost(p.samples_seen, "{:,.0f}", p.front_samples_seen),
            ),
        )
        for p in tuples(found)
    ]
    devices = text.listed(sorted(set(task.runs["device"]) - {""}))
    return Table(
        kind="cost",
        title=f"{task.title}: quality beside cost",
        heading="Quality beside cost",
        columns=[Column(title=title) for title in (budget.header, "device-hours", "samples seen")],
        rows=rows,
        notes=[
            "n = number of seeds. Cost of one run, pretraining and fine-tuning together (mean over seeds; a "
            f"pretraining that several runs share is counted in each). {ON_FRONT}: on the Pareto front of "
            "its encoder: no method has a better mean at no more cost. Device-hours count wall time times "
            f"devices (devices: {devices}); they compare on equal devices only."
        ],
    )


def _cost(value: float, form: str, on_front: bool) -> Entry:
    known = value == value
    return Entry(
        text=form.format(value) + f" {ON_FRONT}" * on_front if known else "not recorded", value=value
    )


def over_tasks(found: Overall) -> list[Table]:
    """Return the tables of one encoder that have rows: methods over tasks, and tests of their pairs."""
    return [table for table in (_ranks(found), _pairs(found)) if table.rows]


def _ranks(found: Overall) -> Table:
    """Return average rank, normalised score and probability of improvement of each method."""
    references = list(dict.fromkeys(i.reference for i in found.improvements))
    won = {(i.method, i.reference): i.share for i in found.improvements}
    titles = ["average rank", *(["normalised score"] if found.normalised else [])]
    rows = []
    for i, name in enumerate(found.methods if found.ranks else ()):
        assert found.ranks is not None
        rank = found.ranks.average[i]
        entries = [Entry(text=f"{rank:.2f}", value=rank)]
        entries += [_aggregate(found.normalised[i])] if found.normalised else []
        entries += [_aggregate(won.get((name, reference))) for reference in references]
        mark = f" {EXPOSED}" * (name in found.exposed)
        rows.append(Row(method=name, names=[f"{name}{mark}"], entries=entries))
    return Table(
        kind="ranks",
        title=f"{found.encoder}: methods over {len(found.tasks)} tasks",
        heading="Ranks and normalised scores",
        columns=[Column(title=title) for title in (*titles, *(f"P(better than {r})" for r in references))],
        rows=rows,
        notes=_rank_notes(found) if found.ranks else [],
    )


def _aggregate(found: Aggregate | None) -> Entry:
    if found is None:
        return Entry(text="-")
    point, low, high = (f"{nan if v is None else v:.2f}" for v in (found.value, found.low, found.high))
    shown = point if found.low is None else f"{point} [{low}, {high}]"
    return Entry(text=shown.replace("-0.00", "0.00"), value=found.value)


def _rank_notes(found: Overall) -> list[str]:
    low, high = found.seeds
    seeds = text.count(low, "seed") if low == high else f"{low} to {high} seeds"
    notes = [
        f"Common to all of them: {len(found.tasks)} of {text.count(len(found.all_tasks), 'task')}, "
        f"{text.count(found.cells, 'cell')} (task and label budget), n = {seeds} each: "
        f"{text.listed(list(found.tasks), limit=30)}.",
        "Average rank: 1 is best; by mean score per cell, averaged over the label budgets of a task, then "
        f"over tasks. {critical_text(found)}",
    ]
    if found.normalised:
        left = text.listed(list(found.guarded), limit=30)
        low_end, high_end = found.normalised_ends
        guard = f" Left out, since {low_end} and {high_end} are less than two seed deviations apart: {left}."
        notes.append(
            f"Normalised score: {low_end} = 0, {high_end} = 1 per cell, averaged over label budgets; "
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


def _pairs(found: Overall) -> Table:
    """Return the tests of all pairs of methods over tasks."""
    tasks, pairs = len(found.tasks), len(found.paired)
    least = min(1.0, 2.0 ** (1 - tasks) * pairs)
    never = f" With {tasks} tasks and {pairs} pairs no corrected p can be below {least:.2g}."
    rows = [
        Row(
            method=found.methods[pair.first],
            names=(found.methods[pair.first], found.methods[pair.second]),
            entries=(
                Entry(text=f"{pair.p:.2g}", value=pair.p),
                Entry(text=f"{pair.p_holm:.2g}", value=pair.p_holm, bold=pair.p_holm < 0.05),
            ),
        )
        for pair in found.paired
    ]
    return Table(
        kind="pairs",
        title=f"{found.encoder}: pairs of methods over {tasks} tasks",
        heading="Pairs of methods",
        left=("method", "and"),
        columns=(Column(title="p"), Column(title="p (Holm)")),
        rows=rows,
        notes=[
            f"Wilcoxon signed-rank tests over tasks (n = {tasks}) of the log ratio of errors, which has no "
            "unit (error: the metric itself where lower is better, else what lacks to 100 % or 1), averaged "
            f"over label budgets; Holm's correction over {text.count(pairs, 'pair')}. Bold: p < 0.05."
            f"{never if least >= 0.05 else ''}"
        ],
    )


def not_over_tasks(found: Overall) -> list[str]:
    """Say why methods are not compared over tasks, and which."""
    said = []
    if found.ranks is None:
        tasks = text.listed(list(found.all_tasks))
        said.append(f"{found.encoder}: no comparison over tasks ({tasks}): {found.ranks_reason}.")
    if found.left_out:
        named = "; ".join(f"{method} ({why})" for method, why in found.left_out)
        said.append(f"{found.encoder}: not compared over tasks: {named}.")
    return said


def costs(found: pd.DataFrame) -> list[Table]:
    """Return what runs cost, one table per setting."""
    tables = []
    for (preset, track, mode, protocol), rows in found.groupby([*SETTING], sort=False):
        work = "probe" if text.is_frozen(str(protocol)) else "fine-tuning"
        shown: dict[str, tuple[str, Callable[[float], str]]] = {
            "pretraining images read": ("pretrain_samples_seen", text.amount),
            "pretraining forward passes": ("pretrain_forward_passes", text.amount),
            "pretraining device time": ("pretrain_device_s", text.duration),
            f"{work} runs": ("runs", text.amount),
            "time per run": ("wall_s", text.duration),
            f"{work} samples/s": ("samples_per_s", text.amount),
            "peak memory": ("peak_memory_mb", text.memory),
        }
        table = Table(
            kind="costs",
            title=f"Cost: preset {preset}, track {track}, mode {mode}, protocol {protocol}",
            columns=[Column(title=title) for title in shown],
            rows=[
                Row(
                    encoder=row["encoder"],
                    method=row["method"],
                    names=(row["method"],),
                    entries=[Entry(text=say(row[name]), value=row[name]) for name, say in shown.values()],
                )
                for row in rows.to_dict("records")
            ],
            notes=[COST],
            facets=facets({"preset": preset, "track": track, "mode": mode, "protocol": protocol}),
        )
        tables.append(table)
    return tables


def published(found: PublishedTable) -> Table:
    """Return the numbers of a paper as printed there."""
    metrics = found.frame.drop(columns=[*LABELS])
    title = f"{found.task}, {found.paper}: {text.count(len(metrics), 'row')}"
    return Table(
        kind="published",
        title=title,
        heading=title,
        left=("method", "dataset", "init", "pretraining data", "backbone", "setting"),
        columns=[Column(title=str(name)) for name in metrics],
        rows=[
            Row(method=method, names=(method, data, *more), entries=[Entry(text=v) for v in values])
            for (data, method, *more), values in zip(
                found.frame[[*LABELS]].to_numpy().tolist(), metrics.to_numpy().tolist(), strict=True
            )
        ],
    )


def facets(key: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what the filters of the page ask: task and setting, as far as they are there."""
    return {name: [key[name]] for name in ("task", *SETTING) if name in key}
