"""The regression gate: runs a small grid and holds its records against those of a baseline.

Three things are compared, always with equal seeds:

- The primary metric of each cell, by the paired difference over seeds and test units and Holm's correction
  over all cells, as everywhere in reports. *Worse*: p < 0.05 and at least the task's minimum effect.
- The loss terms of each pretraining stage at its end. *Vanished*: a term, or a part of one that is logged, is
  gone or 0 throughout. *Worse*, *fell*: it has risen or fallen by more than `LOSS_CHANGE`, beyond the spread
  over seeds. Small grids train too little for every loss term to show in a metric; its own value shows at
  once whether it is still trained. A fall may be an improvement: look, and write a new baseline.
- Samples per second, on equal devices. *Slower*: below a ratio that the caller sets.
"""

from __future__ import annotations

import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from bench.errors import ConfigError
from bench.execute.local import execute
from bench.files import check_writable
from bench.grid.checks import check_applies, check_plan
from bench.grid.plan import Plan, expand
from bench.grid.request import Words, resolve
from bench.records.exchange import grid_of, origins
from bench.records.record_set import Record, RecordSet, read_set, write_set
from bench.records.store import Store
from bench.report import text
from bench.report.intervals import RISK, Interval, holm, mean_interval, paired_interval, verdict

PLACE = ("preset", "track", "mode", "protocol")  # what no comparison mixes
LOSS_CHANGE = 0.05  # of the baseline's value; rounding moves the losses of another machine less

