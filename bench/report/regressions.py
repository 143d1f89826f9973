"""What a change of the code has done to a small grid: records now against records of a baseline.

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
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np

from bench.record_set import Record, RecordSet
from bench.report import text
from bench.report.comparisons import Scale, holm, verdict
from bench.report.stats import RISK, Difference, difference, estimate

LOSS_CHANGE = 0.05  # of the baseline's value; rounding moves the losses of another machine less

Verdict = Literal[
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
    verdict: Verdict
    note: str = ""

    @property
    def fails(self) -> bool:
        """Return whether it fails the gate."""
        return self.verdict in FAILURES


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
    corrected = iter(holm([d.p for _, d, _ in found if d is not None]))
    return [_judged(change, d, scale, next(corrected)) if d else change for change, d, scale in found]


def _metric(
    name: str, old: Mapping[int, Record], new: Mapping[int, Record]
) -> tuple[Change, Difference | None, Scale | None]:
    """Compare one cell; a difference that has to be judged comes along."""
    missing = _missing("metric", name, old, new)
    if missing:
        return missing, None, None
    pairs = [(old[seed], new[seed]) for seed in sorted(old)]
    before, after = (np.array([pair[i]["metrics"][0]["value"] for pair in pairs]) for i in (0, 1))
    first = pairs[0][0]["metrics"][0]
    shown = [text.number(float(values.mean()), first["unit"]) for values in (before, after)]
    change = Change(what="metric", name=name, baseline=shown[0], now=shown[1], verdict="same")
    if pairs[0][0]["key"] != pairs[0][1]["key"]:
        change = replace(change, note="another configuration or version than the baseline's")
    if any(a["metrics"][0]["name"] != b["metrics"][0]["name"] for a, b in pairs):
        return replace(change, verdict="missing", note="the primary metric is another one"), None, None
    if any(a["manifests"]["test"] != b["manifests"]["test"] for a, b in pairs):
        return replace(change, verdict="missing", note="the test data are others"), None, None
    if np.array_equal(before, after):
        return change, None, None
    drawn = [np.array([pair[i]["interval"]["replicates"] for pair in pairs]) for i in (0, 1)]
    found = difference(after, before, drawn[1], drawn[0], pairs[0][0]["interval"]["n_units"])
    effect = float(pairs[0][1]["labels"].get("minimum_effect") or 0)
    scale = Scale(higher_is_better=first["higher_is_better"], minimum_effect=effect)
    return change, found, scale


def _missing(what: Any, name: str, old: Mapping[int, Record], new: Mapping[int, Record]) -> Change | None:
    """Return what to say where not all runs of the baseline are there now; None where they are."""
    if not old:
        return Change(what=what, name=name, verdict="new", note="not in the baseline")
    lost = sorted(old.keys() - new.keys())
    if not lost:
        return None
    seeds = f"seed {lost[0]}" if len(lost) == 1 else f"seeds {', '.join(map(str, lost))}"
    return Change(what=what, name=name, verdict="missing", note=f"no run now of {seeds}")


def _judged(change: Change, found: Difference, scale: Scale | None, p: float | None) -> Change:
    assert scale is not None
    said = verdict(found.mean, p, scale)
    shown = f"{found.mean:+.4g}"
    if found.low is not None and found.high is not None:
        shown += f" [{found.low:+.4g}, {found.high:+.4g}]"
    if p is not None:
        shown += f", p = {p:.2g}" if p >= 0.001 else ", p < 0.001"
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
    rises = [(b - a) / abs(a) for a, b in zip(before, after, strict=True)]
    found = estimate(rises, np.zeros((len(rises), 2)))
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