Outcome = Literal[
    "same", "tie", "better", "worse", "new", "missing",
    "fell", "vanished", "slower", "as fast", "not compared",
]  # fmt: skip
FAILURES = frozenset({"worse", "missing", "fell", "vanished", "slower"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the gate's tables."""

    what: Literal["metric", "loss", "speed"]
    name: str
    baseline: str = ""
    now: str = ""
    difference: str = ""
    verdict: Outcome
    note: str = ""

    @property
    def fails(self) -> bool:
        """Return whether it fails the gate."""
        return self.verdict in FAILURES


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says."""

    passed: bool
    text: str  # Markdown
    changes: tuple[Change, ...]
    failed: tuple[str, ...]  # cells that could not be computed, with reasons


def check(
    file: Path,
    typed: Words | None,
    store: Path | None,
    *,
    config_dirs: tuple[str, ...] = (),
    update: bool,
    ratio: float,
    jobs: int | None,
) -> Verdict:
    """Run the grid of a baseline and compare.

    Args:
        file: the baseline; with `update` it need not exist and is written.
        typed: the grid of a new baseline; None = that of `file`.
        store: where results go, and are taken from where they are there already; None = a folder that is
            removed afterwards, so that everything is computed by the code as it is now.
        config_dirs: where the grid's adapters are found besides; no baseline tells the folders of a machine.
        update: write what was computed as the new baseline, whatever the comparison says.
        ratio: of samples per second, below which the gate fails.
        jobs: processes.

    Raises:
        ConfigError: the grid is wrong, or not that of the baseline.
        DataError: the baseline is missing, damaged, or holds no grid; the store cannot be written.
    """
    if update:
        check_writable(file, "--baseline")
    old = read_set(file) if file.exists() or not update else None
    words = replace(_words(file, old, typed, update), config_dirs=config_dirs)
    with ExitStack() as stack:
        root = store or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-check-")))
        place = Store(root)
        request = resolve(words)
        plan = expand(request)
        check_plan(request, plan)
        check_applies(plan)
        differs = _differs(file, old, plan)
        if differs and not update:
            raise ConfigError(f"{differs}; nothing is compared. Write a new baseline with --update")
        place.prepare()
        there = _records(plan, place)
        outcome = execute(request, plan, place, jobs=jobs)
        records = _records(plan, place)
        failed = _failed(plan, place, outcome.failed)
    now = RecordSet(records=tuple(records), grid=grid_of(words))
    found = changes(old, now, ratio) if old and not differs else []
    notes = [f"failed: {name}" for name in failed]
    notes += [f"n/a: {c.method} on {c.encoder}, {c.task}: {c.reason}" for c in plan.cells if not c.step]
    if old:
        notes += [f"baseline: {line}" for line in origins(old.records)]
    notes += [f"now: {line}" for line in origins(records)]
    if there:
        notes.append(f"{len(there)} of the records now were in {root} already, and were not computed again")
    if differs:
        notes.append(f"not compared: {differs}")
    if update and not failed:
        write_set(file, now)
        notes.append(f"new baseline written to {file} ({len(records)} records)")
    passed = not failed and (update or not any(change.fails for change in found))
    return Verdict(
        passed=passed, text=_text(found, notes, failed, old), changes=tuple(found), failed=tuple(failed)
    )


def _text(found: Sequence[Change], notes: Sequence[str], failed: Sequence[str], old: RecordSet | None) -> str:
    said = markdown(found, notes)
    if failed:
        return said.replace("**passed**", "**failed**: not all cells could be computed", 1)
    return said if old else said.replace("**passed**", "no baseline yet", 1)


def _words(file: Path, old: RecordSet | None, typed: Words | None, update: bool) -> Words:
    """Return the grid to run.

    Raises:
        ConfigError: a grid was typed though the baseline has one, or there is none at all.
    """
    if typed and not update:
        raise ConfigError(
            f"the grid stands in {file}; leave out its words, or write a new baseline with --update"
        )
    if typed:
        return typed
    names = {f.name for f in fields(Words)}
    if not old or not old.grid or old.grid.keys() - names:
        raise ConfigError(
            f"{file} tells no grid; write it with bench check --baseline FILE --update and a grid"
        )
    lists = {name: tuple(old.grid.get(name, ())) for name in ("overrides", "weights")}
    return Words(**{**old.grid, **lists})


def _differs(file: Path, old: RecordSet | None, plan: Plan) -> str:
    """Say in what a baseline is of another kind than a plan's cells, "" where it is not."""
    if old is None:
        return ""
    steps = [cell.step for cell in plan.cells if cell.step]
    specs = [
        {**s.inputs[0].inputs[0].spec, **{k: v for k, v in s.spec.items() if k == "protocol"}} for s in steps
    ]
    for name in PLACE:
        before = sorted({str(record["labels"].get(name)) for record in old.of("score")})
        after = sorted({str(spec[name]) for spec in specs})
        if before != after:
            return (
                f"{file} is of {name} {', '.join(before) or 'none'}, the grid of {', '.join(after) or 'none'}"
            )
    return ""


def _records(plan: Plan, store: Store) -> list[Record]:
    """Return the records of a plan's cells, and of the stages that trained for them."""
    steps = {cell.step.key: cell.step for cell in plan.cells if cell.step}
    trained = {s.key: s for step in steps.values() for s in step.ancestors() if s.kind == "pretrain"}
    wanted = [*(s for s in trained.values() if s.spec["data"]), *steps.values()]
    return [record for step in wanted if (record := store.record(step)) is not None]


def _failed(plan: Plan, store: Store, reasons: dict[str, str]) -> list[str]:
    cells = [cell.step for cell in plan.cells if cell.step]
    cells = [step for step in cells if step.key in reasons or not store.done(step)]
    return [f"{step.slug}: {reasons.get(step.key, 'not finished')}" for step in cells]


def as_json(found: Verdict) -> dict[str, Any]:
    """Return the outcome as plain data."""
    return {
        "passed": found.passed,
        "failed_cells": list(found.failed),
        "changes": [{**asdict(change), "fails": change.fails} for change in found.changes],
    }


def changes(baseline: RecordSet, now: RecordSet, ratio: float) -> list[Change]:
    """Compare two record sets of one grid.

    Args:
        baseline: what was kept.
        now: what was computed.
        ratio: of samples per second, now to baseline, below which the gate fails; 0 = never.
    """
    return [
        *_metrics(baseline.of("score"), now.of("score")),
        *_losses(baseline.of("pretrain"), now.of("pretrain")),
        *_speeds(baseline.records, now.records, ratio),
    ]


def _by_place(records: Iterable[Record], names: Sequence[str]) -> dict[str, dict[int, Record]]:
    """Return records by what they are of, in words, and by seed."""
    found: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        found[_place(record, names)][int(record["labels"]["seed"])] = record
    return dict(found)


def _place(record: Record, names: Sequence[str]) -> str:
    labels = record["labels"]
    return text.plain(", ".join(str(labels[name]) for name in names if labels.get(name)))


_CELL = ("task", "method", "config", "encoder", "setting")
_STAGE = ("stage", "encoder")


def _metrics(old: Sequence[Record], new: Sequence[Record]) -> list[Change]:
    before, after = _by_place(old, _CELL), _by_place(new, _CELL)
    found = [_metric(name, before.get(name, {}), after.get(name, {})) for name in {**before, **after}]
    corrected = iter(holm([interval.p for _, interval in found if interval]))
    return [_judged(change, i, new, next(corrected)) if i else change for change, i in found]


def _metric(
    name: str, old: Mapping[int, Record], new: Mapping[int, Record]
) -> tuple[Change, Interval | None]:
    """Compare one cell; a difference that has to be judged comes along."""
    missing = _missing("metric", name, old, new)
    if missing:
        return missing, None
    pairs = [(old[seed], new[seed]) for seed in sorted(old)]
    before, after = (np.array([pair[i]["metrics"][0]["value"] for pair in pairs]) for i in (0, 1))
    first = pairs[0][0]["metrics"][0]
    shown = [text.number(float(values.mean()), first["unit"]) for values in (before, after)]
    change = Change(what="metric", name=name, baseline=shown[0], now=shown[1], verdict="same")
    if pairs[0][0]["key"] != pairs[0][1]["key"]:
        change = replace(change, note="another configuration or version than the baseline's")
    if any(a["metrics"][0]["name"] != b["metrics"][0]["name"] for a, b in pairs):
        return replace(change, verdict="missing", note="the primary metric is another one"), None
    if any(a["manifests"]["test"] != b["manifests"]["test"] for a, b in pairs):
        return replace(change, verdict="missing", note="the test data are others"), None
    if np.array_equal(before, after):
        return change, None
    drawn = [np.array([pair[i]["interval"]["replicates"] for pair in pairs]) for i in (0, 1)]
    return change, paired_interval(after, before, drawn[1], drawn[0], pairs[0][0]["interval"]["n_units"])


def _missing(what: Any, name: str, old: Mapping[int, Record], new: Mapping[int, Record]) -> Change | None:
    """Return what to say where not all runs of the baseline are there now; None where they are."""
    if not old:
        return Change(what=what, name=name, verdict="new", note="not in the baseline")
    lost = sorted(old.keys() - new.keys())
    if not lost:
        return None
    seeds = f"seed {lost[0]}" if len(lost) == 1 else f"seeds {', '.join(map(str, lost))}"
    return Change(what=what, name=name, verdict="missing", note=f"no run now of {seeds}")


def _judged(change: Change, found: Interval, new: Sequence[Record], p: float | None) -> Change:
    record = next(record for record in new if _place(record, _CELL) == change.name)
    shown = f"{found.mean:+.4g}"
    if found.low is not None and found.high is not None:
        shown += f" [{found.low:+.4g}, {found.high:+.4g}]"
    if p is not None:
        shown += f", p = {p:.2g}" if p >= 0.001 else ", p < 0.001"
    said = verdict(
        found.mean,
        p,
        higher_is_better=record["metrics"][0]["higher_is_better"],
        minimum_effect=float(record["labels"].get("minimum_effect") or 0),
    )
    return replace(change, difference=shown, verdict=said)


def _losses(old: Sequence[Record], new: Sequence[Record]) -> list[Change]:
    found: list[Change] = []
    before, after = _by_place(old, _STAGE), _by_place(new, _STAGE)
    for name in {**before, **after}:
        if missing := _missing("loss", name, before.get(name, {}), after.get(name, {})):
            found.append(missing)
            continue
        seeds = sorted(before[name])
        logged = {
            t: None for seed in seeds for r in (before, after) for t in (r[name][seed]["curve"] or [{}])[-1]
        }
        for term in logged:
            values = [[_last(r[name][seed], term) for seed in seeds] for r in (before, after)]
            change = _loss(f"{name}: {term.removeprefix('loss_')}", *values)
            if term.startswith("loss_") or change.verdict in ("vanished", "new"):
                found.append(change)
    return found


def _last(record: Record, term: str) -> float:
    """Return a term at the end of its curve; NaN where it is absent, or 0 throughout."""
    values = [point.get(term, 0.0) for point in record["curve"]]
    return float(values[-1]) if any(values) else math.nan


def _loss(name: str, before: Sequence[float], after: Sequence[float]) -> Change:
    shown = [text.plain(f"{sum(v) / len(v):.5g}") if not _absent(v) else "" for v in (before, after)]
    change = Change(what="loss", name=name, baseline=shown[0], now=shown[1], verdict="same")
    if _absent(before) or _absent(after):
        gone = not _absent(before)
        return replace(change, verdict="vanished" if gone else "new" if not _absent(after) else "same")
    if list(before) == list(after):
        return change
    rises = np.array([(b - a) / abs(a) for a, b in zip(before, after, strict=True)])
    found = mean_interval(rises, np.zeros((len(rises), 2)))
    change = replace(change, difference=f"{found.mean:+.1%}", verdict="tie")
    if abs(found.mean) > LOSS_CHANGE and found.p is not None and found.p < RISK:
        return replace(change, verdict="worse" if found.mean > 0 else "fell")
    return change


def _absent(values: Sequence[float]) -> bool:
    return any(math.isnan(value) for value in values)


def _speeds(old: Sequence[Record], new: Sequence[Record], ratio: float) -> list[Change]:
    found = []
    names = {"score": ("fine-tuning", _CELL[:4]), "pretrain": ("pretraining", _STAGE)}
    for kind, (title, place) in names.items():
        before, after = (_speed(records, kind, place) for records in (old, new))
        for name in (name for name in before if name in after):
            (devices_before, speed_before), (devices_after, speed_after) = before[name], after[name]
            change = Change(
                what="speed",
                name=f"{title}: {name}",
                baseline=f"{speed_before:.3g}/s",
                now=f"{speed_after:.3g}/s",
                difference=f"x {speed_after / speed_before:.2f}",
                verdict="slower" if speed_after < ratio * speed_before else "as fast",
            )
            if devices_before != devices_after:
                other = f"on another device ({text.listed(sorted(devices_before))} before)"
                change = replace(change, verdict="not compared", note=other)
            found.append(change)
    return found


def _speed(
    records: Sequence[Record], kind: str, place: Sequence[str]
) -> dict[str, tuple[frozenset[str], float]]:
    """Return devices and median samples per second by what was trained; nothing where nothing was."""
    speeds: dict[str, list[float]] = defaultdict(list)
    devices: dict[str, set[str]] = defaultdict(set)
    for record in records:
        speed = record["cost"].get("samples_per_s")
        if record["kind"] == kind and speed:
            name = _place(record, place)
            speeds[name].append(float(speed))
            devices[name].add(str(record["provenance"].get("device") or "unknown"))
    return {name: (frozenset(devices[name]), median(values)) for name, values in speeds.items()}


_TITLES = {
    "metric": ("primary metric", "difference [95 % interval]"),
    "loss": ("pretraining loss at the end", "change"),
    "speed": ("samples per second", "ratio"),
}


def markdown(found: Sequence[Change], notes: Sequence[str] = ()) -> str:
    """Return tables of what was compared, what fails first, under one line that says how it ended."""
    failed = [change for change in found if change.fails]
    head = f"**failed**: {text.count(len(failed), 'regression')}" if failed else "**passed**"
    kinds = [(kind, [c for c in found if c.what == kind]) for kind in _TITLES]
    compared = ", ".join(f"{len(rows)} x {_TITLES[kind][0]}" for kind, rows in kinds if rows)
    lines = [f"Regression gate: {head} ({compared or 'nothing compared'}).", ""]
    for kind, rows in kinds:
        title, column = _TITLES[kind]
        if rows:
            lines += [f"| {title} | baseline | now | {column} | verdict |", "| :-- | --: | --: | --: | :-- |"]
            lines += [_row(change) for change in sorted(rows, key=lambda c: not c.fails)] + [""]
    return "\n".join([*lines, *(f"- {text.markdown(note)}" for note in notes)]).rstrip() + "\n"


def _row(change: Change) -> str:
    said = f"**{change.verdict}**" if change.fails else change.verdict
    words = [change.name, change.baseline, change.now, change.difference]
    note = f" ({text.markdown(change.note)})" if change.note else ""
    return f"| {' | '.join(text.markdown(word) for word in words)} | {said}{note} |"
